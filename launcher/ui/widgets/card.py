"""A card: a framed ground with an optional title and actions on its right."""

from __future__ import annotations

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QFrame, QHBoxLayout, QLabel, QVBoxLayout, QWidget

from launcher.ui.theme import TextKind


def kind_label(text: str, kind: TextKind, parent: QWidget | None = None) -> QLabel:
    """A label in one of the sizes of type. Plain text: what comes from a server is never taken for mark-up."""
    label = QLabel(text, parent)
    label.setTextFormat(Qt.TextFormat.PlainText)
    label.setProperty("kind", kind.value)
    return label


def restyle(widget: QWidget) -> None:
    """Look the style sheet up again, after a property that it selects by has changed."""
    widget.style().unpolish(widget)
    widget.style().polish(widget)


class Card(QFrame):
    """Put content into :attr:`body`; :meth:`add_action` puts a widget beside the title."""

    def __init__(self, title: str = "", parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setProperty("kind", "card")
        outer = QVBoxLayout(self)
        outer.setContentsMargins(20, 16, 20, 16)
        outer.setSpacing(12)
        self._head: QHBoxLayout | None = None
        if title:
            self._head = QHBoxLayout()
            self.title = kind_label(title, TextKind.CARD_TITLE)
            self._head.addWidget(self.title)
            self._head.addStretch(1)
            outer.addLayout(self._head)
            self.setAccessibleName(title)
        self.body = QVBoxLayout()
        self.body.setSpacing(8)
        outer.addLayout(self.body)

    def add_action(self, widget: QWidget) -> None:
        """Place ``widget`` at the right of the title; the card must have one."""
        if self._head is None:
            raise RuntimeError("a card without a title has no place for actions")
        self._head.addWidget(widget)
