"""Who owns a one-shot task, and where blocking work runs.

Knows asyncio and threads only; it must work on every loop, with Qt or without.

A bare ``asyncio.create_task`` may vanish (the loop keeps weak references) and its failure is told when the collector
comes by. :class:`TaskScope` holds its tasks, reports each failure once, and ends them in bounded time.

:func:`run_blocking` runs on daemon threads of its own instead of the loop's default executor: that one is joined when
the loop closes, so that one call stuck in a keyring or a dead network drive would keep the program from ending.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextvars
import inspect
import logging
import os
import queue
import threading
from collections.abc import Callable, Coroutine
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

_log = logging.getLogger(__name__)
_CANCEL_GRACE_S = 0.5
_at_work: set[concurrent.futures.Future[Any]] = set()
_starter: queue.SimpleQueue[tuple[threading.Thread, concurrent.futures.Future[Any]]] | None = None


class TaskScope:
    """Own the tasks that nobody awaits.

    ``on_error(name, error)`` is called once for each task that fails; a cancelled one has not failed.
    """

    def __init__(self, on_error: Callable[[str, BaseException], None]) -> None:
        self._on_error = on_error
        self._tasks: set[asyncio.Task[Any]] = set()
        self._closed = False

    def __len__(self) -> int:
        """Tell how many tasks still run."""
        return len(self._tasks)

    def spawn(self, coro: Coroutine[Any, Any, T], *, name: str) -> asyncio.Task[T]:
        """Start a task and own it; raises RuntimeError after :meth:`aclose` has begun."""
        if self._closed:
            coro.close()
            raise RuntimeError(f"the scope is closed, {name!r} was not started")
        task = asyncio.get_running_loop().create_task(coro, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return task

    async def aclose(self, timeout_s: float = 3.0) -> list[str]:
        """Cancel all tasks and await them for at most ``timeout_s``; return the names of those that did not end.

        May be called twice, and from a task of the scope, which then ends by itself.
        """
        self._closed = True
        waited_for = self._tasks - {asyncio.current_task()}
        for task in waited_for:
            task.cancel()
        if not waited_for:
            return []
        _, stubborn = await asyncio.wait(waited_for, timeout=timeout_s)
        names = sorted(task.get_name() for task in stubborn)
        if names:
            _log.warning("tasks did not end within %.1f s of their cancellation: %s", timeout_s, ", ".join(names))
        return names

    def _done(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if task.cancelled():
            return
        error = task.exception()
        if error is not None:
            self._on_error(task.get_name(), error)


class DaemonThreads(concurrent.futures.Executor):
    """Run each call on a daemon thread of its own: none waits for another, and the end of the program for none.

    A program must not leave by the usual way while one runs, see :func:`threads_ended`.
    """

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> concurrent.futures.Future[T]:
        future: concurrent.futures.Future[T] = concurrent.futures.Future()

        def work() -> None:
            if not future.set_running_or_notify_cancel():
                return
            try:
                result = fn(*args, **kwargs)
            except StopIteration as stop:  # an asyncio future of Python 3.11 refuses it, and would never be done
                future.set_exception(RuntimeError(f"{_name(fn)} raised StopIteration: {stop.value!r}"))
            except BaseException as error:  # noqa: BLE001 - belongs to whoever waits, whatever it is
                future.set_exception(error)
            else:
                future.set_result(result)

        future.add_done_callback(_at_work.discard)
        _at_work.add(future)
        _to_start(threading.Thread(target=work, name=f"blocking-{_name(fn)}", daemon=True), future)
        return future


def _to_start(thread: threading.Thread, future: concurrent.futures.Future[Any]) -> None:
    """Have a thread started by another one, which lives as long as the program.

    Thread.start() waits until the new thread has run: on a machine whose processors are all busy, as they are while a
    model answers, the loop that asked for it stood still for up to 24 ms.
    """
    global _starter
    if _starter is None:
        _starter = queue.SimpleQueue()
        threading.Thread(target=_start_threads, args=(_starter,), name="starter", daemon=True).start()
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=_forget_starter)
    _starter.put((thread, future))


def _start_threads(asked: queue.SimpleQueue[tuple[threading.Thread, concurrent.futures.Future[Any]]]) -> None:
    while True:
        thread, future = asked.get()
        try:
            thread.start()
        except RuntimeError as error:  # the system has no more threads to give
            future.set_exception(error)
        del thread, future  # not kept until the next one comes


def _forget_starter() -> None:
    global _starter
    _starter = None  # a fork has only the thread that forked


def threads_ended(timeout_s: float) -> bool:
    """Wait for blocking work that was left to itself, for at most ``timeout_s``; tell whether none runs any more.

    Where one still does, only ``os._exit`` ends the program safely: the libraries of C are taken down at a usual exit
    under the feet of a thread that is in them. One that was reading OpenSSL's certificates crashed the process in a
    quarter of the runs (Python 3.13, OpenSSL 3).
    """
    return not concurrent.futures.wait(list(_at_work), timeout_s).not_done


async def run_blocking(fn: Callable[..., T], *args: Any, timeout_s: float | None = None) -> T:
    """Call ``fn(*args)`` on a daemon thread of its own and await what it returns or raises.

    Where ``fn`` has a parameter named ``cancel`` it gets a :class:`threading.Event` there; work that takes long looks
    at it (every MiB) and gives up when it is set, which is when the await is cancelled or ``timeout_s`` has passed
    (TimeoutError). Such work is then waited for, for half a second, so that its files are closed; other work is left
    to itself: it neither delays the caller nor the end of the program, and what it returns or raises is dropped.
    """
    cancel = threading.Event()
    takes_cancel = _takes_cancel(fn)
    context = contextvars.copy_context()

    def call() -> T:
        return context.run(fn, *args, cancel=cancel) if takes_cancel else context.run(fn, *args)

    call.__name__ = _name(fn)  # names the thread
    outcome = asyncio.wrap_future(DaemonThreads().submit(call))
    try:
        await asyncio.wait({outcome}, timeout=timeout_s)
        if not outcome.done():
            raise TimeoutError(f"{_name(fn)} took longer than {timeout_s} s")
        return outcome.result()
    finally:
        cancel.set()
        if takes_cancel and not outcome.done():
            await asyncio.wait({outcome}, timeout=_CANCEL_GRACE_S)
        if not outcome.cancel():
            outcome.exception()  # seen, should this await have been cancelled at the same moment


def _name(fn: object) -> str:
    return str(getattr(fn, "__name__", type(fn).__name__))


def _takes_cancel(fn: Callable[..., object]) -> bool:
    try:
        return "cancel" in inspect.signature(fn).parameters
    except (TypeError, ValueError):  # some builtins tell no signature
        return False
