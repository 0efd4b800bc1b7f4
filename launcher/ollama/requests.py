"""What goes out: the options of a request as types, and the JSON that they become.

Pure but for one thing: images named by a path are read, which blocks. Knows no route.
"""

from __future__ import annotations

import base64
import binascii
import json
import os
import re
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, TypedDict

from pydantic import BaseModel

from launcher.errors import InvalidInput
from launcher.ollama.wire.inference import Image, Message

if TYPE_CHECKING:
    from launcher.ollama.tools.schema import Tool

__all__ = [
    "Body",
    "Format",
    "Image",
    "Message",
    "Options",
    "Think",
    "ToolLike",
    "chat_body",
    "create_body",
    "format_body",
    "generate_body",
    "image_text",
    "message_body",
    "tool_body",
    "v1_chat_body",
]


class Options(TypedDict, total=False):
    """The options of a request, by the server's names (api/types.go ``Options``, 0.33); those left out have defaults.

    The first seven belong to the load: a request with other values than the last loads the model again. Any mapping
    may be passed instead, for options of other versions; the server ignores those that it does not know.
    """

    num_ctx: int
    """The context in tokens; what it is by default depends on the graphics memory."""
    num_batch: int
    num_gpu: int
    """Layers on the GPU; -1 lets the server choose, 0 is CPU only."""
    main_gpu: int
    use_mmap: bool
    num_thread: int
    draft_num_predict: int
    num_keep: int
    seed: int
    """Equal seeds give equal answers; -1 is random."""
    num_predict: int
    """The most tokens to answer with; -1 for as many as it takes."""
    top_k: int
    top_p: float
    min_p: float
    typical_p: float
    repeat_last_n: int
    temperature: float
    repeat_penalty: float
    presence_penalty: float
    frequency_penalty: float
    stop: Sequence[str]
    """Texts that end the answer; they are not part of it."""


Format: TypeAlias = Literal["json"] | Mapping[str, Any] | type[BaseModel]
"""What the answer must be: any JSON, JSON that fits a schema, or JSON that fits a pydantic model."""

Think: TypeAlias = bool | Literal["low", "medium", "high", "max"]
"""Whether, or how hard, a model thinks before it answers."""

ToolLike: TypeAlias = "Mapping[str, Any] | BaseModel | Tool | Callable[..., Any]"
"""A tool as the wire has it, ``{"type": "function", "function": {"name", "description", "parameters"}}``, or a function
that becomes one."""

Body: TypeAlias = Mapping[str, object] | Callable[[], Mapping[str, object]]
"""What is sent. A callable reads files to make it, and is called in a thread."""

_PICTURE = re.compile(r"\.(png|jpe?g|webp|gif|bmp|tiff?|wav|mp3)\Z", re.IGNORECASE)
_DATA_URL = re.compile(r"data:[^,]{0,200};base64,")


def _without_none(members: Mapping[str, object]) -> dict[str, object]:
    """Leave out what is left to the server."""
    return {key: value for key, value in members.items() if value is not None}


def chat_body(
    members: Mapping[str, object],
    messages: Sequence[Message | Mapping[str, Any]],
    tools: Sequence[ToolLike],
    answer: Format | None,
) -> Body:
    """Make the body of a chat: the simple members, and what must be turned into JSON. Raises InvalidInput."""
    tools_body = [tool_body(tool) for tool in tools] or None
    body = _without_none({**members, "format": format_body(answer), "tools": tools_body})
    return _with_messages(body, messages, message_body)


def generate_body(members: Mapping[str, object], images: Sequence[Image], answer: Format | None) -> Body:
    """Make the body of a completion. Raises InvalidInput."""
    body = _without_none({**members, "format": format_body(answer)})
    if images:
        return lambda: {**body, "images": [image_text(image) for image in images]}
    return body


def create_body(members: Mapping[str, object], messages: Sequence[Message | Mapping[str, Any]] | None) -> Body:
    """Make the body of a create: the simple members, and the messages, if any. Raises InvalidInput."""
    body = _without_none(members)
    return body if messages is None else _with_messages(body, messages, message_body)


def v1_chat_body(
    members: Mapping[str, object],
    messages: Sequence[Message | Mapping[str, Any]],
    tools: Sequence[ToolLike],
    answer: Format | None,
) -> Body:
    """Make the body of a chat by the route of OpenAI. Raises InvalidInput."""
    tools_body = [tool_body(tool) for tool in tools] or None
    body = _without_none({**members, "response_format": _v1_format(answer), "tools": tools_body})
    return _with_messages(body, messages, _v1_message_body)


def _v1_format(answer: Format | None) -> object:
    schema = format_body(answer)
    if schema == "json":
        return {"type": "json_object"}
    if not isinstance(schema, dict) or schema.get("type") in ("text", "json_object", "json_schema"):
        return schema
    return {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema}}


def _v1_message_body(message: Message | Mapping[str, Any]) -> dict[str, Any]:
    if not isinstance(message, Message):
        return message_body(message)
    body: dict[str, Any] = {"role": message.role, "content": message.content}
    if message.images:
        parts = [{"type": "image_url", "image_url": {"url": _data_url(image)}} for image in message.images]
        body["content"] = [{"type": "text", "text": message.content}, *parts]
    if message.thinking:
        body["reasoning"] = message.thinking
    if message.tool_calls:
        body["tool_calls"] = [
            {
                "id": call.id,
                "type": "function",
                "function": {"name": call.function.name, "arguments": json.dumps(call.function.arguments)},
            }
            for call in message.tool_calls
        ]
    return (
        body
        | ({"name": message.tool_name} if message.tool_name else {})
        | ({"tool_call_id": message.tool_call_id} if message.tool_call_id else {})
    )


def _data_url(image: Image) -> str:
    text = image_text(image)
    # By what the formats begin with, in Base64; the server wants one of the three named and looks for itself.
    kind = "jpeg" if text.startswith("/9j/") else "webp" if text.startswith("UklGR") else "png"
    return f"data:image/{kind};base64,{text}"


def message_body(message: Message | Mapping[str, Any]) -> dict[str, Any]:
    """Make the JSON of a message; empty members are left out, unknown ones of a mapping stay. Reads images: blocks.

    Raises InvalidInput.
    """
    members: Mapping[str, Any]
    if isinstance(message, Message):
        members = {name: getattr(message, name) for name in Message.model_fields}
        members = {name: value for name, value in members.items() if value or name == "content"}
    elif isinstance(message, Mapping):
        members = message
    else:
        raise InvalidInput(f"A message cannot be a {type(message).__name__}.", hint="Use a Message, or a mapping.")
    body = {key: _plain(value) for key, value in members.items() if value is not None and key != "images"}
    if images := members.get("images"):
        body["images"] = [image_text(image) for image in images]
    return body


def _with_messages(
    body: Mapping[str, object],
    messages: Sequence[Message | Mapping[str, Any]],
    made: Callable[[Message | Mapping[str, Any]], dict[str, Any]],
) -> Body:
    """Add the messages: at once, or, where images must be read, when the body is made."""

    def whole() -> dict[str, object]:
        return {**body, "messages": [made(message) for message in messages]}

    return whole if any(_has_images(message) for message in messages) else whole()


def _has_images(message: Message | Mapping[str, Any]) -> bool:
    return bool(message.get("images") if isinstance(message, Mapping) else getattr(message, "images", ()))


def image_text(image: Image) -> str:
    """Turn an image into Base64: bytes are encoded, a path is read, Base64 stays (also that of a ``data:`` URL).

    Blocks where a file is read. Raises InvalidInput.
    """
    if isinstance(image, bytes | bytearray | memoryview):
        return base64.b64encode(image).decode("ascii")
    if isinstance(image, os.PathLike):
        return _of_file(image)
    if not isinstance(image, str):
        raise InvalidInput(f"An image cannot be a {type(image).__name__}.", hint="Use its bytes, its path or Base64.")
    text = image
    # A long text is no path, and no system would look it up.
    if len(text) < 4096 and "\0" not in text and os.path.isfile(text):
        return _of_file(text)
    start = _DATA_URL.match(text)
    text = text[start.end() :] if start else text
    text = "".join(text.split())
    try:
        whole = bool(base64.b64decode(text, validate=True))
    except (binascii.Error, ValueError):
        whole = False
    if whole:
        return text
    shown = image if len(image) <= 80 else image[:80] + "…"
    if _PICTURE.search(image) or os.sep in shown:
        raise InvalidInput(f"There is no image {shown}.", hint="Check the path.")
    raise InvalidInput(f"This is neither the path of an image nor Base64: {shown}", hint="Check the path.")


def _of_file(path: str | os.PathLike[str]) -> str:
    try:
        with open(path, "rb") as file:
            return base64.b64encode(file.read()).decode("ascii")
    except OSError as error:
        raise InvalidInput(
            f"The image {os.fspath(path)} cannot be read.", detail=str(error), hint="Check the path."
        ) from error


def format_body(answer: Format | None) -> object:
    """Make the JSON of a wanted format; None for none."""
    if isinstance(answer, type):
        return answer.model_json_schema()
    if isinstance(answer, str):
        # "" is none for the server, too.
        return answer or None
    return None if answer is None else dict(answer)


def tool_body(tool: ToolLike) -> dict[str, Any]:
    """Make the JSON of a tool. Raises InvalidInput."""
    if isinstance(tool, BaseModel):
        return tool.model_dump(mode="json", by_alias=True, exclude_none=True)
    if isinstance(tool, Mapping):
        return {key: _plain(value) for key, value in tool.items()}
    # Late: it is as much to import as all of this, and most requests have no function.
    from launcher.ollama.tools.schema import Tool

    return (tool if isinstance(tool, Tool) else Tool.of(tool)).definition


def _plain(value: Any) -> Any:
    """Turn what JSON has no word for, at any depth, into what it has."""
    if isinstance(value, BaseModel):
        members = value.model_dump(mode="json", by_alias=True, exclude_none=True)
        return {key: inner for key, inner in members.items() if inner != ""}
    if isinstance(value, Mapping):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    return value
