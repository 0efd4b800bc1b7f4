"""What the routes under ``/v1`` answer, in the shapes of OpenAI as far as Ollama fills them (openai/openai.go)."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from launcher.ollama.wire.fields import NullIs, Number, Text, Wire


class V1Model(Wire):
    """One installed model."""

    id: Text = ""
    """Its name."""
    object: Text = ""
    created: Number = 0
    """Seconds since 1970: when it was installed or last pulled."""
    owned_by: Text = ""


class V1Models(Wire):
    """``/v1/models``: the installed models."""

    object: Text = ""
    data: Annotated[tuple[V1Model, ...], NullIs(tuple)] = ()


class V1Function(Wire):
    """Which function a model wants called; ``arguments`` is JSON as text."""

    name: Text = ""
    arguments: Text = ""


class V1ToolCall(Wire):
    """One call that a model asks for."""

    id: Text = ""
    index: Number = 0
    type: Text = ""
    function: Annotated[V1Function, NullIs(V1Function)] = Field(default_factory=V1Function)


class V1Message(Wire):
    """A message, or a piece of one. ``reasoning`` is what the model thought."""

    role: Text = ""
    content: Text = ""
    reasoning: Text = ""
    tool_calls: Annotated[tuple[V1ToolCall, ...], NullIs(tuple)] = ()


class V1Usage(Wire):
    """What it took, in tokens; None when not told."""

    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    total_tokens: int | None = None


Said = Annotated[V1Message, NullIs(V1Message)]


class V1Choice(Wire):
    """An answer; there is never more than one."""

    index: Number = 0
    message: Said = Field(default_factory=V1Message)
    finish_reason: Text = ""
    """``stop``, ``length`` or ``tool_calls``."""
    logprobs: dict[str, Any] | None = None


class V1Delta(Wire):
    """The next piece of an answer. ``finish_reason`` is empty but in the last."""

    index: Number = 0
    delta: Said = Field(default_factory=V1Message)
    finish_reason: Text = ""
    logprobs: dict[str, Any] | None = None


class V1ChatAnswer(Wire):
    """``/v1/chat/completions``: a whole answer."""

    id: Text = ""
    object: Text = ""
    created: Number = 0
    """Seconds since 1970."""
    model: Text = ""
    system_fingerprint: Text = ""
    choices: Annotated[tuple[V1Choice, ...], NullIs(tuple)] = ()
    usage: V1Usage | None = None

    @property
    def text(self) -> str:
        """The text of the answer."""
        return self.choices[0].message.content if self.choices else ""


class V1ChatChunk(Wire):
    """``/v1/chat/completions``: one piece of a streamed answer."""

    id: Text = ""
    object: Text = ""
    created: Number = 0
    """Seconds since 1970."""
    model: Text = ""
    system_fingerprint: Text = ""
    choices: Annotated[tuple[V1Delta, ...], NullIs(tuple)] = ()
    """Empty in the piece that carries ``usage``."""
    usage: V1Usage | None = None
    """Only where it was asked for, in a piece of its own at the end."""

    @property
    def text(self) -> str:
        """The next piece of text."""
        return self.choices[0].delta.content if self.choices else ""

    @property
    def thought(self) -> str:
        """The next piece of what the model thought."""
        return self.choices[0].delta.reasoning if self.choices else ""


class V1Embedding(Wire):
    """One vector; ``index`` is the place of its text among those sent."""

    object: Text = ""
    index: Number = 0
    embedding: Annotated[tuple[float, ...], NullIs(tuple)] = ()


class V1Embeddings(Wire):
    """``/v1/embeddings``: one vector for each text."""

    object: Text = ""
    data: Annotated[tuple[V1Embedding, ...], NullIs(tuple)] = ()
    model: Text = ""
    usage: V1Usage | None = None
