"""Save one setting, after a look at what only the world can tell: whether a program is an Ollama that runs."""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import partial

from launcher.actions.ask import Ask
from launcher.domain.settings import DECLARATIONS, Kind, Settings
from launcher.errors import sentence
from launcher.server.errors import BinaryUnusable
from launcher.server.find import VARIABLE, binary_version, find_binary
from launcher.settings import SettingsStorage
from launcher.tasks import run_blocking

_PROGRAMS = frozenset(declaration.key for declaration in DECLARATIONS if declaration.kind is Kind.PROGRAM)
_FIND_LIMIT_S = 10.0
"""A path on a network drive that is gone may never be answered for."""
_PROGRAM_KEY = "ollama_binary"


async def check_program(path: str, environ: Mapping[str, str]) -> str:
    """Return the version that the program at ``path`` tells; raises BinaryUnusable where it is no Ollama."""
    named_here = {name: value for name, value in environ.items() if name != VARIABLE}
    try:
        binary = await run_blocking(partial(find_binary, path, named_here), timeout_s=_FIND_LIMIT_S)
    except TimeoutError as error:
        raise BinaryUnusable(
            sentence("{path} cannot be reached.", path=path),
            detail=f"no answer within {_FIND_LIMIT_S:g} s",
            hint="Is its drive connected?",
        ) from error
    version = await binary_version(binary.path, named_here) if binary is not None else None
    if version is None:
        raise BinaryUnusable(
            sentence("{path} does not answer as Ollama does.", path=path),
            detail="--version told no version",
            hint="Choose the program that is called ollama.",
        )
    return version


async def change_setting(
    settings: SettingsStorage, key: str, value: object, *, environ: Mapping[str, str] | None = None
) -> Settings:
    """Save a setting. Raises InvalidSetting, StorageError, and BinaryUnusable for a program that is no Ollama."""
    if key in _PROGRAMS and isinstance(value, str) and value.strip():
        await check_program(value, os.environ if environ is None else environ)
    return await run_blocking(partial(settings.change, **{key: value}))


async def choose_program(
    settings: SettingsStorage, ask: Ask, *, environ: Mapping[str, str] | None = None
) -> Settings | None:
    """Let a person say where Ollama is, and remember it; None where they did not."""
    path = await ask.choose_program(settings.current.ollama_binary)
    if path is None:
        return None
    return await change_setting(settings, _PROGRAM_KEY, path, environ=environ)
