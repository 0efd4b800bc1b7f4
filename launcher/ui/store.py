"""The border between services and widgets: what was published last, and a signal for each kind of snapshot.

``publish`` of every service is :meth:`Store.put`. It knows no service and no widget; a page that is built late reads
what is there and listens from then on.

The first paint shows a server's status only: what else there is to publish is imported with the first of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, QThread, Signal

from launcher.domain.server import ServerStatus

if TYPE_CHECKING:
    from launcher.domain.models import Models
    from launcher.domain.settings import Settings
    from launcher.domain.transfer import Transfer

    Snapshot = ServerStatus | Models | Settings | tuple[Transfer, ...]


class Store(QObject):
    """The last snapshot of each kind. Signals carry the snapshot itself; equal ones are dropped."""

    server_changed = Signal(object)
    models_changed = Signal(object)
    transfers_changed = Signal(object)
    settings_changed = Signal(object)

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._server: ServerStatus | None = None
        self._models: Models | None = None
        self._transfers: tuple[Transfer, ...] = ()
        self._settings: Settings | None = None

    @property
    def server(self) -> ServerStatus | None:
        """None: nobody has looked yet."""
        return self._server

    @property
    def models(self) -> Models | None:
        """None: nobody has looked yet."""
        return self._models

    @property
    def transfers(self) -> tuple[Transfer, ...]:
        """All downloads, ended ones too, in the order of the queue."""
        return self._transfers

    @property
    def settings(self) -> Settings | None:
        """None: not read yet."""
        return self._settings

    def put(self, snapshot: Snapshot) -> None:
        """Remember and announce a snapshot that differs from the last of its kind. GUI thread only."""
        if QThread.currentThread() is not self.thread():
            raise RuntimeError("Store.put() was called outside the thread of the window")
        match snapshot:
            case ServerStatus():
                if snapshot != self._server:
                    self._server = snapshot
                    self.server_changed.emit(snapshot)
            case tuple():
                if snapshot != self._transfers:
                    self._transfers = snapshot
                    self.transfers_changed.emit(snapshot)
            case _:
                self._put_late(snapshot)

    def _put_late(self, snapshot: Models | Settings) -> None:
        from launcher.domain.models import Models

        if isinstance(snapshot, Models):
            if snapshot != self._models:
                self._models = snapshot
                self.models_changed.emit(snapshot)
        elif snapshot != self._settings:
            self._settings = snapshot
            self.settings_changed.emit(snapshot)
