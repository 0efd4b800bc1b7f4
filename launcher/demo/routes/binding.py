"""Reading the bodies of requests as gin and ``encoding/json`` bind them to the structs of api/types.go (0.33).

What does not fit is refused with Go's words. Knows no model and no route.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from typing import Any

from launcher.demo.golang import FOREVER_NS, GoError, loads, parse_duration, quote
from launcher.demo.http import Request
from launcher.demo.routes.world import Refused

_Kinds = Mapping[str, type]
_LARGEST_TIME_S = (1 << 63) / 1e9


def _all(kind: type, names: str) -> _Kinds:
    return dict.fromkeys(names.split(), kind)


_MODEL = _all(str, "model name")
_STREAMED = {**_MODEL, "insecure": bool, "stream": bool}
_INFERENCE = {
    **_all(bool, "stream truncate shift logprobs"),
    "model": str,
    "options": dict,
    "top_logprobs": int,
}
_OPENAI = {
    "model": str,
    "stream": bool,
    "stream_options": dict,
    **_all(int, "max_tokens seed"),
    **_all(float, "temperature top_p frequency_penalty presence_penalty"),
}
_FIELDS: Mapping[str, tuple[str, _Kinds]] = {
    "/api/show": ("api.ShowRequest", {**_MODEL, "verbose": bool, "system": str, "options": dict}),
    "/api/pull": ("api.PullRequest", _STREAMED),
    "/api/push": ("api.PushRequest", _STREAMED),
    "/api/delete": ("api.DeleteRequest", _MODEL),
    "/api/copy": ("api.CopyRequest", _all(str, "source destination")),
    "/api/create": (
        "api.CreateRequest",
        {
            **_MODEL,
            **_all(str, "from remote_host template system quantize quantization renderer parser requires"),
            **_all(dict, "files adapters draft_files parameters info"),
            "stream": bool,
            "messages": list,
        },
    ),
    "/api/generate": (
        "api.GenerateRequest",
        {**_INFERENCE, **_all(str, "prompt suffix system template"), "raw": bool, **_all(list, "context images")},
    ),
    "/api/chat": ("api.ChatRequest", {**_INFERENCE, **_all(list, "messages tools")}),
    "/api/embed": ("api.EmbedRequest", {"model": str, "truncate": bool, "options": dict, "dimensions": int}),
    "/api/embeddings": ("api.EmbeddingRequest", {**_all(str, "model prompt"), "options": dict}),
    "/v1/chat/completions": (
        "openai.ChatCompletionRequest",
        {
            **_OPENAI,
            **_all(list, "messages tools"),
            **_all(dict, "reasoning response_format"),
            "reasoning_effort": str,
            "logprobs": bool,
            "top_logprobs": int,
        },
    ),
    "/v1/completions": ("openai.CompletionRequest", {**_OPENAI, **_all(str, "prompt suffix"), "logprobs": int}),
    "/v1/embeddings": ("openai.EmbedRequest", {**_all(str, "model encoding_format"), "dimensions": int}),
}
_MESSAGE = {**_all(str, "role content thinking tool_name tool_call_id"), "images": list, "tool_calls": list}
_OPENAI_MESSAGE = {**_all(str, "role reasoning name tool_call_id"), "tool_calls": list}
_GO_KINDS = {str: "string", bool: "bool", int: "number", float: "number", list: "array", dict: "object"}
_GO_TYPES = {
    str: "string",
    bool: "bool",
    int: "int",
    float: "float64",
    dict: "map[string]interface {}",
    list: "[]interface {}",
}
_GO_MEMBERS = {
    **dict.fromkeys(("files", "adapters", "draft_files"), "map[string]string"),
    "tools": "api.Tools",
    "context": "[]int",
    "images": "[]api.ImageData",
    "tool_calls": "[]api.ToolCall",
    "stream_options": "openai.StreamOptions",
    "reasoning": "openai.Reasoning",
    "response_format": "openai.ResponseFormat",
}
# Of lists: what their items are, and what Go calls that.
_ITEMS: Mapping[str, tuple[type, str]] = {
    "tools": (dict, "api.Tool"),
    "context": (int, "int"),
    "images": (str, "api.ImageData"),
}
_KEPT_ALIVE = ("/api/generate", "/api/chat", "/api/embed", "/api/embeddings")
_LEVELS = ("high", "medium", "low", "max")
_THINK_VALUES = '"high", "medium", "low", "max", true, or false'

_OPTIONS: Mapping[str, str] = {
    **dict.fromkeys(
        (
            *("num_ctx", "num_batch", "num_gpu", "main_gpu", "num_thread", "draft_num_predict"),
            *("num_keep", "seed", "num_predict", "top_k", "repeat_last_n"),
        ),
        "integer",
    ),
    **dict.fromkeys(
        (
            *("top_p", "min_p", "typical_p", "temperature", "repeat_penalty"),
            *("presence_penalty", "frequency_penalty"),
        ),
        "float32",
    ),
    "use_mmap": "boolean",
    "stop": "array",
}


def members(request: Request) -> dict[str, Any]:
    """Read the body as gin binds it; Refused with Go's words where it does not fit."""
    struct, fields = _FIELDS[request.path]
    package, _, struct_name = struct.partition(".")
    try:
        value = loads(request.body.decode("utf-8", "replace"))
    except GoError as error:
        is_missing = str(error) == "EOF" and package == "api"
        raise Refused(400, "missing request body" if is_missing else str(error)) from None
    if not isinstance(value, dict):
        if value is None:
            return {}
        raise Refused(400, f"json: cannot unmarshal {_GO_KINDS[type(value)]} into Go value of type {struct}")
    _check(struct_name, "", value, fields, package)
    for at, message in enumerate(value.get("messages") or []):
        if message is None:
            value["messages"][at] = {}
            continue
        if not isinstance(message, dict):
            kind = "api.Alias" if package == "api" else "openai.Message"
            raise Refused(400, _mismatch(message, struct_name, "messages", kind))
        _check(struct_name, "messages.", message, _MESSAGE if package == "api" else _OPENAI_MESSAGE, package)
    for files in ("files", "adapters", "draft_files"):
        for digest in (value.get(files) or {}).values():
            if not isinstance(digest, str):
                raise Refused(400, _mismatch(digest, struct_name, files, "string"))
    if request.path in _KEPT_ALIVE:
        keep_alive_ns(value.get("keep_alive"))  # read with the body, before any model is looked for
        _check_think(value.get("think"))
    return value


def _check(struct: str, within: str, value: dict[str, Any], fields: _Kinds, package: str) -> None:
    for name, kind in fields.items():
        given = value.get(name)
        fits = given is None or type(given) is kind or (kind is float and type(given) is int)
        if not fits:
            go_type = f"[]{package}.Message" if name == "messages" else _GO_MEMBERS.get(name, _GO_TYPES[kind])
            raise Refused(400, _mismatch(given, struct, within + name, go_type))
        if isinstance(given, str):
            # Half a surrogate pair is no character: Go reads it as U+FFFD.
            value[name] = given.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        if isinstance(given, list) and name in _ITEMS:
            item_kind, go_type = _ITEMS[name]
            for item in given:
                if item is not None and type(item) is not item_kind:
                    raise Refused(400, _mismatch(item, struct, within + name, go_type))
    for image in value.get("images") or []:
        _check_base64(image or "")


def _mismatch(given: Any, struct: str, name: str, kind: str) -> str:
    shown = f"number {given}" if kind == "int" and isinstance(given, float) else _GO_KINDS[type(given)]
    return f"json: cannot unmarshal {shown} into Go struct field {struct}.{name} of type {kind}"


def _check_base64(text: str) -> None:
    """Refuse what is none, at the place where Go stops: the character, or the group that is not whole."""
    bad = re.search(r"[^A-Za-z0-9+/=\r\n]", text)
    try:
        base64.b64decode(text, validate=bad is None)
    except (binascii.Error, ValueError):
        raise Refused(400, f"illegal base64 data at input byte {len(text) // 4 * 4}") from None
    if bad is not None:
        raise Refused(400, f"illegal base64 data at input byte {bad.start()}")


def _check_think(value: Any) -> None:
    if value is None or isinstance(value, bool) or value in _LEVELS:
        return
    if isinstance(value, str):
        raise Refused(400, f"invalid think value: {quote(value)} (must be {_THINK_VALUES})")
    raise Refused(400, f"think must be a boolean or string ({_THINK_VALUES})")


def keep_alive_ns(value: Any) -> int | None:
    """Read ``keep_alive`` into nanoseconds; None: not given (``Duration.UnmarshalJSON``, api/types.go)."""
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise Refused(400, f"Unsupported type: '{_GO_TYPES[type(value)]}'")
    if isinstance(value, str):
        try:
            ns = parse_duration(value)
        except GoError as error:
            raise Refused(400, str(error)) from None
    else:
        ns = FOREVER_NS if value < 0 or value > _LARGEST_TIME_S else int(value * 1e9)
    return FOREVER_NS if ns < 0 else ns


def options(given: Mapping[str, Any]) -> dict[str, Any]:
    """Check options as ``Options.FromMap`` does (api/types.go): unknown ones are left out, whole numbers are cut."""
    found: dict[str, Any] = {}
    for name, value in given.items():
        kind = _OPTIONS.get(name)
        if kind is None or value is None:
            continue
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        fits = {"boolean": isinstance(value, bool), "array": isinstance(value, list)}.get(kind, is_number)
        if not fits:
            raise Refused(500, f'option "{name}" must be of type {kind}')
        if kind == "array" and not all(isinstance(one, str) for one in value):
            raise Refused(500, f'option "{name}" must be of an array of strings')
        found[name] = int(value) if kind == "integer" else value
    return found
