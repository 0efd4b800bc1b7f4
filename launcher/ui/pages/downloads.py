"""The list of downloads: names go in at the top, rows tell how each is going, the pane below shows the selected one.

Renders the store and emits wishes. Keyboard in the list: Delete pauses what runs and dismisses what does not, Return
goes on with what failed or is paused, Ctrl+C copies the name, Ctrl+V puts names into the field.
"""

# ruff: noqa: N802 - Qt names the methods that it calls

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtCore import QModelIndex, Qt, Signal
from PySide6.QtGui import QAction, QGuiApplication, QHideEvent, QKeySequence, QShortcut, QShowEvent
from PySide6.QtWidgets import (
    QAbstractItemView,
    QHBoxLayout,
    QListView,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from launcher.domain.server import ANSWERING, ServerState
from launcher.domain.transfer import Phase, Transfer
from launcher.ui.pace import Pace
from launcher.ui.phrases import server_phrase
from launcher.ui.store import Store
from launcher.ui.theme import TextKind, Theme
from launcher.ui.transfers_table import TransferDelegate, TransfersTableModel
from launcher.ui.widgets.card import kind_label
from launcher.ui.widgets.empty_state import EmptyState
from launcher.ui.widgets.pull_box import PullBox
from launcher.ui.widgets.state_shape import StateShapeWidget
from launcher.ui.widgets.tab_order import order_tabs
from launcher.ui.widgets.transfer_detail import TransferDetail


class DownloadsPage(QWidget):
    """One page, built when it is first shown."""

    pull_requested = Signal(tuple)
    """Names to download, each once."""
    cancel_requested = Signal(str)
    """Stop a download; what is on disk stays, and it can go on later."""
    retry_requested = Signal(str)
    """Go on with one that failed or is paused."""
    dismiss_requested = Signal(str)
    """Take it off the list; one that runs is stopped first."""
    page_requested = Signal(str)

    def __init__(self, store: Store, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("downloads-page")
        self.setAccessibleName(self.tr("Downloads"))
        self._store = store

        title = kind_label(self.tr("Downloads"), TextKind.PAGE_TITLE)
        self._dismiss_done = QPushButton(self.tr("Dismiss finished"))
        self._dismiss_done.setObjectName("dismiss-finished-button")
        self._dismiss_done.setAccessibleName(self._dismiss_done.text())
        self._dismiss_done.clicked.connect(self._on_dismiss_done_clicked)
        head = QHBoxLayout()
        head.addWidget(title)
        head.addStretch(1)
        head.addWidget(self._dismiss_done)
        keep = self._dismiss_done.sizePolicy()
        keep.setRetainSizeWhenHidden(True)
        self._dismiss_done.setSizePolicy(keep)

        self.pull_box = PullBox()
        self.pull_box.pull_requested.connect(self.pull_requested)

        # A download needs a server that answers; what cannot begin is said before somebody waits for it.
        self._off_row = QWidget()
        self._off_row.setObjectName("downloads-off")
        self._off_shape = StateShapeWidget(theme, 14)
        self._off_words = kind_label("", TextKind.BODY)
        self._off_words.setWordWrap(True)
        to_server = QPushButton(self.tr("Go to the server"))
        to_server.setObjectName("downloads-to-server-button")
        to_server.setAccessibleName(to_server.text())
        to_server.setProperty("kind", "link")
        to_server.setCursor(Qt.CursorShape.PointingHandCursor)
        to_server.clicked.connect(lambda: self.page_requested.emit("server"))
        off = QHBoxLayout(self._off_row)
        off.setContentsMargins(0, 0, 0, 0)
        off.addWidget(self._off_shape)
        off.addWidget(self._off_words, 1)
        off.addWidget(to_server)

        self.table_model = TransfersTableModel(self)
        self.view = QListView()
        self.view.setObjectName("transfers-list")
        self.view.setAccessibleName(self.tr("Downloads"))
        self.view.setModel(self.table_model)
        self.view.setItemDelegate(TransferDelegate(theme, self.view))
        self.view.setUniformItemSizes(True)
        self.view.setMouseTracking(True)
        self.view.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.view.setVerticalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        self.view.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.view.setContextMenuPolicy(Qt.ContextMenuPolicy.ActionsContextMenu)
        self.view.activated.connect(self._on_activated)
        self.view.selectionModel().currentChanged.connect(self._on_current_changed)
        self._add_actions()

        self._empty = EmptyState(
            self.tr("No downloads"),
            self.tr("Write the name of a model above. What is downloaded stays on this computer."),
        )
        example = self._empty.add_button(self.tr("Begin with llama3.2:1b"), "example-model-button")
        example.clicked.connect(lambda: self.pull_box.field.setText("llama3.2:1b"))
        example.clicked.connect(self.pull_box.field.setFocus)
        self.detail = TransferDetail()
        self.detail.cancel_requested.connect(self.cancel_requested)
        self.detail.retry_requested.connect(self.retry_requested)
        self.detail.dismiss_requested.connect(self.dismiss_requested)
        self.detail.show_model_requested.connect(lambda _: self.page_requested.emit("models"))

        column = QVBoxLayout(self)
        column.setContentsMargins(24, 20, 24, 24)
        column.setSpacing(12)
        column.addLayout(head)
        column.addWidget(self.pull_box)
        column.addWidget(self._off_row)
        column.addWidget(self._empty, 1)
        column.addWidget(self.view, 1)
        column.addWidget(self.detail)

        self._pace = Pace(self._draw, self)
        store.transfers_changed.connect(self.show_transfers)
        store.server_changed.connect(self.show_server)
        self.show_server()
        self._draw()
        order_tabs(self)
        self.setFocusProxy(self.pull_box.field)

    def show_server(self) -> None:
        """Say when nothing can be downloaded now."""
        status = self._store.server
        off = status is not None and status.state not in (*ANSWERING, ServerState.CHECKING)
        self._off_row.setVisible(off)
        if off:
            phrase = server_phrase(status)
            self._off_shape.show_shape(phrase.shape, phrase.role, phrase.title)
            words = self.tr("{state} – downloads need a server that runs.").format(state=phrase.title)
            self._off_words.setText(words)

    def show_transfers(self) -> None:
        """Show what the store knows, at most 30 times a second and only while somebody looks."""
        if self.isVisible():
            self._pace.wish()

    def show_transfer(self, model: str) -> None:
        """Select a download, if it is on the list."""
        row = self.table_model.row_of(model)
        if row is not None:
            self.view.setCurrentIndex(self.table_model.index(row))

    def showEvent(self, event: QShowEvent) -> None:
        self._draw()
        super().showEvent(event)

    def hideEvent(self, event: QHideEvent) -> None:
        self._pace.rest()
        super().hideEvent(event)

    @property
    def current(self) -> Transfer | None:
        """What is selected."""
        return self.table_model.transfer_at(self.view.currentIndex())

    def _draw(self) -> None:
        transfers = self._store.transfers
        self.table_model.show_transfers(transfers)
        self._empty.setVisible(not transfers)
        self.view.setVisible(bool(transfers))
        if transfers and not self.view.currentIndex().isValid():
            self.view.setCurrentIndex(self.table_model.index(0))
        self._dismiss_done.setVisible(any(each.phase is Phase.DONE for each in transfers))
        self._show_current()

    def _show_current(self) -> None:
        transfer = self.current
        self.detail.show_transfer(transfer)
        phase = transfer.phase if transfer is not None else None
        self._pause_action.setEnabled(phase is not None and phase.going_on)
        self._resume_action.setEnabled(phase in (Phase.PAUSED, Phase.FAILED))
        self._dismiss_action.setEnabled(phase is not None)
        self._copy_action.setEnabled(phase is not None)

    def _add_actions(self) -> None:
        self._pause_action = self._action("pause-action", self.tr("Pause"), self._on_pause)
        self._resume_action = self._action("resume-action", self.tr("Go on"), self._on_resume)
        self._dismiss_action = self._action("dismiss-action", self.tr("Take off the list"), self._on_dismiss)
        self._copy_action = self._action("copy-name-action", self.tr("Copy the name"), self._on_copy)
        for key, run in (
            (QKeySequence.StandardKey.Delete, self._on_delete),
            (QKeySequence.StandardKey.Copy, self._on_copy),
            (QKeySequence.StandardKey.Paste, self._on_paste),
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

    def _on_current_changed(self, now: QModelIndex, before: QModelIndex) -> None:
        self._show_current()

    def _on_activated(self, index: QModelIndex) -> None:
        transfer = self.table_model.transfer_at(index)
        if transfer is None:
            return
        if transfer.phase in (Phase.PAUSED, Phase.FAILED):
            self.retry_requested.emit(transfer.model)
        elif transfer.phase is Phase.DONE:
            self.page_requested.emit("models")

    def _on_pause(self) -> None:
        if self.current is not None:
            self.cancel_requested.emit(self.current.model)

    def _on_resume(self) -> None:
        if self.current is not None:
            self.retry_requested.emit(self.current.model)

    def _on_dismiss(self) -> None:
        if self.current is not None:
            self.dismiss_requested.emit(self.current.model)

    def _on_delete(self) -> None:
        transfer = self.current
        if transfer is None:
            return
        if transfer.phase.going_on:
            self.cancel_requested.emit(transfer.model)
        else:
            self.dismiss_requested.emit(transfer.model)

    def _on_copy(self) -> None:
        if self.current is not None:
            QGuiApplication.clipboard().setText(self.current.model)

    def _on_paste(self) -> None:
        text = QGuiApplication.clipboard().text()
        if text.strip():
            self.pull_box.paste(text)

    def _on_dismiss_done_clicked(self) -> None:
        for transfer in self._store.transfers:
            if transfer.phase is Phase.DONE:
                self.dismiss_requested.emit(transfer.model)
