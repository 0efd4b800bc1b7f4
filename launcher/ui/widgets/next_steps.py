"""What somebody without Ollama can do: one row for each way, with what it means and its button."""

from __future__ import annotations

from PySide6.QtCore import QCoreApplication, Signal
from PySide6.QtWidgets import QHBoxLayout, QPushButton, QVBoxLayout, QWidget

from launcher.ui.theme import TextKind
from launcher.ui.widgets.card import Card, kind_label


class NextStepsCard(Card):
    """Get it, say where it is, or try without."""

    get_ollama_requested = Signal()
    choose_binary_requested = Signal()
    demo_requested = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(QCoreApplication.translate("next-steps", "How to go on"), parent)
        self.setObjectName("next-steps-card")
        self.body.setSpacing(16)
        get = self._step(
            "get-ollama-button",
            self.tr("Get Ollama"),
            self.tr("Ollama runs the models"),
            self.tr("Opens the page of its makers. Once it is installed, it is found by itself."),
        )
        get.setProperty("kind", "primary")
        get.clicked.connect(self.get_ollama_requested)
        choose = self._step(
            "choose-binary-button",
            self.tr("Choose the program…"),
            self.tr("It is installed in another place"),
            self.tr("Say where the program is; it is remembered."),
        )
        choose.clicked.connect(self.choose_binary_requested)
        demo = self._step(
            "try-demo-button",
            self.tr("Try the demo"),
            self.tr("Just looking"),
            self.tr("Everything works, with a simulated Ollama. No real model is touched."),
        )
        demo.clicked.connect(self.demo_requested)

    def _step(self, name: str, words: str, title: str, text: str) -> QPushButton:
        button = QPushButton(words)
        button.setObjectName(name)
        button.setAccessibleName(words)
        button.setAccessibleDescription(text)
        first = kind_label(title, TextKind.BODY)
        first.setProperty("kind", "strong")
        second = kind_label(text, TextKind.BODY)
        second.setProperty("kind", "second")
        left = QVBoxLayout()
        left.setSpacing(2)
        for label in (first, second):
            label.setWordWrap(True)
            left.addWidget(label)
        row = QHBoxLayout()
        row.setSpacing(16)
        row.addLayout(left, 1)
        row.addWidget(button)
        self.body.addLayout(row)
        return button
