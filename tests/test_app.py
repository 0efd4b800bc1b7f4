"""Whole flows: the window on its loop, its services, and the simulated server as a real child.

The three ways through the house (health → tray, pull line → bar, click → process), what other launcher processes do
meanwhile, a server that misbehaves, and what is left at the end.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest
from PySide6.QtCore import QPoint, Qt, QTimer, Signal
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication, QLabel, QPlainTextEdit, QProgressBar, QPushButton, QSystemTrayIcon, QWidget

from launcher import paths
from launcher.app import presence
from launcher.app.front import Front
from launcher.app.launcher import Launcher
from launcher.domain.server import Owner, ServerState
from launcher.domain.settings import Appearance
from launcher.domain.transfer import Phase
from launcher.loop import make_loop
from launcher.tasks import run_blocking
from launcher.ui.events import Application
from launcher.ui.main_window import PAGE_ORDER
from launcher.ui.single_instance import SingleInstance
from tests.cli.launched import ROOT, Launched
from tests.support.logfail import ExpectLog
from tests.support.waiting import eventually

pytestmark = [pytest.mark.anyio, pytest.mark.blocks_loop("pages are built, which on a busy machine takes longer")]

ONE_POLL_S = 2.0 + 1.5
"""The window looks every 2 s; some air for the look itself on a busy machine."""


@pytest.fixture
def anyio_backend(qapp: QApplication) -> tuple[str, dict[str, Any]]:
    return "asyncio", {"loop_factory": lambda: make_loop(qapp)}


@pytest.fixture
def launched(tmp_path: Path, free_port: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[Launched]:
    """One person's launcher: what the command line is told by its environment, this process is, too."""
    launcher = Launched(tmp_path, free_port)
    for name, value in launcher.environment.items():
        monkeypatch.setenv(name, value)
    yield launcher
    launcher.close()


class Open:
    """The window while it is open, as a person sees and uses it."""

    def __init__(self, launcher: Launcher, run: asyncio.Task[int]) -> None:
        self.launcher = launcher
        self.run = run
        self.store = launcher.store

    def widget(self, name: str) -> QWidget:
        found: list[QWidget] = [w for w in self.launcher.window.findChildren(QWidget, name) if not w.isHidden()]
        assert found, f"no {name} is shown"
        return found[0]

    def words(self, name: str) -> str:
        widget = self.widget(name)
        text = widget.text() if isinstance(widget, QLabel | QPushButton) else ""
        return text or widget.accessibleName()

    async def clicks(self, name: str) -> None:
        """Click as soon as it is shown: a page that is brought to the front renders what it shows a turn later."""
        shown = self.launcher.window.findChildren
        await eventually(lambda: any(not w.isHidden() for w in shown(QWidget, name)), 10, f"{name} is shown")
        self.click(name)

    def click(self, name: str) -> None:
        button = self.widget(name)
        assert button.isEnabled(), f"{name} is off"
        QTest.mouseClick(button, Qt.MouseButton.LeftButton, pos=QPoint(button.width() // 2, button.height() // 2))

    def state(self) -> ServerState | None:
        return self.store.server.state if self.store.server is not None else None

    async def reaches(self, state: ServerState, timeout_s: float = 20.0) -> None:
        await eventually(lambda: self.state() is state, timeout_s, f"{state} ({self.store.server})")

    async def quits(self) -> int:
        self.launcher.quit()
        async with asyncio.timeout(20):
            return await self.run


@asynccontextmanager
async def window(**options: Any) -> AsyncIterator[Open]:
    """Open the window as the program does, but for the first paint, and quit it at the end."""
    front = new_front()
    launcher = Launcher(front, **options)
    run = asyncio.create_task(launcher.run(), name="the window")
    opened = Open(launcher, run)
    try:
        await eventually(lambda: launcher.tray is not None or run.done(), 20, "the window is ready")
        yield opened
    finally:
        await opened.quits()
        front.close()


def new_front() -> Front:
    app = QApplication.instance()
    assert isinstance(app, Application)
    return Front(app)


def choose(launched: Launched, **settings: object) -> None:
    launched.config_dir.mkdir(exist_ok=True)
    (launched.config_dir / "settings.json").write_text(json.dumps(settings), encoding="utf-8")


def server_pids(launched: Launched) -> list[int]:
    """The simulated servers of this person, and what they run."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            ours = process.environ().get("LAUNCHER_STATE_DIR") == str(launched.state_dir)
            if ours and process.status() != psutil.STATUS_ZOMBIE and process.pid != os.getpid():
                found.append(process.pid)
    return found


def begin(launched: Launched, *arguments: str) -> subprocess.Popen[bytes]:
    """Open the window in a process of its own."""
    return subprocess.Popen([sys.executable, "-m", "launcher", *arguments], cwd=ROOT, env=launched.environment)


async def command(launched: Launched, *arguments: str) -> Any:
    return await run_blocking(lambda: launched.run(*arguments))


# --- the three ways ---------------------------------------------------------------------------------------------------


async def test_what_health_sees_is_told_by_page_footer_and_tray(launched: Launched) -> None:
    async with window() as opened:
        await opened.reaches(ServerState.RUNNING)
        assert opened.words("server-state") == "Running"
        assert "127.0.0.1" in opened.words("server-facts")
        assert "Running" in opened.words("footer-state")
        tray = opened.launcher.tray
        assert tray is not None
        told = {action.objectName(): action for action in tray.menu.actions()}
        assert "Running" in told["tray-state"].text()
        assert (told["tray-stop"].isVisible(), told["tray-start"].isVisible()) == (True, False)
        assert opened.store.server is not None
        assert opened.store.server.owner is Owner.OURS


async def test_lines_of_a_pull_move_its_bars_and_never_back(launched: Launched) -> None:
    launched.script({"rate_bytes_per_s": 8_000_000, "line_interval_ms": 20})
    async with window() as opened:
        await opened.reaches(ServerState.RUNNING)
        seen: list[int] = []
        opened.store.transfers_changed.connect(
            lambda transfers: seen.extend(t.permille for t in transfers if t.permille is not None)
        )
        opened.launcher.window.show_page("downloads")
        field = opened.widget("pull-field")
        QTest.keyClicks(field, "llama3.2:1b")
        opened.click("pull-button")
        await eventually(lambda: seen and seen[-1] > 100, 20, "some of it is there")
        footer = opened.widget("footer-progress")
        assert isinstance(footer, QProgressBar)
        assert footer.value() > 0
        assert "llama3.2:1b" in opened.words("footer-downloads")
        await eventually(lambda: opened.store.transfers[0].phase is Phase.DONE, 30, "the download is done")
        assert seen == sorted(seen)
        assert seen[-1] == 1000
        await eventually(lambda: opened.store.models and opened.store.models.installed, 10, "it is listed")


async def test_a_click_on_stop_ends_the_process_and_one_on_start_makes_one(launched: Launched) -> None:
    async with window() as opened:
        await opened.reaches(ServerState.RUNNING)
        assert opened.store.server is not None
        pid = opened.store.server.pid
        assert pid is not None
        opened.click("stop-button")
        assert opened.state() is ServerState.STOPPING
        assert opened.words("server-state") == "Stopping…"
        await opened.reaches(ServerState.STOPPED)
        assert not psutil.pid_exists(pid)
        opened.click("start-button")
        assert opened.state() is ServerState.STARTING
        await opened.reaches(ServerState.RUNNING)


async def test_the_first_words_are_no_guess(launched: Launched) -> None:
    front = new_front()
    launcher = Launcher(front)
    try:
        label = launcher.window.findChild(QLabel, "server-state")
        assert label is not None
        assert label.text() == "Looking for Ollama…"
        shown = [b.objectName() for b in launcher.window.findChildren(QPushButton) if b.isVisibleTo(launcher.window)]
        assert not {"start-button", "stop-button", "restart-button"} & set(shown)
    finally:
        run = asyncio.create_task(launcher.run())
        launcher.quit()
        await run
        front.close()


# --- starting and ending ----------------------------------------------------------------------------------------------


async def test_to_watch_only_starts_nothing(launched: Launched) -> None:
    choose(launched, on_start="watch")
    async with window() as opened:
        await opened.reaches(ServerState.STOPPED)
        await asyncio.sleep(0)
        assert server_pids(launched) == []
        opened.click("start-button")
        await opened.reaches(ServerState.RUNNING)


async def test_quitting_stops_the_server(launched: Launched) -> None:
    async with window() as opened:
        await opened.reaches(ServerState.RUNNING)
        assert await opened.quits() == 0
    assert server_pids(launched) == []


async def test_quitting_leaves_the_server_where_that_is_set(launched: Launched) -> None:
    choose(launched, on_quit="leave")
    async with window() as opened:
        await opened.reaches(ServerState.RUNNING)
        assert opened.store.server is not None
        pid = opened.store.server.pid
        await opened.quits()
    assert server_pids(launched) == [pid]


async def test_quitting_in_the_middle_of_a_start_leaves_nothing(launched: Launched) -> None:
    launched.script({"start": {"silent_s": 30}})
    async with window() as opened:
        await opened.reaches(ServerState.STARTING)
        await eventually(lambda: server_pids(launched), 10, "the process is there")
        await opened.quits()
    assert server_pids(launched) == []


@pytest.mark.parametrize("how", ["close", "quit event", "SIGTERM"])
async def test_each_way_to_quit_is_the_same(launched: Launched, how: str) -> None:
    async with window() as opened:
        await opened.reaches(ServerState.RUNNING)
        if how == "close":
            opened.launcher.window.close()  # there is no tray here
        elif how == "quit event":
            QApplication.quit()
        else:
            os.kill(os.getpid(), signal.SIGTERM)
        async with asyncio.timeout(20):
            assert await opened.run == 0
    assert server_pids(launched) == []


async def test_closing_leaves_it_in_the_tray_where_that_is_set_and_says_so_once(
    launched: Launched, monkeypatch: pytest.MonkeyPatch, expect_log: ExpectLog
) -> None:
    expect_log(r"raise\(\)")
    choose(launched, close_to_tray=True)
    async with window() as opened:
        tray = opened.launcher.tray
        assert tray is not None
        # The offscreen platform has no place for an icon.
        monkeypatch.setattr(tray, "_make_icon", lambda: None)
        monkeypatch.setattr(QSystemTrayIcon, "isSystemTrayAvailable", lambda: True)
        tray.look()
        told: list[str] = []
        monkeypatch.setattr(tray, "tell", lambda title, _text: told.append(title))
        for _ in range(2):
            opened.launcher.window.close()
            assert not opened.launcher.window.isVisible()
            tray.show_requested.emit("")
            assert opened.launcher.window.isVisible()
        assert len(told) == 1
        assert not opened.run.done()
        # Without a tray it would be gone for ever.
        monkeypatch.setattr(QSystemTrayIcon, "isSystemTrayAvailable", lambda: False)
        tray.look()
        opened.launcher.window.close()
        async with asyncio.timeout(20):
            assert await opened.run == 0


async def test_a_window_that_waits_for_a_tray_in_vain_is_shown(
    launched: Launched, monkeypatch: pytest.MonkeyPatch, expect_log: ExpectLog
) -> None:
    expect_log(r"raise\(\)")
    monkeypatch.setattr(presence, "_NO_TRAY_FOR_S", 0.2)
    choose(launched, close_to_tray=True)
    async with window(hidden=True) as opened:
        await opened.reaches(ServerState.RUNNING)
        await eventually(opened.launcher.window.isVisible, 10, "the window is shown")
        message = opened.launcher.window.message_bar.current
        assert message is not None
        assert "no system tray" in message.title


async def test_the_watchdog_ends_what_hangs(launched: Launched) -> None:
    program = (
        "import time\n"
        "import launcher.app.launcher as run\n"
        "import launcher.app.start as start\n"
        "run._WATCHDOG_S = 0.5\n"
        "async def work(self):\n"
        "    self.quit()\n"
        "run.Launcher._work = work\n"
        "run.Launcher._hide_for_good = lambda self: time.sleep(60)\n"
        "start.main()\n"
    )
    run = await run_blocking(
        lambda: subprocess.run([sys.executable, "-c", program], env=launched.environment, cwd=ROOT, timeout=30)
    )
    assert run.returncode == 70
    log = (launched.state_dir / "logs" / "launcher.log").read_text()
    assert "did not end by itself" in log
    assert "Thread" in log


# --- settings ---------------------------------------------------------------------------------------------------------


async def test_a_setting_is_saved_and_has_its_effect_at_once(launched: Launched) -> None:
    async with window() as opened:
        opened.launcher.window.show_page("settings")
        page = opened.widget("settings-page")
        page.setting_changed.emit("appearance", "dark")  # type: ignore[attr-defined] # the page's signal
        await eventually(lambda: opened.launcher.theme.dark, 5, "it is dark")
        assert json.loads((launched.config_dir / "settings.json").read_text()) == {"appearance": "dark"}
        assert opened.store.settings is not None
        assert opened.store.settings.appearance is Appearance.DARK


async def test_another_address_is_served_anew(launched: Launched) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        other = f"127.0.0.1:{probe.getsockname()[1]}"
    async with window() as opened:
        await opened.reaches(ServerState.RUNNING)
        assert opened.store.server is not None
        pid = opened.store.server.pid
        opened.launcher.window.show_page("settings")
        opened.widget("settings-page").setting_changed.emit("address", other)  # type: ignore[attr-defined] # as above
        await eventually(
            lambda: opened.state() is ServerState.RUNNING and other in opened.words("server-facts"),
            20,
            "it runs at the other address",
        )
        assert not psutil.pid_exists(pid or 0)
        assert len(server_pids(launched)) == 1
    assert server_pids(launched) == []


async def test_another_address_starts_nothing_where_nothing_is_to_run(launched: Launched) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        other = f"127.0.0.1:{probe.getsockname()[1]}"
    choose(launched, on_start="watch")
    async with window() as opened:
        await opened.reaches(ServerState.STOPPED)
        states: list[ServerState] = []
        opened.store.server_changed.connect(lambda status: states.append(status.state))
        opened.launcher.deeds["setting_changed"]("address", other)
        await eventually(
            lambda: opened.state() is ServerState.STOPPED and other in opened.words("server-facts"),
            20,
            "it is watched at the other address",
        )
        opened.click("start-button")
        await opened.reaches(ServerState.RUNNING)
        assert states.index(ServerState.STOPPED) < states.index(ServerState.STARTING), "not before it was wished"


async def test_every_wish_of_every_page_is_a_deed(launched: Launched) -> None:
    """No control is drawn before it works."""
    async with window() as opened:
        wished = set()
        for key in PAGE_ORDER:
            if key in opened.launcher.window.side_bar.keys:
                page = opened.launcher.window.page_widget(key)
                names = [name for name in dir(type(page)) if isinstance(getattr(type(page), name), Signal)]
                wished |= {name for name in names if name.endswith("_requested") or name == "setting_changed"}
        assert wished <= set(opened.launcher.deeds)


# --- other launcher processes -----------------------------------------------------------------------------------------


async def test_a_stop_and_a_start_from_the_command_line_are_seen(launched: Launched) -> None:
    async with window() as opened:
        await opened.reaches(ServerState.RUNNING)
        assert (await command(launched, "stop")).code == 0
        await opened.reaches(ServerState.STOPPED, ONE_POLL_S)
        # Nobody restarts what was wished stopped: for two polls it stays so.
        states: list[ServerState] = []
        opened.store.server_changed.connect(lambda status: states.append(status.state))
        await asyncio.wait({opened.run}, timeout=4.5)
        assert states == []
        opened.store.server_changed.disconnect()


async def test_a_start_from_the_command_line_is_adopted(launched: Launched) -> None:
    choose(launched, on_start="watch")
    async with window() as opened:
        await opened.reaches(ServerState.STOPPED)
        assert (await command(launched, "start")).code == 0
        await opened.reaches(ServerState.RUNNING, ONE_POLL_S)
        assert opened.store.server is not None
        assert opened.store.server.owner is Owner.OURS
        opened.click("stop-button")
        await opened.reaches(ServerState.STOPPED)
    assert server_pids(launched) == []


async def test_a_second_start_raises_the_first_and_hands_over_its_wish(
    launched: Launched, expect_log: ExpectLog
) -> None:
    expect_log(r"raise\(\)")
    launched.script({"rate_bytes_per_s": 20_000_000})
    instance = SingleInstance(paths.ensure_dir(launched.state_dir))
    assert instance.acquire()
    async with window(instance=instance) as opened:
        await opened.reaches(ServerState.RUNNING)
        opened.launcher.window.hide()
        assert (await command(launched, "--pull", "nomic-embed-text")).code == 0
        await eventually(lambda: opened.store.transfers, 10, "the wish has come")
        assert opened.launcher.window.isVisible()
        assert opened.launcher.window.page == "downloads"
        await eventually(lambda: opened.store.transfers[0].phase is Phase.DONE, 30, "it is done")


async def test_a_start_while_the_first_quits_opens_the_next_window(launched: Launched) -> None:
    launched.script({"stop": {"ignore": True}})  # which takes the first some seconds
    instance = SingleInstance(paths.ensure_dir(launched.state_dir))
    assert instance.acquire()
    async with window(instance=instance) as opened:
        await opened.reaches(ServerState.RUNNING)
        opened.launcher.quit()
        next_one = begin(launched)
        try:
            await opened.quits()
            record = launched.state_dir / "server.json"
            await eventually(
                lambda: json.loads(record.read_text())["wanted"] == "running", 30, "it is there, and starts"
            )
            assert next_one.poll() is None
        finally:
            next_one.terminate()
            await run_blocking(next_one.wait, timeout_s=20)
    assert server_pids(launched) == []


@pytest.mark.skipif(sys.platform == "win32", reason="no such signal")
async def test_the_server_outlives_a_killed_window_and_the_next_adopts_it(launched: Launched) -> None:
    process = begin(launched)
    try:
        record = launched.state_dir / "server.json"
        await eventually(lambda: record.exists() and json.loads(record.read_text())["pid"], 30, "it has started one")
        pid = json.loads(record.read_text())["pid"]
    finally:
        process.kill()
        await run_blocking(process.wait, timeout_s=10)
    assert psutil.pid_exists(pid)
    async with window() as opened:
        await opened.reaches(ServerState.RUNNING)
        assert opened.store.server is not None
        assert (opened.store.server.pid, opened.store.server.owner) == (pid, Owner.OURS)
        opened.click("stop-button")
        await opened.reaches(ServerState.STOPPED)
    assert server_pids(launched) == []


# --- a server that misbehaves -----------------------------------------------------------------------------------------


class Beat:
    """Whether the window goes on: a timer of Qt, and the longest time between two of its turns."""

    def __init__(self) -> None:
        self.longest_s = 0.0
        self._last_s = time.monotonic()
        self._timer = QTimer(interval=10, timerType=Qt.TimerType.PreciseTimer)
        self._timer.timeout.connect(self._turn)

    def __enter__(self) -> Beat:
        self._last_s = time.monotonic()
        self._timer.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._timer.stop()

    def _turn(self) -> None:
        now_s = time.monotonic()
        self.longest_s = max(self.longest_s, now_s - self._last_s)
        self._last_s = now_s


FROZEN_S = 0.7
"""Far more than a frame, for a busy machine, and far less than any wait for a server."""


async def test_a_server_that_dies_is_started_again(launched: Launched, tmp_path: Path) -> None:
    launched.script({"crash": {"after_s": 1.0, "once": str(tmp_path / "crashed"), "stderr": "panic: boom\n"}})
    async with window() as opened:
        states: list[ServerState] = []
        opened.store.server_changed.connect(lambda status: states.append(status.state))
        with Beat() as beat:
            await opened.reaches(ServerState.BACKOFF)
            assert "stopped by itself" in opened.words("server-state")
            await opened.reaches(ServerState.RUNNING)
        assert beat.longest_s < FROZEN_S
    assert server_pids(launched) == []


async def test_a_server_that_ignores_its_end_is_ended(launched: Launched) -> None:
    launched.script({"stop": {"ignore": True}})
    async with window() as opened:
        await opened.reaches(ServerState.RUNNING)
        with Beat() as beat:
            opened.click("stop-button")
            await opened.reaches(ServerState.STOPPED, 15)
        assert beat.longest_s < FROZEN_S
    assert server_pids(launched) == []


async def test_quitting_with_a_stubborn_server_is_bounded(launched: Launched) -> None:
    launched.script({"stop": {"ignore": True}})
    async with window() as opened:
        await opened.reaches(ServerState.RUNNING)
        await opened.quits()
    assert server_pids(launched) == []


async def test_garbage_costs_only_what_it_was_to_tell(launched: Launched) -> None:
    launched.script({"answers": {"garbage": ["/api/tags"]}})
    async with window() as opened:
        await opened.reaches(ServerState.RUNNING)
        await eventually(lambda: opened.store.models is not None, 10, "the models were asked for")
        assert opened.store.models is not None
        assert (opened.store.models.installed, opened.store.models.loaded) == (None, ())


async def test_a_version_that_is_garbage_is_another_program(launched: Launched) -> None:
    launched.script({"answers": {"garbage": ["/api/version"]}})
    choose(launched, on_start="watch")
    async with window() as opened:
        await opened.reaches(ServerState.STOPPED)
        with Beat() as beat:
            opened.click("start-button")
            await eventually(lambda: opened.state() not in (ServerState.STOPPED, None), 10, "something is told")
            await asyncio.sleep(1.0)
        assert beat.longest_s < FROZEN_S
        assert opened.state() is not ServerState.RUNNING


async def test_a_pull_that_is_cut_says_so_and_goes_on(launched: Launched) -> None:
    launched.script(
        {
            "rate_bytes_per_s": 8_000_000,
            "faults": [{"fault": "error", "at_bytes": 500_000_000, "text": "read: connection reset by peer"}],
        }
    )
    async with window(pulls=("llama3.2:1b",)) as opened:
        await eventually(lambda: any(t.phase is Phase.FAILED for t in opened.store.transfers), 30, "it has failed")
        assert opened.launcher.window.page == "downloads"
        assert opened.store.transfers[0].error
        await opened.clicks("retry-button")
        await eventually(lambda: opened.store.transfers[0].phase is Phase.DONE, 30, "it is done")


# --- what is wished from outside, and what nobody expected ------------------------------------------------------------


async def test_a_wished_download_starts_the_server(launched: Launched) -> None:
    launched.script({"rate_bytes_per_s": 20_000_000})
    choose(launched, on_start="watch")
    async with window(pulls=("nomic-embed-text",)) as opened:
        await eventually(lambda: opened.store.transfers, 20, "it is on the list")
        assert opened.state() is ServerState.RUNNING
        await eventually(lambda: opened.store.transfers[0].phase is Phase.DONE, 30, "it is done")


async def test_no_ollama_shows_the_way_on(launched: Launched, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("OLLAMA_LAUNCHER_OLLAMA")
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))
    async with window() as opened:
        await opened.reaches(ServerState.NOT_INSTALLED)
        assert opened.words("server-state") == "Ollama is not installed"
        assert opened.widget("next-steps-card").isVisible()


async def test_an_impossible_address_is_told_and_the_window_stays(
    launched: Launched, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OLLAMA_HOST", "ftp://box")
    async with window() as opened:
        await opened.reaches(ServerState.FAILED)
        message = opened.launcher.window.message_bar.current
        assert message is not None
        assert "ftp" in message.title + message.hint
        assert opened.launcher.window.isVisible()


async def test_what_nobody_expected_is_one_report(launched: Launched, expect_log: ExpectLog) -> None:
    expect_log("uncaught")
    expect_log("QThing: not so")
    expect_log("propagateSizeHints")  # the offscreen platform has no window manager

    async with window() as opened:
        await opened.reaches(ServerState.RUNNING)
        from PySide6.QtCore import qWarning

        qWarning("QThing: not so")
        for _ in range(3):
            sys.excepthook(KeyError, KeyError("api_key=very-secret-indeed"), None)
        await eventually(lambda: opened.launcher.window.findChildren(QWidget, "crash-report"), 5, "the report")
        (report,) = opened.launcher.window.findChildren(QWidget, "crash-report")
        field = report.findChild(QPlainTextEdit, "crash-report-text")
        assert field is not None
        text = field.toPlainText()
        assert "very-secret-indeed" not in text
        assert "QThing: not so" in text
        assert text.count("KeyError") >= 3
        close = report.findChild(QPushButton, "crash-report-close")
        assert close is not None
        assert close.text() == "Go on"
        close.click()
        assert opened.state() is ServerState.RUNNING


async def test_a_broken_service_ends_the_window_with_a_report(
    launched: Launched, expect_log: ExpectLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    from launcher import core

    expect_log("task window")
    expect_log("propagateSizeHints")

    async def broken(_: object) -> None:
        raise ZeroDivisionError("nobody expected this")

    monkeypatch.setattr(core.Core, "run", broken)
    async with window() as opened:
        await eventually(lambda: opened.launcher.window.findChildren(QPushButton, "crash-report-close"), 10, "report")
        (close,) = opened.launcher.window.findChildren(QPushButton, "crash-report-close")
        assert close.text() == "Quit"
        close.click()
        async with asyncio.timeout(10):
            assert await opened.run == 1


# --- the demo ---------------------------------------------------------------------------------------------------------


def test_a_demo_touches_nothing_real_and_says_what_it_is(launched: Launched, tmp_path: Path) -> None:
    launched.environment["HOME"] = str(tmp_path / "home")
    del launched.environment["LAUNCHER_CONFIG_DIR"]
    process = begin(launched, "--demo")
    try:
        record = launched.state_dir / "demo" / "server.json"
        _until(lambda: record.exists() and json.loads(record.read_text()).get("pid"), 30)
        told = json.loads(record.read_text())
        assert told["models"] == str(launched.state_dir / "demo" / "models")
        assert not told["address"].endswith(":11434")
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
        assert not psutil.pid_exists(told["pid"])
    finally:
        process.kill()
        process.wait(10)
    assert sorted(path.name for path in launched.state_dir.iterdir()) == ["demo"]
    assert not (tmp_path / "home").exists()


def _until(predicate: Callable[[], object], timeout_s: float) -> None:
    deadline_s = time.monotonic() + timeout_s
    while not predicate():
        assert time.monotonic() < deadline_s
        time.sleep(0.05)
