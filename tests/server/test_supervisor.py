"""The published states of a supervised server, and what brings them about."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest

from launcher.core import Core, Snapshot, open_core
from launcher.domain.models import Models
from launcher.domain.server import Owner, ServerState, ServerStatus
from launcher.errors import LauncherError
from launcher.server.supervisor import RestartPolicy
from tests.support.demo_server import DemoServer
from tests.support.machine import QUICK, Machine
from tests.support.waiting import eventually

pytestmark = pytest.mark.anyio

S = ServerState
IMPATIENT = RestartPolicy(first_delay_s=0.05, longest_delay_s=0.2, most=2, stable_s=60.0)


@dataclass
class Window:
    """What a window sees."""

    core: Core
    statuses: list[ServerStatus] = field(default_factory=list)
    models: list[Models] = field(default_factory=list)
    reports: list[LauncherError] = field(default_factory=list)

    @property
    def states(self) -> list[ServerState]:
        return [status.state for status in self.statuses]

    @property
    def status(self) -> ServerStatus:
        return self.core.supervisor.status

    async def sees(self, state: ServerState, timeout_s: float = 20.0) -> ServerStatus:
        await eventually(lambda: self.status.state is state, timeout_s, f"{state} after {self.states}")
        return self.status


@asynccontextmanager
async def window(machine: Machine, policy: RestartPolicy = IMPATIENT) -> AsyncIterator[Window]:
    statuses: list[ServerStatus] = []
    models: list[Models] = []
    reports: list[LauncherError] = []

    def publish(snapshot: Snapshot) -> None:
        if isinstance(snapshot, ServerStatus):
            statuses.append(snapshot)
        elif isinstance(snapshot, Models):
            models.append(snapshot)

    async with open_core(
        environ=machine.environ, timing=QUICK, publish=publish, report=reports.append, policy=policy
    ) as core:
        run = asyncio.create_task(core.run())
        try:
            yield Window(core, statuses, models, reports)
        finally:
            run.cancel()
            await asyncio.wait({run})


async def test_start_and_stop_publish_each_step(machine: Machine) -> None:
    async with window(machine) as seen:
        await seen.sees(S.STOPPED)
        seen.core.supervisor.start()
        assert seen.status.state is S.STARTING
        running = await seen.sees(S.RUNNING)
        assert running.owner is Owner.OURS
        seen.core.supervisor.stop()
        assert seen.status.state is S.STOPPING
        await seen.sees(S.STOPPED)
        order = [state for at, state in enumerate(seen.states) if at == 0 or state is not seen.states[at - 1]]
        assert order == [S.STOPPED, S.STARTING, S.RUNNING, S.STOPPING, S.STOPPED]
    assert machine.processes() == []


async def test_equal_snapshots_are_published_once(machine: Machine) -> None:
    async with window(machine) as seen:
        await seen.sees(S.STOPPED)
        for _ in range(3):
            seen.core.health.wake()
            await asyncio.sleep(0)
        seen.core.supervisor.start()
        await seen.sees(S.RUNNING)
        assert all(one != two for one, two in zip(seen.statuses, seen.statuses[1:], strict=False))
        await seen.core.control.stop()


async def test_a_double_click_is_harmless(machine: Machine) -> None:
    async with window(machine) as seen:
        await seen.sees(S.STOPPED)
        seen.core.supervisor.start()
        seen.core.supervisor.start()
        await seen.sees(S.RUNNING)
        assert len(machine.servers()) == 1
        seen.core.supervisor.stop()
        seen.core.supervisor.stop()
        await seen.sees(S.STOPPED)


async def test_the_last_wish_wins(machine: Machine) -> None:
    machine.script(scale=0.01, start={"silent_s": 60})
    async with window(machine) as seen:
        await seen.sees(S.STOPPED)
        seen.core.supervisor.start()
        await eventually(machine.servers)
        seen.core.supervisor.stop()
        await seen.sees(S.STOPPED)
        assert machine.processes() == []


async def test_a_crash_is_noticed_and_mended(machine: Machine) -> None:
    async with window(machine) as seen:
        await seen.sees(S.STOPPED)
        seen.core.supervisor.start()
        first = await seen.sees(S.RUNNING)
        assert first.pid is not None
        os.kill(first.pid, signal.SIGKILL)
        backoff = await seen.sees(S.BACKOFF)
        assert backoff.reason
        second = await seen.sees(S.RUNNING)
        assert second.pid != first.pid
        await seen.core.control.stop()


async def test_a_server_that_always_crashes_is_given_up(machine: Machine) -> None:
    async with window(machine) as seen:
        await seen.sees(S.STOPPED)
        seen.core.supervisor.start()
        killed = set()
        for _ in range(IMPATIENT.most + 1):
            await seen.sees(S.RUNNING)
            pid = seen.status.pid
            assert pid is not None
            killed.add(pid)
            os.kill(pid, signal.SIGKILL)
            await eventually(lambda: seen.status.state is not S.RUNNING or seen.status.pid not in killed)
        failed = await seen.sees(S.FAILED)
        assert "3 times" in failed.reason
        assert seen.states.count(S.BACKOFF) == IMPATIENT.most
        seen.core.supervisor.start()
        await seen.sees(S.RUNNING)
        await seen.core.control.stop()


async def test_stop_ends_the_retrying(machine: Machine) -> None:
    async with window(machine, RestartPolicy(first_delay_s=60)) as seen:
        await seen.sees(S.STOPPED)
        seen.core.supervisor.start()
        running = await seen.sees(S.RUNNING)
        assert running.pid is not None
        os.kill(running.pid, signal.SIGKILL)
        await seen.sees(S.BACKOFF)
        seen.core.supervisor.stop()
        await seen.sees(S.STOPPED)
        assert machine.servers() == []


async def test_a_server_stopped_by_another_launcher_is_not_a_crash(machine: Machine) -> None:
    async with window(machine) as seen:
        await seen.sees(S.STOPPED)
        seen.core.supervisor.start()
        await seen.sees(S.RUNNING)
        async with machine.launcher() as other:
            await other.control.stop()
        await seen.sees(S.STOPPED)
        assert S.BACKOFF not in seen.states
        assert machine.servers() == []


async def test_a_restart_by_another_launcher_is_followed(machine: Machine) -> None:
    async with window(machine) as seen:
        await seen.sees(S.STOPPED)
        seen.core.supervisor.start()
        first = await seen.sees(S.RUNNING)
        async with machine.launcher() as other:
            second = await other.control.restart()
        await eventually(lambda: seen.status.state is S.RUNNING and seen.status.pid == second.pid)
        assert second.pid != first.pid
        assert len(machine.servers()) == 1
        await seen.core.control.stop()


async def test_a_recorded_server_is_adopted_watched_and_mended(machine: Machine) -> None:
    async with machine.launcher() as earlier:
        started = await earlier.control.start()
    async with window(machine) as seen:
        seen.core.health.watch(visible=False)  # it looks every 10 s then: its end is told, not found
        adopted = await seen.sees(S.RUNNING)
        assert (adopted.owner, adopted.pid) == (Owner.OURS, started.pid)
        assert adopted.pid is not None
        await eventually(lambda: any(task.get_name() == "server-exit" for task in asyncio.all_tasks()))
        os.kill(adopted.pid, signal.SIGKILL)
        await seen.sees(S.BACKOFF, timeout_s=5)
        await seen.sees(S.RUNNING)
        seen.core.supervisor.stop()
        await seen.sees(S.STOPPED)


async def test_a_window_that_ends_leaves_the_server_running(machine: Machine) -> None:
    async with window(machine) as seen:
        await seen.sees(S.STOPPED)
        seen.core.supervisor.start()
        await seen.sees(S.RUNNING)
    assert len(machine.servers()) == 1
    async with machine.launcher() as core:
        await core.control.stop()


@pytest.mark.parametrize(
    ("on_quit", "left"), [pytest.param("stop", 0, id="stop it"), pytest.param("leave", 1, id="leave it running")]
)
async def test_quit_obeys_the_setting(machine: Machine, on_quit: str, left: int) -> None:
    async with window(machine) as seen:
        seen.core.settings.change(on_quit=on_quit)
        await seen.sees(S.STOPPED)
        seen.core.supervisor.start()
        await seen.sees(S.RUNNING)
        await seen.core.quit()
    assert len(machine.servers()) == left
    async with machine.launcher() as core:
        await core.control.stop()


async def test_quit_leaves_a_server_that_is_not_ours(machine: Machine) -> None:
    async with DemoServer(machine.folder / "theirs", port=machine.port) as theirs:
        async with window(machine) as seen:
            running = await seen.sees(S.RUNNING)
            assert running.owner is Owner.UNKNOWN
            await seen.core.quit()
        async with machine.launcher() as core:
            assert (await core.control.inspect()).state is S.RUNNING
        assert theirs.pid


async def test_a_foreign_server_that_goes_silent_is_degraded_then_running(machine: Machine) -> None:
    async with DemoServer(machine.folder / "theirs", port=machine.port) as theirs, window(machine) as seen:
        await seen.sees(S.RUNNING)
        os.kill(theirs.pid, signal.SIGSTOP)
        await seen.sees(S.DEGRADED)
        os.kill(theirs.pid, signal.SIGCONT)
        await seen.sees(S.RUNNING)


async def test_models_are_published_when_the_server_comes_and_forgotten_when_it_goes(machine: Machine) -> None:
    async with window(machine) as seen:
        await seen.sees(S.STOPPED)
        seen.core.supervisor.start()
        await eventually(lambda: seen.models and seen.models[-1].installed is not None)
        seen.core.supervisor.stop()
        await eventually(lambda: seen.models[-1] == Models(None, None))


FAILURES: dict[str, tuple[Callable[[Machine], object], ServerState]] = {
    "no binary": (lambda m: m.environ.update(OLLAMA_LAUNCHER_OLLAMA=str(m.folder / "nothing")), S.NOT_INSTALLED),
    "models folder is a file": (lambda m: m.models.write_text("x"), S.FAILED),
}


@pytest.mark.parametrize(("break_it", "state"), FAILURES.values(), ids=FAILURES.keys())
async def test_a_start_that_fails_says_why(
    machine: Machine, break_it: Callable[[Machine], object], state: ServerState
) -> None:
    break_it(machine)
    async with window(machine) as seen:
        await eventually(lambda: seen.status.state is not S.CHECKING)
        seen.core.supervisor.start()
        await eventually(lambda: seen.status.state in (S.FAILED, S.NOT_INSTALLED))
        assert seen.status.state is state
        assert seen.status.reason
        assert seen.status.hint
