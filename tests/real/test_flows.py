"""What the command line does with a real Ollama: the same flows that the simulated one is put through."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import psutil
import pytest

from launcher.server.record import Wanted
from tests.real.conftest import BIG_BYTES, IN_FLIGHT_BYTES, Serve, answers, listener, partials, recorded_bytes, servers
from tests.support.machine import Machine
from tests.support.registry import Blob, LoopbackRegistry
from tests.support.terminal import Command, Terminal
from tests.support.waiting import wait_until

pytestmark = pytest.mark.real_ollama

RATE_BPS = 12_000_000  # for each of three parts
HOUR_S = 3600

# A program that keeps a server running as a window does, until it is killed.
WINDOW = textwrap.dedent(
    """
    import asyncio
    from launcher.core import open_core

    async def main():
        async with open_core() as core:
            run = asyncio.create_task(core.run())
            core.supervisor.start()
            await run

    asyncio.run(main())
    """
)


@pytest.fixture
def started(machine: Machine, shell: Terminal) -> psutil.Process:
    """A server that was started from the command line."""
    outcome = shell.run("start")
    assert outcome.code == 0, outcome.err
    [server] = servers(machine)
    return server


def status(shell: Terminal) -> tuple[int, dict[str, object]]:
    outcome = shell.run("status", "--json")
    return outcome.code, outcome.json


def pull_until(shell: Terminal, name: str, bytes_: int) -> Command:
    """Start a download and wait until so much of it has been shown."""
    pull = shell.start("models", "pull", "--insecure", "--json", name)
    wait_until(
        lambda: pull.ended or (pull.lines and pull.lines[-1]["completed_bytes"] >= bytes_), 30, "the download runs"
    )
    assert not pull.ended, (pull.out, pull.err)
    return pull


def runners(machine: Machine) -> list[psutil.Process]:
    return [process for process in machine.processes() if "--model" in process.cmdline()]


def wait_for_children(command: Command) -> list[psutil.Process]:
    parent = psutil.Process(command.process.pid)
    wait_until(parent.children, message="it has a child")
    return parent.children()


def is_alive(process: psutil.Process) -> bool:
    """A zombie is dead, and where nobody reaps it stays for ever."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_everything_from_start_to_stop(machine: Machine, shell: Terminal, registry: LoopbackRegistry) -> None:
    tiny, copy = registry.name_of("tiny"), "short:latest"
    assert status(shell)[0] == 3

    start = shell.run("start")
    assert (start.code, "started by this launcher" in start.out) == (0, True), start
    [server] = servers(machine)
    code, facts = status(shell)
    assert (code, facts["state"], facts["owner"], facts["pid"]) == (0, "running", "ours", server.pid)
    assert (facts["models_installed"], facts["models_loaded"]) == (0, [])

    pull = shell.start("models", "pull", "--insecure", "--json", tiny)
    assert pull.wait().code == 0, pull.err
    assert [pull.lines[-1][key] for key in ("model", "phase")] == [tiny, "done"]
    assert pull.lines[-1]["completed_bytes"] == pull.lines[-1]["total_bytes"]
    assert shell.run("models", "pull", "--insecure", tiny).code == 0

    [listed] = shell.run("models", "list", "--json").json
    assert (listed["name"], listed["size_bytes"], listed["loaded"]) == (tiny, pull.lines[-1]["total_bytes"], False)
    assert tiny in shell.run("models", "list").out
    shown = shell.run("models", "show", "--json", tiny).json
    assert shown["details"]["family"] == "llama"
    assert shell.run("models", "cp", tiny, copy).code == 0

    assert shell.run("models", "load", copy, "--keep-alive", "10m").code == 0
    _, facts = status(shell)
    assert [one["name"] for one in facts["models_loaded"]] == [copy]  # type: ignore[attr-defined] # a list
    assert len(runners(machine)) == 1
    unload = shell.run("models", "unload", copy)
    assert (unload.code, unload.out.strip()) == (0, f"{copy} is unloaded.")
    wait_until(lambda: not runners(machine), message="the runner ends")

    assert shell.run("models", "rm", tiny, copy).code == 0
    assert shell.run("models", "list", "--json").json == []
    assert shell.run("models", "show", tiny).code == 4
    assert shell.run("stop").code == 0
    assert machine.processes() == []
    assert status(shell)[0] == 3


def test_a_loaded_model_is_unloaded_before_it_is_removed(
    machine: Machine, shell: Terminal, registry: LoopbackRegistry, started: psutil.Process
) -> None:
    tiny = registry.name_of("tiny")
    assert shell.run("models", "pull", "--insecure", tiny).code == 0
    assert shell.run("models", "load", tiny).code == 0
    assert shell.run("models", "rm", tiny).code == 0
    wait_until(lambda: not runners(machine), message="the runner ends")
    assert shell.run("stop").code == 0


def test_a_model_for_embeddings_is_loaded_and_unloaded(
    machine: Machine, shell: Terminal, registry: LoopbackRegistry, started: psutil.Process
) -> None:
    embed = registry.name_of("embed")
    assert shell.run("models", "pull", "--insecure", embed).code == 0
    load = shell.run("models", "load", embed)
    assert load.code == 0, load.err
    assert len(runners(machine)) == 1
    unload = shell.run("models", "unload", embed)
    assert unload.code == 0, unload.err
    wait_until(lambda: not runners(machine), message="the runner ends")
    assert shell.run("stop").code == 0


def test_a_model_of_several_parts_is_installed_whole(
    machine: Machine, shell: Terminal, registry: LoopbackRegistry, big_blob: Blob, started: psutil.Process
) -> None:
    registry.rate_bps = 60_000_000
    big = registry.name_of("big")
    pull = shell.start("models", "pull", "--insecure", "--json", big)
    assert pull.wait().code == 0, pull.err
    shown = [line["completed_bytes"] for line in pull.lines]
    assert shown == sorted(shown)
    assert {line["total_bytes"] for line in pull.lines[-5:]} == {shown[-1]}
    assert "pulling" in {line["phase"] for line in pull.lines}
    [listed] = shell.run("models", "list", "--json").json
    assert (listed["name"], listed["size_bytes"]) == (big, shown[-1])
    assert partials(machine.models) == {}
    assert shell.run("models", "load", big).code == 0
    assert shell.run("stop").code == 0


def test_interrupted_pull_goes_on_where_it_was(
    machine: Machine, shell: Terminal, registry: LoopbackRegistry, big_blob: Blob, started: psutil.Process
) -> None:
    big = registry.name_of("big")
    registry.rate_bps = RATE_BPS
    pull = pull_until(shell, big, 30_000_000)
    pull.interrupt()
    outcome = pull.wait(10)
    shown = pull.lines[-1]["completed_bytes"]
    assert outcome.code == 130
    assert "what was downloaded is kept" in outcome.err
    wait_until(lambda: recorded_bytes(machine.models, big_blob.digest) >= shown - 1_000_000, message="it is recorded")
    kept = recorded_bytes(machine.models, big_blob.digest)

    registry.rate_bps = None
    served_before = registry.served_bytes[big_blob.digest]
    again = shell.start("models", "pull", "--insecure", "--json", big)
    assert again.wait().code == 0, again.err
    assert registry.served_bytes[big_blob.digest] - served_before < BIG_BYTES - kept + IN_FLIGHT_BYTES
    assert shell.run("stop").code == 0


def test_the_command_that_is_named_after_ctrl_c_goes_on(
    machine: Machine, shell: Terminal, registry: LoopbackRegistry, started: psutil.Process
) -> None:
    registry.rate_bps = RATE_BPS
    pull = pull_until(shell, registry.name_of("big"), 10_000_000)
    pull.interrupt()
    words = pull.wait(10).err.rpartition("ollama-launcher ")[2].split()
    registry.rate_bps = None
    again = shell.run(*words)
    assert again.code == 0, again.err
    assert shell.run("stop").code == 0


def test_restart_during_a_pull_loses_nothing(
    machine: Machine, shell: Terminal, registry: LoopbackRegistry, big_blob: Blob, started: psutil.Process
) -> None:
    registry.rate_bps = RATE_BPS
    pull = pull_until(shell, registry.name_of("big"), 40_000_000)
    restart = shell.run("restart")
    assert restart.code == 0, restart.err
    [server] = servers(machine)
    assert server.pid != started.pid
    # The sidecars were written when the stream was closed, and are not written again while parts download.
    kept = recorded_bytes(machine.models, big_blob.digest)
    lines = pull.lines
    paused_at = next(place for place, line in enumerate(lines) if line["phase"] == "paused")
    assert kept >= lines[paused_at]["completed_bytes"] >= 40_000_000
    registry.rate_bps = None
    outcome = pull.wait()
    assert outcome.code == 0, outcome.err
    assert pull.lines[-1]["phase"] == "done"
    assert len(servers(machine)) == 1
    assert shell.run("stop").code == 0
    assert machine.processes() == []


def test_stop_during_a_pull_keeps_what_was_shown(
    machine: Machine, shell: Terminal, registry: LoopbackRegistry, big_blob: Blob, started: psutil.Process
) -> None:
    registry.rate_bps = RATE_BPS
    pull = pull_until(shell, registry.name_of("big"), 40_000_000)
    assert shell.run("stop").code == 0
    assert servers(machine) == []
    outcome = pull.wait(20)
    assert outcome.code == 3
    assert recorded_bytes(machine.models, big_blob.digest) >= pull.lines[-1]["completed_bytes"]


def test_what_a_killed_server_recorded_is_gone_on_with(
    machine: Machine, shell: Terminal, registry: LoopbackRegistry, big_blob: Blob, started: psutil.Process
) -> None:
    registry.rate_bps = RATE_BPS
    pull = pull_until(shell, registry.name_of("big"), 45_000_000)  # the last part, of 10 MB, is whole by then
    started.kill()
    assert pull.wait(20).code == 3
    kept = recorded_bytes(machine.models, big_blob.digest)
    assert kept >= 10_000_000
    assert shell.run("start").code == 0
    assert recorded_bytes(machine.models, big_blob.digest) == kept
    registry.rate_bps = None
    served_before = registry.served_bytes[big_blob.digest]
    again = shell.run("models", "pull", "--insecure", registry.name_of("big"))
    assert again.code == 0, again.err
    assert registry.served_bytes[big_blob.digest] - served_before < BIG_BYTES - kept + IN_FLIGHT_BYTES
    assert shell.run("stop").code == 0


@pytest.mark.parametrize("damage", ["empty", "garbage", "missing"])
def test_a_damaged_download_is_mended_by_a_restart(
    machine: Machine,
    shell: Terminal,
    registry: LoopbackRegistry,
    big_blob: Blob,
    started: psutil.Process,
    damage: str,
) -> None:
    """As a server leaves it that is ended at the wrong moment: as it is, every later pull would fail."""
    big = registry.name_of("big")
    registry.rate_bps = RATE_BPS
    pull = pull_until(shell, big, 20_000_000)
    pull.interrupt()
    assert pull.wait(10).code == 130
    registry.rate_bps = None
    sidecar = machine.models / "blobs" / f"{big_blob.digest.replace(':', '-')}-partial-1"
    if damage == "missing":
        sidecar.unlink()
    else:
        sidecar.write_bytes(b"" if damage == "empty" else b"garbage")
    failed = shell.run("models", "pull", "--insecure", big)
    assert failed.code == 1
    assert "damaged" in failed.err
    assert shell.run("restart").code == 0
    again = shell.run("models", "pull", "--insecure", big)
    assert again.code == 0, again.err
    assert partials(machine.models) == {}
    assert shell.run("stop").code == 0


def test_partials_older_than_an_hour_survive_a_start(
    machine: Machine, shell: Terminal, registry: LoopbackRegistry, big_blob: Blob, started: psutil.Process
) -> None:
    registry.rate_bps = RATE_BPS
    pull = pull_until(shell, registry.name_of("big"), 20_000_000)
    pull.interrupt()
    assert pull.wait(10).code == 130
    assert shell.run("stop").code == 0
    before = set(partials(machine.models))
    kept = recorded_bytes(machine.models, big_blob.digest)
    assert kept
    age(machine.models)
    assert shell.run("start").code == 0
    assert set(partials(machine.models)) == before
    assert recorded_bytes(machine.models, big_blob.digest) == kept
    assert shell.run("stop").code == 0


def test_a_start_by_somebody_else_removes_them(
    machine: Machine,
    shell: Terminal,
    registry: LoopbackRegistry,
    started: psutil.Process,
    serve: Serve,
    another_port: int,
) -> None:
    """Why the launcher refreshes their times: if this fails, it needs to no more."""
    registry.rate_bps = RATE_BPS
    pull = pull_until(shell, registry.name_of("big"), 20_000_000)
    pull.interrupt()
    assert pull.wait(10).code == 130
    assert shell.run("stop").code == 0
    age(machine.models)
    serve(another_port)
    assert partials(machine.models) == {}


def age(models: Path) -> None:
    past_s = time.time() - 2 * HOUR_S
    for path in partials(models).values():
        os.utime(path, (past_s, past_s))


def test_a_killed_server_leaves_no_runner_after_the_next_status(
    machine: Machine, shell: Terminal, registry: LoopbackRegistry, started: psutil.Process
) -> None:
    tiny = registry.name_of("tiny")
    assert shell.run("models", "pull", "--insecure", tiny).code == 0
    assert shell.run("models", "load", tiny).code == 0
    [runner] = runners(machine)
    started.kill()
    wait_until(lambda: not servers(machine), message="the server is gone")
    assert runner.is_running()  # it outlives the server: that is the point
    code, facts = status(shell)
    assert (code, facts["state"]) == (3, "stopped")
    assert "by itself" in str(facts["reason"])
    assert machine.processes() == []


def test_a_killed_server_is_started_again_without_its_runners(
    machine: Machine, shell: Terminal, registry: LoopbackRegistry, started: psutil.Process
) -> None:
    tiny = registry.name_of("tiny")
    assert shell.run("models", "pull", "--insecure", tiny).code == 0
    assert shell.run("models", "load", tiny).code == 0
    started.kill()
    assert shell.run("start").code == 0
    assert runners(machine) == []
    assert len(servers(machine)) == 1
    assert shell.run("stop").code == 0


def test_killing_whoever_started_it_leaves_it_ours(machine: Machine, shell: Terminal) -> None:
    window = shell.start_program(sys.executable, "-c", WINDOW)
    wait_until(lambda: answers(machine.port), message="the server answers")
    [server] = servers(machine)
    window.process.kill()
    window.wait()
    code, facts = status(shell)
    assert (code, facts["owner"], facts["pid"]) == (0, "ours", server.pid)
    assert shell.run("stop").code == 0
    assert machine.processes() == []


def test_a_terminal_that_closes_takes_nothing_along(machine: Machine, shell: Terminal) -> None:
    # The middle program is the terminal: its end hangs up on all that runs in it.
    inside = f"{sys.executable} -m launcher start && exec sleep 60"
    window = shell.start_program(sys.executable, "-c", f"import pty; pty.spawn(['/bin/sh', '-c', {inside!r}])")
    [shell_inside] = wait_for_children(window)
    wait_until(lambda: shell_inside.name() == "sleep", 20, message="the start has ended")
    window.process.kill()
    window.wait()
    wait_until(lambda: not is_alive(shell_inside), message="what ran in the terminal is hung up on")
    assert answers(machine.port)
    assert status(shell)[1]["owner"] == "ours"
    assert shell.run("stop").code == 0


def test_a_server_of_somebody_else_is_used_and_not_stopped(
    machine: Machine, shell: Terminal, registry: LoopbackRegistry, serve: Serve
) -> None:
    theirs = serve(machine.port)
    start = shell.run("start")
    assert (start.code, "not started by this launcher" in start.out) == (0, True)
    _, facts = status(shell)
    assert (facts["state"], facts["owner"]) == ("running", "unknown")
    assert shell.run("models", "pull", "--insecure", registry.name_of("tiny")).code == 0
    for deed in ("stop", "restart"):
        refused = shell.run(deed)
        assert (refused.code, "not started by the launcher" in refused.err) == (5, True)
    assert theirs.poll() is None
    assert [process.pid for process in servers(machine)] == [theirs.pid]


def test_a_port_held_by_another_program_is_named(machine: Machine, shell: Terminal) -> None:
    with listener(machine.port):
        start = shell.run("start")
    assert start.code == 1
    assert f"Port {machine.port} is used by" in start.err
    assert str(os.getpid()) in start.err
    assert "--host" in start.err
    assert machine.processes() == []


def test_a_models_folder_in_use_is_refused(machine: Machine, shell: Terminal, serve: Serve, another_port: int) -> None:
    theirs = serve(another_port)
    start = shell.run("start")
    assert start.code == 1
    assert str(theirs.pid) in start.err
    assert f"127.0.0.1:{another_port}" in start.err
    assert [process.pid for process in servers(machine)] == [theirs.pid]


def test_start_twice_at_once_starts_one(machine: Machine, shell: Terminal) -> None:
    both = [shell.start("start"), shell.start("start")]
    assert [one.wait().code for one in both] == [0, 0]
    assert len(servers(machine)) == 1
    assert shell.run("stop").code == 0
    assert machine.processes() == []


@pytest.mark.parametrize("seed", range(6), ids=lambda seed: f"seed-{seed}")
def test_stop_during_start_ends_in_the_last_wished_state(machine: Machine, shell: Terminal, seed: int) -> None:
    source = random.Random(seed)
    start = shell.start("start")
    time.sleep(source.uniform(0.0, 0.7))  # when the other person presses the key: not awaited, tried out
    stop = shell.start("stop")
    assert stop.wait().code == 0, stop.err
    ended = start.wait()
    assert ended.code == 0 or "stopped meanwhile" in ended.err, ended
    record = machine.record_file.read()
    wanted = record.wanted if record is not None else Wanted.STOPPED
    assert len(servers(machine)) == (1 if wanted is Wanted.RUNNING else 0)
    assert status(shell)[1]["state"] == ("running" if wanted is Wanted.RUNNING else "stopped")
    assert shell.run("stop").code == 0
    assert machine.processes() == []


def test_stop_ends_a_start_that_gets_no_answer(machine: Machine, shell: Terminal) -> None:
    """The server is frozen before it can answer; a start that was quicker than that is tried again."""
    for _ in range(8):
        start = shell.start("start")
        wait_until(lambda one=start: servers(machine) or one.ended, message="the server is there")  # type: ignore[misc]
        for server in servers(machine):
            server.suspend()
        if not answers(machine.port, timeout_s=0.3) and not start.ended:
            break
        for server in servers(machine):
            server.resume()
        assert start.wait().code == 0
        assert shell.run("stop").code == 0
    else:
        pytest.skip("macOS, Linux: the server was always quicker than the test")
    stop = shell.run("stop")
    assert stop.code == 0, stop.err
    ended = start.wait()
    assert (ended.code, "stopped meanwhile" in ended.err) == (1, True), ended
    assert machine.processes() == []


def test_stop_ends_a_server_that_does_not_answer(machine: Machine, shell: Terminal, started: psutil.Process) -> None:
    """A frozen process takes no TERM: after the grace it is killed."""
    started.send_signal(signal.SIGSTOP)
    stop = shell.run("stop")
    assert stop.code == 0, stop.err
    assert machine.processes() == []


def test_a_wrapper_script_is_followed_to_what_it_runs(machine: Machine, shell: Terminal) -> None:
    """Packages wrap programs to set variables: the recorded file is a shell first, and Ollama afterwards."""
    wrapper = machine.folder / "wrapped" / "ollama"
    wrapper.parent.mkdir()
    wrapper.write_text(f'#!/bin/sh\nsleep 0.3\nexec "{machine.environ["OLLAMA_LAUNCHER_OLLAMA"]}" "$@"\n')
    wrapper.chmod(0o755)
    shell.environ["OLLAMA_LAUNCHER_OLLAMA"] = str(wrapper)
    start = shell.run("start")
    assert start.code == 0, start.err
    assert status(shell)[1]["owner"] == "ours"
    assert shell.run("stop").code == 0
    assert machine.processes() == []


def test_a_wrapper_script_that_stays_is_stopped_with_what_it_started(machine: Machine, shell: Terminal) -> None:
    wrapper = machine.folder / "wrapped" / "ollama"
    wrapper.parent.mkdir()
    wrapper.write_text(f'#!/bin/sh\n"{machine.environ["OLLAMA_LAUNCHER_OLLAMA"]}" "$@"\n')
    wrapper.chmod(0o755)
    shell.environ["OLLAMA_LAUNCHER_OLLAMA"] = str(wrapper)
    assert shell.run("start").code == 0
    stop = shell.run("stop")
    assert stop.code == 0, stop.err
    assert machine.processes() == []


def test_the_log_of_the_server_is_shown(machine: Machine, shell: Terminal, started: psutil.Process) -> None:
    logs = shell.run("logs")
    assert (logs.code, f"Listening on 127.0.0.1:{machine.port}" in logs.out) == (0, True)
    assert shell.run("stop").code == 0


def test_an_unusable_models_folder_is_explained(machine: Machine, shell: Terminal) -> None:
    machine.models.write_text("this is a file")
    start = shell.run("start")
    assert start.code == 1
    assert "models" in start.err.lower()
    assert "Traceback" not in start.err
    machine.models.unlink()


def test_a_relative_models_folder_is_meant_from_where_one_is(machine: Machine, shell: Terminal) -> None:
    shell.environ["OLLAMA_MODELS"] = os.path.relpath(machine.models, Path(__file__).parents[2])
    start = shell.run("start")
    assert start.code == 0, start.err
    made = (machine.models / "blobs").is_dir()
    assert shell.run("stop").code == 0
    assert made


def test_a_model_that_nobody_has_is_4(
    machine: Machine, shell: Terminal, registry: LoopbackRegistry, started: psutil.Process
) -> None:
    nothing = registry.name_of("nothing")
    for words in (["show"], ["rm"], ["load"], ["unload"], ["cp", "--overwrite"], ["pull", "--insecure"]):
        arguments = [*words, nothing, *(["other"] if words[0] == "cp" else [])]
        outcome = shell.run("models", *arguments)
        assert (words[0], outcome.code) == (words[0], 4), outcome.err
        assert "Traceback" not in outcome.err
    assert shell.run("stop").code == 0


def test_the_official_program_agrees(
    machine: Machine, shell: Terminal, registry: LoopbackRegistry, started: psutil.Process
) -> None:
    """What the launcher started is there for ``ollama`` itself, too."""
    tiny = registry.name_of("tiny")
    assert shell.run("models", "pull", "--insecure", tiny).code == 0
    program = machine.environ["OLLAMA_LAUNCHER_OLLAMA"]
    listed = subprocess.run([program, "list"], env=machine.environ, capture_output=True, text=True, timeout=20)
    assert tiny in listed.stdout
    assert shell.run("stop").code == 0
