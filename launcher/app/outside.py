"""What is opened or started outside of the window: a page of the web, a folder, the demo.

By way of Qt only where nothing of ours can leak into what is started: a browser must not inherit what a bundle has
changed in our environment.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Sequence

from launcher import paths
from launcher.environment import child_environment, self_command
from launcher.errors import LauncherError, sentence

_GET_OLLAMA = "https://ollama.com/download"


class CannotOpen(LauncherError):
    """There is no program for it here, or it does not start."""


class Outside:
    """What pages wish that happens elsewhere. ``report`` gets what does not happen."""

    def __init__(self, report: Callable[[LauncherError], None]) -> None:
        self._report = report

    def get_ollama(self) -> None:
        """Show the page from which Ollama is installed."""
        self._try(lambda: open_url(_GET_OLLAMA))

    def open_log_folder(self) -> None:
        """Show the folder of the logs, made where none was written yet."""
        self._try(lambda: open_url(paths.ensure_dir(paths.log_dir()).as_uri()))

    def open_demo(self) -> None:
        """Open a second window, on the simulated server."""
        self._try(lambda: _start_detached(self_command("--demo")))

    def _try(self, deed: Callable[[], None]) -> None:
        try:
            deed()
        except LauncherError as error:
            self._report(error)


def open_url(url: str) -> None:
    """Open an address with the program that is meant for it; raises CannotOpen where none is."""
    from PySide6.QtCore import QUrl
    from PySide6.QtGui import QDesktopServices

    if sys.platform == "linux" and shutil.which("xdg-open"):
        _start_detached(["xdg-open", url])
    elif not QDesktopServices.openUrl(QUrl(url)):
        shown = QUrl(url).toLocalFile() or url
        raise CannotOpen(
            sentence("{address} could not be opened: there is no program for it here.", address=shown),
            hint="Open it by hand.",
        )


def _start_detached(command: Sequence[str]) -> None:
    from PySide6.QtCore import QProcess, QProcessEnvironment

    process = QProcess()
    process.setProgram(command[0])
    process.setArguments(list(command[1:]))
    environment = QProcessEnvironment()
    for name, value in child_environment().items():
        environment.insert(name, value)
    process.setProcessEnvironment(environment)
    started = process.startDetached()
    if not (started[0] if isinstance(started, tuple) else started):
        raise CannotOpen(
            sentence("{program} could not be started.", program=command[0]),
            detail=process.errorString(),
            hint="Start it by hand.",
        )
