"""The whole window for those who do not see it or use no mouse: what each control is, and that Tab comes to it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator

import pytest
from PySide6.QtCore import Qt
from PySide6.QtGui import QAccessible, QAccessibleInterface
from PySide6.QtTest import QTest
from PySide6.QtWidgets import (
    QAbstractButton,
    QAbstractItemView,
    QApplication,
    QCheckBox,
    QComboBox,
    QDialog,
    QLineEdit,
    QPlainTextEdit,
    QWidget,
)

from launcher.domain.questions import DeleteModels, QuitWhileDownloading
from launcher.errors import LauncherError
from launcher.ui.crash_report import CrashReport
from launcher.ui.dialogs import question_dialog
from launcher.ui.main_window import MainWindow
from launcher.ui.store import Store
from launcher.ui.theme import Theme
from launcher.ui.widgets.program_dialog import ProgramDialog
from tests.support.screenshots import load

shots = load()

CONTROLS = (QAbstractButton, QLineEdit, QPlainTextEdit, QAbstractItemView, QComboBox, QCheckBox)
ROLES = (
    QAccessible.Role.Button,
    QAccessible.Role.CheckBox,
    QAccessible.Role.ComboBox,
    QAccessible.Role.EditableText,
    QAccessible.Role.Link,
    QAccessible.Role.List,
    QAccessible.Role.ListItem,
    QAccessible.Role.ProgressBar,
    QAccessible.Role.RadioButton,
    QAccessible.Role.Table,
    QAccessible.Role.Tree,
    QAccessible.Role.TreeItem,
)
"""What somebody who does not see the window comes upon there and must be told of."""
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


def tree(interface: QAccessibleInterface) -> Iterator[QAccessibleInterface]:
    """All that a screen reader finds, and sees."""
    yield interface
    for number in range(interface.childCount()):
        child = interface.child(number)
        if child is not None and child.isValid() and not child.state().invisible:
            yield from tree(child)


def test_nothing_in_the_tree_of_a_screen_reader_is_silent(window: MainWindow) -> None:
    found = [each for each in tree(QAccessible.queryAccessibleInterface(window)) if each.role() in ROLES]
    assert len(found) >= len(controls(window))
    silent = [each.role().name for each in found if not each.text(QAccessible.Text.Name)]
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


# Dialogs


def _delete(window: QWidget) -> QDialog:
    return question_dialog(DeleteModels(("qwen3:8b", "pirate:latest"), 7_100_000_000), window)


def _quit(window: QWidget) -> QDialog:
    return question_dialog(QuitWhileDownloading(("qwen3:8b",)), window)


def _crash(window: QWidget) -> QDialog:
    return CrashReport("KeyError", ends=False, parent=window)


def _program(window: QWidget) -> QDialog:
    return ProgramDialog(window)


@pytest.fixture(params=[_delete, _quit, _crash, _program], ids=lambda make: make.__name__.strip("_"))
def dialog(request, theme: Theme, qtbot) -> Iterator[QDialog]:
    window = QWidget()
    qtbot.addWidget(window)
    window.show()
    dialog: QDialog = request.param(window)
    dialog.open()
    dialog.activateWindow()
    qtbot.waitUntil(dialog.isActiveWindow)
    yield dialog
    dialog.hide()


def _dialog_controls(dialog: QDialog) -> list[QWidget]:
    return [
        widget
        for widget in dialog.findChildren(QWidget)
        if isinstance(widget, CONTROLS)
        and widget.isVisible()
        and not widget.objectName().startswith(_QTS_OWN)
        and not isinstance(widget.parent(), QLineEdit | QComboBox | QAbstractItemView)
    ]


def _spoken(widget: QWidget) -> str:
    return QAccessible.queryAccessibleInterface(widget).text(QAccessible.Text.Name)


def test_a_dialog_and_its_controls_say_what_they_are(dialog: QDialog) -> None:
    assert _spoken(dialog)
    controls = _dialog_controls(dialog)
    assert [widget.objectName() for widget in controls if not _spoken(widget)] == []


def test_tab_comes_to_every_control_of_a_dialog(dialog: QDialog) -> None:
    seen: list[QWidget] = []
    for _ in range(_MOST_TABS):
        now = dialog.focusWidget()
        assert now is not None
        if seen and now is seen[0]:
            break
        seen.append(now)
        QTest.keyClick(now, Qt.Key.Key_Tab)
    else:
        pytest.fail("Tab does not come back to where it began")
    missed = [
        widget.objectName()
        for widget in _dialog_controls(dialog)
        if widget.isEnabled() and widget.focusPolicy() & Qt.FocusPolicy.TabFocus and widget not in seen
    ]
    assert missed == []


def test_escape_is_the_harmless_answer(dialog: QDialog, qtbot) -> None:
    with qtbot.waitSignal(dialog.rejected):
        QTest.keyClick(dialog.focusWidget() or dialog, Qt.Key.Key_Escape)
