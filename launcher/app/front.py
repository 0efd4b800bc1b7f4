"""What the first paint shows: the window with its first page, its theme and the store behind it.

Nothing here, nor what it imports, knows asyncio or a service: they are imported when the window has been painted.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from PySide6.QtCore import QCoreApplication, QTimer

from launcher.app.unexpected import Unexpected
from launcher.domain.appearance import Appearance
from launcher.domain.server import ServerState, ServerStatus
from launcher.ui.events import Application, WindowEvents
from launcher.ui.main_window import MainWindow
from launcher.ui.pages.server import ServerPage
from launcher.ui.store import Store
from launcher.ui.theme import Theme

if TYPE_CHECKING:
    from launcher.ui.store import Snapshot

_FIRST_PAINT_MS = 2_000


class Front:
    """One window and what it stands on, from before its first paint to the end of the program."""

    def __init__(self, app: Application, appearance: Appearance = Appearance.SYSTEM, *, demo: bool = False) -> None:
        self.app = app
        self.demo = demo
        self.unexpected = Unexpected()
        self.store = Store()
        self.theme = Theme(app)
        self.theme.apply(appearance)
        self.window = MainWindow(self.store, self.theme, demo=demo)
        self.window_events = WindowEvents()
        self.window.installEventFilter(self.window_events)
        if demo:
            self.publish(ServerStatus(ServerState.CHECKING, None, address="", local=True, exposed=False))
        self.server_page = ServerPage(self.store, self.theme)
        title = QCoreApplication.translate("pages", "Server")
        self.window.add_page("server", title, "server", self.server_page)
        self._quit_wished = False
        app.only_wishes_to_quit = True

    def publish(self, snapshot: Snapshot) -> None:
        """Show a snapshot; a demo says so whatever its server does, and before there is one."""
        if self.demo and isinstance(snapshot, ServerStatus):
            snapshot = replace(snapshot, simulated=True)
        self.store.put(snapshot)

    def paint_first(self) -> bool:
        """Show the window and return when it has been painted; False when a person has wished to quit meanwhile.

        Not for ever: it may be shown on no screen. This is the one place that runs Qt without asyncio on top of it.
        """
        self.window_events.painted.connect(self._on_painted)
        self.app.quit_wished.connect(self._on_quit_wished)
        self.window.closing.connect(self._on_quit_wished)
        late = QTimer(singleShot=True, interval=_FIRST_PAINT_MS)
        late.timeout.connect(self.app.exit)
        late.start()
        self.window.show()
        self.app.exec()
        late.stop()
        self.window.closing.disconnect(self._on_quit_wished)
        self.app.quit_wished.disconnect(self._on_quit_wished)
        self.window_events.painted.disconnect(self._on_painted)
        return not self._quit_wished

    def close(self) -> None:
        """Let go of the application. The last thing before the end."""
        self.window.removeEventFilter(self.window_events)
        self.window.hide()
        self.window.deleteLater()
        self.app.only_wishes_to_quit = False
        self.unexpected.close()

    def _on_painted(self) -> None:
        # The paint event comes before the pixels are on the screen.
        QTimer.singleShot(0, self.app.exit)

    def _on_quit_wished(self) -> None:
        self._quit_wished = True
        self.app.exit()
