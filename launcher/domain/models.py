"""Language models as the launcher shows them: installed on disk, loaded in memory."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class InstalledModel:
    """A model in the models folder, as ``/api/tags`` lists it. Unknown is None, never a guess."""

    name: str
    size_bytes: int
    digest: str
    """64 hex digits, without a ``sha256:`` prefix."""
    modified_at: datetime | None
    family: str | None
    parameter_size: str | None
    quantization: str | None
    capabilities: tuple[str, ...] | None
    remote_host: str | None
    """Set for a stub of a cloud model."""
    context_length: int | None = None
    """The longest context that it was made for, in tokens."""


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A model in memory, as ``/api/ps`` lists it."""

    name: str
    size_bytes: int
    size_vram_bytes: int
    """The part on a GPU: 0 is CPU only, equal to ``size_bytes`` is GPU only."""
    context_length: int | None
    expires_at: datetime | None
    """None: kept for ever (or not told)."""
    digest: str


@dataclass(frozen=True, slots=True)
class Models:
    """What is installed and what is loaded, read together. None: not known (yet, or any more)."""

    installed: tuple[InstalledModel, ...] | None
    loaded: tuple[LoadedModel, ...] | None
    problem: str = ""
    """One sentence: why a list could not be had; empty where nothing went wrong."""


def on_disk_at_most_bytes(models: Iterable[InstalledModel]) -> int:
    """What models take on the disk at most: copies have all layers in common, others may have some."""
    return sum({model.digest or model.name: model.size_bytes for model in models}.values())


def freed_at_most_bytes(models: Collection[InstalledModel], names: Collection[str]) -> int:
    """What comes back at most when the models ``names`` are deleted: a layer stays while any model uses it."""
    kept = {model.digest for model in models if model.name not in names}
    return on_disk_at_most_bytes(model for model in models if model.name in names and model.digest not in kept)
