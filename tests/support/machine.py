"""One user's machine for tests that start servers: an installed (simulated) Ollama, a free port, folders of its own."""

from __future__ import annotations

import json
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from launcher.core import Core, open_core
from launcher.server.control import Timing
from launcher.server.record import RecordFile
from tests.support.demo_server import make_ollama_shim

QUICK = Timing(slow_interval_s=0.05, grace_s=2.0, drain_s=0.3)


@dataclass
class Machine:
    folder: Path
    port: int
    environ: dict[str, str]

    @property
    def state_dir(self) -> Path:
        return self.folder / "state"

    @property
    def models(self) -> Path:
        return self.folder / "models"

    @property
    def record_file(self) -> RecordFile:
        return RecordFile(self.state_dir / "server.json")

    def script(self, **faults: object) -> None:
        """Tell the simulated server how to behave from its next start on."""
        path = self.folder / "script.json"
        path.write_text(json.dumps(faults))
        self.environ["LAUNCHER_DEMO_SCRIPT"] = str(path)

    @asynccontextmanager
    async def launcher(self, timing: Timing = QUICK) -> AsyncIterator[Core]:
        """Open what one launcher process has."""
        async with open_core(environ=self.environ, timing=timing) as core:
            yield core

    def processes(self) -> list[psutil.Process]:
        """All that live of any server that was started here."""
        found = []
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                ours = process.environ().get("OLLAMA_MODELS") == str(self.models)
                if ours and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process)
        return found

    def servers(self) -> list[psutil.Process]:
        """The servers among them, without what they have forked."""
        found = []
        for process in self.processes():
            with suppress(psutil.Error, ProcessLookupError):
                if "serve" in process.cmdline() and os.getsid(process.pid) == process.pid:
                    found.append(process)
        return found


@pytest.fixture
def machine(isolated_environment: Path, free_port: int) -> Iterator[Machine]:
    folder = isolated_environment
    (folder / "bin").mkdir()
    shim = make_ollama_shim(folder / "bin")
    environ = dict(os.environ)
    environ.update(
        OLLAMA_LAUNCHER_OLLAMA=str(shim),
        OLLAMA_HOST=f"127.0.0.1:{free_port}",
        OLLAMA_MODELS=str(folder / "models"),
    )
    machine = Machine(folder, free_port, environ)
    machine.script(scale=0.01)
    yield machine
    for process in machine.processes():
        with suppress(psutil.Error):
            process.kill()
            process.wait(5)
