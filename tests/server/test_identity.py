"""Is a process the recorded one, and is a group made of ours only? Asked of real processes."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from launcher.server import identity
from launcher.server.record import TOKEN_VARIABLE, ServerRecord, Wanted
from launcher.server.spawn import Child
from tests.support.processes import Family, until

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.blocks_loop("starting a process waits for a processor, up to 200 ms on a busy machine"),
    pytest.mark.skipif(sys.platform != "linux", reason="reads Linux's process table"),
]

_SLEEP = os.path.realpath(shutil.which("sleep") or "/bin/sleep")


def test_a_process_is_known_by_number_and_start() -> None:
    start = identity.start_of(os.getpid())
    assert start is not None
    assert identity.is_alive(os.getpid(), start)
    assert not identity.is_alive(os.getpid(), start - 1)
    assert not identity.is_alive(os.getpid(), start + 1)


def test_nobody_has_a_number_that_is_not_given() -> None:
    process = subprocess.Popen([sys.executable, "-I", "-S", "-c", ""])
    process.wait()
    assert identity.start_of(process.pid) is None
    assert identity.executable_of(process.pid) is None
    assert identity.command_of(process.pid) == []


def test_a_zombie_is_dead(zombie: subprocess.Popen[bytes]) -> None:
    start = identity.start_of(zombie.pid)
    assert start is not None
    assert not identity.is_alive(zombie.pid, start)


def test_a_group_of_zombies_is_gone(zombie: subprocess.Popen[bytes]) -> None:
    record = ServerRecord(
        wanted=Wanted.RUNNING,
        pid=zombie.pid,
        group=zombie.pid,
        boot_id=identity.boot_id(),
        start=identity.start_of(zombie.pid),
        exes=(os.path.realpath(sys.executable),),
    )
    assert [process.pid for process in identity.list_group(zombie.pid)] == [zombie.pid]
    assert identity.check_group(record) == identity.GroupCheck((), (), leader_alive=False)
    assert identity.check_group(record).gone
    assert not identity.is_recorded_alive(record)


async def test_the_start_is_told_as_wall_time(family: Family) -> None:
    child = await family.start("say('up'); forever()", says="up")
    assert child.start is not None
    assert abs(identity.wall_time(child.start) - child.started_wall_s) < 1


async def test_leader_and_helper_are_members(family: Family) -> None:
    child = await family.start("say('helper', helper('forever()').pid); forever()", says="helper")
    check = identity.check_group(family.record(child))
    assert {member.pid for member in check.members} == {child.pid, family.number(child, "helper")}
    assert check.strangers == ()
    assert check.leader_alive
    assert check.may_signal


async def test_an_orphan_is_still_a_member(family: Family) -> None:
    child = await family.start("say('helper', helper('forever()').pid); forever()", says="helper")
    os.kill(child.pid, signal.SIGKILL)
    await child.wait()
    check = identity.check_group(family.record(child))
    assert [member.pid for member in check.members] == [family.number(child, "helper")]
    assert not check.leader_alive
    assert check.may_signal


async def test_a_double_fork_does_not_leave_the_session(family: Family) -> None:
    child = await family.start(
        """
if os.fork() == 0:
    if os.fork() == 0:
        say('grandchild', os.getpid())
        forever()
    os._exit(0)
os.wait()
say('forked')
forever()
""",
        says="forked",
    )
    await until(lambda: "grandchild" in family.said(child))
    check = identity.check_group(family.record(child))
    assert {member.pid for member in check.members} == {child.pid, family.number(child, "grandchild")}


async def test_a_helper_in_a_group_of_its_own_is_found_by_its_session(family: Family) -> None:
    child = await family.start("say('helper', helper('forever()', process_group=0).pid); forever()", says="helper")
    check = identity.check_group(family.record(child))
    assert {member.pid for member in check.members} == {child.pid, family.number(child, "helper")}


async def test_another_program_is_a_stranger(family: Family) -> None:
    child = await family.start(
        f"say('stranger', subprocess.Popen(['{_SLEEP}', '600']).pid); forever()", says="stranger"
    )
    check = identity.check_group(family.record(child))
    assert [member.pid for member in check.members] == [child.pid]
    assert [member.pid for member in check.strangers] == [family.number(child, "stranger")]
    assert not check.may_signal


@pytest.mark.parametrize(
    "place",
    [
        pytest.param("lib/ollama/llama-server", id="beside bin"),
        pytest.param("lib/ollama/cuda_v13/llama-server", id="in a folder of a GPU library"),
        pytest.param("bin/lib/ollama/llama-server", id="below bin"),
    ],
)
async def test_the_engines_helpers_are_members(family: Family, tmp_path: Path, place: str) -> None:
    for copy in ("bin/ollama", place):
        (tmp_path / copy).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(_SLEEP, tmp_path / copy)
    (tmp_path / "link").symlink_to(tmp_path / "bin" / "ollama")
    child = await family.start(
        f"say('helper', subprocess.Popen([{str(tmp_path / place)!r}, '600']).pid); forever()", says="helper"
    )
    check = identity.check_group(family.record(child, exes=(str(tmp_path / "link"),)))
    assert {member.pid for member in check.members} == {child.pid, family.number(child, "helper")}
    assert check.strangers == ()


async def test_a_program_beside_the_helpers_folder_is_a_stranger(family: Family, tmp_path: Path) -> None:
    for copy in ("bin/ollama", "lib/ollama-other/llama-server"):
        (tmp_path / copy).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(_SLEEP, tmp_path / copy)
    other = str(tmp_path / "lib/ollama-other/llama-server")
    child = await family.start(f"say('other', subprocess.Popen([{other!r}, '600']).pid); forever()", says="other")
    check = identity.check_group(family.record(child, exes=(str(tmp_path / "bin" / "ollama"),)))
    assert [member.pid for member in check.strangers] == [family.number(child, "other")]


def _replace(path: str) -> None:
    shutil.copy(_SLEEP, path + ".new")
    os.replace(path + ".new", path)


@pytest.mark.parametrize("update", [pytest.param(os.unlink, id="removed"), pytest.param(_replace, id="replaced")])
async def test_a_binary_that_was_updated_is_still_known(
    family: Family, tmp_path: Path, update: Callable[[str], object]
) -> None:
    binary = str(tmp_path / "ollama")
    shutil.copy(_SLEEP, binary)
    child = await family.start(f"say('runner', subprocess.Popen([{binary!r}, '600']).pid); forever()", says="runner")
    runner = family.number(child, "runner")
    await until(lambda: identity.executable_of(runner) == binary)
    update(binary)
    assert os.readlink(f"/proc/{runner}/exe").endswith(" (deleted)")
    check = identity.check_group(family.record(child, exes=(binary,)))
    assert {member.pid for member in check.members} == {child.pid, runner}


async def test_a_leader_that_became_another_program_is_known_by_its_start(family: Family) -> None:
    child = await family.start(f"say('soon'); os.execv('{_SLEEP}', ['sleep', '600'])", says="soon")
    await until(lambda: identity.executable_of(child.pid) == _SLEEP)
    record = family.record(child)
    assert _SLEEP not in record.exes
    assert identity.check_group(record).may_signal
    assert identity.observed_exes(child.pid, record.exes) == (*record.exes, _SLEEP)


async def test_a_number_that_was_given_away_proves_the_group_gone(family: Family) -> None:
    child = await family.start("say('helper', helper('forever()').pid); forever()", says="helper")
    assert child.start is not None
    earlier = family.record(child, start=child.start - 1)
    assert identity.check_group(earlier) == identity.GroupCheck((), (), leader_alive=False)
    assert not identity.is_recorded_alive(earlier)


async def test_who_started_before_the_record_is_a_stranger(family: Family) -> None:
    child = await family.start("say('helper', helper('forever()').pid); forever()", says="helper")
    os.kill(child.pid, signal.SIGKILL)
    await child.wait()
    assert child.start is not None
    check = identity.check_group(family.record(child, start=child.start + 1_000_000))
    assert check.members == ()
    assert [member.pid for member in check.strangers] == [family.number(child, "helper")]
    assert not check.may_signal


async def test_a_group_in_another_session_is_made_of_strangers(family: Family) -> None:
    # As a shell with job control does it: a group of its own, in the shell's session.
    source = """
first = helper('helper("say(1); forever()"); forever()', process_group=0)
say('first', first.pid)
forever()
"""
    child = await family.start(source, says="1")
    first = family.number(child, "first")
    group_start = identity.start_of(first)
    os.kill(first, signal.SIGKILL)
    await until(lambda: not identity.is_alive(first, group_start or 0))
    check = identity.check_group(family.record(child, pid=first, group=first, start=group_start))
    assert check.members == ()
    assert len(check.strangers) == 1


async def test_after_a_reboot_nobody_is_ours(family: Family) -> None:
    child = await family.start("say('up'); forever()", says="up")
    record = family.record(child, boot_id="11111111-2222-3333-4444-555555555555")
    assert identity.check_group(record).gone
    assert identity.check_group(record).strangers == ()
    assert not identity.is_recorded_alive(record)


def test_a_record_without_a_process_has_no_group() -> None:
    assert identity.check_group(ServerRecord(wanted=Wanted.STOPPED)).gone


async def test_a_name_with_parentheses_does_not_confuse(family: Family, tmp_path: Path) -> None:
    binary = tmp_path / "a) R 1 (b"
    shutil.copy(_SLEEP, binary)
    child = await family.spawn([str(binary), "600"], tmp_path / "log")
    process = identity.read_process(child.pid)
    assert process is not None
    assert (process.parent, process.group, process.session, process.dead) == (os.getpid(), child.pid, child.pid, False)
    assert process.start == child.start


@pytest.mark.parametrize(
    ("recorded", "current", "same"),
    [
        pytest.param("a-b", "a-b", True, id="equal"),
        pytest.param("a-b", "a-c", False, id="other"),
        pytest.param("", "", False, id="unknown"),
        pytest.param("time:1000", "time:1003", True, id="computed, clock moved a little"),
        pytest.param("time:1000", "time:9000", False, id="computed, other boot"),
        pytest.param("time:x", "time:1", False, id="computed, garbage"),
        pytest.param("time:1", "a-b", False, id="told in two ways"),
    ],
)
def test_boots_are_compared(recorded: str, current: str, same: bool) -> None:
    assert identity.same_boot(recorded, current) is same


def test_the_boot_has_a_name_that_stays() -> None:
    assert identity.boot_id()
    assert identity.same_boot(identity.boot_id(), identity.boot_id())


@pytest.mark.parametrize(
    ("words", "serves"),
    [
        pytest.param(["/usr/local/bin/ollama", "serve"], True, id="binary"),
        pytest.param(["ollama", "start"], True, id="alias"),
        pytest.param([r"C:\ollama.exe".replace("\\", "/"), "serve"], True, id="windows"),
        pytest.param(["/usr/bin/python3", "-I", "/tmp/bin/ollama", "serve"], True, id="script"),
        pytest.param(["python3", "-m", "launcher.demo", "serve"], True, id="simulated module"),
        pytest.param(["python3", "-m", "launcher", "demo", "serve"], True, id="simulated by launcher"),
        pytest.param(["/opt/bin/ollama-launcher", "demo", "serve"], True, id="simulated by command"),
        pytest.param(["ollama", "list"], False, id="client"),
        pytest.param(["ollama"], False, id="menu"),
        pytest.param(["ollama", "runner", "--model", "serve"], False, id="runner"),
        pytest.param(["vi", "ollama"], False, id="editor"),
        pytest.param(["python3", "-m", "launcher", "status"], False, id="launcher"),
        pytest.param(["python3", "-m"], False, id="cut"),
        pytest.param([], False, id="nothing"),
    ],
)
def test_a_server_is_known_by_its_command(words: list[str], serves: bool) -> None:
    assert identity.serves_ollama(words) is serves


def test_reading_the_table_costs_little() -> None:
    before_s = time.process_time()
    for _ in range(10):
        identity.list_group(os.getpgrp())
    assert time.process_time() - before_s < 2.0


# --- a record whose writer was killed too early -----------------------------------------------------------------------


_TOKEN = os.urandom(8).hex()  # not that of another run of these tests on this machine


def _unfinished(family: Family, child: Child) -> ServerRecord:
    return family.record(child, pid=None, group=None, start=None, token=_TOKEN)


@pytest.fixture
def with_token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(TOKEN_VARIABLE, _TOKEN)


@pytest.mark.usefixtures("with_token")
async def test_a_process_that_was_not_written_down_is_found(family: Family) -> None:
    child = await family.start("say('helper', helper('forever()').pid); forever()", says="helper")
    found = identity.completed(_unfinished(family, child))
    assert found == family.record(child, token=_TOKEN)
    assert len(identity.check_group(found).members) == 2
    assert identity.completed(found) is found


@pytest.mark.usefixtures("with_token")
async def test_what_it_left_is_found_when_it_has_ended(family: Family) -> None:
    child = await family.start("say('helper', helper('forever()').pid); forever()", says="helper")
    os.kill(child.pid, signal.SIGKILL)
    await child.wait()
    found = identity.completed(_unfinished(family, child))
    assert (found.pid, found.group) == (child.pid, child.group)
    assert not identity.is_recorded_alive(found)
    assert [member.pid for member in identity.check_group(found).members] == [family.number(child, "helper")]


@pytest.mark.usefixtures("with_token")
@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"token": "another"}, id="another token"),
        pytest.param({"token": ""}, id="no token"),
        pytest.param({"boot_id": "another"}, id="another boot"),
    ],
)
async def test_nobody_else_is_taken_for_it(family: Family, changes: dict[str, str]) -> None:
    child = await family.start("say('up'); forever()", says="up")
    record = replace(_unfinished(family, child), **changes)  # type: ignore[arg-type] # the cases name texts
    assert identity.completed(record) is record
