"""The first paint: what it waits for, what it needs, and what happens when something goes wrong before it."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from PySide6.QtCore import QCoreApplication, QTimer
from PySide6.QtWidgets import QApplication, QPlainTextEdit

from launcher.app.front import Front
from launcher.app.launcher import Launcher
from launcher.loop import make_loop
from launcher.ui.events import Application
from tests.support.logfail import ExpectLog
from tests.support.waiting import eventually


@pytest.fixture
def anyio_backend(qapp: QApplication) -> tuple[str, dict[str, Any]]:
    return "asyncio", {"loop_factory": lambda: make_loop(qapp)}


@pytest.fixture
def front(qapp: Application) -> Iterator[Front]:
    front = Front(qapp)
    yield front
    front.close()


def test_it_returns_when_the_window_has_been_painted(front: Front) -> None:
    painted: list[bool] = []
    front.window_events.painted.connect(lambda: painted.append(True))

    front.paint_first()

    assert painted
    assert front.window.isVisible()
    assert not front.quit_wished


def test_it_does_not_wait_for_ever_for_a_screen(front: Front, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("launcher.app.front._FIRST_PAINT_MS", 20)
    monkeypatch.setattr(front.window, "show", lambda: None)

    front.paint_first()

    assert not front.quit_wished


@pytest.mark.parametrize("how", ["close", "quit", "SIGINT", "SIGTERM"])
def test_who_quits_before_it_is_obeyed(front: Front, how: str) -> None:
    ways = {"close": front.window.close, "quit": QCoreApplication.quit}
    QTimer.singleShot(0, ways.get(how, lambda: signal.raise_signal(signal.Signals[how])))
    front.hear_signals()

    front.paint_first()

    assert front.quit_wished


def test_signals_belong_to_whom_they_belonged_afterwards(qapp: Application) -> None:
    before = signal.getsignal(signal.SIGTERM)
    front = Front(qapp)
    front.hear_signals()
    assert signal.getsignal(signal.SIGTERM) != before

    front.close()

    assert signal.getsignal(signal.SIGTERM) == before


@pytest.mark.anyio
async def test_who_quits_before_there_is_a_loop_is_obeyed_then(front: Front) -> None:
    front.hear_signals()
    signal.raise_signal(signal.SIGTERM)

    assert await Launcher(front).run() == 0


def test_it_needs_neither_asyncio_nor_a_service() -> None:
    """In a process of its own, as the program starts."""
    program = (
        "import sys\n"
        "from launcher import __main__\n"
        "from launcher.app.front import Front\n"
        "from launcher.app.start import make_application\n"
        "front = Front(make_application(['launcher']))\n"
        "front.paint_first()\n"
        "later = {'asyncio', 'qasync', 'httpx', 'pydantic', 'psutil', 'ssl', 'subprocess', 'click', 'rich'}\n"
        "sys.exit(', '.join(sorted(later & set(sys.modules))) or 0)\n"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)

    assert (run.returncode, run.stderr) == (0, "")


@pytest.mark.anyio
async def test_what_fails_before_there_is_a_loop_is_told_then(front: Front, expect_log: ExpectLog) -> None:
    expect_log("uncaught")
    expect_log("propagateSizeHints")  # the offscreen platform has no window manager
    sys.excepthook(KeyError, KeyError("too early"), None)

    front.unexpected.watch(asyncio.get_running_loop(), front.window, lambda: None)

    def story() -> str:
        return "".join(field.toPlainText() for field in front.window.findChildren(QPlainTextEdit, "crash-report-text"))

    await eventually(lambda: "too early" in story(), 5, "the report is there")
