"""The text that a simulated model answers, and how fast. Has no opinion and knows nothing."""

from __future__ import annotations

import re
from collections.abc import Iterator

_ANSWER = (
    "This is a simulated answer. No model has read your message, and no weights were loaded: the launcher runs against "
    "its simulated server, which streams these words one by one as a real model would. Start a real Ollama to talk to "
    "a model. You wrote: {prompt}"
)
_THOUGHT = "The message has to be answered, but there is no model here to do it. I had better say so."
_SHOWN_CHARACTERS = 200


def answer_tokens(prompt: str) -> Iterator[str]:
    """Give the answer to a prompt, a word at a time."""
    shown = " ".join(prompt.split())[:_SHOWN_CHARACTERS] or "nothing"
    yield from _words(_ANSWER.format(prompt=shown))


def thought_tokens() -> Iterator[str]:
    """Give the thinking that comes before an answer, a word at a time."""
    yield from _words(_THOUGHT)


def count_tokens(text: str) -> int:
    """Count the tokens of a prompt, roughly as a tokenizer would."""
    return max(1, len(re.findall(r"\w+|[^\w\s]", text)))


def _words(text: str) -> Iterator[str]:
    for index, word in enumerate(text.split(" ")):
        yield word if index == 0 else f" {word}"
