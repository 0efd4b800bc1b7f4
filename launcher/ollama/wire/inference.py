"""What a model answers: chats, completions, embeddings. ``Message`` and its parts are also what is sent.

A streamed answer comes as many of the same type, each with the next piece of text; the last has ``done`` and counts.
"""

from __future__ import annotations

import base64
import os
from typing import Annotated, TypeAlias

from pydantic import Field, field_serializer

from launcher.ollama.wire.fields import Flag, Members, Moment, NullIs, Text, Wire

# str comes first: JSON has no bytes, but would be read as such.
Image: TypeAlias = str | bytes | os.PathLike[str]
"""The bytes of a picture, the path of its file, or Base64 as the wire has it."""


class ToolCallFunction(Wire):
    """Which function a model wants called, and with what."""

    name: Text = ""
    arguments: Members = Field(default_factory=dict)
    """Always an object here; only the routes under ``/v1`` have it as text."""
    index: int | None = None
    """Which of several calls of one answer it is, from 0."""


class ToolCall(Wire):
    """One call that a model asks for. It comes whole, never in pieces."""

    id: Text = ""
    """Goes back as ``tool_call_id`` with the result; empty where the model gives none."""
    function: Annotated[ToolCallFunction, NullIs(ToolCallFunction)] = Field(default_factory=ToolCallFunction)


class Message(Wire):
    """One message of a chat, as it is sent and as it comes back.

    ::

        Message(role="user", content="What is this?", images=(Path("cat.png"),))
        Message(role="tool", tool_name="add", tool_call_id=call.id, content="3")
    """

    role: Text = ""
    """``system``, ``user``, ``assistant`` or ``tool``."""
    content: Text = ""
    thinking: Text = ""
    """What the model thought before it answered. May go back with an ``assistant`` message."""
    images: Annotated[tuple[Image, ...], NullIs(tuple)] = Field(default=(), repr=False)
    tool_calls: Annotated[tuple[ToolCall, ...], NullIs(tuple)] = ()
    """May come with any line of a stream, the last included."""
    tool_name: Text = ""
    tool_call_id: Text = ""

    @field_serializer("images", when_used="json")
    def _images_as_text(self, images: tuple[Image, ...]) -> list[str]:
        # pydantic's own Base64 has other letters than the server's.
        return [base64.b64encode(one).decode("ascii") if isinstance(one, bytes) else os.fspath(one) for one in images]


class TokenLogprob(Wire):
    """How likely a token was: the natural logarithm of its probability, and of those that might have come instead."""

    token: Text = ""
    logprob: float | None = None
    bytes: Annotated[tuple[int, ...], NullIs(tuple)] = ()
    """Its UTF-8; a token may be a part of a character only."""
    top_logprobs: Annotated[tuple[TokenLogprob, ...], NullIs(tuple)] = ()


Logprobs = Annotated[tuple[TokenLogprob, ...], NullIs(tuple)]


class _Counted(Wire):
    """What it took. Each figure is None when the server does not tell it; it leaves zeros out. Nanoseconds, tokens."""

    total_duration: int | None = None
    load_duration: int | None = None
    prompt_eval_count: int | None = None
    """Tokens of what was sent, after any cutting; those taken from a cache included."""
    prompt_eval_duration: int | None = None
    eval_count: int | None = None
    """Tokens of the answer."""
    eval_duration: int | None = None

    @property
    def tokens_per_s(self) -> float | None:
        """The speed of the answer; None when not told."""
        return self.eval_count / self.eval_duration * 1e9 if self.eval_count and self.eval_duration else None


class _Answer(_Counted):
    model: Text = ""
    """As it was asked for."""
    remote_model: Text = ""
    remote_host: Text = ""
    """Set when it ran at ollama.com."""
    created_at: Moment = None
    done: Flag = False
    done_reason: Text = ""
    """``stop``, ``length``, ``load`` or ``unload``; empty when not told."""
    logprobs: Logprobs = ()


class ChatAnswer(_Answer):
    """``/api/chat``: a whole answer, or one piece of a streamed one."""

    message: Annotated[Message, NullIs(Message)] = Field(default_factory=Message)

    @property
    def text(self) -> str:
        """The text of the message."""
        return self.message.content

    @property
    def thought(self) -> str:
        """What the model thought, as far as it is told."""
        return self.message.thinking


class GenerateAnswer(_Answer):
    """``/api/generate``: a whole answer, or one piece of a streamed one."""

    response: Text = ""
    thinking: Text = ""
    context: Annotated[tuple[int, ...], NullIs(tuple)] = ()
    """Tokens that a next call may take along to go on, in the last piece; the server calls that deprecated."""
    tool_calls: Annotated[tuple[ToolCall, ...], NullIs(tuple)] = ()

    @property
    def text(self) -> str:
        """The text of the answer."""
        return self.response

    @property
    def thought(self) -> str:
        """What the model thought, as far as it is told."""
        return self.thinking


class EmbedAnswer(_Counted):
    """``/api/embed``: a vector of length 1 for each text, in their order; none when nothing was sent."""

    model: Text = ""
    embeddings: Annotated[tuple[tuple[float, ...], ...], NullIs(tuple)] = ()


class EmbeddingAnswer(Wire):
    """``/api/embeddings``, the older route: one vector of any length; empty when nothing was sent."""

    embedding: Annotated[tuple[float, ...], NullIs(tuple)] = ()
