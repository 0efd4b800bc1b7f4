"""The folder that the models are in: which one it is, who else uses it, and what a start would remove from it.

Knows Ollama's layout of that folder and the process table, not HTTP. Two servers on one folder prune each other's
files, so whoever uses it is looked for before a start. All blocking.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from launcher.domain.checks import Unfinished
from launcher.errors import StorageError
from launcher.server import identity
from launcher.server.record import ServerRecord

_SIMULATED_FOLDER = "simulated"
"""Beside ``models``: where the simulated server keeps its own when no folder is named."""

_PARTIAL = re.compile(r"sha256-(?P<digest>[0-9a-f]{64})-partial(?:-\d+)?")
_BLOCK_BYTES = 512
"""Of ``st_blocks`` (stat(2)), whatever the file system's own are."""
_PARTIAL_CONTENT = re.compile(r"sha256-[0-9a-f]{64}-partial")


@dataclass(frozen=True, slots=True)
class FolderUser:
    """A live server that uses a models folder. Unknown is None."""

    pid: int
    name: str | None
    user: str | None
    address: str | None
    """As its ``OLLAMA_HOST`` says it, or as recorded; None where it was not set or cannot be read."""


@dataclass(frozen=True, slots=True)
class RefreshOutcome:
    refreshed: int
    """Files whose time is now."""
    unwritable: bool
    """Some could not be refreshed; the start needs ``OLLAMA_NOPRUNE=1``, or their downloads begin anew."""


@dataclass(frozen=True, slots=True)
class _Server:
    pid: int
    session: int
    name: str
    simulated: bool
    uid: int | None
    environ: Mapping[str, str] | None


def models_folder(environ: Mapping[str, str]) -> Path:
    """Tell which folder a server with this environment uses (``Models``, envconfig/config.go, 0.33).

    Raises :class:`StorageError` where neither ``OLLAMA_MODELS`` nor a home folder is set.
    """
    named = _clean(environ.get("OLLAMA_MODELS", ""))
    if named:
        return Path(named)
    home = environ.get("USERPROFILE" if sys.platform == "win32" else "HOME", "")
    if not home:
        raise StorageError(
            "Your home folder is not known, so the models folder is not either.",
            hint="Set HOME, or name the models folder in OLLAMA_MODELS.",
        )
    return Path(home, ".ollama", "models")


def live_users(
    folder: Path, records: Sequence[ServerRecord] = (), *, except_group: int | None = None
) -> list[FolderUser]:
    """List the live servers that use ``folder``: recorded ones, and what the process table shows.

    A process whose environment may not be read (another user's) is taken to use its user's default folder. One server
    is listed once, however many processes it has; ``except_group`` is left out.
    """
    users: dict[int, FolderUser] = {}
    boot = identity.boot_id()
    for record in records:
        if record.pid is None or record.group == except_group or not record.models:
            continue
        if identity.is_recorded_alive(record, boot) and _is_same(folder, Path(record.models), None):
            session = record.group or record.pid
            users[session] = FolderUser(record.pid, "ollama", _user_name(_uid_of(record.pid)), record.address or None)
    for server in _servers():
        if except_group in (server.session, server.pid) or server.session in users:
            continue
        if any(_is_same(folder, used, server.pid) for used in _folders_of(server)):
            address = _clean(server.environ.get("OLLAMA_HOST", "")) if server.environ else ""
            users[server.session] = FolderUser(server.pid, server.name, _user_name(server.uid), address or None)
    return list(users.values())


def is_server(pid: int) -> bool:
    """Tell whether the process is an ``ollama serve``, the simulated one included."""
    return identity.serves_ollama(identity.command_of(pid))


def refresh_partials(folder: Path) -> RefreshOutcome:
    """Make all files of unfinished downloads look new, right before a start.

    A starting server removes partial files older than an hour, one by one; a download that loses only some of them
    fails later (server/images.go and server/download.go, 0.33). So all files of a digest are refreshed or none counts.
    """
    refreshed = 0
    unwritable = False
    for path in _partials(folder, _PARTIAL):
        try:
            os.utime(path)  # "now" may be set by whoever may write, another time only by the owner
        except FileNotFoundError:
            continue
        except OSError:
            unwritable = True
        else:
            refreshed += 1
    return RefreshOutcome(refreshed, unwritable)


def folder_of(pid: int) -> Path | None:
    """Tell which folder a live server uses; None where that cannot be known."""
    words = identity.command_of(pid)
    if not identity.serves_ollama(words):
        return None
    simulated = identity.serves_simulated(words)
    server = _Server(pid, pid, "ollama", simulated, _uid_of(pid), identity.environ_of(pid))
    used = next(iter(_folders_of(server)), None)
    if used is not None and not used.is_absolute() and sys.platform == "linux":
        with suppress(OSError):
            used = Path(os.readlink(f"/proc/{pid}/cwd"), used)
    return used if used is not None and used.is_absolute() else None


def folder_of_user(name: str) -> Path | None:
    """Tell the default folder of a user's server; None where there is no such user."""
    if sys.platform == "win32":
        return None
    import pwd

    try:
        return Path(pwd.getpwnam(name).pw_dir, ".ollama", "models")
    except KeyError:
        return None


def count_models(folder: Path) -> int | None:
    """Count the models in a folder by their manifests; None where it may not be looked into."""
    manifests = folder / "manifests"
    refused: list[OSError] = []
    count = 0
    for _, _, names in os.walk(manifests, onerror=refused.append):
        count += sum(not name.startswith(".") for name in names)
    if any(not isinstance(error, FileNotFoundError) for error in refused):
        return None
    return count


def unfinished(folder: Path, now_s: float) -> tuple[Unfinished, ...]:
    """List what is on the disk of downloads that have not come to their end; ``now_s`` by the wall clock."""
    return tuple(_unfinished(digest, paths, now_s) for digest, paths in _by_digest(folder).items())


def _unfinished(digest: str, paths: Sequence[Path], now_s: float) -> Unfinished:
    completed = total = on_disk = 0
    newest_s = 0.0
    for path in paths:
        try:
            found = path.stat()
            newest_s = max(newest_s, found.st_mtime)
            # The content has its full size from the first byte on; what it takes is told by its blocks.
            if sys.platform == "win32":
                on_disk += found.st_size
            else:
                on_disk += found.st_blocks * _BLOCK_BYTES
            if not _PARTIAL_CONTENT.fullmatch(path.name):
                part = json.loads(path.read_bytes())
                completed, total = completed + part["Completed"], total + part["Size"]
        except (OSError, ValueError, TypeError, KeyError):
            continue
    return Unfinished(digest, completed, total, on_disk, max(0.0, now_s - newest_s), _is_damaged(paths))


def _by_digest(folder: Path) -> dict[str, list[Path]]:
    by_digest: dict[str, list[Path]] = {}
    for path in _partials(folder, _PARTIAL):
        found = _PARTIAL.fullmatch(path.name)
        if found:
            by_digest.setdefault(found["digest"], []).append(path)
    return by_digest


def mend_partials(folder: Path) -> int:
    """Remove what is left of downloads that could never go on; tell how many. Only while no server uses the folder.

    A server that is told to end while it downloads may leave a sidecar empty, or some of them missing (seen on
    0.33.0-rc2). Each later pull of that model then fails, until all partial files of the digest are gone.
    """
    mended = 0
    for paths in _by_digest(folder).values():
        if _is_damaged(paths):
            with suppress(OSError):  # not ours to write: the pull will say what is wrong
                for path in paths:
                    path.unlink(missing_ok=True)
                mended += 1
    return mended


def pulls_active(folder: Path, within_s: float, now_s: float) -> bool:
    """Tell whether a download has written within the last ``within_s`` seconds before ``now_s`` (wall clock)."""
    for path in _partials(folder, _PARTIAL_CONTENT):
        with suppress(OSError):
            if now_s - path.stat().st_mtime <= within_s:
                return True
    return False


def _is_damaged(paths: Sequence[Path]) -> bool:
    """Tell whether the sidecars of one digest are not all of one whole (server/download.go, 0.33)."""
    parts: list[tuple[int, int, int, int]] = []
    content_bytes: int | None = None
    for path in paths:
        try:
            if _PARTIAL_CONTENT.fullmatch(path.name):
                content_bytes = path.stat().st_size
                continue
            part = json.loads(path.read_bytes())
            numbers = (part["N"], part["Offset"], part["Size"], part["Completed"])
        except OSError:  # not ours to read: nothing can be said
            return False
        except (ValueError, TypeError, KeyError):
            return True
        if not all(isinstance(number, int) for number in numbers):
            return True
        parts.append(numbers)
    end = 0
    for expected, (number, offset, size, completed) in enumerate(sorted(parts)):
        if number != expected or offset != end or not 0 <= completed <= size:
            return True
        end += size
    if not parts:
        return False  # content alone is begun anew
    begun = any(completed for _, _, _, completed in parts)
    # The content gets its full size when the first byte comes; before that it may be missing or empty.
    return content_bytes != end if begun or content_bytes else False


def _partials(folder: Path, pattern: re.Pattern[str]) -> Iterator[Path]:
    try:
        names = os.listdir(folder / "blobs")
    except OSError:  # not there yet, or not ours to read: the start will say so
        return
    for name in sorted(names):
        if pattern.fullmatch(name):
            yield folder / "blobs" / name


def _servers() -> Iterator[_Server]:
    own = os.getpid()
    for process in identity.processes():
        if process.dead or process.pid == own:
            continue
        words = identity.command_of(process.pid)
        if identity.serves_ollama(words):
            yield _Server(
                pid=process.pid,
                session=process.session,
                name="ollama",
                simulated=identity.serves_simulated(words),
                uid=_uid_of(process.pid),
                environ=identity.environ_of(process.pid),
            )


def _folders_of(server: _Server) -> Iterable[Path]:
    if server.environ is not None:
        with suppress(StorageError):
            folder = models_folder(server.environ)
            if server.simulated and not _clean(server.environ.get("OLLAMA_MODELS", "")):
                folder = folder.with_name(_SIMULATED_FOLDER)
            return [folder]
        return []
    if server.simulated:
        return []
    home = _home_of(server.uid)
    return [] if home is None else [home / ".ollama" / "models"]


def _is_same(folder: Path, used: Path, pid: int | None) -> bool:
    """Tell whether ``used``, as the process sees it, is ``folder`` as we see it."""
    if pid is not None and sys.platform == "linux":
        if not used.is_absolute():
            with suppress(OSError):
                used = Path(os.readlink(f"/proc/{pid}/cwd"), used)
        if _has_other_root(pid):
            # In a container the same path is another folder, and another path may be the same one.
            with suppress(OSError):
                return os.path.samestat(os.stat(folder), os.stat(f"/proc/{pid}/root{used}"))
            return False
    with suppress(OSError):
        return os.path.samefile(folder, used)
    return os.path.normcase(os.path.realpath(folder)) == os.path.normcase(os.path.realpath(used))


def _has_other_root(pid: int) -> bool:
    try:
        return os.readlink(f"/proc/{pid}/ns/mnt") != os.readlink("/proc/self/ns/mnt")
    except OSError:  # another user's: nothing but its path can be compared
        return False


def _uid_of(pid: int) -> int | None:
    if sys.platform == "linux":
        try:
            return os.stat(f"/proc/{pid}").st_uid
        except OSError:
            return None
    if sys.platform == "win32":
        return None
    import psutil

    try:
        return int(psutil.Process(pid).uids().real)
    except (psutil.Error, OSError):
        return None


def _user_name(uid: int | None) -> str | None:
    if sys.platform == "win32" or uid is None:
        return None
    import pwd

    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _home_of(uid: int | None) -> Path | None:
    if sys.platform == "win32" or uid is None:
        return None
    import pwd

    try:
        return Path(pwd.getpwuid(uid).pw_dir)
    except KeyError:
        return None


def _clean(value: str) -> str:
    """Trim as ``Var`` does (envconfig/config.go:375, 0.33): spaces, then surrounding quotes."""
    return value.strip().strip("\"'")
