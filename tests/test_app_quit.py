"""Quitting while something is downloaded: who is asked, who is not, and what is offered after the next start."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import Callable
from typing import Any

import pytest
from PySide6.QtCore import QCoreApplication, QEvent, Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication

from launcher.domain.server import ServerState
from launcher.domain.transfer import Phase
from launcher.loop import make_loop
from launcher.ui.dialogs import QuestionDialog
from tests.cli.launched import Launched
from tests.support.logfail import ExpectLog
from tests.support.waiting import eventually
from tests.test_app import Open, choose, launched, server_pids, window

__all__ = ["launched"]

pytestmark = [pytest.mark.anyio, pytest.mark.blocks_loop("pages are built, which on a busy machine takes longer")]

ONE, OTHER = "llama3.2:1b", "qwen3:8b"
SLOW = {"rate_bytes_per_s": 3_000_000, "line_interval_ms": 20}


@pytest.fixture
def anyio_backend(qapp: QApplication) -> tuple[str, dict[str, Any]]:
    return "asyncio", {"loop_factory": lambda: make_loop(qapp)}


@pytest.fixture
def asks(expect_log: ExpectLog) -> None:
    """The offscreen platform has no window manager to tell sizes and order to."""
    expect_log(r"propagateSizeHints|raise\(\)")


async def downloading(opened: Open, *names: str) -> None:
    await opened.reaches(ServerState.RUNNING)
    opened.launcher.deeds["pull_requested"](names)
    await eventually(
        lambda: (
            len(opened.store.transfers) == len(names)
            and all(transfer.phase is Phase.PULLING for transfer in opened.store.transfers)
        ),
        20,
        "they are downloaded",
    )


def dialogs(opened: Open) -> list[QuestionDialog]:
    return opened.launcher.window.findChildren(QuestionDialog)


def close(opened: Open) -> None:
    opened.launcher.window.close()  # there is no tray here


def by_keys(opened: Open) -> None:
    opened.launcher.window.quit_requested.emit()


def from_tray(opened: Open) -> None:
    tray = opened.launcher.tray
    assert tray is not None
    opened.launcher.window.hide()
    tray.quit_requested.emit()


def by_event(opened: Open) -> None:
    QCoreApplication.postEvent(QApplication.instance(), QEvent(QEvent.Type.Quit))


@pytest.mark.usefixtures("asks")
@pytest.mark.parametrize("quit_by", [close, by_keys, from_tray, by_event], ids=lambda each: each.__name__)
async def test_a_person_is_asked_once_and_may_stay(launched: Launched, quit_by: Callable[[Open], None]) -> None:
    launched.script(SLOW)
    async with window() as opened:
        await downloading(opened, ONE)
        quit_by(opened)
        await eventually(lambda: dialogs(opened), 10, "it is asked")
        assert opened.launcher.window.isVisible()
        (dialog,) = dialogs(opened)
        assert dialog.windowTitle() == f"Quit while {ONE} is being downloaded?"
        assert (dialog.deed_button.text(), dialog.cancel_button.text()) == ("Quit and pause", "Keep running")
        close(opened)
        assert dialogs(opened) == [dialog], "a second wish asks no second time"
        QTest.keyClick(dialog, Qt.Key.Key_Escape)
        await eventually(lambda: not dialogs(opened), 10, "it was taken back")
        assert opened.store.transfers[0].phase is Phase.PULLING
        assert not opened.run.done()


@pytest.mark.usefixtures("asks")
async def test_what_was_paused_by_quitting_is_offered_after_the_next_start(launched: Launched) -> None:
    launched.script(SLOW)
    async with window() as opened:
        await downloading(opened, ONE, OTHER)
        close(opened)
        await eventually(lambda: dialogs(opened), 10, "it is asked")
        (dialog,) = dialogs(opened)
        assert dialog.windowTitle() == "Quit while 2 models are being downloaded?"
        dialog.deed_button.click()
        async with asyncio.timeout(20):
            assert await opened.run == 0
    assert server_pids(launched) == []
    assert json.loads((launched.state_dir / "downloads.json").read_text()) == {"local": [ONE, OTHER]}

    choose(launched, on_start="watch")
    launched.script({"rate_bytes_per_s": 80_000_000})
    async with window() as opened:
        await eventually(lambda: len(opened.store.transfers) == 2, 20, "they are offered")
        assert [transfer.phase for transfer in opened.store.transfers] == [Phase.PAUSED] * 2
        await opened.reaches(ServerState.STOPPED)
        opened.launcher.window.show_page("downloads")
        assert "Paused" in opened.words("transfer-words")
        opened.click("resume-button")
        await opened.reaches(ServerState.RUNNING)  # it needs one, and starts it
        await eventually(lambda: opened.store.transfers[0].phase is Phase.DONE, 30, "it went on to its end")
        assert opened.store.transfers[1].phase is Phase.PAUSED
        opened.launcher.deeds["dismiss_requested"](OTHER)
        await eventually(
            lambda: json.loads((launched.state_dir / "downloads.json").read_text()) == {}, 10, "there is none left"
        )


@pytest.mark.parametrize("how", ["SIGTERM", "session end"])
async def test_the_system_is_not_asked_back(launched: Launched, how: str) -> None:
    launched.script(SLOW)
    async with window() as opened:
        await downloading(opened, ONE)
        if how == "SIGTERM":
            os.kill(os.getpid(), signal.SIGTERM)
        else:
            opened.launcher._on_session_ends(None)  # type: ignore[arg-type] # Qt alone makes one
            by_event(opened)
        async with asyncio.timeout(20):
            assert await opened.run == 0
        assert dialogs(opened) == []
    assert server_pids(launched) == []


@pytest.mark.usefixtures("asks")
async def test_a_session_that_ends_meanwhile_waits_for_no_answer(launched: Launched) -> None:
    launched.script(SLOW)
    async with window() as opened:
        await downloading(opened, ONE)
        close(opened)
        await eventually(lambda: dialogs(opened), 10, "it is asked")
        os.kill(os.getpid(), signal.SIGTERM)
        async with asyncio.timeout(20):
            assert await opened.run == 0
    assert server_pids(launched) == []


async def test_who_has_paused_everything_is_not_asked(launched: Launched) -> None:
    launched.script(SLOW)
    async with window() as opened:
        await downloading(opened, ONE)
        opened.launcher.deeds["cancel_requested"](ONE)
        close(opened)
        async with asyncio.timeout(20):
            assert await opened.run == 0
