"""A loopback server that says in a pull what the test tells it to say, and notices when a stream is closed."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any


class PullStream:
    """One pull as the server sees it."""

    def __init__(self, body: dict[str, Any], writer: asyncio.StreamWriter) -> None:
        self.body = body
        self.closed = asyncio.Event()
        """Set when the client has gone."""
        self._writer = writer

    async def say(self, *lines: dict[str, Any]) -> None:
        for line in lines:
            text = json.dumps(line).encode() + b"\n"
            self._writer.write(b"%x\r\n%s\r\n" % (len(text), text))
        if lines[-1].get("status") == "success":
            self._writer.write(b"0\r\n\r\n")
        await self._writer.drain()

    async def finish(self) -> None:
        """End the stream in order, whatever was said."""
        self._writer.write(b"0\r\n\r\n")
        await self._writer.drain()

    async def cut(self) -> None:
        """Break off in the middle."""
        self._writer.close()
        with suppress(OSError):
            await self._writer.wait_closed()


@dataclass
class PullStub:
    """The streams in the order in which they came."""

    base_url: str = ""
    streams: list[PullStream] = field(default_factory=list)
    came: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def stream(self, number: int) -> PullStream:
        """The ``number``-th stream (from 0), when it is there."""
        async with asyncio.timeout(10), self.came:
            await self.came.wait_for(lambda: len(self.streams) > number)
            return self.streams[number]

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, asyncio.IncompleteReadError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            length = next(
                (int(line.split(":")[1]) for line in head.split("\r\n") if line.lower().startswith("content-length:")),
                0,
            )
            body = json.loads(await reader.readexactly(length) or b"{}")
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/x-ndjson\r\nTransfer-Encoding: chunked\r\n\r\n")
            await writer.drain()
            stream = PullStream(body, writer)
            async with self.came:
                self.streams.append(stream)
                self.came.notify_all()
            while await reader.read(1024):
                pass
            stream.closed.set()
        writer.close()


@asynccontextmanager
async def pull_stub() -> AsyncIterator[PullStub]:
    stub = PullStub()
    server = await asyncio.start_server(stub.serve, "127.0.0.1", 0)
    stub.base_url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with server:
        yield stub
        for stream in stub.streams:
            await stream.cut()
