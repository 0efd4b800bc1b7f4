"""One window for each person: who is first, what a second start hands over, and what a crash leaves."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from PySide6.QtNetwork import QLocalServer, QLocalSocket
from pytestqt.qtbot import QtBot

from launcher.ui.single_instance import Handing, SingleInstance, Wish
from tests.support.waiting import WaitFor

ROOT = Path(__file__).parents[2]

# A whole process: the lock is of processes, and hand_over() blocks.
_START = """
import sys
from pathlib import Path
from PySide6.QtCore import QCoreApplication
from launcher.ui.single_instance import Handing, SingleInstance, Wish
folder, pulls = Path(sys.argv[1]), tuple(sys.argv[2:])
instance = SingleInstance(folder)
if not instance.acquire():
    handing = instance.hand_over(Wish(pulls))
    print(handing.value, flush=True)
    if handing is not Handing.FIRST:
        sys.exit(0)
app = QCoreApplication([])
assert instance.listen()
instance.wished.connect(lambda wish: print("wished", *wish.pulls, flush=True))
print("first", flush=True)
app.exec()
"""

Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start the launcher's part that is tested here, in a process of its own."""
    started: list[subprocess.Popen[str]] = []

    def begin(*pulls: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-c", _START, str(tmp_path), *pulls],
            cwd=ROOT,
            env={**os.environ, "QT_QPA_PLATFORM": "offscreen"},
            stdout=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield begin
    for process in started:
        process.kill()
        process.communicate(timeout=10)


def said(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


@pytest.fixture
def first(tmp_path: Path, qapp: object) -> Iterator[SingleInstance]:
    instance = SingleInstance(tmp_path)
    assert instance.acquire()
    assert instance.listen()
    yield instance
    instance.close()


def test_the_second_is_not_the_first(start: Start) -> None:
    assert said(start()) == "first"
    assert said(start("qwen3:8b", "x")) == "taken"


def test_a_wish_arrives_whole(first: SingleInstance, start: Start, qtbot: QtBot) -> None:
    with qtbot.waitSignal(first.wished, timeout=20_000) as wished:
        start("qwen3:8b", "gemma3:4b")
    assert wished.args == [Wish(("qwen3:8b", "gemma3:4b"))]


def test_of_many_at_once_one_is_the_first_and_hears_all(start: Start) -> None:
    many = [start() for _ in range(6)]
    # The first never ends by itself: the others do.
    deadline_s = time.monotonic() + 30
    while sum(process.poll() is None for process in many) > 1:
        assert time.monotonic() < deadline_s, "more than one is first"
        time.sleep(0.02)
    firsts = [process for process in many if process.poll() is None]
    assert [said(process) for process in many if process not in firsts] == ["taken"] * 5
    assert [said(firsts[0]) for _ in range(6)] == ["first", *["wished"] * 5]


@pytest.mark.skipif(sys.platform == "win32", reason="no such signal")
def test_what_a_crash_leaves_is_no_obstacle(start: Start, tmp_path: Path) -> None:
    crashed = start()
    assert said(crashed) == "first"
    crashed.send_signal(signal.SIGKILL)
    crashed.wait(10)
    assert (tmp_path / "window.lock").exists()
    assert (tmp_path / "window.socket").exists()
    assert said(start()) == "first"
    assert said(start()) == "taken"


@pytest.mark.skipif(sys.platform == "win32", reason="no such signal")
def test_one_that_hangs_is_not_waited_for_without_end(start: Start) -> None:
    hanging = start()
    assert said(hanging) == "first"
    hanging.send_signal(signal.SIGSTOP)
    try:
        assert said(start()) == "not heard"
    finally:
        hanging.send_signal(signal.SIGCONT)


def test_who_ends_leaves_the_place_to_the_next(tmp_path: Path, qapp: object) -> None:
    for _ in range(2):
        instance = SingleInstance(tmp_path)
        assert instance.acquire()
        assert instance.listen()
        instance.close()


@pytest.mark.parametrize("crashed_s", [pytest.param(0, id="in time"), pytest.param(3600, id="an hour ago")])
def test_a_lock_that_names_nobody_is_in_the_way_for_moments_only(tmp_path: Path, crashed_s: int) -> None:
    lock = tmp_path / "window.lock"
    lock.touch()
    os.utime(lock, (time.time() - crashed_s,) * 2)
    instance = SingleInstance(tmp_path)
    assert instance.acquire() is bool(crashed_s)
    instance.close()


def test_who_comes_while_the_first_quits_is_the_next(first: SingleInstance, tmp_path: Path) -> None:
    heard: list[Wish] = []
    first.wished.connect(heard.append)
    first.rest()
    second = SingleInstance(tmp_path)
    assert not second.acquire()
    waits: list[float] = []

    def pause(wait_s: float) -> None:
        waits.append(wait_s)
        if len(waits) == 2:
            first.close()

    assert second.hand_over(Wish(("qwen3:8b",)), pause) is Handing.FIRST
    assert (len(waits), heard) == (2, [])
    second.close()


def test_two_folders_are_two_places(first: SingleInstance, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    other = SingleInstance(tmp_path / "other")
    assert other.acquire()
    assert other.listen()
    other.close()


def test_a_folder_with_a_long_name_has_a_socket_of_this_person(tmp_path: Path, qapp: object) -> None:
    deep = tmp_path / ("x" * 120)
    deep.mkdir()
    instance = SingleInstance(deep)
    assert instance.acquire()
    assert instance.listen()
    server = instance.findChild(QLocalServer)
    assert server is not None
    assert str(os.getuid()) in server.serverName()
    instance.close()


@pytest.mark.skipif(sys.platform == "win32", reason="modes are another matter there")
def test_nobody_else_may_talk_to_it(first: SingleInstance, tmp_path: Path) -> None:
    assert (tmp_path / "window.socket").stat().st_mode & 0o077 == 0


@pytest.mark.parametrize(
    "message",
    [
        pytest.param(b"garbage\n", id="no JSON"),
        pytest.param(b"[1]\n", id="no object"),
        pytest.param(json.dumps({"pulls": 7}).encode() + b"\n", id="wrong kind"),
        pytest.param(b"x" * 100_000, id="endless line"),
    ],
)
def test_what_is_no_wish_is_dropped(first: SingleInstance, qtbot: QtBot, message: bytes, wait_for: WaitFor) -> None:
    heard: list[Wish] = []
    first.wished.connect(heard.append)
    server = first.findChild(QLocalServer)
    assert server is not None
    socket = QLocalSocket()
    socket.connectToServer(server.fullServerName())
    assert socket.waitForConnected(2000)
    socket.write(message)
    qtbot.waitUntil(lambda: socket.state() is QLocalSocket.LocalSocketState.UnconnectedState, timeout=5000)
    assert heard == []
    assert bytes(socket.readAll().data()) == b""
