"""Our own folders: where they are, who may enter, and what is said where there is no place for them."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from launcher import paths
from launcher.errors import StorageError
from tests.support.nobody import AsNobody

posix_only = pytest.mark.skipif(
    sys.platform == "win32", reason="Linux and macOS only: Windows has no modes and no HOME"
)

FOLDERS = [
    pytest.param(paths.config_dir, id="config"),
    pytest.param(paths.state_dir, id="state"),
    pytest.param(paths.log_dir, id="log"),
    pytest.param(paths.cache_dir, id="cache"),
]


@pytest.fixture
def person(isolated_environment: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give the home of a person who has set nothing."""
    monkeypatch.delenv("LAUNCHER_CONFIG_DIR")
    monkeypatch.delenv("LAUNCHER_STATE_DIR")
    return isolated_environment / "home"


def test_the_variables_win(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("LAUNCHER_CONFIG_DIR", str(tmp_path / "c"))
    monkeypatch.setenv("LAUNCHER_STATE_DIR", str(tmp_path / "s"))
    monkeypatch.setenv("XDG_CONFIG_HOME", "/elsewhere")
    monkeypatch.setenv("XDG_STATE_HOME", "/elsewhere")

    assert paths.config_dir() == tmp_path / "c"
    assert paths.state_dir() == tmp_path / "s"
    assert paths.log_dir() == tmp_path / "s" / "logs"
    assert paths.cache_dir() == tmp_path / "s" / "cache"


def test_a_relative_variable_does_not_move_with_the_current_folder(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LAUNCHER_STATE_DIR", "here")

    assert paths.state_dir() == tmp_path / "here"


@pytest.mark.parametrize("folder", FOLDERS)
def test_without_variables_all_is_in_the_home(person: Path, folder: Callable[[], Path]) -> None:
    assert person in folder().parents
    assert "ollama-launcher" in folder().parts
    assert not folder().exists()


@posix_only
@pytest.mark.parametrize("folder", FOLDERS)
@pytest.mark.parametrize(
    "home",
    [pytest.param(None, id="no HOME"), pytest.param("", id="empty HOME"), pytest.param("relative", id="odd HOME")],
)
def test_without_a_home_a_sentence_says_what_to_do(
    person: Path, monkeypatch: pytest.MonkeyPatch, folder: Callable[[], Path], home: str | None
) -> None:
    if home is None:
        monkeypatch.delenv("HOME")
    else:
        monkeypatch.setenv("HOME", home)

    with pytest.raises(StorageError, match="home folder is not known") as caught:
        folder()
    assert "LAUNCHER_STATE_DIR" in caught.value.hint


@pytest.mark.skipif(sys.platform != "linux", reason="Linux only: nobody else has these variables")
def test_without_a_home_the_folders_of_the_desktop_do(
    person: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("HOME")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))

    assert paths.state_dir() == tmp_path / "ollama-launcher"


def test_ensure_dir_makes_what_is_missing(tmp_path: Path) -> None:
    made = paths.ensure_dir(tmp_path / "a" / "b")

    assert made == tmp_path / "a" / "b"
    assert made.is_dir()
    assert paths.ensure_dir(made) == made


@posix_only
def test_ensure_dir_lets_nobody_else_in(tmp_path: Path) -> None:
    old = os.umask(0)
    try:
        made = paths.ensure_dir(tmp_path / "a" / "b" / "c")
    finally:
        os.umask(old)

    for folder in (made, made.parent, made.parent.parent):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700


@posix_only
def test_ensure_dir_leaves_the_mode_of_what_is_there(tmp_path: Path) -> None:
    tmp_path.chmod(0o750)

    assert stat.S_IMODE(paths.ensure_dir(tmp_path).stat().st_mode) == 0o750


def test_ensure_dir_names_a_file_in_its_place(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")

    with pytest.raises(StorageError, match="file cannot be created"):
        paths.ensure_dir(tmp_path / "file")


@posix_only
def test_ensure_dir_names_a_folder_that_may_not_be_made(as_nobody: AsNobody, nobody_folder: Path) -> None:
    nobody_folder.chmod(0o555)
    with pytest.raises(StorageError, match="new cannot be created"):
        as_nobody(paths.ensure_dir, nobody_folder / "new")
    nobody_folder.chmod(0o777)


def test_resources_are_found() -> None:
    assert paths.resource("README.md").is_file()


def test_a_missing_resource_says_install_again() -> None:
    with pytest.raises(StorageError) as caught:
        paths.resource("icons/none.svg")
    assert caught.value.hint == "Install the launcher again."
