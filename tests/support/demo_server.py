"""The simulated server as a real child process, and an ``ollama`` that starts it.

``make_ollama_shim`` is for whatever finds and starts an ``ollama`` itself (supervisor, command line); ``DemoServer`` is
for tests that only need a server to talk to.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from launcher.tasks import run_blocking

# 1:100 unless asked for otherwise: `DEMO_SCALE=1 python -m pytest tests/demo` waits and counts as the real server does.
SCALE = float(os.environ.get("DEMO_SCALE", "0.01"))

_ROOT = Path(__file__).parents[2]
_READY_TIMEOUT_S = 20.0
_END_TIMEOUT_S = 10.0
_POLL_S = 0.005
_LISTENING = re.compile(r'msg="Listening on (\S+):(\d+) ')
# Linux cuts a shebang line at 255 bytes, macOS at 511, older ones at 127.
_LONGEST_SHEBANG = 120


def make_ollama_shim(folder: Path) -> Path:
    """Make an executable ``ollama`` in ``folder`` that is the simulated one, and return its path.

    Its shebang names the real interpreter, not a link in a venv: what runs is that executable from the first moment,
    as with a real binary, and no other program runs before it.
    """
    interpreter = Path(os.path.realpath(sys.executable))
    if len(str(interpreter)) > _LONGEST_SHEBANG or " " in str(interpreter):
        link = Path(f"/tmp/python-{os.getuid()}-{abs(hash(interpreter)):x}")
        with contextlib.suppress(FileExistsError):
            link.symlink_to(interpreter)
        interpreter = link
    folder.mkdir(parents=True, exist_ok=True)
    shim = folder / "ollama"
    # -S: without the venv's site-packages, which are named below; half the start-up time of an interpreter is theirs.
    shim.write_text(
        f"#!{interpreter} -SE\n"
        "import sys\n"
        f"sys.path[:0] = {[str(_ROOT), *_site_packages()]!r}\n"
        "from launcher.demo.command import main\n"
        "sys.exit(main(sys.argv[1:]))\n",
        encoding="utf-8",
    )
    shim.chmod(0o755)
    return shim


def write_script(folder: Path, script: Mapping[str, Any]) -> Path:
    """Write a script for the variable ``LAUNCHER_DEMO_SCRIPT``, at the scale of the tests unless it says otherwise."""
    path = folder / "demo-script.json"
    path.write_text(json.dumps({"scale": SCALE, **script}), encoding="utf-8")
    return path


class DemoServer:
    """A simulated server of one's own, on a free port, for the length of a ``async with``.

    ::

        async with DemoServer(tmp_path, {"rate_bytes_per_s": 1_000_000}) as server:
            async with Client(server.base_url) as client:
                ...

    A second one on the same folder finds the same models. Nothing of it is alive afterwards, loaded models included.
    """

    def __init__(
        self,
        folder: Path,
        script: Mapping[str, Any] | None = None,
        *,
        environment: Mapping[str, str] | None = None,
        wait_for_http: bool = True,
        port: int = 0,
    ) -> None:
        self.folder = folder
        self.models_dir = folder / "models"
        self.log_path = folder / "demo-server.log"
        self._script = script or {}
        self._extra = environment or {}
        self._waits = wait_for_http
        self._asked_port = port
        self._process: subprocess.Popen[bytes] | None = None
        self._port = 0
        self._log_start = 0

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    @property
    def port(self) -> int:
        return self._port

    @property
    def pid(self) -> int:
        """The server, which leads a session and group of its own."""
        assert self._process is not None
        return self._process.pid

    @property
    def returncode(self) -> int | None:
        """None while it runs; negative for the signal it died of."""
        assert self._process is not None
        return self._process.poll()

    @property
    def blobs_dir(self) -> Path:
        return self.models_dir / "blobs"

    def log_text(self) -> str:
        """Everything this server has said so far, on both outputs."""
        with self.log_path.open("rb") as file:
            file.seek(self._log_start)
            return file.read().decode("utf-8", "replace")

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.kill()

    async def start(self) -> None:
        """Start it (again) and wait until it listens, and until it answers HTTP."""
        self.folder.mkdir(parents=True, exist_ok=True)
        environment = {
            **os.environ,
            "HOME": str(self.folder),
            "OLLAMA_HOST": f"127.0.0.1:{self._asked_port}",
            "OLLAMA_MODELS": str(self.models_dir),
            "LAUNCHER_DEMO_SCRIPT": str(write_script(self.folder, self._script)),
            **self._extra,
        }
        # On a thread: who starts a process waits until it executes its program, on a busy machine for long.
        await run_blocking(self._begin, environment)
        try:
            async with asyncio.timeout(_READY_TIMEOUT_S):
                await self._wait_until_ready()
        except BaseException:
            await self.kill()
            raise

    async def stop(self) -> int:
        """Stop it by SIGTERM and return its exit code."""
        assert self._process is not None
        with contextlib.suppress(ProcessLookupError):
            self._process.terminate()
        return await self.wait()

    async def wait(self) -> int:
        """Wait until it has ended by itself and return its exit code."""
        assert self._process is not None
        return await run_blocking(self._process.wait, timeout_s=_END_TIMEOUT_S)

    async def kill(self) -> None:
        """Kill it and every process it has left in its group."""
        if self._process is None:
            return
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        await self.wait()

    def _begin(self, environment: Mapping[str, str]) -> None:
        with self.log_path.open("ab") as log:
            self._log_start = log.tell()
            self._process = subprocess.Popen(
                [sys.executable, "-m", "launcher.demo", "serve"],
                cwd=_ROOT,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    async def _wait_until_ready(self) -> None:
        assert self._process is not None
        while (found := _LISTENING.search(self.log_text())) is None:
            assert self._process.poll() is None, self.log_text()
            await asyncio.sleep(_POLL_S)
        self._port = int(found[2])
        if self._waits:
            # The request waits in the kernel's queue until HTTP is served: no polling.
            reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
            writer.write(b"HEAD /api/version HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            assert (await reader.readline()).startswith(b"HTTP/1.1 200"), self.log_text()
            writer.close()
            await writer.wait_closed()


def _site_packages() -> list[str]:
    return [path for path in sys.path if path.endswith("site-packages")]
