from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from PySide6.QtCore import Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication, QDialog, QFileDialog, QLabel, QLineEdit, QMessageBox, QPushButton, QWidget

from launcher.domain.questions import DeleteModels, QuitWhileDownloading
from launcher.loop import make_loop
from launcher.ui.dialogs import QuestionDialog, WindowAsk, ask, question_dialog
from launcher.ui.theme import Theme
from tests.support.waiting import eventually

pytestmark = [pytest.mark.anyio, pytest.mark.blocks_loop("the first dialog loads fonts")]

ONE = DeleteModels(("qwen3:8b",), 5_200_000_000, ("qwen3:8b",))
TWO = DeleteModels(("qwen3:8b", "pirate:latest"), 7_100_000_000)


@pytest.fixture
def anyio_backend(qapp: QApplication) -> tuple[str, dict[str, Any]]:
    return "asyncio", {"loop_factory": lambda: make_loop(qapp)}


@pytest.fixture(autouse=True)
def _goes_on_without_windows(qapp: QApplication) -> Iterator[None]:
    """As the launcher has it: the last window that closes must not end the loop."""
    before = qapp.quitOnLastWindowClosed()
    qapp.setQuitOnLastWindowClosed(False)
    yield
    qapp.setQuitOnLastWindowClosed(before)


@pytest.fixture
def window(qapp: QApplication, theme: Theme) -> Iterator[QWidget]:
    window = QWidget()
    window.resize(800, 600)
    window.show()
    yield window
    window.deleteLater()


def words(dialog: QDialog) -> str:
    # Without the places where a long name may be broken.
    return "\n".join(label.text() for label in dialog.findChildren(QLabel)).replace("\u200b", "")


async def opened(window: QWidget) -> QuestionDialog:
    await eventually(lambda: window.findChildren(QuestionDialog))
    return window.findChildren(QuestionDialog)[0]


@pytest.mark.parametrize(
    ("key", "agreed"),
    [
        pytest.param(Qt.Key.Key_Escape, False, id="Escape cancels"),
        pytest.param(Qt.Key.Key_Return, False, id="Return is the harmless one"),
        pytest.param(Qt.Key.Key_Space, False, id="so is Space"),
    ],
)
async def test_no_key_alone_deletes(window: QWidget, key: Qt.Key, agreed: bool) -> None:
    answer = asyncio.ensure_future(WindowAsk(window).confirm(ONE))
    dialog = await opened(window)
    assert dialog.isModal()
    await eventually(dialog.cancel_button.hasFocus)
    QTest.keyClick(dialog.cancel_button, key)
    assert await answer is agreed


async def test_the_button_that_says_the_deed_does_it(window: QWidget) -> None:
    answer = asyncio.ensure_future(WindowAsk(window).confirm(TWO))
    dialog = await opened(window)
    assert dialog.deed_button.text() == "Delete 2 models, 7.1 GB"
    QTest.mouseClick(dialog.deed_button, Qt.MouseButton.LeftButton)
    assert await answer is True
    await eventually(lambda: not window.findChildren(QuestionDialog), message="it is gone afterwards")


async def test_the_close_button_is_a_no(window: QWidget) -> None:
    answer = asyncio.ensure_future(WindowAsk(window).confirm(ONE))
    (await opened(window)).close()
    assert await answer is False


async def test_a_cancelled_question_goes_away(window: QWidget) -> None:
    answer = asyncio.ensure_future(WindowAsk(window).confirm(ONE))
    await opened(window)
    answer.cancel()
    with pytest.raises(asyncio.CancelledError):
        await answer
    await eventually(lambda: not window.findChildren(QuestionDialog))


async def test_a_window_that_goes_away_has_not_agreed(qapp: QApplication, theme: Theme) -> None:
    window = QWidget()
    window.show()
    answer = asyncio.ensure_future(WindowAsk(window).confirm(ONE))
    await opened(window)
    window.deleteLater()
    assert await answer is False


async def test_the_loop_goes_on_while_somebody_thinks(window: QWidget) -> None:
    answer = asyncio.ensure_future(WindowAsk(window).confirm(ONE))
    dialog = await opened(window)
    for _ in range(3):
        await asyncio.sleep(0)
    assert not answer.done()
    dialog.reject()
    assert await answer is False


async def test_any_dialog_can_be_awaited(window: QWidget) -> None:
    dialog = QDialog(window)
    answer = asyncio.ensure_future(ask(dialog))
    await eventually(dialog.isVisible)
    dialog.done(7)
    assert await answer == 7


async def test_a_program_is_chosen_among_files(window: QWidget, tmp_path: Any) -> None:
    path = tmp_path / "ollama"
    path.write_text("")
    answer = asyncio.ensure_future(WindowAsk(window).choose_program(str(tmp_path / "old")))
    await eventually(lambda: window.findChildren(QFileDialog))
    (dialog,) = window.findChildren(QFileDialog)
    await eventually(dialog.isVisible)
    assert dialog.directory().absolutePath() == str(tmp_path)
    field = dialog.findChild(QLineEdit, "fileNameEdit")
    assert field is not None
    field.setText(str(path))
    dialog.accept()
    assert await answer == str(path)


async def test_a_program_that_is_not_there_is_told_in_place(window: QWidget, tmp_path: Any) -> None:
    """Qt would open a message box with a loop of its own."""
    answer = asyncio.ensure_future(WindowAsk(window).choose_program(str(tmp_path / "old")))
    await eventually(lambda: window.findChildren(QFileDialog))
    (dialog,) = window.findChildren(QFileDialog)
    await eventually(dialog.isVisible)
    field = dialog.findChild(QLineEdit, "fileNameEdit")
    assert field is not None
    field.setText(str(tmp_path / "nowhere"))
    QTest.keyClick(field, Qt.Key.Key_Return)
    assert dialog.isVisible()
    assert not dialog.findChildren(QMessageBox)
    assert dialog.labelText(QFileDialog.DialogLabel.FileName) == "There is no such file:"
    assert not answer.done()
    dialog.reject()
    assert await answer is None


async def test_no_program_is_chosen(window: QWidget) -> None:
    answer = asyncio.ensure_future(WindowAsk(window).choose_program(""))
    await eventually(lambda: window.findChildren(QFileDialog))
    window.findChildren(QFileDialog)[0].reject()
    assert await answer is None


@pytest.mark.parametrize(
    ("question", "title", "deed", "said", "unsaid"),
    [
        pytest.param(
            ONE, "Delete qwen3:8b?", "Delete 1 model, 5.2 GB", ["It is in memory", "Up to 5.2 GB"], [], id="1"
        ),
        pytest.param(
            TWO, "Delete 2 models?", "Delete 2 models, 7.1 GB", ["pirate:latest", "share stays"], ["memory"], id="2"
        ),
        pytest.param(
            DeleteModels(("mine:latest",), 0),
            "Delete mine:latest?",
            "Delete 1 model",
            ["Nothing comes back"],
            ["Up to"],
            id="a copy",
        ),
        pytest.param(
            DeleteModels(("a", "b", "c"), 1, ("b",)),
            "Delete 3 models?",
            "Delete 3 models, 1 B",
            ["b is in"],
            [],
            id="3",
        ),
        pytest.param(
            DeleteModels(("a", "b", "c"), 1, ("b", "c")),
            "Delete 3 models?",
            "Delete 3 models, 1 B",
            ["2 of them are in memory"],
            [],
            id="several in memory",
        ),
        pytest.param(
            DeleteModels(tuple(f"m{n}" for n in range(20)), 9),
            "Delete 20 models?",
            "Delete 20 models, 9 B",
            ["m0\n", "m7", "and 12 more"],
            ["m8"],
            id="many",
        ),
    ],
)
async def test_the_words_are_honest(
    theme: Theme, question: DeleteModels, title: str, deed: str, said: list[str], unsaid: list[str]
) -> None:
    dialog = question_dialog(question)
    assert dialog.windowTitle() == title
    assert dialog.deed_button.text() == deed
    for text in said:
        assert text in words(dialog)
    for text in unsaid:
        assert text not in words(dialog)
    dialog.deleteLater()


@pytest.mark.parametrize(
    ("names", "title", "said"),
    [
        pytest.param(("qwen3:8b",), "Quit while qwen3:8b is being downloaded?", ["kept", "resume it"], id="1"),
        pytest.param(("a:1b", "b:1b"), "Quit while 2 models are being downloaded?", ["a:1b\nb:1b", "resume"], id="2"),
    ],
)
async def test_to_quit_is_no_danger(theme: Theme, names: tuple[str, ...], title: str, said: list[str]) -> None:
    dialog = question_dialog(QuitWhileDownloading(names))
    assert dialog.windowTitle() == title
    assert (dialog.deed_button.text(), dialog.cancel_button.text()) == ("Quit and pause", "Keep running")
    assert dialog.deed_button.property("kind") is None
    assert all(text in words(dialog) for text in said)
    dialog.deleteLater()


async def test_names_are_never_mark_up(theme: Theme) -> None:
    dialog = question_dialog(DeleteModels(("<b>x</b>",), 1))
    assert all(label.textFormat() is Qt.TextFormat.PlainText for label in dialog.findChildren(QLabel))
    assert "<b>x</b>" in words(dialog)
    dialog.deleteLater()


async def test_everything_has_a_name(theme: Theme) -> None:
    dialog = question_dialog(TWO)
    for button in dialog.findChildren(QPushButton):
        assert button.objectName()
        assert button.accessibleName()
    assert dialog.accessibleName() == "Delete 2 models?"
    assert "7.1 GB" in dialog.accessibleDescription()
    dialog.deleteLater()
