"""The installed models: a table to look through, and what can be done with those that are selected.

Renders the store and emits wishes. Keyboard: Ctrl+F goes to the filter, Down from there into the table, Escape empties
it; in the table Delete wishes the selected models deleted and Ctrl+C copies their names.
"""

# ruff: noqa: N802 - Qt names the methods that it calls

from __future__ import annotations

import time
from collections.abc import Callable

from PySide6.QtCore import QEvent, QObject, Qt, QTimer, Signal
from PySide6.QtGui import QAction, QHideEvent, QKeyEvent, QKeySequence, QResizeEvent, QShortcut, QShowEvent
from PySide6.QtWidgets import (
    QAbstractItemView,
    QButtonGroup,
    QHBoxLayout,
    QHeaderView,
    QLineEdit,
    QPushButton,
    QStackedWidget,
    QTreeView,
    QVBoxLayout,
    QWidget,
)

from launcher.domain.models import on_disk_at_most_bytes
from launcher.domain.server import ANSWERING, ServerState, offers
from launcher.ui.models_table import KINDS, Column, Entry, ModelDelegate, ModelsTableModel, Work, work_words
from launcher.ui.pace import Pace
from launcher.ui.phrases import server_phrase
from launcher.ui.store import Store
from launcher.ui.theme import TextKind, Theme
from launcher.ui.units import count_text, size_text
from launcher.ui.widgets.card import kind_label
from launcher.ui.widgets.elided_label import ElidedLabel
from launcher.ui.widgets.empty_state import EmptyState
from launcher.ui.widgets.model_detail import ModelDetail

_TICK_MS = 1_000
_TICKS_BETWEEN_AGES = 60
_FAMILY_FROM = 700
_QUANTIZATION_FROM = 620
_CHANGED_FROM = 460
"""Widths of the table, in pixels at the usual size of type, from which these columns have room."""
_USUAL_TYPE_HEIGHT = 17


class ModelsPage(QWidget):
    """One page, built when it is first shown. ``now_s`` is seconds since the epoch."""

    load_requested = Signal(tuple)
    unload_requested = Signal(tuple)
    delete_requested = Signal(tuple)
    """Names to delete; whoever does it asks first."""
    start_requested = Signal()
    page_requested = Signal(str)

    def __init__(
        self, store: Store, theme: Theme, parent: QWidget | None = None, *, now_s: Callable[[], float] = time.time
    ) -> None:
        super().__init__(parent)
        self.setObjectName("models-page")
        self.setAccessibleName(self.tr("Models"))
        self._store = store
        self._theme = theme
        self._drawing = False
        self._ticks = 0

        self.filter_field = QLineEdit()
        self.filter_field.setObjectName("models-filter")
        self.filter_field.setClearButtonEnabled(True)
        self.filter_field.setMaximumWidth(280)
        self.filter_field.textChanged.connect(self._on_filter_changed)
        self.filter_field.installEventFilter(self)
        self._download = QPushButton(self.tr("Download a model…"))
        self._download.setObjectName("download-model-button")
        self._download.setAccessibleName(self._download.text())
        self._download.setProperty("kind", "primary")
        self._download.clicked.connect(self._on_download_clicked)
        head = QHBoxLayout()
        head.setSpacing(12)
        head.addWidget(kind_label(self.tr("Models"), TextKind.PAGE_TITLE))
        head.addStretch(1)
        head.addWidget(self.filter_field, 2)
        head.addWidget(self._download)

        self._chips = self._make_chips()
        self._on_disk = ElidedLabel()
        self._on_disk.setProperty("kind", "second")
        self._on_disk.setToolTip(
            self.tr("The sum of the sizes. Layers that models share are on the disk once, so it may be less.")
        )
        kinds = QHBoxLayout()
        kinds.setSpacing(6)
        for chip in self._chips.values():
            kinds.addWidget(chip)
        kinds.addStretch(1)
        kinds.addWidget(self._on_disk)

        self.table_model = ModelsTableModel(self, now_s=now_s)
        self.view = QTreeView()
        self.view.setObjectName("models-table")
        self.view.setAccessibleName(self.tr("Installed models"))
        self.delegate = ModelDelegate(theme, self.view)
        self._set_up_view()
        self._add_actions()

        self._empty = EmptyState("")
        self._start = self._empty.add_button(self.tr("Start Ollama"), "start-for-models-button", primary=True)
        self._start.clicked.connect(self.start_requested)
        self._download_first = self._empty.add_button(self.tr("Download a model…"), "download-first-button")
        self._download_first.clicked.connect(self._on_download_clicked)
        self._show_server = self._empty.add_button(self.tr("Show the server"), "show-server-button")
        self._show_server.clicked.connect(lambda: self.page_requested.emit("server"))
        self._show_all = self._empty.add_button(self.tr("Show all models"), "show-all-models-button")
        self._show_all.clicked.connect(self._on_show_all_clicked)
        self._stack = QStackedWidget()
        self._stack.addWidget(self._empty)
        self._stack.addWidget(self.view)

        self.detail = ModelDetail(theme, now_s)
        self.detail.load_requested.connect(self.load_requested)
        self.detail.unload_requested.connect(self.unload_requested)
        self.detail.delete_requested.connect(self.delete_requested)

        column = QVBoxLayout(self)
        column.setContentsMargins(24, 20, 24, 24)
        column.setSpacing(12)
        column.addLayout(head)
        column.addLayout(kinds)
        column.addWidget(self._stack, 1)
        column.addWidget(self.detail)

        find = QShortcut(QKeySequence(QKeySequence.StandardKey.Find), self)
        find.activated.connect(self._on_find)
        self._pace = Pace(self._draw, self)
        self._clock = QTimer(self, interval=_TICK_MS)
        self._clock.timeout.connect(self._on_tick)
        store.models_changed.connect(self.show_models)
        store.server_changed.connect(self.show_models)
        theme.changed.connect(self._fit_columns)
        self._draw()

    @property
    def selected(self) -> tuple[Entry, ...]:
        """The selected models, from top to bottom."""
        indexes = sorted(self.view.selectionModel().selectedRows(), key=lambda index: index.row())
        found = (self.table_model.entry_at(index) for index in indexes)
        return tuple(entry for entry in found if entry is not None)

    def show_models(self) -> None:
        """Show what the store knows, at most 30 times a second and only while somebody looks."""
        if self.isVisible():
            self._pace.wish()

    def show_work(self, name: str, work: Work | None) -> None:
        """Say what is being done to a model; None: nothing any more."""
        self.table_model.show_work(name, work)
        self._show_selected()

    def show_model(self, name: str) -> None:
        """Select a model, if it is installed; the filter gives way to it."""
        if self.table_model.row_of(name) is None:
            self._on_show_all_clicked()
        row = self.table_model.row_of(name)
        if row is not None:
            self.view.setCurrentIndex(self.table_model.index(row, 0))

    def showEvent(self, event: QShowEvent) -> None:
        self._draw()
        self._clock.start()
        super().showEvent(event)

    def hideEvent(self, event: QHideEvent) -> None:
        self._clock.stop()
        super().hideEvent(event)

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self._fit_columns()

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        if watched is self.filter_field and isinstance(event, QKeyEvent) and event.type() == QEvent.Type.KeyPress:
            if event.key() == Qt.Key.Key_Escape and self.filter_field.text():
                self.filter_field.clear()
                return True
            if event.key() == Qt.Key.Key_Down and self.view.isVisible():
                self.view.setFocus(Qt.FocusReason.OtherFocusReason)
                return True
        return super().eventFilter(watched, event)

    # --- drawing ------------------------------------------------------------------------------------------------------

    def _draw(self) -> None:
        models = self._store.models
        self._change_rows(lambda: self.table_model.show_models(models))

    def _filter(self) -> None:
        kind = next((key for key, chip in self._chips.items() if chip.isChecked()), KINDS[0].key)
        self._change_rows(lambda: self.table_model.show_only(self.filter_field.text(), kind))

    def _change_rows(self, change: Callable[[], None]) -> None:
        # Rows come and go one run after the other: what is selected is looked at once, afterwards.
        self._drawing = True
        try:
            change()
        finally:
            self._drawing = False
        self._show_rows()

    def _show_rows(self) -> None:
        entries = self.table_model.entries
        rows = self.table_model.rowCount()
        if rows and not self.view.selectionModel().hasSelection():
            index = self.view.currentIndex()
            self.view.setCurrentIndex(index if index.isValid() else self.table_model.index(0, 0))
        count = len(entries)
        words = self.tr("Filter {count} models").format(count=count_text(count)) if count else self.tr("Filter models")
        if self.filter_field.placeholderText() != words:
            self.filter_field.setPlaceholderText(words)
            self.filter_field.setAccessibleName(words)
        self.filter_field.setEnabled(bool(count))
        self._show_kinds(entries)
        size = size_text(on_disk_at_most_bytes(entry.model for entry in entries))
        self._on_disk.setText(self.tr("{size} on disk").format(size=size) if count else "")
        self.detail.setVisible(bool(rows))
        self._stack.setCurrentWidget(self.view if rows else self._empty)
        if not rows:
            self._show_empty(count)
        self._show_selected()

    def _show_kinds(self, entries: tuple[Entry, ...]) -> None:
        for kind in KINDS:
            chip = self._chips[kind.key]
            count = sum(1 for entry in entries if kind.fits(entry))
            words = f"{self._kind_words[kind.key]} {count_text(count)}"
            if chip.text() != words:
                chip.setText(words)
                chip.setAccessibleName(self.tr("Show only: {kind}").format(kind=words))
            # One that is switched on stays until it is switched off: the table must not show all of a sudden.
            chip.setVisible(bool(count) or (chip.isChecked() and kind is not KINDS[0]))

    def _show_empty(self, count: int) -> None:
        status, models = self._store.server, self._store.models
        state = status.state if status is not None else ServerState.CHECKING
        answering = state in ANSWERING
        nothing_installed = answering and models is not None and models.installed == ()
        way = state in (ServerState.CHECKING, ServerState.STARTING, ServerState.STOPPING)
        can_start = status is not None and offers(status).start
        self._start.setVisible(not answering and can_start and not count)
        self._download_first.setVisible(nothing_installed)
        self._show_server.setVisible(not answering and not can_start and not way and not count)
        self._show_all.setVisible(bool(count))
        if count:
            text = self.filter_field.text().strip()
            found = self.tr("No model fits “{text}”").format(text=text) if text else self.tr("No model is of this kind")
            self._empty.show_text(found, self.tr("Names, families, sizes and abilities are searched."))
        elif nothing_installed:
            self._empty.show_text(
                self.tr("No model is installed yet"),
                self.tr("Download a small one to begin with. It stays on this computer."),
            )
        elif answering:
            self._empty.show_text(self.tr("Looking what is installed…"))
        else:
            title = server_phrase(status).title
            self._empty.show_text(title, "" if way else self.tr("Models can be listed once Ollama runs."))

    def _show_selected(self) -> None:
        self.detail.show_entries(self.selected)
        entries = self.selected
        self._delete_action.setEnabled(bool(self.detail.deletable))
        self._copy_action.setEnabled(bool(entries))
        self._load_action.setEnabled(self.detail.load_button.isVisibleTo(self.detail))
        self._unload_action.setEnabled(self.detail.unload_button.isVisibleTo(self.detail))

    # --- set-up -------------------------------------------------------------------------------------------------------

    def _make_chips(self) -> dict[str, QPushButton]:
        self._kind_words = {
            "all": self.tr("All"),
            "loaded": self.tr("Loaded"),
            "tools": self.tr("Tools"),
            "vision": self.tr("Vision"),
            "thinking": self.tr("Thinking"),
            "embedding": self.tr("Embedding"),
        }
        group = QButtonGroup(self)
        chips: dict[str, QPushButton] = {}
        for kind in KINDS:
            chip = QPushButton(self._kind_words[kind.key])
            chip.setObjectName(f"kind-{kind.key}-button")
            chip.setCheckable(True)
            chip.setProperty("kind", "chip")
            group.addButton(chip)
            chips[kind.key] = chip
        chips[KINDS[0].key].setChecked(True)
        group.buttonToggled.connect(lambda _, checked: self._filter() if checked else None)
        return chips

    def _set_up_view(self) -> None:
        view = self.view
        view.setModel(self.table_model)
        view.setItemDelegate(self.delegate)
        view.setRootIsDecorated(False)
        view.setItemsExpandable(False)
        view.setUniformRowHeights(True)
        view.setAllColumnsShowFocus(False)
        view.setMouseTracking(True)
        view.setSelectionMode(QAbstractItemView.SelectionMode.ExtendedSelection)
        view.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        view.setVerticalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        view.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        view.setTextElideMode(Qt.TextElideMode.ElideMiddle)
        view.setContextMenuPolicy(Qt.ContextMenuPolicy.ActionsContextMenu)
        header = view.header()
        header.setObjectName("models-header")
        header.setAccessibleName(self.tr("Columns"))
        header.setStretchLastSection(False)
        header.setSectionsMovable(False)
        header.setHighlightSections(False)
        header.setMinimumSectionSize(20)
        for column in Column:
            stretch = column is Column.NAME
            header.setSectionResizeMode(
                column, QHeaderView.ResizeMode.Stretch if stretch else QHeaderView.ResizeMode.Fixed
            )
        view.setSortingEnabled(True)
        view.sortByColumn(Column.CHANGED, Qt.SortOrder.DescendingOrder)
        view.selectionModel().selectionChanged.connect(self._on_selection_changed)

    def _fit_columns(self) -> None:
        """Give each column what its words need; what has no room is left to the pane below."""
        header, delegate = self.view.header(), self.delegate
        titles = [str(self.table_model.headerData(column, Qt.Orientation.Horizontal)) + "   " for column in Column]
        samples = {
            Column.SIZE: ("888.8 GB",),
            Column.FAMILY: ("nomic-bert-moe",),
            Column.QUANTIZATION: ("Q4_K_M_XL",),
            Column.CHANGED: (self.tr("12 months ago"),),
        }
        for column, texts in samples.items():
            header.resizeSection(column, delegate.width_for((*texts, titles[column])))
        pills = (self._kind_words["loaded"], *(work_words(work) for work in Work))
        header.resizeSection(Column.STATE, delegate.pill_width_for(pills))
        scale = max(self.fontMetrics().height() / _USUAL_TYPE_HEIGHT, 0.5)
        width = self.width() / scale
        self.view.setColumnHidden(Column.FAMILY, width < _FAMILY_FROM)
        self.view.setColumnHidden(Column.QUANTIZATION, width < _QUANTIZATION_FROM)
        self.view.setColumnHidden(Column.CHANGED, width < _CHANGED_FROM)

    def _add_actions(self) -> None:
        self._load_action = self._action("load-action", self.tr("Load"), lambda: self.detail.load_button.click())
        self._unload_action = self._action(
            "unload-action", self.tr("Unload"), lambda: self.detail.unload_button.click()
        )
        self._copy_action = self._action("copy-model-name-action", self.tr("Copy name"), self._on_copy)
        self._delete_action = self._action("delete-action", self.tr("Delete…"), self._on_delete)
        for key, run in (
            (QKeySequence.StandardKey.Delete, self._on_delete),
            (QKeySequence.StandardKey.Copy, self._on_copy),
        ):
            shortcut = QShortcut(QKeySequence(key), self.view)
            shortcut.setContext(Qt.ShortcutContext.WidgetShortcut)
            shortcut.activated.connect(run)

    def _action(self, name: str, words: str, run: Callable[[], None]) -> QAction:
        action = QAction(words, self)
        action.setObjectName(name)
        action.triggered.connect(run)
        self.view.addAction(action)
        return action

    # --- what the person does -----------------------------------------------------------------------------------------

    def _on_selection_changed(self) -> None:
        if not self._drawing:
            self._show_selected()

    def _on_filter_changed(self) -> None:
        self._filter()

    def _on_find(self) -> None:
        self.filter_field.setFocus(Qt.FocusReason.ShortcutFocusReason)
        self.filter_field.selectAll()

    def _on_copy(self) -> None:
        self.detail.copy_names()

    def _on_delete(self) -> None:
        names = self.detail.deletable
        if names:
            self.delete_requested.emit(names)

    def _on_download_clicked(self) -> None:
        self.page_requested.emit("downloads")

    def _on_show_all_clicked(self) -> None:
        self.filter_field.clear()
        self._chips[KINDS[0].key].setChecked(True)

    def _on_tick(self) -> None:
        if self.detail.ticking:
            self.detail.show_time()
        self._ticks += 1
        if self._ticks % _TICKS_BETWEEN_AGES == 0:
            self.table_model.show_time()
