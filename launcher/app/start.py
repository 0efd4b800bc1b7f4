"""The start of the window: one for each person, painted before anything else is imported.

What a person sees at once needs neither asyncio nor a service. So Qt runs by itself until the window has been painted,
and only then the loop is made that runs it from there on.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from PySide6.QtCore import QMessageLogContext, QtMsgType, qInstallMessageHandler

from launcher import __version__, paths
from launcher.app.front import Front
from launcher.domain.appearance import Appearance
from launcher.errors import StorageError
from launcher.ui.events import Application
from launcher.ui.single_instance import Handing, SingleInstance, Wish

DESKTOP_ID = "io.github.ollama_launcher.OllamaLauncher"

_FAILED_CODE = 1
_GLIMPSE_BYTES = 100_000


def main(*, host: str | None = None, demo: bool = False, hidden: bool = False, pulls: Sequence[str] = ()) -> int:
    """Show the window, or the one that runs already; returns the exit code when it has been quit.

    ``host`` names the server for this one run; ``demo`` works on the simulated server, in folders of its own;
    ``hidden`` starts in the tray; ``pulls`` are models to download.
    """
    try:
        if demo:
            _move_folders_to_demo()
        return _run(host=host, demo=demo, hidden=hidden, pulls=pulls)
    except StorageError as error:  # no home folder: there is no place for a window to remember anything
        print(f"Error: {error.title} {error.hint}", file=sys.stderr)
        return _FAILED_CODE


def make_application(arguments: Sequence[str]) -> Application:
    """Make Qt's application as the rest of the system should know it."""
    # Named before it exists: the tray and notifications take these for what shows up there.
    Application.setApplicationName("ollama-launcher")
    Application.setApplicationVersion(__version__)
    Application.setDesktopFileName(DESKTOP_ID)
    previous = qInstallMessageHandler(_NoScreen())
    # By argument: setStyle() makes PySide6 wrap QStyle with all its enumerations, 5 ms before the first paint.
    app = Application([*arguments[:1], "-style", "fusion"])
    qInstallMessageHandler(previous)
    app.setQuitOnLastWindowClosed(False)
    return app


class _NoScreen:
    """Hears Qt while the application is made: says in one sentence that there is no screen, and ends.

    Qt would abort after a page of words about its plug-ins.
    """

    def __init__(self) -> None:
        self._said: list[str] = []

    def __call__(self, kind: QtMsgType, _context: QMessageLogContext, text: str) -> None:
        self._said.append(text.strip())
        if kind is not QtMsgType.QtFatalMsg:
            return
        why = next((each for each in self._said if "connect" in each), self._said[0])
        print(f"Error: No window can be shown here: {why.rstrip('.')}.", file=sys.stderr)
        print("In a terminal, ollama-launcher does the same work: see ollama-launcher --help.", file=sys.stderr)
        sys.stderr.flush()
        # Qt aborts as soon as this returns.
        os._exit(_FAILED_CODE)


def _run(*, host: str | None, demo: bool, hidden: bool, pulls: Sequence[str]) -> int:
    instance = _own_instance()
    if instance is not None and not instance.acquire():
        wish = Wish(tuple(pulls), hidden, os.environ.get("XDG_ACTIVATION_TOKEN", ""))
        handing = instance.hand_over(wish)
        if handing is Handing.TAKEN:
            return 0
        if handing is Handing.NOT_HEARD:
            print("The launcher runs already, but does not answer.", file=sys.stderr)
            return _FAILED_CODE
    app = make_application(sys.argv)
    front = Front(app, _glimpsed_appearance(), demo=demo)
    try:
        front.hear_signals()
        if not hidden:
            front.paint_first()
        if front.quit_wished:
            return 0
        # asyncio and qasync alone would take a quarter of the time to the first paint.
        import asyncio

        from launcher.app.launcher import Launcher
        from launcher.loop import make_loop

        launcher = Launcher(front, instance, host=host, hidden=hidden, pulls=pulls)
        with asyncio.Runner(loop_factory=lambda: make_loop(app)) as runner:
            return runner.run(launcher.run())
    finally:
        front.close()


def _move_folders_to_demo() -> None:
    """Give this process, and what it starts, folders that hold nothing real."""
    folder = paths.state_dir() / "demo"
    os.environ["LAUNCHER_CONFIG_DIR"] = str(folder / "config")
    os.environ["LAUNCHER_STATE_DIR"] = str(folder)


def _own_instance() -> SingleInstance | None:
    try:
        return SingleInstance(paths.ensure_dir(paths.state_dir()))
    except StorageError:  # the services cannot have it either, and tell
        return None


def _glimpsed_appearance() -> Appearance:
    """Light or dark for the first paint; the settings are read in earnest after it, and wrong ones told then."""
    try:
        with (paths.config_dir() / "settings.json").open("rb") as file:
            raw = file.read(_GLIMPSE_BYTES)
        import json

        return Appearance(json.loads(raw)["appearance"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return Appearance.SYSTEM
