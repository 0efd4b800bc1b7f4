"""The server itself and its models: version, installed, loaded, shown, just loaded or unloaded."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from launcher.ollama.wire.fields import End, Flag, Members, Moment, NullIs, Number, Text, Texts, Wire


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


Details = Annotated[ModelDetails, NullIs(ModelDetails)]


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

    models: Annotated[tuple[ModelInfo, ...], NullIs(tuple)] = ()


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

    models: Annotated[tuple[RunningModel, ...], NullIs(tuple)] = ()


class Tensor(Wire):
    """One tensor of a model."""

    name: Text = ""
    type: Text = ""
    shape: Annotated[tuple[int, ...], NullIs(tuple)] = ()


class ShownModel(Wire):
    """``/api/show``. ``parameters`` is text, one line a value, in random order; ``capabilities`` is complete here."""

    license: Text = ""
    modelfile: Text = ""
    parameters: Text = ""
    template: Text = ""
    system: Text = ""
    details: Details = Field(default_factory=ModelDetails)
    messages: Annotated[tuple[dict[str, Any], ...], NullIs(tuple)] = ()
    remote_model: Text = ""
    remote_host: Text = ""
    model_info: Members = Field(default_factory=dict)
    """GGUF metadata; unless asked for verbosely, arrays are null."""
    projector_info: Members = Field(default_factory=dict)
    tensors: Annotated[tuple[Tensor, ...], NullIs(tuple)] = ()
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


class LoadAnswer(Wire):
    """The answer to a load or unload; ``done_reason`` is ``load`` or ``unload``."""

    model: Text = ""
    done: Flag = False
    done_reason: Text = ""
