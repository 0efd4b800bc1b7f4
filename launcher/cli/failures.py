"""Which failure ends the program with which code, in one table."""

from __future__ import annotations

from enum import IntEnum

from launcher.errors import InvalidInput, LauncherError


class Exit(IntEnum):
    """The exit codes that scripts may rely on."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    NOT_REACHABLE = 3
    NO_SUCH_MODEL = 4
    NOT_OFFERED = 5
    INTERRUPTED = 130
    OUTPUT_GONE = 141
    """Whoever read our output has gone: what a program that dies of SIGPIPE ends with in a shell."""


class NotInstalled(LauncherError):
    """A model is asked for that is not there, and nobody has said that it may be downloaded."""


def exit_code(error: LauncherError) -> Exit:
    """Look up the code of a failure."""
    # Imported only when something failed: they bring the HTTP client and the process layer with them.
    from launcher.ollama.errors import ModelNotFound, NotRunning, TimedOut
    from launcher.server.errors import NotOffered

    table: tuple[tuple[type[LauncherError], Exit], ...] = (
        (InvalidInput, Exit.USAGE),
        (ModelNotFound, Exit.NO_SUCH_MODEL),
        (NotInstalled, Exit.NO_SUCH_MODEL),
        (NotRunning, Exit.NOT_REACHABLE),
        (TimedOut, Exit.NOT_REACHABLE),
        (NotOffered, Exit.NOT_OFFERED),
    )
    return next((code for kind, code in table if isinstance(error, kind)), Exit.FAILED)
