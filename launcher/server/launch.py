"""Bring a server of ours to life: prepare its folders and its environment, record it, spawn it.

Who calls holds ``server.lock`` and has made sure that none runs. Nobody is waited for here: whether the server ever
answers is for :mod:`launcher.server.control` to find out.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from launcher import paths
from launcher.domain.address import Address
from launcher.environment import child_environment
from launcher.errors import sentence
from launcher.paths import ensure_dir
from launcher.server import identity, models_folder, signals
from launcher.server.errors import ModelsFolderInUse, StartFailed
from launcher.server.find import Binary
from launcher.server.log import rotate
from launcher.server.record import TOKEN_VARIABLE, RecordFile, ServerRecord, Wanted
from launcher.server.spawn import Child, expected_exes, spawn
from launcher.tasks import run_blocking

_log = logging.getLogger(__name__)

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Places:
    """The files that a server of ours needs."""

    record: Path
    lock: Path
    log: Path
    work_dir: Path


def usual_places() -> Places:
    """Where all launcher processes of a person keep them. Raises StorageError."""
    state = paths.state_dir()
    return Places(
        record=state / "server.json", lock=state / "server.lock", log=paths.log_dir() / "server.log", work_dir=state
    )


def refuse_impossible(address: Address) -> None:
    """Raise StartFailed for an address at which no server that is started here could ever answer."""
    example = "Use an address like 127.0.0.1:11434."
    if address.port == 0:
        raise StartFailed("Ollama cannot be started at port 0: nobody could know where it is.", hint=example)
    if address.scheme != "http":
        raise StartFailed(
            sentence("Ollama itself serves no https, so none can be started at {base_url}.", base_url=address.base_url),
            hint=example,
        )
    if address.path:
        raise StartFailed(
            sentence(
                "Ollama itself serves nothing below {path}, so none can be started at {base_url}.",
                path=address.path,
                base_url=address.base_url,
            ),
            hint=example,
        )


async def launch(
    binary: Binary,
    address: Address,
    environ: Mapping[str, str],
    *,
    places: Places,
    record_file: RecordFile,
    grace_s: float,
    progress: Callable[[str], None],
) -> Child:
    """Spawn a server that listens at ``address``, and record it; done as a whole even when cancelled meanwhile.

    Raises ModelsFolderInUse, StartFailed, StorageError.
    """
    ours = child_environment(environ, {"OLLAMA_HOST": address.bind})
    models = models_folder.models_folder(ours)
    if not models.is_absolute():
        # Meant from where the person is; the server works in a folder of ours.
        models = models.absolute()
        ours["OLLAMA_MODELS"] = str(models)
    await _refuse_shared_folder(models)
    mended = await run_blocking(models_folder.mend_partials, models)
    if mended:
        _log.info("%d damaged downloads in %s will begin anew", mended, models)
    refreshed = await run_blocking(models_folder.refresh_partials, models)
    if refreshed.unwritable:
        # Only there: it also keeps layers that nothing needs any more.
        ours["OLLAMA_NOPRUNE"] = "1"
    await run_blocking(_make_room, places)
    progress(sentence("Starting Ollama ({path}).", path=binary.path))
    record = ServerRecord(
        wanted=Wanted.RUNNING,
        boot_id=identity.boot_id(),
        exes=expected_exes(binary.path),
        address=address.base_url,
        bind=address.bind,
        log=str(places.log),
        models=str(models),
        token=os.urandom(8).hex(),
    )
    return await _whole(_spawn_and_record(binary, ours, record, places, record_file, grace_s))


def _make_room(places: Places) -> None:
    """Make the folders that a server of ours needs, and a fresh log. Blocking."""
    ensure_dir(places.work_dir)
    ensure_dir(places.log.parent)
    rotate(places.log)


async def _spawn_and_record(
    binary: Binary,
    environ: Mapping[str, str],
    record: ServerRecord,
    places: Places,
    record_file: RecordFile,
    grace_s: float,
) -> Child:
    before = await run_blocking(record_file.read)
    # Before the start: whoever kills us right after it leaves a server that is still known to be ours.
    await run_blocking(record_file.write, record)
    try:
        child = await spawn(
            [*binary.command, "serve"], {**environ, TOKEN_VARIABLE: record.token}, places.log, places.work_dir
        )
    except BaseException:
        await run_blocking(record_file.write, before or ServerRecord(wanted=Wanted.STOPPED))
        raise
    record = replace(record, pid=child.pid, group=child.group, start=child.start, exes=child.exes)
    try:
        await run_blocking(record_file.write, record)
    except BaseException:
        # A server that no record speaks of could never be stopped again.
        await signals.stop_group(record, grace_s=grace_s)
        raise
    return child


async def _refuse_shared_folder(models: Path) -> None:
    users = await run_blocking(models_folder.live_users, models)
    if not users:
        return
    user = users[0]
    at = f" at {user.address}" if user.address else ""
    raise ModelsFolderInUse(
        sentence(
            "Another Ollama{at} (process {pid}) already uses the models folder {models}.",
            at=at,
            pid=user.pid,
            models=models,
        ),
        pid=user.pid,
        name=user.name,
        address=user.address,
        hint="Use that one"
        + (f" (--host {user.address})" if user.address else "")
        + ", stop it, or set OLLAMA_MODELS to another folder: two servers on one folder delete each other's files.",
    )


async def _whole(work: Coroutine[object, object, T]) -> T:
    """Await ``work`` to its end even when we are cancelled meanwhile; the cancellation is then passed on."""
    task = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait({task}, timeout=10.0)
        raise
