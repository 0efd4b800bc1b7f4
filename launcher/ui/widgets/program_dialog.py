"""The dialog that chooses the ``ollama`` program among the files."""

from __future__ import annotations

import os

from PySide6.QtCore import QCoreApplication
from PySide6.QtWidgets import QFileDialog, QWidget


def program_dialog(parent: QWidget, start: str = "") -> QFileDialog:
    """Make the dialog, beginning in the folder of ``start``; whoever asks for it opens it."""
    dialog = QFileDialog(parent, QCoreApplication.translate("settings", "Choose the Ollama program"))
    dialog.setObjectName("program-dialog")
    dialog.setFileMode(QFileDialog.FileMode.ExistingFile)
    dialog.setLabelText(QFileDialog.DialogLabel.Accept, QCoreApplication.translate("settings", "Use this program"))
    folder = os.path.dirname(start)
    if folder:
        dialog.setDirectory(folder)
    return dialog
