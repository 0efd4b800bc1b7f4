"""Draw no more often than eyes can follow: the first wish at once, what follows at 30 Hz, the last one always.

Knows no widget and no snapshot.
"""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtCore import QObject, Qt, QTimer

FRAME_MS = 33


class Pace(QObject):
    """Calls ``draw`` when asked to, but never twice within a frame."""

    def __init__(self, draw: Callable[[], None], parent: QObject) -> None:
        super().__init__(parent)
        self._draw = draw
        self._wished = False
        self._timer = QTimer(self, interval=FRAME_MS, singleShot=True, timerType=Qt.TimerType.PreciseTimer)
        self._timer.timeout.connect(self._on_timeout)

    def wish(self) -> None:
        """Draw now, or at the end of the frame that was drawn last."""
        if self._timer.isActive():
            self._wished = True
            return
        self._timer.start()
        self._draw()

    def rest(self) -> None:
        """Forget what was wished: nobody looks any more."""
        self._wished = False
        self._timer.stop()

    def _on_timeout(self) -> None:
        if self._wished:
            self._wished = False
            self._timer.start()
            self._draw()
