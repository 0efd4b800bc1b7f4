"""A command's loop and its signals.

The first Ctrl-C (or SIGTERM, or the terminal that closes) cancels the command, which cleans up and says how to go on;
the second ends the program at once. A command may give up one piece of its work for the first (:func:`giving_way`).
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import signal
import sys
from collections.abc import Callable, Coroutine, Iterator
from contextvars import ContextVar
from typing import Any, TypeVar

from launcher.cli.failures import Exit

_COLLECT_AFTER_S = 1.0
"""The entry has turned the collector off: a command that lasts longer than this needs it."""
_CLEAN_UP_S = 5.0
"""What a piece of work that is given up may take to end: it closes a connection, or lets a download pause."""
_SHOW_CURSOR = b"\x1b[?25h"


T = TypeVar("T")


class GivenUp(Exception):
    """A person pressed Ctrl-C during a piece of work that gives way to it."""


class _Interrupts:
    """What Ctrl-C cancels: the command, or the piece of work that gives way to it."""

    def __init__(self) -> None:
        self.piece: asyncio.Task[Any] | None = None

    def spare_command(self) -> bool:
        """Cancel the piece of work instead, once; False where there is none, or where it is being cancelled already."""
        piece = self.piece
        if piece is None or piece.done() or piece.cancelling():
            return False
        piece.cancel()
        return True


_interrupts: ContextVar[_Interrupts] = ContextVar("interrupts")


def run(command: Callable[[], Coroutine[Any, Any, int]], *, keeps_log: bool = True) -> int:
    """Run a command to its end; returns its exit code, or 130 when it was interrupted.

    ``keeps_log=False`` is for one that may not even make the folder of our log.
    """
    if keeps_log:
        from launcher.diagnostics import setup_logging

        setup_logging()
    with asyncio.Runner() as runner:
        try:
            return runner.run(_interruptible(command))
        except KeyboardInterrupt:
            # Windows, where a loop takes no signal handlers: the runner has cancelled the command already.
            return Exit.INTERRUPTED


async def giving_way(work: Coroutine[Any, Any, T]) -> T:
    """Do a piece of work that the first Ctrl-C ends instead of the command; it then raises GivenUp."""
    loop = asyncio.get_running_loop()
    interrupts = _interrupts.get()
    interrupts.piece = piece = loop.create_task(work, name="piece of work")
    try:
        with _heard_elsewhere(loop, interrupts):
            return await piece
    except asyncio.CancelledError:
        own = asyncio.current_task()
        if own is not None and own.cancelling():
            raise
        raise GivenUp from None
    finally:
        interrupts.piece = None
        if not piece.done():
            piece.cancel()
            await asyncio.wait({piece}, timeout=_CLEAN_UP_S)


@contextlib.contextmanager
def _heard_elsewhere(loop: asyncio.AbstractEventLoop, interrupts: _Interrupts) -> Iterator[None]:
    """Hear Ctrl-C also where a loop takes no signal handlers."""
    if sys.platform != "win32":
        yield
        return
    before = signal.signal(signal.SIGINT, lambda *_: loop.call_soon_threadsafe(interrupts.spare_command))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


async def _interruptible(command: Callable[[], Coroutine[Any, Any, int]]) -> int:
    from launcher.diagnostics import install_last_resort_handlers

    loop = asyncio.get_running_loop()
    install_last_resort_handlers(loop)
    interrupts = _Interrupts()
    _interrupts.set(interrupts)
    task = loop.create_task(command(), name="command")
    interrupted = False

    def interrupt(number: int) -> None:
        nonlocal interrupted
        if interrupted:
            _end_at_once()
        if number == signal.SIGINT and interrupts.spare_command():
            return
        interrupted = True
        task.cancel()

    collecting = loop.call_later(_COLLECT_AFTER_S, gc.enable)
    for number in _signals():
        with contextlib.suppress(NotImplementedError):
            loop.add_signal_handler(number, interrupt, number)
    try:
        return await task
    except asyncio.CancelledError:
        if interrupted:
            return Exit.INTERRUPTED
        raise
    finally:
        collecting.cancel()


def _signals() -> list[signal.Signals]:
    if sys.platform == "win32":
        return []
    # nohup has said that a closing terminal is to be ignored. That SIGINT is ignored only means that a script has
    # started us in the background: who sends it to us by name means it.
    ignores_hangup = signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    return [signal.SIGINT, signal.SIGTERM, *([] if ignores_hangup else [signal.SIGHUP])]


def _end_at_once() -> None:
    if sys.stdout is not None and sys.stdout.isatty():
        with contextlib.suppress(OSError):
            os.write(sys.stdout.fileno(), _SHOW_CURSOR)
    os._exit(Exit.INTERRUPTED)
