"""A server that answers with exactly the bytes it is told: for answers that no real server would give."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from tests.support.listening import Listening

Answer = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]

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


class RawServer(Listening):
    """Read the first request of each connection, then hand the connection over to ``answer``.

    ``shouts_first`` answers without having read anything, as servers of other protocols do.
    """

    def __init__(self, answer: Answer, *, shouts_first: bool = False) -> None:
        self._answer = answer
        self._shouts_first = shouts_first
        self.heads: list[bytes] = []
        super().__init__()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if not self._shouts_first:
            await self._read_request(reader)
        await self._answer(reader, writer)
        writer.close()

    async def _read_request(self, reader: asyncio.StreamReader) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        self.heads.append(head)
        length = head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]
        await reader.readexactly(int(length or 0))
