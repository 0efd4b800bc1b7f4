"""The entry: the window, or the command line where a command is given.

Imports as little as it can: a command answers at once, and the window is painted before the rest is there.
"""

from __future__ import annotations

import contextlib
import gc
import os
import signal
import sys
from collections.abc import Callable, Sequence

from launcher.environment import COMPLETION_VARIABLE, has_display, is_window_program

# What a desktop entry, a link and a person who double-clicks start with needs no parser.
_PLAIN_OPTIONS = {"--demo": "demo", "--hidden": "hidden"}
_THREADS_S = 0.5
_IN_A_TERMINAL = "In a terminal, ollama-launcher does the same work: see ollama-launcher --help."


def main() -> int:
    """Open the window or run one command; the return value is the exit code.

    Does not return where a thread is stuck in a call that cannot be interrupted: the process ends here then.
    """
    code = _run()
    tasks = sys.modules.get("launcher.tasks")
    if tasks is not None and not tasks.threads_ended(_THREADS_S):
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(AttributeError, OSError, ValueError):  # none, closed, or nobody reads any more
                stream.flush()
        os._exit(code)
    return code


def _run() -> int:
    # Of the CPU time of a short command, looking for garbage takes 5 % while it imports and 10 % when it ends. What
    # lasts longer turns the collector on (cli/run.py, app/launcher.py).
    gc.disable()
    try:
        arguments = sys.argv[1:]
        # A shell that asks for completions gives no argument.
        asked_by_shell = COMPLETION_VARIABLE in os.environ
        if not asked_by_shell and all(argument in _PLAIN_OPTIONS for argument in arguments):
            if has_display():
                named = {_PLAIN_OPTIONS[argument] for argument in arguments}
                return open_window(demo="demo" in named, hidden="hidden" in named)
            if is_window_program(sys.argv[0]):
                print(f"Error: There is no display here, so no window can be shown. {_IN_A_TERMINAL}", file=sys.stderr)
                return 1
        from launcher.cli.main import main as run_command_line

        return run_command_line(arguments, open_window)
    except KeyboardInterrupt:
        return 130
    finally:
        gc.freeze()


def open_window(*, host: str | None = None, demo: bool = False, hidden: bool = False, pulls: Sequence[str] = ()) -> int:
    """Show the window, or raise the one that runs; returns the exit code when it has been quit."""
    try:
        run_window = _load_window()
    except ImportError as error:
        if not (error.name or "").startswith("PySide6"):
            raise
        # A library of the system is missing, e.g. libEGL.so.1; all else works without it.
        print(f"Error: The window cannot be shown ({error}). The commands work all the same: --help.", file=sys.stderr)
        return 1
    return run_window(host=host, demo=demo, hidden=hidden, pulls=pulls)


def _load_window() -> Callable[..., int]:
    # Until the window is there nothing is to be tidied up, so Ctrl-C just ends us: as an exception it would abort in
    # the middle of Qt's imports, and be swallowed in an event.
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from launcher.app.qt import load_qt

    load_qt()
    from launcher.app.start import main as run_window

    return run_window


if __name__ == "__main__":
    sys.exit(main())
