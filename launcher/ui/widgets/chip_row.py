"""A row of chips that choose what a list shows, each with its count, and a remark at the end.

It never asks for more width than there is: what does not fit goes away from the end, the remark first.
"""

# ruff: noqa: N802 - Qt names the methods that it calls

from __future__ import annotations

from collections.abc import Mapping, Sequence

from PySide6.QtCore import QSize, Signal
from PySide6.QtGui import QResizeEvent
from PySide6.QtWidgets import QButtonGroup, QHBoxLayout, QPushButton, QSizePolicy, QWidget

from launcher.ui.theme import TextKind
from launcher.ui.units import count_text
from launcher.ui.widgets.card import kind_label

_GAP = 6


class ChipRow(QWidget):
    """The first chip means everything and is always there; others hide while they count nothing."""

    chosen_changed = Signal(str)

    def __init__(self, chips: Sequence[tuple[str, str]], parent: QWidget | None = None) -> None:
        """``chips`` are keys and words."""
        super().__init__(parent)
        self._words = dict(chips)
        self._counts: dict[str, int] = {}
        self._group = QButtonGroup(self)
        self.remark = kind_label("", TextKind.BODY)
        self.remark.setProperty("kind", "second")
        self.chips: dict[str, QPushButton] = {}
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(_GAP)
        for key, words in chips:
            chip = self.chips[key] = QPushButton(words)
            chip.setObjectName(f"kind-{key}-button")
            chip.setAccessibleName(words)
            chip.setCheckable(True)
            chip.setProperty("kind", "chip")
            chip.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Fixed)
            self._group.addButton(chip)
            row.addWidget(chip)
        row.addStretch(1)
        row.addWidget(self.remark)
        self._first = next(iter(self.chips))
        self.chips[self._first].setChecked(True)
        self._group.buttonToggled.connect(self._on_toggled)
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)

    @property
    def chosen(self) -> str:
        """The key of the chip that is on."""
        return next(key for key, chip in self.chips.items() if chip.isChecked())

    def choose_all(self) -> None:
        self.chips[self._first].setChecked(True)

    def show_counts(self, counts: Mapping[str, int], remark: str) -> None:
        for key, chip in self.chips.items():
            words = f"{self._words[key]} {count_text(counts.get(key, 0))}"
            if chip.text() != words:
                chip.setText(words)
                chip.setAccessibleName(self.tr("Show only: {kind}").format(kind=words))
        self._counts = dict(counts)
        self.remark.setText(remark)
        self._fit()

    def minimumSizeHint(self) -> QSize:
        return QSize(0, super().minimumSizeHint().height())

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self._fit()

    def _fit(self) -> None:
        room = self.width()
        # One that is on stays, whatever it counts: nobody must wonder why so little is shown.
        chosen = self.chosen
        room -= self.chips[chosen].sizeHint().width()
        full = False
        for key, chip in self.chips.items():
            if key == chosen:
                chip.show()
                continue
            wanted = key == self._first or bool(self._counts.get(key))
            width = chip.sizeHint().width() + _GAP
            full = full or (wanted and width > room)
            chip.setVisible(wanted and not full)
            if wanted and not full:
                room -= width
        self.remark.setVisible(not full and self.remark.sizeHint().width() + 2 * _GAP <= room)

    def _on_toggled(self, _button: object, checked: bool) -> None:
        if checked:
            self.chosen_changed.emit(self.chosen)
