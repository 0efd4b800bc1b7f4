"""What is opened or started outside of the window: a page of the web, a folder, the demo.

By way of Qt only where nothing of ours can leak into what is started: a browser must not inherit what a bundle has
changed in our environment.
"""

from __future__ import annotations

import logging
import shutil
import sys
from collections.abc import Sequence

from launcher import paths
from launcher.environment import child_environment, self_command

_log = logging.getLogger(__name__)

_GET_OLLAMA = "https://ollama.com/download"


def get_ollama() -> None:
    """Show the page from which Ollama is installed."""
    open_url(_GET_OLLAMA)


def open_log_folder() -> None:
    open_url(paths.log_dir().as_uri())


def open_demo() -> None:
    """Open a second window, on the simulated server."""
    _start_detached(self_command("--demo"))


def open_url(url: str) -> None:
    """Open an address with the program that is meant for it."""
    from PySide6.QtCore import QUrl
    from PySide6.QtGui import QDesktopServices

    if sys.platform == "linux" and shutil.which("xdg-open"):
        _start_detached(["xdg-open", url])
    else:
        QDesktopServices.openUrl(QUrl(url))


def _start_detached(command: Sequence[str]) -> None:
    from PySide6.QtCore import QProcess, QProcessEnvironment

    process = QProcess()
    process.setProgram(command[0])
    process.setArguments(list(command[1:]))
    environment = QProcessEnvironment()
    for name, value in child_environment().items():
        environment.insert(name, value)
    process.setProcessEnvironment(environment)
    if not process.startDetached():
        _log.warning("%s cannot be started: %s", command[0], process.errorString())
