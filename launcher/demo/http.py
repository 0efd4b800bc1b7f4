"""HTTP/1.1 on asyncio streams, as Go's net/http with gin behaves: chunks, disconnects, access lines.

Knows no route: it reads a request, gives it to the one function it was made with, and watches the client meanwhile.
A body that is too large for memory goes into a ``Sink`` as it comes.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import h11

from launcher.demo import log
from launcher.demo.golang import dumps

if TYPE_CHECKING:
    from launcher.demo.reply import Sink

JSON_TYPE = "application/json; charset=utf-8"
TEXT_TYPE = "text/plain; charset=utf-8"
STREAM_TYPE = "application/x-ndjson"
SIMULATED_HEADER = ("Ollama-Simulated", "1")
_REASONS = {
    200: b"OK",
    201: b"Created",
    301: b"Moved Permanently",
    307: b"Temporary Redirect",
    400: b"Bad Request",
    401: b"Unauthorized",
    403: b"Forbidden",
    404: b"Not Found",
    405: b"Method Not Allowed",
    500: b"Internal Server Error",
    501: b"Not Implemented",
    502: b"Bad Gateway",
    503: b"Service Unavailable",
}
_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_READ_BYTES = 65536
# net/http sends what fits its buffer with a length and the rest in chunks (server.go, bufferBeforeChunkingSize).
_LARGEST_WITH_LENGTH = 2048


class ClientGone(Exception):
    """The client has closed the connection."""


@dataclass(slots=True)
class Request:
    """One request, read whole."""

    method: str
    target: str
    headers: dict[str, str]
    """Names in lower case."""
    body: bytes
    client: str
    left: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when the client has gone."""
    sink: Sink | None = None
    """Holds the body instead of ``body``."""

    @property
    def path(self) -> str:
        return self.target.partition("?")[0]


class Exchange:
    """One request and the answer to it."""

    def __init__(self, request: Request, connection: h11.Connection, writer: asyncio.StreamWriter, gate: Gate) -> None:
        self.request = request
        self.status = 0
        self._connection = connection
        self._writer = writer
        self._gate = gate

    @property
    def has_begun(self) -> bool:
        """True once the status is out."""
        return self.status != 0

    async def json(self, status: int, value: Any, content_type: str = JSON_TYPE) -> None:
        """Answer with one JSON value."""
        await self.answer(status, content_type, dumps(value))

    async def fail(self, status: int, text: str) -> None:
        """Answer with an error as the API words it."""
        await self.json(status, {"error": text})

    async def answer(
        self, status: int, content_type: str | None, body: bytes, headers: Sequence[tuple[str, str]] = ()
    ) -> None:
        """Answer whole."""
        await self._gate()
        typed = [("Content-Type", content_type)] if content_type else []
        if len(body) > _LARGEST_WITH_LENGTH and self.request.method != "HEAD":
            await self._begin(status, [*typed, *headers, ("Transfer-Encoding", "chunked")])
        else:
            await self._begin(status, [*typed, *headers, ("Content-Length", str(len(body)))])
        if body and self.request.method != "HEAD":
            await self._send(h11.Data(data=body))
        await self.end()

    async def head(self, status: int, content_type: str, size_bytes: int) -> None:
        """Answer a HEAD request about a body of a size that is never sent."""
        await self._gate()
        await self._begin(status, [("Content-Type", content_type), ("Content-Length", str(size_bytes))])
        await self.end()

    async def begin_stream(self, content_type: str) -> None:
        """Begin a stream of chunks."""
        await self._gate()
        await self._begin(200, [("Content-Type", content_type), ("Transfer-Encoding", "chunked")])

    async def line(self, value: Any) -> None:
        """Send one JSON line as one chunk, beginning the stream if it has not begun; ClientGone when nobody reads."""
        await self.raw(dumps(value) + b"\n")

    async def raw(self, data: bytes) -> None:
        """Send bytes as one chunk, as ``line`` does."""
        if not self.has_begun:
            await self.begin_stream(STREAM_TYPE)
        await self._gate()
        await self._send(h11.Data(data=data))

    def cut(self) -> None:
        """Close the connection in the middle of what it was saying."""
        self._writer.transport.abort()

    async def end(self) -> None:
        """End the answer."""
        await self._send(h11.EndOfMessage())

    async def _begin(self, status: int, headers: Sequence[tuple[str, str]]) -> None:
        self.status = status
        every = [*headers, ("Date", _date()), SIMULATED_HEADER]
        await self._send(h11.Response(status_code=status, headers=every, reason=_REASONS.get(status, b"")))

    async def _send(self, event: h11.Event) -> None:
        if self.request.left.is_set() or self._writer.is_closing():
            raise ClientGone
        data = self._connection.send(event)
        if data:
            self._writer.write(data)
            try:
                await self._writer.drain()
            except ConnectionError as error:
                raise ClientGone from error


Answer = Callable[[Exchange], Awaitable[None]]
Gate = Callable[[], Awaitable[None]]
SinkOf = Callable[[str, str], "Sink | None"]
"""Gives the sink for the body of a method and path; None: it is read into memory."""


class HttpServer:
    """Every open connection, and one function that answers."""

    def __init__(self, answer: Answer, gate: Gate, sink_of: SinkOf) -> None:
        self._answer = answer
        self._gate = gate
        self._sink_of = sink_of
        self._writers: set[asyncio.StreamWriter] = set()

    def cut_all(self) -> None:
        """Close every connection now, in the middle of what it was saying (``http.Server.Close``)."""
        for writer in self._writers:
            writer.transport.abort()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection until either side closes it."""
        self._writers.add(writer)
        try:
            with contextlib.suppress(ConnectionError, ClientGone):
                await self._serve_requests(reader, writer)
        finally:
            self._writers.discard(writer)
            writer.close()

    async def _serve_requests(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = h11.Connection(h11.SERVER)
        peer = writer.get_extra_info("peername")
        client = str(peer[0]) if peer else ""
        while True:
            try:
                request = await self._read_request(connection, reader, writer, client)
            except h11.RemoteProtocolError:
                writer.write(b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\n")
                writer.write(b"Connection: close\r\n\r\n400 Bad Request")
                return
            if request is None:
                return
            try:
                await self._exchange(Exchange(request, connection, writer, self._gate), connection, reader)
            finally:
                if request.sink is not None:
                    request.sink.close()
            if connection.our_state is not h11.DONE or connection.their_state is not h11.DONE:
                return
            connection.start_next_cycle()

    async def _read_request(
        self, connection: h11.Connection, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, client: str
    ) -> Request | None:
        """Read one request whole; None when the client closes instead."""
        request: Request | None = None
        body = bytearray()
        is_whole = False
        try:
            while True:
                event = connection.next_event()
                if event is h11.NEED_DATA:
                    if connection.they_are_waiting_for_100_continue:
                        go_on = h11.InformationalResponse(status_code=100, headers=[], reason=b"Continue")
                        writer.write(connection.send(go_on) or b"")
                    connection.receive_data(await reader.read(_READ_BYTES))
                elif isinstance(event, h11.Request):
                    headers = {name.decode("ascii"): value.decode("latin-1") for name, value in event.headers}
                    method, target = event.method.decode("ascii"), event.target.decode("latin-1")
                    request = Request(method, target, headers, b"", client)
                    request.sink = self._sink_of(method, request.path)
                elif isinstance(event, h11.Data) and request is not None and request.sink is not None:
                    request.sink.write(event.data)
                elif isinstance(event, h11.Data):
                    body += event.data
                elif isinstance(event, h11.EndOfMessage) and request is not None:
                    request.body = bytes(body)
                    is_whole = True
                    return request
                else:
                    return None
        finally:
            if not is_whole and request is not None and request.sink is not None:
                request.sink.close()

    async def _exchange(self, exchange: Exchange, connection: h11.Connection, reader: asyncio.StreamReader) -> None:
        """Answer one request. While the answer is made, a client that closes the connection cancels it."""
        request = exchange.request
        began_s = time.monotonic()
        answering = asyncio.ensure_future(self._answer(exchange))
        watching = asyncio.ensure_future(reader.read(_READ_BYTES))
        try:
            await asyncio.wait((answering, watching), return_when=asyncio.FIRST_COMPLETED)
            if watching.done() and not answering.done():
                if watching.exception() is not None or not watching.result():
                    request.left.set()
                    answering.cancel()
                await asyncio.wait((answering,))
            if not answering.cancelled():
                error = answering.exception()
                if error is not None:
                    raise error
        finally:
            answering.cancel()
            log.access(exchange.status or 200, time.monotonic() - began_s, request.client, request.method, request.path)
            if watching.done() and not watching.cancelled() and watching.exception() is None:
                connection.receive_data(watching.result())
            else:
                watching.cancel()
                await asyncio.wait((watching,))


def _date() -> str:
    # Not email.utils, which takes 5 ms of every start, nor strftime, which writes the day in the person's language.
    year, month, day, hour, minute, second, weekday, _, _ = time.gmtime()
    return f"{_DAYS[weekday]}, {day:02d} {_MONTHS[month - 1]} {year} {hour:02d}:{minute:02d}:{second:02d} GMT"
