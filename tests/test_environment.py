"""What children inherit, from source and from a bundle."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from launcher.environment import child_environment, is_frozen, self_command


@pytest.fixture
def bundle(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Make us believe to run from a bundle in a folder, and give that folder."""
    for name in ("ollama-launcher", "ollama-launcher-window"):
        (tmp_path / name).write_text("", encoding="utf-8")
    monkeypatch.setattr(sys, "frozen", True, raising=False)
    monkeypatch.setattr(sys, "_MEIPASS", str(tmp_path / "_internal"), raising=False)
    monkeypatch.setattr(sys, "executable", str(tmp_path / "ollama-launcher"))
    return tmp_path


def test_from_source_all_stays() -> None:
    base = {
        "PATH": "/bin",
        "LD_LIBRARY_PATH": "/opt/lib",
        "PYTHONPATH": "/src",
        "PYTHONHOME": "/py",
        "QT_QPA_PLATFORM": "wayland",
        "QT_PLUGIN_PATH": "/usr/lib/qt6/plugins",
        "QML2_IMPORT_PATH": "/usr/lib/qt6/qml",
    }

    assert child_environment(base, {}) == base


@pytest.mark.parametrize(
    "name", ["_PYI_ARCHIVE_FILE", "_PYI_APPLICATION_HOME_DIR", "_PYI_PARENT_PROCESS_LEVEL", "_MEIPASS2", "QT_API"]
)
def test_what_is_of_the_packager_or_ours_goes_always(name: str) -> None:
    assert child_environment({name: "pyside6", "PATH": "/bin"}, {}) == {"PATH": "/bin"}


@pytest.mark.parametrize("name", ["LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "DYLD_FRAMEWORK_PATH"])
class TestLibraryPaths:
    def test_the_saved_value_comes_back(self, bundle: Path, name: str) -> None:
        base = {name: str(bundle / "_internal"), f"{name}_ORIG": "/opt/lib"}

        assert child_environment(base, {}) == {name: "/opt/lib"}

    def test_the_saved_value_comes_back_from_source_too(self, name: str) -> None:
        base = {name: "/bundle", f"{name}_ORIG": "/opt/lib"}

        assert child_environment(base, {}) == {name: "/opt/lib"}

    def test_one_that_was_not_there_goes(self, bundle: Path, name: str) -> None:
        assert child_environment({name: str(bundle)}, {}) == {}


def test_a_bundle_gives_no_python_of_its_own(bundle: Path) -> None:
    assert child_environment({"PYTHONHOME": "/b", "PYTHONPATH": "/b", "PYTHONUTF8": "1"}, {}) == {"PYTHONUTF8": "1"}


def test_a_bundle_keeps_its_qt_and_leaves_a_persons(bundle: Path) -> None:
    base = {
        "QT_PLUGIN_PATH": str(bundle / "_internal" / "PySide6" / "plugins"),
        "QT_QPA_PLATFORM_PLUGIN_PATH": f"/usr/lib/qt{os.pathsep}{bundle / 'plugins'}",
        "QML2_IMPORT_PATH": str(bundle / "_internal"),
        "QML_IMPORT_PATH": "/usr/lib/qt6/qml",
        "QT_QPA_PLATFORM": "xcb",
        "QT_SCALE_FACTOR": "2",
    }

    assert child_environment(base, {}) == {
        "QML_IMPORT_PATH": "/usr/lib/qt6/qml",
        "QT_QPA_PLATFORM": "xcb",
        "QT_SCALE_FACTOR": "2",
    }


def test_extra_wins_and_the_base_is_left_alone() -> None:
    base = {"OLLAMA_HOST": "0.0.0.0", "QT_API": "pyside6"}

    assert child_environment(base, {"OLLAMA_HOST": "127.0.0.1:1"}) == {"OLLAMA_HOST": "127.0.0.1:1"}
    assert base == {"OLLAMA_HOST": "0.0.0.0", "QT_API": "pyside6"}


def test_the_base_is_ours_where_none_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOMETHING_OF_OURS", "1")

    assert child_environment()["SOMETHING_OF_OURS"] == "1"


def test_nothing_of_it_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(0)
    child_environment({"OLLAMA_API_KEY": "secret"}, {"A": "b"})

    assert caplog.records == []


def test_from_source_python_runs_the_package() -> None:
    assert not is_frozen()
    assert self_command("status", "--json") == [sys.executable, "-m", "launcher", "status", "--json"]


def test_the_command_of_source_starts_python() -> None:
    python, *_ = self_command()
    run = subprocess.run([python, "-c", "print(1)"], capture_output=True, text=True, timeout=30, check=False)

    assert run.stdout == "1\n"


@pytest.mark.parametrize("name", ["ollama-launcher", "ollama-launcher-window"])
def test_from_a_bundle_the_twin_with_a_console(bundle: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setattr(sys, "executable", str(bundle / name))

    assert self_command("stop") == [str(bundle / "ollama-launcher"), "stop"]


def test_the_extension_of_windows_stays(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (bundle / "ollama-launcher.exe").write_text("", encoding="utf-8")
    monkeypatch.setattr(sys, "executable", str(bundle / "ollama-launcher-window.exe"))

    assert self_command() == [str(bundle / "ollama-launcher.exe")]


def test_without_a_twin_the_executable_itself(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", str(bundle / "renamed-window"))

    assert self_command() == [str(bundle / "renamed-window")]


def test_a_python_without_a_console_gives_the_one_with(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "python.exe").write_text("", encoding="utf-8")
    monkeypatch.setattr(sys, "executable", str(tmp_path / "pythonw.exe"))

    assert self_command() == [str(tmp_path / "python.exe"), "-m", "launcher"]
