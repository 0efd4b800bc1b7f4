"""A desktop to test on: an X server without a screen, a window manager, a tray of the old kind, a session bus.

All of it is this test's own and ends with it.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
_START_S = 20.0
_END_S = 5.0
NEEDED = ("Xvfb", "openbox", "trayer", "xdotool", "dbus-run-session")


class Program:
    """A program that says one thing a line and takes commands the same way."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.lines: list[str] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def tell(self, command: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(command + "\n")
        self.process.stdin.flush()

    def ask(self, command: str) -> str:
        """Give a command and return the line that answers it: ``command …``."""
        begin = len(self.lines)
        self.tell(command)
        return self.until(command.split()[0] + " ", begin)

    def until(self, start: str, begin: int = 0, timeout_s: float = _START_S) -> str:
        """Wait for a line that starts so, and return the rest of it."""
        deadline_s = time.monotonic() + timeout_s
        while True:
            for line in self.lines[begin:]:
                if line.startswith(start):
                    return line.removeprefix(start).strip()
            if time.monotonic() > deadline_s:
                pytest.fail(f"not said: {start!r} in {self.lines[begin:]}")
            time.sleep(0.02)

    def end(self) -> None:
        """End it and all that it has started."""
        for number in (signal.SIGTERM, signal.SIGKILL):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, number)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(_END_S)
        self._reader.join(_END_S)
        assert not self._reader.is_alive(), "somebody still holds the output"
        for stream in (self.process.stdin, self.process.stdout):
            if stream is not None:
                with contextlib.suppress(OSError):
                    stream.close()

    def _read(self) -> None:
        assert self.process.stdout is not None
        with contextlib.suppress(ValueError):
            for line in self.process.stdout:
                self.lines.append(line.rstrip("\n"))


class Desktop:
    """One X server and what was started on it."""

    def __init__(self, display: str, environment: Mapping[str, str]) -> None:
        self.display = display
        self.environment = dict(environment)
        self._started: list[Program] = []

    def start(self, *command: str, **environment: str) -> Program:
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            env={**self.environment, **environment},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            bufsize=1,
            start_new_session=True,
        )
        program = Program(process)
        self._started.append(program)
        return program

    def start_python(self, module: str, *arguments: str, **environment: str) -> Program:
        return self.start(sys.executable, "-u", "-m", module, *arguments, **environment)

    def do(self, *command: str) -> str:
        """Run a short command, e.g. ``xdotool``, and return what it says."""
        run = subprocess.run(command, env=self.environment, capture_output=True, text=True, timeout=20, check=True)
        return run.stdout

    def end(self) -> None:
        while self._started:
            self._started.pop().end()


@pytest.fixture
def desktop() -> Iterator[Desktop]:
    """An X server with a window manager, and neither a tray nor a session bus."""
    missing = [name for name in NEEDED if shutil.which(name) is None]
    if missing:
        pytest.skip(f"not installed: {', '.join(missing)}")
    told, tells = os.pipe()
    server = subprocess.Popen(
        ["Xvfb", "-displayfd", str(tells), "-screen", "0", "1000x700x24", "-nolisten", "tcp"],
        pass_fds=(tells,),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    os.close(tells)
    with os.fdopen(told) as answer:
        display = ":" + answer.readline().strip()
    kept = {name: value for name, value in os.environ.items() if name not in ("QT_QPA_PLATFORM", "WAYLAND_DISPLAY")}
    environment = {
        **kept,
        "DISPLAY": display,
        "QT_QPA_PLATFORM": "xcb",
        "DBUS_SESSION_BUS_ADDRESS": "unix:path=/nonexistent",
    }
    desktop = Desktop(display, environment)
    try:
        desktop.start("openbox", "--sm-disable")
        yield desktop
    finally:
        desktop.end()
        server.terminate()
        try:
            server.wait(_END_S)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait(_END_S)
