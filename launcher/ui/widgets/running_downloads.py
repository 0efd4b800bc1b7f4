"""The card of the running downloads: at most three, each with its bar, and how many more there are."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import QCoreApplication, Qt, Signal
from PySide6.QtWidgets import QPushButton, QWidget

from launcher.domain.transfer import Phase, Transfer
from launcher.ui.phrases import SEPARATOR, amount_words, pace_words, phase_phrase, transfer_words
from launcher.ui.theme import Role, TextKind
from launcher.ui.units import count_text, percent_text
from launcher.ui.widgets.bar_row import BarRow
from launcher.ui.widgets.card import Card, kind_label, restyle
from launcher.ui.widgets.progress import ThinProgressBar

MOST_ROWS = 3


def _tr(text: str) -> str:
    return QCoreApplication.translate("downloads-card", text)


class _Row(BarRow):
    """One download: name, words, the way to stop it, and its bar."""

    def __init__(self, name: str) -> None:
        self._bar = ThinProgressBar()
        super().__init__(name, self._bar, _tr("Pause"))
        self._bar.setObjectName("transfer-progress")
        self.link.setObjectName("transfer-pause-button")
        self.link.setAccessibleName(self.tr("Pause the download of {model}").format(model=name))

    def show_transfer(self, transfer: Transfer) -> None:
        phrase = phase_phrase(transfer.phase)
        words = SEPARATOR.join(filter(None, (transfer_words(transfer), amount_words(transfer), pace_words(transfer))))
        self.words.setText(words)
        kind = "warn" if phrase.text_role is Role.WARN else "second"
        if self.words.property("kind") != kind:
            self.words.setProperty("kind", kind)
            restyle(self.words)
        self._bar.show_permille(transfer.permille, phrase.role, moving=phrase.moving)
        part = percent_text(transfer.permille) if transfer.permille is not None else ""
        self._bar.setAccessibleName(" ".join(filter(None, (transfer.model, part))))
        self._bar.setAccessibleDescription(words)


class DownloadsCard(Card):
    """What is running now; everything else is on its page."""

    cancel_requested = Signal(str)
    page_requested = Signal(str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(_tr("Downloads"), parent)
        self.setObjectName("downloads-card")
        self._rows: dict[str, _Row] = {}
        self._open = QPushButton(self.tr("Open downloads"))
        self._open.setObjectName("open-downloads-button")
        self._open.setAccessibleName(self._open.text())
        self._open.setProperty("kind", "link")
        self._open.setCursor(Qt.CursorShape.PointingHandCursor)
        self._open.clicked.connect(lambda: self.page_requested.emit("downloads"))
        self.add_action(self._open)
        self._rest = kind_label("", TextKind.BODY)
        self._rest.setObjectName("downloads-rest")
        self._rest.setProperty("kind", "second")
        self._rest.setWordWrap(True)
        self.body.addWidget(self._rest)
        self.show_transfers(())

    def show_transfers(self, transfers: Sequence[Transfer]) -> bool:
        """Tell whether rows have come."""
        running = [each for each in transfers if each.phase.running]
        shown = running[:MOST_ROWS]
        names = [each.model for each in shown]
        for name in [name for name in self._rows if name not in names]:
            row = self._rows.pop(name)
            self.body.removeWidget(row)
            row.hide()
            row.deleteLater()
        come = False
        for place, transfer in enumerate(shown):
            if transfer.model not in self._rows:
                row = self._rows[transfer.model] = _Row(transfer.model)
                row.clicked.connect(lambda name=transfer.model: self.cancel_requested.emit(name))
                self.body.insertWidget(place, row)
                row.show()
                come = True
            self._rows[transfer.model].show_transfer(transfer)
        words = self._rest_words(transfers, len(running) - len(shown))
        if not shown and not words:
            words = self.tr("Nothing is being downloaded.")
        self._rest.setText(words)
        self._rest.setVisible(bool(words))
        return come

    def _rest_words(self, transfers: Sequence[Transfer], more: int) -> str:
        parts = [self.tr("{count} more running").format(count=count_text(more))] if more else []
        for phase, words in (
            (Phase.QUEUED, self.tr("{count} queued")),
            (Phase.PAUSED, self.tr("{count} paused")),
            (Phase.FAILED, self.tr("{count} failed")),
            (Phase.DONE, self.tr("{count} done")),
        ):
            count = sum(1 for each in transfers if each.phase is phase)
            if count:
                parts.append(words.format(count=count_text(count)))
        return SEPARATOR.join(parts)
