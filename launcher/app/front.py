"""What the first paint shows: the window with its first page, its theme and the store behind it.

Nothing here, nor what it imports, knows asyncio or a service: they are imported when the window has been painted.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

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


def quitting_signals() -> Iterator[int]:
    """What ends the program from outside, but for what is to be ignored (nohup has said so)."""
    for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK"):
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) is not signal.SIG_IGN:
            yield number


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
        self.quit_wished = False
        """Somebody wished so before there was a loop to hear of it."""
        self._runs_qt = False
        self._previous: dict[int, Any] = {}
        app.only_wishes_to_quit = True

    def publish(self, snapshot: Snapshot) -> None:
        """Show a snapshot; a demo says so whatever its server does, and before there is one."""
        if self.demo and isinstance(snapshot, ServerStatus):
            snapshot = replace(snapshot, simulated=True)
        self.store.put(snapshot)

    def hear_signals(self) -> None:
        """Take the signals that end the program for wishes to quit, until the loop hears them itself."""
        for number in quitting_signals():
            self._previous[number] = signal.signal(number, self._on_signal)

    def paint_first(self) -> None:
        """Show the window and return when it has been painted, or when somebody has wished to quit.

        It does not wait for ever: the window may be shown on no screen. This is the one place that runs Qt without
        asyncio on top of it.
        """
        self.window_events.painted.connect(self._on_painted)
        self.app.quit_wished.connect(self._on_quit_wished)
        self.window.closing.connect(self._on_quit_wished)
        late = QTimer(singleShot=True, interval=_FIRST_PAINT_MS)
        late.timeout.connect(self.app.exit)
        late.start()
        self.window.show()
        self._runs_qt = True
        self.app.exec()
        self._runs_qt = False
        late.stop()
        self.window.closing.disconnect(self._on_quit_wished)
        self.app.quit_wished.disconnect(self._on_quit_wished)
        self.window_events.painted.disconnect(self._on_painted)

    def close(self) -> None:
        """Let go of the application. The last thing before the end."""
        self.window.removeEventFilter(self.window_events)
        self.window.hide()
        self.window.deleteLater()
        self.app.only_wishes_to_quit = False
        for number, previous in self._previous.items():
            if signal.getsignal(number) == self._on_signal:
                signal.signal(number, previous)
        self.unexpected.close()

    def _on_painted(self) -> None:
        # The paint event comes before the pixels are on the screen.
        QTimer.singleShot(0, self.app.exit)

    def _on_signal(self, _number: int, _frame: object) -> None:
        self._on_quit_wished()

    def _on_quit_wished(self) -> None:
        self.quit_wished = True
        if self._runs_qt:  # else it is the loop's, or nobody's yet
            self.app.exit()
