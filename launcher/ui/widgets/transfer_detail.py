"""The pane of the download that is selected: its bar, its figures, why it failed, and what can be done."""

from __future__ import annotations

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QHBoxLayout, QLabel, QPushButton, QWidget

from launcher.domain.transfer import Phase, Transfer
from launcher.ui.phrases import SEPARATOR, amount_words, pace_words, phase_phrase, told, transfer_words
from launcher.ui.theme import Role, TextKind
from launcher.ui.units import percent_text
from launcher.ui.widgets.card import Card, kind_label, restyle
from launcher.ui.widgets.elided_label import ElidedLabel
from launcher.ui.widgets.progress import ThinProgressBar

_KINDS = {Role.WARN: "warn", Role.BAD: "bad"}


class TransferDetail(Card):
    """Shows one transfer. The wishes carry its name."""

    cancel_requested = Signal(str)
    retry_requested = Signal(str)
    dismiss_requested = Signal(str)
    show_model_requested = Signal(str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent=parent)
        self.setObjectName("transfer-detail")
        self._model = ""
        self._name = ElidedLabel(mode=Qt.TextElideMode.ElideMiddle)
        self._name.setProperty("kind", "card-title")
        self._words = _wrapped("transfer-words")
        self._hint = _wrapped("transfer-hint")
        self._hint.setProperty("kind", "second")
        self._figures = _wrapped("transfer-figures")
        self._figures.setProperty("kind", "small")
        self._detail = ElidedLabel()
        self._detail.setObjectName("transfer-detail-words")
        self._detail.setProperty("kind", "small")
        self._bar = ThinProgressBar(height=8)
        self._bar.setObjectName("transfer-detail-progress")

        self._pause = self._button("pause-button", self.tr("Pause"), self.cancel_requested)
        self._pause.setToolTip(self.tr("What is on disk stays; it goes on from there."))
        self._resume = self._button("resume-button", self.tr("Resume"), self.retry_requested)
        self._retry = self._button("retry-button", self.tr("Try again"), self.retry_requested)
        self._show = self._button("show-model-button", self.tr("Show in models"), self.show_model_requested)
        self._cancel = self._button("cancel-button", self.tr("Cancel"), self.dismiss_requested)
        self._cancel.setToolTip(self.tr("Stop it and take it off the list."))
        self._dismiss = self._button("dismiss-button", self.tr("Dismiss"), self.dismiss_requested)
        self._dismiss.setToolTip(self.tr("Take it off the list."))

        top = QHBoxLayout()
        top.setSpacing(8)
        top.addWidget(self._name)
        top.addStretch(1)
        for button in (self._pause, self._resume, self._retry, self._show, self._cancel, self._dismiss):
            top.addWidget(button)
        self.body.addLayout(top)
        self.body.addWidget(self._words)
        self.body.addWidget(self._bar)
        self.body.addWidget(self._figures)
        self.body.addWidget(self._hint)
        self.body.addWidget(self._detail)

    @property
    def model(self) -> str:
        """The name of what is shown; empty when nothing is."""
        return self._model

    def show_transfer(self, transfer: Transfer | None) -> None:
        """Show one download; None hides the pane."""
        self._model = transfer.model if transfer is not None else ""
        self.setVisible(transfer is not None)
        if transfer is None:
            return
        phase, phrase = transfer.phase, phase_phrase(transfer.phase)
        words = transfer_words(transfer)
        self.setAccessibleName(transfer.model)
        self._name.setText(transfer.model)
        self._words.setText(words)
        kind = _KINDS.get(phrase.text_role, "second")
        if self._words.property("kind") != kind:
            self._words.setProperty("kind", kind)
            restyle(self._words)
        self._bar.show_permille(transfer.permille, phrase.role, moving=phrase.moving)
        self._bar.setAccessibleName(transfer.model)
        part = percent_text(transfer.permille) if transfer.permille is not None else ""
        figures = SEPARATOR.join(filter(None, (part, amount_words(transfer), pace_words(transfer))))
        self._figures.setText(figures)
        self._figures.setVisible(bool(figures))
        self._bar.setAccessibleDescription(figures or words)
        self._hint.setText(told(transfer.hint))
        self._hint.setVisible(bool(transfer.hint))
        detail = "" if transfer.detail == transfer.error else transfer.detail
        self._detail.setText(" ".join(detail.split()))
        self._detail.setVisible(bool(detail))
        deeds = (
            (self._pause, phase.going_on),
            (self._resume, phase is Phase.PAUSED),
            (self._retry, phase is Phase.FAILED),
            (self._show, phase is Phase.DONE),
            (self._cancel, not phase.ended),
            (self._dismiss, phase.ended),
        )
        # What comes before what goes, so that the focus can go over: to the first deed, which is never to cancel.
        for button, shown in sorted(deeds, key=lambda deed: not deed[1]):
            if button.isHidden() is shown:
                if button.hasFocus():
                    next(each for each, there in deeds if there).setFocus()
                button.setVisible(shown)

    def _button(self, name: str, words: str, signal: object) -> QPushButton:
        button = QPushButton(words)
        button.setObjectName(name)
        button.setAccessibleName(words)
        button.clicked.connect(lambda: signal.emit(self._model))  # type: ignore[attr-defined] # untyped bound signal
        return button


def _wrapped(name: str) -> QLabel:
    label = kind_label("", TextKind.BODY)
    label.setObjectName(name)
    label.setWordWrap(True)
    # Else the longest word decides how narrow the page can be.
    label.setMinimumWidth(1)
    label.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
    return label
