"""End the processes of a recorded group, and nobody else.

Knows a :class:`.record.ServerRecord` and signals. The rule of this module: list and check, then signal, at once and
each time anew; where a member is not known to be ours, nothing is signalled.
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from enum import Enum

from launcher.errors import sentence
from launcher.server import identity
from launcher.server.errors import SignalRefused, StopFailed
from launcher.server.identity import GroupCheck, Member
from launcher.server.record import ServerRecord
from launcher.tasks import run_blocking

_POLL_S = 0.015
_STRANGER_PATIENCE_S = 0.5
_KILL_WAIT_S = 5.0
_CHECK_LIMIT_S = 30.0


class Ended(Enum):
    """How a group ended."""

    ALREADY_GONE = "already_gone"
    TERMINATED = "terminated"
    """In time, after it was asked to."""
    KILLED = "killed"
    """Some of it had to be killed."""


async def stop_group(record: ServerRecord, grace_s: float, *, kill_wait_s: float = _KILL_WAIT_S) -> Ended:
    """Ask the group to end, wait until it is gone for at most ``grace_s``, then kill what is left and wait again.

    Raises :class:`SignalRefused` where a stranger is in the group (nothing was sent then, or nothing more), and
    :class:`StopFailed` where something survived even the kill.
    """
    if not await _signal(record, polite=True):
        return Ended.ALREADY_GONE
    if not await _gone_within(record, grace_s):
        try:
            await _signal(record, polite=False)
        except SignalRefused as error:
            error.signalled = True
            raise
        if not await _gone_within(record, kill_wait_s):
            raise StopFailed(
                "The server does not end, even though it was killed.",
                detail=f"group {record.group} after {kill_wait_s:g} s",
                hint="It may wait for a disk or a graphics card; restart the computer if it stays.",
            )
        return Ended.KILLED
    return Ended.TERMINATED


async def sweep(record: ServerRecord, grace_s: float = 2.0) -> int:
    """End what a dead server left behind (a killed one leaves its runners, which hold memory); tell how many.

    Does nothing while the recorded process lives, or when nothing is left. Raises as :func:`stop_group` does.
    """
    check = await run_blocking(identity.check_group, record, timeout_s=_CHECK_LIMIT_S)
    if check.leader_alive or check.gone:
        return 0
    await stop_group(record, grace_s)
    return len(check.members)


async def _signal(record: ServerRecord, *, polite: bool) -> bool:
    """Signal the group once it is checked; False when nobody was left."""
    deadline_s = time.monotonic() + _STRANGER_PATIENCE_S
    while True:
        try:
            check = await run_blocking(_signal_checked, record, polite, timeout_s=_CHECK_LIMIT_S)
        except PermissionError as error:  # started as root, stopped as oneself
            raise SignalRefused(
                "The server was not stopped: it runs as another user.",
                detail=f"group {record.group}: {error}",
                hint="Stop it as the user who started it.",
            ) from error
        if check.gone:
            return False
        if check.may_signal:
            return True
        # A short-lived helper of the engine (a driver's tool) would be a stranger, too: look again before refusing.
        if time.monotonic() >= deadline_s:
            raise _refusal(check.strangers)
        await asyncio.sleep(_POLL_S)


def _signal_checked(record: ServerRecord, polite: bool) -> GroupCheck:
    """Check and signal in one go: as little time as can be for a member to change between the two."""
    check = identity.check_group(record)
    if not check.may_signal or record.group is None:
        return check
    if sys.platform == "win32":
        _end_on_windows(record, check.members, polite=polite)
    else:
        _end_on_posix(record.group, check.members, signal.SIGTERM if polite else signal.SIGKILL)
    return check


def _end_on_posix(group: int, members: Sequence[Member], number: int) -> None:
    if sys.platform == "win32" or group <= 1:  # killpg(0) is our own group, killpg(1) everybody
        return
    with suppress(ProcessLookupError):
        os.killpg(group, number)
    # Members of the session that made a group of their own are not reached by that.
    for member in members:
        with suppress(ProcessLookupError):
            if os.getpgid(member.pid) != group and identity.is_alive(member.pid, member.start):
                os.kill(member.pid, number)


async def _gone_within(record: ServerRecord, timeout_s: float) -> bool:
    deadline_s = time.monotonic() + timeout_s
    while True:
        check = await run_blocking(identity.check_group, record, timeout_s=_CHECK_LIMIT_S)
        # Whoever is known is cheap to look at; the whole table is read again once they have ended.
        while any(identity.is_alive(member.pid, member.start) for member in check.members):
            if time.monotonic() >= deadline_s:
                return False
            await asyncio.sleep(_POLL_S)
        if check.gone:
            return True


def _refusal(strangers: Sequence[Member]) -> SignalRefused:
    named = ", ".join(f"{member.exe or 'a process of another user'} (process {member.pid})" for member in strangers)
    return SignalRefused(
        "The server was not stopped: a program that the launcher does not know runs in its group.",
        strangers=tuple(member.pid for member in strangers),
        detail=f"strangers: {named}",
        hint=sentence("End it yourself and try again: {named}.", named=named),
    )


# --- Windows ----------------------------------------------------------------------------------------------------------


def _end_on_windows(record: ServerRecord, members: Sequence[Member], *, polite: bool) -> None:
    """Ask by CTRL_BREAK, as the official app does (app/server/server_windows.go, 0.33); else end one by one."""
    if sys.platform != "win32":
        return
    if polite and record.pid is not None and _send_break(record.pid):
        return
    import psutil

    for member in members:
        with suppress(psutil.Error):
            entry = psutil.Process(member.pid)
            if identity.is_alive(member.pid, member.start):
                entry.terminate()  # TerminateProcess


def _send_break(pid: int) -> bool:
    """Send CTRL_BREAK to the console group of a process; False where it has no console of its own.

    A process can be attached to one console only. One that has its own (the command line) would lose it, with its
    output, so a short-lived process does it there.
    """
    if sys.platform != "win32":
        return False
    import ctypes

    kernel32 = ctypes.WinDLL("kernel32", use_last_error=True)
    if kernel32.GetConsoleWindow():
        if getattr(sys, "frozen", False):
            return False
        try:
            done = subprocess.run(
                [sys.executable, "-m", "launcher.server.signals", str(pid)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                creationflags=subprocess.DETACHED_PROCESS,
                timeout=10,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired):
            return False
        return done.returncode == 0
    if not kernel32.AttachConsole(pid):
        return False
    try:
        kernel32.SetConsoleCtrlHandler(None, True)  # not for us
        return bool(kernel32.GenerateConsoleCtrlEvent(signal.CTRL_BREAK_EVENT, pid))
    finally:
        kernel32.FreeConsole()


if __name__ == "__main__":
    sys.exit(0 if _send_break(int(sys.argv[1])) else 1)
