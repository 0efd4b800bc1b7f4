"""What two launchers at once agree on: ``server.json`` (which server is ours, and whether it is wanted) and its lock.

Knows files only, no processes: whether a record still speaks of a live server is for :mod:`.identity` to say. Reading
needs no lock; a decision is made, and the file written, by who holds :class:`ServerLock`.
"""

from __future__ import annotations

import asyncio
import errno
import json
import logging
import os
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from enum import Enum
from importlib import import_module
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from launcher.errors import StorageError, sentence
from launcher.paths import ensure_dir
from launcher.server.errors import LockBusy
from launcher.tasks import run_blocking

if TYPE_CHECKING:
    from filelock import BaseFileLock

_log = logging.getLogger(__name__)

TOKEN_VARIABLE = "LAUNCHER_SERVER_TOKEN"  # noqa: S105 - the name of a variable; and what it holds is no secret

_MOST_BYTES = 1024 * 1024
_MOST_SET_ASIDE = 9
_LOCK_POLL_S = 0.02
_REPLACE_TRIES = 20
_REPLACE_PAUSE_S = 0.05
_STORAGE_HINT = (
    "Check who may write to this folder and whether the disk is full, or name another one in LAUNCHER_STATE_DIR."
)
_FULL = (errno.ENOSPC, errno.EDQUOT)


class Wanted(Enum):
    """The last wish of a person about the server."""

    RUNNING = "running"
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True)
class ServerRecord:
    """The server that a launcher started. Without a process (``pid`` None) it only keeps the last wish."""

    wanted: Wanted
    pid: int | None = None
    group: int | None = None
    """Process group and session, which is the pid of the process that was spawned (Windows: that process)."""
    boot_id: str = ""
    start: int | None = None
    """When the process started, in the unit of :func:`.identity.start_of`; only equal or not, before or after."""
    exes: tuple[str, ...] = ()
    """Resolved executables: the binary, and what the system really ran for it (an interpreter)."""
    address: str = ""
    log: str = ""
    bind: str = ""
    """What the process got as ``OLLAMA_HOST``: who reaches it. ``address`` is where it is reached from here."""
    ready: bool = False
    """It has answered since it was started."""
    models: str = ""
    relay: Mapping[str, Any] | None = None
    """``port`` and ``secret`` of a relay for speed limits."""
    token: str = ""
    """Stands in the environment of the process, too (:data:`TOKEN_VARIABLE`). Written before the process is started:
    a launcher that is killed before it could write the number leaves a server that can still be found."""


_KEYS = frozenset(ServerRecord.__dataclass_fields__)


class RecordFile:
    """Read and write ``server.json``.

    ``report`` gets one sentence when a file had to be set aside; with ``mends=False`` it stays where it is. Blocking:
    call it where that is allowed.
    """

    def __init__(self, path: Path, report: Callable[[str], None] = _log.warning, *, mends: bool = True) -> None:
        self.path = path
        self._report = report
        self._mends = mends

    def read(self) -> ServerRecord | None:
        """Read the record; None where there is none, or where garbage was set aside.

        Raises :class:`StorageError` where the file cannot be read at all.
        """
        members = self._members()
        if members is None:
            return None
        try:
            return _record(members)
        except (KeyError, TypeError, ValueError) as error:
            self._set_aside(f"{type(error).__name__}: {error}")
            return None

    def write(self, record: ServerRecord) -> None:
        """Replace the file as a whole; keys that this version does not know survive.

        Raises :class:`StorageError`. Not synced to the disk: after a crash of the machine the record is void anyway.
        """
        members = self._members() or {}
        kept = {key: value for key, value in members.items() if key not in _KEYS}
        content = (json.dumps({**_members(record), **kept}, indent=1, ensure_ascii=True) + "\n").encode("ascii")
        ensure_dir(self.path.parent)
        try:
            try:
                self._write_anew(content)
            except OSError as error:
                if error.errno not in _FULL:
                    raise
                # A server must be stopped from a full disk, too.
                self._write_over(content)
        except OSError as error:
            raise StorageError(
                sentence("The state of the server cannot be written to {parent}.", parent=self.path.parent),
                detail=str(error),
                hint=_STORAGE_HINT,
            ) from error

    def _write_anew(self, content: bytes) -> None:
        # mkstemp makes it 0600. Its own name each time: a write that was killed blocks no later one.
        descriptor, name = tempfile.mkstemp(prefix=f".{self.path.name}.", suffix=".new", dir=self.path.parent)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(content)
            _replace(name, self.path)
        except BaseException:
            with suppress(OSError):
                os.unlink(name)
            raise

    def _write_over(self, content: bytes) -> None:
        """Write into the block that the file has already: in one piece, over all that was there."""
        with self.path.open("r+b", buffering=0) as file:
            file.write(content.ljust(os.fstat(file.fileno()).st_size))

    def _members(self) -> dict[str, Any] | None:
        try:
            with self.path.open("rb") as file:
                content = file.read(_MOST_BYTES + 1)
        except FileNotFoundError:
            return None
        except NotADirectoryError:
            return None  # the write will say so
        except IsADirectoryError:
            self._set_aside("it is a folder")
            return None
        except OSError as error:
            raise StorageError(
                sentence("The state of the server cannot be read from {path}.", path=self.path),
                detail=str(error),
                hint=_STORAGE_HINT,
            ) from error
        try:
            return _object(content)
        except (ValueError, TypeError, RecursionError) as error:
            self._set_aside(f"{type(error).__name__}: {error}")
            return None

    def _set_aside(self, why: str) -> None:
        if not self._mends:
            self._report(sentence("The file {path} is not readable ({why}).", path=self.path, why=why))
            return
        for number in range(1, _MOST_SET_ASIDE + 1):
            aside = self.path.with_name(f"{self.path.name}.broken-{number}")
            if not os.path.lexists(aside) or number == _MOST_SET_ASIDE:
                break
        try:
            os.replace(self.path, aside)
        except OSError as error:
            self._report(
                sentence(
                    "The file {path} is not readable ({why}) and cannot be moved away: {error}.",
                    path=self.path,
                    why=why,
                    error=error,
                )
            )
            return
        self._report(
            sentence(
                "The file {path} was not readable ({why}); it was moved to {name}.",
                path=self.path,
                why=why,
                name=aside.name,
            )
        )


class ServerLock:
    """Hold ``server.lock`` in an ``async with`` while deciding, spawning or signalling, never while waiting.

    Waits for at most ``timeout_s``, then raises :class:`LockBusy`; :class:`StorageError` where the file cannot be made.
    The system frees it when its holder dies; a child does not inherit it. Each use locks anew, so two tasks of one
    process exclude each other as two processes do. An attempt is one system call that does not wait, made on the loop:
    so there is no moment at which a cancelled waiter could be given the lock.
    """

    def __init__(self, path: Path, timeout_s: float) -> None:
        self.path = path
        self.timeout_s = timeout_s
        self._held: BaseFileLock | None = None

    async def __aenter__(self) -> ServerLock:
        if self._held is not None:
            raise RuntimeError("this lock is held already; make one for each use")
        # 36 ms to import, more under load, and most commands never lock.
        await run_blocking(import_module, "filelock")
        from filelock import FileLock, Timeout

        ensure_dir(self.path.parent)
        lock = FileLock(self.path, mode=0o600, thread_local=False, blocking=False)
        deadline_s = time.monotonic() + self.timeout_s
        while True:
            try:
                lock.acquire()
            except Timeout as error:
                if time.monotonic() >= deadline_s:
                    raise LockBusy(detail=f"{self.path} was held for {self.timeout_s:g} s") from error
            except OSError as error:
                raise StorageError(
                    sentence("The lock of the server cannot be made in {parent}.", parent=self.path.parent),
                    detail=str(error),
                    hint=_STORAGE_HINT,
                ) from error
            else:
                self._held = lock
                return self
            await asyncio.sleep(_LOCK_POLL_S)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        held, self._held = self._held, None
        if held is not None:
            held.release()


def _members(record: ServerRecord) -> dict[str, Any]:
    members = asdict(record)
    members["wanted"] = record.wanted.value
    members["exes"] = list(record.exes)
    return members


def _object(content: bytes) -> dict[str, Any]:
    if len(content) > _MOST_BYTES:
        raise ValueError("it is too large")
    members = json.loads(content)
    if not isinstance(members, dict):
        raise TypeError("it is no object")
    return members


def _record(members: Mapping[str, Any]) -> ServerRecord:
    pid = _process_id(members, "pid")
    relay = members.get("relay")
    if relay is not None and not isinstance(relay, dict):
        raise TypeError("relay is no object")
    exes = members.get("exes", [])
    if not isinstance(exes, list) or not all(isinstance(exe, str) for exe in exes):
        raise TypeError("exes is no list of texts")
    start = members.get("start")
    if start is not None and (not isinstance(start, int) or isinstance(start, bool)):
        raise TypeError("start is no whole number")
    return ServerRecord(
        wanted=Wanted(members["wanted"]),
        pid=pid,
        group=_process_id(members, "group"),
        boot_id=_text(members, "boot_id"),
        start=start,
        exes=tuple(exes),
        address=_text(members, "address"),
        log=_text(members, "log"),
        bind=_text(members, "bind"),
        ready=members.get("ready") is True,
        models=_text(members, "models"),
        relay=relay,
        token=_text(members, "token"),
    )


def _process_id(members: Mapping[str, Any], key: str) -> int | None:
    value = members.get(key)
    if value is None:
        return None
    # 0 and 1 must never reach killpg: they mean our own group, and every process there is.
    if not isinstance(value, int) or isinstance(value, bool) or not 1 < value < 2**31:
        raise ValueError(f"{key} is no process number")
    return value


def _text(members: Mapping[str, Any], key: str) -> str:
    value = members.get(key, "")
    if not isinstance(value, str):
        raise TypeError(f"{key} is no text")
    return value


def _replace(source: str, target: Path) -> None:
    if sys.platform != "win32":
        os.replace(source, target)
        return
    # Windows refuses while another process has the target open, which a reader does for a moment.
    for _ in range(_REPLACE_TRIES):
        try:
            os.replace(source, target)
        except PermissionError:
            time.sleep(_REPLACE_PAUSE_S)
        else:
            return
    os.replace(source, target)
