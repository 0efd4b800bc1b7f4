"""Requests of OpenAI in our own words (``FromChatRequest``, ``FromCompleteRequest``, openai/openai.go, 0.33)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from launcher.demo.golang import GoError, loads, quote

_GO_TYPES = {int: "float64", float: "float64", bool: "bool", dict: "map[string]interface {}"}
_IMAGE_TYPES = ("jpeg", "jpg", "png", "webp")
# Ollama's own levels, and where those of others lie among them.
_EFFORTS: Mapping[str, Any] = {
    **{one: one for one in ("low", "medium", "high", "max")},
    "none": False,
    "minimal": "low",
    "xhigh": "max",
    "ultra": "max",
}


class Unfit(Exception):
    """The request says something that has no word of ours; the text is the server's, with status 400."""


def chat_request(body: Mapping[str, Any]) -> dict[str, Any]:
    """Turn a chat completion into a chat."""
    messages = body["messages"]
    wish: dict[str, Any] = {
        "model": body.get("model") or "",
        "messages": [converted for one in messages for converted in _converted(one, messages)],
        "stream": bool(body.get("stream")),
        "options": {
            **_options(body),
            "temperature": _or(body.get("temperature"), 1.0),
            "top_p": _or(body.get("top_p"), 1.0),
        },
        "tools": body.get("tools") or [],
        "logprobs": bool(body.get("logprobs")),
        "top_logprobs": int(body.get("top_logprobs") or 0),
    }
    form = body.get("response_format") or {}
    kind = str(form.get("type") or "").strip().lower()
    if kind == "json_object":
        wish["format"] = "json"
    elif kind == "json_schema" and form.get("json_schema"):
        wish["format"] = form["json_schema"].get("schema")
    reasoning = body.get("reasoning")
    effort = str((reasoning.get("effort") if isinstance(reasoning, dict) else body.get("reasoning_effort")) or "")
    if effort:
        if effort not in _EFFORTS:
            known = '"minimal", "low", "medium", "high", "xhigh", "ultra", "max", or "none"'
            raise Unfit(f"invalid reasoning value: {quote(effort)} (must be {known})")
        wish["think"] = _EFFORTS[effort]
    return wish


def generate_request(body: Mapping[str, Any]) -> dict[str, Any]:
    """Turn a completion into a generate."""
    logprobs = int(body.get("logprobs") or 0)
    return {
        "model": body.get("model") or "",
        "prompt": body.get("prompt") or "",
        "suffix": body.get("suffix") or "",
        "stream": bool(body.get("stream")),
        "options": {
            **_options(body),
            "temperature": _or(body.get("temperature"), 1.0),
            "top_p": body.get("top_p") or 1.0,
        },
        "logprobs": logprobs > 0,
        "top_logprobs": logprobs,
    }


def _or(value: Any, default: float) -> Any:
    return default if value is None else value


def _options(body: Mapping[str, Any]) -> dict[str, Any]:
    options = {name: body[name] for name in ("seed", "frequency_penalty", "presence_penalty") if body.get(name)}
    if body.get("max_tokens") is not None:
        options["num_predict"] = body["max_tokens"]
    stop = body.get("stop")
    if stop:
        options["stop"] = [stop] if isinstance(stop, str) else [one for one in stop if isinstance(one, str)]
    return options


def _converted(message: Mapping[str, Any], messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Turn one message into ours: one for each of its parts."""
    role = str(message.get("role") or "")
    content = message.get("content")
    calls = [_call(one) for one in message.get("tool_calls") or []]
    rest: dict[str, Any] = {"tool_calls": calls} if calls else {}
    if message.get("reasoning"):
        rest["thinking"] = message["reasoning"]
    if role.lower() == "tool":
        called = message.get("tool_call_id")
        rest |= {"tool_name": message.get("name") or _tool_of(called, messages), "tool_call_id": called or ""}
    if isinstance(content, str):
        return [{"role": role, "content": content, **rest}]
    if isinstance(content, list):
        parts = [_part(role, one) for one in content]
        if parts:
            parts[-1] |= rest
        return parts
    if not calls:
        raise Unfit(f"invalid message content type: {_GO_TYPES.get(type(content), '<nil>')}")
    return [{"role": role, **rest}]


def _part(role: str, part: Any) -> dict[str, Any]:
    kind = part.get("type") if isinstance(part, dict) else None
    if kind == "text" and isinstance(part.get("text"), str):
        return {"role": role, "content": part["text"]}
    if kind == "image_url":
        url = part.get("image_url")
        url = url.get("url") if isinstance(url, dict) else url
        if isinstance(url, str):
            return {"role": role, "images": [_image(url)]}
    raise Unfit("invalid message format")


def _image(url: str) -> str:
    if url.startswith(("http://", "https://")):
        raise Unfit("image URLs are not currently supported, please use base64 encoded data instead")
    for prefix in ("data:;base64,", *(f"data:image/{one};base64," for one in _IMAGE_TYPES)):
        if url.startswith(prefix):
            return url.removeprefix(prefix)
    raise Unfit("invalid image input")


def _call(call: Mapping[str, Any]) -> dict[str, Any]:
    function = call.get("function") or {}
    try:
        arguments = loads(str(function.get("arguments") or ""))
    except GoError:
        raise Unfit("invalid tool call arguments") from None
    return {"id": call.get("id") or "", "function": {"name": function.get("name") or "", "arguments": arguments}}


def _tool_of(identity: Any, messages: list[dict[str, Any]]) -> str:
    for message in reversed(messages):
        for call in message.get("tool_calls") or []:
            if call.get("id") == identity:
                return str((call.get("function") or {}).get("name") or "")
    return ""
