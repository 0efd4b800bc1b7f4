"""What our loop cures, each as a small program that says ``cured`` or what went wrong.

Run in a process of its own, so that a task that is lost or an exit that hangs harms nobody::

    python -m tests.support.loop_scenarios ours early_timers
    python -m tests.support.loop_scenarios stock early_timers

Each must be cured on our loop and not on qasync's own (`tests/test_loop.py`). The day one is cured there too, ours can
do without.
"""

from __future__ import annotations

import asyncio
import contextvars
import gc
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

from PySide6.QtCore import QEventLoop, QTimer
from PySide6.QtWidgets import QApplication

from launcher.loop import make_loop

MakeLoop = Callable[[], asyncio.AbstractEventLoop]
CURED = "cured"
# A scenario that should be over in a blink: what takes this long hangs.
_HANG_S = 2.0


def finish(outcome: str) -> None:
    """Say the outcome and leave at once, whatever the loop still holds."""
    print(outcome, flush=True)
    os._exit(0)


def watchdog(outcome: str) -> None:
    """Leave with ``outcome`` if nothing else has after a while."""

    def bark() -> None:
        time.sleep(_HANG_S)
        finish(outcome)

    threading.Thread(target=bark, daemon=True).start()


def early_timers(make: MakeLoop) -> str:
    """A timer never fires before its time."""

    async def main() -> str:
        early = []
        for delay_s in (0.0105, 0.0499, 0.1, 0.1999, 0.5):
            begin_s = time.monotonic()
            await asyncio.sleep(delay_s)
            took_s = time.monotonic() - begin_s
            if took_s < delay_s:
                early.append(f"sleep({delay_s}) took {took_s:.4f} s")
        return "; ".join(early) or CURED

    return make().run_until_complete(main())


def cancelled_timeouts(make: MakeLoop) -> str:
    """A timeout that was not needed leaves nothing behind."""

    async def main() -> str:
        for _ in range(3000):
            async with asyncio.timeout(300):  # noqa: ASYNC100 - not needed, that is the point
                pass
        await asyncio.sleep(0)
        gc.collect()
        alive = sum(isinstance(thing, asyncio.Handle) for thing in gc.get_objects())
        return CURED if alive < 300 else f"{alive} handles are alive"

    return make().run_until_complete(main())


def far_timers(make: MakeLoop) -> str:
    """A timer may be farther away than Qt can count (24 days)."""
    loop = make()
    loop.call_later(400 * 24 * 3600, print).cancel()
    loop.call_later(400 * 24 * 3600, print)
    loop.run_until_complete(asyncio.sleep(0))
    return CURED


def timer_handles(make: MakeLoop) -> str:
    """``call_at`` gives a handle that knows its time."""
    loop = make()
    when_s = loop.time() + 3
    return CURED if loop.call_at(when_s, print).when() == when_s else "another time"


def threadsafe_context(make: MakeLoop) -> str:
    """``call_soon_threadsafe`` keeps the context and gives a handle."""
    variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="lost")
    context = contextvars.copy_context()
    context.run(variable.set, "kept")
    seen: list[str] = []

    async def main() -> str:
        loop = asyncio.get_running_loop()
        handle = loop.call_soon_threadsafe(lambda: seen.append(variable.get()), context=context)
        loop.call_soon_threadsafe(seen.append, "cancelled").cancel()
        for _ in range(3):
            await asyncio.sleep(0.01)
        return CURED if seen == ["kept"] and handle is not None else f"{seen}, {handle}"

    return make().run_until_complete(main())


def nested_loop_in_a_coroutine(make: MakeLoop) -> str:
    """What waits while a coroutine nests a Qt loop goes on when it comes back."""
    ticks = 0

    async def tick() -> None:
        nonlocal ticks
        while True:
            await asyncio.sleep(0.005)
            ticks += 1

    async def main() -> None:
        ticking = [asyncio.create_task(tick()) for _ in range(5)]
        await asyncio.sleep(0.05)
        nested = QEventLoop()
        QTimer.singleShot(100, nested.quit)
        nested.exec()
        before = ticks
        for _ in range(40):
            await asyncio.sleep(0.01)
        if ticks < before + 5 * 10:
            finish(f"{ticks - before} ticks after the nested loop")
        for task in ticking:
            task.cancel()
        await asyncio.gather(*ticking, return_exceptions=True)

    watchdog("the tasks are lost")
    with asyncio.Runner(loop_factory=make) as runner:
        runner.run(main())
    return CURED


def steps_queued_at_the_stop(make: MakeLoop) -> str:
    """A step that is queued when the loop stops runs in the next run: never outside of one, and is not lost."""
    loop = make()
    outside = 0
    turns = 0

    async def other() -> None:
        nonlocal outside, turns
        while True:
            await asyncio.sleep(0)
            turns += 1
            outside += asyncio._get_running_loop() is not loop

    async def main() -> asyncio.Task[None]:
        task = asyncio.create_task(other())
        for _ in range(5):
            await asyncio.sleep(0)
        return task

    task = loop.run_until_complete(main())
    before = turns
    QApplication.processEvents()
    if turns != before:
        return "ran while the loop was stopped"
    loop.run_until_complete(asyncio.sleep(0.01))
    if outside:
        return f"{outside} step(s) ran outside of the loop"
    if turns == before:
        return "the step was lost"
    task.cancel()
    loop.run_until_complete(asyncio.gather(task, return_exceptions=True))
    loop.close()
    return CURED


def reader_with_a_context(make: MakeLoop) -> str:
    """Python 3.15 watches descriptors in a context."""
    loop = make()
    variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="lost")
    context = contextvars.copy_context()
    context.run(variable.set, "kept")
    ours, theirs = socket.socketpair()
    with ours, theirs:
        for socket_ in (ours, theirs):
            socket_.setblocking(False)
        seen: list[str] = []

        def read() -> None:
            seen.append(variable.get())
            ours.recv(1)

        loop._add_reader(ours.fileno(), read, context=context)  # type: ignore[attr-defined] # what transports call
        loop._add_writer(theirs.fileno(), lambda: None, context=context)  # type: ignore[attr-defined] # as above
        loop._remove_writer(theirs.fileno())  # type: ignore[attr-defined] # as above
        theirs.send(b"x")
        loop.run_until_complete(asyncio.sleep(0.05))
        loop._remove_reader(ours.fileno())  # type: ignore[attr-defined] # as above
    return CURED if seen == ["kept"] else f"{seen}"


def asynchronous_generators(make: MakeLoop) -> str:
    """A generator that is left half way is closed, as a stream's connection must be."""
    closed: list[str] = []

    async def numbers(name: str) -> AsyncIterator[int]:
        try:
            for number in range(3):
                yield number
        finally:
            await asyncio.sleep(0)
            closed.append(name)

    async def main() -> None:
        dropped = numbers("dropped")
        await anext(dropped)
        del dropped
        gc.collect()
        for _ in range(5):
            await asyncio.sleep(0.01)

    kept = numbers("kept")

    async def leave_open() -> None:
        await anext(kept)

    with asyncio.Runner(loop_factory=make) as runner:
        runner.run(main())
        runner.run(leave_open())
    return CURED if closed == ["dropped", "kept"] else f"closed: {closed}"


def ctrl_c(make: MakeLoop) -> str:
    """SIGINT is seen at once, not when some other Python code happens to run."""

    def interrupt() -> None:
        time.sleep(0.2)
        os.kill(os.getpid(), signal.SIGINT)

    async def main() -> None:
        threading.Thread(target=interrupt, daemon=True).start()
        await asyncio.sleep(60)

    watchdog("not seen")
    try:
        with asyncio.Runner(loop_factory=make) as runner:
            runner.run(main())
    except KeyboardInterrupt:
        return CURED
    return "no KeyboardInterrupt"


def system_exit_in_a_callback(make: MakeLoop) -> str:
    """SystemExit in a callback ends the run and reaches whoever started it."""

    async def main() -> None:
        asyncio.get_running_loop().call_soon(sys.exit, 3)
        await asyncio.sleep(60)

    watchdog("the loop goes on")
    try:
        with asyncio.Runner(loop_factory=make) as runner:
            runner.run(main())
    except SystemExit as error:
        return CURED if error.code == 3 else f"exit code {error.code}"
    return "no SystemExit"


def blocked_executor(make: MakeLoop) -> str:
    """A name look-up, or other work of the default executor, that hangs does not keep us from ending."""

    async def main() -> None:
        asyncio.get_running_loop().run_in_executor(None, threading.Event().wait)
        await asyncio.sleep(0.05)

    watchdog("hangs at exit")
    with asyncio.Runner(loop_factory=make) as runner:
        runner.run(main())
    return CURED


SCENARIOS: dict[str, Callable[[MakeLoop], str]] = {
    scenario.__name__: scenario
    for scenario in (
        early_timers,
        cancelled_timeouts,
        far_timers,
        timer_handles,
        threadsafe_context,
        nested_loop_in_a_coroutine,
        steps_queued_at_the_stop,
        reader_with_a_context,
        asynchronous_generators,
        ctrl_c,
        system_exit_in_a_callback,
        blocked_executor,
    )
}


def main() -> None:
    which, name = sys.argv[1:]
    app = QApplication([])
    app.setQuitOnLastWindowClosed(False)

    def make() -> asyncio.AbstractEventLoop:
        if which == "ours":
            return make_loop(app)
        import qasync  # type: ignore[import-untyped] # qasync 0.28 ships no types

        loop: asyncio.AbstractEventLoop = qasync.QEventLoop(app)
        return loop

    try:
        outcome = SCENARIOS[name](make)
    except Exception as error:  # noqa: BLE001 - whatever it is, it is not a cure
        outcome = f"{type(error).__name__}: {error}"
    finish(outcome)


if __name__ == "__main__":
    main()
