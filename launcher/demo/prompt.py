"""How much of a conversation reaches a model: counting it, and cutting it where it does not fit (0.33).

What is cut is cut without a word: only the number of tokens in the answer tells (server/prompt.go, truncateNativeChat-
Messages in routes.go; completionPromptForRequest in llm/llama_server.go).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from launcher.demo.chat import count_tokens
from launcher.demo.golang import dumps

_TOKENS_PER_MESSAGE = 4
_TOKENS_PER_IMAGE = 768
_TOO_LONG = (
    "the prompt is longer than the context length currently available to the model; shorten the prompt, adjust the "
    "context length in settings, or use a model with a longer context length"
)


class PromptTooLong(Exception):
    """The prompt does not fit and may not be cut; the text is the server's, with status 400."""


@dataclass(frozen=True, slots=True)
class Room:
    """What there is room for, and what may be done about too little of it."""

    context_length: int
    keep: int
    truncate: bool
    shift: bool

    def fit(self, count: int) -> int:
        """Give how many tokens of a prompt are left when it has been cut to fit."""
        if not self.truncate and count > self.context_length:
            raise PromptTooLong(_exceeded(count, self.context_length))
        if not self.truncate or count <= self.context_length - 1:
            return count
        if not self.shift:
            raise PromptTooLong(_TOO_LONG)
        keep = max(0, min(self.keep, self.context_length - 1))
        return self.context_length - max((self.context_length - keep) // 2, 1)

    def fit_messages(self, messages: Sequence[Mapping[str, Any]]) -> int:
        """Leave out the oldest messages until the rest fits; system messages and the last one stay."""
        kept = list(messages)
        while self.truncate and len(kept) > 1 and count_messages(kept) > self.context_length:
            oldest = next((at for at, one in enumerate(kept[:-1]) if one.get("role") != "system"), None)
            if oldest is None:
                break
            del kept[oldest]
        return self.fit(count_messages(kept))


def count_messages(messages: Sequence[Mapping[str, Any]]) -> int:
    """Count the tokens of messages, their images and what a template puts around them."""
    return sum(
        count_tokens(str(one.get("content") or "")) + _TOKENS_PER_MESSAGE + count_images([one]) * _TOKENS_PER_IMAGE
        for one in messages
    )


def count_images(messages: Sequence[Mapping[str, Any]]) -> int:
    """Count the images of messages."""
    return sum(len(one.get("images") or ()) for one in messages)


def _exceeded(count: int, context_length: int) -> str:
    words = f"request ({count} tokens) exceeds the available context size ({context_length} tokens), try increasing it"
    error = {"code": 400, "message": words, "type": "exceed_context_size_error"}
    return dumps({"error": {**error, "n_prompt_tokens": count, "n_ctx": context_length}}).decode()
