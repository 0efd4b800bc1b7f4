"""The two forms in which an answer is written: that of chat and that of generate (api/types.go, 0.33)."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from launcher.demo.chat import Token
from launcher.demo.golang import format_time
from launcher.demo.routes.description import optional


class Form(Protocol):
    """How one route writes what a model says."""

    def line(self, token: Token) -> dict[str, Any]:
        """Write one token, or nothing, as a line of a stream."""

    def joined(self, tokens: Sequence[Token]) -> dict[str, Any]:
        """Write all of an answer at once."""


@dataclass(frozen=True, slots=True)
class ChatForm:
    """The form of ``/api/chat``."""

    model: str

    def line(self, token: Token) -> dict[str, Any]:
        return self._of(token.text, token.thinking, [] if token.tool_call is None else [token.tool_call])

    def joined(self, tokens: Sequence[Token]) -> dict[str, Any]:
        calls = [one.tool_call for one in tokens if one.tool_call is not None]
        return self._of("".join(one.text for one in tokens), "".join(one.thinking for one in tokens), calls)

    def _of(self, content: str, thinking: str, calls: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        said = {"role": "assistant", "content": content, **optional("thinking", thinking)}
        return {**_created(self.model), "message": {**said, **optional("tool_calls", calls)}, "done": False}


@dataclass(frozen=True, slots=True)
class GenerateForm:
    """The form of ``/api/generate``."""

    model: str

    def line(self, token: Token) -> dict[str, Any]:
        return self.joined([token])

    def joined(self, tokens: Sequence[Token]) -> dict[str, Any]:
        thinking = optional("thinking", "".join(one.thinking for one in tokens))
        return {**_created(self.model), "response": "".join(one.text for one in tokens), **thinking, "done": False}


def _created(model: str) -> dict[str, Any]:
    return {"model": model, "created_at": format_time(time.time_ns(), utc=True)}
