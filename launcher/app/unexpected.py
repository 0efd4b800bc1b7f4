"""What Qt says, and what nobody expected: into the log, and before a person's eyes in one crash report.

Works from the first paint on, when there is neither a loop nor a log: what fails then is told as soon as there is one.
"""

from __future__ import annotations

import collections
import contextlib
import logging
import sys
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING

from PySide6.QtCore import QMessageLogContext, QtMsgType, qInstallMessageHandler, qVersion
from PySide6.QtWidgets import QWidget

from launcher import __version__

if TYPE_CHECKING:
    import asyncio

    from launcher.ui.crash_report import CrashReport

_qt_log = logging.getLogger("qt")

_QT_LINES_KEPT = 50
_QT_LEVELS = {
    QtMsgType.QtDebugMsg: logging.DEBUG,
    QtMsgType.QtInfoMsg: logging.INFO,
    QtMsgType.QtWarningMsg: logging.WARNING,
    QtMsgType.QtCriticalMsg: logging.ERROR,
    QtMsgType.QtFatalMsg: logging.CRITICAL,
}


class Unexpected:
    """Hears Qt's messages and uncaught exceptions from its making until :meth:`close`."""

    def __init__(self) -> None:
        self.fatal = False
        """Something failed without which the launcher cannot go on."""
        self._loop: asyncio.AbstractEventLoop | None = None
        self._window: QWidget | None = None
        self._quit: Callable[[], None] | None = None
        self._report: CrashReport | None = None
        self._early: list[tuple[type[BaseException], BaseException, TracebackType | None]] = []
        self._qt_lines: collections.deque[str] = collections.deque(maxlen=_QT_LINES_KEPT)
        self._previous_handler = qInstallMessageHandler(self._on_qt_message)
        # Until the handlers of diagnostics are there, which cost too much before the first paint.
        sys.excepthook = self._on_early_failure

    def watch(self, loop: asyncio.AbstractEventLoop, window: QWidget, on_quit: Callable[[], None]) -> None:
        """Show reports on ``window`` from now on; ``on_quit`` is called after one of what cannot go on."""
        self._loop, self._window, self._quit = loop, window, on_quit
        if self._early:
            self.write_log()
            for failure in self._early:
                sys.excepthook(*failure)
            self._early.clear()

    def write_log(self) -> None:
        """Open the log, and send there what nobody catches."""
        from launcher.diagnostics import install_last_resort_handlers, setup_logging

        setup_logging()
        install_last_resort_handlers(self._loop, self._tell)

    def task_failed(self, name: str, error: BaseException, *, fatal: bool = False) -> None:
        """Report what has ended a task."""
        from launcher.diagnostics import report_unexpected

        self.fatal = self.fatal or fatal
        self.write_log()
        report_unexpected(f"task {name}", error)

    def hide(self) -> None:
        """Show no report any more: the end has begun, and the log has it all."""
        self._window = None
        if self._report is not None:
            self._report.hide()

    def close(self) -> None:
        """Give Qt's messages and uncaught exceptions back to whom they belonged."""
        sys.excepthook = sys.__excepthook__
        qInstallMessageHandler(self._previous_handler)

    def _on_early_failure(self, kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        if self._loop is None:
            self._early.append((kind, error, trace))
            return
        self.write_log()
        sys.excepthook(kind, error, trace)

    def _tell(self, story: str) -> None:
        """Called from any thread, perhaps after the end."""
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._show, story)

    def _show(self, story: str) -> None:
        """Show what happened, once: more of it goes into the box that is open."""
        if self._window is None:
            return
        report = "\n".join((story, *self._qt_lines))
        self._qt_lines.clear()
        if self._report is not None:
            self._report.add(report, ends=self.fatal)
            return
        from launcher.ui.crash_report import CrashReport

        self._report = crash = CrashReport(f"{versions()}\n\n{report}", ends=self.fatal, parent=self._window)
        crash.finished.connect(self._on_closed)
        crash.open()

    def _on_closed(self) -> None:
        crash, self._report = self._report, None
        if crash is not None:
            crash.deleteLater()
            if crash.ends and self._quit is not None:
                self._quit()

    def _on_qt_message(self, kind: QtMsgType, context: QMessageLogContext, text: str) -> None:
        self._qt_lines.append(f"Qt: {text}")
        _qt_log.log(_QT_LEVELS.get(kind, logging.WARNING), "%s", text)


def versions() -> str:
    """Tell what runs here, in one line, for the log and for reports."""
    import platform

    return f"Ollama Launcher {__version__}, Python {platform.python_version()}, Qt {qVersion()}, {platform.platform()}"
