"""What a window sees of a real server: start, crash, adoption, the end."""

from __future__ import annotations

import os
import signal
from contextlib import aclosing

import psutil
import pytest

from launcher.core import Core
from launcher.domain.server import Owner, ServerState
from launcher.domain.settings import OnQuit
from launcher.domain.transfer import Phase
from tests.real.conftest import recorded_bytes, servers
from tests.server.test_supervisor import window
from tests.support.machine import Machine
from tests.support.registry import Blob, LoopbackRegistry
from tests.support.waiting import eventually

pytestmark = [pytest.mark.real_ollama, pytest.mark.anyio]

S = ServerState


async def install(core: Core, name: str) -> None:
    async with aclosing(core.client.pull(name, insecure=True)) as lines:
        assert [line.status async for line in lines][-1] == "success"


async def test_start_and_stop_publish_each_step(machine: Machine) -> None:
    async with window(machine) as seen:
        await seen.sees(S.STOPPED)
        seen.core.supervisor.start()
        running = await seen.sees(S.RUNNING)
        assert (running.owner, running.simulated) == (Owner.OURS, False)
        assert running.version
        seen.core.supervisor.stop()
        await seen.sees(S.STOPPED)
        order = [state for at, state in enumerate(seen.states) if at == 0 or state is not seen.states[at - 1]]
        assert order == [S.STOPPED, S.STARTING, S.RUNNING, S.STOPPING, S.STOPPED]
    assert machine.processes() == []


async def test_a_crash_with_a_loaded_model_is_mended_and_swept(machine: Machine, registry: LoopbackRegistry) -> None:
    async with window(machine) as seen:
        await seen.sees(S.STOPPED)
        seen.core.supervisor.start()
        first = await seen.sees(S.RUNNING)
        name = registry.name_of("tiny")
        await install(seen.core, name)
        await seen.core.client.load(name)
        [runner] = [process for process in machine.processes() if "--model" in process.cmdline()]
        assert first.pid is not None
        os.kill(first.pid, signal.SIGKILL)
        backoff = await seen.sees(S.BACKOFF)
        assert backoff.reason
        second = await seen.sees(S.RUNNING)
        assert second.pid != first.pid
        assert not runner.is_running() or runner.status() == psutil.STATUS_ZOMBIE
        await eventually(lambda: seen.models and seen.models[-1].loaded == ())
        await seen.core.control.stop()
    assert machine.processes() == []


async def test_a_runner_that_dies_leaves_the_server_running(machine: Machine, registry: LoopbackRegistry) -> None:
    async with window(machine) as seen:
        await seen.sees(S.STOPPED)
        seen.core.supervisor.start()
        await seen.sees(S.RUNNING)
        name = registry.name_of("tiny")
        await install(seen.core, name)
        await seen.core.client.load(name)
        [runner] = [process for process in machine.processes() if "--model" in process.cmdline()]
        runner.kill()
        await seen.core.client.load(name)
        assert seen.status.state is S.RUNNING
        assert S.BACKOFF not in seen.states
        await seen.core.control.stop()


async def test_models_that_come_and_go_are_published(machine: Machine, registry: LoopbackRegistry) -> None:
    async with window(machine) as seen:
        await seen.sees(S.STOPPED)
        seen.core.supervisor.start()
        await seen.sees(S.RUNNING)
        name = registry.name_of("tiny")
        seen.core.downloads.add(name, insecure=True)
        await eventually(lambda: [one.phase for one in seen.core.downloads.transfers] == [Phase.DONE])
        await eventually(lambda: seen.models and [one.name for one in seen.models[-1].installed or ()] == [name])
        await seen.core.client.load(name)
        await eventually(lambda: seen.models and [one.name for one in seen.models[-1].loaded or ()] == [name])
        await seen.core.client.unload(name)
        await eventually(lambda: seen.models and seen.models[-1].loaded == ())
        await seen.core.control.stop()


async def test_an_adopted_server_that_ends_is_noticed(machine: Machine) -> None:
    async with machine.launcher() as other:
        await other.control.start()
    async with window(machine) as seen:
        running = await seen.sees(S.RUNNING)
        assert running.owner is Owner.OURS
        assert running.pid is not None
        os.kill(running.pid, signal.SIGKILL)
        seen.core.health.wake()
        await eventually(lambda: seen.status.state is S.RUNNING and seen.status.pid != running.pid, 20)
        assert S.BACKOFF in seen.states
        await seen.core.control.stop()


async def test_a_stop_by_another_launcher_is_no_crash(machine: Machine) -> None:
    async with window(machine) as seen:
        await seen.sees(S.STOPPED)
        seen.core.supervisor.start()
        await seen.sees(S.RUNNING)
        async with machine.launcher() as other:
            await other.control.stop()
        await seen.sees(S.STOPPED)
        assert S.BACKOFF not in seen.states
    assert machine.processes() == []


@pytest.mark.parametrize("on_quit", list(OnQuit), ids=lambda choice: choice.value)
async def test_quitting_does_what_the_setting_says(
    machine: Machine, registry: LoopbackRegistry, big_blob: Blob, on_quit: OnQuit
) -> None:
    """With a download under way, which is kept."""
    registry.rate_bps = 12_000_000
    async with window(machine) as seen:
        seen.core.settings.change(on_quit=on_quit)
        await seen.sees(S.STOPPED)
        seen.core.supervisor.start()
        await seen.sees(S.RUNNING)
        seen.core.downloads.add(registry.name_of("big"), insecure=True)
        await eventually(lambda: seen.core.downloads.transfers[0].completed_bytes > 20_000_000)
        shown = seen.core.downloads.transfers[0].completed_bytes
        await seen.core.quit()
    assert len(servers(machine)) == (0 if on_quit is OnQuit.STOP else 1)
    await eventually(lambda: recorded_bytes(machine.models, big_blob.digest) >= shown - 300_000)
    async with machine.launcher() as other:
        await other.control.stop()
    assert machine.processes() == []


async def test_downloads_side_by_side_share_what_they_share(machine: Machine, registry: LoopbackRegistry) -> None:
    """Three models, two with layers in common: all arrive, and the list tells each."""
    registry.rate_bps = 60_000_000
    async with window(machine) as seen:
        await seen.sees(S.STOPPED)
        seen.core.supervisor.start()
        await seen.sees(S.RUNNING)
        names = [registry.name_of(model) for model in ("tiny", "embed", "big")]
        for name in [*names, names[0]]:
            seen.core.downloads.add(name, insecure=True)
        assert len(seen.core.downloads.transfers) == 3
        await eventually(lambda: {one.phase for one in seen.core.downloads.transfers} == {Phase.DONE}, 30)
        assert {one.completed_bytes == one.total_bytes for one in seen.core.downloads.transfers} == {True}
        assert {model.name for model in (await seen.core.models()).installed or ()} == set(names)
        await seen.core.control.stop()
