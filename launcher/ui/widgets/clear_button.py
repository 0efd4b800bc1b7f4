"""The button inside a field that empties it, with a name for those who do not see it."""

from __future__ import annotations

from PySide6.QtCore import QCoreApplication, Qt
from PySide6.QtGui import QKeySequence, QShortcut
from PySide6.QtWidgets import QLineEdit, QToolButton


def add_clear_button(field: QLineEdit) -> None:
    """Give ``field`` Qt's clear button; Esc in the field does the same."""
    add_named_clear_button(field)
    escape = QShortcut(QKeySequence(Qt.Key.Key_Escape), field)
    escape.setContext(Qt.ShortcutContext.WidgetShortcut)
    escape.activated.connect(field.clear)


def add_named_clear_button(field: QLineEdit) -> None:
    """Give ``field`` the button alone, where its page has a meaning for Esc of its own."""
    field.setClearButtonEnabled(True)
    words = QCoreApplication.translate("clear-button", "Empty the field")
    for button in field.findChildren(QToolButton):
        button.setObjectName(f"{field.objectName()}-clear-button")
        button.setAccessibleName(words)
        button.setToolTip(words)
