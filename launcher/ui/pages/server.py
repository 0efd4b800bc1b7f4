"""The first screen: what the server is, what is loaded, what is being downloaded, and the next step of each.

Renders the store. Times tick here, from what the snapshots say; nobody is asked for them.
"""

# ruff: noqa: N802 - Qt names the methods that it calls

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from PySide6.QtCore import Qt, QTimer, Signal
from PySide6.QtGui import QHideEvent, QShowEvent
from PySide6.QtWidgets import QFrame, QScrollArea, QVBoxLayout, QWidget

from launcher.domain.server import ServerState
from launcher.ui.pace import Pace
from launcher.ui.store import Store
from launcher.ui.theme import Theme
from launcher.ui.widgets.server_card import ServerCard
from launcher.ui.widgets.tab_order import order_tabs

if TYPE_CHECKING:
    from launcher.ui.models_table import Work
    from launcher.ui.widgets.loaded_models import LoadedModelsCard
    from launcher.ui.widgets.next_steps import NextStepsCard
    from launcher.ui.widgets.running_downloads import DownloadsCard

_TICK_MS = 1000


class ServerPage(QWidget):
    """``now_s`` is seconds since the epoch, as the snapshots tell times."""

    start_requested = Signal()
    stop_requested = Signal()
    restart_requested = Signal()
    load_requested = Signal(tuple)
    """Names to load: the default model's."""
    unload_requested = Signal(str)
    cancel_requested = Signal(str)
    """Stop a download; what is on disk stays, and it can go on later."""
    page_requested = Signal(str)
    choose_binary_requested = Signal()
    get_ollama_requested = Signal()
    demo_requested = Signal()

    def __init__(
        self,
        store: Store,
        theme: Theme,
        *,
        now_s: Callable[[], float] = time.time,
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self.setObjectName("server-page")
        self.setAccessibleName(self.tr("Server"))
        self._store = store
        self._theme = theme
        self._now_s = now_s

        self._card = ServerCard(theme, now_s)
        self._card.start_requested.connect(self.start_requested)
        self._card.stop_requested.connect(self.stop_requested)
        self._card.restart_requested.connect(self.restart_requested)
        self._card.page_requested.connect(self.page_requested)
        # Made when there is something to show: the first paint knows no server yet.
        self._steps: NextStepsCard | None = None
        self._loaded: LoadedModelsCard | None = None
        self._downloads: DownloadsCard | None = None

        content = QWidget()
        self._column = QVBoxLayout(content)
        self._column.setContentsMargins(24, 20, 24, 24)
        self._column.setSpacing(16)
        self._column.addWidget(self._card)
        self._column.addStretch(1)
        scroll = QScrollArea()
        scroll.setFrameShape(QFrame.Shape.NoFrame)
        scroll.setWidgetResizable(True)
        scroll.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        scroll.setWidget(content)
        outer = QVBoxLayout(self)
        outer.setContentsMargins(0, 0, 0, 0)
        outer.addWidget(scroll)

        self._clock = QTimer(self, interval=_TICK_MS)
        self._clock.timeout.connect(self._on_tick)
        self._pace = Pace(self._draw_transfers, self)
        store.server_changed.connect(self.show_server)
        store.models_changed.connect(self.show_server)
        store.settings_changed.connect(self.show_server)
        store.transfers_changed.connect(self.show_transfers)
        self.show_server()

    @property
    def ticking(self) -> bool:
        """True while times are brought up every second."""
        return self._clock.isActive()

    def show_server(self) -> None:
        """Show what the store knows of server and models."""
        status, models = self._store.server, self._store.models
        self._card.show_status(status, models)
        checking = status is None or status.state is ServerState.CHECKING
        missing = status is not None and status.state is ServerState.NOT_INSTALLED
        if missing and self._steps is None:
            self._steps = self._make_steps()
        if self._steps is not None:
            self._steps.setVisible(missing)
        answers = not missing and not checking
        if answers and self._loaded is None:
            self._loaded = self._make_loaded()
        if self._loaded is not None:
            self._loaded.setVisible(answers)
            settings = self._store.settings
            default = settings.default_model if settings is not None else ""
            if self._loaded.show_models(status, models, default):
                order_tabs(self)
        self._draw_transfers()
        self._tick_or_rest()

    def show_work(self, name: str, work: Work | None) -> None:
        """Say what is being done to a model; None: nothing any more."""
        if self._loaded is not None:
            self._loaded.show_work(name, work)
            self.show_server()

    def show_transfers(self) -> None:
        """Show what the store knows of downloads, at most 30 times a second and only while somebody looks."""
        if self.isVisible():
            self._pace.wish()

    def showEvent(self, event: QShowEvent) -> None:
        self._on_tick()
        self._draw_transfers()
        self._tick_or_rest()
        super().showEvent(event)

    def hideEvent(self, event: QHideEvent) -> None:
        self._clock.stop()
        self._pace.rest()
        super().hideEvent(event)

    def _make_steps(self) -> NextStepsCard:
        from launcher.ui.widgets.next_steps import NextStepsCard

        steps = NextStepsCard()
        steps.get_ollama_requested.connect(self.get_ollama_requested)
        steps.choose_binary_requested.connect(self.choose_binary_requested)
        steps.demo_requested.connect(self.demo_requested)
        self._column.insertWidget(1, steps)
        order_tabs(self)
        return steps

    def _make_loaded(self) -> LoadedModelsCard:
        from launcher.ui.widgets.loaded_models import LoadedModelsCard

        loaded = LoadedModelsCard(self._theme, self._now_s)
        loaded.load_requested.connect(self.load_requested)
        loaded.unload_requested.connect(self.unload_requested)
        loaded.page_requested.connect(self.page_requested)
        self._column.insertWidget(1, loaded)
        order_tabs(self)
        return loaded

    def _make_downloads(self) -> DownloadsCard:
        from launcher.ui.widgets.running_downloads import DownloadsCard

        downloads = DownloadsCard()
        downloads.cancel_requested.connect(self.cancel_requested)
        downloads.page_requested.connect(self.page_requested)
        self._column.insertWidget(self._column.count() - 1, downloads)
        order_tabs(self)
        return downloads

    def _draw_transfers(self) -> None:
        transfers, status = self._store.transfers, self._store.server
        known = status is not None and status.state not in (ServerState.CHECKING, ServerState.NOT_INSTALLED)
        shown = bool(transfers) or known
        if shown and self._downloads is None:
            self._downloads = self._make_downloads()
        if self._downloads is not None:
            self._downloads.setVisible(shown)
            if self._downloads.show_transfers(transfers):
                order_tabs(self)

    def _tick_or_rest(self) -> None:
        status = self._store.server
        ticking = (status is not None and status.started_at is not None) or (
            self._loaded is not None and self._loaded.ticking
        )
        if ticking and self.isVisible():
            if not self._clock.isActive():
                self._clock.start()
        else:
            self._clock.stop()

    def _on_tick(self) -> None:
        self._card.show_time()
        if self._loaded is not None:
            self._loaded.show_time()
