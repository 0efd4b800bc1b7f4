"""Start, stop and restart a real child process: the simulated server, by way of a small `ollama` program."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import time
from dataclasses import replace

import pytest

from launcher.core import open_core
from launcher.domain.address import Address
from launcher.domain.server import Owner, ServerState, ServerStatus
from launcher.errors import StorageError
from launcher.server import identity
from launcher.server.errors import (
    LockBusy,
    ModelsFolderInUse,
    NotInstalled,
    NotOffered,
    PortTaken,
    SignalRefused,
    StartFailed,
    StoppedMeanwhile,
)
from launcher.server.launch import refuse_impossible
from launcher.server.log import LIMIT_BYTES
from launcher.server.record import ServerLock, Wanted
from tests.support.demo_server import DemoServer
from tests.support.logfail import ExpectLog
from tests.support.machine import QUICK, Machine
from tests.support.waiting import eventually

pytestmark = pytest.mark.anyio

MODEL = "nomic-embed-text"


@pytest.fixture
def another_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def is_running_ours(status: ServerStatus) -> bool:
    return (status.state, status.owner) == (ServerState.RUNNING, Owner.OURS)


async def test_start_makes_ours_answer_and_stop_ends_it(machine: Machine) -> None:
    async with machine.launcher() as core:
        before = await core.control.inspect()
        started = await core.control.start()
        looked = await core.control.inspect()
        stopped = await core.control.stop()
    assert before.state is ServerState.STOPPED
    assert is_running_ours(started)
    assert started.simulated
    assert started.version
    assert started.started_at == pytest.approx(time.time(), abs=30)
    assert looked == started
    assert (stopped.state, stopped.owner) == (ServerState.STOPPED, None)
    assert machine.processes() == []


async def test_another_launcher_sees_the_server_as_ours_and_stops_it(machine: Machine) -> None:
    async with machine.launcher() as first:
        await first.control.start()
    assert len(machine.servers()) == 1
    async with machine.launcher() as second:
        assert is_running_ours(await second.control.inspect())
        assert (await second.control.stop()).state is ServerState.STOPPED
    assert machine.processes() == []


async def test_the_record_says_what_was_started(machine: Machine) -> None:
    async with machine.launcher() as core:
        status = await core.control.start()
        record = machine.record_file.read()
        assert record is not None
        assert (record.pid, record.group) == (status.pid, status.pid)
        assert record.address == f"http://127.0.0.1:{machine.port}"
        assert record.models == str(machine.models)
        assert record.wanted is Wanted.RUNNING
        assert record.pid is not None
        assert identity.executable_of(record.pid) in record.exes
        assert os.getsid(record.pid) == record.pid
        await core.control.stop()
        record = machine.record_file.read()
    assert record is not None
    assert (record.pid, record.wanted) == (None, Wanted.STOPPED)


async def test_the_address_is_handed_to_the_child_explicitly(machine: Machine) -> None:
    machine.environ["OLLAMA_HOST"] = f"http://127.0.0.1:{machine.port}/v1"
    async with machine.launcher() as core:
        await core.control.start()
        [server] = machine.servers()
        assert server.environ()["OLLAMA_HOST"] == f"127.0.0.1:{machine.port}"
        await core.control.stop()


async def test_start_twice_at_once_starts_one_server(machine: Machine) -> None:
    async with machine.launcher() as first, machine.launcher() as second:
        one, other = await asyncio.gather(first.control.start(), second.control.start())
        assert is_running_ours(one)
        assert one.pid == other.pid
        assert len(machine.servers()) == 1
        await first.control.stop()


async def test_start_again_changes_nothing(machine: Machine) -> None:
    async with machine.launcher() as core:
        once = await core.control.start()
        again = await core.control.start()
        assert once == again
        await core.control.stop()


async def test_stop_during_start_ends_the_wait(machine: Machine) -> None:
    machine.script(scale=0.01, start={"silent_s": 60})
    async with machine.launcher() as first, machine.launcher() as second:
        start = asyncio.create_task(first.control.start())
        await eventually(lambda: machine.servers())
        stopped = await second.control.stop()
        with pytest.raises(StoppedMeanwhile):
            await start
    assert stopped.state is ServerState.STOPPED
    assert machine.processes() == []


async def test_restart_while_another_waits_for_readiness_does_not_end_that_wait(machine: Machine) -> None:
    machine.script(scale=0.01, start={"silent_s": 1})
    async with machine.launcher() as first, machine.launcher() as second:
        start = asyncio.create_task(first.control.start())
        await eventually(lambda: machine.servers())
        restarted = await second.control.restart()
        started = await start
        assert started.pid == restarted.pid
        await first.control.stop()


async def test_a_start_waits_for_a_server_that_is_being_stopped(machine: Machine) -> None:
    machine.script(scale=0.01, stop={"ignore": True})
    async with machine.launcher(replace(QUICK, grace_s=0.8)) as first, machine.launcher() as second:
        old = await first.control.start()
        stop = asyncio.create_task(first.control.stop())
        await eventually(lambda: (record := machine.record_file.read()) and record.wanted is Wanted.STOPPED)
        machine.script(scale=0.01)
        new = await second.control.start()
        await stop
        assert is_running_ours(new)
        assert new.pid != old.pid
        assert [process.pid for process in machine.servers()] == [new.pid]
        await second.control.stop()


async def test_a_stop_that_was_killed_is_finished_by_the_next_start(machine: Machine) -> None:
    async with machine.launcher() as core:
        old = await core.control.start()
        record = machine.record_file.read()
        assert record is not None
        machine.record_file.write(replace(record, wanted=Wanted.STOPPED))
        assert (await core.control.inspect()).state is ServerState.STOPPING
        new = await core.control.start()
        assert is_running_ours(new)
        assert [process.pid for process in machine.servers()] == [new.pid]
        assert new.pid != old.pid
        await core.control.stop()


async def test_a_stubborn_server_is_killed_after_the_grace(machine: Machine) -> None:
    machine.script(scale=0.01, stop={"ignore": True})
    async with machine.launcher(replace(QUICK, grace_s=0.3)) as core:
        await core.control.start()
        assert (await core.control.stop()).state is ServerState.STOPPED
    assert machine.processes() == []


async def test_restart_replaces_the_process(machine: Machine) -> None:
    async with machine.launcher() as core:
        old = await core.control.start()
        new = await core.control.restart()
        assert is_running_ours(new)
        assert new.pid != old.pid
        assert [process.pid for process in machine.servers()] == [new.pid]
        await core.control.stop()


async def test_restart_of_a_stopped_server_starts_it(machine: Machine) -> None:
    async with machine.launcher() as core:
        assert is_running_ours(await core.control.restart())
        await core.control.stop()


async def test_stop_of_nothing_is_done(machine: Machine) -> None:
    async with machine.launcher() as core:
        assert (await core.control.stop()).state is ServerState.STOPPED


async def test_a_server_that_already_answers_is_used_and_never_signalled(machine: Machine) -> None:
    async with DemoServer(machine.folder / "theirs", port=machine.port) as theirs, machine.launcher() as core:
        started = await core.control.start()
        with pytest.raises(NotOffered):
            await core.control.stop()
        with pytest.raises(NotOffered):
            await core.control.restart()
        assert (started.state, started.owner) == (ServerState.RUNNING, Owner.UNKNOWN)
        assert identity.read_process(theirs.pid) is not None
        assert machine.servers() == []


async def test_a_killed_server_leaves_no_runner_to_the_next_command(machine: Machine) -> None:
    async with machine.launcher() as core:
        status = await core.control.start()
        assert status.pid is not None
        async for _ in core.client.pull(MODEL):
            pass
        await core.client.load(MODEL)
        assert len(machine.processes()) == 2
        os.kill(status.pid, signal.SIGKILL)
        await eventually(lambda: len(machine.processes()) == 1)
    async with machine.launcher() as core:
        # Whatever the command is for: it may only list models, or show the log.
        assert machine.processes() == []
        after = await core.control.inspect()
    assert after.state is ServerState.STOPPED
    assert "by itself" in after.reason


async def test_a_log_that_has_grown_is_shortened_by_the_next_command(machine: Machine) -> None:
    async with machine.launcher() as core:
        log = core.control.log_path
    log.parent.mkdir(parents=True)
    log.touch()
    os.truncate(log, LIMIT_BYTES + 1)
    async with machine.launcher():
        assert log.stat().st_size == 0
        assert log.with_name("server-1.log").stat().st_size == LIMIT_BYTES + 1


async def test_a_port_held_by_something_else_is_named(machine: Machine) -> None:
    with socket.create_server(("127.0.0.1", machine.port)):
        async with machine.launcher(replace(QUICK, probe_s=0.2)) as core:
            status = await core.control.inspect()
            with pytest.raises(PortTaken) as caught:
                await core.control.start()
    assert (status.state, status.owner) == (ServerState.PORT_TAKEN, Owner.OTHER_PROGRAM)
    assert status.pid == os.getpid()
    assert str(os.getpid()) in caught.value.title
    assert str(machine.port) in caught.value.title
    assert caught.value.hint


async def test_no_binary_is_said(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    machine.environ.update(OLLAMA_LAUNCHER_OLLAMA=str(machine.folder / "nothing"))
    async with machine.launcher() as core:
        status = await core.control.inspect()
        with pytest.raises(NotInstalled):
            await core.control.start()
    assert status.state is ServerState.NOT_INSTALLED
    assert status.reason
    assert status.hint


async def test_a_server_that_ends_at_once_is_explained(machine: Machine) -> None:
    machine.models.write_text("not a folder")
    async with machine.launcher() as core:
        with pytest.raises(StartFailed) as caught:
            await core.control.start()
        status = await core.control.inspect()
    assert caught.value.outcome is not None
    assert caught.value.outcome.exit_code == 1
    assert "models" in caught.value.title.lower()
    assert (status.state, status.reason, status.hint) == (
        ServerState.FAILED,
        caught.value.title,
        caught.value.hint,
    )


async def test_two_servers_never_share_a_models_folder(machine: Machine, another_port: int) -> None:
    theirs = DemoServer(
        machine.folder / "theirs", port=another_port, environment={"OLLAMA_MODELS": str(machine.models)}
    )
    async with theirs, machine.launcher() as core:
        with pytest.raises(ModelsFolderInUse) as caught:
            await core.control.start()
        assert caught.value.pid == theirs.pid
        assert str(another_port) in caught.value.hint
        assert identity.read_process(theirs.pid) is not None


async def test_a_cancelled_start_leaves_a_recorded_server(machine: Machine) -> None:
    machine.script(scale=0.01, start={"silent_s": 60})
    async with machine.launcher() as core:
        start = asyncio.create_task(core.control.start())
        await eventually(lambda: machine.servers())
        start.cancel()
        await asyncio.wait({start})
        assert (await core.control.inspect()).state is ServerState.STARTING
        await core.control.stop()
    assert machine.processes() == []


async def test_a_busy_lock_is_an_answer(machine: Machine) -> None:
    timing = replace(QUICK, grace_s=0.1, lock_margin_s=0.1)
    async with machine.launcher(timing) as core, ServerLock(machine.state_dir / "server.lock", 1.0):
        with pytest.raises(LockBusy):
            await core.control.start()
    assert machine.processes() == []


async def test_a_record_that_cannot_be_written_leaves_no_unknown_server(
    machine: Machine, expect_log: ExpectLog
) -> None:
    expect_log("cannot be moved away")
    async with machine.launcher() as core:
        machine.state_dir.mkdir(parents=True)
        machine.record_file.path.mkdir()
        (machine.record_file.path / "in the way").touch()
        for number in range(1, 10):
            (machine.state_dir / f"server.json.broken-{number}").mkdir()
            (machine.state_dir / f"server.json.broken-{number}" / "x").touch()
        with pytest.raises(StorageError):
            await core.control.start()
    assert machine.processes() == []


async def test_a_reboot_is_not_a_crash(machine: Machine) -> None:
    async with machine.launcher() as core:
        await core.control.start()
        record = machine.record_file.read()
        assert record is not None
        await core.control.stop()
        machine.record_file.write(replace(record, boot_id="another boot"))
        status = await core.control.inspect()
    assert (status.state, status.reason) == (ServerState.STOPPED, "")


async def test_ours_at_another_address_is_left_alone_when_one_was_named(machine: Machine, another_port: int) -> None:
    async with machine.launcher() as core:
        await core.control.start()
    async with open_core(f"127.0.0.1:{another_port}", environ=machine.environ, timing=QUICK) as elsewhere:
        with pytest.raises(NotOffered):
            await elsewhere.control.stop()
        with pytest.raises(StartFailed):
            await elsewhere.control.start()
        assert str(machine.port) in (await elsewhere.control.inspect()).reason
    assert len(machine.servers()) == 1
    async with machine.launcher() as core:
        await core.control.stop()


async def test_another_machine_is_only_watched(machine: Machine) -> None:
    async with open_core("192.0.2.1:11434", environ=machine.environ, timing=replace(QUICK, probe_s=0.2)) as core:
        for deed in (core.control.start, core.control.stop, core.control.restart):
            with pytest.raises(NotOffered):
                await deed()


async def test_a_record_that_cannot_be_read_hides_only_whose_it_is(machine: Machine) -> None:
    async with DemoServer(machine.folder / "theirs", port=machine.port):
        machine.state_dir.mkdir(parents=True)
        machine.record_file.path.symlink_to(machine.record_file.path)
        async with machine.launcher() as core:
            status = await core.control.inspect()
            assert (status.state, status.owner) == (ServerState.RUNNING, Owner.UNKNOWN)
            with pytest.raises(StorageError):
                await core.control.stop()


# --- whose it is, and who reaches it, however the address is spelt ----------------------------------------------------


@pytest.mark.parametrize("started_as", ["127.0.0.1", "localhost", "0.0.0.0"])
@pytest.mark.parametrize("asked_as", ["127.0.0.1", "localhost", "0.0.0.0"])
async def test_ours_is_ours_under_each_spelling(machine: Machine, started_as: str, asked_as: str) -> None:
    async with open_core(f"{started_as}:{machine.port}", environ=machine.environ, timing=QUICK) as core:
        started = await core.control.start()
    async with open_core(f"{asked_as}:{machine.port}", environ=machine.environ, timing=QUICK) as core:
        looked = await core.control.inspect()
        again = await core.control.start()
        stopped = await core.control.stop()
    assert is_running_ours(looked)
    assert (looked.pid, again.pid) == (started.pid, started.pid)
    assert looked.exposed is (started_as == "0.0.0.0")
    assert stopped.state is ServerState.STOPPED
    assert machine.processes() == []


async def test_who_reaches_a_server_of_somebody_else_is_not_known(machine: Machine) -> None:
    async with (
        DemoServer(machine.folder / "theirs", port=machine.port),
        open_core(f"0.0.0.0:{machine.port}", environ=machine.environ, timing=QUICK) as core,
    ):
        assert (await core.control.inspect()).exposed is None
    async with open_core(f"0.0.0.0:{machine.port}", environ=machine.environ, timing=QUICK) as core:
        assert (await core.control.inspect()).exposed is True


async def test_a_restart_leaves_the_server_where_it_was(machine: Machine, another_port: int) -> None:
    async with open_core(f"0.0.0.0:{machine.port}", environ=machine.environ, timing=QUICK) as core:
        old = await core.control.start()
    machine.environ["OLLAMA_HOST"] = f"127.0.0.1:{another_port}"
    async with machine.launcher() as core:
        new = await core.control.restart()
    assert (new.address, new.exposed) == (f"http://127.0.0.1:{machine.port}", True)
    assert new.pid != old.pid
    assert [process.pid for process in machine.servers()] == [new.pid]
    async with open_core(f"127.0.0.1:{machine.port}", environ=machine.environ, timing=QUICK) as core:
        assert (await core.control.restart()).exposed is False
        await core.control.stop()


# --- what works although nothing can be started, or written -----------------------------------------------------------


async def test_whoever_answers_is_used_although_ours_lives_elsewhere(machine: Machine, another_port: int) -> None:
    async with machine.launcher() as core:
        await core.control.start()
    async with (
        DemoServer(machine.folder / "theirs", port=another_port),
        open_core(f"127.0.0.1:{another_port}", environ=machine.environ, timing=QUICK) as core,
    ):
        used = await core.control.start()
        with pytest.raises(NotOffered):
            await core.control.stop()
    assert (used.state, used.owner) == (ServerState.RUNNING, Owner.UNKNOWN)
    async with machine.launcher() as core:
        await core.control.stop()


async def test_a_state_folder_that_cannot_be_had_prevents_nothing_but_a_start(machine: Machine) -> None:
    machine.state_dir.write_text("a file in its place")
    async with machine.launcher() as core:
        assert (await core.control.stop()).state is ServerState.STOPPED
        with pytest.raises(StorageError):
            await core.control.start()
    async with DemoServer(machine.folder / "theirs", port=machine.port), machine.launcher() as core:
        assert (await core.control.start()).owner is Owner.UNKNOWN
        with pytest.raises(NotOffered):
            await core.control.stop()
        with pytest.raises(NotOffered):
            await core.control.restart()


@pytest.mark.parametrize("address", ["127.0.0.1:0", "http://127.0.0.1:{port}/below"])
async def test_an_address_that_never_answers_is_refused_before_the_start(machine: Machine, address: str) -> None:
    named = address.format(port=machine.port)
    async with open_core(named, environ=machine.environ, timing=QUICK) as core:
        for deed in (core.control.start, core.control.restart):
            with pytest.raises(StartFailed) as caught:
                await deed()
            assert caught.value.hint
    assert machine.record_file.read() is None
    assert machine.processes() == []


def test_https_is_refused_before_the_start() -> None:
    with pytest.raises(StartFailed):
        refuse_impossible(Address.parse("https://127.0.0.1:11434"))


# --- programs and folders that are named in unusual ways --------------------------------------------------------------


async def test_a_relative_models_folder_is_meant_from_where_one_is(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(machine.folder)
    machine.environ["OLLAMA_MODELS"] = "models"
    async with machine.launcher() as core:
        await core.control.start()
        record = machine.record_file.read()
        assert record is not None
        assert record.models == str(machine.models)
        [server] = machine.servers()
        assert server.environ()["OLLAMA_MODELS"] == str(machine.models)
        assert core.models_folder == machine.models
        await core.control.stop()


def wrap(machine: Machine) -> None:
    """Install a wrapper script that stays, as packages do to set variables."""
    wrapper = machine.folder / "wrapped" / "ollama"
    wrapper.parent.mkdir()
    wrapper.write_text(f'#!/bin/sh\n"{machine.environ["OLLAMA_LAUNCHER_OLLAMA"]}" "$@"\n')
    wrapper.chmod(0o755)
    machine.environ["OLLAMA_LAUNCHER_OLLAMA"] = str(wrapper)


async def test_a_wrapper_that_stays_is_stopped_with_what_it_started(machine: Machine) -> None:
    wrap(machine)
    async with machine.launcher() as core:
        assert is_running_ours(await core.control.start())
        assert len(machine.processes()) == 2
        assert (await core.control.stop()).state is ServerState.STOPPED
    assert machine.processes() == []


async def test_a_stop_that_is_refused_leaves_the_wish_as_it_was(machine: Machine) -> None:
    wrap(machine)
    async with machine.launcher() as core:
        await core.control.start()
        whole = machine.record_file.read()
        assert whole is not None
        machine.record_file.write(replace(whole, exes=whole.exes[:1]))
        with pytest.raises(SignalRefused):
            await core.control.stop()
        assert is_running_ours(await core.control.inspect())
        machine.record_file.write(whole)
        await core.control.stop()


async def test_ours_that_freezes_is_no_longer_starting(machine: Machine) -> None:
    async with machine.launcher() as core:
        started = await core.control.start()
        assert started.pid is not None
        os.kill(started.pid, signal.SIGSTOP)
    async with machine.launcher(replace(QUICK, probe_s=0.2)) as core:
        frozen = await core.control.inspect()
        os.kill(started.pid, signal.SIGCONT)
        await core.control.stop()
    assert (frozen.state, frozen.owner) == (ServerState.DEGRADED, Owner.OURS)
