"""Our answers in the words of OpenAI (``ToChatCompletion``, ``ToStreamChunks``, openai/openai.go, 0.33)."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from typing import Any, Protocol

from launcher.demo.golang import dumps
from launcher.demo.http import Request
from launcher.demo.routes.description import optional

_FINGERPRINT = "fp_ollama"


class Chunks(Protocol):
    """How one route tells our answers."""

    def streams(self, request: Request) -> bool:
        """Tell whether the answer comes in pieces."""

    def of(self, line: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Turn one line into what is told of it."""

    def whole(self, value: Mapping[str, Any]) -> dict[str, Any]:
        """Turn a whole answer."""


class _Answer:
    """What chats and completions have in common."""

    def __init__(self, identity: str, *, usage: bool) -> None:
        self._head = {"id": identity, "created": int(time.time()), "system_fingerprint": _FINGERPRINT}
        self._tells_usage = usage

    def streams(self, request: Request) -> bool:
        return bool(json.loads(request.body).get("stream"))

    def _with(self, kind: str, line: Mapping[str, Any], choices: list[Any], **more: Any) -> dict[str, Any]:
        return {**self._head, "object": kind, "model": line.get("model", ""), "choices": choices, **more}


class ChatChunks(_Answer):
    """The answer of ``/v1/chat/completions``."""

    def __init__(self, identity: str, *, usage: bool) -> None:
        super().__init__(identity, usage=usage)
        self._has_begun = False
        self._has_called = False

    def of(self, line: Mapping[str, Any]) -> list[dict[str, Any]]:
        message = line.get("message") or {}
        said = any(message.get(one) for one in ("content", "thinking", "tool_calls")) or line.get("logprobs")
        chunks = []
        if not (line.get("done") and self._has_begun and not said):
            calls = _calls(message.get("tool_calls") or [])
            self._has_called = self._has_called or bool(calls)
            delta = {
                **({} if self._has_begun else {"role": "assistant"}),
                "content": message.get("content", ""),
                **optional("reasoning", message.get("thinking")),
                **optional("tool_calls", calls),
            }
            chunks.append(self._chunk(line, delta, None))
            self._has_begun = True
        if line.get("done"):
            chunks.append(self._chunk({**line, "logprobs": None}, {}, self._reason(line)))
            if self._tells_usage:
                chunks.append(self._with("chat.completion.chunk", line, [], usage=_usage(line)))
        return chunks

    def whole(self, value: Mapping[str, Any]) -> dict[str, Any]:
        message = value["message"]
        calls = _calls(message.get("tool_calls") or [])
        self._has_called = bool(calls)
        choice = {
            "index": 0,
            "message": {
                "role": message["role"],
                "content": message["content"],
                **optional("reasoning", message.get("thinking")),
                **optional("tool_calls", calls),
            },
            "finish_reason": self._reason(value),
            **_logprobs(value),
        }
        return self._with("chat.completion", value, [choice], usage=_usage(value))

    def _chunk(self, line: Mapping[str, Any], delta: Mapping[str, Any], reason: str | None) -> dict[str, Any]:
        choice = {"index": 0, "delta": delta, "finish_reason": reason, **_logprobs(line)}
        return self._with("chat.completion.chunk", line, [choice])

    def _reason(self, line: Mapping[str, Any]) -> str:
        reason = str(line.get("done_reason") or "stop")
        return "tool_calls" if reason == "stop" and self._has_called else reason


class CompletionChunks(_Answer):
    """The answer of ``/v1/completions``."""

    def of(self, line: Mapping[str, Any]) -> list[dict[str, Any]]:
        empty = {"usage": _usage({})} if self._tells_usage else {}
        chunks = [self._with("text_completion", line, [self._choice(line)], **empty)]
        if line.get("done") and self._tells_usage:
            chunks.append(self._with("text_completion", line, [], usage=_usage(line)))
        return chunks

    def whole(self, value: Mapping[str, Any]) -> dict[str, Any]:
        return self._with("text_completion", value, [self._choice(value)], usage=_usage(value))

    def _choice(self, line: Mapping[str, Any]) -> dict[str, Any]:
        return {"text": line.get("response", ""), "index": 0, "finish_reason": line.get("done_reason") or None}


def _usage(line: Mapping[str, Any]) -> dict[str, int]:
    prompt, answer = int(line.get("prompt_eval_count") or 0), int(line.get("eval_count") or 0)
    return {"prompt_tokens": prompt, "completion_tokens": answer, "total_tokens": prompt + answer}


def _logprobs(line: Mapping[str, Any]) -> dict[str, Any]:
    return {"logprobs": {"content": line["logprobs"]}} if line.get("logprobs") else {}


def _calls(calls: list[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Write tool calls as OpenAI does: their arguments are a text."""
    return [
        {
            "id": one.get("id") or "",
            "index": one["function"].get("index") or 0,
            "type": "function",
            "function": {"name": one["function"]["name"], "arguments": dumps(one["function"]["arguments"]).decode()},
        }
        for one in calls
    ]
