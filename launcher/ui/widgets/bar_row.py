"""One row of a card: a name with words beside it, what can be done, and a bar under both."""

from __future__ import annotations

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QHBoxLayout, QPushButton, QVBoxLayout, QWidget

from launcher.ui.widgets.elided_label import ElidedLabel
from launcher.ui.widgets.name_label import NameLabel


class BarRow(QWidget):
    """Whoever makes it names the ``link`` and says what a click means."""

    clicked = Signal()

    def __init__(self, name: str, bar: QWidget, link: str) -> None:
        super().__init__()
        self.words = _label("second")
        self.remark = _label("second")
        """At the end of the line, before the link."""
        self.link = QPushButton(link)
        self.link.setProperty("kind", "link")
        self.link.setCursor(Qt.CursorShape.PointingHandCursor)
        self.link.clicked.connect(lambda: self.clicked.emit())
        self.foot = _label("small")
        """Under the bar."""
        # What is empty takes no room, and no spacing either.
        self.remark.hide()
        self.foot.hide()
        head = QHBoxLayout()
        head.setSpacing(12)
        head.addWidget(NameLabel(name))
        head.addWidget(self.words)
        head.addStretch(1)
        head.addWidget(self.remark)
        head.addWidget(self.link)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 4)
        column.setSpacing(5)
        column.addLayout(head)
        column.addWidget(bar)
        column.addWidget(self.foot)

    def show_remark(self, words: str) -> None:
        self.remark.setText(words)
        self.remark.setVisible(bool(words))

    def show_foot(self, words: str) -> None:
        self.foot.setText(words)
        self.foot.setVisible(bool(words))


def _label(kind: str) -> ElidedLabel:
    label = ElidedLabel()
    label.setProperty("kind", kind)
    return label
