"""The log is followed until somebody scrolls up, filtered, copied, and bounded."""

from __future__ import annotations

import pytest
from PySide6.QtCore import Qt
from PySide6.QtGui import QGuiApplication, QKeySequence, QTextCursor
from PySide6.QtWidgets import QLabel, QPushButton

from launcher.domain.server import Owner
from launcher.ui.pages import log
from launcher.ui.pages.log import LogPage
from launcher.ui.store import Store
from launcher.ui.theme import Appearance, Role, Theme


@pytest.fixture
def page(store: Store, theme: Theme, qtbot) -> LogPage:
    page = LogPage(store, theme)
    qtbot.addWidget(page)
    page.resize(700, 400)
    page.show()
    qtbot.waitExposed(page)
    return page


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """A bound that a test reaches: 100 lines, put on screen 30 at a time."""
    monkeypatch.setattr(log, "MOST_LINES", 100)
    monkeypatch.setattr(log, "_BATCH", 30)


def _shown(page: LogPage) -> list[str]:
    return page.text.toPlainText().split("\n") if page.text.isVisible() else []


def _count(page: LogPage) -> str:
    return page.findChild(QLabel, "log-count").text()


def _lines(first: int, last: int) -> list[str]:
    return [f"line {number}" for number in range(first, last)]


def _filter(page: LogPage, qtbot, text: str) -> None:
    page.filter_field.setText(text)
    qtbot.keyClick(page.filter_field, Qt.Key.Key_Return)


def test_without_a_log_it_says_when_there_will_be_one(page: LogPage, store: Store, qtbot, make_status) -> None:
    words = {label.text() for label in page.findChildren(QLabel) if label.isVisible()}
    assert "No log yet" in words
    store.put(make_status(owner=Owner.UNKNOWN))
    words = {label.text() for label in page.findChildren(QLabel) if label.isVisible()}
    assert "No log here" in words
    with qtbot.waitSignal(page.page_requested) as asked:
        qtbot.mouseClick(page.findChild(QPushButton, "log-to-server-button"), Qt.MouseButton.LeftButton)
    assert asked.args == ["server"]
    for control in (page.filter_field, page.follow_box, page.copy_button):
        assert not control.isVisible()


def test_lines_come_in_order_and_are_counted(page: LogPage, qtbot) -> None:
    page.append(["one", "two"])
    page.append(["three"])
    qtbot.waitUntil(lambda: _shown(page) == ["one", "two", "three"])
    assert _count(page) == "3 lines"


def test_lines_are_text_and_nothing_else(page: LogPage, qtbot) -> None:
    page.append(["<b>bold</b>", "\x1b[31mred\x1b[0m", "a\tb", "\x00nul"])
    qtbot.waitUntil(lambda: bool(_shown(page)))
    assert _shown(page) == ["<b>bold</b>", "[31mred[0m", "a\tb", "nul"]


@pytest.mark.parametrize(
    ("line", "role"),
    [
        ("time=2026-11-21T08:00:00.123Z level=ERROR source=x.go:1 msg=y", Role.BAD),
        ("time=2026-11-21T08:00:00.123Z level=WARN source=x.go:1 msg=y", Role.WARN),
        ("time=2026-11-21T08:00:00.123Z level=INFO source=x.go:1 msg=y", None),
        ("[GIN] 2026/11/21 - 08:01:00 | 200 | GET /level", None),
        ("x" * 100 + "level=ERROR", None),
    ],
    ids=["error", "warning", "info", "request", "said later in the line"],
)
def test_lines_have_the_colour_of_their_level(page: LogPage, theme: Theme, qtbot, line: str, role: Role | None) -> None:
    page.append([line])
    qtbot.waitUntil(lambda: bool(_shown(page)))
    for appearance in (Appearance.LIGHT, Appearance.DARK):
        theme.apply(appearance)
        formats = page.text.document().firstBlock().layout().formats()
        assert [each.format.foreground().color() for each in formats] == ([theme.color(role)] if role else [])


def test_it_keeps_the_newest_lines(small: None, store: Store, theme: Theme, qtbot) -> None:
    page = LogPage(store, theme)
    qtbot.addWidget(page)
    page.show()
    page.append(_lines(0, 90))
    page.append(_lines(90, 250))
    qtbot.waitUntil(lambda: _shown(page) == _lines(150, 250))
    assert _count(page) == "100 lines"


def test_lines_of_a_hidden_page_are_shown_later(page: LogPage, qtbot) -> None:
    page.hide()
    page.append(_lines(0, 5))
    assert page.text.toPlainText() == ""
    page.show()
    qtbot.waitUntil(lambda: _shown(page) == _lines(0, 5))


def test_it_follows_until_somebody_scrolls_up_and_again_at_the_end(page: LogPage, qtbot) -> None:
    bar = page.text.verticalScrollBar()
    page.append(_lines(0, 200))
    qtbot.waitUntil(lambda: bar.maximum() > 0 and bar.value() == bar.maximum())
    assert page.following

    bar.setValue(20)
    assert not page.following
    page.append(_lines(200, 300))
    qtbot.waitUntil(lambda: page.text.blockCount() == 300)
    assert bar.value() == 20

    bar.setValue(bar.maximum())
    assert page.following
    page.append(_lines(300, 310))
    qtbot.waitUntil(lambda: page.text.blockCount() == 310)
    assert bar.value() == bar.maximum()


def test_it_follows_when_there_is_less_room(page: LogPage, qtbot) -> None:
    bar = page.text.verticalScrollBar()
    page.append(_lines(0, 200))
    qtbot.waitUntil(lambda: bar.maximum() > 0 and bar.value() == bar.maximum())
    before = bar.maximum()
    page.resize(700, 250)
    qtbot.waitUntil(lambda: bar.maximum() > before and bar.value() == bar.maximum())
    assert page.following


def test_follow_by_the_box_goes_to_the_end(page: LogPage, qtbot) -> None:
    bar = page.text.verticalScrollBar()
    page.append(_lines(0, 200))
    qtbot.waitUntil(lambda: bar.maximum() > 0)
    bar.setValue(0)
    qtbot.keyClick(page.follow_box, Qt.Key.Key_Space)
    assert bar.value() == bar.maximum()
    assert page.following


def test_what_is_read_stays_in_place_when_old_lines_go(small: None, store: Store, theme: Theme, qtbot) -> None:
    page = LogPage(store, theme)
    qtbot.addWidget(page)
    page.resize(500, 300)
    page.show()
    page.append(_lines(0, 100))
    qtbot.waitUntil(lambda: page.text.blockCount() == 100)
    page.text.verticalScrollBar().setValue(60)
    assert page.text.firstVisibleBlock().text() == "line 60"

    page.append(_lines(100, 125))
    qtbot.waitUntil(lambda: page.text.document().lastBlock().text() == "line 124")
    assert page.text.firstVisibleBlock().text() == "line 60"
    assert not page.following


def test_the_filter_shows_what_has_the_text_in_any_case(page: LogPage, qtbot) -> None:
    page.append(["level=INFO one", "level=ERROR two", "level=info three"])
    qtbot.waitUntil(lambda: len(_shown(page)) == 3)
    _filter(page, qtbot, "Info")
    qtbot.waitUntil(lambda: _shown(page) == ["level=INFO one", "level=info three"])
    assert _count(page) == "2 of 3 lines"

    page.append(["level=INFO four", "level=WARN five"])
    qtbot.waitUntil(lambda: _shown(page)[-1] == "level=INFO four")
    assert _count(page) == "3 of 5 lines"

    _filter(page, qtbot, "")
    qtbot.waitUntil(lambda: len(_shown(page)) == 5)


def test_typing_alone_filters_too(page: LogPage, qtbot) -> None:
    page.append(["one", "two"])
    qtbot.keyClicks(page.filter_field, "tw")
    qtbot.waitUntil(lambda: _shown(page) == ["two"])


def test_escape_empties_the_filter(page: LogPage, qtbot) -> None:
    page.append(["one", "two"])
    _filter(page, qtbot, "tw")
    page.activateWindow()
    page.filter_field.setFocus()
    qtbot.keyClick(page.filter_field, Qt.Key.Key_Escape)
    qtbot.waitUntil(lambda: _shown(page) == ["one", "two"])


def test_a_filter_that_nothing_matches_can_be_taken_away(page: LogPage, qtbot) -> None:
    page.append(["one"])
    _filter(page, qtbot, "xyz")
    assert not page.text.isVisible()
    assert not page.copy_button.isEnabled()
    qtbot.mouseClick(page.findChild(QPushButton, "log-clear-filter-button"), Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: _shown(page) == ["one"])


def test_copy_takes_the_selection_or_all_that_is_shown(page: LogPage, qtbot) -> None:
    page.append(["one", "two", "three"])
    qtbot.waitUntil(lambda: len(_shown(page)) == 3)
    qtbot.mouseClick(page.copy_button, Qt.MouseButton.LeftButton)
    assert QGuiApplication.clipboard().text() == "one\ntwo\nthree"

    cursor = page.text.textCursor()
    cursor.setPosition(0)
    cursor.setPosition(7, QTextCursor.MoveMode.KeepAnchor)
    page.text.setTextCursor(cursor)
    assert page.copy_button.text().strip() == "Copy selection"
    qtbot.mouseClick(page.copy_button, Qt.MouseButton.LeftButton)
    assert QGuiApplication.clipboard().text() == "one\ntwo"


def test_copy_all_takes_what_the_filter_shows(page: LogPage, qtbot) -> None:
    page.append(["one", "two"])
    _filter(page, qtbot, "o")
    _filter(page, qtbot, "tw")
    qtbot.mouseClick(page.copy_button, Qt.MouseButton.LeftButton)
    assert QGuiApplication.clipboard().text() == "two"


def test_ctrl_f_goes_to_the_filter(page: LogPage, qtbot) -> None:
    page.append(["one"])
    qtbot.waitUntil(lambda: bool(_shown(page)))
    page.activateWindow()
    page.text.setFocus()
    qtbot.keySequence(page.text, QKeySequence(QKeySequence.StandardKey.Find))
    assert page.filter_field.hasFocus()


def test_the_folder_is_wished(page: LogPage, qtbot) -> None:
    with qtbot.waitSignal(page.open_folder_requested):
        qtbot.mouseClick(page.findChild(QPushButton, "log-folder-button"), Qt.MouseButton.LeftButton)


def test_another_log_begins_empty(page: LogPage, qtbot) -> None:
    page.append(["one"])
    page.clear()
    assert page.text.toPlainText() == ""
    page.append(["two"])
    qtbot.waitUntil(lambda: _shown(page) == ["two"])
    assert _count(page) == "1 line"


def test_a_long_line_does_not_pull_the_view_aside(page: LogPage, qtbot) -> None:
    page.append(["x" * 2000 for _ in range(50)])
    bar = page.text.horizontalScrollBar()
    qtbot.waitUntil(lambda: bar.maximum() > 0)
    assert bar.value() == 0


def test_what_comes_at_once_is_spread_over_frames(small: None, store: Store, theme: Theme, qtbot) -> None:
    page = LogPage(store, theme)
    qtbot.addWidget(page)
    page.show()
    page.append(_lines(0, 100))
    assert 0 < page.text.blockCount() <= 31
    qtbot.waitUntil(lambda: _shown(page) == _lines(0, 100))
