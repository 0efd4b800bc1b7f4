"""A server that answers with exactly the bytes it is told: for answers that no real server would give."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from types import TracebackType
from typing import Self

Answer = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]

_BOUND_S = 30.0

JSON_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
STREAM_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/x-ndjson\r\nTransfer-Encoding: chunked\r\n\r\n"


def chunk(content: bytes) -> bytes:
    """Frame one piece of a chunked body."""
    return b"%x\r\n%b\r\n" % (len(content), content)


def answering(*pieces: bytes) -> Answer:
    """Send these bytes, then close."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for piece in pieces:
            writer.write(piece)
            await writer.drain()

    return answer


class RawServer:
    """Read the first request of each connection, then hand the connection over to ``answer``.

    ``shouts_first`` answers without having read anything, as servers of other protocols do.
    """

    def __init__(self, answer: Answer, *, shouts_first: bool = False) -> None:
        self._answer = answer
        self._shouts_first = shouts_first
        self._tasks: set[asyncio.Task[None]] = set()
        self.heads: list[bytes] = []
        self._closed = asyncio.Event()

    @property
    def address(self) -> str:
        host, port = self._server.sockets[0].getsockname()[:2]
        return f"http://{host}:{port}"

    async def wait_closed(self) -> None:
        """Wait until the other side has closed a connection that was still written to or read from."""
        await asyncio.wait_for(self._closed.wait(), _BOUND_S)

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            with suppress(asyncio.CancelledError):  # only __aexit__ cancels
                try:
                    if not self._shouts_first:
                        await self._read_request(reader)
                    await self._answer(reader, writer)
                    writer.close()
                except (ConnectionError, asyncio.IncompleteReadError):
                    self._closed.set()
        finally:
            self._tasks.discard(task)
            if not writer.is_closing():
                writer.transport.abort()

    async def _read_request(self, reader: asyncio.StreamReader) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        self.heads.append(head)
        length = head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]
        await reader.readexactly(int(length or 0))
