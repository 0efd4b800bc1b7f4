"""The frame: pages in their order, ways to them by mouse and keyboard, and what gives way in a small window."""

from __future__ import annotations

import re
import sys

import pytest
from PySide6.QtCore import QSize, Qt
from PySide6.QtGui import QAccessible
from PySide6.QtWidgets import QLabel, QLineEdit, QPushButton, QVBoxLayout, QWidget

from launcher.domain.transfer import Phase
from launcher.errors import LauncherError
from launcher.ui.main_window import ICONS_ONLY_BELOW, PAGE_ORDER, MainWindow
from launcher.ui.store import Store
from launcher.ui.theme import Theme
from launcher.ui.widgets.side_bar import SideBar

PAGES = {"server": "server", "models": "models", "downloads": "download", "log": "log", "settings": "settings"}


def _page(key: str) -> QWidget:
    page = QWidget()
    page.setObjectName(f"{key}-page")
    layout = QVBoxLayout(page)
    layout.addWidget(QLabel(f"This is {key}."))
    for name in ("first", "second"):
        field = QLineEdit()
        field.setObjectName(f"{key}-{name}")
        field.setAccessibleName(name)
        layout.addWidget(field)
    return page


@pytest.fixture
def window(store: Store, theme: Theme, qtbot) -> MainWindow:
    window = MainWindow(store, theme)
    qtbot.addWidget(window, before_close_func=lambda window: window.hide())
    for key, icon in PAGES.items():
        window.add_page(key, key.title(), icon, _page(key))
    return window


def _entries(window: MainWindow) -> list[QPushButton]:
    """From top to foot, as they are seen."""
    bar = window.findChild(SideBar)
    return sorted(bar.findChildren(QPushButton), key=lambda entry: entry.mapTo(window, entry.rect().topLeft()).y())


def _shown(window: MainWindow, qtbot) -> MainWindow:
    window.show()
    qtbot.waitExposed(window)
    window.activateWindow()
    qtbot.waitUntil(window.isActiveWindow)
    return window


def test_the_first_page_added_is_shown(window: MainWindow) -> None:
    assert window.page == "server"
    assert window.page_widget("server").isVisibleTo(window)
    assert not window.page_widget("models").isVisibleTo(window)


def test_entries_stand_in_their_order_with_settings_at_the_foot(store, theme, qtbot) -> None:
    window = MainWindow(store, theme)
    qtbot.addWidget(window, before_close_func=lambda window: window.hide())
    for key in ("settings", "log", "server", "models"):
        window.add_page(key, key.title(), PAGES[key], _page(key))
    _shown(window, qtbot)

    assert [entry.text().strip() for entry in _entries(window)] == ["Server", "Models", "Log", "Settings"]
    *upper, foot = _entries(window)
    bar = window.findChild(SideBar)
    assert bar.height() - foot.geometry().bottom() < 30
    assert upper[-1].geometry().bottom() < bar.height() / 2
    assert window.page == "settings"
    window.hide()


def test_every_place_in_the_order_is_a_page_that_may_come() -> None:
    assert PAGE_ORDER[0] == "server"
    assert PAGE_ORDER[-1] == "settings"
    assert len(PAGE_ORDER) <= 9  # Ctrl+1 to Ctrl+9


@pytest.mark.parametrize(("number", "key"), list(enumerate(PAGES, start=1)))
def test_ctrl_and_a_number_shows_the_page(window: MainWindow, qtbot, number: int, key: str) -> None:
    _shown(window, qtbot)
    window.show_page("log" if key == "server" else "server")

    qtbot.keyClick(window, getattr(Qt.Key, f"Key_{number}"), Qt.KeyboardModifier.ControlModifier)

    assert window.page == key
    window.hide()


def test_a_number_without_a_page_does_nothing(window: MainWindow, qtbot) -> None:
    _shown(window, qtbot)

    qtbot.keyClick(window, Qt.Key.Key_8, Qt.KeyboardModifier.ControlModifier)

    assert window.page == "server"
    window.hide()


def test_a_click_in_the_side_bar_shows_the_page(window: MainWindow, qtbot) -> None:
    with qtbot.waitSignal(window.page_changed) as changed:
        qtbot.mouseClick(window.findChild(QPushButton, "log-page-button"), Qt.MouseButton.LeftButton)

    assert changed.args == ["log"]
    assert window.page == "log"
    assert window.findChild(QPushButton, "log-page-button").isChecked()
    assert not window.findChild(QPushButton, "server-page-button").isChecked()


def test_a_click_in_the_footer_shows_the_page_it_speaks_of(window: MainWindow, qtbot, make_transfer, store) -> None:
    store.put((make_transfer(permille=10),))
    window.footer.page_requested.emit("downloads")
    assert window.page == "downloads"
    window.footer.page_requested.emit("discover")
    assert window.page == "downloads"


def test_a_page_may_be_built_when_it_is_first_shown(window: MainWindow, qtbot) -> None:
    built: list[str] = []

    def build() -> QWidget:
        built.append("chat")
        return _page("chat")

    window.add_page("chat", "Chat", "chat", build)
    assert built == []

    window.show_page("chat")
    window.show_page("server")
    window.show_page("chat")

    assert built == ["chat"]
    assert window.page_widget("chat").objectName() == "chat-page"


def test_downloads_show_their_count(window: MainWindow, store: Store, make_transfer) -> None:
    entry = window.findChild(QPushButton, "downloads-page-button")
    store.put((make_transfer(), make_transfer("b:1", Phase.QUEUED), make_transfer("c:1", Phase.DONE)))
    # What is paused waits for a person, and is none of what goes on.
    store.put((*store.transfers, make_transfer("d:1", Phase.PAUSED)))
    assert entry.text().split() == ["Downloads", "2"]
    assert entry.accessibleName().split() == ["Downloads", "2"]

    store.put(())
    assert entry.text().strip() == "Downloads"


def test_a_small_window_has_icons_with_tooltips(window: MainWindow, qtbot) -> None:
    _shown(window, qtbot)
    bar = window.findChild(SideBar)
    window.resize(ICONS_ONLY_BELOW, 520)
    assert [entry.text().strip() for entry in _entries(window)] == [key.title() for key in PAGES]
    assert all(not entry.toolTip() for entry in _entries(window))
    wide = bar.width()

    window.resize(ICONS_ONLY_BELOW - 1, 520)

    assert all(not entry.text() for entry in _entries(window))
    assert [entry.toolTip() for entry in _entries(window)] == [key.title() for key in PAGES]
    assert [entry.accessibleName() for entry in _entries(window)] == [key.title() for key in PAGES]
    assert bar.width() < wide / 2
    window.hide()


def test_an_entry_has_its_icon_from_the_first(window: MainWindow) -> None:
    entry = window.findChild(QPushButton, "server-page-button")
    assert entry is not None

    assert not entry.icon().pixmap(QSize(20, 20)).toImage().allGray()


def test_closing_is_only_wished_for(window: MainWindow, qtbot) -> None:
    _shown(window, qtbot)

    with qtbot.waitSignal(window.closing):
        assert not window.close()

    assert window.isVisible()
    window.hide()


def test_a_simulated_one_says_so_in_its_title(store, theme, qtbot) -> None:
    plain, demo = MainWindow(store, theme), MainWindow(store, theme, demo=True)
    for window in (plain, demo):
        qtbot.addWidget(window, before_close_func=lambda window: window.hide())

    assert plain.windowTitle() == "Ollama Launcher"
    assert demo.windowTitle() == "Ollama Launcher – simulated"


def test_messages_stand_above_every_page(window: MainWindow, qtbot) -> None:
    _shown(window, qtbot)
    window.message_bar.show_error(LauncherError("No."))

    for key in ("server", "log"):
        window.show_page(key)
        assert window.message_bar.isVisible()
        page = window.page_widget(key)
        assert window.message_bar.mapTo(window, window.message_bar.rect().topLeft()).y() == 0
        qtbot.waitUntil(
            lambda page=page: page.mapTo(window, page.rect().topLeft()).y() >= window.message_bar.height() > 20
        )
    window.hide()


def test_tab_goes_round_as_people_read(window: MainWindow, qtbot, make_status, store: Store) -> None:
    store.put(make_status())
    window.show_page("log")
    window.message_bar.show_error(LauncherError("No.", detail="why"))
    _shown(window, qtbot)
    walked: list[str] = []
    for _ in range(12):
        qtbot.keyClick(window.focusWidget() or window, Qt.Key.Key_Tab)
        walked.append(window.focusWidget().objectName())

    once = list(dict.fromkeys(walked))
    assert once == [
        "log-page-button",
        "message-details-button",
        "message-close-button",
        "log-first",
        "log-second",
        "footer-state",
        "footer-version",
    ]
    assert walked[len(once)] == once[0]

    qtbot.keyClick(window.focusWidget(), Qt.Key.Key_Backtab)
    assert window.focusWidget().objectName() == walked[-2]
    window.hide()


def test_arrows_go_through_the_side_bar(window: MainWindow, qtbot) -> None:
    _shown(window, qtbot)
    qtbot.keyClick(window, Qt.Key.Key_Tab)
    assert window.focusWidget().objectName() == "server-page-button"

    for expected in ("models", "downloads", "log", "settings"):
        qtbot.keyClick(window.focusWidget(), Qt.Key.Key_Down)
        assert window.focusWidget().objectName() == f"{expected}-page-button"
        qtbot.keyClick(window.focusWidget(), Qt.Key.Key_Space)
        assert window.page == expected
    window.hide()


def test_everything_that_takes_a_click_has_a_name(window: MainWindow, store, make_status, make_transfer) -> None:
    store.put(make_status(exposed=True))
    store.put((make_transfer(permille=5, rate_bps=1.0),))
    window.footer.show_free_space(10**9)
    window.message_bar.show_error(LauncherError("No.", detail="why"))

    for button in window.findChildren(QPushButton):
        assert re.fullmatch(r"[a-z]+(-[a-z]+)+", button.objectName()), button
        if not button.isVisibleTo(window):
            continue
        interface = QAccessible.queryAccessibleInterface(button)
        assert interface.text(QAccessible.Text.Name), button.objectName()
        assert interface.role() in (QAccessible.Role.Button, QAccessible.Role.CheckBox, QAccessible.Role.RadioButton)


def _focused(window: MainWindow) -> str:
    now = window.focusWidget()
    return now.objectName() if now is not None else ""


@pytest.mark.parametrize("before", ["server-first", "main-window"])
def test_a_page_that_comes_has_the_focus_where_it_wants_it(window: MainWindow, qtbot, before: str) -> None:
    page = window.page_widget("log")
    page.setFocusProxy(page.findChild(QLineEdit, "log-second"))
    _shown(window, qtbot)
    (window.findChild(QLineEdit, before) or window).setFocus()

    qtbot.mouseClick(window.findChild(QPushButton, "log-page-button"), Qt.MouseButton.LeftButton)
    assert _focused(window) == "log-second"
    qtbot.mouseClick(window.findChild(QPushButton, "models-page-button"), Qt.MouseButton.LeftButton)
    assert _focused(window) == "main-window", "a page that wants nothing: Tab begins at the side bar"
    window.hide()


def test_what_is_not_seen_gets_no_focus(window: MainWindow, qtbot) -> None:
    page = window.page_widget("log")
    wanted = page.findChild(QLineEdit, "log-first")
    wanted.hide()
    page.setFocusProxy(wanted)
    _shown(window, qtbot)

    window.show_page("log")

    assert _focused(window) == "main-window"
    window.hide()


def test_who_turns_the_pages_in_the_side_bar_stays_there(window: MainWindow, qtbot) -> None:
    page = window.page_widget("models")
    page.setFocusProxy(page.findChild(QLineEdit, "models-first"))
    _shown(window, qtbot)
    entry = window.findChild(QPushButton, "server-page-button")
    entry.setFocus(Qt.FocusReason.TabFocusReason)

    qtbot.keyClick(entry, Qt.Key.Key_Down)

    assert window.page == "models"
    assert _focused(window) == "models-page-button"
    window.hide()


@pytest.mark.parametrize(
    ("gone", "then"),
    [("log-first", "log-second"), ("log-second", "log-first")],
    ids=["to the next", "the last one to the one before"],
)
@pytest.mark.parametrize("how", ["hide", "disable"])
def test_what_goes_away_leaves_the_focus_to_its_neighbour(
    window: MainWindow, qtbot, gone: str, then: str, how: str
) -> None:
    window.show_page("log")
    _shown(window, qtbot)
    qtbot.keyClick(window, Qt.Key.Key_Tab)
    field = window.findChild(QLineEdit, gone)
    field.setFocus()

    if how == "hide":
        field.hide()
    else:
        field.setEnabled(False)

    assert _focused(window) == then
    window.hide()


@pytest.mark.skipif(sys.platform == "darwin", reason="there it is in the menu of the program")
def test_ctrl_q_is_the_wish_to_quit(window: MainWindow, qtbot) -> None:
    _shown(window, qtbot)
    with qtbot.waitSignal(window.quit_requested):
        qtbot.keyClick(window, Qt.Key.Key_Q, Qt.KeyboardModifier.ControlModifier)
    assert window.isVisible(), "whether it ends is not the window's to say"
    window.hide()


def test_who_uses_no_keyboard_sees_no_frame_where_something_goes_away(window: MainWindow, qtbot) -> None:
    window.show_page("log")
    _shown(window, qtbot)
    field = window.findChild(QLineEdit, "log-first")
    qtbot.mouseClick(field, Qt.MouseButton.LeftButton)

    field.hide()

    assert _focused(window) == "main-window"
    window.hide()
