"""What application and window are told by events alone, as signals."""

# ruff: noqa: N802 - Qt names the methods that it calls

from __future__ import annotations

import sys

from PySide6.QtCore import QEvent, QObject, Signal
from PySide6.QtWidgets import QApplication


class Application(QApplication):
    """Qt's application, with what the system tells it as a whole.

    ``app.quit()``, Cmd-Q and the end of the session come as a Quit event, which would end Qt's loop below our feet:
    while :attr:`only_wishes_to_quit` it is turned into a wish.

    Not by an event filter: one on the application sees all events of all objects. Each would enter Python, and the
    first from an object of a class that PySide6 does not know makes it wrap every class of Qt in search of the nearest,
    20 ms before the first paint.
    """

    quit_wished = Signal()
    raised = Signal()
    """The person clicked on what stands for the program (the Dock)."""
    only_wishes_to_quit = False

    def event(self, event: QEvent) -> bool:
        if event.type() == QEvent.Type.Quit and self.only_wishes_to_quit:
            event.ignore()
            self.quit_wished.emit()
            return True
        if event.type() == QEvent.Type.ApplicationActivate and sys.platform == "darwin":
            self.raised.emit()
        return super().event(event)


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
