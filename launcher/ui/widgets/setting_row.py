"""One setting of the page: what it is, the editor for its kind, and what is to be said about its value.

Made from a :class:`Declaration`. It checks what is typed by the declaration's own reading and wishes only values that
can be; it saves nothing. What is shown is what was published, never what was wished.
"""

# ruff: noqa: N802 - Qt names the methods that it calls

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import QCoreApplication, QSignalBlocker, Qt, QTimer, Signal
from PySide6.QtGui import QKeyEvent, QWheelEvent
from PySide6.QtWidgets import (
    QBoxLayout,
    QCheckBox,
    QComboBox,
    QHBoxLayout,
    QLineEdit,
    QPushButton,
    QSizePolicy,
    QVBoxLayout,
    QWidget,
)

from launcher.domain.address import Address
from launcher.domain.settings import Declaration, Kind
from launcher.errors import InvalidInput, LauncherError
from launcher.ui.phrases import told
from launcher.ui.theme import TextKind, Theme
from launcher.ui.widgets.breakable import breakable
from launcher.ui.widgets.card import kind_label, restyle
from launcher.ui.widgets.pill import Pill
from launcher.ui.widgets.program_dialog import ProgramDialog

_SAVED_MS = 2_500
_CHOICE_WIDTH = 190


def tr_declared(text: str) -> str:
    """The words of a declaration in the person's language."""
    return QCoreApplication.translate("settings", text)


class Editor(QWidget):
    """What edits one value. ``typed`` tells what is not finished yet, ``entered`` what somebody means."""

    typed = Signal(object)
    entered = Signal(object)

    wide = False
    """True: it stands under its words, over the whole width."""

    def __init__(self) -> None:
        super().__init__()
        self.row = QHBoxLayout(self)
        self.row.setContentsMargins(0, 0, 0, 0)
        self.row.setSpacing(8)

    @property
    def field(self) -> QWidget:
        """What has the focus while the value is edited."""
        raise NotImplementedError

    @property
    def unfinished(self) -> bool:
        """True while somebody is typing what they have not entered."""
        return False

    def show_value(self, value: object) -> None:
        raise NotImplementedError

    def show_bad(self, bad: bool) -> None:
        """Mark the field as one whose text cannot be."""


class _Combo(QComboBox):
    """Turns its value by the wheel only while it has the focus: elsewhere the wheel scrolls the page."""

    def __init__(self) -> None:
        super().__init__()
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)

    def wheelEvent(self, event: QWheelEvent) -> None:
        if self.hasFocus():
            super().wheelEvent(event)
        else:
            event.ignore()


class ChoiceEditor(Editor):
    """One of a closed set."""

    def __init__(self, declaration: Declaration) -> None:
        super().__init__()
        self._combo = _Combo()
        self._combo.setMinimumWidth(_CHOICE_WIDTH)
        for choice in declaration.choices:
            self._combo.addItem(tr_declared(choice.label), choice.value)
        self._combo.activated.connect(lambda index: self.entered.emit(self._combo.itemData(index)))
        self.row.addWidget(self._combo)

    @property
    def field(self) -> QWidget:
        return self._combo

    def show_value(self, value: object) -> None:
        places = range(self._combo.count())
        self._combo.setCurrentIndex(next((place for place in places if self._combo.itemData(place) == value), -1))


class SwitchEditor(Editor):
    """On or off."""

    def __init__(self) -> None:
        super().__init__()
        self._box = QCheckBox()
        self._box.clicked.connect(lambda checked: self.entered.emit(bool(checked)))
        self.row.addWidget(self._box)

    @property
    def field(self) -> QWidget:
        return self._box

    def show_value(self, value: object) -> None:
        self._box.setChecked(value is True)


class _Line(QLineEdit):
    """Escape takes back what was typed."""

    taken_back = Signal()

    def keyPressEvent(self, event: QKeyEvent) -> None:
        if event.key() == Qt.Key.Key_Escape and self.isModified():
            self.taken_back.emit()
        else:
            super().keyPressEvent(event)


class _LineEditor(Editor):
    """What is typed into a line: entered by Return or by leaving the field, taken back by Escape."""

    def __init__(self) -> None:
        super().__init__()
        self._value = ""
        self.line = _Line()

    @property
    def unfinished(self) -> bool:
        return self.line.isModified()

    def show_bad(self, bad: bool) -> None:
        tone = "bad" if bad else ""
        if self.field.property("tone") != tone:
            self.field.setProperty("tone", tone)
            restyle(self.field)

    def _listen(self, placeholder: str) -> None:
        """Hear the line, once it is where it belongs."""
        self.line.setPlaceholderText(placeholder)
        self.line.textEdited.connect(self.typed.emit)
        self.line.editingFinished.connect(self._on_finished)
        self.line.taken_back.connect(self._on_taken_back)

    def _on_finished(self) -> None:
        if self.line.isModified():
            self.entered.emit(self.line.text())

    def _on_taken_back(self) -> None:
        self.show_value(self._value)
        self.typed.emit(self._value)


class TextEditor(_LineEditor):
    """One line. Entered by Return or by leaving the field."""

    wide = True

    def __init__(self, placeholder: str = "") -> None:
        super().__init__()
        self._listen(placeholder)
        self.row.addWidget(self.line, 1)

    @property
    def field(self) -> QWidget:
        return self.line

    def show_value(self, value: object) -> None:
        self._value = str(value)
        if self.line.text() != self._value:
            self.line.setText(self._value)
        self.line.setModified(False)


class ProgramEditor(TextEditor):
    """The path of a program, typed or chosen among the files."""

    def __init__(self, placeholder: str = "") -> None:
        super().__init__(placeholder)
        self.browse = QPushButton(self.tr("Browse…"))
        self.browse.setObjectName("browse-program-button")
        self.browse.setAccessibleName(self.tr("Choose the Ollama program"))
        self.browse.clicked.connect(self._on_browse)
        self.row.addWidget(self.browse)

    def _on_browse(self) -> None:
        dialog = ProgramDialog(self, self.line.text())
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        dialog.fileSelected.connect(self._on_chosen)
        dialog.open()

    def _on_chosen(self, path: str) -> None:
        self.line.setText(path)
        self.line.setModified(True)
        self.entered.emit(path)


class ModelEditor(_LineEditor):
    """The name of a model: one of those that are installed, or any other."""

    wide = True

    def __init__(self, none_words: str) -> None:
        super().__init__()
        self.combo = _Combo()
        self.combo.setEditable(True)
        self.combo.setInsertPolicy(QComboBox.InsertPolicy.NoInsert)
        self.combo.setMaxVisibleItems(15)
        # Names are long, and the page need not be as wide.
        self.combo.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self.combo.setMinimumContentsLength(12)
        self.combo.setLineEdit(self.line)
        self._listen(none_words)
        self.combo.activated.connect(lambda index: self.entered.emit(self.combo.itemText(index)))
        self.row.addWidget(self.combo, 1)

    @property
    def field(self) -> QWidget:
        return self.combo

    def show_names(self, names: Sequence[str]) -> None:
        """Offer these; what is in the field stays."""
        if [self.combo.itemText(place) for place in range(self.combo.count())] == list(names):
            return
        text, modified = self.line.text(), self.line.isModified()
        with QSignalBlocker(self.combo):
            self.combo.clear()
            self.combo.addItems(list(names))
            self.combo.setCurrentIndex(self.combo.findText(text))
            self.line.setText(text)
        self.line.setModified(modified)

    def show_value(self, value: object) -> None:
        self._value = str(value)
        self.combo.setCurrentIndex(self.combo.findText(self._value))
        self.line.setText(self._value)
        self.line.setModified(False)


class SettingRow(QWidget):
    """Emits ``wished`` with a value that the declaration has read."""

    wished = Signal(object)
    restart_requested = Signal()

    def __init__(
        self,
        declaration: Declaration,
        theme: Theme,
        *,
        default: object,
        variable_text: str = "",
        this_run: str = "",
        parent: QWidget | None = None,
    ) -> None:
        """``variable_text`` is what the declaration's variable holds in our environment; empty: it is not set.

        ``this_run`` says what counts in this run whatever is set; empty: what is set does.
        """
        super().__init__(parent)
        self.declaration = declaration
        self._theme = theme
        self._default = default
        self._value: object = default
        self._wish: object | None = None
        self._variable_text = variable_text
        self._this_run = this_run
        variable = declaration.variable
        self._forced = bool(variable_text) and variable is not None and variable.wins
        slug = declaration.key.replace("_", "-")
        label = tr_declared(declaration.label)

        self.label = kind_label(label, TextKind.BODY)
        self.label.setProperty("kind", "strong")
        self.saved = Pill(theme)
        self.saved.setObjectName(f"{slug}-saved")
        self._saved_timer = QTimer(self, interval=_SAVED_MS, singleShot=True)
        self._saved_timer.timeout.connect(lambda: self.saved.show_words(""))
        self.help = kind_label(tr_declared(declaration.help), TextKind.BODY)
        self.help.setProperty("kind", "second")
        self.help.setWordWrap(True)
        self.reset = QPushButton()
        self.reset.setObjectName(f"{slug}-reset-button")
        self.reset.setToolTip(self.tr("Use the default"))
        self.reset.setAccessibleName(self.tr("Use the default for: {setting}").format(setting=label))
        self.reset.setProperty("kind", "link")
        self.reset.clicked.connect(self._on_reset)
        keep = self.reset.sizePolicy()
        keep.setRetainSizeWhenHidden(True)
        self.reset.setSizePolicy(keep)
        self.note = kind_label("", TextKind.SECOND)
        self.note.setProperty("kind", "small")
        self.note.setObjectName(f"{slug}-note")
        self.note.setWordWrap(True)
        self.editor = self._make_editor()
        field = self.editor.field
        field.setObjectName(f"{slug}-field")
        field.setAccessibleName(label)
        if isinstance(self.editor, _LineEditor):
            self.editor.line.setAccessibleName(label)  # in a box that can be edited it stands for itself
        self.label.setBuddy(field)
        self.editor.setEnabled(not self._forced)
        self.editor.typed.connect(self._on_typed)
        self.editor.entered.connect(self._on_entered)
        self._restart_words = kind_label("", TextKind.SECOND)
        self._restart_words.setProperty("kind", "small")
        self._restart_words.setWordWrap(True)
        self.restart = QPushButton(self.tr("Restart Ollama now"))
        self.restart.setObjectName(f"{slug}-restart-button")
        self.restart.setAccessibleName(self.restart.text())
        self.restart.clicked.connect(self.restart_requested)
        self._lay_out()
        theme.changed.connect(self._on_theme_changed)
        self._on_theme_changed()
        self.show_restart("")
        self._show_note()

    @property
    def found_by(self) -> str:
        """What a search looks at, in lower case."""
        words = [self.declaration.label, self.declaration.help, *(choice.label for choice in self.declaration.choices)]
        variable = self.declaration.variable
        return "\n".join([*words, *map(tr_declared, words), variable.name if variable else ""]).casefold()

    def show_value(self, value: object) -> None:
        """Show what was published; what somebody is typing meanwhile stays unless it was that."""
        changed, self._value = value != self._value, value
        if self._wish is not None and self._wish == value:
            self._wish = None
            self.saved.show_words(self.tr("Saved"))
            self._saved_timer.start()
            self.editor.show_value(value)
        elif changed or not self.editor.unfinished:
            self.editor.show_value(value)
        self.reset.setVisible(value != self._default and not self._forced)
        if not self.editor.unfinished:
            self._show_note()

    def show_failed(self, error: LauncherError) -> None:
        """Say why the wish was not saved; the words stay in the field, to be corrected."""
        self._wish = None
        if not self.editor.wide:
            self.editor.show_value(self._value)
        self._show_bad(error)

    def show_restart(self, words: str, *, offered: bool = False) -> None:
        """Say that a running server does not obey yet; empty: it does."""
        self._restart_words.setText(words)
        self._restart_words.setVisible(bool(words))
        self.restart.setVisible(bool(words) and offered)

    def show_narrow(self, narrow: bool) -> None:
        """Put the editor under its words, or beside them."""
        way = QBoxLayout.Direction.TopToBottom if narrow else QBoxLayout.Direction.LeftToRight
        if self._upper.direction() is not way:
            self._upper.setDirection(way)
            self._upper.setSpacing(6 if narrow else 16)
            align = Qt.AlignmentFlag.AlignLeft if narrow else Qt.AlignmentFlag(0)
            if not self.editor.wide:
                self._upper.setAlignment(self.editor, align)

    def _make_editor(self) -> Editor:
        match self.declaration.kind:
            case Kind.CHOICE:
                return ChoiceEditor(self.declaration)
            case Kind.SWITCH:
                return SwitchEditor()
            case Kind.PROGRAM:
                return ProgramEditor(self._variable_text or self.tr("Found by itself"))
            case Kind.MODEL:
                return ModelEditor(self.tr("None"))
            case Kind.ADDRESS:
                return TextEditor(self._variable_text or Address.parse("").bind)

    def _lay_out(self) -> None:
        head = QHBoxLayout()
        head.setSpacing(8)
        head.addWidget(self.label)
        head.addWidget(self.saved)
        head.addStretch(1)
        words = QVBoxLayout()
        words.setSpacing(2)
        words.addLayout(head)
        words.addWidget(self.help)
        upper = self._upper = QBoxLayout(QBoxLayout.Direction.LeftToRight)
        upper.setSpacing(16)
        upper.addLayout(words, 1)
        head.addWidget(self.reset)
        if not self.editor.wide:
            upper.addWidget(self.editor)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(6)
        column.addLayout(upper)
        if self.editor.wide:
            column.addWidget(self.editor)
        column.addWidget(self.note)
        again = QHBoxLayout()
        again.setSpacing(12)
        again.addWidget(self._restart_words, 1)
        again.addWidget(self.restart)
        column.addLayout(again)
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Maximum)

    # --- what is said about the value ---------------------------------------------------------------------------------

    def _show_note(self) -> None:
        variable = self.declaration.variable
        self.editor.show_bad(False)
        if self._this_run:
            self._say(self._this_run)
        elif self._forced and variable is not None:
            words = self.tr("The variable {name} of the environment says {value}, and it wins.")
            self._say(words.format(name=variable.name, value=self._variable_text))
        elif variable is not None and self._variable_text and self._value == "":
            words = self.tr("Nothing is set here, so the variable {name} of the environment counts: {value}")
            self._say(words.format(name=variable.name, value=self._variable_text))
        else:
            self._say(self._warning_of(self._value))

    def _warning_of(self, value: object) -> str:
        if self.declaration.kind is not Kind.ADDRESS or not isinstance(value, str) or not value:
            return ""
        address = Address.parse(value)
        if address.warning:
            return told(address.warning)
        return self.tr("Everybody in your network can use a server at this address.") if address.exposed else ""

    def _show_bad(self, error: LauncherError) -> None:
        self.editor.show_bad(True)
        self._say(" ".join(filter(None, (told(error.title), told(error.hint)))), kind="bad")

    def _say(self, words: str, *, kind: str = "small") -> None:
        self.note.setText(breakable(words))
        self.note.setVisible(bool(words))
        self.editor.field.setAccessibleDescription(words or self.help.text())
        if self.note.property("kind") != kind:
            self.note.setProperty("kind", kind)
            restyle(self.note)

    # --- what the person does -----------------------------------------------------------------------------------------

    def _on_typed(self, raw: object) -> None:
        try:
            value = self.declaration.read(raw)
        except InvalidInput as error:
            self._show_bad(error)
            return
        if not self.editor.unfinished:
            self._show_note()
            return
        self.editor.show_bad(False)
        self._say(self._warning_of(value) or self.tr("Return saves it, Escape takes it back."))

    def _on_entered(self, raw: object) -> None:
        try:
            value = self.declaration.read(raw)
        except InvalidInput as error:
            self._show_bad(error)
            return
        if value == self._value:
            self.editor.show_value(value)
            self._show_note()
            return
        self._wish = value
        self.wished.emit(value)

    def _on_reset(self) -> None:
        self._wish = self._default
        self.editor.show_value(self._value)
        # The button goes away with the value: the way on is the field.
        self.editor.field.setFocus(Qt.FocusReason.OtherFocusReason)
        self.wished.emit(self._default)

    def _on_theme_changed(self) -> None:
        self.reset.setIcon(self._theme.icon("restart"))
