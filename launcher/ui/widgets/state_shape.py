"""A widget that shows one state shape, and turns it where the shape turns."""

# ruff: noqa: N802 - Qt names the methods that it calls

from __future__ import annotations

from PySide6.QtCore import QRectF, QSize, Qt, QTimer, Signal
from PySide6.QtGui import QHideEvent, QPainter, QPaintEvent, QShowEvent
from PySide6.QtWidgets import QWidget

from launcher.ui.shapes import StateShape, paint_shape
from launcher.ui.theme import Role, Theme

_FRAME_MS = 40
_TURN_MS = 1200


class StateShapeWidget(QWidget):
    """A square of ``size`` logical pixels. Words belong beside it: they are also its accessible name."""

    turned = Signal()
    """Emitted with each frame of a turn."""

    def __init__(self, theme: Theme, size: int = 14, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._theme = theme
        self._size = size
        self._shape = StateShape.ARC
        self._role = Role.IDLE
        self._exposed = False
        self._turn = 0.0
        self._timer = QTimer(self, interval=_FRAME_MS)
        self._timer.timeout.connect(self._on_frame)
        self.setFixedSize(size, size)
        self.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
        theme.changed.connect(self._on_theme_changed)

    def show_shape(self, shape: StateShape, role: Role, words: str = "", *, exposed: bool = False) -> None:
        """``words`` says the state to those who do not see the shape."""
        self.setAccessibleName(words)
        if (shape, role, exposed) == (self._shape, self._role, self._exposed):
            return
        self._shape, self._role, self._exposed = shape, role, exposed
        self._turn = 0.0
        self._turn_or_rest()
        self.update()

    @property
    def turning(self) -> bool:
        """True while it costs frames."""
        return self._timer.isActive()

    def sizeHint(self) -> QSize:
        return QSize(self._size, self._size)

    def paintEvent(self, event: QPaintEvent) -> None:
        badge = self._theme.color(Role.WARN) if self._exposed else None
        painter = QPainter(self)
        paint_shape(painter, QRectF(self.rect()), self._shape, self._theme.color(self._role), self._turn, badge)

    def showEvent(self, event: QShowEvent) -> None:
        self._turn_or_rest()
        super().showEvent(event)

    def hideEvent(self, event: QHideEvent) -> None:
        self._timer.stop()
        super().hideEvent(event)

    def _turn_or_rest(self) -> None:
        if self._shape.turns and self.isVisible() and not self._theme.reduced_motion:
            self._timer.start()
        else:
            self._timer.stop()

    def _on_frame(self) -> None:
        self._turn = (self._turn + _FRAME_MS / _TURN_MS) % 1.0
        self.update()
        self.turned.emit()

    def _on_theme_changed(self) -> None:
        self._turn_or_rest()
        self.update()
