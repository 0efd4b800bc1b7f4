"""How long our start and stop take beside `ollama serve` alone, and what `status` costs.

Run it on a quiet machine::

    python -m tests.benchmarks.bench_server [--ollama PATH] [--runs 5]

Without ``--ollama`` the simulated server is started. In each run, in turn: the program alone, spawned and stopped by
SIGTERM, and the same through the supervisor; a probe on a thread of its own asks ``/api/version`` every 10 ms from the
spawn on. Bounds: RUNNING is published at most 0.15 s after the probe's first answer; ``status`` takes at most 0.4 s of
user and system time.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import resource
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from launcher.core import Snapshot, open_core
from launcher.domain.server import ServerState, ServerStatus
from launcher.server.find import VARIABLE
from tests.support.demo_server import make_ollama_shim

PUBLISHED_WITHIN_S = 0.15
STATUS_CPU_S = 0.4
_LIMIT_S = 60.0
_PROBE_INTERVAL_S = 0.01
_REQUEST = b"GET /api/version HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"


class Probe(threading.Thread):
    """Ask every 10 ms; ``answered_s`` is when the first answer came (monotonic clock), None while there is none."""

    def __init__(self, port: int) -> None:
        super().__init__(daemon=True)
        self.answered_s: float | None = None
        self._port = port
        self._deadline_s = time.monotonic() + _LIMIT_S

    def run(self) -> None:
        while time.monotonic() < self._deadline_s:
            try:
                with socket.create_connection(("127.0.0.1", self._port), timeout=1.0) as connection:
                    connection.sendall(_REQUEST)
                    if connection.recv(12).startswith(b"HTTP/1.1 200"):
                        self.answered_s = time.monotonic()
                        return
            except OSError:
                pass
            time.sleep(_PROBE_INTERVAL_S)


@dataclass
class Run:
    """Seconds of one start and stop."""

    ready_s: float
    stop_s: float
    published_after_s: float = 0.0


def alone(command: Sequence[str], environ: dict[str, str], port: int, log: Path) -> Run:
    """Start and stop the program without us."""
    probe = Probe(port)
    with log.open("ab") as output:
        began_s = time.monotonic()
        process = subprocess.Popen(command, env=environ, stdout=output, stderr=output, start_new_session=True)
    probe.start()
    probe.join()
    if probe.answered_s is None:
        raise SystemExit(f"{command} did not answer")
    stop_began_s = time.monotonic()
    os.killpg(process.pid, signal.SIGTERM)
    process.wait(_LIMIT_S)
    return Run(probe.answered_s - began_s, time.monotonic() - stop_began_s)


async def supervised(environ: dict[str, str], port: int) -> Run:
    """Start and stop it through the supervisor, as a window does."""
    came: dict[ServerState, float] = {}
    changed = asyncio.Event()

    def publish(snapshot: Snapshot) -> None:
        if isinstance(snapshot, ServerStatus):
            came[snapshot.state] = time.monotonic()
            changed.set()

    async def until(state: ServerState) -> float:
        async with asyncio.timeout(_LIMIT_S):
            while state not in came:
                changed.clear()
                await changed.wait()
        return came[state]

    async with open_core(environ=environ, publish=publish) as core:
        services = asyncio.create_task(core.run())
        await until(ServerState.STOPPED)
        came.clear()
        probe = Probe(port)
        began_s = time.monotonic()
        probe.start()
        core.supervisor.start()
        running_s = await until(ServerState.RUNNING)
        await asyncio.to_thread(probe.join)
        came.clear()
        stop_began_s = time.monotonic()
        core.supervisor.stop()
        stopped_s = await until(ServerState.STOPPED)
        services.cancel()
        await asyncio.wait({services})
    answered_s = probe.answered_s or running_s
    return Run(running_s - began_s, stopped_s - stop_began_s, running_s - answered_s)


def status_cpu_s(environ: dict[str, str]) -> float:
    """Measure user and system time of one `status`."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-m", "launcher", "status"], env=environ, stdout=subprocess.DEVNULL, check=False)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _row(name: str, values_s: Sequence[float], more: str = "") -> None:
    print(
        f"{name:<34} median {statistics.median(values_s) * 1000:7.0f} ms   worst {max(values_s) * 1000:7.0f} ms{more}"
    )


def main() -> int:
    """Run, print, and return 1 when a bound is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ollama", type=Path, help="the program to start; default: the simulated server")
    parser.add_argument("--runs", type=int, default=5)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        program = chosen.ollama or make_ollama_shim(folder / "bin")
        port = _free_port()
        environ = {
            **os.environ,
            VARIABLE: str(program),
            "HOME": name,
            "OLLAMA_HOST": f"127.0.0.1:{port}",
            "OLLAMA_MODELS": str(folder / "models"),
            "OLLAMA_NO_CLOUD": "1",
            "LAUNCHER_CONFIG_DIR": str(folder / "config"),
            "LAUNCHER_STATE_DIR": str(folder / "state"),
        }
        os.environ.update({key: value for key, value in environ.items() if key.startswith("LAUNCHER_")})
        command = [str(program), "serve"]
        alones: list[Run] = []
        ours: list[Run] = []
        for _ in range(chosen.runs):
            alones.append(alone(command, environ, port, folder / "alone.log"))
            ours.append(asyncio.run(supervised(environ, port)))
        cpu_s = [status_cpu_s(environ) for _ in range(chosen.runs)]

    _row("serve alone: spawn to ready", [run.ready_s for run in alones])
    _row("supervised: wish to RUNNING", [run.ready_s for run in ours])
    published_s = [run.published_after_s for run in ours]
    _row("  RUNNING after the first answer", published_s, f"   (bound {PUBLISHED_WITHIN_S * 1000:.0f} ms)")
    _row("serve alone: TERM to exit", [run.stop_s for run in alones])
    _row("supervised: wish to STOPPED", [run.stop_s for run in ours])
    _row("status: user + system time", cpu_s, f"   (bound {STATUS_CPU_S * 1000:.0f} ms)")
    held = statistics.median(published_s) <= PUBLISHED_WITHIN_S and statistics.median(cpu_s) <= STATUS_CPU_S
    return 0 if held else 1


if __name__ == "__main__":
    sys.exit(main())
