"""Questions that need an answer: a dialog is opened, and its result awaited, without a loop of its own.

The only module of the window that waits: for a future that the dialog completes. What is asked comes as facts
(:mod:`launcher.domain.questions`) and gets its words here. The button says the deed; the harmless one has the focus,
and Escape is it.
"""

# ruff: noqa: N802 - Qt names the methods that it calls

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import shiboken6
from PySide6.QtCore import QCoreApplication, Qt
from PySide6.QtGui import QShowEvent
from PySide6.QtWidgets import QDialog, QDialogButtonBox, QFileDialog, QPushButton, QVBoxLayout, QWidget

from launcher.domain.questions import DeleteModels, Question, QuitWhileDownloading
from launcher.ui.theme import TextKind
from launcher.ui.units import count_text, size_text
from launcher.ui.widgets.breakable import breakable
from launcher.ui.widgets.card import kind_label
from launcher.ui.widgets.program_dialog import ProgramDialog

_WIDTH = 440
_CHARACTERS = 62
_NAMES_SHOWN = 8


async def ask(dialog: QDialog) -> int:
    """Show ``dialog`` and wait for its result, as long as a person takes; it is gone afterwards.

    Cancelling closes it. Where its parent is destroyed meanwhile, nobody has agreed.
    """
    answer: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    def settle(result: int) -> None:
        if not answer.done():
            answer.set_result(result)

    dialog.finished.connect(settle)
    dialog.destroyed.connect(lambda: settle(QDialog.DialogCode.Rejected.value))
    try:
        dialog.open()
        return await answer
    finally:
        if shiboken6.isValid(dialog):
            dialog.hide()
            dialog.deleteLater()


class QuestionDialog(QDialog):
    """A title, sentences, perhaps names, and two buttons. Accepted: the deed may be done.

    ``refusal`` says what happens otherwise, where "Cancel" would say too little; ``harmful`` paints the deed as one
    that cannot be undone.
    """

    def __init__(
        self,
        title: str,
        sentences: Sequence[str],
        deed: str,
        parent: QWidget | None = None,
        *,
        names: Sequence[str] = (),
        refusal: str = "",
        harmful: bool = True,
    ) -> None:
        super().__init__(parent)
        self.setObjectName("question-dialog")
        self.setWindowTitle(title)
        self.setWindowModality(Qt.WindowModality.WindowModal)
        self.setFixedWidth(max(_WIDTH, self.fontMetrics().averageCharWidth() * _CHARACTERS))
        self._title = kind_label(breakable(title), TextKind.CARD_TITLE)
        self._title.setObjectName("question-title")
        self._title.setWordWrap(True)
        column = QVBoxLayout(self)
        column.setContentsMargins(24, 24, 24, 16)
        column.setSpacing(12)
        column.addWidget(self._title)
        texts = list(sentences)
        if names:
            shown = list(names[:_NAMES_SHOWN])
            if len(names) > len(shown):
                more = self.tr("and {count} more").format(count=count_text(len(names) - len(shown)))
                shown.append(more)
            texts.insert(0, "\n".join(shown))
        for text in texts:
            label = kind_label(breakable(text), TextKind.BODY)
            label.setProperty("kind", "second")
            label.setWordWrap(True)
            column.addWidget(label)
        column.addSpacing(4)
        self.setAccessibleName(title)
        self.setAccessibleDescription("\n".join(texts))

        self.deed_button = QPushButton(deed)
        self.deed_button.setObjectName("deed-button")
        self.deed_button.setAccessibleName(deed)
        if harmful:
            self.deed_button.setProperty("kind", "danger")
        self.deed_button.setAutoDefault(False)
        self.deed_button.clicked.connect(self.accept)
        self.cancel_button = QPushButton(refusal or self.tr("Cancel"))
        self.cancel_button.setObjectName("cancel-button")
        self.cancel_button.setAccessibleName(self.cancel_button.text())
        self.cancel_button.clicked.connect(self.reject)
        buttons = QDialogButtonBox()
        buttons.addButton(self.deed_button, QDialogButtonBox.ButtonRole.AcceptRole)
        buttons.addButton(self.cancel_button, QDialogButtonBox.ButtonRole.RejectRole)
        column.addWidget(buttons)
        # After the box, which makes the first button that accepts the default.
        self.deed_button.setDefault(False)
        self.cancel_button.setDefault(True)
        self.cancel_button.setFocus(Qt.FocusReason.OtherFocusReason)

    def showEvent(self, event: QShowEvent) -> None:
        # Only now the style sheet has its say on the type, and with it on where the lines break.
        self.setMinimumHeight(self.heightForWidth(self.width()))
        super().showEvent(event)


def question_dialog(question: Question, parent: QWidget | None = None) -> QuestionDialog:
    """Put a question into words."""
    match question:
        case DeleteModels():
            return _delete_models_dialog(question, parent)
        case QuitWhileDownloading():
            return _quit_dialog(question, parent)


def _tr(text: str) -> str:
    return QCoreApplication.translate("dialogs", text)


def _delete_models_dialog(question: DeleteModels, parent: QWidget | None) -> QuestionDialog:
    names, freed = question.names, size_text(question.freed_at_most_bytes)
    one = len(names) == 1
    count = count_text(len(names))
    title = _tr("Delete {name}?").format(name=names[0]) if one else _tr("Delete {count} models?").format(count=count)
    if question.freed_at_most_bytes:
        sentences = [_tr("Up to {size} come back on the disk; what other models share stays.").format(size=freed)]
    else:
        sentences = [_tr("Nothing comes back on the disk: other models share all of it.")]
    if question.loaded:
        if one:
            sentences.append(_tr("It is in memory now and is unloaded first."))
        elif len(question.loaded) == 1:
            sentences.append(_tr("{name} is in memory now and is unloaded first.").format(name=question.loaded[0]))
        else:
            loaded = count_text(len(question.loaded))
            sentences.append(_tr("{count} of them are in memory now and are unloaded first.").format(count=loaded))
    sentences.append(
        _tr("This cannot be undone: to have it again, download it again.")
        if one
        else _tr("This cannot be undone: to have them again, download them again.")
    )
    what = _tr("Delete 1 model") if one else _tr("Delete {count} models").format(count=count)
    deed = _tr("{what}, {size}").format(what=what, size=freed) if question.freed_at_most_bytes else what
    return QuestionDialog(title, sentences, deed, parent, names=() if one else names)


def _quit_dialog(question: QuitWhileDownloading, parent: QWidget | None) -> QuestionDialog:
    names = question.names
    one = len(names) == 1
    title = (
        _tr("Quit while {name} is being downloaded?").format(name=names[0])
        if one
        else _tr("Quit while {count} models are being downloaded?").format(count=count_text(len(names)))
    )
    sentence = (
        _tr("What has come so far is kept. The download goes on from there when you resume it after the next start.")
        if one
        else _tr("What has come so far is kept. They go on from there when you resume them after the next start.")
    )
    return QuestionDialog(
        title,
        [sentence],
        _tr("Quit and pause"),
        parent,
        names=() if one else names,
        refusal=_tr("Keep running"),
        harmful=False,
    )


class WindowAsk:
    """Asks in dialogs over ``window``."""

    def __init__(self, window: QWidget) -> None:
        self._window = window

    async def confirm(self, question: Question) -> bool:
        return await ask(question_dialog(question, self._window)) == QDialog.DialogCode.Accepted.value

    async def choose_program(self, start: str) -> str | None:
        dialog = ProgramDialog(self._window, start)
        chosen: list[str] = []
        dialog.fileSelected.connect(chosen.append)
        accepted = await ask(dialog) == QFileDialog.DialogCode.Accepted.value
        return chosen[-1] if accepted and chosen else None
