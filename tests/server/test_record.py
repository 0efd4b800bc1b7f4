"""server.json survives what comes; server.lock is held by one at a time, and by nobody who is gone."""

from __future__ import annotations

import asyncio
import errno
import json
import os
import signal
import stat
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from launcher.errors import StorageError
from launcher.server.errors import LockBusy
from launcher.server.record import RecordFile, ServerLock, ServerRecord, Wanted
from launcher.tasks import run_blocking
from tests.support.processes import until

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.blocks_loop("starting a process waits for a processor, up to 200 ms on a busy machine"),
]

_RECORD = ServerRecord(
    wanted=Wanted.RUNNING,
    pid=4711,
    group=4711,
    boot_id="b",
    start=99,
    exes=("/usr/bin/ollama", "/usr/bin/python3 öä"),
    address="http://127.0.0.1:11434",
    log="/state/logs/server.log",
    models="/home/user/.ollama/models",
    relay={"port": 4000, "secret": "x"},
    token="0123abcd",
)

_HOLDER = """
import asyncio, os, subprocess, sys
from pathlib import Path
from launcher.server.record import ServerLock

async def main():
    async with ServerLock(Path(sys.argv[1]), 5):
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], start_new_session=True)
        print(child.pid, flush=True)
        await asyncio.sleep(60)

asyncio.run(main())
"""


def _run(script: str, *paths: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", script, *map(str, paths)], stdout=subprocess.PIPE)


@pytest.fixture
def reports() -> list[str]:
    return []


@pytest.fixture
def file(tmp_path: Path, reports: list[str]) -> RecordFile:
    return RecordFile(tmp_path / "state" / "server.json", reports.append)


def test_what_was_written_is_read(file: RecordFile, reports: list[str]) -> None:
    file.write(_RECORD)
    assert file.read() == _RECORD
    stopped = ServerRecord(wanted=Wanted.STOPPED)
    file.write(stopped)
    assert file.read() == stopped
    assert reports == []


def test_no_file_is_no_record(file: RecordFile) -> None:
    assert file.read() is None


@pytest.mark.skipif(sys.platform == "win32", reason="modes are POSIX")
def test_only_its_owner_may_look(file: RecordFile) -> None:
    before = os.umask(0)
    try:
        file.write(_RECORD)
    finally:
        os.umask(before)
    assert stat.S_IMODE(file.path.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.path.parent.stat().st_mode) == 0o700


def test_unknown_keys_survive_a_rewrite(file: RecordFile) -> None:
    file.write(_RECORD)
    members = json.loads(file.path.read_text())
    file.path.write_text(json.dumps({**members, "engine": {"version": 7}, "zz": [1]}))
    file.write(replace(_RECORD, wanted=Wanted.STOPPED, pid=None))
    again = json.loads(file.path.read_text())
    assert again["engine"] == {"version": 7}
    assert again["zz"] == [1]
    assert again["wanted"] == "stopped"
    assert again["pid"] is None


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"\0" * 512, id="zeros"),
        pytest.param(b"{", id="cut"),
        pytest.param(b"[]", id="a list"),
        pytest.param(b"null", id="null"),
        pytest.param(b"\xff\xfe{}", id="no text"),
        pytest.param(b'{"pid": 1}', id="no wish"),
        pytest.param(b'{"wanted": "perhaps"}', id="impossible wish"),
        pytest.param(b'{"wanted": []}', id="wish of another kind"),
        pytest.param(b'{"wanted": "running", "pid": 1}', id="process 1"),
        pytest.param(b'{"wanted": "running", "pid": 4711, "group": 0}', id="group 0"),
        pytest.param(b'{"wanted": "running", "pid": 4711, "group": -1}', id="group -1"),
        pytest.param(b'{"wanted": "running", "pid": true}', id="pid of another kind"),
        pytest.param(b'{"wanted": "running", "pid": 1e300}', id="pid too large"),
        pytest.param(b'{"wanted": "running", "exes": [1]}', id="executables of another kind"),
        pytest.param(b'{"wanted": "running", "exes": "abc"}', id="executables as one text"),
        pytest.param(b'{"wanted": "running", "start": "now"}', id="start of another kind"),
        pytest.param(b'{"wanted": "running", "address": 5}', id="address of another kind"),
        pytest.param(b'{"wanted": "running", "token": 5}', id="token of another kind"),
        pytest.param(b'{"wanted": "running", "relay": 5}', id="relay of another kind"),
        pytest.param(b"[" * 100_000, id="deep"),
        pytest.param(b"9" * 10_000, id="a number too long"),
        pytest.param(b" " * 2_000_000, id="large"),
    ],
)
def test_garbage_is_set_aside_and_reported(file: RecordFile, reports: list[str], content: bytes) -> None:
    file.path.parent.mkdir()
    file.path.write_bytes(content)
    assert file.read() is None
    assert file.path.with_name("server.json.broken-1").read_bytes() == content
    assert not file.path.exists()
    assert len(reports) == 1
    assert "server.json.broken-1" in reports[0]
    file.write(_RECORD)
    assert file.read() == _RECORD


def test_garbage_set_aside_before_is_kept(file: RecordFile) -> None:
    file.path.parent.mkdir()
    for number in range(1, 13):
        file.path.write_text(f"garbage {number}")
        assert file.read() is None
    names = sorted(path.name for path in file.path.parent.iterdir())
    assert names == [f"server.json.broken-{number}" for number in range(1, 10)]
    assert file.path.with_name("server.json.broken-1").read_text() == "garbage 1"


def test_a_folder_in_its_place_is_set_aside(file: RecordFile, reports: list[str]) -> None:
    file.path.mkdir(parents=True)
    assert file.read() is None
    file.write(_RECORD)
    assert file.read() == _RECORD
    assert len(reports) == 1


def test_a_file_in_the_folders_place_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("")
    file = RecordFile(tmp_path / "state" / "server.json")
    assert file.read() is None
    with pytest.raises(StorageError) as caught:
        file.write(_RECORD)
    assert str(tmp_path / "state") in caught.value.title
    assert caught.value.hint


def test_readers_never_see_half_a_file(file: RecordFile, reports: list[str]) -> None:
    records = [replace(_RECORD, pid=pid, log="x" * pid) for pid in (100, 60_000)]
    file.write(records[0])
    done = threading.Event()

    def write() -> None:
        for turn in range(200):
            file.write(records[turn % 2])
        done.set()

    writer = threading.Thread(target=write)
    writer.start()
    seen = []
    while not done.is_set():
        seen.append(file.read())
    writer.join()
    assert reports == []
    assert all(record in records for record in seen)
    assert [path.name for path in file.path.parent.iterdir()] == ["server.json"]


async def test_one_at_a_time(tmp_path: Path) -> None:
    story: list[str] = []

    async def user(name: str) -> None:
        async with ServerLock(tmp_path / "server.lock", 10):
            story.append(f"{name} in")
            await asyncio.sleep(0)
            story.append(f"{name} out")

    await asyncio.gather(*(user(name) for name in "abcd"))
    assert len(story) == 8
    for entered, left in zip(story[::2], story[1::2], strict=True):
        assert (entered.split()[0], entered.split()[1], left.split()[1]) == (left.split()[0], "in", "out")


async def test_waiting_has_an_end(tmp_path: Path) -> None:
    path = tmp_path / "server.lock"
    async with ServerLock(path, 0):
        with pytest.raises(LockBusy) as caught:
            async with ServerLock(path, 0.05):
                pytest.fail("two at a time")
        assert "another launcher" in caught.value.title.lower()
    async with ServerLock(path, 0):
        pass


async def test_waiting_does_not_block_the_loop(tmp_path: Path) -> None:
    path = tmp_path / "server.lock"
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    counter = asyncio.create_task(count())
    async with ServerLock(path, 0):
        with pytest.raises(LockBusy):
            async with ServerLock(path, 0.1):
                pytest.fail("two at a time")
    counter.cancel()
    assert turns > 20


async def test_a_cancelled_waiter_leaves_nothing(tmp_path: Path) -> None:
    path = tmp_path / "server.lock"

    async def wait() -> None:
        async with ServerLock(path, 30):
            pytest.fail("two at a time")

    async with ServerLock(path, 0):
        waiter = asyncio.create_task(wait())
        await asyncio.sleep(0.03)
        waiter.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiter
    async with ServerLock(path, 0):
        pass


async def test_a_cancelled_or_failing_holder_frees_it(tmp_path: Path) -> None:
    path = tmp_path / "server.lock"
    inside = asyncio.Event()

    async def hold() -> None:
        async with ServerLock(path, 0):
            inside.set()
            await asyncio.sleep(60)

    holder = asyncio.create_task(hold())
    await inside.wait()
    holder.cancel()
    with pytest.raises(asyncio.CancelledError):
        await holder
    with pytest.raises(KeyError):
        async with ServerLock(path, 0):
            raise KeyError
    async with ServerLock(path, 0):
        pass


async def test_a_killed_holder_frees_it_though_its_child_lives(tmp_path: Path) -> None:
    path = tmp_path / "server.lock"
    holder = _run(_HOLDER, path)
    assert holder.stdout is not None
    child = int(await run_blocking(holder.stdout.readline))
    try:
        with pytest.raises(LockBusy):
            async with ServerLock(path, 0):
                pytest.fail("two at a time")
        holder.kill()
        holder.wait()
        os.kill(child, 0)
        async with ServerLock(path, 5):
            pass
    finally:
        holder.stdout.close()
        holder.kill()
        holder.wait()
        os.kill(child, signal.SIGKILL)


async def test_processes_exclude_each_other(tmp_path: Path) -> None:
    script = """
import asyncio, os, sys
from pathlib import Path
from launcher.server.record import ServerLock

async def main():
    lock, mark = Path(sys.argv[1]), Path(sys.argv[2])
    for _ in range(25):
        async with ServerLock(lock, 30):
            os.close(os.open(mark, os.O_CREAT | os.O_EXCL))
            await asyncio.sleep(0)
            os.unlink(mark)

asyncio.run(main())
"""
    several = [_run(script, tmp_path / "server.lock", tmp_path / "mark") for _ in range(3)]
    try:
        await until(lambda: all(process.poll() is not None for process in several), "the end of all")
    finally:
        for process in several:
            process.kill()
            process.communicate()
    assert [process.returncode for process in several] == [0, 0, 0]


async def test_a_lock_that_cannot_be_made_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError) as caught:
        async with ServerLock(tmp_path / "file" / "server.lock", 0):
            pytest.fail("there is no such folder")
    assert caught.value.hint


async def test_a_lock_in_the_place_of_a_folder_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "server.lock").mkdir()
    with pytest.raises(StorageError):
        async with ServerLock(tmp_path / "server.lock", 0):
            pytest.fail("a folder cannot be locked")


async def test_one_lock_object_is_not_entered_twice(tmp_path: Path) -> None:
    lock = ServerLock(tmp_path / "server.lock", 0)
    async with lock:
        with pytest.raises(RuntimeError):
            await lock.__aenter__()


def test_who_only_looks_mends_nothing(tmp_path: Path) -> None:
    path = tmp_path / "server.json"
    path.write_text("{broken")
    said: list[str] = []
    assert RecordFile(path, said.append, mends=False).read() is None
    assert (len(said), "server.json" in said[0], os.listdir(tmp_path)) == (1, True, ["server.json"])


def test_a_full_disk_keeps_nobody_from_stopping(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = RecordFile(tmp_path / "server.json")
    file.write(_RECORD)

    def full(*_: object, **__: object) -> tuple[int, str]:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("tempfile.mkstemp", full)
    stopped = replace(_RECORD, wanted=Wanted.STOPPED)
    file.write(stopped)
    assert file.read() == stopped
    gone = ServerRecord(wanted=Wanted.STOPPED)
    file.write(gone)
    assert file.read() == gone, "nothing of the longer one is left"

    (tmp_path / "server.json").unlink()
    with pytest.raises(StorageError, match="cannot be written") as raised:
        file.write(gone)
    assert "disk is full" in raised.value.hint
