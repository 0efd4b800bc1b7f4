"""What every test stands on: Qt without a display, plain asyncio, and no file or variable of the person who runs it.

The plugins named here fail a test that leaves a task, timer or process behind, logs an unexpected warning or blocks its
loop, and give it ``expect_log``, ``as_nobody``, ``nobody_folder``, ``wait_for`` and ``free_port``.
"""

from __future__ import annotations

import os

# Before anything imports Qt: without a display Qt would abort the whole run.
os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
os.environ["QT_API"] = "pyside6"

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from launcher.ui.events import Application

pytest_plugins = [
    "tests.support.leaks",
    "tests.support.logfail",
    "tests.support.blocking",
    "tests.support.nobody",
    "tests.support.waiting",
    "tests.support.machine",
    "tests.support.desktop",
]

_PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")


@pytest.fixture(scope="session")
def qapp_cls() -> type[Application]:
    """The application that pytest-qt makes is ours, as in the program."""
    from launcher.ui.events import Application

    return Application


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(autouse=True)
def isolated_environment(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Move HOME and the launcher's folders away; forget Ollama's variables and proxies. Returns the folder of all."""
    folder = tmp_path_factory.mktemp("person")
    home = folder / "home"
    home.mkdir()
    for name in list(os.environ):
        if name.upper() in _PROXIES or name.startswith(("OLLAMA_", "LAUNCHER_", "XDG_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("USERPROFILE", str(home))
    monkeypatch.setenv("LAUNCHER_CONFIG_DIR", str(folder / "config"))
    monkeypatch.setenv("LAUNCHER_STATE_DIR", str(folder / "state"))
    return folder
