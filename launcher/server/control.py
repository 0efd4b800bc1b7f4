"""Start, stop and restart Ollama, together with every other launcher process of the same user.

This is the one place that decides, spawns and signals. Each decision is made while ``server.lock`` is held, after the
record was read again; the record is written before anything is signalled; nobody holds the lock while waiting for
readiness. It publishes nothing and keeps no state over time but the child that it spawned last: the command line calls
it once and ends, :mod:`launcher.server.supervisor` calls it for as long as a window is open.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from launcher.domain.address import Address, InvalidAddress
from launcher.domain.server import (
    Answer,
    Recorded,
    Seen,
    ServerStatus,
    Sighting,
    advance,
)
from launcher.errors import LauncherError, StorageError, sentence
from launcher.ollama import Client
from launcher.server import identity, models_folder, signals
from launcher.server.errors import (
    LockBusy,
    NotInstalled,
    NotOffered,
    SignalRefused,
    StartFailed,
    StoppedMeanwhile,
)
from launcher.server.explain import explain_exit
from launcher.server.find import Binary
from launcher.server.launch import Places, launch, refuse_impossible
from launcher.server.log import LIMIT_BYTES, cap, last_lines
from launcher.server.lookout import Glance, Lookout
from launcher.server.record import RecordFile, ServerLock, ServerRecord, Wanted
from launcher.server.spawn import Child
from launcher.tasks import run_blocking

_log = logging.getLogger(__name__)

# A stalled part writes nothing for up to 30 s before the server reconnects (server/download.go, 0.33).
_PULL_IS_FRESH_S = 30.0

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


async def _no_pulls() -> None:
    """Close the pulls of this process: there are none."""


def _silent(_: str) -> None:
    """Tell nobody."""


class ServerControl:
    """Look at, start, stop and restart the server at one address.

    ``find`` looks for the binary (blocking; None when there is none), ``environ`` is what a child inherits,
    ``close_pulls`` closes the pull streams of this process before the server is stopped. ``chosen`` says that a person
    named this very address: then a server of ours at another one is none of our business. Otherwise the server of ours
    is meant, wherever it runs; a restart leaves it where it was.
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
        """Look once and say what is."""
        return advance(self.initial_status(), Seen(await self.look()))

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

    async def tidy(self) -> None:
        """Clear away what an ended server left behind, and keep the log of a running one small."""
        await self.sweep()
        await self.cap_log()

    async def cap_log(self) -> None:
        """Shorten the log when it is too long. Does nothing while another launcher is at work."""
        try:
            if not await run_blocking(_is_large, self._places.log):
                return
            async with ServerLock(self._places.lock, 0.0):
                await run_blocking(cap, self._places.log)
        except LauncherError as error:
            _log.warning("the server's log is not shortened for now: %s %s", error.title, error.detail)

    async def sweep(self) -> None:
        """End what a killed server left in its group. Does nothing while another launcher is at work."""
        if not (await run_blocking(self._lookout.glance_or_nothing)).leftovers:
            return
        try:
            async with ServerLock(self._places.lock, 0.0):
                await self._sweep_locked(await run_blocking(self._lookout.glance))
        except (LauncherError, TimeoutError) as error:
            _log.warning("leftovers of an ended server stay for now: %s", error)

    # --- changing ---------------------------------------------------------------------------------------------

    async def start(self, progress: Progress = _silent, *, only_if_wanted: bool = False) -> ServerStatus:
        """Make an Ollama answer at the address; return its status (it may be somebody else's).

        With ``only_if_wanted`` (a restart after a crash) a wish for "stopped" that came meanwhile is obeyed.
        Raises NotInstalled, PortTaken, ModelsFolderInUse, StartFailed, StoppedMeanwhile, LockBusy, StorageError.
        """
        self._refuse_elsewhere("started")
        if not only_if_wanted:
            # Whoever answers is used, even where nothing of ours could be started or written.
            sighting = await self.look()
            if sighting.answer is Answer.OLLAMA and sighting.recorded is not Recorded.STOPPING:
                if sighting.recorded is Recorded.ALIVE:
                    await self._note_ready(sighting.pid)
                return advance(self.initial_status(), Seen(sighting))
        async with self._lock():
            await self._start_locked(progress, only_if_wanted=only_if_wanted)
        return await self._until_ready(progress)

    async def stop(self, progress: Progress = _silent) -> ServerStatus:
        """End our server and its helpers; return what is then at the address.

        Raises NotOffered when the server that answers is not ours, SignalRefused, StopFailed, LockBusy, StorageError.
        """
        self._refuse_elsewhere("stopped")
        try:
            async with self._lock():
                stopped = await self._stop_locked(progress)
        except StorageError:
            if await self._is_ours_there():
                raise
            stopped = False
        if not stopped:
            await self._refuse_foreign("stopped")
        return await self.inspect()

    async def restart(self, progress: Progress = _silent) -> ServerStatus:
        """Stop our server if it runs, start it, and wait until it answers. Raises what start and stop raise.

        It goes on where it was, unless a person named the address.
        """
        self._refuse_elsewhere("restarted")
        elsewhere = None if self._chosen else await self._where_ours_runs_instead()
        if elsewhere is not None:
            async with self._control_at(elsewhere) as control:
                status = await control.restart(progress)
                self._child = control.child
                return status
        try:
            async with self._lock():
                record = await run_blocking(self._record_file.read)
                if not await self._stop_locked(progress):
                    await self._refuse_foreign("restarted")
                await self._start_locked(progress, only_if_wanted=False, keep=record)
        except StorageError:
            if not await self._is_ours_there():
                await self._refuse_foreign("restarted")
            raise
        return await self._until_ready(progress)

    # --- under the lock ---------------------------------------------------------------------------------------

    def _lock(self) -> ServerLock:
        return ServerLock(self._places.lock, self._timing.grace_s + self._timing.lock_margin_s)

    async def _start_locked(
        self, progress: Progress, *, only_if_wanted: bool, keep: ServerRecord | None = None
    ) -> None:
        """Start a server where none is. ``keep`` is the record of one that it replaces, and that it listens like."""
        glance = await run_blocking(self._lookout.glance)
        record = glance.record
        if only_if_wanted and (record is None or record.wanted is Wanted.STOPPED):
            raise StoppedMeanwhile
        if record is not None and glance.recorded is Recorded.ALIVE:
            if not self._lookout.is_here(record):
                raise StartFailed(
                    sentence("The launcher's Ollama already runs at {address}.", address=record.address),
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
        refuse_impossible(self._address)
        binary = await run_blocking(self._find)
        if binary is None:
            raise NotInstalled
        self._child = await launch(
            binary,
            self._listening_like(record if only_if_wanted else keep),
            self._environ,
            places=self._places,
            record_file=self._record_file,
            grace_s=self._timing.grace_s,
            progress=progress,
        )

    def _listening_like(self, record: ServerRecord | None) -> Address:
        """Tell where to listen: as the recorded server of this address did, else at the address as it is."""
        if self._chosen or record is None or not record.bind or not self._lookout.is_here(record):
            return self._address
        with suppress(InvalidAddress):
            return Address.parse(record.bind)
        return self._address

    async def _stop_locked(self, progress: Progress) -> bool:
        """End our server; tell whether there was one."""
        glance = await run_blocking(self._lookout.glance)
        record = glance.record
        if record is None:
            return False
        if glance.recorded in (Recorded.ALIVE, Recorded.STOPPING):
            if self._chosen and not self._lookout.is_here(record):
                raise NotOffered(
                    sentence(
                        "The launcher's Ollama runs at {address}, not at {base_url}.",
                        address=record.address,
                        base_url=self._address.base_url,
                    ),
                    hint=sentence("Leave --host out, or use --host {address}.", address=record.address),
                )
            before = record
            record = replace(record, wanted=Wanted.STOPPED)
            await run_blocking(self._record_file.write, record)
            progress("Stopping Ollama.")
            await self._close_pulls()
            if record.models:
                models = Path(record.models)
                pulled = await run_blocking(models_folder.pulls_active, models, _PULL_IS_FRESH_S, time.time())
                if pulled:
                    await asyncio.sleep(self._timing.drain_s)
            try:
                await signals.stop_group(record, grace_s=self._timing.grace_s)
            except SignalRefused as error:
                if not error.signalled:
                    # It goes on as it was; else everybody would wait for its end.
                    await run_blocking(self._record_file.write, before)
                raise
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
                await self._note_ready(sighting.pid)
                return advance(self.initial_status(), Seen(sighting))
            if sighting.recorded is Recorded.ENDED:
                raise await self._start_failed()
            waited_s = time.monotonic() - began_s
            if waited_s > timing.ready_s:
                raise StartFailed(
                    sentence("Ollama was started but has not answered for {ready_s} s.", ready_s=f"{timing.ready_s:g}"),
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

    async def _note_ready(self, pid: int | None) -> None:
        """Record that our server has answered, and what runs of it: a wrapper script may have started others by now."""
        try:
            record = await run_blocking(self._record_file.read)
            if record is None or await run_blocking(_as_it_runs, record, pid) == record:
                return
            async with self._lock():
                await run_blocking(self._note_ready_locked, pid)
        except (StorageError, LockBusy) as error:
            # It runs all the same.
            _log.warning("the state of the server is not noted: %s %s", error.title, error.detail)

    def _note_ready_locked(self, pid: int | None) -> None:
        record = self._record_file.read()
        if record is not None:
            self._record_file.write(_as_it_runs(record, pid))

    # --- where ours is ----------------------------------------------------------------------------------------

    async def _is_ours_there(self) -> bool:
        """Tell whether anything of a server of ours lives, at whatever address. Raises StorageError."""
        glance = await run_blocking(self._lookout.glance)
        return glance.leftovers or glance.recorded in (Recorded.ALIVE, Recorded.STOPPING)

    async def _where_ours_runs_instead(self) -> Address | None:
        """Tell where our server runs when that is not at our address."""
        glance = await run_blocking(self._lookout.glance)
        record = glance.record
        if record is None or glance.recorded not in (Recorded.ALIVE, Recorded.STOPPING):
            return None
        if self._lookout.is_here(record):
            return None
        with suppress(InvalidAddress):
            return Address.parse(record.bind or record.address)
        return None

    @asynccontextmanager
    async def _control_at(self, address: Address) -> AsyncIterator[ServerControl]:
        async with Client(address) as client:
            yield ServerControl(
                client=client,
                address=address,
                places=self._places,
                find=self._find,
                environ=self._environ,
                close_pulls=self._close_pulls,
                timing=self._timing,
            )

    # --- refusals ---------------------------------------------------------------------------------------------

    def _refuse_elsewhere(self, deed: str) -> None:
        if not self._lookout.local:
            raise NotOffered(
                sentence(
                    "{base_url} is not this computer, so its Ollama cannot be {deed} from here.",
                    base_url=self._address.base_url,
                    deed=deed,
                ),
                hint="Do it on that computer, or leave --host out.",
            )

    async def _refuse_foreign(self, deed: str) -> None:
        """Raise NotOffered when an Ollama that is not ours answers."""
        seen = await self._lookout.probe()
        if seen.answer is Answer.OLLAMA:
            raise NotOffered(
                sentence(
                    "The Ollama at {base_url} was not started by the launcher, so it is not {deed}.",
                    base_url=self._address.base_url,
                    deed=deed,
                ),
                hint="Stop it the way it was started (a service, the Ollama app, another terminal).",
            )


def _is_large(log: Path) -> bool:
    try:
        return log.stat().st_size > LIMIT_BYTES
    except OSError:
        return False


def _as_it_runs(record: ServerRecord, pid: int | None) -> ServerRecord:
    """Add to the record of a server that answers what the process table knows better. Blocking."""
    record = identity.completed(record)
    if record.pid is None or record.pid != pid:
        return record  # of another server meanwhile
    if not identity.is_recorded_alive(record):
        return replace(record, ready=True)
    return replace(record, ready=True, exes=identity.family_exes(record))


def _without_process(record: ServerRecord) -> ServerRecord:
    return replace(record, pid=None, group=None, boot_id="", start=None, exes=(), token="", ready=False)
