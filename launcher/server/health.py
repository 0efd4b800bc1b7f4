"""Look at the server again and again: fast while it starts, seldom when nobody watches.

Knows when to look, not what follows from it: each look goes to ``on_seen``, and what is installed and loaded is read
again through ``refresh_models`` when the server came or changed, and every few seconds.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from launcher.domain.server import ANSWERING, Answer, ServerState, Sighting


@dataclass(frozen=True, slots=True)
class Intervals:
    """Seconds between two looks."""

    start_fast_s: float = 0.05
    start_fast_for_s: float = 2.0
    start_slow_s: float = 0.5
    running_s: float = 2.0
    unwatched_s: float = 10.0
    """While no window is visible; the exit of our own child is told without a look."""
    models_s: float = 4.0
    """Between two readings of what is installed and loaded."""


class HealthPoller:
    """Call ``look`` at the right moments, until cancelled.

    ``state`` tells the state that was published last. :meth:`wake` makes the next look happen now, e.g. after a
    command or when the child ended; :meth:`watch` says whether anybody sees the result.
    """

    def __init__(
        self,
        *,
        look: Callable[[], Awaitable[Sighting]],
        on_seen: Callable[[Sighting], None],
        state: Callable[[], ServerState],
        refresh_models: Callable[[], Awaitable[object]],
        forget_models: Callable[[], None],
        intervals: Intervals | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._look = look
        self._on_seen = on_seen
        self._state = state
        self._refresh_models = refresh_models
        self._forget_models = forget_models
        self._intervals = intervals or Intervals()
        self._clock = clock
        self._watched = True
        self._woken = asyncio.Event()
        self._starting_since_s: float | None = None
        self._models_read_s: float | None = None
        self._answering: tuple[str | None, int | None] | None = None

    def wake(self) -> None:
        """Look now instead of when the interval is over."""
        self._woken.set()

    def watch(self, *, visible: bool) -> None:
        """Say whether somebody sees the state; who begins to look sees the truth at once."""
        self._watched = visible
        if visible:
            self.wake()

    async def run(self) -> None:
        """Poll until cancelled."""
        while True:
            self._woken.clear()
            sighting = await self._look()
            self._on_seen(sighting)
            await self._read_models(sighting)
            await self._pause()

    async def _read_models(self, sighting: Sighting) -> None:
        if sighting.answer is not Answer.OLLAMA:
            if self._answering is not None and sighting.answer is Answer.NONE:
                self._answering = None
                self._forget_models()
            return
        who = (sighting.version, sighting.pid)
        now_s = self._clock()
        due = self._models_read_s is None or now_s - self._models_read_s >= self._intervals.models_s
        if who != self._answering or due:
            self._answering = who
            self._models_read_s = now_s
            await self._refresh_models()

    async def _pause(self) -> None:
        try:
            async with asyncio.timeout(self.interval_s()):
                await self._woken.wait()
        except TimeoutError:
            return

    def interval_s(self) -> float:
        """How long to wait before the next look, as things are now."""
        state = self._state()
        intervals = self._intervals
        if state in (ServerState.STARTING, ServerState.STOPPING):
            now_s = self._clock()
            if self._starting_since_s is None:
                self._starting_since_s = now_s
            fast = now_s - self._starting_since_s < intervals.start_fast_for_s
            return intervals.start_fast_s if fast else intervals.start_slow_s
        self._starting_since_s = None
        if state in ANSWERING or not self._watched:
            return intervals.running_s if self._watched else intervals.unwatched_s
        return intervals.running_s
