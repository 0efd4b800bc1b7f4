"""The download of one blob, as ``server/download.go`` (0.33) does it: parts, resume files, retries, stalls.

Nothing is transferred. One task moves all parts of a blob along by the clock, and at the same moments as the real one
writes the resume files: when a part is made, when it ends, when it is cancelled, when it stalls, when its connection
breaks in the middle. Not while bytes come: what a kill loses in the real server is lost here too.
"""

from __future__ import annotations

import asyncio
import contextlib
import glob
import json
import math
import os
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, NoReturn

from launcher.demo import log
from launcher.demo.golang import GoError, format_duration, human_bytes, loads
from launcher.demo.registry import Layer, Registry
from launcher.demo.script import FaultScript, Script
from launcher.demo.store import ModelsFolder, go_errno
from launcher.domain.names import ModelName

if TYPE_CHECKING:
    from random import Random

_PARALLEL_PARTS = 16
_MIN_PART_BYTES = 100_000_000
_MAX_PART_BYTES = 1_000_000_000
_MAX_TRIES = 6
_STALL_S = 30.0
_TICK_S = 0.01


class DownloadFailed(Exception):
    """The download ended; the text is the one that the pull reports."""


class _State(Enum):
    WAITING = "waiting"  # for one of the 16 places
    RUNNING = "running"
    SLEEPING = "sleeping"  # between two tries; not even a cancel wakes it (time.Sleep in run, download.go)
    ENDED = "ended"


@dataclass(slots=True)
class _Part:
    """One range of the blob. ``recorded_bytes`` is what its resume file says, ``received_bytes`` came since."""

    number: int
    offset: int
    size_bytes: int
    recorded_bytes: int
    state: _State = _State.WAITING
    received_bytes: int = 0
    failed_tries: int = 0
    failure: str = ""
    wakes_at_s: float = 0.0
    last_byte_at_s: float = 0.0
    stalled_until_s: float = 0.0
    """Infinite: until the connection is opened anew."""

    @property
    def left_bytes(self) -> int:
        return self.size_bytes - self.recorded_bytes - self.received_bytes


class Disk:
    """The room for downloads that the script grants; None is without end."""

    def __init__(self, free_bytes: int | None) -> None:
        self._free_bytes = free_bytes

    def take(self, wanted_bytes: int) -> bool:
        """Use some room; False when there is not that much."""
        if self._free_bytes is None:
            return True
        if wanted_bytes > self._free_bytes:
            return False
        self._free_bytes -= wanted_bytes
        return True


class Downloads:
    """Every blob on its way, by digest: whoever pulls the same blob shares its download."""

    def __init__(self, folder: ModelsFolder, registry: Registry, script: Script, crash: Callable[[], NoReturn]) -> None:
        self.folder = folder
        self.registry = registry
        self.script = script
        self.crash = crash
        self.disk = Disk(script.free_bytes)
        self._running: dict[str, BlobDownload] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def join(self, name: ModelName, layer: Layer) -> BlobDownload:
        """Give the running download of a blob, or begin one; DownloadFailed where its resume files are damaged."""
        running = self._running.get(layer.digest)
        if running is None:
            running = BlobDownload(self, name, layer)
            running.prepare()
            self._running[layer.digest] = running
            task = asyncio.create_task(running.run())
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        return running

    def forget(self, layer: Layer) -> None:
        """Called by a download that has ended."""
        self._running.pop(layer.digest, None)

    def lose_race(self, random: Random) -> None:
        """Called when the server is terminated in the middle of downloads."""
        for running in self._running.values():
            running.lose_race(random)


class BlobDownload:
    """One blob on its way, shared by all who pull it; it is cancelled when the last of them leaves."""

    def __init__(self, world: Downloads, name: ModelName, layer: Layer) -> None:
        self.layer = layer
        self.total_bytes = 0
        self.completed_bytes = 0
        self._world = world
        self._script = world.script
        self._name = name
        self._path = world.folder.blob_path(layer.digest)
        self._parts: list[_Part] = []
        self._waiters = 0
        self._done = asyncio.Event()
        self._failure: str | None = None
        self._began_at_s = 0.0

    def prepare(self) -> None:
        """Read the resume files, or plan and write new ones; fails with the words of Go where one is damaged."""
        for path in sorted(glob.glob(glob.escape(self._path) + "-partial-*")):
            part = _read_sidecar(path)
            self._parts.append(part)
            self.total_bytes += part.size_bytes
            self.completed_bytes += part.recorded_bytes
        if not self._parts:
            self.total_bytes = self.layer.size_bytes
            shortest, longest = self._script.size(_MIN_PART_BYTES), self._script.size(_MAX_PART_BYTES)
            size = min(max(self.total_bytes // _PARALLEL_PARTS, shortest), longest)
            for number, offset in enumerate(range(0, self.total_bytes, size)):
                part = _Part(number, offset, min(size, self.total_bytes - offset), 0)
                self._parts.append(part)
                self._record(part)
        if self._parts:
            size_text = human_bytes(self._parts[0].size_bytes)
            message = f"downloading {self._short_digest} in {len(self._parts)} {size_text} part(s)"
            log.slog("INFO", "download.go:181", message)

    async def wait(self, left: asyncio.Event, show: Callable[[BlobDownload], Awaitable[None]]) -> None:
        """Call ``show`` at the interval of the lines until the end, or leave when ``left`` is set.

        Ends with DownloadFailed: the download's own text, or ``context canceled`` after leaving.
        """
        self._waiters += 1
        interval_s = self._script.line_interval_ms / 1000
        loop = asyncio.get_running_loop()
        due_s = loop.time() + interval_s
        done = asyncio.create_task(self._done.wait())
        gone = asyncio.create_task(left.wait())
        try:
            while not self._done.is_set():
                if left.is_set():
                    raise DownloadFailed("context canceled")
                timeout_s = max(0.0, due_s - loop.time())
                ended, _ = await asyncio.wait((done, gone), timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
                if not ended and not self._done.is_set():
                    await show(self)
                    # A Go ticker drops the ticks that nobody was there to take.
                    due_s += interval_s * (1 + max(0, (loop.time() - due_s) // interval_s))
            if self._failure is not None:
                raise DownloadFailed(self._failure)
        finally:
            done.cancel()
            gone.cancel()
            self._waiters -= 1
            if self._waiters == 0 and not self._done.is_set():
                self._stop("context canceled")

    async def run(self) -> None:
        """Move the parts along until all have ended."""
        tick_s = min(_TICK_S, self._script.line_interval_ms / 2000)
        try:
            _resize(self._path + "-partial", self.total_bytes)
            self._began_at_s = now_s = time.monotonic()
            for part in self._parts:
                if part.left_bytes == 0:
                    part.state = _State.ENDED
            self._fill_places(now_s)
            while not self._done.is_set() and any(part.state is not _State.ENDED for part in self._parts):
                await asyncio.sleep(tick_s)
                before_s, now_s = now_s, time.monotonic()
                self._advance(now_s, now_s - before_s)
            if self._failure is None:
                self._finish()
        except OSError as error:
            self._failure = self._failure or _go_os_error(error)
        finally:
            self._end()

    def lose_race(self, random: Random) -> None:
        """End as a terminated server does: which resume files are still written is a race (seen on 0.33.0-rc2).

        Recorded were: all, none, some; and one that was cut to nothing while it was being written.
        """
        outcome = random.choice(("all", "none", "some", "torn"))
        running = [part for part in self._parts if part.state is _State.RUNNING]
        torn = random.choice(running) if running and outcome == "torn" else None
        for part in running:
            if part is torn:
                with open(self._sidecar_path(part.number), "wb"):
                    pass
            elif outcome in ("all", "torn") or (outcome == "some" and random.random() < 0.5):
                self._record(part)

    @property
    def _short_digest(self) -> str:
        return self.layer.digest[7:19]

    def _sidecar_path(self, number: int) -> str:
        return f"{self._path}-partial-{number}"

    def _record(self, part: _Part) -> None:
        """Write the resume file: what was received becomes what is recorded."""
        part.recorded_bytes += part.received_bytes
        part.received_bytes = 0
        members = {"N": part.number, "Offset": part.offset, "Size": part.size_bytes, "Completed": part.recorded_bytes}
        with open(self._sidecar_path(part.number), "wb") as file:
            file.write(json.dumps(members, separators=(",", ":")).encode() + b"\n")
        reached = part.offset + part.recorded_bytes
        if part.recorded_bytes and reached > self.total_bytes:  # a resume file is missing: the sum of the rest is less
            _resize(self._path + "-partial", max(reached, os.path.getsize(self._path + "-partial")))

    def _fill_places(self, now_s: float) -> None:
        taken = sum(part.state in (_State.RUNNING, _State.SLEEPING) for part in self._parts)
        for part in self._parts:
            if part.state is _State.WAITING and taken < _PARALLEL_PARTS:
                self._connect(part, now_s)
                taken += 1

    def _connect(self, part: _Part, now_s: float) -> None:
        part.state = _State.RUNNING
        part.last_byte_at_s = now_s

    def _advance(self, now_s: float, elapsed_s: float) -> None:
        for part in self._parts:
            if part.state is _State.SLEEPING and now_s >= part.wakes_at_s:
                self._wake(part, now_s)
        running = [part for part in self._in_state(_State.RUNNING) if now_s >= part.stalled_until_s]
        for part in running:
            # What one part meets may have ended or stalled the others.
            if part.state is _State.RUNNING and now_s >= part.stalled_until_s:
                share_bytes = max(1, int(self._script.rate_bytes_per_s * elapsed_s / len(running)))
                self._receive(part, share_bytes, now_s)
        for part in self._in_state(_State.RUNNING):
            if now_s - part.last_byte_at_s > self._script.wait_s(_STALL_S):
                self._reconnect(part, now_s)
        self._fill_places(now_s)

    def _in_state(self, state: _State) -> list[_Part]:
        return [part for part in self._parts if part.state is state]

    def _receive(self, part: _Part, share_bytes: int, now_s: float) -> None:
        wanted = min(share_bytes, part.left_bytes)
        at_bytes = next(self._faults("stall", "error", "crash"), None)
        if at_bytes is not None:
            wanted = min(wanted, max(0, at_bytes.at_bytes - self.completed_bytes))
        cut = next((fault for fault in self._faults("cut", "rollback") if self._is_on(fault, now_s)), None)
        if cut is not None:
            wanted = min(wanted, max(0, cut.after_bytes - part.received_bytes))
        if not self._world.disk.take(wanted):
            self._run_out_of_space()
            return
        if wanted:
            part.received_bytes += wanted
            self.completed_bytes += wanted
            part.last_byte_at_s = now_s
        if part.left_bytes == 0:
            self._record(part)
            part.state = _State.ENDED
        elif cut is not None and part.received_bytes >= cut.after_bytes:
            self._world.registry.faults.spend(cut)
            self._break(part, now_s, keep=cut.fault == "cut")
        if at_bytes is not None and self.completed_bytes >= at_bytes.at_bytes:
            self._world.registry.faults.spend(at_bytes)
            self._meet(at_bytes, now_s)

    def _faults(self, *kinds: str) -> Iterator[FaultScript]:
        if self.layer.content is None:
            for kind in kinds:
                yield from self._world.registry.faults.of(self._name, kind)

    def _is_on(self, fault: FaultScript, now_s: float) -> bool:
        return fault.for_s is None or now_s - self._began_at_s < fault.for_s

    def _meet(self, fault: FaultScript, now_s: float) -> None:
        if fault.fault == "crash":
            self._world.crash()
        if fault.fault == "error":
            self._stop(fault.text)
        else:
            for part in self._in_state(_State.RUNNING):
                part.stalled_until_s = math.inf if fault.for_s is None else now_s + fault.for_s

    def _break(self, part: _Part, now_s: float, *, keep: bool) -> None:
        """Lose the connection: what came is recorded after a break in the middle, rolled back after a short answer."""
        if keep:
            self._record(part)
        else:
            self.completed_bytes -= part.received_bytes
            part.received_bytes = 0
        part.failure = "unexpected EOF" if keep else "EOF"
        pause_s = 2.0**part.failed_tries
        message = (
            f"{self._short_digest} part {part.number} attempt {part.failed_tries} failed: {part.failure}, "
            f"retrying in {format_duration(int(pause_s * 1e9))}"
        )
        log.slog("INFO", "download.go:299", message)
        part.failed_tries += 1
        part.wakes_at_s = now_s + self._script.wait_s(pause_s)
        part.state = _State.SLEEPING

    def _wake(self, part: _Part, now_s: float) -> None:
        if self._failure is not None:
            part.state = _State.ENDED
        elif part.failed_tries >= _MAX_TRIES:
            part.state = _State.ENDED
            self._stop(f"max retries exceeded: {part.failure}")
        else:
            self._connect(part, now_s)

    def _reconnect(self, part: _Part, now_s: float) -> None:
        message = (
            f"{self._short_digest} part {part.number} stalled; retrying. If this persists, press ctrl-c to exit, "
            "then 'ollama pull' to find a faster connection."
        )
        log.slog("INFO", "download.go:380", message)
        self._record(part)
        self._connect(part, now_s)
        if part.stalled_until_s == math.inf:
            part.stalled_until_s = 0.0

    def _run_out_of_space(self) -> None:
        # Every part meets the full disk: what each received is rolled back, and no resume file is written.
        for part in self._in_state(_State.RUNNING):
            self.completed_bytes -= part.received_bytes
            part.received_bytes = 0
            part.state = _State.ENDED
        self._stop(f"write {self._path}-partial: no space left on device")

    def _stop(self, failure: str) -> None:
        """Cancel the parts: running ones record what they have, sleeping ones sleep on."""
        if self._failure is not None:
            return
        self._failure = failure
        for part in self._parts:
            if part.state is _State.RUNNING:
                with contextlib.suppress(OSError):
                    self._record(part)
            if part.state is not _State.SLEEPING:
                part.state = _State.ENDED
        if all(part.state is _State.ENDED for part in self._parts):
            self._end()

    def _end(self) -> None:
        if not self._done.is_set():
            self._world.forget(self.layer)
            self._done.set()

    def _finish(self) -> None:
        """Turn the partial file into the blob. The resume files are removed by count, not by name, as Go does."""
        for number in range(len(self._parts)):
            os.remove(self._sidecar_path(number))
        if self.layer.content is not None:
            with open(self._path + "-partial", "wb") as file:
                file.write(self.layer.content)
        os.replace(self._path + "-partial", self._path)


def _read_sidecar(path: str) -> _Part:
    with open(path, "rb") as file:
        text = file.read().decode("utf-8", "replace")
    try:
        members = loads(text)
    except GoError as error:
        raise DownloadFailed(str(error)) from error
    if not isinstance(members, dict):
        kind = "array" if isinstance(members, list) else "string" if isinstance(members, str) else "number"
        raise DownloadFailed(f"json: cannot unmarshal {kind} into Go value of type server.jsonBlobDownloadPart")
    number, offset, size, completed = (int(members.get(name, 0)) for name in ("N", "Offset", "Size", "Completed"))
    return _Part(number, offset, size, completed)


def _resize(path: str, size_bytes: int) -> None:
    with open(path, "ab") as file:
        file.truncate(size_bytes)


def _go_os_error(error: OSError) -> str:
    operation = "remove" if isinstance(error, FileNotFoundError) else "open"
    return f"{operation} {error.filename}: {go_errno(error)}"
