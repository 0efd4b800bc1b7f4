"""All settings, made from their declarations: found by a search, checked as they are typed, saved at once.

Renders the store and emits wishes. Where a variable of the environment has a say it is told in place; what a server
that runs does not obey yet is told, too, with the way to change that.
"""

# ruff: noqa: N802 - Qt names the methods that it calls

from __future__ import annotations

import os
import sys
from collections.abc import Mapping

from PySide6.QtCore import QEvent, QObject, Qt, Signal
from PySide6.QtGui import QKeyEvent, QKeySequence, QResizeEvent, QShortcut, QShowEvent
from PySide6.QtWidgets import QFrame, QHBoxLayout, QLineEdit, QScrollArea, QVBoxLayout, QWidget

from launcher.domain.server import ANSWERING, ServerState, ServerStatus, offers
from launcher.domain.settings import DECLARATIONS, Group, Settings, default_settings
from launcher.errors import LauncherError
from launcher.ui.store import Store
from launcher.ui.theme import TextKind, Theme
from launcher.ui.widgets.breakable import breakable
from launcher.ui.widgets.card import Card, kind_label
from launcher.ui.widgets.clear_button import add_named_clear_button
from launcher.ui.widgets.empty_state import EmptyState
from launcher.ui.widgets.setting_row import ModelEditor, SettingRow, tr_declared

_RUNS = ANSWERING | {ServerState.STARTING}
_ADDRESS = "address"
_WIDEST = 900
_NARROW_CHARACTERS = 88
"""Below so many, editors go under their words."""
_EDGE = 24
"""The margin of a page; at the right the scroll bar takes half of it."""


class SettingsPage(QWidget):
    """One page, built when it is first shown."""

    setting_changed = Signal(str, object)
    """Key and value of a setting to save. Whoever does it publishes the settings, or calls :meth:`show_failed`."""
    restart_requested = Signal()
    """Start the server again with what is set now."""

    def __init__(
        self,
        store: Store,
        theme: Theme,
        parent: QWidget | None = None,
        *,
        environ: Mapping[str, str] | None = None,
        system: str = sys.platform,
        host: str | None = None,
    ) -> None:
        """``environ`` is our environment; None: the real one. ``host`` is the server that was named for this run."""
        super().__init__(parent)
        self.setObjectName("settings-page")
        self.setAccessibleName(self.tr("Settings"))
        self._store = store
        self._settings = defaults = default_settings(system)
        self._waiting: dict[str, tuple[object, ...]] = {}
        this_run = (
            {} if host is None else {_ADDRESS: self.tr("This run uses {host}, as --host says.").format(host=host)}
        )
        self._without_effect = frozenset(this_run)
        environ = os.environ if environ is None else environ

        self.search_field = QLineEdit()
        self.search_field.setObjectName("settings-search")
        self.search_field.setPlaceholderText(self.tr("Search the settings"))
        self.search_field.setAccessibleName(self.search_field.placeholderText())
        add_named_clear_button(self.search_field)
        self.search_field.setMaximumWidth(280)
        self.search_field.textChanged.connect(self._on_search_changed)
        self.search_field.installEventFilter(self)
        head = QHBoxLayout()
        head.setContentsMargins(0, 0, _EDGE, 0)
        head.setSpacing(12)
        head.addWidget(kind_label(self.tr("Settings"), TextKind.PAGE_TITLE))
        head.addStretch(1)
        head.addWidget(self.search_field, 2)

        self.rows: dict[str, SettingRow] = {}
        self._cards: dict[Group, Card] = {}
        inside = QVBoxLayout()
        inside.setContentsMargins(0, 0, _EDGE // 2, _EDGE)
        inside.setSpacing(16)
        for group in Group:
            card = self._cards[group] = Card(tr_declared(group.value))
            card.setObjectName(f"{group.name.lower()}-settings-card")
            card.body.setSpacing(20)
            inside.addWidget(card)
        for declaration in DECLARATIONS:
            variable = declaration.variable
            row = self.rows[declaration.key] = SettingRow(
                declaration,
                theme,
                default=getattr(defaults, declaration.key),
                variable_text=environ.get(variable.name, "").strip() if variable is not None else "",
                this_run=this_run.get(declaration.key, ""),
            )
            row.wished.connect(lambda value, key=declaration.key: self.setting_changed.emit(key, value))
            row.restart_requested.connect(self.restart_requested)
            self._cards[declaration.group].body.addWidget(row)
        self._nothing = EmptyState("")
        self._show_all = self._nothing.add_button(self.tr("Show all settings"), "show-all-settings-button")
        self._show_all.clicked.connect(self.search_field.clear)
        inside.addWidget(self._nothing)
        inside.addStretch(1)
        ground = QWidget()
        ground.setLayout(inside)
        ground.setMaximumWidth(_WIDEST)
        self._scroll = QScrollArea()
        self._scroll.setObjectName("settings-scroll")
        self._scroll.setAccessibleName(self.tr("Settings"))
        self._scroll.setWidget(ground)
        self._scroll.setWidgetResizable(True)
        self._scroll.setFrameShape(QFrame.Shape.NoFrame)
        self._scroll.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        # What has the focus scrolls into view: the area itself needs none.
        self._scroll.setFocusPolicy(Qt.FocusPolicy.NoFocus)

        column = QVBoxLayout(self)
        column.setContentsMargins(_EDGE, 20, 0, 0)
        column.setSpacing(16)
        column.addLayout(head)
        column.addWidget(self._scroll, 1)

        find = QShortcut(QKeySequence(QKeySequence.StandardKey.Find), self)
        find.activated.connect(self._on_find)
        self.setFocusProxy(self.search_field)
        store.settings_changed.connect(self.show_settings)
        store.server_changed.connect(self.show_server)
        store.models_changed.connect(self.show_models)
        self._search()
        if store.settings is not None:
            self._settings = store.settings
        for key, row in self.rows.items():
            row.show_value(getattr(self._settings, key))
        self._show_waiting()
        self.show_models()

    def show_settings(self, settings: Settings) -> None:
        """Show what was saved."""
        before, self._settings = self._settings, settings
        status = self._store.server
        for key, row in self.rows.items():
            value = getattr(settings, key)
            obeyed_later = row.declaration.restarts and key not in self._without_effect
            if obeyed_later and value != getattr(before, key) and status is not None:
                self._waiting[key] = _which(status)
            row.show_value(value)
        self._show_waiting()

    def show_server(self, status: ServerStatus) -> None:
        """Forget what waited for another start of the server, once there is one."""
        if self._waiting:
            self._show_waiting()

    def show_models(self) -> None:
        """Offer the names of what is installed."""
        models = self._store.models
        if self.isVisible() and models is not None and models.installed is not None:
            names = sorted((model.name for model in models.installed), key=str.casefold)
            for row in self.rows.values():
                if isinstance(row.editor, ModelEditor):
                    row.editor.show_names(names)

    def show_failed(self, key: str, error: LauncherError) -> None:
        """Say in place why a wish was not saved."""
        self.rows[key].show_failed(error)

    def showEvent(self, event: QShowEvent) -> None:
        super().showEvent(event)
        self.show_models()

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        narrow = self.width() < self.fontMetrics().averageCharWidth() * _NARROW_CHARACTERS
        for row in self.rows.values():
            row.show_narrow(narrow)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        if (
            watched is self.search_field
            and isinstance(event, QKeyEvent)
            and event.type() == QEvent.Type.KeyPress
            and event.key() == Qt.Key.Key_Escape
            and self.search_field.text()
        ):
            self.search_field.clear()
            return True
        return super().eventFilter(watched, event)

    def _show_waiting(self) -> None:
        status = self._store.server
        runs = status is not None and status.state in _RUNS
        now = _which(status) if status is not None else ()
        self._waiting = {key: which for key, which in self._waiting.items() if runs and which == now}
        offered = status is not None and offers(status).restart
        words = (
            self.tr("The server that runs was started before this was set.")
            if offered
            else self.tr("The server that runs was not started by this launcher: it goes on as it is.")
        )
        for key, row in self.rows.items():
            waits = key in self._waiting
            row.show_restart(words if waits else "", offered=offered)

    def _on_search_changed(self) -> None:
        self._search()

    def _search(self) -> None:
        words = self.search_field.text().casefold().split()
        found: set[Group] = set()
        for row in self.rows.values():
            group = row.declaration.group
            title = f"{group.value} {tr_declared(group.value)}".casefold()
            fits = all(word in row.found_by or word in title for word in words)
            row.setVisible(fits)
            if fits:
                found.add(group)
        for group, card in self._cards.items():
            card.setVisible(group in found)
        self._nothing.setVisible(not found)
        if not found:
            text = self.search_field.text().strip()
            self._nothing.show_text(
                self.tr("No setting fits “{text}”").format(text=breakable(text)),
                self.tr("Titles and explanations are searched."),
            )

    def _on_find(self) -> None:
        self.search_field.setFocus(Qt.FocusReason.ShortcutFocusReason)
        self.search_field.selectAll()


def _which(status: ServerStatus) -> tuple[object, ...]:
    """What tells one start of a server from another."""
    return (status.pid, status.started_at, status.address)
