"""The examination of a whole machine: what it finds, that it changes nothing, that nothing keeps it from its end."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from contextlib import aclosing
from pathlib import Path

import pytest

from launcher.actions.examine import Patience, examine
from launcher.domain.checks import SUBJECTS, Check, Verdict
from launcher.ollama import Client
from launcher.server.port import bound_at
from launcher.settings import FILE_NAME
from tests.support.demo_server import DemoServer, make_ollama_shim
from tests.support.machine import Machine
from tests.support.nobody import AsNobody
from tests.support.waiting import WaitFor

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif(sys.platform == "win32", reason="servers of tests are signalled"),
    pytest.mark.blocks_loop("starting a process waits for a processor, up to 200 ms on a busy machine"),
]

QUICK = Patience(check_s=15.0, probe_s=0.5)


async def examined(environ: dict[str, str], host: str | None = None, patience: Patience = QUICK) -> dict[str, Check]:
    async with aclosing(examine(host, environ=environ, patience=patience)) as found:
        return {check.id: check async for check in found}


def verdicts(found: dict[str, Check]) -> dict[str, str]:
    return {name: check.verdict.value for name, check in found.items()}


def contents(folder: Path) -> dict[str, tuple[float, int]]:
    """All that lies in a folder, with its times and modes."""
    return {str(path.relative_to(folder)): (path.lstat().st_mtime, path.lstat().st_mode) for path in folder.rglob("*")}


async def test_a_stopped_server(machine: Machine) -> None:
    found = await examined(machine.environ)
    assert list(found) == [subject.id for subject in SUBJECTS if subject.id in found]
    assert verdicts(found) == {
        "engine": "ok",
        "server": "warning",
        "port": "ok",
        "models": "ok",
        "downloads": "ok",
        "space": found["space"].verdict.value,
        "gpu": found["gpu"].verdict.value,
        "proxy": "ok",
        "exposure": "ok",
        "key": "note",
        "state": "ok",
        "variables": "ok",
    }
    assert found["server"].command == ("start",)


async def test_our_server(machine: Machine) -> None:
    async with machine.launcher() as core:
        await core.control.start()
        found = await examined({**machine.environ, "OLLAMA_KEEP_ALIVE": "30m"})
        await core.control.stop()
    assert found["server"].verdict is Verdict.OK
    assert "has started" in found["owner"].title
    assert found["version"].verdict is Verdict.NOTE
    assert "used by" in found["models"].detail
    assert found["gpu"].title.startswith(("The server computes on", "The server found"))
    assert "OLLAMA_KEEP_ALIVE was changed" in found["variables"].title


async def test_somebody_elses_server(machine: Machine, tmp_path: Path) -> None:
    async with DemoServer(tmp_path, environment={"OLLAMA_HOST": "0.0.0.0:0"}) as server:
        environ = {**machine.environ, "OLLAMA_HOST": f"127.0.0.1:{server.port}"}
        found = await examined(environ)
        assert found["server"].verdict is Verdict.OK
        assert "not started by the launcher" in found["owner"].title
        assert found["exposure"].verdict is Verdict.WARNING
        assert str(server.models_dir) in found["models"].title
        assert "somebody else" in found["variables"].title


async def test_a_port_that_is_taken(machine: Machine) -> None:
    with socket.create_server(("127.0.0.1", machine.port)):
        found = await examined(machine.environ)
    assert found["server"].verdict is Verdict.FAILED
    assert found["port"].verdict is Verdict.FAILED
    assert str(os.getpid()) in found["port"].title


async def test_a_server_elsewhere(machine: Machine) -> None:
    # An address of documentation (RFC 5737): nothing is there, and it is not ours.
    found = await examined(machine.environ, "192.0.2.1:11434", Patience(check_s=10.0, probe_s=0.3))
    assert found["server"].verdict is Verdict.FAILED
    assert set(found) == {"server", "proxy", "state"}


async def test_nothing_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, free_port: int) -> None:
    for name in ("HOME", "LAUNCHER_STATE_DIR", "LAUNCHER_CONFIG_DIR", "XDG_STATE_HOME", "XDG_CONFIG_HOME"):
        monkeypatch.delenv(name, raising=False)
    found = await examined({"OLLAMA_HOST": f"127.0.0.1:{free_port}", "PATH": str(tmp_path)})
    assert found["state"].verdict is Verdict.FAILED
    assert found["models"].verdict is Verdict.UNKNOWN
    assert found["key"].verdict is Verdict.UNKNOWN
    assert found["server"].verdict is Verdict.WARNING


async def test_it_changes_nothing(machine: Machine, isolated_environment: Path) -> None:
    (isolated_environment / "config").mkdir()
    (isolated_environment / "config" / FILE_NAME).write_text("{broken")
    machine.state_dir.mkdir()
    (machine.state_dir / "server.json").write_text("{broken")
    before = contents(isolated_environment)
    found = await examined(machine.environ)
    assert contents(isolated_environment) == before
    assert found["state"].verdict is Verdict.WARNING
    assert "could not be understood" in found["state"].title
    assert "server.json" in found["state"].detail


async def test_a_check_that_hangs_keeps_no_other_back(machine: Machine) -> None:
    blobs = machine.models / "blobs"
    blobs.mkdir(parents=True)
    waiting = blobs / f"sha256-{'a' * 64}-partial-0"
    os.mkfifo(waiting)
    found = await examined(machine.environ, patience=Patience(check_s=1.0, probe_s=0.3))
    # Whoever waits for its content is let go.
    os.close(os.open(waiting, os.O_WRONLY | os.O_NONBLOCK))
    assert found["downloads"].verdict is Verdict.UNKNOWN
    assert "1 s" in found["downloads"].title
    assert found["models"].verdict is Verdict.OK
    assert found["space"].verdict is not Verdict.UNKNOWN
    assert found["variables"].verdict is Verdict.OK


async def test_a_proxy_that_is_gone(machine: Machine, free_port: int) -> None:
    proxies = {"HTTPS_PROXY": f"http://me:secret@127.0.0.1:{free_port}", "http_proxy": f"127.0.0.1:{free_port}"}
    found = await examined({**machine.environ, **proxies})
    assert found["proxy"].verdict is Verdict.WARNING
    assert "secret" not in found["proxy"].detail
    assert f"http://***@127.0.0.1:{free_port}" in found["proxy"].detail


async def test_models_in_memory_tell_of_the_card(machine: Machine, tmp_path: Path) -> None:
    async with DemoServer(tmp_path) as server:
        async with Client(server.base_url) as client:
            async with aclosing(client.pull("llama3.2:1b")) as lines:
                async for _ in lines:
                    pass
            await client.load("llama3.2:1b")
        found = await examined(machine.environ, server.base_url)
    assert "models folder" in found["models"].title
    assert "holds 1 model" in found["models"].title
    assert "%" in f"{found['gpu'].title} {found['gpu'].detail}"


def _as_nobody(environ: dict[str, str]) -> dict[str, tuple[str, str]]:
    import asyncio

    os.environ.clear()
    os.environ.update(environ)
    found = asyncio.run(examined(environ))
    return {name: (check.verdict.value, check.title) for name, check in found.items()}


def test_as_an_ordinary_user(as_nobody: AsNobody, nobody_folder: Path, free_port: int) -> None:
    home = nobody_folder / "home"
    keys = home / ".ollama"
    keys.mkdir(parents=True)
    (keys / "id_ed25519").write_text("")
    (keys / "models").mkdir(mode=0o755)
    found = as_nobody(
        _as_nobody,
        {"HOME": str(home), "PATH": str(nobody_folder), "OLLAMA_HOST": f"127.0.0.1:{free_port}"},
    )
    if os.geteuid() == 0:
        assert found["key"][0] == "warning"
        assert found["models"] == ("failed", f"You may not write to the models folder {keys / 'models'}.")
        assert found["state"][0] == "failed"
    assert found["server"][0] == "warning"


def test_a_server_of_another_user(
    as_nobody: AsNobody, nobody_folder: Path, tmp_path: Path, free_port: int, wait_for: WaitFor
) -> None:
    address = f"127.0.0.1:{free_port}"
    server = subprocess.Popen(
        [make_ollama_shim(tmp_path), "serve"],
        env={**os.environ, "OLLAMA_HOST": address, "OLLAMA_MODELS": str(tmp_path / "models")},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_for(lambda: bound_at(free_port))
        home = nobody_folder / "home"
        home.mkdir()
        found = as_nobody(_as_nobody, {"HOME": str(home), "PATH": str(nobody_folder), "OLLAMA_HOST": address})
        assert found["server"][0] == "ok"
        assert found["exposure"][0] == "ok"
        if os.geteuid() == 0:
            assert "another user (root)" in found["owner"][1]
            assert found["models"][0] in ("ok", "unknown")
            assert "own user (root)" in found["key"][1]
    finally:
        server.terminate()
        server.wait(10)
