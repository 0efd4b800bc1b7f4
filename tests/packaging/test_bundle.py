"""The bundle: built here, started under a display, and what it hands on to the programs it starts."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="Windows and macOS build on their own machines"),
    pytest.mark.timeout(400),
]

ROOT = Path(__file__).parents[2]
BUILD_LIMIT_S = 300
WINDOW_LIMIT_S = 40


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("bundle")
    subprocess.run(
        [sys.executable, "packaging/bundle.py", "--out", str(out)],
        cwd=ROOT,
        check=True,
        timeout=BUILD_LIMIT_S,
        capture_output=True,
    )
    return out / "ollama-launcher"


@pytest.fixture
def person(tmp_path: Path, free_port: int) -> dict[str, str]:
    """The environment of somebody who has the bundle and no Python."""
    return {
        "PATH": "/usr/bin:/bin",
        "HOME": str(tmp_path),
        "LANG": "C.UTF-8",
        "LAUNCHER_CONFIG_DIR": str(tmp_path / "config"),
        "LAUNCHER_STATE_DIR": str(tmp_path / "state"),
        "OLLAMA_HOST": f"127.0.0.1:{free_port}",
    }


@pytest.fixture
def display(tmp_path: Path) -> Iterator[str]:
    """A display of our own."""
    xvfb = shutil.which("Xvfb")
    assert xvfb, "packaging/test.sh installs Xvfb"
    read, write = os.pipe()
    with (tmp_path / "xvfb.log").open("wb") as log:
        process = subprocess.Popen(
            [xvfb, "-displayfd", str(write), "-screen", "0", "1280x900x24", "-nolisten", "tcp"],
            pass_fds=[write],
            stdout=log,
            stderr=log,
        )
    os.close(write)
    with os.fdopen(read) as number:
        name = f":{number.readline().strip()}"
    yield name
    process.terminate()
    process.wait(10)


def run(bundle: Path, *words: str, environ: dict[str, str]) -> subprocess.CompletedProcess[str]:
    program = bundle / "ollama-launcher"
    return subprocess.run([str(program), *words], env=environ, capture_output=True, text=True, timeout=60, check=False)


def test_it_runs_commands(bundle: Path, person: dict[str, str]) -> None:
    version = run(bundle, "--version", environ=person)
    assert (version.returncode, version.stderr) == (0, "")
    status = run(bundle, "status", "--json", environ=person)
    assert status.returncode == 3
    assert json.loads(status.stdout)["state"] in ("stopped", "not_installed")


def test_what_it_starts_gets_nothing_of_the_bundle(bundle: Path, person: dict[str, str], tmp_path: Path) -> None:
    written = tmp_path / "environment.txt"
    program = tmp_path / "ollama"
    program.write_text(f"#!/bin/sh\nenv > '{written}'\nexit 1\n")
    program.chmod(0o755)
    # What a shell leaves behind when it starts the bundle, and a library path of the person's own.
    started = {
        **person,
        "OLLAMA_LAUNCHER_OLLAMA": str(program),
        "_": str(bundle / "ollama-launcher"),
        "LD_LIBRARY_PATH": "/opt/their/lib",
    }
    result = run(bundle, "start", environ=started)
    assert result.returncode == 1
    environ = dict(line.split("=", 1) for line in written.read_text().splitlines() if "=" in line)
    assert not [name for name in environ if name.startswith("_PYI_") or name == "_MEIPASS2"]
    assert not [name for name, value in environ.items() if str(bundle) in value]
    assert environ["LD_LIBRARY_PATH"] == "/opt/their/lib"
    assert environ["OLLAMA_HOST"] == person["OLLAMA_HOST"]


def test_a_double_click_shows_the_window(bundle: Path, person: dict[str, str], display: str, tmp_path: Path) -> None:
    xdotool = shutil.which("xdotool")
    assert xdotool, "packaging/test.sh installs xdotool"
    environ = {**person, "DISPLAY": display}
    with (tmp_path / "window.log").open("wb") as log:
        process = subprocess.Popen(
            [str(bundle / "ollama-launcher-window"), "--demo"], env=environ, stdout=log, stderr=log
        )
    try:
        title = _wait_for_window(xdotool, environ, process)
        assert re.search("simulated|demo", title, re.IGNORECASE), title
    finally:
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(20)
        _end_all_below(process, bundle)
    said = (tmp_path / "window.log").read_text()
    assert process.returncode == 0, said
    assert "Traceback" not in said


def _wait_for_window(xdotool: str, environ: dict[str, str], process: subprocess.Popen[bytes]) -> str:
    deadline_s = time.monotonic() + WINDOW_LIMIT_S
    while time.monotonic() < deadline_s:
        assert process.poll() is None, "it ended before it showed a window"
        # Bare X has no window manager that would know visible windows of a class, so the name is asked for.
        found = subprocess.run(
            [xdotool, "search", "--onlyvisible", "--pid", str(process.pid), "--name", "Ollama", "getwindowname"],
            env=environ,
            capture_output=True,
            text=True,
            check=False,
        )
        if found.returncode == 0 and found.stdout.strip():
            return found.stdout.strip().splitlines()[0]
        time.sleep(0.1)
    pytest.fail(f"no window within {WINDOW_LIMIT_S} s")


def _end_all_below(process: subprocess.Popen[bytes], bundle: Path) -> None:
    """End what a failed test leaves of the bundle: the window, and the server it started."""
    for other in psutil.process_iter():
        with suppress(psutil.Error):
            if str(bundle) in other.exe():
                other.kill()
                other.wait(5)
    process.wait(5)
