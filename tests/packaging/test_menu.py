"""The entry in the person's menu."""

from __future__ import annotations

import configparser
import importlib.util
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from tests.support import bootstrap as support

ROOT = Path(__file__).parents[2]


def _load() -> ModuleType:
    spec = importlib.util.spec_from_file_location("launcher_packaging_menu", ROOT / "packaging" / "menu.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


menu = _load()
WINDOW = Path("/home/ada/my launcher/.venv/bin/ollama-launcher-window")


def read(entry: Path) -> configparser.SectionProxy:
    parser = configparser.RawConfigParser(interpolation=None, delimiters=["="], comment_prefixes=["#"])
    parser.optionxform = str  # type: ignore[assignment, method-assign]  # keys keep their case
    parser.read(entry, encoding="utf-8")
    return parser["Desktop Entry"]


def test_install_writes_an_entry_that_starts_the_window(tmp_path: Path) -> None:
    entry, icon = menu.install(WINDOW, {"HOME": str(tmp_path)}, "linux")
    said = read(entry)
    assert shlex.split(said["Exec"]) == [str(WINDOW)]
    assert said["TryExec"] == str(WINDOW)
    assert said["Icon"] == icon.stem == entry.stem
    assert entry.is_relative_to(tmp_path / ".local/share/applications")
    assert icon.read_bytes() == (ROOT / "resources/icons/app.svg").read_bytes()


def test_install_again_and_uninstall_leave_nothing(tmp_path: Path) -> None:
    environment = {"XDG_DATA_HOME": str(tmp_path / "data")}
    first = menu.install(WINDOW, environment, "linux")
    assert menu.install(WINDOW, environment, "linux") == first
    assert menu.uninstall(environment, "linux") == first
    assert not [path for path in first if path.exists()]
    assert menu.uninstall(environment, "linux") == []


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        pytest.param("/a/b", '"/a/b"', id="plain"),
        pytest.param("/a b", '"/a b"', id="space"),
        pytest.param("/100%", '"/100%%"', id="per cent"),
        pytest.param('/a"b', '"/a\\\\"b"', id="quote"),
        pytest.param("/a$b", '"/a\\\\$b"', id="dollar"),
    ],
)
def test_quoting(path: str, expected: str) -> None:
    assert menu.quoted(path) == expected


@pytest.mark.parametrize(
    ("environment", "platform"),
    [
        pytest.param({}, "linux", id="no home"),
        pytest.param({}, "win32", id="no roaming folder"),
        pytest.param({"HOME": "/x"}, "darwin", id="macOS has no menu"),
    ],
)
def test_what_cannot_be_done_is_said(environment: dict[str, str], platform: str) -> None:
    with pytest.raises(menu.MenuError) as caught:
        menu.install(WINDOW, environment, platform)
    assert str(caught.value)
    assert caught.value.hint


def test_a_folder_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("a file")
    with pytest.raises(menu.MenuError):
        menu.install(WINDOW, {"XDG_DATA_HOME": str(tmp_path / "data")}, "linux")


def test_the_template_is_a_valid_entry(tmp_path: Path) -> None:
    said = read(ROOT / "resources" / "desktop" / f"{menu.APP_ID}.desktop")
    assert said["Type"] == "Application"
    assert said["Exec"] == "ollama-launcher-window"
    validate = shutil.which("desktop-file-validate")
    if validate:
        subprocess.run([validate, str(ROOT / "resources/desktop" / f"{menu.APP_ID}.desktop")], check=True)


def test_run_sh_installs_and_uninstalls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bootstrap = support.load()
    venv = tmp_path / ".venv"
    # Setting up is another test's: here it must not touch the environment that the tests themselves run in.
    monkeypatch.setattr(bootstrap, "set_up", lambda *_: (venv, False))
    monkeypatch.setattr(bootstrap, "need_system", lambda *_: True)
    monkeypatch.setattr(sys, "path", [str(ROOT / "packaging"), *sys.path])
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    entry = tmp_path / "data" / "applications" / f"{menu.APP_ID}.desktop"
    assert bootstrap.run(["--install"]) == 0
    assert shlex.split(read(entry)["Exec"]) == [str(venv / "bin" / "ollama-launcher-window")]
    assert bootstrap.run(["--uninstall"]) == 0
    assert not entry.exists()
