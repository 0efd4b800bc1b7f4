"""Fail a test in which one callback blocks its loop for more than 50 ms.

What the machine itself took does not count. A probe thread sleeps 5 ms at a time, and the time by which it woke late
within the callback is taken off. Schedulers favour who sleeps, though, so that on a busy machine a callback that
computes is put off while the probe is not: where the kernel tells for how long the thread was ready and did not get a
processor (Linux), that is taken off too; so is the time for which a child that it started was, since starting one
waits until the child executes its program. A test that must block its loop is marked ``blocks_loop("why")``.
"""

from __future__ import annotations

import asyncio
import collections
import contextlib
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

LIMIT_S = 0.050
_TICK_S = 0.005
_LATE_S = 0.001
_CATCH_UP_S = 1.0


@dataclass(frozen=True, slots=True)
class _Span:
    begin_s: float
    end_s: float
    queued_s: float = 0.0
    what: str = ""

    def overlap_s(self, other: _Span) -> float:
        return max(0.0, min(self.end_s, other.end_s) - max(self.begin_s, other.begin_s))


class _Queue:
    """How long the calling thread, and what it started, has been ready to run without a processor, in seconds."""

    def __init__(self) -> None:
        self._here = threading.local()

    def waited_s(self) -> float:
        if sys.platform != "linux":
            return 0.0
        try:
            descriptor = self._here.descriptor
        except AttributeError:
            descriptor = self._here.descriptor = os.open("/proc/thread-self/schedstat", os.O_RDONLY | os.O_CLOEXEC)
        waited_s: float = _waited_s(descriptor) + getattr(self._here, "children_s", 0.0)
        return waited_s

    def count_child(self, pid: int, took_s: float) -> None:
        """Add what a child of this thread waited while it was started, which took so long."""
        if sys.platform != "linux":
            return
        with contextlib.suppress(OSError):  # gone already
            descriptor = os.open(f"/proc/{pid}/schedstat", os.O_RDONLY | os.O_CLOEXEC)
            try:
                waited_s = min(_waited_s(descriptor), took_s)
            finally:
                os.close(descriptor)
            self._here.children_s = getattr(self._here, "children_s", 0.0) + waited_s


def _waited_s(descriptor: int) -> float:
    # Documentation/scheduler/sched-stats.rst: time on the processor, time waiting for it (ns), time slices.
    return int(os.pread(descriptor, 100, 0).split()[1]) / 1e9


class _Probe:
    """A thread that only sleeps: how late it wakes is what the machine, or the interpreter's lock, took from all."""

    def __init__(self) -> None:
        self.queue = _Queue()
        self.seen_until_s = time.monotonic()
        self._late: collections.deque[_Span] = collections.deque(maxlen=20_000)
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="blocking-probe", daemon=True)
        self._thread.start()

    def delayed_s(self, span: _Span) -> float:
        return sum(late.overlap_s(span) for late in list(self._late))

    def close(self) -> None:
        self._end.set()
        self._thread.join(_CATCH_UP_S)

    def _watch(self) -> None:
        while not self._end.is_set():
            due_s = time.monotonic() + _TICK_S
            time.sleep(_TICK_S)
            now_s = time.monotonic()
            if now_s - due_s > _LATE_S:
                self._late.append(_Span(due_s, now_s))
            self.seen_until_s = now_s


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "blocks_loop(why): this test blocks its loop on purpose")


@pytest.fixture(scope="session")
def machine_probe() -> Iterator[_Probe]:
    probe = _Probe()
    yield probe
    probe.close()


@pytest.fixture(autouse=True)
def blocked_loop_fails(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, machine_probe: _Probe
) -> Iterator[None]:
    if request.node.get_closest_marker("blocks_loop"):
        yield
        return
    blocked: list[_Span] = []
    queue = machine_probe.queue
    run = asyncio.Handle._run  # the one place through which every callback goes

    def timed(handle: asyncio.Handle) -> None:
        queued_s = queue.waited_s()
        begin_s = time.monotonic()
        try:
            run(handle)
        finally:
            end_s = time.monotonic()
            if end_s - begin_s > LIMIT_S:
                blocked.append(_Span(begin_s, end_s, queue.waited_s() - queued_s, repr(handle)))

    start = subprocess.Popen._execute_child  # type: ignore[attr-defined] # all ways to start a process go through it

    def counted(process: subprocess.Popen[bytes], *args: object) -> None:
        begin_s = time.monotonic()
        start(process, *args)
        queue.count_child(process.pid, time.monotonic() - begin_s)

    monkeypatch.setattr(asyncio.Handle, "_run", timed)
    monkeypatch.setattr(subprocess.Popen, "_execute_child", counted)
    yield
    guilty = []
    for span in blocked:
        _let_catch_up(machine_probe, span)
        took_s, late_s = span.end_s - span.begin_s, machine_probe.delayed_s(span)
        if took_s - late_s - span.queued_s > LIMIT_S:
            excuse = f"the probe was {late_s * 1000:.0f} ms late, waited {span.queued_s * 1000:.0f} ms for a processor"
            guilty.append(f"{took_s * 1000:.0f} ms ({excuse}): {span.what}")
    if guilty:
        pytest.fail("blocked the loop:\n" + "\n".join(guilty), pytrace=False)


def _let_catch_up(probe: _Probe, span: _Span) -> None:
    deadline_s = time.monotonic() + _CATCH_UP_S
    while probe.seen_until_s < span.end_s and time.monotonic() < deadline_s:
        time.sleep(_TICK_S)
