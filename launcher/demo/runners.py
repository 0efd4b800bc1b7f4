"""Loaded models: one process each, in the server's own process group, as ``llama-server`` is (server/sched.go, 0.33).

A process that stands for a model does nothing but stay. It outlives a server that is killed, since nothing ties it to
its parent: that is what the real one does, and what a launcher has to clean up.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from launcher.demo import log
from launcher.demo.faults import AnswerFaults
from launcher.demo.golang import FOREVER_NS
from launcher.demo.script import Script
from launcher.demo.store import Installed, ModelsFolder
from launcher.environment import child_environment, is_frozen, self_command

RUNNER_COMMAND = "runner"
_LOAD_BASE_S = 0.25
_LOAD_BYTES_PER_S = 2_000_000_000
_STAY = "import signal,time\nsignal.signal(signal.SIGINT,signal.SIG_DFL)\nwhile True:time.sleep(3600)"


class RunnerFailed(Exception):
    """The process of a model ended; the text is the one that the request reports."""


class ServerBusy(Exception):
    """Too many requests wait for a model to be loaded."""

    def __init__(self) -> None:
        super().__init__("server busy, please try again.  maximum pending requests exceeded")


def stay() -> None:
    """Be the process of a loaded model: do nothing until killed."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    while True:
        time.sleep(3600)


@dataclass(slots=True)
class Loaded:
    """One model in memory."""

    model: Installed
    process: subprocess.Popen[bytes]
    context_length: int
    size_bytes: int
    vram_bytes: int
    keep_alive_ns: int
    ready: bool = False
    active_requests: int = 0
    expires_ns: int = 0
    reported: bool = False
    timer: asyncio.TimerHandle | None = None
    is_idle: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def is_alive(self) -> bool:
        return self.process.poll() is None


class Runners:
    """The models in memory. One load at a time; a model leaves when its time has passed."""

    def __init__(
        self,
        script: Script,
        folder: ModelsFolder,
        faults: AnswerFaults,
        *,
        keep_alive_ns: int,
        context_length: int,
        max_queue: int,
    ) -> None:
        self._script = script
        self._folder = folder
        self._faults = faults
        self._keep_alive_ns = keep_alive_ns
        self._context_length = context_length
        self._max_queue = max_queue
        self._pending = 0
        self._loaded: dict[str, Loaded] = {}
        self._loading = asyncio.Lock()

    def loaded(self) -> list[Loaded]:
        """List what is loaded, latest expiry first; what is still loading is not there, what died unseen is."""
        ready = [one for one in self._loaded.values() if one.ready]
        return sorted(ready, key=lambda one: one.expires_ns // 1_000_000_000, reverse=True)

    @contextlib.asynccontextmanager
    async def use(
        self, model: Installed, keep_alive_ns: int | None, context_length: int | None
    ) -> AsyncIterator[Loaded]:
        """Have a model in memory for the length of one request; cancelling it while the model loads ends the load."""
        one = self._fitting(model, context_length) or await self._wait_for(model, context_length)
        one.active_requests += 1
        one.is_idle.clear()
        if one.timer is not None:
            one.timer.cancel()
            one.timer = None
        if keep_alive_ns is not None:
            one.keep_alive_ns = keep_alive_ns
        try:
            yield one
        finally:
            one.active_requests -= 1
            if one.active_requests == 0:
                self._become_idle(one)

    def _fitting(self, model: Installed, context_length: int | None) -> Loaded | None:
        """Give the loaded model if it can serve a request as it is."""
        one = self._loaded.get(model.name.key)
        if one is None or not one.ready or not one.is_alive:
            return None
        if context_length and one.context_length != self._context(model, context_length):
            return None
        return one

    async def _wait_for(self, model: Installed, context_length: int | None) -> Loaded:
        if self._pending > self._max_queue:
            raise ServerBusy
        self._pending += 1
        try:
            async with self._loading:
                one = self._fitting(model, context_length)
                if one is None:
                    stale = self._loaded.get(model.name.key)
                    if stale is not None:
                        if stale.is_alive:
                            await stale.is_idle.wait()
                        self._remove(stale)
                    one = await self._load(model, self._context(model, context_length))
                return one
        finally:
            self._pending -= 1

    def unload(self, model: Installed) -> None:
        """Let a model go, at once or when its running requests have ended."""
        one = self._loaded.get(model.name.key)
        if one is not None:
            one.keep_alive_ns = 0
            if one.active_requests == 0:
                self._remove(one)

    def kill_all(self) -> None:
        """End every process: the server stops."""
        for one in self._loaded.values():
            with contextlib.suppress(OSError):
                one.process.kill()

    def reap(self) -> None:
        """Notice processes that ended by themselves, so that none stays a zombie."""
        for one in self._loaded.values():
            if not one.is_alive and not one.reported:
                one.reported = True
                reason = _how_it_ended(one.process)
                log.slog("ERROR", "llama_server.go:1023", "llama-server terminated", error=reason, exit="unknown")

    def _context(self, model: Installed, wanted: int | None) -> int:
        trained = int(model.config.get("context_length") or 4096)
        return max(4, min(trained, wanted or self._context_length or 4096))

    async def _load(self, model: Installed, context_length: int) -> Loaded:
        blob = self._folder.blob_path(model.weights_digest)
        weights = model.weights_bytes
        size = weights + context_length * int(model.config.get("embedding_length") or 1024) * 4
        failure = self._faults.load_failure(model.name, context_length, size, is_alone=not self._loaded)
        if failure is not None:
            log.slog("ERROR", "sched.go:575", "error loading llama server", error=failure)
            raise RunnerFailed(failure)
        gpu = self._script.gpu
        started_s = time.monotonic()
        log.slog("INFO", "llama_server.go:433", "starting llama-server", cmd=f"llama-server --model {blob} --port 0")
        one = Loaded(
            model,
            _spawn(blob),
            context_length,
            size,
            min(size, gpu.total_bytes) if gpu is not None else 0,
            self._keep_alive_ns,
        )
        self._loaded[model.name.key] = one
        wait_s = self._script.load_s
        if wait_s is None:
            wait_s = _LOAD_BASE_S + weights / self._script.scale / _LOAD_BYTES_PER_S
        ends_s = started_s + self._script.wait_s(wait_s)
        try:
            while (left_s := ends_s - time.monotonic()) > 0:
                _check_alive(one)
                await asyncio.sleep(min(left_s, 0.05))
        except BaseException:
            self._remove(one)
            raise
        one.ready = True
        took_s = time.monotonic() - started_s
        log.slog("INFO", "llama_server.go:1362", f"llama-server started in {took_s:.2f} seconds")
        log.slog("INFO", "sched.go:728", "loaded runners", count=len(self._loaded))
        return one

    def _become_idle(self, one: Loaded) -> None:
        one.is_idle.set()
        if self._loaded.get(one.model.name.key) is not one:
            return
        if one.keep_alive_ns == 0:
            self._remove(one)
            return
        one.expires_ns = time.time_ns() + one.keep_alive_ns
        if one.keep_alive_ns < FOREVER_NS:
            loop = asyncio.get_running_loop()
            one.timer = loop.call_later(one.keep_alive_ns / 1e9, self._expire, one)

    def _expire(self, one: Loaded) -> None:
        one.timer = None
        if one.active_requests == 0:
            self._remove(one)

    def _remove(self, one: Loaded) -> None:
        if self._loaded.get(one.model.name.key) is one:
            del self._loaded[one.model.name.key]
        if one.timer is not None:
            one.timer.cancel()
            one.timer = None
        one.reported = True
        with contextlib.suppress(OSError):
            one.process.kill()
        # A killed process that only sleeps is gone at once; waiting here leaves no zombie.
        with contextlib.suppress(subprocess.TimeoutExpired):
            one.process.wait(timeout=1)


def _check_alive(one: Loaded) -> None:
    if not one.is_alive:
        raise RunnerFailed(f"llama-server process has terminated: {_how_it_ended(one.process)}")


def _how_it_ended(process: subprocess.Popen[bytes]) -> str:
    code = process.poll()
    if code is not None and code < 0:
        return f"signal: {(signal.strsignal(-code) or str(-code)).lower()}"
    return f"exit status {code}"


def _spawn(blob: str) -> subprocess.Popen[bytes]:
    arguments = ("--model", blob, "--host", "127.0.0.1", "--offline")
    if is_frozen():
        command = self_command("demo", RUNNER_COMMAND, *arguments)
    else:
        # Of our own interpreter, but without our modules: small, and there in 20 ms.
        command = [sys.executable, "-S", "-E", "-c", _STAY, *arguments]
    hidden = 0
    if sys.platform == "win32":
        hidden = subprocess.CREATE_NO_WINDOW
    return subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=child_environment(os.environ),
        creationflags=hidden,
    )
