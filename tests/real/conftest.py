"""A real Ollama on loopback: its program from PATH, models from a registry of our own, nothing from the world.

Where PATH has no ``ollama`` every test here is skipped, whatever else there is.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import pytest

from tests.real.tiny_gguf import tiny_gguf
from tests.support.machine import Machine
from tests.support.registry import Blob, LoopbackRegistry
from tests.support.terminal import Terminal, terminal
from tests.support.waiting import wait_until

BIG_BYTES = 210_000_000
"""Three parts: the server makes them a sixteenth of the whole, but 100 MB at least (server/download.go, 0.33)."""
IN_FLIGHT_BYTES = 2_000_000
"""What the registry may still count as served of a download that was closed: a piece for each part."""
_PROGRAM = shutil.which("ollama")

# The small layers of the models.
TEMPLATE = b"{{ if .System }}{{ .System }} {{ end }}{{ .Prompt }} {{ .Response }}"
LICENSE = b"Made for tests. Free for any use.\n"
PARAMETERS = json.dumps({"stop": ["<|user|>"], "temperature": 0.5}).encode()
SYSTEM = b"Be small."


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    if sys.platform == "win32":
        reason = "POSIX signals and process groups, which Windows has not"
    elif _PROGRAM is None:
        reason = "no `ollama` on PATH"
    else:
        return
    for item in items:
        if here in item.path.parents and item.get_closest_marker("real_ollama") is not None:
            item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture(scope="session")
def big_blob() -> Blob:
    """A model file of several parts that can be loaded: what follows the tensors is not read."""
    return Blob(tiny_gguf(), BIG_BYTES)


@pytest.fixture
def registry(big_blob: Blob) -> Iterator[LoopbackRegistry]:
    """Offer ``tiny``, ``embed`` and ``big``."""
    shared = {"template": Blob(TEMPLATE), "license": Blob(LICENSE), "params": Blob(PARAMETERS)}
    facts = {"model_family": "llama", "model_families": ["llama"], "model_type": "109K", "file_type": "F16"}
    with LoopbackRegistry() as registry:
        registry.add("tiny", {"model": Blob(tiny_gguf()), **shared, "system": Blob(SYSTEM)}, facts)
        registry.add("embed", {"model": Blob(tiny_gguf(embeds=True))}, facts)
        registry.add("big", {"model": big_blob, **shared}, facts)
        yield registry


@pytest.fixture
def machine(isolated_environment: Path, free_port: int) -> Iterator[Machine]:
    """One user's machine with the real Ollama; whatever runs there at the end is killed, and its models removed."""
    environ = dict(os.environ)
    environ.update(
        OLLAMA_LAUNCHER_OLLAMA=str(_PROGRAM),
        OLLAMA_HOST=f"127.0.0.1:{free_port}",
        OLLAMA_MODELS=str(isolated_environment / "models"),
        OLLAMA_NO_CLOUD="1",  # no calls to the world at its start
    )
    machine = Machine(isolated_environment, free_port, environ)
    yield machine
    for process in machine.processes():
        with suppress(psutil.Error):
            process.kill()
            process.wait(5)
    shutil.rmtree(machine.models, ignore_errors=True)


@pytest.fixture
def shell(machine: Machine) -> Iterator[Terminal]:
    with terminal(machine.folder / "terminal", machine.environ) as shell:
        yield shell


@pytest.fixture
def another_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


Serve = Callable[..., subprocess.Popen[bytes]]


@pytest.fixture
def serve(machine: Machine) -> Iterator[Serve]:
    """Start ``ollama serve`` as somebody else would, and wait until it answers."""
    started: list[subprocess.Popen[bytes]] = []

    def start(port: int, **environ: str) -> subprocess.Popen[bytes]:
        assert _PROGRAM is not None
        with (machine.folder / f"theirs-{len(started)}.log").open("wb") as log:
            process = subprocess.Popen(
                [_PROGRAM, "serve"],
                env={**machine.environ, "OLLAMA_HOST": f"127.0.0.1:{port}", **environ},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        started.append(process)
        wait_until(lambda: answers(port), message="their server answers")
        return process

    yield start
    for process in started:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(10)


def answers(port: int, timeout_s: float = 2.0) -> bool:
    """Tell whether an Ollama answers there."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout_s) as connection:
            connection.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            text = b""
            while piece := connection.recv(4096):
                text += piece
    except OSError:
        return False
    return text.endswith(b"Ollama is running")


def servers(machine: Machine) -> list[psutil.Process]:
    """List the servers that run on this machine.

    Each leads a session: a helper shows its parent's command until it runs its own program.
    """
    found = []
    for process in machine.processes():
        with suppress(psutil.Error, ProcessLookupError):
            if "serve" in process.cmdline() and os.getsid(process.pid) == process.pid:
                found.append(process)
    return found


def partials(models: Path) -> dict[str, Path]:
    """List the files of unfinished downloads, by name."""
    found = (models / "blobs").glob("sha256-*-partial*")
    return {path.name: path for path in found}


def recorded_bytes(models: Path, digest: str) -> int:
    """Sum up what the server has written down as complete of an unfinished download."""
    name = re.compile(re.escape(digest.replace(":", "-")) + r"-partial-\d+")
    files = [path for file, path in partials(models).items() if name.fullmatch(file)]
    return sum(json.loads(path.read_text())["Completed"] for path in files)


@contextmanager
def listener(port: int) -> Iterator[None]:
    """Hold a port as a program that says nothing does."""
    with socket.create_server(("127.0.0.1", port)):
        yield
