"""Real small processes for tests of the process layer. Who starts a :class:`Family` ends it, too."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from launcher.server import identity
from launcher.server.record import ServerRecord, Wanted
from launcher.server.spawn import Child, spawn

_LIMIT_S = 20.0

# What scripts of the tests may use: say something, start a helper, wait for ever.
_PRELUDE = """
import os, signal, subprocess, sys, time
def say(*words):
    print(*words, flush=True)
def forever():
    while True:
        time.sleep(60)
def helper(source, **how):
    return subprocess.Popen([sys.executable, "-I", "-S", "-c", sys.argv[1] + source, sys.argv[1]], **how)
"""


async def until(condition: Callable[[], object], what: str = "the condition") -> None:
    """Look every few milliseconds until ``condition()`` is true; fail after a while."""
    deadline_s = time.monotonic() + _LIMIT_S
    while not condition():
        if time.monotonic() > deadline_s:
            pytest.fail(f"{what} did not come true in {_LIMIT_S:g} s")
        await asyncio.sleep(0.005)


class Family:
    """Starts children with :func:`spawn` and remembers them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.groups: list[int] = []
        self._logs: dict[int, Path] = {}
        self._count = 0

    async def start(self, source: str, *, says: str | None = None) -> Child:
        """Run Python ``source`` as a child; with ``says``, wait until it has printed that word."""
        self._count += 1
        log = self.folder / f"child-{self._count}.log"
        child = await self.spawn([sys.executable, "-I", "-S", "-c", _PRELUDE + source, _PRELUDE], log)
        if says is not None:
            await until(lambda: says in self.said(child), f"the child saying {says!r} ({log.read_text()!r})")
        return child

    async def spawn(self, argv: list[str], log: Path, env: dict[str, str] | None = None) -> Child:
        child = await spawn(argv, dict(os.environ) if env is None else env, log, self.folder)
        self.groups.append(child.group)
        self._logs[child.pid] = log
        return child

    def said(self, child: Child) -> list[str]:
        return self._logs[child.pid].read_text().split()

    def number(self, child: Child, word: str) -> int:
        """The number that the child printed after ``word``."""
        words = self.said(child)
        return int(words[words.index(word) + 1])

    def record(self, child: Child, **changes: object) -> ServerRecord:
        record = ServerRecord(
            wanted=Wanted.RUNNING,
            pid=child.pid,
            group=child.group,
            boot_id=identity.boot_id(),
            start=child.start,
            exes=child.exes,
            log=str(self._logs[child.pid]),
        )
        return replace(record, **changes)  # type: ignore[arg-type] # the tests name real fields

    def living(self, group: int) -> list[int]:
        return [process.pid for process in identity.list_group(group) if not process.dead]

    async def end(self) -> None:
        """Kill whoever still lives of what was started, and wait until nobody does."""
        for group in self.groups:
            for pid in self.living(group):
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        for group in self.groups:
            await until(lambda group=group: not self.living(group), f"the end of group {group}")  # type: ignore[misc]
