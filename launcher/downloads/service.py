"""The list of transfers and the pulls behind it.

One transfer per name, all running side by side; a name twice is one transfer. Intents are synchronous and show their
effect in the same call; :meth:`Downloads.run` does the work. Closing the stream of a pull is how the server is told to
stop (there is no other way), and it keeps every byte then; pulling again goes on (server/download.go, 0.33).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable

from launcher.domain.names import ModelName
from launcher.domain.transfer import (
    STALLED_AFTER_S,
    Phase,
    PullLine,
    Transfer,
    Trouble,
    failed,
    fold,
    new_transfer,
    paused,
    reopened,
    tick,
    with_plan,
)
from launcher.downloads.reasons import GO_ON, broken_off, ended_by
from launcher.downloads.sizes import Sizes, registry_sizes
from launcher.errors import LauncherError, sentence
from launcher.ollama import Client
from launcher.ollama.errors import InlineError, OllamaError, Reason, TimedOut
from launcher.ollama.wire.progress import Progress
from launcher.tasks import TaskScope

PUBLISH_EVERY_S = 0.1
REOPENED_AFTER_S = 75.0
"""A stall of so long is answered by a new stream. The server reconnects its own after 30 s, again and again and
sometimes in vain; starting anew is what cures it then (ollama/ollama#1736)."""

FIRST_LINE_WITHIN_S = 20.0
"""The first line of a pull comes before anything is asked of the registry: who does not say it says nothing."""

JOINED_A_CLOSING_ONE_AT_MOST = 5
_AFTER_JOINING_S = 0.2
"""A pull that joins one whose stream has just been closed ends with it (server/download.go, 0.33): tried again."""

_TICK_S = 0.5

_LET_GO = (Phase.PAUSED, Phase.QUEUED)
"""What a transfer is while the stream of its last attempt may still be closing."""

Publish = Callable[[tuple[Transfer, ...]], None]

_log = logging.getLogger(__name__)


class _Job:
    """One transfer and the task that feeds it."""

    def __init__(self, name: ModelName, insecure: bool, transfer: Transfer) -> None:
        self.name = name
        self.insecure = insecure
        self.transfer = transfer
        self.task: asyncio.Task[None] | None = None
        self.drained = False
        """Paused by :meth:`Downloads.drain`, not by a person."""
        self.joined_closing = 0
        """So often in a row an attempt has joined one that was just being closed."""

    @property
    def busy(self) -> bool:
        return self.task is not None and not self.task.done()


class Downloads:
    """All downloads of one server. ``publish`` gets the whole list, at most every :data:`PUBLISH_EVERY_S`."""

    def __init__(
        self,
        client: Client,
        publish: Publish,
        *,
        sizes: Sizes | None = None,
        clock: Callable[[], float] = time.monotonic,
        stalled_after_s: float = STALLED_AFTER_S,
        reopened_after_s: float = REOPENED_AFTER_S,
        first_line_within_s: float = FIRST_LINE_WITHIN_S,
    ) -> None:
        self._client = client
        self._publish = publish
        self._sizes = sizes or registry_sizes(client)
        self._clock = clock
        self._stalled_after_s = stalled_after_s
        self._reopened_after_s = reopened_after_s
        self._first_line_within_s = first_line_within_s
        self._jobs: dict[str, _Job] = {}
        self._wake = asyncio.Event()
        self._published: tuple[Transfer, ...] = ()
        self._published_s = float("-inf")
        self._flush: asyncio.TimerHandle | None = None

    @property
    def transfers(self) -> tuple[Transfer, ...]:
        """All transfers as they are now, oldest first."""
        return tuple(job.transfer for job in self._jobs.values())

    # Intents

    def add(self, name: str, *, insecure: bool = False) -> Transfer:
        """Download a model; one that is on the list already goes on, or begins again if it has ended.

        Raises InvalidModelName.
        """
        parsed = ModelName.parse(name)
        job = self._jobs.get(parsed.key)
        if job is None:
            job = _Job(parsed, insecure, new_transfer(parsed.display, self._clock()))
            self._jobs[parsed.key] = job
        elif job.transfer.phase.ended or job.transfer.phase is Phase.PAUSED:
            job.insecure = insecure
            job.transfer = self._queued(job)
        self._wake.set()
        self._show_now()
        return job.transfer

    def offer(self, name: str) -> None:
        """Put a download on the list that goes on when a person wishes it. Raises InvalidModelName."""
        parsed = ModelName.parse(name)
        if parsed.key not in self._jobs:
            # How much that is, only the server knows, and it tells it to who goes on.
            waiting = paused(
                new_transfer(parsed.display, self._clock()), hint="What has come is kept: it goes on from there."
            )
            self._jobs[parsed.key] = _Job(parsed, False, waiting)
            self._show_now()

    def cancel(self, name: str) -> None:
        """Close the stream of a download; what is on disk stays, and :meth:`add` goes on from there."""
        job = self._find(name)
        if job is None or job.transfer.phase.ended:
            return
        self._pause(job)
        self._show_now()

    def dismiss(self, name: str) -> None:
        """Take a download off the list; one that runs is cancelled first."""
        job = self._find(name)
        if job is None:
            return
        self._pause(job)
        del self._jobs[job.name.key]
        self._show_now()

    def retry(self, name: str) -> None:
        """Go on with a download that has failed or is paused."""
        job = self._find(name)
        if job is not None and job.transfer.phase in (Phase.FAILED, Phase.PAUSED):
            job.transfer = self._queued(job)
            self._wake.set()
            self._show_now()

    def resume(self) -> None:
        """Go on with what :meth:`drain` has paused: the server is back."""
        for job in self._jobs.values():
            if job.drained and job.transfer.phase is Phase.PAUSED:
                job.transfer = self._queued(job)
        self._wake.set()
        self._show_now()

    # Work

    async def run(self) -> None:
        """Pull what is on the list until cancelled; the streams are closed then and the downloads stay resumable."""
        scope = TaskScope(self._broke)
        try:
            while True:
                self._start_queued(scope)
                self._tick()
                self._wake.clear()
                moving = any(job.busy for job in self._jobs.values())
                # Without a transfer that moves there is nothing to look at: wait for the next intent, however long.
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(_TICK_S if moving else None):
                        await self._wake.wait()
        finally:
            await self.drain()
            await scope.aclose(1.0)
            if self._flush is not None:
                self._flush.cancel()
                self._flush = None

    async def drain(self, timeout_s: float = 2.0) -> None:
        """Pause all transfers: close their streams and wait until that is done, for at most ``timeout_s``."""
        tasks = {job.task for job in self._jobs.values() if job.task is not None and job.busy}
        for job in self._jobs.values():
            if not job.transfer.phase.ended and job.transfer.phase is not Phase.PAUSED:
                self._pause(job)
                job.drained = True
        self._show_now()
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=timeout_s)
            if late:
                _log.warning("%d pull streams did not close within %.1f s", len(late), timeout_s)

    def _start_queued(self, scope: TaskScope) -> None:
        for job in self._jobs.values():
            # One that was cancelled and added again waits until its old stream is closed.
            if job.transfer.phase is Phase.QUEUED and not job.busy:
                # QUEUED -> CONNECTING
                job.transfer = reopened(job.transfer, self._clock())
                job.task = scope.spawn(self._pull(job, scope), name=f"pull {job.name.display}")
                job.task.add_done_callback(lambda _: self._wake.set())
                self._changed()

    async def _pull(self, job: _Job, scope: TaskScope) -> None:
        planning = scope.spawn(self._plan(job), name=f"sizes of {job.name.display}")
        try:
            async with contextlib.aclosing(self._client.pull(job.name.display, job.insecure)) as lines:
                async with asyncio.timeout(self._first_line_within_s) as bound:
                    async for progress in lines:
                        bound.reschedule(None)
                        self._take(job, progress)
        except TimeoutError:
            self._end(job, ended_by(TimedOut(self._client.base_url), job.transfer))
        except OllamaError as error:
            _log.info("pull of %s failed: %s %s", job.name.display, error.title, error.detail)
            closing = isinstance(error, InlineError) and error.reason is Reason.CANCELLED
            if closing and job.joined_closing < JOINED_A_CLOSING_ONE_AT_MOST:
                job.joined_closing += 1
                await asyncio.sleep(_AFTER_JOINING_S)
                # CONNECTING, PULLING -> QUEUED
                self._end(job, reopened(job.transfer, self._clock(), phase=Phase.QUEUED))
                return
            self._end(job, ended_by(error, job.transfer))
        else:
            # A stream is complete only after "success".
            if not job.transfer.phase.ended:
                self._end(job, broken_off(job.transfer))
        finally:
            planning.cancel()

    async def _plan(self, job: _Job) -> None:
        """Ask the registry what there is to come. It may refuse, be slow or be wrong: the pull does not wait for it."""
        try:
            layers = tuple(await self._sizes(job.name, job.insecure))
        except LauncherError as error:
            _log.info("no sizes of %s from the registry: %s", job.name.display, error.detail or error.title)
            return
        job.transfer = with_plan(job.transfer, layers)
        self._changed()

    def _take(self, job: _Job, progress: Progress) -> None:
        if job.transfer.phase in _LET_GO:
            return
        line = PullLine(progress.status, progress.digest, progress.total, progress.completed)
        transfer = fold(job.transfer, line, self._clock(), stalled_after_s=self._stalled_after_s)
        if transfer.phase.ended:
            self._end(job, transfer)
        else:
            job.transfer = transfer
            self._changed()

    def _end(self, job: _Job, transfer: Transfer) -> None:
        # A stream that is closed on purpose may still fail on its way out: the purpose stays.
        if job.transfer.phase not in _LET_GO:
            job.transfer = transfer
            self._show_now()

    def _tick(self) -> None:
        now_s = self._clock()
        for job in self._jobs.values():
            if job.transfer.phase is not Phase.STALLED:
                job.transfer = tick(job.transfer, now_s, stalled_after_s=self._stalled_after_s)
                continue
            still_s = now_s - job.transfer.ledger.changed_s
            if still_s >= self._reopened_after_s and job.task is not None:
                # STALLED -> QUEUED -> CONNECTING
                _log.info("%s has stalled for %.0f s: opening its stream again", job.name.display, still_s)
                job.task.cancel()
                job.transfer = self._queued(job)
        self._changed()

    def _queued(self, job: _Job) -> Transfer:
        """Another attempt, which begins when :meth:`run` comes to it."""
        job.drained = False
        job.joined_closing = 0
        return reopened(job.transfer, self._clock(), phase=Phase.QUEUED)

    def _pause(self, job: _Job) -> None:
        job.drained = False
        if not job.transfer.phase.ended:
            job.transfer = paused(job.transfer)
        if job.task is not None:
            job.task.cancel()

    def _broke(self, name: str, error: BaseException) -> None:
        """A task failed in a way that nobody foresaw: its transfer says so, the others go on."""
        _log.error("%s failed", name, exc_info=error)
        for job in self._jobs.values():
            if job.task is not None and job.task.get_name() == name and not job.transfer.phase.ended:
                told = sentence("{model} could not be downloaded: the launcher has a fault.", model=job.name.display)
                self._end(job, failed(job.transfer, Trouble.OTHER, told, GO_ON, repr(error)))

    def _find(self, name: str) -> _Job | None:
        return self._jobs.get(ModelName.parse(name).key)

    # Publishing

    def _changed(self) -> None:
        """Show what there is, now or as soon as it is due."""
        if self._flush is not None or self.transfers == self._published:
            return
        wait_s = self._published_s + PUBLISH_EVERY_S - time.monotonic()
        if wait_s <= 0:
            self._show_now()
        else:
            self._flush = asyncio.get_running_loop().call_later(wait_s, self._show_now)

    def _show_now(self) -> None:
        if self._flush is not None:
            self._flush.cancel()
            self._flush = None
        transfers = self.transfers
        if transfers != self._published:
            self._published = transfers
            self._published_s = time.monotonic()
            self._publish(transfers)
