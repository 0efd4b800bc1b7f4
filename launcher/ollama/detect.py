"""Which model to talk to when nobody named one, and whether a named one is there.

Asks the server; installs and loads nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from launcher.domain.names import InvalidModelName, ModelName
from launcher.ollama.errors import NoModelInstalled, Refused
from launcher.ollama.wire.models import ModelInfo, Running, ShownModel, Tags

# What runs those is an encoder: it answers with vectors only (fs/ggml, 0.33). Asked for only where a server is too old
# to tell capabilities.
_ENCODERS = frozenset({"bert", "nomic-bert", "nomic-bert-moe", "jina-bert-v2", "modern-bert"})


class Installed(Protocol):
    """What is asked of a client."""

    async def tags(self) -> Tags: ...

    async def ps(self) -> Running: ...

    async def show(self, name: str) -> ShownModel: ...


async def detect_model(server: Installed, default_model: str = "") -> str:
    """Choose a model to talk to: the default one if it is installed, else a loaded one, else the newest installed one.

    Only models that can chat count: none that makes embeddings or images only, and none that runs at ollama.com,
    which must not get a conversation because nobody named another; as a default all of these are taken, since
    somebody did name it. Raises NoModelInstalled.
    """
    installed = (await server.tags()).models
    if default_model:
        named = find_model(default_model, installed)
        if named is not None:
            return named.name
    by_key = {model_key(model.name): model for model in installed}
    if not by_key:
        raise NoModelInstalled(any_installed=False)
    loaded = [by_key.get(model_key(model.name)) for model in (await server.ps()).models]
    for model in (*(model for model in loaded if model is not None), *installed):
        if await _can_chat(server, model):
            return model.name
    raise NoModelInstalled(any_installed=True)


async def has_model(server: Installed, name: str) -> bool:
    """Say whether a model is installed: spelling and tag as the server takes them; an impossible name is not."""
    return find_model(name, (await server.tags()).models) is not None


def find_model(name: str, installed: Iterable[ModelInfo]) -> ModelInfo | None:
    """Find an installed model by a name as a person writes it: the tag may be missing, case does not count."""
    key = model_key(name)
    return next((model for model in installed if key and model_key(model.name) == key), None)


def model_key(name: str) -> str:
    """Return what is equal for all spellings of a model's name; empty for a name that cannot be one."""
    try:
        return ModelName.parse(name).key
    except InvalidModelName:
        return ""


async def _can_chat(server: Installed, model: ModelInfo) -> bool:
    if model.remote_host or model.remote_model:
        return False
    # The list may lack some, and says "completion" of a model for embeddings that was made of a file (seen on
    # 0.33.0-rc2); older servers tell none there.
    try:
        capabilities = frozenset((await server.show(model.name)).capabilities or model.capabilities)
    except Refused:
        return False  # gone meanwhile, or damaged
    if capabilities:
        return "completion" in capabilities and "image" not in capabilities
    return model.details.family not in _ENCODERS
