"""What an ordinary user meets: folders that are read-only, processes and sockets of others. Root would see it all."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from launcher.errors import StorageError
from launcher.server import identity, signals
from launcher.server.errors import BinaryUnusable, SignalRefused, StartFailed
from launcher.server.find import find_binary
from launcher.server.log import cap, last_lines, rotate
from launcher.server.models_folder import RefreshOutcome, live_users, refresh_partials
from launcher.server.port import Holder, port_holder
from launcher.server.record import RecordFile, ServerLock, ServerRecord, Wanted
from launcher.server.spawn import spawn
from tests.support.nobody import AsNobody

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs the user nobody")

_RECORD = ServerRecord(wanted=Wanted.STOPPED)
_as_root = pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="needs a process of another user")


@pytest.fixture
def read_only(nobody_folder: Path) -> Path:
    folder = nobody_folder / "read-only"
    folder.mkdir()
    (folder / "server.json").write_text("garbage")
    (folder / "server.log").write_text("hello\n")
    (folder / "server.log").chmod(0o600 if os.geteuid() == 0 else 0)
    folder.chmod(0o555)
    return folder


@pytest.fixture
def roots_server() -> Iterator[subprocess.Popen[bytes]]:
    """A group that another user runs."""
    process = subprocess.Popen(
        [sys.executable, "-IS", "-c", "print(1, flush=True); import time; time.sleep(600)", "ollama", "serve"],
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    assert process.stdout is not None
    process.stdout.readline()
    yield process
    process.kill()
    process.communicate()


def test_a_record_that_cannot_be_written_is_a_sentence(read_only: Path, as_nobody: AsNobody) -> None:
    def write() -> None:
        RecordFile(read_only / "other.json").write(_RECORD)

    with pytest.raises(StorageError) as caught:
        as_nobody(write)
    assert str(read_only) in caught.value.title
    assert caught.value.hint
    assert sorted(path.name for path in read_only.iterdir()) == ["server.json", "server.log"]


def test_garbage_that_cannot_be_set_aside_is_reported_once(read_only: Path, as_nobody: AsNobody) -> None:
    def read() -> tuple[ServerRecord | None, list[str]]:
        reports: list[str] = []
        return RecordFile(read_only / "server.json", reports.append).read(), reports

    record, reports = as_nobody(read)
    assert record is None
    assert len(reports) == 1
    assert "cannot be moved away" in reports[0]


def test_a_record_that_cannot_be_read_is_a_sentence(read_only: Path, as_nobody: AsNobody) -> None:
    with pytest.raises(StorageError) as caught:
        as_nobody(RecordFile(read_only / "server.log").read)
    assert str(read_only) in caught.value.title


def test_a_state_folder_that_cannot_be_made_is_a_sentence(read_only: Path, as_nobody: AsNobody) -> None:
    def write() -> None:
        RecordFile(read_only / "state" / "server.json").write(_RECORD)

    with pytest.raises(StorageError):
        as_nobody(write)


def test_a_lock_that_cannot_be_made_is_a_sentence(read_only: Path, as_nobody: AsNobody) -> None:
    def lock() -> None:
        async def enter() -> None:
            async with ServerLock(read_only / "server.lock", 0):
                pass

        asyncio.run(enter())

    with pytest.raises(StorageError) as caught:
        as_nobody(lock)
    assert caught.value.hint


def test_a_log_that_cannot_be_touched_is_a_sentence(read_only: Path, as_nobody: AsNobody) -> None:
    log = read_only / "server.log"
    for deed in (lambda: rotate(log), lambda: cap(log, 1), lambda: last_lines(log, 1)):
        with pytest.raises(StorageError) as caught:
            as_nobody(deed)
        assert str(log) in caught.value.title


def test_a_log_that_cannot_be_opened_is_a_sentence(read_only: Path, as_nobody: AsNobody) -> None:
    def start() -> None:
        asyncio.run(_spawn_true(read_only / "new.log"))

    with pytest.raises(StorageError):
        as_nobody(start)


async def _spawn_true(log: Path) -> None:
    child = await spawn(["/bin/true"], {}, log, Path("/"))
    await child.wait()


def test_partials_of_others_ask_for_noprune(nobody_folder: Path, as_nobody: AsNobody) -> None:
    blobs = nobody_folder / "blobs"
    blobs.mkdir(mode=0o755)
    names = [f"sha256-{'a' * 64}-partial", f"sha256-{'a' * 64}-partial-0"]
    for name in names:
        (blobs / name).write_text("x")
        (blobs / name).chmod(0o444)
    if os.geteuid() != 0:
        pytest.skip("needs files of another user")
    assert as_nobody(refresh_partials, nobody_folder) == RefreshOutcome(0, unwritable=True)
    (blobs / names[0]).chmod(0o666)
    assert as_nobody(refresh_partials, nobody_folder) == RefreshOutcome(1, unwritable=True)


@_as_root
def test_a_program_in_a_closed_folder_may_not_be_run(tmp_path: Path, as_nobody: AsNobody) -> None:
    program = tmp_path / "ollama"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    tmp_path.chmod(0o700)

    def find() -> None:
        find_binary(str(program), {})

    with pytest.raises(BinaryUnusable, match="cannot be reached") as caught:
        as_nobody(find)
    assert caught.value.hint
    assert as_nobody(find_binary, "", {"PATH": str(tmp_path)}, [program]) is None


@_as_root
def test_a_program_of_others_that_may_not_be_run_is_a_sentence(nobody_folder: Path, as_nobody: AsNobody) -> None:
    program = nobody_folder / "ollama"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o700)

    def start() -> None:
        asyncio.run(spawn([str(program)], {}, nobody_folder / "log", nobody_folder))

    with pytest.raises(StartFailed, match="may not be run"):
        as_nobody(start)


@_as_root
def test_a_port_of_another_user_is_named_by_its_user(as_nobody: AsNobody) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = listener.getsockname()[1]
        holder = as_nobody(_holder_without_inheritance, port)
    assert holder == Holder(port, user="root")
    assert holder.sentence() == f"Port {port} is used by a program of the user root."


def _holder_without_inheritance(port: int) -> Holder | None:
    # This fork holds the listener, too; a real user's process does not.
    for name in os.listdir("/proc/self/fd"):
        with suppress(OSError):
            if os.readlink(f"/proc/self/fd/{name}").startswith("socket:"):
                os.close(int(name))
    return port_holder("127.0.0.1", port)


@_as_root
def test_a_process_of_another_user_is_a_stranger(roots_server: subprocess.Popen[bytes], as_nobody: AsNobody) -> None:
    record = ServerRecord(
        wanted=Wanted.RUNNING,
        pid=4_000_000,
        group=roots_server.pid,
        boot_id=identity.boot_id(),
        start=0,
        exes=(os.path.realpath(sys.executable),),
    )
    assert identity.check_group(record).may_signal
    check = as_nobody(identity.check_group, record)
    assert [(member.pid, member.exe) for member in check.strangers] == [(roots_server.pid, None)]
    assert check.members == ()


@_as_root
def test_the_server_of_another_user_is_not_stopped(roots_server: subprocess.Popen[bytes], as_nobody: AsNobody) -> None:
    record = ServerRecord(
        wanted=Wanted.RUNNING,
        pid=roots_server.pid,
        group=roots_server.pid,
        boot_id=identity.boot_id(),
        start=identity.start_of(roots_server.pid),
    )

    def stop() -> None:
        asyncio.run(signals.stop_group(record, grace_s=1))

    with pytest.raises(SignalRefused, match="another user"):
        as_nobody(stop)
    assert roots_server.poll() is None


@_as_root
def test_a_server_whose_environment_is_closed_uses_its_users_folder(
    roots_server: subprocess.Popen[bytes], as_nobody: AsNobody
) -> None:
    import pwd

    home = Path(pwd.getpwuid(0).pw_dir)
    users = {user.pid: user for user in as_nobody(live_users, home / ".ollama" / "models")}
    user = users[roots_server.pid]
    assert (user.user, user.address) == ("root", None)
