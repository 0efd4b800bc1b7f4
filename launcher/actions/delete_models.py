"""Delete models from the disk: ask with the true numbers, unload what is in memory, delete, tell how each went.

The server deletes a loaded model without a word; its runner stays in memory and can then not be unloaded by name
(seen on 0.33.0-rc2). So each is unloaded first, and deleted once it is gone from memory.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from launcher.actions.ask import Ask
from launcher.actions.in_memory import unload_model
from launcher.domain.models import Models, freed_at_most_bytes
from launcher.domain.questions import DeleteModels
from launcher.errors import LauncherError, sentence
from launcher.ollama.errors import ModelNotFound, NotRunning

if TYPE_CHECKING:
    from launcher.core import Core
    from launcher.ollama import Client


class NotDeleted(LauncherError):
    """Several models could not be deleted."""


@dataclass(frozen=True, slots=True)
class Deletion:
    """How it went for one model."""

    name: str
    error: LauncherError | None = None
    """None: it is gone."""


def _nobody(_name: str, _busy: bool) -> None:
    """Tell nobody what is being worked on."""


def question_of(models: Models, names: Sequence[str]) -> DeleteModels:
    """What has to be asked before ``names`` are deleted; what is not installed is left out."""
    installed = models.installed or ()
    there = {model.name for model in installed}
    wanted = tuple(name for name in dict.fromkeys(names) if name in there)
    loaded = tuple(model.name for model in models.loaded or () if model.name in wanted)
    return DeleteModels(wanted, freed_at_most_bytes(installed, wanted), loaded)


async def delete_model(client: Client, name: str) -> None:
    """Unload a model, wait until it is gone from memory, delete it. Raises what stands in the way."""
    await unload_model(client, name)
    await client.delete(name)


async def ask_and_delete(
    core: Core, ask: Ask, names: Sequence[str], *, busy: Callable[[str, bool], None] = _nobody
) -> tuple[Deletion, ...]:
    """Delete models if the person agrees; empty where there was nothing to delete or they did not.

    One that fails keeps no other back, unless the server is gone. ``busy(name, True)`` is called when work on a model
    begins, ``busy(name, False)`` when it ends.
    """
    question = question_of(await core.models(), names)
    if not question.names or not await ask.confirm(question):
        return ()
    deletions: list[Deletion] = []
    for name in question.names:
        busy(name, True)
        try:
            await delete_model(core.client, name)
        except ModelNotFound:
            deletions.append(Deletion(name))  # somebody else was faster
        except LauncherError as error:
            deletions.append(Deletion(name, error))
            if isinstance(error, NotRunning):
                break
        else:
            deletions.append(Deletion(name))
        finally:
            busy(name, False)
    await core.models()
    return tuple(deletions)


def failure_of(deletions: Sequence[Deletion]) -> LauncherError | None:
    """Put what went wrong into one error; None: everything is deleted."""
    failed = [(each.name, each.error) for each in deletions if each.error is not None]
    if not failed:
        return None
    name, first = failed[0]
    if len(failed) == 1:
        return NotDeleted(
            sentence("{name} could not be deleted. {title}", name=name, title=first.title),
            hint=first.hint,
            detail=first.detail or first.title,
        )
    return NotDeleted(
        sentence("{failed} of {all} models could not be deleted.", failed=len(failed), all=len(deletions)),
        hint=first.hint,
        detail="\n".join(f"{name}: {error.title}" for name, error in failed),
    )
