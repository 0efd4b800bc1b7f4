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
_FIELDS: Mapping[str, tuple[str, _Kinds]] = {
    "/api/show": ("ShowRequest", {**_MODEL, "verbose": bool, "system": str, "options": dict}),
    "/api/pull": ("PullRequest", _STREAMED),
    "/api/push": ("PushRequest", _STREAMED),
    "/api/delete": ("DeleteRequest", _MODEL),
    "/api/copy": ("CopyRequest", _all(str, "source destination")),
    "/api/create": (
        "CreateRequest",
        {
            **_MODEL,
            **_all(str, "from remote_host template system quantize quantization renderer parser requires"),
            **_all(dict, "files adapters draft_files parameters info"),
            "stream": bool,
            "messages": list,
        },
    ),
    "/api/generate": (
        "GenerateRequest",
        {**_INFERENCE, **_all(str, "prompt suffix system template"), "raw": bool, **_all(list, "context images")},
    ),
    "/api/chat": ("ChatRequest", {**_INFERENCE, **_all(list, "messages tools")}),
    "/api/embed": ("EmbedRequest", {"model": str, "truncate": bool, "options": dict, "dimensions": int}),
    "/api/embeddings": ("EmbeddingRequest", {**_all(str, "model prompt"), "options": dict}),
}
_MESSAGE = _all(str, "role content thinking tool_name tool_call_id")
_GO_KINDS = {str: "string", bool: "bool", int: "number", float: "number", list: "array", dict: "object"}
_GO_TYPES = {str: "string", bool: "bool", int: "int", dict: "map[string]interface {}", list: "[]interface {}"}
_GO_MEMBERS = {
    **dict.fromkeys(("files", "adapters", "draft_files"), "map[string]string"),
    "messages": "[]api.Message",
    "tools": "api.Tools",
    "context": "[]int",
    "images": "[]api.ImageData",
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
    try:
        value = loads(request.body.decode("utf-8", "replace"))
    except GoError as error:
        raise Refused(400, "missing request body" if str(error) == "EOF" else str(error)) from None
    if not isinstance(value, dict):
        if value is None:
            return {}
        raise Refused(400, f"json: cannot unmarshal {_GO_KINDS[type(value)]} into Go value of type api.{struct}")
    _check(struct, "", value, fields)
    for message in value.get("messages") or []:
        if message is None:
            continue
        if not isinstance(message, dict):
            raise Refused(400, _mismatch(message, struct, "messages", "api.Alias"))
        _check(struct, "messages.", message, _MESSAGE)
        _check_images(message.get("images"))
    _check_images(value.get("images"))
    for files in ("files", "adapters", "draft_files"):
        for digest in (value.get(files) or {}).values():
            if not isinstance(digest, str):
                raise Refused(400, _mismatch(digest, struct, files, "string"))
    if request.path in _KEPT_ALIVE:
        keep_alive_ns(value.get("keep_alive"))  # read with the body, before any model is looked for
        _check_think(value.get("think"))
    return value


def _check(struct: str, within: str, value: dict[str, Any], fields: _Kinds) -> None:
    for name, kind in fields.items():
        given = value.get(name)
        if given is not None and type(given) is not kind:
            raise Refused(400, _mismatch(given, struct, within + name, _GO_MEMBERS.get(name, _GO_TYPES[kind])))
        if isinstance(given, str):
            # Half a surrogate pair is no character: Go reads it as U+FFFD.
            value[name] = given.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _mismatch(given: Any, struct: str, name: str, kind: str) -> str:
    shown = f"number {given}" if kind == "int" and isinstance(given, float) else _GO_KINDS[type(given)]
    return f"json: cannot unmarshal {shown} into Go struct field {struct}.{name} of type {kind}"


def _check_images(images: Any) -> None:
    for one in images if isinstance(images, list) else []:
        text = one if isinstance(one, str) else ""
        bad = re.search(r"[^A-Za-z0-9+/=\r\n]", text)
        try:
            base64.b64decode(text, validate=bad is None)
        except (binascii.Error, ValueError):
            raise Refused(400, f"illegal base64 data at input byte {max(0, len(text) - 1)}") from None
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
