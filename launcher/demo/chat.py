"""What a simulated model says: a word at a time, with thoughts, tool calls and JSON where they are asked for.

Has no opinion and knows nothing. Knows neither routes nor lines.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from launcher.demo.schema import Material, example

_ANSWER = (
    "This is a simulated answer. No model has read your message, and no weights were loaded: the launcher runs against "
    "its simulated server, which streams these words one by one as a real model would. Start a real Ollama to talk to "
    "a model. You wrote: {prompt}"
)
_SEEN = "This is a simulated answer. No model has looked at your {images}. You wrote: {prompt}"
_TOLD = "This is a simulated answer. The tool {tool} said: {result}"
_THOUGHT = "The message has to be answered, but there is no model here to do it. I had better say so."
_SHOWN_CHARACTERS = 200
_ID_CHARACTERS = "abcdefghijklmnopqrstuvwxyz0123456789"
# A piece of JSON with the space before it, as a tokenizer would cut it.
_JSON_PIECE = re.compile(r"\s*(?:\w+|[^\w\s])|\s+$")


@dataclass(frozen=True, slots=True)
class Token:
    """The next thing that a model says: one of these."""

    text: str = ""
    thinking: str = ""
    tool_call: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Question:
    """What a model is asked."""

    prompt: str
    """The last message."""
    role: str = "user"
    """Whose it is."""
    images: int = 0
    tools: Sequence[Mapping[str, Any]] = ()
    tool_use: str = "once"
    """``once``, when the last message is a person's; ``always``; ``never``."""
    tool_name: str = ""
    """Of the tool whose result the last message is."""
    form: Any = None
    """``json``, a schema, or nothing."""
    thinks: bool = False
    length: int = 0
    """How many words the answer has, said again and again; 0: as many as there are."""


def answer(question: Question) -> Iterator[Token]:
    """Give the whole answer."""
    if question.thinks:
        for word in _words(_THOUGHT):
            yield Token(thinking=word)
    is_asked = question.role.lower() == "user"
    may_call = question.tool_use == "always" or (question.tool_use == "once" and is_asked)
    if question.tools and may_call:
        yield Token(tool_call=_tool_call(question))
    elif question.form:
        pieces = _JSON_PIECE.findall(json.dumps(_fitting(question), ensure_ascii=False))
        yield from (Token(piece) for piece in pieces)
    else:
        words = list(_words(_sentence(question)))
        yield from (Token(words[at % len(words)]) for at in range(question.length or len(words)))


def count_tokens(text: str) -> int:
    """Count the tokens of a text, roughly as a tokenizer would."""
    return max(1, len(re.findall(r"\w+|[^\w\s]", text)))


def logprob_of(text: str, at: int, alternatives: int) -> dict[str, Any]:
    """Give how probable a token was, and which others were looked at."""
    shares = hashlib.sha256(f"{at} {text}".encode()).digest()
    first = {"token": text, "logprob": -shares[0] / 256, "bytes": list(text.encode())}
    others = [f" other{number}" for number in range(1, alternatives)]
    top = [first] + [
        {"token": one, "logprob": -1.0 - number - shares[1] / 256, "bytes": list(one.encode())}
        for number, one in enumerate(others)
    ]
    return {**first, "top_logprobs": top} if alternatives else first


def _sentence(question: Question) -> str:
    shown = " ".join(question.prompt.split())[:_SHOWN_CHARACTERS] or "nothing"
    if question.role.lower() == "tool":
        return _TOLD.format(tool=question.tool_name or "that was called", result=shown)
    if question.images:
        images = "image" if question.images == 1 else f"{question.images} images"
        return _SEEN.format(images=images, prompt=shown)
    return _ANSWER.format(prompt=shown)


def _fitting(question: Question) -> Any:
    if isinstance(question.form, Mapping):
        return example(question.form, Material(question.prompt))
    return {"answer": "This is a simulated answer.", "you_wrote": question.prompt[:_SHOWN_CHARACTERS]}


def _tool_call(question: Question) -> Mapping[str, Any]:
    """Call the tool that the message names, else the first, with arguments that its parameters allow."""
    functions = [one.get("function") or {} for one in question.tools]
    prompt = question.prompt.lower()
    named = [one for one in functions if str(one.get("name", "")).lower() in prompt]
    chosen = (named or functions)[0]
    arguments = example(chosen.get("parameters") or {"type": "object"}, Material(question.prompt))
    called = "call_" + "".join(_ID_CHARACTERS[one % len(_ID_CHARACTERS)] for one in os.urandom(8))
    return {"id": called, "function": {"index": 0, "name": chosen.get("name", ""), "arguments": arguments}}


def _words(text: str) -> Iterator[str]:
    for index, word in enumerate(text.split(" ")):
        yield word if index == 0 else f" {word}"
