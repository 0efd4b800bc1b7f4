"""Owned tasks and blocking work: held, reported once, ended in bounded time."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import os
import subprocess
import sys
import threading
import weakref
from pathlib import Path

import pytest

from launcher.tasks import DaemonThreads, TaskScope, run_blocking
from tests.support.logfail import ExpectLog
from tests.support.waiting import eventually, wait_until

pytestmark = pytest.mark.anyio


class Reports:
    """What a scope reported."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, str]] = []

    def __call__(self, name: str, error: BaseException) -> None:
        self.seen.append((name, str(error)))


async def fail(text: str) -> None:
    raise ValueError(text)


class TestTaskScope:
    async def test_a_result_is_not_a_report(self) -> None:
        reports = Reports()
        scope = TaskScope(reports)
        task = scope.spawn(asyncio.sleep(0, "done"), name="quick")

        assert await task == "done"
        assert await scope.aclose() == []
        assert reports.seen == []

    async def test_the_task_has_its_name(self) -> None:
        scope = TaskScope(Reports())
        task = scope.spawn(asyncio.sleep(0), name="pull llama3.2")
        await scope.aclose()

        assert task.get_name() == "pull llama3.2"

    async def test_each_failure_is_reported_once(self) -> None:
        reports = Reports()
        scope = TaskScope(reports)
        for name in "ab":
            scope.spawn(fail(f"of {name}"), name=name)
        await eventually(lambda: not len(scope))
        await scope.aclose()

        assert reports.seen == [("a", "of a"), ("b", "of b")]

    async def test_a_task_that_nobody_else_holds_survives_the_collector(self) -> None:
        scope = TaskScope(Reports())
        done = asyncio.Event()

        async def wait_in_a_cycle() -> None:
            future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            me = asyncio.current_task()
            future.add_done_callback(lambda _: me)
            weak = weakref.ref(future)

            def resolve() -> None:
                future = weak()
                if future is not None:
                    future.set_result(None)

            asyncio.get_running_loop().call_later(0.02, resolve)
            await future
            done.set()

        scope.spawn(wait_in_a_cycle(), name="cycle")
        await asyncio.sleep(0)
        gc.collect()
        async with asyncio.timeout(10):
            await done.wait()
        await scope.aclose()

    async def test_closing_cancels_and_waits_for_the_clean_up(self) -> None:
        reports = Reports()
        scope = TaskScope(reports)
        order: list[str] = []

        async def work() -> None:
            try:
                await asyncio.Event().wait()
            finally:
                await asyncio.sleep(0.01)
                order.append("cleaned up")

        scope.spawn(work(), name="work")
        await asyncio.sleep(0)
        assert await scope.aclose() == []
        order.append("closed")

        assert order == ["cleaned up", "closed"]
        assert reports.seen == []
        assert len(scope) == 0

    async def test_a_failure_while_closing_is_reported(self) -> None:
        reports = Reports()
        scope = TaskScope(reports)

        async def work() -> None:
            try:
                await asyncio.Event().wait()
            finally:
                raise ValueError("in the clean-up")

        scope.spawn(work(), name="work")
        await asyncio.sleep(0)
        await scope.aclose()

        assert reports.seen == [("work", "in the clean-up")]

    async def test_a_stubborn_task_is_named_and_not_waited_for(self, expect_log: ExpectLog) -> None:
        scope = TaskScope(Reports())
        release = asyncio.Event()

        async def stubborn() -> None:
            while not release.is_set():
                try:
                    await release.wait()
                except asyncio.CancelledError:
                    continue

        task = scope.spawn(stubborn(), name="stubborn")
        await asyncio.sleep(0)
        expect_log("tasks did not end within 0.0 s of their cancellation: stubborn")

        assert await scope.aclose(timeout_s=0.02) == ["stubborn"]
        release.set()
        await task

    async def test_nothing_starts_after_the_end(self) -> None:
        scope = TaskScope(Reports())
        await scope.aclose()

        with pytest.raises(RuntimeError, match="'late' was not started"):
            scope.spawn(asyncio.sleep(0), name="late")

    async def test_closing_twice_is_harmless(self) -> None:
        scope = TaskScope(Reports())
        scope.spawn(asyncio.sleep(60), name="long")

        for stubborn in await asyncio.gather(scope.aclose(), scope.aclose()):
            assert stubborn == []

    async def test_a_task_may_close_its_own_scope(self) -> None:
        scope = TaskScope(Reports())
        other = scope.spawn(asyncio.sleep(60), name="other")
        closing = scope.spawn(scope.aclose(), name="closing")

        assert await closing == []
        assert other.cancelled()


class TestRunBlocking:
    async def test_returns_what_the_function_returns(self) -> None:
        assert await run_blocking(divmod, 7, 2) == (3, 1)

    async def test_raises_what_the_function_raises(self) -> None:
        with pytest.raises(ValueError, match="invalid literal"):
            await run_blocking(int, "x")

    async def test_a_stray_stop_iteration_does_not_hang(self) -> None:
        with pytest.raises(RuntimeError, match="raised StopIteration"):
            await run_blocking(next, iter(()))

    async def test_runs_on_a_daemon_thread_with_a_name(self) -> None:
        def who() -> threading.Thread:
            return threading.current_thread()

        thread = await run_blocking(who)

        assert thread is not threading.current_thread()
        assert thread.daemon
        assert thread.name == "blocking-who"

    async def test_sees_the_context(self) -> None:
        variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable")
        variable.set("seen")

        assert await run_blocking(variable.get) == "seen"

    async def test_calls_do_not_wait_for_each_other(self) -> None:
        barrier = threading.Barrier(20)

        async with asyncio.timeout(10):
            assert sorted(await asyncio.gather(*(run_blocking(barrier.wait) for _ in range(20)))) == list(range(20))

    async def test_cancelling_sets_the_flag_and_waits_for_the_clean_up(self) -> None:
        order: list[str] = []
        begun = threading.Event()

        def work(text: str, *, cancel: threading.Event) -> None:
            begun.set()
            cancel.wait(10)
            order.append(text)

        task = asyncio.ensure_future(run_blocking(work, "flag seen"))
        await eventually(begun.is_set)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        order.append("cancelled")

        assert order == ["flag seen", "cancelled"]

    async def test_cancelling_does_not_wait_for_a_function_that_cannot_be_told(self) -> None:
        release = threading.Event()
        task = asyncio.ensure_future(run_blocking(release.wait, 60))
        await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

        assert not release.is_set()
        release.set()

    async def test_a_function_that_ignores_its_flag_is_not_waited_for_for_ever(self) -> None:
        release = threading.Event()
        flags: list[threading.Event] = []

        def deaf(cancel: threading.Event) -> None:
            flags.append(cancel)
            release.wait(60)

        task = asyncio.ensure_future(run_blocking(deaf))
        await eventually(lambda: flags)
        task.cancel()
        async with asyncio.timeout(10):
            with pytest.raises(asyncio.CancelledError):
                await task

        assert flags[0].is_set()
        assert not release.is_set()
        release.set()

    async def test_too_long_is_a_time_out(self) -> None:
        release = threading.Event()
        with pytest.raises(TimeoutError, match=r"wait took longer than 0\.02 s"):
            await run_blocking(release.wait, 60, timeout_s=0.02)
        release.set()

    async def test_too_long_sets_the_flag(self) -> None:
        seen: list[bool] = []

        def work(*, cancel: threading.Event) -> None:
            seen.append(cancel.wait(10))

        with pytest.raises(TimeoutError):
            await run_blocking(work, timeout_s=0.02)

        assert seen == [True]

    async def test_a_failure_after_the_end_of_the_wait_is_dropped(self) -> None:
        release = threading.Event()
        ended = threading.Event()

        def work() -> None:
            try:
                release.wait(60)
                raise ValueError("nobody waits any more")
            finally:
                ended.set()

        with pytest.raises(TimeoutError):
            await run_blocking(work, timeout_s=0.02)
        release.set()
        await eventually(ended.is_set)
        await asyncio.sleep(0.01)
        gc.collect()


def test_a_result_that_comes_after_the_loop_is_closed_harms_nobody() -> None:
    release, ended = threading.Event(), threading.Event()

    def work() -> None:
        release.wait(60)
        ended.set()

    async def main() -> None:
        with pytest.raises(TimeoutError):
            await run_blocking(work, timeout_s=0.02)

    asyncio.run(main())
    release.set()
    wait_until(ended.is_set)


def test_blocked_work_does_not_delay_the_end_of_the_program() -> None:
    program = (
        "import asyncio, threading\n"
        "from launcher.tasks import run_blocking\n"
        "async def main():\n"
        "    task = asyncio.ensure_future(run_blocking(threading.Event().wait))\n"
        "    await asyncio.sleep(0.05)\n"
        "asyncio.run(main())\n"
    )
    run = subprocess.run([sys.executable, "-c", program], timeout=20, check=False, env=dict(os.environ))

    assert run.returncode == 0


def test_daemon_threads_skip_what_was_cancelled() -> None:
    future = DaemonThreads().submit(int, "3")

    assert future.result(10) == 3
    assert not future.cancel()


_LEAVES_WORK = """
import asyncio, pathlib, sys, time
sys.argv[1:] = ["--version"]
from launcher import __main__ as entry
from launcher.tasks import run_blocking

def work(seconds, path):
    time.sleep(seconds)
    pathlib.Path(path).touch()

async def leave_it():
    try:
        await run_blocking(work, float({seconds}), {path!r}, timeout_s=0.01)
    except TimeoutError:
        print("left", end="")  # is still in the buffer when the program ends

asyncio.run(leave_it())
code = entry.main()
print("an ordinary end", flush=True)
sys.exit(code)
"""


@pytest.mark.parametrize(
    ("seconds", "is_done", "ending"),
    [
        # A quarter of the ends crashed while a thread was still reading certificates.
        pytest.param(0.3, True, "an ordinary end\n", id="nearly done: waited for"),
        pytest.param(60, False, "", id="stuck: left without taking the libraries down"),
    ],
)
def test_no_thread_is_at_work_when_the_program_ends(tmp_path: Path, seconds: float, is_done: bool, ending: str) -> None:
    path = tmp_path / "done"
    program = _LEAVES_WORK.format(seconds=seconds, path=str(path))
    run = subprocess.run([sys.executable, "-c", program], timeout=20, check=False, capture_output=True, text=True)

    assert (run.returncode, run.stderr) == (0, "")
    assert run.stdout.startswith("left")
    assert run.stdout.endswith(ending)
    assert ("ordinary" in run.stdout) is is_done
    assert path.exists() is is_done
