"""The one box for what nobody expected: a sentence, what was going on, and a way to pass it on.

It gets text that is fit to be shown to strangers and knows neither where it is from nor what follows.
"""

from __future__ import annotations

from PySide6.QtGui import QFontDatabase, QGuiApplication
from PySide6.QtWidgets import QDialog, QDialogButtonBox, QPlainTextEdit, QPushButton, QVBoxLayout, QWidget

from launcher.ui.theme import TextKind
from launcher.ui.widgets.card import kind_label

_SIZE = (640, 420)


class CrashReport(QDialog):
    """Show with ``open()``. :meth:`add` appends what else goes wrong while it is open: there is never a second one."""

    def __init__(self, report: str, *, ends: bool, parent: QWidget | None = None) -> None:
        """``ends``: the launcher cannot go on and quits when this is closed."""
        super().__init__(parent)
        self.setObjectName("crash-report")
        self.setWindowTitle(self.tr("Something went wrong"))
        self.resize(*_SIZE)
        self._quits = self.tr("The launcher has met a fault of its own and has to quit. Ollama's models are safe.")
        goes_on = self.tr("The launcher has met a fault of its own. It goes on, but something may not work.")
        self._title = kind_label(self._quits if ends else goes_on, TextKind.CARD_TITLE)
        self._title.setWordWrap(True)
        hint = kind_label(
            self.tr("If it happens again, please report it and add the text below. Secrets were removed from it."),
            TextKind.BODY,
        )
        hint.setWordWrap(True)
        self._text = QPlainTextEdit(report)
        self._text.setObjectName("crash-report-text")
        self._text.setAccessibleName(self.tr("Report"))
        self._text.setReadOnly(True)
        self._text.setTabChangesFocus(True)
        self._text.setFont(QFontDatabase.systemFont(QFontDatabase.SystemFont.FixedFont))
        self._copy = QPushButton(self.tr("Copy the report"))
        self._copy.setObjectName("crash-report-copy")
        self._copy.clicked.connect(self._on_copy_clicked)
        self._close = QPushButton()
        self._close.setObjectName("crash-report-close")
        self._close.setDefault(True)
        self._close.clicked.connect(self.accept)
        buttons = QDialogButtonBox()
        buttons.addButton(self._copy, QDialogButtonBox.ButtonRole.ActionRole)
        buttons.addButton(self._close, QDialogButtonBox.ButtonRole.AcceptRole)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(24, 24, 24, 16)
        layout.setSpacing(12)
        layout.addWidget(self._title)
        layout.addWidget(hint)
        layout.addWidget(self._text, 1)
        layout.addWidget(buttons)
        self.ends = ends
        self._show_ending()

    @property
    def report(self) -> str:
        return self._text.toPlainText()

    def add(self, report: str, *, ends: bool) -> None:
        """Append another fault."""
        self._text.appendPlainText("\n" + report)
        self.ends = self.ends or ends
        self._show_ending()

    def _show_ending(self) -> None:
        if self.ends:
            self._title.setText(self._quits)
        words = self.tr("Quit") if self.ends else self.tr("Go on")
        self._close.setText(words)
        self._close.setAccessibleName(words)

    def _on_copy_clicked(self) -> None:
        QGuiApplication.clipboard().setText(self.report)
        self._copy.setText(self.tr("Copied"))
