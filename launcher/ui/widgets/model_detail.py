"""The pane under the table of models: what the selected ones are, where they are in memory, and what can be done."""

# ruff: noqa: N802 - Qt names the methods that it calls

from __future__ import annotations

from collections.abc import Callable, Sequence

from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QGuiApplication, QResizeEvent
from PySide6.QtWidgets import QBoxLayout, QHBoxLayout, QPushButton, QVBoxLayout, QWidget

from launcher.domain.models import on_disk_at_most_bytes
from launcher.ui.models_table import Entry, capability_words, model_size_text, state_words, when_text
from launcher.ui.phrases import SEPARATOR
from launcher.ui.theme import TextKind, Theme
from launcher.ui.units import count_text, size_text
from launcher.ui.widgets.card import Card, kind_label
from launcher.ui.widgets.elided_label import ElidedLabel
from launcher.ui.widgets.loaded_models import place_words, stay_words
from launcher.ui.widgets.pill import Pill
from launcher.ui.widgets.split_bar import SplitBar

_NAME_CHARACTERS = 24
_DIGEST_SHOWN = 12
"""As many digits as ``ollama list`` shows as the ID."""


class ModelDetail(Card):
    """Emits the names of the selected models. ``now_s`` is seconds since the epoch."""

    load_requested = Signal(tuple)
    unload_requested = Signal(tuple)
    delete_requested = Signal(tuple)

    def __init__(self, theme: Theme, now_s: Callable[[], float], parent: QWidget | None = None) -> None:
        super().__init__("", parent)
        self.setObjectName("model-detail")
        self.setAccessibleName(self.tr("The selected model"))
        self._now_s = now_s
        self._entries: tuple[Entry, ...] = ()
        self._default = ""

        self._name = ElidedLabel(mode=Qt.TextElideMode.ElideMiddle)
        self._name.setProperty("kind", TextKind.CARD_TITLE.value)
        self._pill = Pill(theme)
        self._facts = kind_label("", TextKind.BODY)
        self._facts.setProperty("kind", "second")
        self._facts.setWordWrap(True)
        self._facts.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self._bar = SplitBar(theme)
        self._memory = kind_label("", TextKind.SECOND)
        self._memory.setProperty("kind", "small")
        self._memory.setWordWrap(True)

        self.load_button = self._button("load-button", self.tr("Load"))
        self.load_button.clicked.connect(lambda: self.load_requested.emit(self._names(loaded=False)))
        self.unload_button = self._button("unload-model-button", self.tr("Unload"))
        self.unload_button.clicked.connect(lambda: self.unload_requested.emit(self._names(loaded=True)))
        self.copy_button = self._button("copy-name-button", self.tr("Copy name"))
        self.copy_button.clicked.connect(self.copy_names)
        self.delete_button = self._button("delete-button", self.tr("Delete…"))
        self.delete_button.clicked.connect(lambda: self.delete_requested.emit(self.deletable))

        title = QHBoxLayout()
        title.setSpacing(8)
        title.addWidget(self._name)
        title.addWidget(self._pill)
        title.addStretch(1)
        self._buttons = QHBoxLayout()
        self._buttons.setSpacing(8)
        for button in (self.load_button, self.unload_button, self.copy_button, self.delete_button):
            self._buttons.addWidget(button)
        first = self._first = QBoxLayout(QBoxLayout.Direction.LeftToRight)
        first.setSpacing(8)
        first.addLayout(title, 1)
        first.addLayout(self._buttons)
        memory = QVBoxLayout()
        memory.setSpacing(5)
        memory.addWidget(self._bar)
        memory.addWidget(self._memory)
        self.body.addLayout(first)
        self.body.addWidget(self._facts)
        self.body.addLayout(memory)
        self.show_entries(())

    @property
    def ticking(self) -> bool:
        """True while a time left is shown."""
        return self.isVisible() and any(entry.loaded is not None for entry in self._entries)

    @property
    def deletable(self) -> tuple[str, ...]:
        """The names that a wish to delete means now."""
        return tuple(entry.name for entry in self._entries if entry.work is None)

    def show_entries(self, entries: Sequence[Entry], default: str = "") -> None:
        """Show one model, several together, or that none is selected; ``default`` names the default model."""
        self._entries = entries = tuple(entries)
        self._default = default
        one = entries[0] if len(entries) == 1 else None
        loaded = [entry for entry in entries if entry.loaded is not None]
        can_load, can_unload = self._names(loaded=False), self._names(loaded=True)
        if one is not None:
            self._name.setText(one.name)
            self._pill.show_words(*state_words(one))
        else:
            count = count_text(len(entries))
            several = self.tr("{count} models are selected").format(count=count)
            self._name.setText(several if entries else self.tr("No model is selected"))
            self._pill.show_words("")
        self._facts.setText(self._facts_of_one(one) if one is not None else self._facts_of_several(loaded))
        self._facts.setVisible(bool(self._facts.text()))
        in_memory = one.loaded if one is not None else None
        self._bar.setVisible(in_memory is not None and bool(in_memory.size_bytes))
        self._memory.setVisible(in_memory is not None)
        if in_memory is not None and in_memory.size_bytes:
            part = min(in_memory.size_vram_bytes / in_memory.size_bytes, 1.0)
            self._bar.show_split(part, place_words(in_memory))
        self.show_time()
        # A model that is loaded need not be loaded: one of the two buttons is there, both only for a mixed selection.
        self.load_button.setVisible(bool(can_load) and len(entries) == 1)
        self.unload_button.setVisible(bool(can_unload))
        self.copy_button.setVisible(bool(entries))
        self.delete_button.setVisible(bool(entries))
        self.delete_button.setEnabled(bool(self.deletable))
        for button, words in (
            (self.load_button, self.tr("Load {models}")),
            (self.unload_button, self.tr("Unload {models}")),
            (self.copy_button, self.tr("Copy the name of {models}")),
            (self.delete_button, self.tr("Delete {models}")),
        ):
            button.setAccessibleName(words.format(models=self._name.text()))
        self._fit()

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self._fit()

    def show_time(self) -> None:
        """Bring the time left up to now."""
        loaded = self._entries[0].loaded if len(self._entries) == 1 else None
        if loaded is not None:
            self._memory.setText(SEPARATOR.join(filter(None, (place_words(loaded), stay_words(loaded, self._now_s())))))

    def copy_names(self) -> None:
        """Put the names into the clipboard, one a line."""
        if self._entries:
            QGuiApplication.clipboard().setText("\n".join(entry.name for entry in self._entries))

    def _fit(self) -> None:
        """Where the name would have too little room beside the buttons, they go under it."""
        name = min(self._name.sizeHint().width(), self._name.fontMetrics().averageCharWidth() * _NAME_CHARACTERS)
        pill = self._pill.sizeHint().width() if self._pill.words else 0
        layout = self.layout()
        if layout is None:
            return
        margins = layout.contentsMargins()
        room = self.width() - margins.left() - margins.right() - 3 * self._first.spacing()
        narrow = name + pill + self._buttons.sizeHint().width() > room
        way = QBoxLayout.Direction.TopToBottom if narrow else QBoxLayout.Direction.LeftToRight
        if self._first.direction() is not way:
            self._first.setDirection(way)
            align = Qt.AlignmentFlag.AlignLeft if narrow else Qt.AlignmentFlag(0)
            self._first.setAlignment(self._buttons, align)

    def _facts_of_one(self, entry: Entry) -> str:
        model = entry.model
        kind = SEPARATOR.join(filter(None, (model.family, model.parameter_size, model.quantization)))
        parts = [model_size_text(model), kind, *capability_words(model)]
        if model.remote_host:
            parts.insert(1, self.tr("runs at {host}").format(host=model.remote_host))
        if model.name == self._default:
            parts.append(self.tr("default model"))
        changed = when_text(model.modified_at)
        if changed:
            parts.append(self.tr("changed {when}").format(when=changed))
        if model.digest:
            parts.append(self.tr("ID {digest}").format(digest=model.digest[:_DIGEST_SHOWN]))
        return SEPARATOR.join(filter(None, parts))

    def _facts_of_several(self, loaded: Sequence[Entry]) -> str:
        if not self._entries:
            return ""
        parts = [
            self.tr("at most {size} on disk").format(
                size=size_text(on_disk_at_most_bytes(entry.model for entry in self._entries))
            )
        ]
        if loaded:
            parts.append(self.tr("{count} in memory").format(count=count_text(len(loaded))))
        return SEPARATOR.join(parts)

    def _names(self, *, loaded: bool) -> tuple[str, ...]:
        return tuple(
            entry.name
            for entry in self._entries
            if (entry.loaded is not None) is loaded and entry.work is None and (loaded or not entry.model.remote_host)
        )

    def _button(self, name: str, words: str) -> QPushButton:
        button = QPushButton(words)
        button.setObjectName(name)
        button.setAccessibleName(words)
        return button
