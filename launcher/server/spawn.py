"""Start the server as a child that outlives us, and hear of its end at once.

Knows processes, not Ollama. asyncio's own subprocess transport is not used: it kills, or complains about, a child
that still runs when its loop closes, and this child is meant to. A daemon thread per child waits for it instead; it
also reaps it, on every system alike.
"""

from __future__ import annotations

import asyncio
import errno
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from launcher.errors import StorageError, sentence
from launcher.server import identity
from launcher.server.errors import StartFailed
from launcher.tasks import run_blocking

_SHEBANG_BYTES = 256


@dataclass(frozen=True, slots=True)
class ProcessOutcome:
    """How a process ended; both None: it ended, and nobody could ask how (it was not our child)."""

    exit_code: int | None = None
    signal: int | None = None

    @property
    def crashed(self) -> bool:
        """It did not end by itself."""
        return self.signal is not None

    @property
    def signal_name(self) -> str:
        """The name of the signal, e.g. ``SIGKILL``; empty when it ended by itself."""
        if self.signal is None:
            return ""
        try:
            return signal.Signals(self.signal).name
        except ValueError:
            return f"signal {self.signal}"

    def sentence(self, subject: str = "The server") -> str:
        """Say it: ``The server ended with exit code 1.``"""
        if self.signal is not None:
            return sentence("{subject} was ended by {signal_name}.", subject=subject, signal_name=self.signal_name)
        if self.exit_code is None:
            return sentence("{subject} ended.", subject=subject)
        if self.exit_code == 0:
            return sentence("{subject} ended normally.", subject=subject)
        # Windows tells faults as large numbers, which people look up in hexadecimal (0xC0000005).
        code = f"0x{self.exit_code:08X}" if self.exit_code > 0xFFFF else str(self.exit_code)
        return sentence("{subject} ended with exit code {code}.", subject=subject, code=code)


class Child:
    """A process that we started. Forgetting it does nothing to it."""

    def __init__(self, process: subprocess.Popen[bytes], *, start: int | None, exes: tuple[str, ...]) -> None:
        self.pid = process.pid
        self.group = process.pid
        """Process group and session: its own number (Windows: the number for control events)."""
        self.start = start
        """When it started, for :class:`.record.ServerRecord`; None where it was gone before it could be asked."""
        self.started_wall_s = time.time()
        self.exes = exes
        """The resolved binary, its interpreter if it is a script, and what the system runs. See also
        :func:`.identity.observed_exes`, for a script that replaces itself later."""
        self._lock = threading.Lock()
        self._outcome: ProcessOutcome | None = None
        self._waiters: set[tuple[asyncio.AbstractEventLoop, asyncio.Future[ProcessOutcome]]] = set()
        threading.Thread(target=self._reap, args=(process,), name=f"child-{process.pid}", daemon=True).start()

    def __repr__(self) -> str:
        return f"Child(pid={self.pid}, outcome={self._outcome})"

    @property
    def outcome(self) -> ProcessOutcome | None:
        """How it ended; None while it runs."""
        with self._lock:
            return self._outcome

    async def wait(self) -> ProcessOutcome:
        """Wait until it has ended, without a limit: who waits, cancels. Any number may wait, on any loop."""
        loop = asyncio.get_running_loop()
        with self._lock:
            if self._outcome is not None:
                return self._outcome
            waiter: asyncio.Future[ProcessOutcome] = loop.create_future()
            self._waiters.add((loop, waiter))
        try:
            return await waiter
        finally:
            with self._lock:
                self._waiters.discard((loop, waiter))

    def _reap(self, process: subprocess.Popen[bytes]) -> None:
        # Runs on its thread, which also keeps the Popen object alive: collected while its process runs, it would warn.
        code = process.wait()
        outcome = ProcessOutcome(signal=-code) if code < 0 else ProcessOutcome(exit_code=code)
        with self._lock:
            self._outcome = outcome
            waiters = tuple(self._waiters)
        for loop, waiter in waiters:
            with suppress(RuntimeError):  # the loop is closed, nobody waits any more
                loop.call_soon_threadsafe(_settle, waiter, outcome)


class Adopted:
    """A process of an earlier launcher: the same wait, but how it ended is not known."""

    def __init__(self, pid: int, start: int) -> None:
        self.pid = pid
        self.start = start

    async def wait(self, poll_s: float = 0.2) -> ProcessOutcome:
        """Wait until it is gone or a zombie, without a limit. Told at once on Linux, elsewhere within ``poll_s``."""
        descriptor = self._open_descriptor()
        if descriptor is None:
            while identity.is_alive(self.pid, self.start):  # noqa: ASYNC110 - no event tells of a process of others
                await asyncio.sleep(poll_s)
            return ProcessOutcome()
        try:
            loop = asyncio.get_running_loop()
            ended = asyncio.Event()
            # Looked at only now: the number might have been given away before the descriptor was opened.
            if identity.is_alive(self.pid, self.start):
                loop.add_reader(descriptor, ended.set)
                try:
                    await ended.wait()
                finally:
                    loop.remove_reader(descriptor)
        finally:
            os.close(descriptor)
        return ProcessOutcome()

    def _open_descriptor(self) -> int | None:
        if sys.platform != "linux":
            return None
        try:
            return os.pidfd_open(self.pid)
        except (OSError, AttributeError):  # gone, or a kernel before 5.3: the poll tells
            return None


async def spawn(argv: Sequence[str], env: Mapping[str, str], log_path: Path, cwd: Path) -> Child:
    """Start ``argv`` in a session of its own, both outputs appended to ``log_path``, nothing on its input.

    ``argv[0]`` is a path. The output is a file and never a pipe: a full pipe freezes the server, a broken one kills it.
    Raises :class:`StorageError` where the log cannot be written, :class:`StartFailed` where the program cannot be run.

    A fork takes 0.3 ms, or tens where memory or processors are short, so it is done on a thread. Cancelled meanwhile,
    the process is started all the same and nobody is told: shield this call, and await it to its end.
    """
    return await run_blocking(_spawn, argv, env, log_path, cwd)


def _spawn(argv: Sequence[str], env: Mapping[str, str], log_path: Path, cwd: Path) -> Child:
    log = _open_log(log_path)
    try:
        process = _popen(argv, env, log, cwd)
    finally:
        os.close(log)
    # Before the thread that reaps: until then even a process that ended at once still has its entry.
    start = identity.start_of(process.pid)
    exes = identity.observed_exes(process.pid, expected_exes(Path(argv[0])))
    return Child(process, start=start, exes=exes)


def expected_exes(binary: Path) -> tuple[str, ...]:
    """Tell which executables a process of this binary shows: itself resolved and, for a script, its interpreter."""
    resolved = os.path.realpath(binary)
    interpreter = _interpreter(resolved)
    return (resolved,) if interpreter is None or interpreter == resolved else (resolved, interpreter)


def _open_log(path: Path) -> int:
    try:
        if sys.platform == "win32":
            return _open_append_on_windows(path)
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        with suppress(PermissionError):  # somebody else's file that we may write
            os.fchmod(descriptor, 0o600)
    except OSError as error:
        raise StorageError(
            sentence("The log of the server cannot be written to {path}.", path=path),
            detail=str(error),
            hint="Check who may write there and whether the disk is full.",
        ) from error
    return descriptor


def _open_append_on_windows(path: Path) -> int:
    """Open a file so that the system itself appends, and that it may be renamed meanwhile.

    ``os.open`` with O_APPEND makes only our own C library append; a child would write where it was, into a hole, after
    the log was cut (CreateFileW, FILE_APPEND_DATA without FILE_WRITE_DATA).
    """
    if sys.platform != "win32":
        raise NotImplementedError
    import ctypes
    import msvcrt
    from ctypes import wintypes

    append, synchronize, share_all, open_always, normal = 0x4, 0x100000, 0x7, 4, 0x80
    create = ctypes.WinDLL("kernel32", use_last_error=True).CreateFileW
    create.restype = wintypes.HANDLE
    create.argtypes = (
        wintypes.LPCWSTR,
        wintypes.DWORD,
        wintypes.DWORD,
        wintypes.LPVOID,
        wintypes.DWORD,
        wintypes.DWORD,
        wintypes.HANDLE,
    )
    opened = create(str(path), append | synchronize, share_all, None, open_always, normal, None)
    if opened == wintypes.HANDLE(-1).value:
        raise ctypes.WinError(ctypes.get_last_error())
    return msvcrt.open_osfhandle(opened, os.O_APPEND)


def _popen(argv: Sequence[str], env: Mapping[str, str], log: int, cwd: Path) -> subprocess.Popen[bytes]:
    if not cwd.is_dir():
        raise StartFailed(
            "The server's working folder is missing.",
            detail=str(cwd),
            hint=sentence("Create the folder {cwd}.", cwd=cwd),
        )
    flags = 0
    if sys.platform == "win32":
        flags = subprocess.CREATE_NEW_PROCESS_GROUP | subprocess.CREATE_NO_WINDOW
    try:
        return subprocess.Popen(
            list(argv),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env=dict(env),
            cwd=cwd,
            start_new_session=True,
            creationflags=flags,
        )
    except (OSError, ValueError) as error:
        raise _start_failed(argv[0], error) from error


def _start_failed(program: str, error: OSError | ValueError) -> StartFailed:
    code = error.errno if isinstance(error, OSError) else None
    if code == errno.ENOENT:
        # The kernel says the same when the interpreter or the dynamic loader that the file names is missing.
        found = os.path.exists(program)
        title: str = (
            sentence("{program} needs a program that is missing.", program=program)
            if found
            else sentence("The program {program} does not exist.", program=program)
        )
        hint = "Install Ollama again." if found else "Install Ollama, or name its program in the settings."
    elif code in (errno.EACCES, errno.EPERM):
        title = sentence("The program {program} may not be run.", program=program)
        hint = "Make the file executable, or check whether its disk allows programs."
    elif code == errno.ENOEXEC:
        title = sentence("The file {program} is no program for this machine.", program=program)
        hint = "Install the Ollama that fits this system and processor."
    elif code in (errno.ENOMEM, errno.EAGAIN):
        title = "The system has no room for another process."
        hint = "Close some programs and try again."
    else:
        title = sentence("The program {program} cannot be started.", program=program)
        hint = "Look at the details, and check the installation of Ollama."
    return StartFailed(title, detail=str(error), hint=hint)


def _interpreter(path: str) -> str | None:
    if sys.platform == "win32":
        return None
    try:
        with open(path, "rb") as file:
            first = file.read(_SHEBANG_BYTES)
    except OSError:
        return None
    if not first.startswith(b"#!"):
        return None
    words = first[2:].split(b"\n", 1)[0].split()
    if not words:
        return None
    named = os.fsdecode(words[0])
    # "env python3" is searched on the PATH that the child will have; what the system runs is observed anyway.
    return None if os.path.basename(named) == "env" else os.path.realpath(named)


def _settle(waiter: asyncio.Future[ProcessOutcome], outcome: ProcessOutcome) -> None:
    if not waiter.done():
        waiter.set_result(outcome)
