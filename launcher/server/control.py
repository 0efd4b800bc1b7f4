"""Start, stop and restart Ollama, together with every other launcher process of the same user.

This is the one place that decides, spawns and signals. Each decision is made while ``server.lock`` is held, after the
record was read again; the record is written before anything is signalled; nobody holds the lock while waiting for
readiness. It publishes nothing and keeps no state over time but the child that it spawned last: the command line calls
it once and ends, :mod:`launcher.server.supervisor` calls it for as long as a window is open.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from launcher.domain.address import Address
from launcher.domain.server import (
    Answer,
    Recorded,
    Seen,
    ServerStatus,
    Sighting,
    advance,
)
from launcher.environment import child_environment
from launcher.errors import LauncherError
from launcher.ollama import Client
from launcher.paths import ensure_dir
from launcher.server import identity, models_folder, signals
from launcher.server.errors import (
    ModelsFolderInUse,
    NotInstalled,
    NotOffered,
    StartFailed,
    StoppedMeanwhile,
)
from launcher.server.explain import explain_exit
from launcher.server.find import Binary
from launcher.server.log import last_lines, rotate
from launcher.server.lookout import Glance, Lookout
from launcher.server.record import TOKEN_VARIABLE, RecordFile, ServerLock, ServerRecord, Wanted
from launcher.server.spawn import Child, expected_exes, spawn
from launcher.tasks import run_blocking

_log = logging.getLogger(__name__)

# A stalled part writes nothing for up to 30 s before the server reconnects (server/download.go, 0.33).
_PULL_IS_FRESH_S = 30.0

T = TypeVar("T")
Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Timing:
    """How long things may take, in seconds."""

    probe_s: float = 1.0
    """One try of ``/api/version``. A starting server accepts the connection and answers when it is ready."""
    fast_for_s: float = 2.0
    fast_interval_s: float = 0.05
    slow_interval_s: float = 0.5
    """Between tries while a start is awaited: first fast, then slow."""
    ready_s: float = 180.0
    """Finding GPUs may take minutes (30 s a library folder, 90 s on Windows: discover/, 0.33)."""
    grace_s: float = 5.0
    """Between TERM and KILL; the official app waits as long."""
    drain_s: float = 0.5
    """For launcher processes to close their pulls, so that the server writes down what it has."""
    lock_margin_s: float = 5.0


@dataclass(frozen=True, slots=True)
class Places:
    """The files that a server of ours needs."""

    record: Path
    lock: Path
    log: Path
    work_dir: Path


async def _no_pulls() -> None:
    """Close the pulls of this process: there are none."""


def _silent(_: str) -> None:
    """Tell nobody."""


class ServerControl:
    """Look at, start, stop and restart the server at one address.

    ``find`` looks for the binary (blocking; None when there is none), ``environ`` is what a child inherits,
    ``close_pulls`` closes the pull streams of this process before the server is stopped. ``chosen`` says that a person
    named this very address: then a server of ours at another one is none of our business.
    """

    def __init__(
        self,
        *,
        client: Client,
        address: Address,
        places: Places,
        find: Callable[[], Binary | None],
        environ: Mapping[str, str],
        close_pulls: Callable[[], Awaitable[None]] = _no_pulls,
        chosen: bool = False,
        timing: Timing | None = None,
    ) -> None:
        self._timing = timing or Timing()
        self._address = address
        self._places = places
        self._record_file = RecordFile(places.record)
        self._find = find
        self._lookout = Lookout(
            client=client,
            address=address,
            record_file=self._record_file,
            find=find,
            probe_s=self._timing.probe_s,
            overdue_s=self._timing.ready_s,
        )
        self._environ = environ
        self._close_pulls = close_pulls
        self._chosen = chosen
        self._child: Child | None = None

    @property
    def child(self) -> Child | None:
        """The process that this object spawned last; None when it spawned none."""
        return self._child

    @property
    def log_path(self) -> Path:
        """The file that the server writes its output to."""
        return self._places.log

    def initial_status(self) -> ServerStatus:
        """CHECKING: what is true before the first look."""
        return self._lookout.nothing_seen()

    # --- looking ----------------------------------------------------------------------------------------------

    async def inspect(self) -> ServerStatus:
        """Look once, clear away what a killed server left behind, and say what is."""
        sighting = await self.look()
        await self.sweep()
        return advance(self.initial_status(), Seen(sighting))

    async def look(self) -> Sighting:
        """Look once. Signals and writes nothing."""
        return await self._lookout.look()

    async def is_being_stopped(self) -> bool:
        """Tell whether the server of ours at this address is wished stopped while it still lives.

        Whoever pulls asks this now and then, and closes its stream when it is so.
        """
        record = await run_blocking(self._record_file.read)
        return (
            record is not None
            and record.wanted is Wanted.STOPPED
            and self._lookout.is_here(record)
            and record.pid is not None
        )

    async def settled(self) -> ServerStatus:
        """Wait until nobody is changing the server, then look. Raises LockBusy."""
        async with self._lock():
            pass
        return await self.inspect()

    async def sweep(self) -> None:
        """End what a killed server left in its group. Does nothing while another launcher is at work."""
        if not (await run_blocking(self._lookout.glance_or_nothing)).leftovers:
            return
        try:
            async with ServerLock(self._places.lock, 0.0):
                await self._sweep_locked(await run_blocking(self._lookout.glance))
        except LauncherError as error:
            _log.warning("leftovers of an ended server stay for now: %s %s", error.title, error.detail)

    # --- changing ---------------------------------------------------------------------------------------------

    async def start(self, progress: Progress = _silent, *, only_if_wanted: bool = False) -> ServerStatus:
        """Make an Ollama answer at the address; return its status (it may be somebody else's).

        With ``only_if_wanted`` (a restart after a crash) a wish for "stopped" that came meanwhile is obeyed.
        Raises NotInstalled, PortTaken, ModelsFolderInUse, StartFailed, StoppedMeanwhile, LockBusy, StorageError.
        """
        self._refuse_elsewhere("started")
        async with self._lock():
            await self._start_locked(progress, only_if_wanted=only_if_wanted)
        return await self._until_ready(progress)

    async def stop(self, progress: Progress = _silent) -> ServerStatus:
        """End our server and its helpers; return what is then at the address.

        Raises NotOffered when the server that answers is not ours, SignalRefused, StopFailed, LockBusy, StorageError.
        """
        self._refuse_elsewhere("stopped")
        async with self._lock():
            if not await self._stop_locked(progress):
                await self._refuse_foreign("stopped")
        return await self.inspect()

    async def restart(self, progress: Progress = _silent) -> ServerStatus:
        """Stop our server if it runs, start it, and wait until it answers. Raises what start and stop raise."""
        self._refuse_elsewhere("restarted")
        async with self._lock():
            if not await self._stop_locked(progress):
                await self._refuse_foreign("restarted")
            await self._start_locked(progress, only_if_wanted=False)
        return await self._until_ready(progress)

    # --- under the lock ---------------------------------------------------------------------------------------

    def _lock(self) -> ServerLock:
        return ServerLock(self._places.lock, self._timing.grace_s + self._timing.lock_margin_s)

    async def _start_locked(self, progress: Progress, *, only_if_wanted: bool) -> None:
        glance = await run_blocking(self._lookout.glance)
        record = glance.record
        if only_if_wanted and (record is None or record.wanted is Wanted.STOPPED):
            raise StoppedMeanwhile
        if record is not None and glance.recorded is Recorded.ALIVE:
            if not self._lookout.is_here(record):
                raise StartFailed(
                    f"The launcher's Ollama already runs at {record.address}.",
                    hint="Stop it first, or use that address.",
                )
            return
        if record is not None and glance.recorded is Recorded.STOPPING:
            # Who wished it stopped was killed before it was gone: finish that, then start.
            await self._stop_locked(progress)
        else:
            await self._sweep_locked(glance)
        seen = await self._lookout.probe()
        if seen.answer is Answer.OLLAMA:
            return
        if seen.answer is not Answer.NONE:
            taken, is_ollama = await self._lookout.whose_port()
            if seen.answer is Answer.FOREIGN or not is_ollama:
                raise taken
            return
        binary = await run_blocking(self._find)
        if binary is None:
            raise NotInstalled
        await self._spawn_locked(binary, progress)

    async def _spawn_locked(self, binary: Binary, progress: Progress) -> None:
        environ = child_environment(self._environ, {"OLLAMA_HOST": self._address.bind})
        models = models_folder.models_folder(environ)
        await self._refuse_shared_folder(models)
        mended = await run_blocking(models_folder.mend_partials, models)
        if mended:
            _log.info("%d damaged downloads in %s will begin anew", mended, models)
        refreshed = await run_blocking(models_folder.refresh_partials, models)
        if refreshed.unwritable:
            # Only there: it also keeps layers that nothing needs any more.
            environ["OLLAMA_NOPRUNE"] = "1"
        await run_blocking(self._make_room)
        progress(f"Starting Ollama ({binary.path}).")
        await _whole(self._spawn_and_record(binary, environ, models))

    def _make_room(self) -> None:
        """Make the folders that a server of ours needs, and a fresh log. Blocking."""
        ensure_dir(self._places.work_dir)
        ensure_dir(self._places.log.parent)
        rotate(self._places.log)

    async def _spawn_and_record(self, binary: Binary, environ: Mapping[str, str], models: Path) -> None:
        before = await run_blocking(self._record_file.read)
        record = ServerRecord(
            wanted=Wanted.RUNNING,
            boot_id=identity.boot_id(),
            exes=expected_exes(binary.path),
            address=self._address.base_url,
            log=str(self._places.log),
            models=str(models),
            token=os.urandom(8).hex(),
        )
        # Before the start: whoever kills us right after it leaves a server that is still known to be ours.
        await run_blocking(self._record_file.write, record)
        try:
            child = await spawn(
                [*binary.command, "serve"],
                {**environ, TOKEN_VARIABLE: record.token},
                self._places.log,
                self._places.work_dir,
            )
        except BaseException:
            await run_blocking(self._record_file.write, before or ServerRecord(wanted=Wanted.STOPPED))
            raise
        self._child = child
        record = replace(record, pid=child.pid, group=child.group, start=child.start, exes=child.exes)
        try:
            await run_blocking(self._record_file.write, record)
        except BaseException:
            # A server that no record speaks of could never be stopped again.
            await signals.stop_group(record, grace_s=self._timing.grace_s)
            raise

    async def _stop_locked(self, progress: Progress) -> bool:
        """End our server; tell whether there was one."""
        glance = await run_blocking(self._lookout.glance)
        record = glance.record
        if record is None:
            return False
        if glance.recorded in (Recorded.ALIVE, Recorded.STOPPING):
            if self._chosen and not self._lookout.is_here(record):
                raise NotOffered(
                    f"The launcher's Ollama runs at {record.address}, not at {self._address.base_url}.",
                    hint=f"Leave --host out, or use --host {record.address}.",
                )
            record = replace(record, wanted=Wanted.STOPPED)
            await run_blocking(self._record_file.write, record)
            progress("Stopping Ollama.")
            await self._close_pulls()
            if record.models:
                models = Path(record.models)
                pulled = await run_blocking(models_folder.pulls_active, models, _PULL_IS_FRESH_S, time.time())
                if pulled:
                    await asyncio.sleep(self._timing.drain_s)
            await signals.stop_group(record, grace_s=self._timing.grace_s)
            await run_blocking(self._record_file.write, _without_process(record))
            return True
        await self._sweep_locked(glance)
        if record.wanted is Wanted.RUNNING or record.pid is not None:
            await run_blocking(self._record_file.write, replace(_without_process(record), wanted=Wanted.STOPPED))
        return glance.leftovers

    async def _sweep_locked(self, glance: Glance) -> None:
        if glance.leftovers and glance.record is not None:
            _log.info("ending what the ended server %s left in its group", glance.record.pid)
            await signals.sweep(glance.record)

    # --- waiting ----------------------------------------------------------------------------------------------

    async def _until_ready(self, progress: Progress) -> ServerStatus:
        """Wait, without the lock, until the server answers, ends, is wished stopped, or the time is over."""
        timing = self._timing
        began_s = time.monotonic()
        told = False
        while True:
            sighting = await self.look()
            if sighting.recorded is Recorded.STOPPING or (
                sighting.recorded is Recorded.NOTHING
                and sighting.answer is not Answer.OLLAMA
                and not sighting.holder_is_ollama
            ):
                # Wished stopped meanwhile; or a restart is under way, which holds the lock until it has spawned.
                async with self._lock():
                    glance = await run_blocking(self._lookout.glance)
                if glance.recorded is not Recorded.ALIVE:
                    raise StoppedMeanwhile
                continue
            if sighting.answer is Answer.OLLAMA:
                await self._note_exes()
                return advance(self.initial_status(), Seen(sighting))
            if sighting.recorded is Recorded.ENDED:
                raise await self._start_failed()
            waited_s = time.monotonic() - began_s
            if waited_s > timing.ready_s:
                raise StartFailed(
                    f"Ollama was started but has not answered for {timing.ready_s:g} s.",
                    hint="It may still be looking for graphics cards; the log says what it does.",
                )
            if waited_s > timing.fast_for_s and not told:
                told = True
                progress("Waiting for Ollama to answer. Finding the graphics cards can take a while.")
            interval_s = timing.fast_interval_s if waited_s < timing.fast_for_s else timing.slow_interval_s
            await self._pause(interval_s)

    async def _pause(self, interval_s: float) -> None:
        """Sleep, or until the child ends."""
        child = self._child
        if child is None or child.outcome is not None:
            await asyncio.sleep(interval_s)
            return
        try:
            await asyncio.wait_for(child.wait(), interval_s)
        except TimeoutError:
            return

    async def _start_failed(self) -> StartFailed:
        outcome = self._child.outcome if self._child is not None else None
        lines = await run_blocking(last_lines, self._places.log, 40)
        title, hint = explain_exit(outcome, lines)
        detail = outcome.sentence("Ollama") if outcome is not None else ""
        return StartFailed(title, outcome=outcome, detail=detail, hint=hint)

    async def explain_end(self) -> tuple[str, str]:
        """Say why our server ended by itself: a sentence, and what to do."""
        failure = await self._start_failed()
        return failure.title, failure.hint

    async def _note_exes(self) -> None:
        """Record what the process really runs: a wrapper script may have replaced itself since it was spawned."""
        record = await run_blocking(self._record_file.read)
        if record is None or await run_blocking(_as_it_runs, record) == record:
            return
        async with self._lock():
            await run_blocking(self._note_exes_locked)

    def _note_exes_locked(self) -> None:
        record = self._record_file.read()
        if record is not None:
            self._record_file.write(_as_it_runs(record))

    # --- refusals ---------------------------------------------------------------------------------------------

    def _refuse_elsewhere(self, deed: str) -> None:
        if not self._lookout.local:
            raise NotOffered(
                f"{self._address.base_url} is not this computer, so its Ollama cannot be {deed} from here.",
                hint="Do it on that computer, or leave --host out.",
            )

    async def _refuse_foreign(self, deed: str) -> None:
        """Raise NotOffered when an Ollama that is not ours answers."""
        seen = await self._lookout.probe()
        if seen.answer is Answer.OLLAMA:
            raise NotOffered(
                f"The Ollama at {self._address.base_url} was not started by the launcher, so it is not {deed}.",
                hint="Stop it the way it was started (a service, the Ollama app, another terminal).",
            )

    async def _refuse_shared_folder(self, models: Path) -> None:
        users = await run_blocking(models_folder.live_users, models)
        if not users:
            return
        user = users[0]
        at = f" at {user.address}" if user.address else ""
        raise ModelsFolderInUse(
            f"Another Ollama{at} (process {user.pid}) already uses the models folder {models}.",
            pid=user.pid,
            name=user.name,
            address=user.address,
            hint="Use that one"
            + (f" (--host {user.address})" if user.address else "")
            + ", stop it, or set OLLAMA_MODELS to another folder: two servers on one folder delete each other's files.",
        )


def _as_it_runs(record: ServerRecord) -> ServerRecord:
    """Add to a record what the process table knows better. Blocking."""
    record = identity.completed(record)
    if record.pid is None or not identity.is_recorded_alive(record):
        return record
    return replace(record, exes=identity.observed_exes(record.pid, record.exes))


def _without_process(record: ServerRecord) -> ServerRecord:
    return replace(record, pid=None, group=None, boot_id="", start=None, exes=(), token="")


async def _whole(work: Coroutine[object, object, T]) -> T:
    """Await ``work`` to its end even when we are cancelled meanwhile; the cancellation is then passed on."""
    task = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait({task}, timeout=10.0)
        raise
