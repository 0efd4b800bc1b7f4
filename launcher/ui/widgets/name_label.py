"""The name at the begin of a row: it gives way after what stands beside it."""

from __future__ import annotations

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QWidget

from launcher.ui.widgets.elided_label import ElidedLabel

_SHORT = 180


class NameLabel(ElidedLabel):
    """Semibold, on one line; only a long name is cut, in its middle, since both ends tell models apart."""

    def __init__(self, text: str, parent: QWidget | None = None) -> None:
        super().__init__(text, parent, mode=Qt.TextElideMode.ElideMiddle)
        self.setProperty("kind", "strong")
        self.ensurePolished()
        self.setMinimumWidth(min(self.sizeHint().width(), _SHORT))
