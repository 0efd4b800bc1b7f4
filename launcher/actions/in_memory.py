"""Load models into memory and take them out again, until they are really gone."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from launcher.domain.models import LoadedModel
from launcher.domain.names import ModelName
from launcher.errors import InvalidInput, LauncherError, sentence
from launcher.library import loaded_model

if TYPE_CHECKING:
    from launcher.ollama import Client

_READ_WITHIN_S = 5.0
"""The list comes at once, also from a busy server."""
_GONE_WITHIN_S = 15.0
_LOOK_EVERY_S = 0.1


class StillLoaded(LauncherError):
    """A model did not leave memory in time."""


def model_key(name: str) -> str:
    """What makes two spellings the same model; a name that no rule fits stands for itself."""
    try:
        return ModelName.parse_exact(name).key
    except InvalidInput:
        return name


async def find_loaded(client: Client, name: str) -> LoadedModel | None:
    """The model as it is in memory now; None where it is not."""
    key, answer = model_key(name), await client.ps(timeout_s=_READ_WITHIN_S)
    return next((loaded_model(model) for model in answer.models if model_key(model.name) == key), None)


async def unload_model(client: Client, name: str, *, within_s: float = _GONE_WITHIN_S) -> bool:
    """Take a model out of memory and wait until it has left; tells whether it was there.

    Raises :class:`StillLoaded` after ``within_s``, and what the client raises.
    """
    if await find_loaded(client, name) is None:
        return False
    await client.unload(name)
    deadline_s = time.monotonic() + within_s
    while await find_loaded(client, name) is not None:
        if time.monotonic() > deadline_s:
            raise StillLoaded(
                sentence("{name} was asked to leave memory and is still there.", name=name),
                hint="It may be answering somebody: try again later.",
            )
        await asyncio.sleep(_LOOK_EVERY_S)
    return True
