"""When the poller looks, and what it asks for."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest

from launcher.domain.server import Answer, ServerState, Sighting
from launcher.server.health import HealthPoller, Intervals

pytestmark = pytest.mark.anyio

ANSWERS = Sighting(Answer.OLLAMA, version="0.33.0", pid=7)
NOBODY = Sighting(Answer.NONE)
FAST = Intervals(
    start_fast_s=0.001, start_fast_for_s=1.0, start_slow_s=0.002, running_s=0.001, unwatched_s=0.001, models_s=100.0
)
NEVER = Intervals(start_fast_s=100, start_slow_s=100, running_s=100, unwatched_s=100, models_s=100)


@dataclass
class Surroundings:
    """What the poller is given, and what it did with it."""

    answers: list[Sighting]
    """One a look; the last is repeated."""
    state: ServerState = ServerState.RUNNING
    now_s: float = 0.0
    looks: int = 0
    seen: list[Sighting] = field(default_factory=list)
    refreshed: int = 0
    forgotten: int = 0
    looked: asyncio.Event = field(default_factory=asyncio.Event)

    async def look(self) -> Sighting:
        self.looks += 1
        self.looked.set()
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]

    async def refresh(self) -> None:
        self.refreshed += 1

    def forget(self) -> None:
        self.forgotten += 1

    async def until(self, looks: int) -> None:
        async with asyncio.timeout(5):
            while self.looks < looks:
                self.looked.clear()
                await self.looked.wait()

    def poller(self, intervals: Intervals) -> HealthPoller:
        return HealthPoller(
            look=self.look,
            on_seen=self.seen.append,
            state=lambda: self.state,
            refresh_models=self.refresh,
            forget_models=self.forget,
            intervals=intervals,
            clock=lambda: self.now_s,
        )


@asynccontextmanager
async def running(poller: HealthPoller) -> AsyncIterator[None]:
    task = asyncio.create_task(poller.run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait({task})


async def test_each_look_is_told_in_order() -> None:
    around = Surroundings([NOBODY, ANSWERS, NOBODY])
    async with running(around.poller(FAST)):
        await around.until(4)
    assert around.seen[:3] == [NOBODY, ANSWERS, NOBODY]


async def test_models_are_read_when_the_server_comes_and_not_at_each_look() -> None:
    around = Surroundings([ANSWERS])
    async with running(around.poller(FAST)):
        await around.until(6)
    assert around.refreshed == 1


async def test_models_are_read_again_after_their_interval() -> None:
    around = Surroundings([ANSWERS])
    async with running(around.poller(FAST)):
        await around.until(2)
        around.now_s += FAST.models_s
        await around.until(around.looks + 2)
    assert around.refreshed == 2


async def test_another_process_behind_the_address_makes_the_models_be_read() -> None:
    around = Surroundings([ANSWERS, Sighting(Answer.OLLAMA, version="0.33.0", pid=8)])
    async with running(around.poller(FAST)):
        await around.until(4)
    assert around.refreshed == 2


async def test_models_are_forgotten_once_when_the_server_is_gone() -> None:
    around = Surroundings([ANSWERS, NOBODY])
    async with running(around.poller(FAST)):
        await around.until(5)
    assert around.forgotten == 1


async def test_silence_forgets_nothing() -> None:
    around = Surroundings([ANSWERS, Sighting(Answer.SILENT)])
    async with running(around.poller(FAST)):
        await around.until(5)
    assert around.forgotten == 0


async def test_wake_makes_it_look_now() -> None:
    around = Surroundings([NOBODY])
    poller = around.poller(NEVER)
    async with running(poller):
        await around.until(1)
        poller.wake()
        await around.until(2)
    assert around.looks == 2


async def test_whoever_begins_to_watch_sees_the_truth_at_once() -> None:
    around = Surroundings([NOBODY])
    poller = around.poller(NEVER)
    poller.watch(visible=False)
    async with running(poller):
        await around.until(1)
        poller.watch(visible=True)
        await around.until(2)
    assert around.looks == 2


INTERVALS = Intervals(start_fast_s=0.05, start_fast_for_s=2, start_slow_s=0.5, running_s=2, unwatched_s=10, models_s=4)


@pytest.mark.parametrize(
    ("state", "watched", "expected_s"),
    [
        pytest.param(ServerState.RUNNING, True, 2.0, id="running, watched"),
        pytest.param(ServerState.RUNNING, False, 10.0, id="running, unwatched"),
        pytest.param(ServerState.STOPPED, True, 2.0, id="stopped, watched"),
        pytest.param(ServerState.STOPPED, False, 10.0, id="stopped, unwatched"),
        pytest.param(ServerState.STARTING, True, 0.05, id="starting"),
        pytest.param(ServerState.STARTING, False, 0.05, id="starting, unwatched"),
    ],
)
async def test_interval(state: ServerState, watched: bool, expected_s: float) -> None:
    around = Surroundings([NOBODY], state=state)
    poller = around.poller(INTERVALS)
    poller.watch(visible=watched)
    assert poller.interval_s() == expected_s


async def test_a_start_is_looked_at_fast_for_two_seconds_only() -> None:
    around = Surroundings([NOBODY], state=ServerState.STARTING)
    poller = around.poller(INTERVALS)
    first = poller.interval_s()
    around.now_s += 2.0
    later = poller.interval_s()
    around.state = ServerState.RUNNING
    poller.interval_s()
    around.state = ServerState.STARTING
    assert (first, later, poller.interval_s()) == (0.05, 0.5, 0.05)
