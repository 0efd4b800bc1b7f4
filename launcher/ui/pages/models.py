"""The installed models: a table to look through, and what can be done with those that are selected.

Renders the store and emits wishes. Keyboard: Ctrl+F goes to the filter, Down from there into the table, Escape empties
it; in the table Delete wishes the selected models deleted and Ctrl+C copies their names.
"""

# ruff: noqa: N802 - Qt names the methods that it calls

from __future__ import annotations

import time
from collections.abc import Callable

from PySide6.QtCore import QEvent, QItemSelection, QItemSelectionModel, QObject, Qt, QTimer, Signal
from PySide6.QtGui import QAction, QHideEvent, QKeyEvent, QKeySequence, QShortcut, QShowEvent
from PySide6.QtWidgets import (
    QAbstractItemView,
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
from launcher.ui.phrases import server_phrase, told
from launcher.ui.runs import runs
from launcher.ui.store import Store
from launcher.ui.theme import TextKind, Theme
from launcher.ui.units import count_text, size_text
from launcher.ui.widgets.breakable import breakable
from launcher.ui.widgets.card import kind_label
from launcher.ui.widgets.chip_row import ChipRow
from launcher.ui.widgets.clear_button import add_named_clear_button
from launcher.ui.widgets.empty_state import EmptyState
from launcher.ui.widgets.model_detail import ModelDetail

_TICK_MS = 1_000
_TICKS_BETWEEN_AGES = 60
_GIVE_WAY = (Column.FAMILY, Column.QUANTIZATION, Column.CHANGED)
"""The columns that go where there is no room, in this order."""
_NAME_CHARACTERS = 26
"""What the first column should have room for."""
_SELECTED_TO_FOLLOW = 50
"""Up to so many selected rows are left to Qt to follow; it keeps what is not only selected but also anchored."""


class ModelsPage(QWidget):
    """One page, built when it is first shown. ``now_s`` is seconds since the epoch."""

    load_requested = Signal(tuple)
    unload_requested = Signal(tuple)
    delete_requested = Signal(tuple)
    """Names to delete; whoever does it asks first."""
    setting_changed = Signal(str, object)
    """Key and value: the default model."""
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
        add_named_clear_button(self.filter_field)
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

        self.chips = self._make_chips()

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
        self._download_first = self._empty.add_button(
            self.tr("Download a model…"), "download-first-button", primary=True
        )
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
        column.addWidget(self.chips)
        column.addWidget(self._stack, 1)
        column.addWidget(self.detail)

        find = QShortcut(QKeySequence(QKeySequence.StandardKey.Find), self)
        find.activated.connect(self._on_find)
        self._pace = Pace(self._draw, self)
        self._clock = QTimer(self, interval=_TICK_MS)
        self._clock.timeout.connect(self._on_tick)
        store.models_changed.connect(self.show_models)
        store.server_changed.connect(self.show_models)
        store.settings_changed.connect(self.show_models)
        theme.changed.connect(self._fit_columns)
        self.setFocusProxy(self.view)
        self._draw()

    @property
    def selected(self) -> tuple[Entry, ...]:
        """The selected models, from top to bottom."""
        # Not by selectedRows(), which asks the table 20 times for each row: 24 ms for 1,000.
        selection = self.view.selectionModel().selection()
        ranges = [selection.at(place) for place in range(selection.count())]
        rows = sorted({row for each in ranges for row in range(each.top(), each.bottom() + 1)})
        return self.table_model.entries_at(rows)

    @property
    def _default_name(self) -> str:
        settings = self._store.settings
        return settings.default_model if settings is not None else ""

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
        self._pace.rest()
        super().hideEvent(event)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        if watched is self.filter_field and isinstance(event, QKeyEvent) and event.type() == QEvent.Type.KeyPress:
            if event.key() == Qt.Key.Key_Escape and self.filter_field.text():
                self.filter_field.clear()
                return True
            if event.key() == Qt.Key.Key_Down and self.view.isVisible():
                self.view.setFocus(Qt.FocusReason.OtherFocusReason)
                return True
        elif watched is self.view.viewport() and event.type() == QEvent.Type.Resize:
            self._fit_columns()
        return super().eventFilter(watched, event)

    # --- drawing ------------------------------------------------------------------------------------------------------

    def _draw(self) -> None:
        models = self._store.models
        self._change_rows(lambda: self.table_model.show_models(models))

    def _filter(self) -> None:
        self._change_rows(lambda: self.table_model.show_only(self.filter_field.text(), self.chips.chosen))

    def _change_rows(self, change: Callable[[], None]) -> None:
        # Rows come and go one run after the other: what is selected is looked at once, afterwards.
        self._drawing = True
        try:
            chosen = {entry.name for entry in self.selected}
            if len(chosen) > _SELECTED_TO_FOLLOW:
                # Qt splits a selection at each run: 120 ms for 1,000 selected rows and 400 runs.
                self.view.selectionModel().clearSelection()
                change()
                self._select(chosen)
            else:
                change()
        finally:
            self._drawing = False
        self._show_rows()

    def _select(self, names: set[str]) -> None:
        rows = sorted(row for row in map(self.table_model.row_of, names) if row is not None)
        selection = QItemSelection()
        for first, last in runs(rows):
            selection.select(self.table_model.index(first, 0), self.table_model.index(last, len(Column) - 1))
        self.view.selectionModel().select(selection, QItemSelectionModel.SelectionFlag.ClearAndSelect)

    def _show_rows(self) -> None:
        entries = self.table_model.entries
        rows = self.table_model.rowCount()
        if rows and not self.view.selectionModel().hasSelection():
            index = self.view.currentIndex()
            first = self.table_model.row_of(self._default_name) or 0
            self.view.setCurrentIndex(index if index.isValid() else self.table_model.index(first, 0))
        count = len(entries)
        words = (
            self.tr("Filter {count} models").format(count=count_text(count)) if count > 1 else self.tr("Filter models")
        )
        if self.filter_field.placeholderText() != words:
            self.filter_field.setPlaceholderText(words)
            self.filter_field.setAccessibleName(words)
        self._show_kinds(entries)
        # What has nothing to work on is not drawn; the way on is in the middle then, and is the only primary button.
        for widget in (self.filter_field, self._download, self.chips):
            widget.setVisible(bool(count))
        self.detail.setVisible(bool(rows))
        self._stack.setCurrentWidget(self.view if rows else self._empty)
        self._show_empty(count)
        self._show_selected()

    def _show_kinds(self, entries: tuple[Entry, ...]) -> None:
        counts = {kind.key: sum(1 for entry in entries if kind.fits(entry)) for kind in KINDS}
        size = size_text(on_disk_at_most_bytes(entry.model for entry in entries))
        self.chips.show_counts(counts, self.tr("{size} on disk").format(size=size))

    def _show_empty(self, count: int) -> None:
        status, models = self._store.server, self._store.models
        state = status.state if status is not None else ServerState.CHECKING
        answering = state in ANSWERING
        nothing_installed = answering and models is not None and models.installed == ()
        way = state in (ServerState.CHECKING, ServerState.STARTING, ServerState.STOPPING)
        can_start = status is not None and offers(status).start
        self._start.setVisible(not answering and can_start and not count)
        self._download_first.setVisible(nothing_installed)
        problem = told(models.problem) if answering and models is not None and models.installed is None else ""
        self._show_server.setVisible(bool(problem) or (not answering and not can_start and not way and not count))
        self._show_all.setVisible(bool(count))
        if count:
            text = self.filter_field.text().strip()
            found = (
                self.tr("No model fits “{text}”").format(text=breakable(text))
                if text
                else self.tr("No model is of this kind")
            )
            self._empty.show_text(found, self.tr("Names, families, sizes and abilities are searched."))
        elif nothing_installed:
            self._empty.show_text(
                self.tr("No model is installed yet"),
                self.tr("Download a small one to begin with. It stays on this computer."),
            )
        elif problem:
            self._empty.show_text(self.tr("The models could not be listed"), problem)
        elif answering:
            self._empty.show_text(self.tr("Looking what is installed…"))
        else:
            title = server_phrase(status).title
            self._empty.show_text(title, "" if way else self.tr("Models can be listed once Ollama runs."))
        layout = self._empty.layout()
        if layout is not None:
            # While it is not seen Qt forgets to look which of its buttons are hidden, and keeps room for all.
            layout.activate()

    def _show_selected(self) -> None:
        entries = self.selected
        self.detail.show_entries(entries, self._default_name)
        self._default_action.setEnabled(len(entries) == 1 and entries[0].name != self._default_name)
        self._delete_action.setEnabled(bool(self.detail.deletable))
        self._copy_action.setEnabled(bool(entries))
        self._load_action.setEnabled(self.detail.load_button.isVisibleTo(self.detail))
        self._unload_action.setEnabled(self.detail.unload_button.isVisibleTo(self.detail))

    # --- set-up -------------------------------------------------------------------------------------------------------

    def _make_chips(self) -> ChipRow:
        words = {
            "all": self.tr("All"),
            "loaded": self.tr("Loaded"),
            "tools": self.tr("Tools"),
            "vision": self.tr("Vision"),
            "thinking": self.tr("Thinking"),
            "embedding": self.tr("Embedding"),
        }
        chips = ChipRow([(kind.key, words[kind.key]) for kind in KINDS])
        chips.remark.setToolTip(
            self.tr("The sum of the sizes. Layers that models share are on the disk once, so it may be less.")
        )
        chips.chosen_changed.connect(self._filter)
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
        # Else it looks at each row, for each column, whether all of it is selected: 8 ms for 1,000 rows.
        header.setSelectionModel(QItemSelectionModel(self.table_model, header))
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
        header.setSortIndicatorShown(False)
        view.sortByColumn(Column.CHANGED, Qt.SortOrder.DescendingOrder)
        view.viewport().installEventFilter(self)
        view.selectionModel().selectionChanged.connect(self._on_selection_changed)

    def _fit_columns(self) -> None:
        """Give each column what its words need; what leaves the name too little is told by the pane below."""
        header, delegate = self.view.header(), self.delegate
        samples = {
            Column.SIZE: ("888.8 GB",),
            Column.FAMILY: ("nomic-bert-moe",),
            Column.QUANTIZATION: ("Q4_K_M_XL",),
            Column.CHANGED: (self.table_model.oldest_words,),
        }
        widths = {Column.STATE: delegate.pill_width_for([self.tr("Loaded"), *(work_words(work) for work in Work)])}
        for column, texts in samples.items():
            widths[column] = delegate.width_for((*texts, self.table_model.longest_title(column)))
        for column, width in widths.items():
            header.resizeSection(column, width)
        room = self.view.viewport().width() - self.fontMetrics().averageCharWidth() * _NAME_CHARACTERS
        hidden: set[Column] = set()
        for column in _GIVE_WAY:
            if sum(width for each, width in widths.items() if each not in hidden) <= room:
                break
            hidden.add(column)
        for column in _GIVE_WAY:
            self.view.setColumnHidden(column, column in hidden)

    def _add_actions(self) -> None:
        self._load_action = self._action("load-action", self.tr("Load"), lambda: self.detail.load_button.click())
        self._unload_action = self._action(
            "unload-action", self.tr("Unload"), lambda: self.detail.unload_button.click()
        )
        self._copy_action = self._action("copy-model-name-action", self.tr("Copy name"), self._on_copy)
        self._default_action = self._action("default-action", self.tr("Make it the default model"), self._on_default)
        self._delete_action = self._action("delete-action", self.tr("Delete…"), self._on_delete)
        for keys, run in (
            (QKeySequence(QKeySequence.StandardKey.Delete), self._on_delete),
            # What is called "delete" on the keyboard of a Mac.
            (QKeySequence(Qt.Key.Key_Backspace), self._on_delete),
            (QKeySequence(QKeySequence.StandardKey.Copy), self._on_copy),
        ):
            shortcut = QShortcut(keys, self.view)
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

    def _on_default(self) -> None:
        entries = self.selected
        if len(entries) == 1:
            self.setting_changed.emit("default_model", entries[0].name)

    def _on_delete(self) -> None:
        names = self.detail.deletable
        if names:
            self.delete_requested.emit(names)

    def _on_download_clicked(self) -> None:
        self.page_requested.emit("downloads")

    def _on_show_all_clicked(self) -> None:
        self.filter_field.clear()
        self.chips.choose_all()

    def _on_tick(self) -> None:
        if self.detail.ticking:
            self.detail.show_time()
        self._ticks += 1
        if self._ticks % _TICKS_BETWEEN_AGES == 0:
            self.table_model.show_time()
