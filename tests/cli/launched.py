"""The command line as a real process, with the simulated ``ollama`` and folders of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.support.demo_server import make_ollama_shim, write_script

ROOT = Path(__file__).parents[2]
_TIMEOUT_S = 60.0


@dataclass(frozen=True)
class Ended:
    """A command that has ended."""

    code: int
    out: str
    err: str

    @property
    def fact(self) -> Any:
        """What a ``--json`` command printed, if it is one document."""
        return json.loads(self.out)

    @property
    def facts(self) -> list[Any]:
        """What a ``--json`` command printed, line by line."""
        return [json.loads(line) for line in self.out.splitlines()]


class Running:
    """A command that runs."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.lines: list[str] = []

    def until(self, wanted: Callable[[str], bool]) -> str:
        """Read lines of standard output until one is as wanted, and return it; one that is silent is ended."""
        assert self.process.stdout is not None
        bound = threading.Timer(_TIMEOUT_S, self.process.kill)
        bound.start()
        try:
            for line in self.process.stdout:
                self.lines.append(line)
                if wanted(line):
                    return line
        finally:
            bound.cancel()
            bound.join()
        pytest.fail(f"ended without it: {self.lines} {self.process.stderr and self.process.stderr.read()}")

    def signal(self, number: int) -> None:
        self.process.send_signal(number)

    def end(self, timeout_s: float = _TIMEOUT_S) -> Ended:
        """Wait for its end; ``out`` holds what came after the last :meth:`until`."""
        out, err = self.process.communicate(timeout=timeout_s)
        return _checked(Ended(self.process.returncode, out, err))

    def close(self) -> None:
        """End what a test that has failed left running."""
        if self.process.poll() is None:
            self.process.kill()
        for pipe in (self.process.stdout, self.process.stderr):
            if pipe is not None:
                pipe.close()
        self.process.wait(_TIMEOUT_S)


class Launched:
    """One person with one launcher: their folders, their server, their commands."""

    def __init__(self, folder: Path, port: int) -> None:
        self.folder = folder
        self.port = port
        self.models_dir = folder / "models"
        self.state_dir = folder / "state"
        self.config_dir = folder / "config"
        self.environment = {
            **os.environ,
            "LAUNCHER_STATE_DIR": str(self.state_dir),
            "LAUNCHER_CONFIG_DIR": str(self.config_dir),
            "OLLAMA_LAUNCHER_OLLAMA": str(make_ollama_shim(folder)),
            "OLLAMA_HOST": f"127.0.0.1:{port}",
            "OLLAMA_MODELS": str(self.models_dir),
            "PYTHONUNBUFFERED": "1",
            "COLUMNS": "120",
        }
        self._begun: list[Running] = []
        self.script({})

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def script(self, script: Mapping[str, Any]) -> None:
        """What the next server that is started will do."""
        self.environment["LAUNCHER_DEMO_SCRIPT"] = str(write_script(self.folder, script))

    def run(
        self,
        *arguments: str,
        timeout_s: float = _TIMEOUT_S,
        changes: Mapping[str, str | None] | None = None,
        piped: str | None = None,
    ) -> Ended:
        """Run a command to its end; ``changes`` to the environment take a variable away by None."""
        process = subprocess.run(
            [sys.executable, "-m", "launcher", *arguments],
            cwd=ROOT,
            env=self._environment(changes or {}),
            **({"stdin": subprocess.DEVNULL} if piped is None else {"input": piped}),
            capture_output=True,
            text=True,
            encoding="utf-8",
            timeout=timeout_s,
            check=False,
        )
        return _checked(Ended(process.returncode, process.stdout, process.stderr))

    def begin(self, *arguments: str) -> Running:
        """Start a command in a session of its own, as a terminal does."""
        process = subprocess.Popen(
            [sys.executable, "-m", "launcher", *arguments],
            cwd=ROOT,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            start_new_session=True,
        )
        self._begun.append(Running(process))
        return self._begun[-1]

    def started(self, script: Mapping[str, Any] | None = None) -> Ended:
        """Have a server running."""
        self.script(script or {})
        ended = self.run("start")
        assert ended.code == 0, ended
        return ended

    def close(self) -> None:
        """End the commands that still run, and stop the server, if one was ever started."""
        for running in self._begun:
            running.close()
        if not (self.state_dir / "server.json").exists():
            return
        ended = self.run("stop")
        assert ended.code in (0, 5), ended

    def _environment(self, changes: Mapping[str, str | None]) -> dict[str, str]:
        merged = {**self.environment, **changes}
        return {name: value for name, value in merged.items() if value is not None}


def read_until(read: Callable[[], bytes], wanted: bytes, timeout_s: float = 20.0) -> bytes:
    """Collect what ``read`` gives until ``wanted`` is in it."""
    deadline_s = time.monotonic() + timeout_s
    collected = b""
    while wanted not in collected:
        assert time.monotonic() < deadline_s, collected
        collected += read()
    return collected


def _checked(ended: Ended) -> Ended:
    assert "Traceback" not in ended.err, ended.err
    assert "Something unexpected" not in ended.err, ended.err
    return ended
