"""What an ordinary user meets: a real server beside files and servers of somebody else."""

from __future__ import annotations

import asyncio
import encodings.ascii  # asked for at first use, when nobody may not read the interpreter's folder
import encodings.idna  # noqa: F401 # as well
import os
import socket
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from launcher.core import Core, open_core
from launcher.server import identity
from launcher.server.errors import NotOffered, PortTaken
from tests.real.conftest import Serve, partials
from tests.support.machine import QUICK, Machine
from tests.support.nobody import AsNobody
from tests.support.waiting import wait_until

pytestmark = [
    pytest.mark.real_ollama,
    pytest.mark.skipif(sys.platform == "win32" or os.geteuid() != 0, reason="POSIX only, and root only"),
]

DIGEST = "sha256-" + "ab" * 32


@pytest.fixture
def environ(machine: Machine, nobody_folder: Path) -> dict[str, str]:
    """What a program of nobody's gets: folders that it may write, and the real server's program."""
    folders = {"HOME": "home", "LAUNCHER_STATE_DIR": "state", "LAUNCHER_CONFIG_DIR": "config"}
    folders |= {"OLLAMA_MODELS": "models"}
    return {**machine.environ, **{name: str(nobody_folder / folder) for name, folder in folders.items()}}


def with_core(environ: dict[str, str], deed: Callable[[Core], Awaitable[Any]]) -> Any:
    """Do something with the launcher of this user, in a fork that is nobody."""
    # The folders of the launcher itself come from the process's own environment.
    os.environ.update(environ)
    Path(environ["HOME"]).mkdir(exist_ok=True)

    async def run() -> Any:
        async with open_core(environ=environ, timing=QUICK) as core:
            return await deed(core)

    return asyncio.run(run())


def test_partials_of_somebody_else_survive_a_start(
    environ: dict[str, str], as_nobody: AsNobody, nobody_folder: Path
) -> None:
    """Their times may not be set, and they could be removed: so the server is told to prune nothing."""
    blobs = nobody_folder / "models" / "blobs"
    blobs.mkdir(parents=True)
    for folder in (blobs.parent, blobs):
        folder.chmod(0o777)
    past_s = time.time() - 2 * 3600
    (blobs / f"{DIGEST}-partial").write_bytes(bytes(9))
    (blobs / f"{DIGEST}-partial-0").write_text('{"N":0,"Offset":0,"Size":9,"Completed":5}')
    for path in blobs.iterdir():
        path.chmod(0o644)
        os.utime(path, (past_s, past_s))

    async def start_and_stop(core: Core) -> tuple[str, str | None]:
        status = await core.control.start()
        told = psutil.Process(status.pid).environ().get("OLLAMA_NOPRUNE")
        return (await core.control.stop()).state.value, told

    assert as_nobody(with_core, environ, start_and_stop) == ("stopped", "1")
    assert set(partials(nobody_folder / "models")) == {f"{DIGEST}-partial", f"{DIGEST}-partial-0"}


def test_a_server_of_another_user_is_used_and_not_stopped(
    machine: Machine, environ: dict[str, str], as_nobody: AsNobody, serve: Serve
) -> None:
    theirs = serve(machine.port)

    async def start_and_stop(core: Core) -> tuple[str, str]:
        started = await core.control.start()
        try:
            await core.control.stop()
        except NotOffered as error:
            return started.state.value, error.title
        return started.state.value, "stopped"

    state, told = as_nobody(with_core, environ, start_and_stop)
    assert state == "running"
    assert "not started by the launcher" in told
    assert identity.read_process(theirs.pid) is not None


def test_a_port_of_another_user_is_named_by_its_user(
    machine: Machine, environ: dict[str, str], as_nobody: AsNobody
) -> None:
    async def start(core: Core) -> str:
        try:
            await core.control.start()
        except PortTaken as error:
            return error.title
        return "started"

    # In a program of its own: the fork would inherit the socket, and hold the port itself.
    source = f"import socket, time; held = socket.create_server(('127.0.0.1', {machine.port})); time.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", source]) as program:
        try:
            wait_until(lambda: is_taken(machine.port), message="the port is held")
            told = as_nobody(with_core, environ, start)
        finally:
            program.kill()
    assert str(machine.port) in told
    assert "root" in told


def is_taken(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
