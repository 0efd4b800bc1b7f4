"""The whole window for those who do not see it or use no mouse: what each control is, and that Tab comes to it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator

import pytest
from PySide6.QtCore import Qt
from PySide6.QtGui import QAccessible
from PySide6.QtTest import QTest
from PySide6.QtWidgets import (
    QAbstractButton,
    QAbstractItemView,
    QApplication,
    QCheckBox,
    QComboBox,
    QLineEdit,
    QPlainTextEdit,
    QWidget,
)

from launcher.errors import LauncherError
from launcher.ui.main_window import MainWindow
from launcher.ui.store import Store
from launcher.ui.theme import Theme
from tests.support.screenshots import load

shots = load()

CONTROLS = (QAbstractButton, QLineEdit, QPlainTextEdit, QAbstractItemView, QComboBox, QCheckBox)
_QTS_OWN = "qt_"
_MOST_TABS = 80


@pytest.fixture(params=shots.SCENES, ids=lambda scene: scene.name)
def window(request, store: Store, theme: Theme, qtbot) -> Iterator[MainWindow]:
    window: MainWindow = shots.make_window(store, theme)
    qtbot.addWidget(window)
    window.message_bar.show_error(LauncherError("It went wrong.", detail="why", hint="Try again."))
    shots.show_scene(window, store, request.param)
    window.show()
    window.activateWindow()
    qtbot.waitUntil(window.isActiveWindow)
    yield window
    window.hide()


def controls(window: MainWindow) -> list[QWidget]:
    """What a person can use and sees; not the parts that Qt itself makes, such as the list of a box."""
    return [
        widget
        for widget in window.findChildren(QWidget)
        if isinstance(widget, CONTROLS)
        and widget.isVisible()
        and not widget.objectName().startswith(_QTS_OWN)
        and not isinstance(widget.parent(), QLineEdit | QComboBox | QAbstractItemView)
    ]


def by_arrows(widget: QWidget, seen: list[QWidget]) -> bool:
    """One of a choice of which Tab reaches the chosen one: arrow keys go on from there."""
    if not isinstance(widget, QAbstractButton) or not widget.isCheckable():
        return False
    siblings = [each for each in seen if isinstance(each, QAbstractButton) and each.isCheckable()]
    return any(each.parentWidget() is widget.parentWidget() for each in siblings)


def test_every_control_says_what_it_is(window: MainWindow) -> None:
    silent = [
        widget.objectName() or widget.metaObject().className()
        for widget in controls(window)
        if not QAccessible.queryAccessibleInterface(widget).text(QAccessible.Text.Name)
    ]
    assert silent == []


def test_every_control_has_a_name_of_its_own(window: MainWindow) -> None:
    names = [widget.objectName() for widget in controls(window)]
    assert [name for name in names if not re.fullmatch(r"[a-z0-9]+(-[a-z0-9.:_/]+)*", name)] == []
    # The same deed on several rows has one name; what is spoken tells the rows apart.
    spoken = Counter((widget.objectName(), widget.accessibleName()) for widget in controls(window))
    assert [each for each, count in spoken.items() if count > 1] == []


def test_tab_comes_to_every_control_and_goes_round(window: MainWindow) -> None:
    seen: list[QWidget] = []
    for _ in range(_MOST_TABS):
        QTest.keyClick(QApplication.focusWidget() or window, Qt.Key.Key_Tab)
        now = QApplication.focusWidget()
        assert now is not None
        if seen and now is seen[0]:
            break
        seen.append(now)
    else:
        pytest.fail("Tab does not come back to where it began")
    assert len(seen) == len(set(seen))
    missed = [
        widget.objectName()
        for widget in controls(window)
        if widget.isEnabled() and widget not in seen and widget.focusProxy() not in seen and not by_arrows(widget, seen)
    ]
    assert missed == []


def test_shift_tab_is_the_same_way_back(window: MainWindow) -> None:
    QTest.keyClick(window, Qt.Key.Key_Tab)
    first = QApplication.focusWidget()
    assert first is not None
    QTest.keyClick(first, Qt.Key.Key_Tab)
    second = QApplication.focusWidget()
    assert second is not None
    QTest.keyClick(second, Qt.Key.Key_Backtab)
    assert QApplication.focusWidget() is first
