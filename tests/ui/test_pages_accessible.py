"""Whoever does not see the window hears what each control of a page is, whatever the page shows."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from PySide6.QtCore import QPoint, Qt
from PySide6.QtGui import QAccessible, QAccessibleInterface
from PySide6.QtWidgets import QAbstractButton, QAbstractItemView, QLineEdit, QPlainTextEdit, QProgressBar, QWidget

from launcher.domain.models import Models
from launcher.domain.server import Owner, ServerState
from launcher.domain.transfer import Phase
from launcher.ui.pages.downloads import DownloadsPage
from launcher.ui.pages.log import LogPage
from launcher.ui.pages.server import ServerPage
from launcher.ui.store import Store
from launcher.ui.theme import Theme

CONTROLS = (QAbstractButton, QLineEdit, QPlainTextEdit, QAbstractItemView, QProgressBar)
ROLES = (
    QAccessible.Role.Button,
    QAccessible.Role.CheckBox,
    QAccessible.Role.EditableText,
    QAccessible.Role.List,
    QAccessible.Role.ListItem,
    QAccessible.Role.ProgressBar,
)


def _tree(interface: QAccessibleInterface) -> Iterator[QAccessibleInterface]:
    yield interface
    for number in range(interface.childCount()):
        child = interface.child(number)
        if child is not None and child.isValid():
            yield from _tree(child)


@pytest.fixture(params=[ServerPage, DownloadsPage, LogPage], ids=lambda page: page.__name__)
def page(request, store: Store, theme: Theme, qtbot) -> QWidget:
    page = request.param(store, theme)
    qtbot.addWidget(page)
    page.show()
    return page


@pytest.mark.parametrize("state", list(ServerState), ids=lambda state: state.value)
def test_every_control_has_a_name(
    page: QWidget, store: Store, make_status, make_transfer, make_loaded, state: ServerState
) -> None:
    store.put(make_status(state, Owner.OURS))
    store.put(Models((), ()) if state is ServerState.DEGRADED else make_loaded((2, 1), (2, 2)))
    store.put(tuple(make_transfer(f"m{number}:1b", phase) for number, phase in enumerate(Phase)))

    unnamed = [
        widget.metaObject().className()
        for widget in page.findChildren(QWidget)
        if isinstance(widget, CONTROLS) and widget.isVisible() and not (widget.objectName() and widget.accessibleName())
    ]
    assert unnamed == []
    silent = [
        interface.role().name
        for interface in _tree(QAccessible.queryAccessibleInterface(page))
        if interface.role() in ROLES and not interface.text(QAccessible.Text.Name)
    ]
    assert silent == []


def _tab_stops(page: QWidget) -> list[QWidget]:
    stops: list[QWidget] = []
    widget = page.nextInFocusChain()
    while widget is not page and widget not in stops:
        if widget.focusPolicy() & Qt.FocusPolicy.TabFocus and widget.isVisible() and widget.focusProxy() is None:
            stops.append(widget)
        widget = widget.nextInFocusChain()
    return stops


def test_tab_goes_as_people_read(page: QWidget, store: Store, qtbot, make_status, make_transfer, make_loaded) -> None:
    page.resize(900, 900)
    # What comes first on the screen comes last in time.
    store.put(make_status(ServerState.STOPPED, None))
    store.put((make_transfer("a:1b"), make_transfer("b:1b")))
    store.put(make_status(ServerState.RUNNING))
    store.put(make_loaded((2, 1), (2, 2)))
    if isinstance(page, LogPage):
        page.append(["line"])

    def in_order() -> bool:
        stops = _tab_stops(page)
        middles = [stop.mapTo(page, QPoint(stop.width() // 2, stop.height() // 2)) for stop in stops]
        rows = [round(middle.y() / 16) for middle in middles]
        return len(stops) > 2 and sorted(zip(rows, (m.x() for m in middles), strict=True)) == list(
            zip(rows, (m.x() for m in middles), strict=True)
        )

    qtbot.waitUntil(in_order)
