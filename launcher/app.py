"""The window's composition root: paint first, then build the services, connect them, run, and shut down.

What a person sees at once needs neither httpx nor pydantic nor psutil, so those are imported in a thread after the
first paint. Widgets wish, services do; this module joins the two and decides nothing that belongs to either. It owns
the end: the first wish to quit and the first failure that nobody expected lead to the same, bounded way out.
"""

from __future__ import annotations

import asyncio
import collections
import contextlib
import faulthandler
import gc
import importlib
import logging
import os
import shutil
import signal
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from PySide6.QtCore import (
    QCoreApplication,
    QMessageLogContext,
    Qt,
    QtMsgType,
    qInstallMessageHandler,
    qVersion,
)
from PySide6.QtGui import QSessionManager
from PySide6.QtWidgets import QApplication

from launcher import __version__, paths
from launcher.domain.appearance import Appearance
from launcher.domain.server import ServerState, ServerStatus
from launcher.environment import child_environment, self_command
from launcher.errors import LauncherError, StorageError
from launcher.loop import make_loop
from launcher.pages import LATER, Pages
from launcher.tasks import TaskScope, run_blocking
from launcher.ui.events import AppEvents, WindowEvents
from launcher.ui.main_window import MainWindow
from launcher.ui.single_instance import SingleInstance, Wish
from launcher.ui.store import Store
from launcher.ui.theme import Theme
from launcher.wishes import Wishes

if TYPE_CHECKING:
    from launcher.core import Core, Snapshot
    from launcher.domain.questions import Question
    from launcher.settings import SettingsStorage
    from launcher.ui.crash_report import CrashReport
    from launcher.ui.dialogs import WindowAsk
    from launcher.ui.tray import Tray

DESKTOP_ID = "io.github.ollama_launcher.OllamaLauncher"

_log = logging.getLogger(__name__)
_qt_log = logging.getLogger("qt")

_FIRST_PAINT_S = 2.0
_WATCHDOG_S = 15.0
_WATCHDOG_CODE = 70
_FAILED_CODE = 1
_WORK = "window"
_SETTINGS_S = 2.0
_TASKS_S = 3.0
_QUIT_S = 10.0
"""Drain (2 s), grace and a bit (6 s), and some air."""
_NO_TRAY_FOR_S = 10.0
"""A window that is hidden comes back when there has been no tray for so long."""
_SPACE_EVERY_S = 30.0
_QT_LINES_KEPT = 50
_NOTICES_NAME = "notices"
_GLIMPSE_BYTES = 100_000
_GET_OLLAMA = "https://ollama.com/download"
_HEAVY = (
    "launcher.core",
    "launcher.diagnostics",
    "launcher.ui.tray",
    "launcher.ui.dialogs",
    *LATER,
    "launcher.actions.change_setting",
    "launcher.actions.delete_models",
    "launcher.actions.in_memory",
)
_QT_LEVELS = {
    QtMsgType.QtDebugMsg: logging.DEBUG,
    QtMsgType.QtInfoMsg: logging.INFO,
    QtMsgType.QtWarningMsg: logging.WARNING,
    QtMsgType.QtCriticalMsg: logging.ERROR,
    QtMsgType.QtFatalMsg: logging.CRITICAL,
}


def main(*, host: str | None = None, demo: bool = False, hidden: bool = False, pulls: Sequence[str] = ()) -> int:
    """Show the window, or the one that runs already; returns the exit code when it has been quit.

    ``host`` names the server for this one run; ``demo`` works on the simulated server, in folders of its own;
    ``hidden`` starts in the tray; ``pulls`` are models to download.
    """
    try:
        if demo:
            _move_folders_to_demo()
        return _run(host=host, demo=demo, hidden=hidden, pulls=pulls)
    except StorageError as error:  # no home folder: there is no place for a window to remember anything
        print(f"Error: {error.title} {error.hint}", file=sys.stderr)
        return _FAILED_CODE


def _run(*, host: str | None, demo: bool, hidden: bool, pulls: Sequence[str]) -> int:
    instance = _own_instance()
    if instance is not None and not instance.acquire():
        wish = Wish(tuple(pulls), hidden, os.environ.get("XDG_ACTIVATION_TOKEN", ""))
        if instance.hand_over(wish):
            return 0
        print("The launcher runs already, but does not answer.", file=sys.stderr)
        return 1
    app = make_application(sys.argv)
    launcher = Launcher(app, _glimpsed_appearance(), instance, host=host, demo=demo, hidden=hidden, pulls=pulls)
    with asyncio.Runner(loop_factory=lambda: make_loop(app)) as runner:
        code = runner.run(launcher.run())
    app.removeEventFilter(launcher.events)
    return code


def make_application(arguments: Sequence[str]) -> QApplication:
    """Make Qt's application as the rest of the system should know it."""
    # Named before it exists: the tray and notifications take these for what shows up there.
    QCoreApplication.setApplicationName("ollama-launcher")
    QCoreApplication.setApplicationVersion(__version__)
    QApplication.setDesktopFileName(DESKTOP_ID)
    # By argument: setStyle() makes PySide6 wrap QStyle with all its enumerations, 5 ms before the first paint.
    app = QApplication([*arguments[:1], "-style", "fusion"])
    app.setQuitOnLastWindowClosed(False)
    return app


class _AskLate:
    """Asks by dialogs that are imported with the first question."""

    def __init__(self, dialogs: Callable[[], WindowAsk]) -> None:
        self._dialogs = dialogs

    async def confirm(self, question: Question) -> bool:
        return await self._dialogs().confirm(question)

    async def choose_program(self, start: str) -> str | None:
        return await self._dialogs().choose_program(start)


class Launcher:
    """One run of the window. :meth:`run` is all of it; the rest is what signals call."""

    def __init__(
        self,
        app: QApplication,
        appearance: Appearance = Appearance.SYSTEM,
        instance: SingleInstance | None = None,
        *,
        host: str | None = None,
        demo: bool = False,
        hidden: bool = False,
        pulls: Sequence[str] = (),
    ) -> None:
        self._app = app
        self._settings: SettingsStorage | None = None
        self._instance = instance
        self._host = host
        self._demo = demo
        self._hidden = hidden
        self._stop = asyncio.Event()
        self._reopen = asyncio.Event()
        self._seen: bool | None = None
        self._saving = asyncio.Lock()
        self._scope = TaskScope(self._on_task_failed)
        self._crash: CrashReport | None = None
        self._fatal = False
        self._watchdog: threading.Timer | None = None
        self._notices: set[str] = set()
        self._no_tray: asyncio.TimerHandle | None = None
        self._qt_lines: collections.deque[str] = collections.deque(maxlen=_QT_LINES_KEPT)
        self._previous_handler = qInstallMessageHandler(self._on_qt_message)

        self.store = Store()
        self.theme = Theme(app)
        self.theme.apply(appearance)
        self.window = MainWindow(self.store, self.theme, demo=demo)
        self.tray: Tray | None = None
        self._ask: WindowAsk | None = None
        self._wishes = Wishes(
            ask=_AskLate(self._dialogs),
            show_page=self.window.show_page,
            show_work=lambda name, work: self._pages.show_work(name, work),
            report=self.report,
        )
        self._wishes.deeds["setting_changed"] = self._change_setting
        self._wishes.deeds["choose_binary_requested"] = self._choose_binary
        self._pages = Pages(self.window, self.store, self.theme, self._wishes.deeds)
        self._wishes.deeds["show_model_requested"] = self._pages.show_model
        self._wishes.deeds["get_ollama_requested"] = self._get_ollama
        self._wishes.deeds["demo_requested"] = self._open_demo
        self._wishes.deeds["open_folder_requested"] = self._open_log_folder
        self.events = AppEvents()
        self._window_events = WindowEvents()
        self.store.server_changed.connect(self._wishes.server_changed)
        if demo:
            self._publish(ServerStatus(ServerState.CHECKING, None, address="", local=True, exposed=False))
        self._pages.add_first()
        self._wished_pulls = tuple(pulls)

    @property
    def deeds(self) -> Mapping[str, Callable[..., object]]:
        """What each signal of the pages means, by its name."""
        return self._wishes.deeds

    # --- the run ------------------------------------------------------------------------------------------------------

    async def run(self) -> int:
        """Show the window, serve it until somebody wishes to quit, and leave nothing behind."""
        self._listen(asyncio.get_running_loop())
        try:
            work = self._scope.spawn(self._work(), name=_WORK)
            await self._stop.wait()
            self._arm_watchdog()
            self._hide_for_good()
            await asyncio.wait({work}, timeout=_QUIT_S)
        finally:
            await self._scope.aclose(_TASKS_S)
            self._close()
        return _FAILED_CODE if self._fatal else 0

    def quit(self) -> None:
        """Begin the end; called again it changes nothing."""
        self._stop.set()

    def report(self, error: LauncherError) -> None:
        """Tell the person about a failure that stopped one thing only."""
        _log.info("told: %s %s", error.title, error.detail)
        self.window.message_bar.show_error(error)

    async def _work(self) -> None:
        await self._paint()
        await self._prepare()
        await self._serve()

    def _listen(self, loop: asyncio.AbstractEventLoop) -> None:
        for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK"):
            number = getattr(signal, name, None)
            # nohup has said that it is to be ignored.
            if number is not None and signal.getsignal(number) is not signal.SIG_IGN:
                with contextlib.suppress(NotImplementedError, RuntimeError):  # RuntimeError: not the main thread
                    loop.add_signal_handler(number, self.quit)
        # Until the handlers of diagnostics are there, which cost too much before the first paint.
        sys.excepthook = self._on_early_failure
        self._app.installEventFilter(self.events)
        self.events.quit_wished.connect(self.quit)
        self.events.raised.connect(self._raise)
        self._app.commitDataRequest.connect(self._on_session_ends)
        self.window.installEventFilter(self._window_events)
        self.window.closing.connect(self._on_closing)
        self.window.page_changed.connect(self._on_seen_changed)
        self._window_events.seen_changed.connect(self._on_seen_changed)

    async def _paint(self) -> None:
        """Show the window and wait until it has been painted, but not for ever: it may be shown on no screen."""
        if self._hidden:
            return
        painted = asyncio.Event()
        self._window_events.painted.connect(painted.set)
        self.window.show()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_FIRST_PAINT_S):
                await painted.wait()
        self._window_events.painted.disconnect(painted.set)
        # The paint event comes before the pixels are on the screen.
        await asyncio.sleep(0)

    async def _prepare(self) -> None:
        """Do what need not be there for the first paint."""
        await run_blocking(_import_heavy)
        self._install_diagnostics()
        _log.info("%s", _versions())
        self._notices.update(await run_blocking(_read_notices))
        await self._read_settings()
        if self._instance is not None:
            self._instance.wished.connect(self._on_wish)
            if not self._instance.listen():
                _log.warning("second starts cannot be heard")
        self.window.show_icon()
        self._add_tray()
        self._pages.add_others(self._scope, lambda: self._wishes.core)
        self._wishes.pull(self._wished_pulls)
        if not gc.isenabled():  # the entry has turned it off
            # What was made so far stays: the collector need not look at it again and again.
            gc.freeze()
            gc.enable()

    def _install_diagnostics(self) -> None:
        from launcher.diagnostics import install_last_resort_handlers, setup_logging

        loop = asyncio.get_running_loop()

        def tell(story: str) -> None:  # from any thread, perhaps after the end
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(self._on_unexpected, story)

        setup_logging()
        install_last_resort_handlers(loop, tell)

    async def _serve(self) -> None:
        """Run the services of one address after the other, until the end."""
        first = True
        while not self._stop.is_set():
            self._reopen.clear()
            try:
                await self._serve_address(starts=first)
            except LauncherError as error:
                # What cannot even be looked for: an address that is none, folders that cannot be had.
                self.report(error)
                self.store.put(_unknown_server(error))
                await self._until_asked()
            first = False

    async def _serve_address(self, *, starts: bool) -> None:
        from launcher.core import open_core
        from launcher.domain.settings import OnStart

        async with open_core(
            self._host, publish=self._publish, report=self.report, settings=self.settings, demo=self._demo
        ) as core:
            self._publish(core.supervisor.status)
            deeds = TaskScope(self._on_task_failed)
            self._wishes.serve(core, deeds)
            if self.settings.current.on_start is OnStart.START or not starts or self._wishes.has_pulls:
                core.start_when_seen()
            self._seen = None
            self._on_seen_changed()
            space = self._scope.spawn(self._watch_free_space(core), name="free space")
            services = asyncio.create_task(core.run(), name="core")
            try:
                await self._until_asked(services)
                if services.done():
                    services.result()  # the first failure that nobody expected
                await self._leave(core)
            finally:
                self._wishes.rest()
                space.cancel()
                await deeds.aclose(_TASKS_S)
                services.cancel()
                await asyncio.wait({services}, timeout=_TASKS_S)

    async def _leave(self, core: Core) -> None:
        """Save what is being saved, close the pulls, and stop the server or leave it, as the person has set it."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_SETTINGS_S), self._saving:
                pass
        try:
            if self._stop.is_set():
                await core.quit()
            else:
                await core.control.stop()  # it is to run at another address
        except LauncherError as error:
            _log.warning("the server was not stopped: %s %s", error.title, error.detail)

    def _publish(self, snapshot: Snapshot) -> None:
        if self._demo and isinstance(snapshot, ServerStatus):
            # A demo says so whatever its server does, and before there is one.
            snapshot = replace(snapshot, simulated=True)
        self.store.put(snapshot)

    async def _until_asked(self, services: asyncio.Task[None] | None = None) -> None:
        """Wait for the end, for another address, or until ``services`` fail."""
        asked = {
            asyncio.create_task(self._stop.wait(), name="end awaited"),
            asyncio.create_task(self._reopen.wait(), name="other address awaited"),
        }
        try:
            await asyncio.wait(asked | ({services} if services else set()), return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in asked:
                task.cancel()
            await asyncio.wait(asked)

    # --- the end ------------------------------------------------------------------------------------------------------

    def _arm_watchdog(self) -> None:
        """End the process whatever hangs: what is left then is better than a launcher that cannot be quit."""
        watchdog = threading.Timer(_WATCHDOG_S, _give_up)
        watchdog.daemon = True
        watchdog.start()
        self._watchdog = watchdog

    def _hide_for_good(self) -> None:
        if self._crash is not None:
            self._crash.hide()
        # Dialogs are windows of their own.
        for window in self._app.topLevelWidgets():
            window.hide()

    def _close(self) -> None:
        sys.excepthook = sys.__excepthook__
        if self._no_tray is not None:
            self._no_tray.cancel()
            self._no_tray = None
        if self.tray is not None:
            self.tray.close()
        if self._instance is not None:
            self._instance.close()
        self._app.commitDataRequest.disconnect(self._on_session_ends)
        self.window.removeEventFilter(self._window_events)
        self.window.hide()
        self.window.deleteLater()
        qInstallMessageHandler(self._previous_handler)
        if self._watchdog is not None:
            self._watchdog.cancel()

    def _on_session_ends(self, _session: QSessionManager) -> None:
        self.quit()

    # --- what nobody expected -----------------------------------------------------------------------------------------

    def _on_task_failed(self, name: str, error: BaseException) -> None:
        from launcher.diagnostics import report_unexpected

        self._fatal = self._fatal or name == _WORK
        self._install_diagnostics()
        report_unexpected(f"task {name}", error)

    def _on_early_failure(self, kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        self._install_diagnostics()
        sys.excepthook(kind, error, trace)

    def _on_unexpected(self, story: str) -> None:
        """Show what happened, once: more of it goes into the box that is open."""
        if self._stop.is_set():
            return  # the log has it
        report = "\n".join((story, *self._qt_lines))
        self._qt_lines.clear()
        if self._crash is not None:
            self._crash.add(report, ends=self._fatal)
            return
        from launcher.ui.crash_report import CrashReport

        self._crash = crash = CrashReport(f"{_versions()}\n\n{report}", ends=self._fatal, parent=self.window)
        crash.finished.connect(self._on_crash_closed)
        crash.open()

    def _on_crash_closed(self) -> None:
        crash, self._crash = self._crash, None
        if crash is not None:
            crash.deleteLater()
            if crash.ends:
                self.quit()

    def _on_qt_message(self, kind: QtMsgType, context: QMessageLogContext, text: str) -> None:
        self._qt_lines.append(f"Qt: {text}")
        _qt_log.log(_QT_LEVELS.get(kind, logging.WARNING), "%s", text)

    # --- the tray -----------------------------------------------------------------------------------------------------

    def _add_tray(self) -> None:
        from launcher.ui.tray import Tray

        self.tray = tray = Tray(self.store, self.theme)
        tray.start_requested.connect(self._wishes.start)
        tray.stop_requested.connect(self._wishes.stop)
        tray.show_requested.connect(self._show)
        tray.quit_requested.connect(self.quit)
        tray.available_changed.connect(self._on_tray_changed)
        tray.watch()
        self._on_tray_changed()

    def _on_tray_changed(self) -> None:
        if self._no_tray is not None:
            self._no_tray.cancel()
            self._no_tray = None
        if self.tray is not None and not self.tray.available:
            # It may come in a moment: a desktop that starts, a shell that starts anew.
            self._no_tray = asyncio.get_running_loop().call_later(_NO_TRAY_FOR_S, self._on_no_tray)

    def _on_no_tray(self) -> None:
        self._no_tray = None
        if not self.window.isVisible():
            self._raise()
        if self.settings.current.close_to_tray:
            self._say_once("no-tray", self._say_no_tray)

    # --- what the window and the system tell --------------------------------------------------------------------------

    def _on_closing(self) -> None:
        if self.tray is not None and self.tray.available and self.settings.current.close_to_tray:
            self.window.hide()
            self._say_once("in-tray", self._say_in_tray)
        else:
            self.quit()

    def _on_seen_changed(self) -> None:
        """Look often, and read the log, only for somebody who sees it."""
        seen = self.window.isVisible() and not self.window.isMinimized()
        self._pages.show_seen(seen)
        if self._wishes.core is not None and seen is not self._seen:
            self._seen = seen
            self._wishes.core.health.watch(visible=seen)

    def _on_wish(self, wish: Wish) -> None:
        """Do what a second start was for."""
        if wish.activation_token:
            # Qt takes it from there when a window asks to be activated (Wayland).
            os.environ["XDG_ACTIVATION_TOKEN"] = wish.activation_token
        if not wish.hidden or wish.pulls:
            self._raise()
        self._wishes.pull(wish.pulls)

    def _raise(self) -> None:
        self._show("")

    def _show(self, page: str) -> None:
        if self._stop.is_set():
            return
        if page:
            self.window.show_page(page)
        window = self.window
        window.setWindowState(window.windowState() & ~Qt.WindowState.WindowMinimized)
        window.show()
        window.raise_()
        window.activateWindow()

    def _say_in_tray(self) -> None:
        if self.tray is not None:
            self.tray.tell(
                _tr("The launcher goes on here"),
                _tr("A click on this icon shows the window again; its menu has Quit."),
            )

    def _say_no_tray(self) -> None:
        self.window.message_bar.show_note(
            _tr("There is no system tray here, so closing the window quits the launcher."),
            _tr("The settings say whether Ollama is stopped then."),
        )

    def _say_once(self, key: str, say: Callable[[], None]) -> None:
        if key in self._notices:
            return
        self._notices.add(key)
        say()
        self._scope.spawn(run_blocking(_write_notices, frozenset(self._notices)), name="notices")

    # --- settings -----------------------------------------------------------------------------------------------------

    @property
    def settings(self) -> SettingsStorage:
        """What was read after the first paint."""
        if self._settings is None:
            raise RuntimeError("the settings are not read yet")
        return self._settings

    async def _read_settings(self) -> None:
        from launcher.settings import SettingsStorage

        self._settings = settings = SettingsStorage()
        for notice in await run_blocking(settings.load):
            self.report(StorageError(notice.title, detail=notice.detail, hint=notice.hint))
        self.theme.apply(settings.current.appearance)
        self.store.put(settings.current)

    def _change_setting(self, key: str, value: object) -> None:
        """Save a setting at once, and let it have its effect."""
        self._scope.spawn(self._save_setting(key, value), name=f"setting {key}")

    async def _save_setting(self, key: str, value: object) -> None:
        from launcher.actions.change_setting import change_setting

        async with self._saving:
            before = self.settings.current
            try:
                after = await change_setting(self.settings, key, value)
            except LauncherError as error:
                if not self._pages.show_unsaved(key, error):
                    self.report(error)
                return
        self.store.put(after)
        if after.appearance is not before.appearance:
            self.theme.apply(after.appearance)
        if after.address != before.address and self._host is None:
            self._reopen.set()
        core = self._wishes.core
        if after.ollama_binary != before.ollama_binary and core is not None:
            if core.supervisor.status.state is ServerState.NOT_INSTALLED:
                core.start_when_seen()
            core.health.wake()

    def _choose_binary(self) -> None:
        self._scope.spawn(self._ask_for_binary(), name="choose binary")

    async def _ask_for_binary(self) -> None:
        path = await self._dialogs().choose_program(self.settings.current.ollama_binary)
        if path is not None:
            await self._save_setting("ollama_binary", path)

    def _dialogs(self) -> WindowAsk:
        if self._ask is None:
            from launcher.ui.dialogs import WindowAsk

            self._ask = WindowAsk(self.window)
        return self._ask

    # --- what is done outside of the window ---------------------------------------------------------------------------

    def _get_ollama(self) -> None:
        self._open(_GET_OLLAMA)

    def _open(self, url: str) -> None:
        from PySide6.QtCore import QUrl
        from PySide6.QtGui import QDesktopServices

        if sys.platform == "linux" and shutil.which("xdg-open"):
            # Not through Qt: a browser must not inherit what a bundle has changed in our environment.
            _start_detached(["xdg-open", url])
        else:
            QDesktopServices.openUrl(QUrl(url))

    def _open_demo(self) -> None:
        _start_detached(self_command("--demo"))

    def _open_log_folder(self) -> None:
        self._open(paths.log_dir().as_uri())

    async def _watch_free_space(self, core: Core) -> None:
        while True:
            folder = core.models_folder
            self.window.footer.show_free_space(None if folder is None else await run_blocking(_free_bytes, folder))
            await asyncio.sleep(_SPACE_EVERY_S)


# --- what needs no window ---------------------------------------------------------------------------------------------


def _tr(text: str) -> str:
    return QCoreApplication.translate("app", text)


def _versions() -> str:
    import platform

    return f"Ollama Launcher {__version__}, Python {platform.python_version()}, Qt {qVersion()}, {platform.platform()}"


def _move_folders_to_demo() -> None:
    """Give this process, and what it starts, folders that hold nothing real."""
    folder = paths.state_dir() / "demo"
    os.environ["LAUNCHER_CONFIG_DIR"] = str(folder / "config")
    os.environ["LAUNCHER_STATE_DIR"] = str(folder)


def _own_instance() -> SingleInstance | None:
    try:
        return SingleInstance(paths.ensure_dir(paths.state_dir()))
    except StorageError:  # the services cannot have it either, and tell
        return None


def _glimpsed_appearance() -> Appearance:
    """Light or dark for the first paint; the settings are read in earnest after it, and wrong ones told then."""
    try:
        with (paths.config_dir() / "settings.json").open("rb") as file:
            raw = file.read(_GLIMPSE_BYTES)
        import json

        return Appearance(json.loads(raw)["appearance"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return Appearance.SYSTEM


def _import_heavy() -> None:
    """Import what the services need, and what the first request does. In a thread."""
    with contextlib.suppress(ImportError):  # it may lack a library of the system, and is not needed most of the time
        importlib.import_module("PySide6.QtNetwork")
    for name in _HEAVY:
        importlib.import_module(name)


def _unknown_server(error: LauncherError) -> ServerStatus:
    return ServerStatus(
        ServerState.FAILED, None, address="", local=False, exposed=False, reason=error.title, hint=error.hint
    )


def _start_detached(command: Sequence[str]) -> None:
    from PySide6.QtCore import QProcess, QProcessEnvironment

    process = QProcess()
    process.setProgram(command[0])
    process.setArguments(list(command[1:]))
    environment = QProcessEnvironment()
    for name, value in child_environment().items():
        environment.insert(name, value)
    process.setProcessEnvironment(environment)
    if not process.startDetached():
        _log.warning("%s cannot be started: %s", command[0], process.errorString())


def _free_bytes(folder: Path) -> int | None:
    """Tell what is free where ``folder`` is, or will be."""
    for place in (folder, *folder.parents):
        with contextlib.suppress(OSError):
            return shutil.disk_usage(place).free
    return None


def _read_notices() -> set[str]:
    try:
        return set((paths.state_dir() / _NOTICES_NAME).read_text(encoding="utf-8").split())
    except (OSError, ValueError, StorageError):
        return set()


def _write_notices(told: frozenset[str]) -> None:
    # Lost, it costs a person one sentence more.
    with contextlib.suppress(OSError, StorageError):
        (paths.state_dir() / _NOTICES_NAME).write_text("\n".join(sorted(told)) + "\n", encoding="utf-8")


def _give_up() -> None:
    """Write down where every thread hangs, and end."""
    with (
        contextlib.suppress(OSError, StorageError, ValueError),
        (paths.ensure_dir(paths.log_dir()) / "launcher.log").open("a", encoding="utf-8") as log,
    ):
        log.write("the launcher did not end by itself\n")
        log.flush()
        faulthandler.dump_traceback(log)
    os._exit(_WATCHDOG_CODE)
