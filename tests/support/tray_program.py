"""The tray icon as a program of its own, driven by lines on stdin: tests start it on desktops with and without a tray.

Commands: ``server STATE OWNER``, ``place``, ``colors``, ``tooltip``, ``item NAME``, ``end``. It says
what the tray signals, and answers each question with one line that begins as the question does.
"""

from __future__ import annotations

import json
import os
import sys

from PySide6.QtCore import QRect, QSocketNotifier
from PySide6.QtWidgets import QApplication

from launcher.domain.models import Models
from launcher.domain.server import Owner, ServerState, ServerStatus
from launcher.ui.store import Store
from launcher.ui.theme import Appearance, Theme
from launcher.ui.tray import Tray


def main() -> int:
    QApplication.setDesktopFileName("io.github.ollama_launcher.OllamaLauncher")
    QApplication.setApplicationName("ollama-launcher")
    app = QApplication(sys.argv[:1])
    app.setQuitOnLastWindowClosed(False)
    store, theme = Store(), Theme(app)
    theme.apply(Appearance.LIGHT)
    tray = Tray(store, theme)
    tray.start_requested.connect(lambda: print("wished start"))
    tray.stop_requested.connect(lambda: print("wished stop"))
    tray.show_requested.connect(lambda page: print("wished show", page))
    tray.quit_requested.connect(lambda: print("wished quit"))
    tray.available_changed.connect(lambda there: print("available", there))
    tray.menu.aboutToShow.connect(lambda: print("opened menu"))
    tray.watch()
    print("ready", tray.available)

    pending = bytearray()

    def read() -> None:
        pending.extend(os.read(0, 4096))
        while b"\n" in pending:
            line, _, rest = bytes(pending).partition(b"\n")
            pending[:] = rest
            _obey(line.decode().split(), app, store, theme, tray)

    notifier = QSocketNotifier(0, QSocketNotifier.Type.Read)
    notifier.activated.connect(read)
    return app.exec()


def _obey(words: list[str], app: QApplication, store: Store, theme: Theme, tray: Tray) -> None:
    icon = tray.icon
    match words:
        case ["server", state, owner]:
            store.put(Models(installed=(), loaded=()))
            store.put(
                ServerStatus(
                    ServerState(state),
                    Owner(owner) if owner != "-" else None,
                    address="http://127.0.0.1:11434",
                    local=True,
                    exposed=False,
                    version="0.33.0",
                )
            )
        case ["place"]:
            place = icon.geometry() if icon is not None else None
            print("place", json.dumps(_rect(place) if place is not None else None))
        case ["colors"]:
            place = icon.geometry() if icon is not None else app.primaryScreen().geometry()
            shot = app.primaryScreen().grabWindow(0, *_rect(place)).toImage()
            seen = {shot.pixelColor(x, y).name() for x in range(shot.width()) for y in range(shot.height())}
            print("colors", *sorted(seen))
        case ["tooltip"]:
            print("tooltip", json.dumps(icon.toolTip() if icon is not None else None))
        case ["item", name]:
            action = next(action for action in tray.menu.actions() if action.objectName() == name)
            middle = tray.menu.mapToGlobal(tray.menu.actionGeometry(action).center())
            print("item", middle.x(), middle.y())
        case ["end"]:
            tray.close()
            print("end", tray.available)


def _rect(place: QRect) -> tuple[int, int, int, int]:
    return place.x(), place.y(), place.width(), place.height()


if __name__ == "__main__":
    sys.exit(main())
