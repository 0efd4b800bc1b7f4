"""What an empty part of a page says: why there is nothing, and the next step."""

from __future__ import annotations

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QHBoxLayout, QPushButton, QSizePolicy, QVBoxLayout, QWidget

from launcher.ui.theme import TextKind
from launcher.ui.widgets.card import kind_label


class EmptyState(QWidget):
    """A title, a sentence and buttons for the next steps, in the middle of the place."""

    def __init__(self, title: str, text: str = "", parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.title = kind_label(title, TextKind.CARD_TITLE)
        self.text = kind_label(text, TextKind.BODY)
        self.text.setProperty("kind", "second")
        for label in (self.title, self.text):
            label.setAlignment(Qt.AlignmentFlag.AlignHCenter)
            label.setWordWrap(True)
        self._buttons = QHBoxLayout()
        self._buttons.setSpacing(12)
        self._buttons.addStretch(1)
        self._buttons.addStretch(1)
        layout = QVBoxLayout(self)
        layout.setSpacing(8)
        layout.addStretch(1)
        layout.addWidget(self.title)
        layout.addWidget(self.text)
        layout.addSpacing(8)
        layout.addLayout(self._buttons)
        layout.addStretch(1)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
        self.show_text(title, text)

    def show_text(self, title: str, text: str = "") -> None:
        self.title.setText(title)
        self.text.setText(text)
        self.text.setVisible(bool(text))

    def add_button(self, text: str, object_name: str, *, primary: bool = False) -> QPushButton:
        """A next step; the caller connects ``clicked``."""
        button = QPushButton(text)
        button.setObjectName(object_name)
        button.setAccessibleName(text)
        if primary:
            button.setProperty("kind", "primary")
        self._buttons.insertWidget(self._buttons.count() - 1, button)
        return button
