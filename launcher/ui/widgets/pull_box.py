"""The field for names to download: checked while they are typed, several at once."""

from __future__ import annotations

import re
from dataclasses import dataclass

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QGridLayout, QLineEdit, QPushButton, QWidget

from launcher.domain.names import InvalidModelName, ModelName
from launcher.ui.phrases import told
from launcher.ui.theme import TextKind
from launcher.ui.units import count_text
from launcher.ui.widgets.card import kind_label, restyle
from launcher.ui.widgets.clear_button import add_clear_button

_BETWEEN_NAMES = re.compile(r"[\s,;，、；]+")
_COMMANDS = ({"ollama", "run"}, {"ollama", "pull"})
_UNFINISHED = (":", "/")


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a text asks for. ``reason`` is empty where every name is possible."""

    names: tuple[str, ...]
    reason: str = ""
    unfinished: bool = False
    """The last name is impossible only because somebody is still typing it."""


def read_names(text: str) -> Wanted:
    """Read names between spaces, commas and lines; ``ollama run NAME``, as web pages have it, is a name, too."""
    words = [word for word in _BETWEEN_NAMES.split(text) if word]
    if {word.lower() for word in words[:2]} in _COMMANDS:
        words = words[2:]
    names: dict[str, str] = {}
    for place, word in enumerate(words):
        try:
            name = ModelName.parse(word)
        except InvalidModelName as error:
            last = place == len(words) - 1 and text.endswith(word)
            if last and word.endswith(_UNFINISHED):
                return Wanted((), unfinished=True)
            return Wanted((), told(error.reason if len(words) == 1 else error.title))
        names.setdefault(name.key, name.display)
    return Wanted(tuple(names.values()))


class PullBox(QWidget):
    """Emits the names, each once, in their shortest form."""

    pull_requested = Signal(tuple)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.field = QLineEdit()
        self.field.setObjectName("pull-field")
        self.field.setAccessibleName(self.tr("Names of models to download"))
        self.field.setPlaceholderText(self.tr("Model name, for example llama3.2:3b or hf.co/user/repo:Q4_K_M"))
        add_clear_button(self.field)
        self.button = QPushButton(self.tr("Download"))
        self.button.setObjectName("pull-button")
        self.button.setProperty("kind", "primary")
        self._note = kind_label("", TextKind.SECOND)
        self._note.setObjectName("pull-note")
        self._note.setWordWrap(True)
        self._note.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        grid = QGridLayout(self)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setHorizontalSpacing(8)
        grid.setVerticalSpacing(4)
        grid.addWidget(self.field, 0, 0)
        grid.addWidget(self.button, 0, 1)
        grid.addWidget(self._note, 1, 0, 1, 2)
        self.field.textChanged.connect(self._on_text_changed)
        self.field.returnPressed.connect(self._on_submitted)
        self.button.clicked.connect(self._on_submitted)
        self._wanted = Wanted(())
        self._on_text_changed("")

    def paste(self, text: str) -> None:
        """Put ``text`` into the field as if it had been pasted there, and go there."""
        self.field.setFocus(Qt.FocusReason.ShortcutFocusReason)
        self.field.insert(text)

    def _on_text_changed(self, text: str) -> None:
        self._wanted = wanted = read_names(text)
        count = len(wanted.names)
        several = self.tr("Download {count} models").format(count=count_text(count))
        words = several if count > 1 else self.tr("Download")
        self.button.setText(words)
        self.button.setAccessibleName(words)
        self.button.setEnabled(count > 0)
        self._note.setText(wanted.reason or self.tr("Several at once: put spaces or commas between the names."))
        self.field.setAccessibleDescription(self._note.text())
        bad = bool(wanted.reason)
        for widget, name, value in (
            (self.field, "tone", "bad" if bad else ""),
            (self._note, "kind", "bad" if bad else "small"),
        ):
            if widget.property(name) != value:
                widget.setProperty(name, value)
                restyle(widget)

    def _on_submitted(self) -> None:
        names = self._wanted.names
        if names:
            self.field.clear()
            self.pull_requested.emit(names)
