"""A bar that shows where a model lies: the part on the GPU, and the part in memory beside it."""

# ruff: noqa: N802 - Qt names the methods that it calls

from __future__ import annotations

from PySide6.QtCore import QRectF, Qt
from PySide6.QtGui import QPainter, QPainterPath, QPaintEvent
from PySide6.QtWidgets import QWidget

from launcher.ui.theme import Role, Theme

_HEIGHT = 6


class SplitBar(QWidget):
    """Its whole length is the whole model. The words belong beside it: they are also its accessible name."""

    def __init__(self, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._theme = theme
        self._gpu = 0.0
        self.setFixedHeight(_HEIGHT)
        theme.changed.connect(self.update)

    def show_split(self, gpu: float, words: str) -> None:
        """``gpu`` is the part on the GPU, 0 to 1."""
        self.setAccessibleName(words)
        if gpu != self._gpu:
            self._gpu = gpu
            self.update()

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        rect = QRectF(self.rect())
        shape = QPainterPath()
        shape.addRoundedRect(rect, _HEIGHT / 2, _HEIGHT / 2)
        painter.setClipPath(shape)
        gpu = QRectF(rect)
        gpu.setWidth(round(rect.width() * self._gpu))
        memory = QRectF(rect)
        memory.setLeft(gpu.right())
        if self.layoutDirection() is Qt.LayoutDirection.RightToLeft:
            memory.moveLeft(rect.left())
            gpu.moveRight(rect.right())
        painter.fillRect(gpu, self._theme.color(Role.BUSY))
        painter.fillRect(memory, self._theme.color(Role.WARN))
