"""The dialog that chooses the ``ollama`` program among the files.

Qt's own file dialog opens message boxes with a loop of their own: for a name that is not there, and for what its menu
can do to files. Both are kept from it, as the application has one loop.
"""

from __future__ import annotations

import os

from PySide6.QtCore import QCoreApplication
from PySide6.QtWidgets import QFileDialog, QWidget


class ProgramDialog(QFileDialog):
    """Begins in the folder of ``start``; whoever asks for it opens it. Says in place that a file is not there."""

    def __init__(self, parent: QWidget, start: str = "") -> None:
        super().__init__(parent, _tr("Choose the Ollama program"))
        self.setObjectName("program-dialog")
        self.setFileMode(QFileDialog.FileMode.ExistingFile)
        # No renaming, deleting and making of folders, each with its own box where it fails.
        self.setOption(QFileDialog.Option.ReadOnly)
        self.setLabelText(QFileDialog.DialogLabel.Accept, _tr("Use this program"))
        folder = os.path.dirname(start)
        if folder and os.path.isdir(folder):
            self.setDirectory(folder)

    def accept(self) -> None:
        """Called by the button and by Return; the dialog stays open on what cannot be."""
        chosen = self.selectedFiles()
        if chosen and not os.path.exists(os.path.expandvars(chosen[0])):
            self.setLabelText(QFileDialog.DialogLabel.FileName, _tr("There is no such file:"))
            return
        super().accept()


def _tr(text: str) -> str:
    return QCoreApplication.translate("settings", text)
