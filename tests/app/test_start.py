"""Where no window can be shown there is a sentence and an exit code, and Qt does not abort."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.launched import ROOT

_AS_WINDOW_PROGRAM = (
    "import sys\n"
    "sys.argv[0] = '/usr/bin/ollama-launcher-window'\n"
    "from launcher.__main__ import main\n"
    "sys.exit(main())\n"
)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="elsewhere there is always a display")
@pytest.mark.parametrize("options", [(), ("--demo",), ("--hidden",)], ids=lambda options: " ".join(options) or "none")
@pytest.mark.parametrize(
    ("environment", "said"),
    [
        pytest.param({}, "There is no display here", id="no display"),
        pytest.param({"DISPLAY": ":1234"}, "could not connect to display", id="none that answers"),
        pytest.param({"QT_QPA_PLATFORM": "nonsense"}, "nonsense", id="no such platform"),
    ],
)
def test_without_a_screen_it_says_so(
    tmp_path: Path, environment: dict[str, str], said: str, options: tuple[str, ...]
) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", _AS_WINDOW_PROGRAM, *options],
        cwd=ROOT,
        env={
            "HOME": str(tmp_path),
            "PATH": "/usr/bin:/bin",
            "LAUNCHER_CONFIG_DIR": str(tmp_path),
            "LAUNCHER_STATE_DIR": str(tmp_path),
            **environment,
        },
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert ended.returncode == 1
    assert said in ended.stderr
    assert "ollama-launcher --help" in ended.stderr
    assert "Traceback" not in ended.stderr
    assert "plug" not in ended.stderr or environment.get("QT_QPA_PLATFORM")
    assert ended.stdout == ""


_INTERRUPTED = (
    "import os, signal, sys\n"
    "from launcher import __main__\n"
    "from launcher.app import {module}\n"
    "{module}.{name} = lambda *_, **__: os.kill(os.getpid(), signal.SIGINT)\n"
    "sys.exit(__main__.open_window())\n"
)


@pytest.mark.skipif(sys.platform == "win32", reason="signals end a process in another way there")
@pytest.mark.parametrize(
    ("module", "name"),
    [pytest.param("qt", "load_qt", id="while Qt is imported"), pytest.param("start", "Front", id="before the paint")],
)
def test_ctrl_c_ends_it_before_there_is_a_loop(tmp_path: Path, module: str, name: str) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", _INTERRUPTED.format(module=module, name=name)],
        cwd=ROOT,
        env={
            "HOME": str(tmp_path),
            "QT_QPA_PLATFORM": "offscreen",
            "LAUNCHER_CONFIG_DIR": str(tmp_path),
            "LAUNCHER_STATE_DIR": str(tmp_path),
        },
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert (ended.returncode, ended.stderr) == (-signal.SIGINT, "")
