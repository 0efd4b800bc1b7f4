"""Installed and loaded models: the wire's answers turned into the values that the launcher publishes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from launcher.domain.models import InstalledModel, LoadedModel, Models
from launcher.ollama import Client, ModelInfo, RunningModel, Tags
from launcher.ollama.errors import OllamaError

_TIMEOUT_S = 5.0


class Library:
    """What is installed and what is loaded on one server.

    ``publish`` gets a :class:`Models` when it differs from the last one.
    """

    def __init__(self, client: Client, publish: Callable[[Models], None]) -> None:
        self._client = client
        self._publish = publish
        self._models = Models(installed=None, loaded=None)
        self._last_installed: tuple[Tags | None, tuple[InstalledModel, ...]] = (None, ())

    @property
    def models(self) -> Models:
        """What is known now."""
        return self._models

    async def refresh(self) -> Models:
        """Ask the server for both lists and publish them; a list that cannot be had is None (not known)."""
        installed, loaded = await asyncio.gather(self._installed(), self._loaded(), return_exceptions=True)
        problem = ""
        for answer in (loaded, installed):
            if isinstance(answer, OllamaError):
                problem = answer.title
            elif isinstance(answer, BaseException):
                raise answer
        self._put(
            Models(
                installed=None if isinstance(installed, BaseException) else installed,
                loaded=None if isinstance(loaded, BaseException) else loaded,
                problem=problem,
            )
        )
        return self._models

    def forget(self) -> None:
        """Nothing is known any more: the server is gone."""
        self._put(Models(installed=None, loaded=None))

    def _put(self, models: Models) -> None:
        if models != self._models:
            self._models = models
            self._publish(models)

    async def _installed(self) -> tuple[InstalledModel, ...]:
        answer = await self._client.tags(timeout_s=_TIMEOUT_S)
        tags, installed = self._last_installed
        if answer is not tags:
            await asyncio.sleep(0)  # of 1,000 models reading took its share of this turn
            installed = tuple(installed_model(model) for model in answer.models)
            self._last_installed = (answer, installed)
        return installed

    async def _loaded(self) -> tuple[LoadedModel, ...]:
        answer = await self._client.ps(timeout_s=_TIMEOUT_S)
        return tuple(loaded_model(model) for model in answer.models)


def installed_model(model: ModelInfo) -> InstalledModel:
    """Turn one entry of ``/api/tags`` into its value."""
    details = model.details
    return InstalledModel(
        name=model.name,
        size_bytes=model.size,
        digest=model.digest,
        modified_at=model.modified_at,
        family=details.family or None,
        parameter_size=details.parameter_size or None,
        quantization=details.quantization_level or None,
        capabilities=tuple(model.capabilities) or None,
        remote_host=model.remote_host or None,
        context_length=details.context_length or None,
    )


def loaded_model(model: RunningModel) -> LoadedModel:
    """Turn one entry of ``/api/ps`` into its value."""
    return LoadedModel(
        name=model.name,
        size_bytes=model.size,
        size_vram_bytes=model.size_vram,
        context_length=model.context_length or None,
        expires_at=model.expires_at,
        digest=model.digest,
    )
