"""What application and window are told by events alone, as signals."""

# ruff: noqa: N802 - Qt names the methods that it calls

from __future__ import annotations

import sys

from PySide6.QtCore import QEvent, QObject, Signal


class AppEvents(QObject):
    """What the system tells the application as a whole. To be installed as its event filter.

    ``app.quit()``, Cmd-Q and the end of the session come as a Quit event, which would end Qt's loop below our feet: it
    is turned into a wish.
    """

    quit_wished = Signal()
    raised = Signal()
    """The person clicked on what stands for the program (the Dock)."""

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        if event.type() == QEvent.Type.Quit:
            event.ignore()
            self.quit_wished.emit()
            return True
        if event.type() == QEvent.Type.ApplicationActivate and sys.platform == "darwin":
            self.raised.emit()
        return False


class WindowEvents(QObject):
    """What happens to a window. To be installed as its event filter."""

    painted = Signal()
    seen_changed = Signal()
    """It was shown, hidden, minimised or restored."""

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        if event.type() == QEvent.Type.Paint:
            self.painted.emit()
        elif event.type() in (QEvent.Type.Show, QEvent.Type.Hide, QEvent.Type.WindowStateChange):
            self.seen_changed.emit()
        return False
