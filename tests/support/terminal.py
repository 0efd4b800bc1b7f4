"""The command line as people run it: a program of its own, its output in files, its exit code at the end."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_ROOT = Path(__file__).parents[2]
_LIMIT_S = 60.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The one document that was printed."""
        return json.loads(self.out)


class Command:
    """One command that was started."""

    def __init__(self, process: subprocess.Popen[bytes], out: Path, err: Path) -> None:
        self.process = process
        self._out = out
        self._err = err

    @property
    def out(self) -> str:
        return self._out.read_text(encoding="utf-8")

    @property
    def err(self) -> str:
        return self._err.read_text(encoding="utf-8")

    @property
    def lines(self) -> list[dict[str, Any]]:
        """The JSON objects printed so far, one a line; a line that is being written is left out."""
        whole, _, _ = self.out.rpartition("\n")
        return [json.loads(line) for line in whole.splitlines()]

    @property
    def ended(self) -> bool:
        return self.process.poll() is not None

    def interrupt(self) -> None:
        """Do what Ctrl-C does."""
        self.process.send_signal(signal.SIGINT)

    def wait(self, timeout_s: float = _LIMIT_S) -> Outcome:
        """Wait for the end; a command that takes longer is killed, and the test fails."""
        try:
            code = self.process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise AssertionError(f"not ended within {timeout_s} s: {self.out[-2000:]}\n{self.err[-2000:]}") from None
        return Outcome(code, self.out, self.err)


class Terminal:
    """Runs ``ollama-launcher`` with one environment; :func:`terminal` ends what is still running."""

    def __init__(self, folder: Path, environ: Mapping[str, str]) -> None:
        self.environ = dict(environ)
        self._folder = folder
        self._commands: list[Command] = []

    def start(self, *arguments: str, **environ: str) -> Command:
        """Start a command and go on."""
        return self.start_program(sys.executable, "-m", "launcher", *arguments, **environ)

    def start_program(self, *argv: str, **environ: str) -> Command:
        """Start any program as :meth:`start` does."""
        number = len(self._commands)
        out, err = self._folder / f"command-{number}.out", self._folder / f"command-{number}.err"
        with out.open("wb") as out_file, err.open("wb") as err_file:
            process = subprocess.Popen(
                argv,
                cwd=_ROOT,
                env={**self.environ, **environ},
                stdin=subprocess.DEVNULL,
                stdout=out_file,
                stderr=err_file,
            )
        command = Command(process, out, err)
        self._commands.append(command)
        return command

    def run(self, *arguments: str, timeout_s: float = _LIMIT_S, **environ: str) -> Outcome:
        """Run a command to its end."""
        return self.start(*arguments, **environ).wait(timeout_s)

    def end(self) -> None:
        for command in self._commands:
            with suppress(ProcessLookupError):
                command.process.kill()
            command.process.wait(10)


@contextmanager
def terminal(folder: Path, environ: Mapping[str, str]) -> Iterator[Terminal]:
    folder.mkdir(parents=True, exist_ok=True)
    one = Terminal(folder, environ)
    try:
        yield one
    finally:
        one.end()
