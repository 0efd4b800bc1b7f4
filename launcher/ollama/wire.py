"""The server's answers as types, one to one with the wire (api/types.go, 0.33).

Every member may be missing, null or unknown: servers of all ages answer, and none of that is a reason to fail. Frozen;
parsed once at the edge. Nothing here is ever published: services turn it into values of ``domain``.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, TypeAdapter, ValidationError

FOREVER_YEARS = 100
"""A time so far ahead means for ever: the server says it as a date about 292 years away (seen on 0.33.0-rc2)."""


def no_text(value: object) -> object:
    return "" if value is None else value


def no_number(value: object) -> object:
    return 0 if value is None else value


def no_flag(value: object) -> object:
    return False if value is None else value


def no_items(value: object) -> object:
    return () if value is None else value


def no_members(value: object) -> object:
    return {} if value is None else value


_DATETIME = TypeAdapter(datetime, config=ConfigDict(defer_build=True))


def _moment(value: object) -> datetime | None:
    """Read RFC 3339 with nanoseconds; Go's zero time and what cannot be read are unknown."""
    if not isinstance(value, str):
        return None
    try:
        moment = _DATETIME.validate_python(value)
    except ValidationError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return None if moment.year <= 1 else moment


def _end(value: object) -> datetime | None:
    """Read a time at which something ends; for ever is None."""
    moment = _moment(value)
    return None if moment is None or moment.year >= datetime.now(UTC).year + FOREVER_YEARS else moment


Text = Annotated[str, BeforeValidator(no_text)]
Number = Annotated[int, BeforeValidator(no_number)]
Flag = Annotated[bool, BeforeValidator(no_flag)]
Texts = Annotated[tuple[str, ...], BeforeValidator(no_items)]
Members = Annotated[dict[str, Any], BeforeValidator(no_members)]
Moment = Annotated[datetime | None, BeforeValidator(_moment)]
End = Annotated[datetime | None, BeforeValidator(_end)]


class Wire(BaseModel):
    """What all answers share."""

    # Built at first use: a command needs two or three of them, and all take 10 ms.
    model_config = ConfigDict(frozen=True, extra="ignore", protected_namespaces=(), defer_build=True)


class VersionAnswer(Wire):
    """``/api/version``."""

    version: Text = ""


class ModelDetails(Wire):
    """What kind of model it is; ``parameter_size`` and ``quantization_level`` are words such as 7.6B, Q4_K_M."""

    parent_model: Text = ""
    format: Text = ""
    family: Text = ""
    families: Texts = ()
    parameter_size: Text = ""
    quantization_level: Text = ""
    context_length: Number = 0
    embedding_length: Number = 0


def _details(value: object) -> object:
    return ModelDetails() if value is None else value


Details = Annotated[ModelDetails, BeforeValidator(_details)]


class ModelInfo(Wire):
    """One installed model of ``/api/tags``. ``capabilities`` may lack some that :class:`ShownModel` tells."""

    name: Text = ""
    model: Text = ""
    modified_at: Moment = None
    size: Number = 0
    digest: Text = ""
    """64 hex digits of the manifest, without a prefix."""
    details: Details = Field(default_factory=ModelDetails)
    capabilities: Texts = ()
    remote_model: Text = ""
    remote_host: Text = ""
    """Set for the stub of a cloud model."""


class Tags(Wire):
    """``/api/tags``: the installed models, newest first."""

    models: Annotated[tuple[ModelInfo, ...], BeforeValidator(no_items)] = ()


class RunningModel(Wire):
    """One loaded model of ``/api/ps``. ``size_vram`` 0 is CPU only; equal to ``size`` is GPU only."""

    name: Text = ""
    model: Text = ""
    size: Number = 0
    size_vram: Number = 0
    digest: Text = ""
    details: Details = Field(default_factory=ModelDetails)
    expires_at: End = None
    """None: kept for ever, or not told. A time in the past: it is being unloaded."""
    context_length: Number = 0


class Running(Wire):
    """``/api/ps``: the loaded models. One that is still loading is not among them."""

    models: Annotated[tuple[RunningModel, ...], BeforeValidator(no_items)] = ()


class Tensor(Wire):
    """One tensor of a model."""

    name: Text = ""
    type: Text = ""
    shape: Annotated[tuple[int, ...], BeforeValidator(no_items)] = ()


class ShownModel(Wire):
    """``/api/show``. ``parameters`` is text, one line a value, in random order; ``capabilities`` is complete here."""

    license: Text = ""
    modelfile: Text = ""
    parameters: Text = ""
    template: Text = ""
    system: Text = ""
    details: Details = Field(default_factory=ModelDetails)
    messages: Annotated[tuple[dict[str, Any], ...], BeforeValidator(no_items)] = ()
    remote_model: Text = ""
    remote_host: Text = ""
    model_info: Members = {}
    """GGUF metadata; unless asked for verbosely, arrays are null."""
    projector_info: Members = {}
    tensors: Annotated[tuple[Tensor, ...], BeforeValidator(no_items)] = ()
    capabilities: Texts = ()
    modified_at: Moment = None
    requires: Text = ""
    """The oldest version of Ollama that can run it."""

    @property
    def architecture(self) -> str:
        """The prefix of the keys that belong to the architecture; empty when not told."""
        value = self.model_info.get("general.architecture")
        return value if isinstance(value, str) else ""

    @property
    def context_length(self) -> int | None:
        """The context the model was trained with, in tokens; None when not told."""
        value = self.model_info.get(f"{self.architecture}.context_length")
        return value if isinstance(value, int) else None


class PullProgress(Wire):
    """One line of ``/api/pull``. The server leaves zeros out: a missing ``completed`` means 0.

    ``completed`` may fall (a failed part is rolled back), and the last line of a layer is usually below its ``total``.
    """

    status: Text = ""
    digest: str | None = None
    total: int | None = None
    completed: int | None = None


class LoadAnswer(Wire):
    """The answer to a load or unload; ``done_reason`` is ``load`` or ``unload``."""

    model: Text = ""
    done: Flag = False
    done_reason: Text = ""
