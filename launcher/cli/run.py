"""A command's loop and its signals.

The first Ctrl-C (or SIGTERM, or the terminal that closes) cancels the command, which cleans up and says how to go on;
the second ends the program at once.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import signal
import sys
from collections.abc import Callable, Coroutine
from typing import Any

from launcher.cli.failures import Exit

_COLLECT_AFTER_S = 1.0
"""The entry has turned the collector off: a command that lasts longer than this needs it."""
_SHOW_CURSOR = b"\x1b[?25h"


def run(command: Callable[[], Coroutine[Any, Any, int]]) -> int:
    """Run a command to its end; returns its exit code, or 130 when it was interrupted."""
    from launcher.diagnostics import setup_logging

    setup_logging()
    with asyncio.Runner() as runner:
        try:
            return runner.run(_interruptible(command))
        except KeyboardInterrupt:
            # Windows, where a loop takes no signal handlers: the runner has cancelled the command already.
            return Exit.INTERRUPTED


async def _interruptible(command: Callable[[], Coroutine[Any, Any, int]]) -> int:
    from launcher.diagnostics import install_last_resort_handlers

    loop = asyncio.get_running_loop()
    install_last_resort_handlers(loop)
    task = loop.create_task(command(), name="command")
    interrupted = False

    def interrupt() -> None:
        nonlocal interrupted
        if interrupted:
            _end_at_once()
        interrupted = True
        task.cancel()

    collecting = loop.call_later(_COLLECT_AFTER_S, gc.enable)
    for number in _signals():
        with contextlib.suppress(NotImplementedError):
            loop.add_signal_handler(number, interrupt)
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
