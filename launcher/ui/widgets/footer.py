"""The truth line at the foot of every page: state, running downloads, speed, free space, version.

Renders what the store holds, and emits :attr:`page_requested` with the key of the page a part speaks of.
"""

# ruff: noqa: N802 - Qt names the methods that it calls

from __future__ import annotations

from PySide6.QtCore import QEvent, QSize, Qt, Signal
from PySide6.QtGui import QResizeEvent
from PySide6.QtWidgets import QFrame, QHBoxLayout, QPushButton, QSizePolicy, QWidget

from launcher.domain.transfer import Transfer
from launcher.ui.phrases import SEPARATOR, exposed_words, phase_phrase, server_phrase, transfer_words, version_words
from launcher.ui.shapes import StateShape
from launcher.ui.store import Store
from launcher.ui.theme import Role, Theme
from launcher.ui.units import count_text, percent_text, rate_text, size_text
from launcher.ui.widgets.elided_label import ElidedLabel
from launcher.ui.widgets.progress import ThinProgressBar
from launcher.ui.widgets.state_shape import StateShapeWidget

_BAR_WIDTH = 120


class _Part(QPushButton):
    """One place of the line: a button that holds a label, and whatever stands beside it."""

    def __init__(self, name: str, kind: str = "", shape: StateShapeWidget | None = None) -> None:
        super().__init__()
        self.setObjectName(name)
        self.label = ElidedLabel()
        self.label.setProperty("kind", kind)
        self.row = QHBoxLayout(self)
        self.row.setContentsMargins(6, 2, 6, 2)
        self.row.setSpacing(8)
        self._shape = shape
        if shape is not None:
            self.row.addWidget(shape)
        self.row.addWidget(self.label)
        self.setCursor(Qt.CursorShape.PointingHandCursor)
        # A click takes no focus: its frame is for those who came by keyboard.
        self.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        self.setSizePolicy(QSizePolicy.Policy.Maximum, QSizePolicy.Policy.Fixed)

    def add(self, widget: QWidget) -> None:
        """Place ``widget`` after the words; a click on it is a click on the part."""
        widget.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
        self.row.addWidget(widget)

    def show_words(self, words: str, spoken: str = "") -> None:
        """``spoken`` is the accessible name where the words alone say too little. No words: nothing to show."""
        self.label.setText(words)
        self.setAccessibleName(spoken or words)

    def words_width(self) -> int:
        """The width that shape and words need, without a bar beside them."""
        margins = self.row.contentsMargins()
        widths = [self._shape.width()] if self._shape is not None else []
        if not self.label.isHidden():
            widths.append(self.label.sizeHint().width())
        return margins.left() + sum(widths) + self.row.spacing() * (len(widths) - 1) + margins.right()

    def sizeHint(self) -> QSize:
        return self.row.sizeHint()

    def minimumSizeHint(self) -> QSize:
        return self.row.minimumSize()


class Footer(QFrame):
    """Built once by the main window. :meth:`show_free_space` is a slot; all else comes from the store."""

    page_requested = Signal(str)

    def __init__(self, store: Store, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("footer")
        self.setAccessibleName(self.tr("Status"))
        self._store = store
        self._phrase = server_phrase(store.server, store.models)
        self._shape = StateShapeWidget(theme, 14)
        self._state = _Part("footer-state", "state", self._shape)
        shield = StateShapeWidget(theme, 14)
        shield.show_shape(StateShape.SHIELD, Role.WARN)
        self._exposed = _Part("footer-exposed", shape=shield)
        self._bar = ThinProgressBar(height=4)
        self._bar.setFixedWidth(_BAR_WIDTH)
        self._bar.setObjectName("footer-progress")
        self._downloads = _Part("footer-downloads")
        self._downloads.add(self._bar)
        self._rate = _Part("footer-rate")
        self._space = _Part("footer-free-space")
        self._version = _Part("footer-version")
        for part, page in (
            (self._state, "server"),
            (self._exposed, "server"),
            (self._downloads, "downloads"),
            (self._rate, "downloads"),
            (self._space, "models"),
            (self._version, "server"),
        ):
            part.clicked.connect(lambda _=False, key=page: self.page_requested.emit(key))
        self._row = row = QHBoxLayout(self)
        row.setContentsMargins(8, 3, 8, 3)
        row.setSpacing(4)
        row.addWidget(self._state)
        row.addWidget(self._exposed)
        row.addStretch(1)
        row.addWidget(self._downloads)
        row.addStretch(1)
        row.addWidget(self._rate)
        row.addWidget(self._space)
        row.addWidget(self._version)
        store.server_changed.connect(self._on_server_changed)
        store.models_changed.connect(self._on_server_changed)
        store.transfers_changed.connect(self._on_transfers_changed)
        self.show_free_space(None)
        self._on_server_changed()
        self._on_transfers_changed()

    def show_free_space(self, free_bytes: int | None) -> None:
        """Show what is free on the volume of the models folder; None: not known."""
        self._space.show_words("" if free_bytes is None else self.tr("{size} free").format(size=size_text(free_bytes)))
        self._fit()

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self._fit()

    def changeEvent(self, event: QEvent) -> None:
        if event.type() == QEvent.Type.StyleChange:
            self._fit()
        super().changeEvent(event)

    def _on_server_changed(self) -> None:
        status = self._store.server
        self._phrase = phrase = server_phrase(status, self._store.models)
        self._shape.show_shape(phrase.shape, phrase.role, phrase.title)
        self._state.show_words(phrase.footer)
        self._exposed.show_words(self.tr("Open to the network") if phrase.exposed else "")
        if status is not None and phrase.exposed:
            self._exposed.setToolTip(exposed_words(status))
        self._version.show_words(version_words(status) if status is not None else "")
        self._fit()

    def _on_transfers_changed(self) -> None:
        running = [each for each in self._store.transfers if each.phase.running]
        waiting = sum(1 for each in self._store.transfers if each.phase.going_on) - len(running)
        if not running:
            self._downloads.show_words("")
            self._rate.show_words("")
            self._fit()
            return
        if len(running) == 1:
            self._show_one(running[0], waiting)
        else:
            self._show_several(running, waiting)
        rates = [each.rate_bps for each in running if each.rate_bps is not None]
        self._rate.show_words(self.tr("{rate} ↓").format(rate=rate_text(sum(rates))) if rates else "")
        self._fit()

    def _show_one(self, transfer: Transfer, waiting: int) -> None:
        phrase = phase_phrase(transfer.phase)
        if transfer.permille is None:
            words = spoken = self.tr("{model}: {phase}").format(model=transfer.model, phase=phrase.words)
        else:
            words = self.tr("{model} {part}").format(model=transfer.model, part=percent_text(transfer.permille))
            spoken = f"{words}, {transfer_words(transfer)}"
        queued = (self.tr("{count} queued").format(count=count_text(waiting)),) if waiting else ()
        self._downloads.show_words(SEPARATOR.join((words, *queued)), ", ".join((spoken, *queued)))
        self._show_bar(transfer.permille, phrase.role, moving=phrase.moving)

    def _show_several(self, running: list[Transfer], waiting: int) -> None:
        # The figure of the side bar: what waits for its turn goes on, too.
        words = self.tr("{count} downloads").format(count=count_text(len(running) + waiting))
        permille: int | None = None
        if all(each.total_bytes and not each.total_is_so_far for each in running):
            total_bytes = sum(each.total_bytes or 0 for each in running)
            permille = min(sum(each.completed_bytes for each in running) * 1000 // total_bytes, 999)
        phrases = [phase_phrase(each.phase) for each in running]
        role = Role.BUSY if any(phrase.moving for phrase in phrases) else phrases[0].role
        self._downloads.show_words(words)
        self._show_bar(permille, role, moving=role is Role.BUSY)

    def _show_bar(self, permille: int | None, role: Role, *, moving: bool) -> None:
        self._bar.show_permille(permille, role, moving=moving)
        self._bar.setAccessibleName(self._downloads.accessibleName())

    def _fit(self) -> None:
        """Show every part that has words, as far as they stand side by side without an ellipsis."""
        parts = (self._state, self._exposed, self._downloads, self._rate, self._space, self._version)
        shown: list[QWidget] = [part for part in parts if part.accessibleName()]
        if self._downloads in shown:
            shown.append(self._bar)
        self._state.label.setText(self._phrase.footer)
        self._exposed.label.show()
        dropped: list[QWidget] = []
        for dispensable in (self._version, self._space, self._rate, self._bar):
            if self._fits(shown):
                break
            if dispensable in shown:
                shown.remove(dispensable)
                dropped.insert(0, dispensable)
        if not self._fits(shown):
            self._exposed.label.hide()
        if not self._fits(shown):
            self._state.label.setText(self._phrase.short)
            # Much shorter words may make room again for what went last.
            for widget in dropped:
                if not self._fits([*shown, widget]):
                    break
                shown.append(widget)
        for widget in (*parts, self._bar):
            if widget.isHidden() is (widget in shown):
                widget.setVisible(widget in shown)

    def _fits(self, shown: list[QWidget]) -> bool:
        margins = self._row.contentsMargins()
        room = self.width() - margins.left() - margins.right()
        return sum(self._width_of(widget) for widget in shown) <= room

    def _width_of(self, widget: QWidget) -> int:
        if isinstance(widget, _Part):
            return widget.words_width() + self._row.spacing()
        return _BAR_WIDTH + 8
