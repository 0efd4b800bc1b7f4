"""One message at a time, one for each cause, and everything in it can be reached by keyboard."""

from __future__ import annotations

import pytest
from PySide6.QtCore import Qt
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QLabel, QPushButton

from launcher.errors import LauncherError
from launcher.ui.theme import Theme
from launcher.ui.widgets.message_bar import MessageAction, MessageBar

NOT_FOUND = LauncherError("There is no such model.", hint="Look at the name.", detail="HTTP 500: file does not exist")
REFUSED = LauncherError("The model could not be deleted.", hint="Try again.")


@pytest.fixture
def bar(theme: Theme, qtbot) -> MessageBar:
    bar = MessageBar(theme)
    qtbot.addWidget(bar)
    bar.resize(800, 100)
    return bar


def _texts(bar: MessageBar) -> list[str]:
    return [label.text() for label in bar.findChildren(QLabel) if label.isVisibleTo(bar) and label.text()]


def _buttons(bar: MessageBar) -> list[str]:
    return [each.objectName() for each in bar.findChildren(QPushButton) if each.isVisibleTo(bar)]


def _button(bar: MessageBar, name: str) -> QPushButton:
    return bar.findChild(QPushButton, f"message-{name}-button")


def _click(qtbot, bar: MessageBar, name: str) -> None:
    qtbot.mouseClick(_button(bar, name), Qt.MouseButton.LeftButton)


def test_nothing_to_say_takes_no_room(bar: MessageBar) -> None:
    assert bar.isHidden()
    assert bar.current is None


def test_an_error_says_what_happened_and_what_to_do(bar: MessageBar) -> None:
    bar.show_error(NOT_FOUND)

    assert not bar.isHidden()
    assert _texts(bar) == ["There is no such model.", "Look at the name."]
    assert bar.accessibleName() == "There is no such model."
    assert bar.accessibleDescription() == "Look at the name."
    assert set(_buttons(bar)) == {"message-details-button", "message-close-button"}


def test_details_are_folded_until_asked_for_and_can_be_copied(bar: MessageBar, qtbot) -> None:
    bar.show_error(NOT_FOUND)
    assert NOT_FOUND.detail not in _texts(bar)

    _click(qtbot, bar, "details")
    assert NOT_FOUND.detail in _texts(bar)
    _click(qtbot, bar, "copy")
    assert QGuiApplication.clipboard().text() == "\n".join((NOT_FOUND.title, NOT_FOUND.hint, NOT_FOUND.detail))

    _click(qtbot, bar, "details")
    assert NOT_FOUND.detail not in _texts(bar)


def test_without_details_there_is_nothing_to_unfold(bar: MessageBar) -> None:
    bar.show_error(REFUSED)

    assert _buttons(bar) == ["message-close-button"]


def test_the_next_message_comes_folded(bar: MessageBar, qtbot) -> None:
    bar.show_error(NOT_FOUND)
    _click(qtbot, bar, "details")

    bar.show_error(LauncherError("Another.", detail="secret"))

    assert _texts(bar) == ["Another."]
    assert "message-copy-button" not in _buttons(bar)


def test_an_action_is_done_once_and_ends_the_message(bar: MessageBar, qtbot) -> None:
    done: list[str] = []
    bar.show_error(NOT_FOUND, MessageAction("Search for it", lambda: done.append("searched")))
    assert _button(bar, "action").text() == "Search for it"
    assert _button(bar, "action").accessibleName() == "Search for it"

    _click(qtbot, bar, "action")

    assert done == ["searched"]
    assert bar.isHidden()


def test_an_action_may_have_something_to_say_itself(bar: MessageBar, qtbot) -> None:
    bar.show_error(NOT_FOUND, MessageAction("Try again", lambda: bar.show_error(REFUSED)))

    _click(qtbot, bar, "action")

    assert _texts(bar)[0] == REFUSED.title


def test_one_cause_has_one_message(bar: MessageBar, qtbot) -> None:
    for _ in range(3):
        bar.show_error(NOT_FOUND)
    _click(qtbot, bar, "close")

    assert bar.isHidden()


def test_the_later_word_about_a_cause_replaces_the_earlier(bar: MessageBar) -> None:
    bar.show_error(NOT_FOUND, cause="pull qwen3:8b")
    bar.show_error(REFUSED)
    bar.show_note("The download goes on.", cause="pull qwen3:8b")

    assert _texts(bar) == ["The download goes on."]
    bar.dismiss()
    assert _texts(bar)[0] == REFUSED.title
    bar.dismiss()
    assert bar.isHidden()


def test_other_causes_wait_behind(bar: MessageBar, qtbot) -> None:
    bar.show_error(NOT_FOUND)
    bar.show_error(REFUSED)
    assert _texts(bar)[0] == REFUSED.title

    _click(qtbot, bar, "close")
    assert _texts(bar)[0] == NOT_FOUND.title


def test_a_cause_that_is_gone_is_not_told_any_more(bar: MessageBar) -> None:
    bar.show_error(NOT_FOUND, cause="pull")
    bar.show_error(REFUSED, cause="delete")

    bar.clear("pull")
    assert _texts(bar)[0] == REFUSED.title
    bar.clear("delete")
    assert bar.isHidden()
    bar.clear("never said")


def test_escape_dismisses(bar: MessageBar, qtbot) -> None:
    bar.show_error(REFUSED)

    qtbot.keyClick(bar, Qt.Key.Key_Escape)

    assert bar.isHidden()


def test_what_a_server_says_is_no_markup(bar: MessageBar) -> None:
    bar.show_error(LauncherError("<img src='file:///dev/zero'>", hint="<b>no</b>", detail="<a href='x'>y</a>"))

    assert {label.textFormat() for label in bar.findChildren(QLabel)} == {Qt.TextFormat.PlainText}
    assert _texts(bar)[0] == "<img src='file:///dev/zero'>"


def test_a_long_message_wraps_and_is_shown_whole(bar: MessageBar, qtbot) -> None:
    bar.show()
    bar.resize(500, 60)
    short = bar.heightForWidth(500) if bar.hasHeightForWidth() else bar.sizeHint().height()
    bar.show_error(LauncherError("Ollama could not be started. " * 8, hint="Look at the log. " * 10))

    needed = bar.heightForWidth(500) if bar.hasHeightForWidth() else bar.sizeHint().height()
    assert needed > short
    bar.hide()


def test_sliding_in_ends_at_full_height(bar: MessageBar, qtbot) -> None:
    bar.window().show()
    bar.dismiss()
    with qtbot.waitSignal(bar.settled, timeout=3000):
        bar.show_error(NOT_FOUND)
        if bar.maximumHeight() > 10_000:
            pytest.fail("it was there at once")

    assert bar.maximumHeight() > 10_000
    bar.window().hide()


def test_buttons_give_way_to_the_words(bar: MessageBar, qtbot) -> None:
    bar.show_error(NOT_FOUND, MessageAction("Search for a model of this name", lambda: None))
    action, title = _button(bar, "action"), bar.findChildren(QLabel)[0]
    for width, beside in ((1000, True), (420, False), (1000, True)):
        bar.resize(width, 100)
        bar.layout().activate()
        qtbot.waitUntil(lambda beside=beside: (action.geometry().top() < title.geometry().bottom()) is beside)
