"""Fail a test that leaves something behind: a task, a timer of a loop, a QTimer, a process.

Tasks and timers are looked at when the test's ``asyncio.Runner`` closes, which would cancel them without a word.
Processes are found among our children and, since some live on their own on purpose, by a variable that all that is
started inherits. What is found is ended, so that one test's leak is not another's.
"""

from __future__ import annotations

import asyncio
import asyncio.runners
import contextlib
import gc
import os
import sys
import time
from collections.abc import Iterator

import psutil
import pytest

RUN_VARIABLE = "PYTEST_RUN_OF_LAUNCHER"
_RUN = f"{os.getpid()}-{time.time_ns()}"
_STARTING = {"subprocess.Popen", "os.posix_spawn", "os.fork", "os.forkpty", "os.exec"}
_END_TIMEOUT_S = 3.0
_ANYIO_RUNNER = "TestRunner._run_tests_and_fixtures"

_starts = 0
# The children there were when so many processes had been started: looked for again only after another start.
_known: tuple[int, frozenset[int]] = (0, frozenset())


def _count_starts(event: str, _args: tuple[object, ...]) -> None:
    global _starts
    if event in _STARTING:
        _starts += 1


def pytest_configure() -> None:
    os.environ[RUN_VARIABLE] = _RUN
    sys.addaudithook(_count_starts)


@pytest.fixture(autouse=True)
def leaked_tasks_fail(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    leaks: list[str] = []
    cancel_all_tasks = asyncio.runners._cancel_all_tasks  # type: ignore[attr-defined] # what Runner.close() calls

    def look_and_cancel(loop: asyncio.AbstractEventLoop) -> None:
        leaks.extend(f"task {task!r}" for task in asyncio.all_tasks(loop) if _ANYIO_RUNNER not in repr(task.get_coro()))
        leaks.extend(f"timer {timer!r}" for timer in getattr(loop, "_scheduled", ()) if not timer.cancelled())
        cancel_all_tasks(loop)

    monkeypatch.setattr(asyncio.runners, "_cancel_all_tasks", look_and_cancel)
    yield
    if leaks:
        pytest.fail("left in the loop:\n" + "\n".join(leaks), pytrace=False)


@pytest.fixture(autouse=True)
def leaked_qt_timers_fail(request: pytest.FixtureRequest) -> Iterator[None]:
    if "qapp" not in request.fixturenames:
        yield
        return
    before = _active_qt_timers()
    yield
    leaked = _active_qt_timers() - before
    if leaked:
        pytest.fail(f"left {len(leaked)} active QTimer(s)", pytrace=False)


@pytest.fixture(autouse=True)
def leaked_processes_fail() -> Iterator[None]:
    starts = _starts
    begin_s = time.time() - 1.0  # process times are coarse
    before = _known_children()
    yield
    if _starts == starts:
        return
    deadline_s = time.monotonic() + _END_TIMEOUT_S
    while (leaked := _ours(begin_s, before)) and time.monotonic() < deadline_s:
        time.sleep(0.02)
    if not leaked:
        return
    lines = [_describe(process) for process in leaked]
    for process in leaked:
        with contextlib.suppress(psutil.Error):
            process.kill()
            process.wait(1.0)
    pytest.fail("left running:\n" + "\n".join(lines), pytrace=False)


def _active_qt_timers() -> set[int]:
    import shiboken6
    from PySide6.QtCore import QTimer

    return {id(o) for o in gc.get_objects() if isinstance(o, QTimer) and shiboken6.isValid(o) and o.isActive()}


def _known_children() -> frozenset[int]:
    global _known
    if _known[0] != _starts:
        _known = _starts, frozenset(process.pid for process in psutil.Process().children(recursive=True))
    return _known[1]


def _ours(begin_s: float, before: frozenset[int]) -> list[psutil.Process]:
    found = {process.pid: process for process in psutil.Process().children(recursive=True)}
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.create_time() >= begin_s and process.environ().get(RUN_VARIABLE) == _RUN:
                found[process.pid] = process
    return [process for pid, process in found.items() if pid not in before and pid != os.getpid()]


def _describe(process: psutil.Process) -> str:
    with contextlib.suppress(psutil.Error):
        return f"{process.pid} {process.status()} {process.cmdline() or process.name()}"
    return f"{process.pid} (gone meanwhile)"
