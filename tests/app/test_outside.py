"""What is opened outside of the window, and what is said where nothing opens it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from PySide6.QtWidgets import QApplication

from launcher.app.outside import Outside
from launcher.errors import LauncherError
from tests.support.processes import until

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif(os.name != "posix", reason="elsewhere the system opens it"),
    pytest.mark.qt_log_ignore("does not support QPlatformServices"),
]


@pytest.fixture
def told(qapp: QApplication) -> list[LauncherError]:
    return []


@pytest.fixture
def outside(told: list[LauncherError], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Outside:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("LAUNCHER_STATE_DIR", str(tmp_path / "state"))
    for name in ("BROWSER", "DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    return Outside(told.append)


def test_where_no_program_opens_it_the_address_is_told(outside: Outside, told: list[LauncherError]) -> None:
    outside.get_ollama()
    assert "https://ollama.com/download could not be opened" in told[0].title
    assert told[0].hint == "Open it by hand."


def test_the_folder_is_there_to_be_opened(outside: Outside, told: list[LauncherError], tmp_path: Path) -> None:
    outside.open_log_folder()
    assert (tmp_path / "state" / "logs").is_dir()
    assert str(tmp_path / "state" / "logs") in told[0].title


async def test_the_program_gets_the_address(outside: Outside, told: list[LauncherError], tmp_path: Path) -> None:
    opener, opened = tmp_path / "xdg-open", tmp_path / "opened"
    opener.write_text(f'#!/bin/sh\necho "$1" > {opened}.new && /bin/mv {opened}.new {opened}\n')
    opener.chmod(0o755)
    outside.get_ollama()
    await until(opened.exists)
    assert opened.read_text().strip() == "https://ollama.com/download"
    assert told == []


def test_a_folder_that_cannot_be_is_told(
    outside: Outside, told: list[LauncherError], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LAUNCHER_STATE_DIR", "/proc/nowhere")
    outside.open_log_folder()
    assert "cannot be created" in told[0].title
