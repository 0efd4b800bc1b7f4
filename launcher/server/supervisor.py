"""Keep the server in the state that a person wishes, for as long as a window is open, and publish the truth about it.

Intents (:meth:`Supervisor.start`, :meth:`~Supervisor.stop`, :meth:`~Supervisor.restart`) are synchronous: their visible
effect is published in the same call, the work is done by :meth:`Supervisor.run`. The last intent wins: a stop that
comes while a start waits for readiness ends that wait. What is done to processes is :mod:`launcher.server.control`'s.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any

from launcher.domain.server import (
    ANSWERING,
    Answer,
    Failed,
    Gone,
    Owner,
    Recorded,
    RetryPlanned,
    Seen,
    ServerEvent,
    ServerState,
    ServerStatus,
    Sighting,
    StartWished,
    StopWished,
    advance,
)
from launcher.errors import LauncherError, sentence
from launcher.server import identity
from launcher.server.control import ServerControl
from launcher.server.errors import NotInstalled, NotOffered, PortTaken, StoppedMeanwhile
from launcher.server.spawn import Adopted, ProcessOutcome
from launcher.tasks import run_blocking

_log = logging.getLogger(__name__)

_LOG_CHECK_S = 60.0


@dataclass(frozen=True, slots=True)
class RestartPolicy:
    """How a server that ended by itself is started again."""

    first_delay_s: float = 1.0
    longest_delay_s: float = 60.0
    """The delay doubles each time."""
    most: int = 4
    """Ends in a row after which it is given up; 0: it is never started again."""
    stable_s: float = 60.0
    """A server that answered for so long has not ended "in a row"."""


class _Wish(Enum):
    START = auto()
    STOP = auto()
    RESTART = auto()
    RETRY = auto()
    """Start again after the server ended by itself."""


class Supervisor:
    """Own the published :class:`ServerStatus`.

    ``publish`` gets each snapshot that differs from the last; ``report`` gets the error of an intent that failed and
    leaves no trace in the status (e.g. a stop that was refused). ``wake_poller`` asks for a look now.
    """

    def __init__(
        self,
        control: ServerControl,
        *,
        publish: Callable[[ServerStatus], None],
        report: Callable[[LauncherError], None],
        wake_poller: Callable[[], None],
        policy: RestartPolicy | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._control = control
        self._publish = publish
        self._report = report
        self._wake_poller = wake_poller
        self._policy = policy or RestartPolicy()
        self._clock = clock
        self._status = control.initial_status()
        self._wish: _Wish | None = None
        self._wished = asyncio.Event()
        self._work: _Wish | None = None
        self._ends_in_a_row = 0
        self._answered_since_s: float | None = None
        self._ended = asyncio.Event()
        self._child_may_differ = asyncio.Event()

    @property
    def status(self) -> ServerStatus:
        """The snapshot that was published last."""
        return self._status

    # --- intents ----------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Wish it running."""
        if self._status.state in (ServerState.RUNNING, ServerState.STARTING):
            return
        self._ends_in_a_row = 0
        self._wish_for(_Wish.START, StartWished())

    def stop(self) -> None:
        """Wish it stopped."""
        if self._status.state in (ServerState.STOPPING, ServerState.STOPPED):
            return
        self._wish_for(_Wish.STOP, StopWished())

    def restart(self) -> None:
        """Wish it stopped and started again."""
        self._ends_in_a_row = 0
        self._wish_for(_Wish.RESTART, StopWished())

    # --- what others saw --------------------------------------------------------------------------------------

    def seen(self, sighting: Sighting) -> None:
        """Take one look of the poller."""
        if self._work in (_Wish.STOP, _Wish.RESTART) or self._wish is not None:
            return  # the look is older than the wish
        if self._work is not None and sighting.answer is not Answer.OLLAMA:
            return  # a start says itself how it fails
        before = self._status
        if sighting.recorded is Recorded.ENDED and before.owner is Owner.OURS and before.state in ANSWERING:
            # Ended before its end could be waited for.
            self._ended.set()
            return
        self._apply(Seen(sighting))

    # --- the work ---------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Do what is wished, watch the child, until cancelled. Cancelling releases the server: it lives on."""
        watchers = [
            asyncio.create_task(self._serve_wishes(), name="server-wishes"),
            asyncio.create_task(self._watch_for_ends(), name="server-ends"),
            asyncio.create_task(self._keep_log_small(), name="server-log-cap"),
        ]
        try:
            done, _ = await asyncio.wait(watchers, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in watchers:
                task.cancel()
            await asyncio.wait(watchers, timeout=3.0)

    async def _serve_wishes(self) -> None:
        while True:
            await self._wished.wait()
            self._wished.clear()
            wish, self._wish = self._wish, None
            if wish is None:
                continue
            self._work = wish
            work = asyncio.create_task(self._do(wish), name=f"server-{wish.name.lower()}")
            newer = asyncio.create_task(self._wished.wait(), name="server-newer-wish")
            try:
                await asyncio.wait({work, newer}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                newer.cancel()
                if not work.done():
                    work.cancel()
                await asyncio.wait({work, newer})
                self._work = None
                self._child_may_differ.set()
            if not work.cancelled():
                work.result()
            self._wake_poller()

    async def _do(self, wish: _Wish) -> None:
        try:
            match wish:
                case _Wish.START:
                    await self._control.start(self._tell)
                case _Wish.RETRY:
                    await self._retry()
                case _Wish.STOP:
                    await self._control.stop(self._tell)
                case _Wish.RESTART:
                    await self._control.restart(self._tell)
        except StoppedMeanwhile as error:
            self._apply(Gone(error.title))
            return
        except NotInstalled as error:
            self._apply(Failed(error.title, error.hint, ServerState.NOT_INSTALLED))
            return
        except PortTaken as error:
            self._apply(Failed(error.title, error.hint, ServerState.PORT_TAKEN))
            return
        except NotOffered as error:
            self._report(error)
        except LauncherError as error:
            _log.info("%s of the server failed: %s %s", wish.name.lower(), error.title, error.detail)
            if wish is _Wish.STOP:
                self._report(error)
            elif wish is _Wish.RETRY:
                self._plan_retry(error.title, error.hint)
                return
            else:
                self._apply(Failed(error.title, error.hint))
                return
        sighting = await self._control.look()
        if self._wish is not None:
            return
        if wish is not _Wish.STOP and sighting.recorded is Recorded.ENDED and sighting.answer is Answer.NONE:
            # It has answered, and ended before this look; its exit found us at work.
            self._plan_retry(*await self._control.explain_end())
        else:
            self._apply(Gone() if wish is _Wish.STOP and sighting.answer is Answer.NONE else Seen(sighting))

    async def _retry(self) -> None:
        delay_s = self._delay_s()
        await asyncio.sleep(delay_s)
        self._apply(StartWished())
        await self._control.start(self._tell, only_if_wanted=True)

    async def _watch_for_ends(self) -> None:
        """Notice at once that our child ended, or the server of an earlier launcher."""
        while True:
            self._child_may_differ.clear()
            child = self._control.child
            running = child is not None and child.outcome is None
            ending = child.wait() if child is not None and running else await self._end_of_adopted()
            exit_ = asyncio.create_task(ending, name="server-exit") if ending is not None else None
            told = asyncio.create_task(self._ended.wait(), name="server-end-told")
            changed = asyncio.create_task(self._child_may_differ.wait(), name="server-child-changed")
            waits: set[asyncio.Task[object]] = {task for task in (exit_, told, changed) if task is not None}
            try:
                await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for task in waits:
                    task.cancel()
                await asyncio.wait(waits)
            if self._ended.is_set() or (exit_ is not None and not exit_.cancelled()):
                self._ended.clear()
                await self._on_end()

    async def _end_of_adopted(self) -> Coroutine[Any, Any, ProcessOutcome] | None:
        """What ends when a server of ours does that another launcher has started; None where there is none."""
        pid = self._status.pid
        if self._status.owner is not Owner.OURS or pid is None:
            return None
        start = await run_blocking(identity.start_of, pid)
        return Adopted(pid, start).wait() if start is not None else None

    async def _on_end(self) -> None:
        if self._work is not None or self._wish is not None:
            return  # whoever starts or stops it finds out itself
        await self._control.sweep()
        sighting = await self._control.look()
        if sighting.answer is Answer.OLLAMA or sighting.recorded is not Recorded.ENDED:
            # Another launcher stopped it, or has started it again already.
            self._apply(Seen(sighting))
            self._wake_poller()
            return
        reason, hint = await self._control.explain_end()
        self._plan_retry(reason, hint)

    def _plan_retry(self, reason: str, hint: str) -> None:
        # RUNNING, STARTING -> BACKOFF, FAILED
        since_s = self._answered_since_s
        if since_s is not None and self._clock() - since_s >= self._policy.stable_s:
            self._ends_in_a_row = 0
        self._ends_in_a_row += 1
        if self._ends_in_a_row > self._policy.most:
            if self._policy.most:
                reason = sentence("{reason} It ended {count} times in a row.", reason=reason, count=self._ends_in_a_row)
            self._apply(Failed(reason, hint))
            return
        self._wish_for(_Wish.RETRY, RetryPlanned(self._delay_s(), reason, hint))

    def _delay_s(self) -> float:
        policy = self._policy
        return float(min(policy.longest_delay_s, policy.first_delay_s * 2 ** (self._ends_in_a_row - 1)))

    async def _keep_log_small(self) -> None:
        while True:
            await asyncio.sleep(_LOG_CHECK_S)
            if self._status.owner is Owner.OURS:
                await self._control.cap_log()

    # --- the snapshot -----------------------------------------------------------------------------------------

    def _wish_for(self, wish: _Wish, event: ServerEvent) -> None:
        self._wish = wish
        self._apply(event)
        self._wished.set()

    def _tell(self, progress: str) -> None:
        if self._wish is None and self._status.state is ServerState.STARTING:
            self._apply(StartWished(progress))

    def _apply(self, event: ServerEvent) -> None:
        before, after = self._status, advance(self._status, event)
        if after.state in ANSWERING and before.state not in ANSWERING:
            self._answered_since_s = self._clock()
        if after == before:
            return
        self._status = after
        if (after.owner, after.pid) != (before.owner, before.pid):
            self._child_may_differ.set()
        self._publish(after)
