"""The file that the server writes its output to: rotate it, keep it small, follow it, and hide secrets in it.

Knows files and lines, not what they mean. The server holds the file open for append and may outlive us, so the file is
never taken away from it: above the limit it is copied and cut in place. Who follows it survives both.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import sys
import threading
from collections.abc import AsyncGenerator
from contextlib import suppress
from io import BufferedWriter, FileIO
from pathlib import Path

from launcher.errors import StorageError, sentence
from launcher.tasks import run_blocking

KEEP = 5
LIMIT_BYTES = 50_000_000

_BLOCK_BYTES = 64 * 1024
_MOST_READ_BYTES = 1024 * 1024
_MOST_LINE_BYTES = 16 * 1024
_MOST_TAIL_BYTES = 8 * 1024 * 1024
_MARK_BYTES = 64
_CUT_MARK = " …"

# Every repetition is bounded: a line of 16 KiB must not take seconds.
_USERINFO = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]{0,15}://)[^/?#\s\"'\\]{0,500}@")
# Go prints its settings as "NAME:value NAME:value"; a password may hold "/" and the scheme may be missing.
_PROXY = re.compile(r"(?P<name>\b(?:HTTPS?|ALL|FTP)_PROXY[:=])(?P<value>[^\s\"']{0,500})@", re.IGNORECASE)
_CREDENTIAL = re.compile(
    r"(?P<kind>\b(?:Bearer\s+|Authorization[\"':=\s]{1,5}(?:\w{1,20}\s+)?))[A-Za-z0-9._~+/=-]{8,}", re.IGNORECASE
)
_PARAMETER = re.compile(
    r"(?P<name>\b(?:X-Amz-(?:Signature|Credential|Security-Token)|Signature|Key-Pair-Id|access_token|token|api[_-]?key"
    r"|OLLAMA_API_KEY|password|secret)(?:=|:|%3D))[^&\s\"']+",
    re.IGNORECASE,
)


def rotate(path: Path, keep: int = KEEP) -> None:
    """Move the log aside before a start: ``server.log`` becomes ``server-1.log``, and so on up to ``keep``.

    An empty log stays. Raises :class:`StorageError` where the folder does not allow it; on Windows a log that somebody
    is reading stays, too, and is written on. Blocking.
    """
    try:
        if not path.exists() or path.stat().st_size == 0:
            return
        _make_room(path, keep)
        os.replace(path, _rotated(path, 1))
    except OSError as error:
        if sys.platform == "win32" and isinstance(error, PermissionError):
            return
        raise _storage_error(path, error) from error


def cap(path: Path, limit_bytes: int = LIMIT_BYTES, keep: int = KEEP, cancel: threading.Event | None = None) -> bool:
    """Copy a log above ``limit_bytes`` to ``server-1.log`` and cut it in place; tell whether that was needed.

    What the server writes between the last byte copied and the cut (microseconds) is lost. Where the copy fails (or is
    cancelled) nothing is cut. Raises :class:`StorageError`. Blocking.
    """
    try:
        if not path.exists() or path.stat().st_size <= limit_bytes:
            return False
        fresh = path.with_name(f"{path.stem}-0{path.suffix}")
        try:
            with path.open("rb") as source, _create_private(fresh) as target:
                # Up to the end as it is now, and once more up to what was written while copying.
                while block := source.read(_BLOCK_BYTES * 16):
                    if cancel is not None and cancel.is_set():
                        fresh.unlink()
                        return False
                    target.write(block)
                target.flush()
                _make_room(path, keep)
                os.replace(fresh, _rotated(path, 1))
                while block := source.read(_BLOCK_BYTES):
                    target.write(block)
                target.flush()
                os.truncate(path, 0)
        except BaseException:
            with suppress(OSError):
                fresh.unlink()
            raise
    except OSError as error:
        raise _storage_error(path, error) from error
    return True


class LogTail:
    """Read what is appended to a file, line by line, whatever becomes of the file.

    Survives that it does not exist yet, is replaced (another inode) and is cut (shorter than what was read, or with
    other bytes at its begin or before the place that was read to). Each read is bounded. Blocking, for one reader.
    """

    def __init__(self, path: Path, *, from_end: bool = False) -> None:
        self.path = path
        self._from_end = from_end
        self._file: FileIO | None = None
        self._offset = 0
        self._marks = (b"", b"")
        self._pending = b""
        self._skipping = False

    @property
    def offset(self) -> int:
        """The place in the file up to which it was read."""
        return self._offset

    def read_lines(self) -> list[str]:
        """Read the complete lines that came since, about a mebibyte at most; an overlong line is cut short.

        An empty answer means that there is nothing more by now.
        """
        file = self._file or self._open()
        if file is None:
            return []
        while (lines := self._read(file)) == []:
            pass  # in the middle of an overlong line
        if lines is not None:
            return lines
        if not self._is_replaced(file):
            return []
        # The old file is read to its end.
        lines = self.flush()
        self.close()
        self._from_end = False
        file = self._open()
        return lines + ((self._read(file) or []) if file is not None else [])

    def flush(self) -> list[str]:
        """Give out a last line that has no end."""
        pending, self._pending = self._pending, b""
        return [_text(pending)] if pending and not self._skipping else []

    def close(self) -> None:
        file, self._file = self._file, None
        if file is not None:
            file.close()

    def _open(self) -> FileIO | None:
        try:
            file = self.path.open("rb", buffering=0)
        except OSError:
            self._from_end = False  # what appears later is all new
            return None
        self._file = file
        self._offset = os.fstat(file.fileno()).st_size if self._from_end else 0
        self._marks = _marks(file, self._offset)
        self._pending, self._skipping = b"", False
        return file

    def _read(self, file: FileIO) -> list[str] | None:
        """Read one block; None at the end of the file."""
        # Shorter than before, or grown past the old place already since it was cut.
        if os.fstat(file.fileno()).st_size < self._offset or _marks(file, self._offset) != self._marks:
            self._offset, self._marks, self._pending, self._skipping = 0, (b"", b""), b"", False
        file.seek(self._offset)
        content = file.read(_MOST_READ_BYTES)
        if not content:
            return None
        self._offset += len(content)
        # From what was read, not from the file: it may be cut just now.
        first, last = self._marks
        self._marks = (first + content)[:_MARK_BYTES], (last + content[-_MARK_BYTES:])[-_MARK_BYTES:]
        *ends, rest = content.split(b"\n")
        lines = []
        for end in ends:
            whole, self._pending = self._pending + end, b""
            if not self._skipping:
                lines.append(_text(whole))
            self._skipping = False
        self._pending += rest
        if len(self._pending) > _MOST_LINE_BYTES:
            if not self._skipping:
                lines.append(_text(self._pending))
            self._pending, self._skipping = b"", True
        return lines

    def _is_replaced(self, file: FileIO) -> bool:
        try:
            now = os.stat(self.path)
        except OSError:
            return False  # moved away, and the new one is still to come
        return not os.path.samestat(now, os.fstat(file.fileno()))


async def follow(path: Path, *, lines: int = 0, poll_s: float = 0.1) -> AsyncGenerator[str, None]:
    """Give the last ``lines`` lines, then each line as it comes, for ever; secrets are masked. Close it when done."""
    async with contextlib.aclosing(follow_in_batches(path, lines=lines, poll_s=poll_s)) as batches:
        async for batch in batches:
            for line in batch:
                yield line


async def follow_in_batches(path: Path, *, lines: int = 0, poll_s: float = 0.1) -> AsyncGenerator[list[str], None]:
    """Do as :func:`follow`, and give the lines of each read together; an empty list where none came for ``poll_s``.

    Nothing is read until the next list is asked for.
    """
    tail = LogTail(path, from_end=True)
    reading = threading.Lock()
    over = threading.Event()

    def close_when_over() -> None:
        # Called by both sides after what it waits for: whoever comes last closes.
        if over.is_set() and reading.acquire(blocking=False):
            try:
                tail.close()
            finally:
                reading.release()

    def read() -> list[str]:
        try:
            with reading:
                return [mask_secrets(line) for line in tail.read_lines()]
        finally:
            close_when_over()

    def begin() -> list[str]:
        # Opened first, so that nothing is missed between the two; what is in both is not told twice.
        try:
            with reading:
                tail.read_lines()
                found = last_lines(path, lines, before=tail.offset) if lines else []
                return [mask_secrets(line) for line in found]
        finally:
            close_when_over()

    try:
        yield await run_blocking(begin, timeout_s=30)
        while True:
            found = await run_blocking(read, timeout_s=30)
            yield found
            if not found:
                await asyncio.sleep(poll_s)
    finally:
        # An abandoned read may still be at it on its thread.
        over.set()
        close_when_over()


def last_lines(path: Path, count: int, *, before: int | None = None) -> list[str]:
    """Read the last ``count`` lines, looking at no more than 8 MiB; none where there is no file. Blocking."""
    if count <= 0:
        return []
    try:
        with path.open("rb") as file:
            end = file.seek(0, os.SEEK_END)
            if before is not None:
                end = min(end, before)
            start, content = end, b""
            while start > 0 and content.count(b"\n") <= count and len(content) < _MOST_TAIL_BYTES:
                size = min(_BLOCK_BYTES, start)
                start -= size
                file.seek(start)
                content = file.read(size) + content
    except FileNotFoundError:
        return []
    except OSError as error:
        raise StorageError(
            sentence("The log {path} cannot be read.", path=path),
            detail=str(error),
            hint="Check who may read this file.",
        ) from error
    found = content.split(b"\n")
    if found and not found[-1]:
        found.pop()
    return [_text(line) for line in found[-count:]]


def mask_secrets(line: str) -> str:
    """Hide credentials: the user part of URLs and proxies, bearer tokens, keys and signatures in queries.

    The server prints ``HTTPS_PROXY`` with its password when it starts (``server config``, seen on 0.33.0-rc2).
    """
    line = _PROXY.sub(_masked_proxy, line)
    line = _USERINFO.sub(r"\g<scheme>***@", line)
    line = _CREDENTIAL.sub(r"\g<kind>***", line)
    return _PARAMETER.sub(r"\g<name>***", line)


def _masked_proxy(found: re.Match[str]) -> str:
    scheme, separator, _ = found["value"].partition("://")
    return f"{found['name']}{scheme + separator if separator else ''}***@"


def _make_room(path: Path, keep: int) -> None:
    for number in range(keep, 0, -1):
        older = _rotated(path, number)
        if not older.exists():
            continue
        if number == keep:
            older.unlink()
        else:
            os.replace(older, _rotated(path, number + 1))


def _rotated(path: Path, number: int) -> Path:
    return path.with_name(f"{path.stem}-{number}{path.suffix}")


def _create_private(path: Path) -> BufferedWriter:
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb")


def _marks(file: FileIO, offset: int) -> tuple[bytes, bytes]:
    """Read what a file is recognised by: its first bytes and those before ``offset``."""
    file.seek(0)
    first = file.read(min(offset, _MARK_BYTES))
    start = max(0, offset - _MARK_BYTES)
    file.seek(start)
    return first, file.read(offset - start)


def _text(line: bytes) -> str:
    text = line[:_MOST_LINE_BYTES].decode(errors="replace").rstrip("\r")
    return text + _CUT_MARK if len(line) > _MOST_LINE_BYTES else text


def _storage_error(path: Path, error: OSError) -> StorageError:
    return StorageError(
        sentence("The log {path} cannot be put aside.", path=path),
        detail=str(error),
        hint="Check who may write to this folder and whether the disk is full.",
    )
