"""Files on their way to a server: their digest, and their bytes piece by piece. Knows no route.

What blocks runs on threads, and looks at each piece whether it is still wanted. No file is ever whole in memory.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import threading
from collections.abc import AsyncGenerator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TypeVar

from launcher.errors import InvalidInput

PIECE_BYTES = 1024 * 1024

_TELL_S = 0.1

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class BlobProgress:
    """How far a file is: first it is read for its digest, then it is sent.

    ``digest`` (``sha256:`` and 64 hex digits) is empty while it is not known.
    """

    completed_bytes: int
    total_bytes: int
    digest: str


@dataclass(slots=True)
class Counter:
    """How many bytes a piece of work has done: written by that, read by whoever waits."""

    done_bytes: int = 0
    unwanted: threading.Event = field(default_factory=threading.Event)


def size_of(path: str | os.PathLike[str]) -> int:
    """Return the size of a file in bytes; blocks. Raises InvalidInput when there is none."""
    with _explained(path):
        if os.path.isdir(path):
            raise IsADirectoryError("it is a folder")
        return os.stat(path).st_size


async def digest_of(path: str | os.PathLike[str], counter: Counter | None = None) -> str:
    """Return the digest of a file, as ``sha256:`` and 64 hex digits. Raises InvalidInput when it cannot be read."""
    counter = counter or Counter()
    try:
        return await asyncio.to_thread(_hash, path, counter)
    finally:
        counter.unwanted.set()


def _hash(path: str | os.PathLike[str], counter: Counter) -> str:
    digest = hashlib.sha256()
    piece = bytearray(PIECE_BYTES)
    view = memoryview(piece)
    with _explained(path), open(path, "rb", buffering=0) as file:
        while (count := file.readinto(piece)) and not counter.unwanted.is_set():
            digest.update(view[:count])
            counter.done_bytes += count
    return f"sha256:{digest.hexdigest()}"


async def pieces_of(path: str | os.PathLike[str], total_bytes: int, counter: Counter) -> AsyncGenerator[bytes, None]:
    """Hand out so many bytes of a file. Raises InvalidInput when it cannot be read or has become shorter."""
    with _explained(path):
        file = await asyncio.to_thread(open, path, "rb", 0)
        try:
            while left_bytes := total_bytes - counter.done_bytes:
                piece = await asyncio.to_thread(file.read, min(PIECE_BYTES, left_bytes))
                if not piece:
                    raise OSError("it has become shorter while it was read")
                yield piece
                counter.done_bytes += len(piece)
        finally:
            file.close()


async def counted(task: asyncio.Task[T], counter: Counter) -> AsyncGenerator[int, None]:
    """Hand out now and then how many bytes a task has done, until it has ended well or not.

    Closing the generator cancels the task and waits for its end.
    """
    try:
        told_bytes = 0
        while not (await asyncio.wait({task}, timeout=_TELL_S))[0]:
            if counter.done_bytes != told_bytes:
                told_bytes = counter.done_bytes
                yield told_bytes
    finally:
        if not task.done():
            task.cancel()
            await asyncio.wait({task})
            if not task.cancelled():
                task.exception()  # seen, should it have failed at the same moment


@contextmanager
def _explained(path: str | os.PathLike[str]) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise InvalidInput(f"The file {os.fspath(path)} cannot be read.", detail=str(error)) from error
