"""Where the launcher is seen: its window, and its icon in the tray.

Closing the window hides it where a tray has the icon and a person wants that, else it is the wish to quit. What is said
about that is said once in a life.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import TYPE_CHECKING

from PySide6.QtCore import QCoreApplication, Qt

from launcher import paths
from launcher.app.front import Front
from launcher.errors import StorageError
from launcher.tasks import TaskScope, run_blocking

if TYPE_CHECKING:
    from launcher.ui.tray import Tray

_NO_TRAY_FOR_S = 10.0
"""A window that is hidden comes back when there has been no tray for so long."""
_NOTICES_NAME = "notices"


class Presence:
    """``closes_to_tray`` is a person's setting, asked for when it matters."""

    def __init__(
        self, front: Front, scope: TaskScope, *, on_quit: Callable[[], None], closes_to_tray: Callable[[], bool]
    ) -> None:
        self._store = front.store
        self._theme = front.theme
        self._window = front.window
        self._scope = scope
        self._quit = on_quit
        self._closes_to_tray = closes_to_tray
        self._told: set[str] = set()
        self._no_tray: asyncio.TimerHandle | None = None
        self._ended = False
        self.tray: Tray | None = None
        self._window.closing.connect(self._on_closing)
        self._window.quit_requested.connect(self._quit)

    async def appear(self, *, start: Callable[[], None], stop: Callable[[], None]) -> None:
        """Show the icons of window and tray. ``start`` and ``stop`` are what the tray's menu offers."""
        from launcher.ui.tray import Tray

        self._told.update(await run_blocking(_read_told))
        self._window.show_icon()
        self.tray = tray = Tray(self._store, self._theme)
        tray.start_requested.connect(start)
        tray.stop_requested.connect(stop)
        tray.show_requested.connect(self.show)
        tray.quit_requested.connect(self._quit)
        tray.available_changed.connect(self._on_tray_changed)
        tray.watch()
        self._on_tray_changed()

    def show(self, page: str = "") -> None:
        """Bring the window to the front, on ``page`` where one is named."""
        if self._ended:
            return
        if page:
            self._window.show_page(page)
        window = self._window
        window.setWindowState(window.windowState() & ~Qt.WindowState.WindowMinimized)
        window.show()
        window.raise_()
        window.activateWindow()

    def end(self) -> None:
        """Show nothing any more."""
        self._ended = True

    def close(self) -> None:
        if self._no_tray is not None:
            self._no_tray.cancel()
            self._no_tray = None
        if self.tray is not None:
            self.tray.close()

    def _on_closing(self) -> None:
        if self.tray is not None and self.tray.available and self._closes_to_tray():
            self._window.hide()
            self._say_once("in-tray", self._say_in_tray)
        else:
            self._quit()

    def _on_tray_changed(self) -> None:
        if self._no_tray is not None:
            self._no_tray.cancel()
            self._no_tray = None
        if self.tray is not None and not self.tray.available:
            # It may come in a moment: a desktop that starts, a shell that starts anew.
            self._no_tray = asyncio.get_running_loop().call_later(_NO_TRAY_FOR_S, self._on_no_tray)

    def _on_no_tray(self) -> None:
        self._no_tray = None
        if not self._window.isVisible():
            self.show()
        if self._closes_to_tray():
            self._say_once("no-tray", self._say_no_tray)

    def _say_in_tray(self) -> None:
        if self.tray is not None:
            self.tray.tell(
                _tr("The launcher goes on here"),
                _tr("A click on this icon shows the window again; its menu has Quit."),
            )

    def _say_no_tray(self) -> None:
        self._window.message_bar.show_note(
            _tr("There is no system tray here, so closing the window quits the launcher."),
            _tr("The settings say whether Ollama is stopped then."),
        )

    def _say_once(self, key: str, say: Callable[[], None]) -> None:
        if key in self._told:
            return
        self._told.add(key)
        say()
        self._scope.spawn(run_blocking(_write_told, frozenset(self._told)), name="notices")


def _read_told() -> set[str]:
    try:
        return set((paths.state_dir() / _NOTICES_NAME).read_text(encoding="utf-8").split())
    except (OSError, ValueError, StorageError):
        return set()


def _write_told(told: frozenset[str]) -> None:
    # Lost, it costs a person one sentence more.
    with contextlib.suppress(OSError, StorageError):
        (paths.state_dir() / _NOTICES_NAME).write_text("\n".join(sorted(told)) + "\n", encoding="utf-8")


def _tr(text: str) -> str:
    return QCoreApplication.translate("app", text)
