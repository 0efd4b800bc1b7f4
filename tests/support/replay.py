"""A server that sends recorded answers again: the same bytes, at the same moments (or faster), with the same end.

Raw HTTP/1.1 on a free loopback port, in the loop of the test. Knows no route of its own.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import Any

from tests.support.listening import Listening

RECORDINGS = Path(__file__).parents[1] / "recordings"

_BOUND_S = 30.0


@dataclass(frozen=True, slots=True)
class Recording:
    """One recorded exchange; its format is described in ``tests/recordings/README.md``."""

    name: str
    method: str
    path: str
    request_body: Any
    status: int
    headers: Mapping[str, str]
    body: str | None
    lines: Sequence[tuple[float, str]]
    """Of a stream: milliseconds since the request, and the line."""
    end: str
    """``complete``, ``closed by client``, or what httpx raised when the server cut it."""

    @property
    def streamed(self) -> bool:
        return self.body is None


def load(name: str) -> Recording:
    """Read an exchange, named as ``pull/tiny``."""
    content = json.loads((RECORDINGS / f"{name}.json").read_text(encoding="utf-8"))
    request, response = content["request"], content["response"]
    return Recording(
        name=name,
        method=request["method"],
        path=request["path"],
        request_body=request.get("body"),
        status=response["status"],
        headers=response["headers"],
        body=response.get("body"),
        # "…" stands for lines that were left out.
        lines=[(at_ms, line) for at_ms, line in response.get("lines", ()) if line != "…"],
        end=response["end"],
    )


def names() -> list[str]:
    """List all exchanges; the folders also hold logs, exits and descriptions of files."""
    found = []
    for path in sorted(RECORDINGS.glob("*/*.json")):
        content = json.loads(path.read_text(encoding="utf-8"))
        if "request" in content and "response" in content:
            found.append(f"{path.parent.name}/{path.stem}")
    return found


@dataclass(slots=True)
class Request:
    """What a client sent."""

    method: str
    path: str
    headers: Mapping[str, str]
    """Names in lower case."""
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(slots=True)
class _Seen:
    requests: list[Request] = field(default_factory=list)
    connections: int = 0


class ReplayServer(Listening):
    """Answer requests from recordings; a single one answers whatever is asked.

    ::

        async with ReplayServer(load("pull/mid"), scale=1.0) as server, Client(server.address) as client:
            ...

    ``scale`` multiplies the recorded times: 1 is the recorded speed, 0 sends at once.
    """

    def __init__(self, *recordings: Recording, scale: float = 0.0) -> None:
        self._recordings = recordings
        self._scale = scale
        self._seen = _Seen()
        super().__init__()

    @property
    def requests(self) -> list[Request]:
        return self._seen.requests

    @property
    def connections(self) -> int:
        """How many connections have been accepted."""
        return self._seen.connections

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._seen.connections += 1
        while request := await _read_request(reader):
            self._seen.requests.append(request)
            if not await self._answer(self._find(request), request, reader, writer):
                break

    def _find(self, request: Request) -> Recording:
        if len(self._recordings) == 1:
            return self._recordings[0]
        for recording in self._recordings:
            if (recording.method, recording.path) == (request.method, request.path):
                return recording
        raise AssertionError(f"nothing recorded for {request.method} {request.path}")

    async def _answer(
        self, recording: Recording, request: Request, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> bool:
        """Send one answer; True when the connection can be used again."""
        started_s = asyncio.get_running_loop().time()
        head = f"HTTP/1.1 {recording.status} {HTTPStatus(recording.status).phrase}\r\n"
        chunked = recording.headers.get("transfer-encoding") == "chunked"
        headers = dict(recording.headers)
        if "content-length" in headers and recording.body and request.method != "HEAD":
            # Names in it were replaced, and a line end after it was not kept.
            headers["content-length"] = str(len(recording.body.encode()))
        writer.write((head + "".join(f"{key}: {value}\r\n" for key, value in headers.items())).encode())
        writer.write(b"\r\n")
        if request.method == "HEAD":
            await writer.drain()
            return True
        if recording.body is not None:
            body = recording.body.encode()
            writer.write(_chunk(body) + b"0\r\n\r\n" if chunked else body)
            await writer.drain()
            return True
        watch = asyncio.ensure_future(reader.read(1))
        try:
            for at_ms, line in recording.lines:
                wait_s = started_s + at_ms / 1000 * self._scale - asyncio.get_running_loop().time()
                if wait_s > 0:
                    # Not only a pause: a client that closes ends it.
                    await asyncio.wait([watch], timeout=wait_s)
                if watch.done():
                    self._closed.set()
                    return False
                writer.write(_chunk(line.encode() + b"\n"))
                await writer.drain()
            if recording.end == "complete":
                writer.write(b"0\r\n\r\n")
                await writer.drain()
                return False
            if recording.end == "closed by client":
                await asyncio.wait_for(asyncio.shield(watch), _BOUND_S)
                self._closed.set()
                return False
            # Cut in the middle of a chunk, as a server that dies does it.
            writer.write(b"40\r\n{")
            await writer.drain()
            writer.close()
            return False
        finally:
            watch.cancel()
            with suppress(asyncio.CancelledError, ConnectionError):
                await watch


def _chunk(content: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(content), content) if content else b""


async def _read_request(reader: asyncio.StreamReader) -> Request | None:
    """Read one request; None when the client has closed."""
    try:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    except (asyncio.IncompleteReadError, ConnectionError):
        return None
    first, *rest = head.split("\r\n")
    method, path, _ = first.split(" ", 2)
    headers = {key.lower(): value.strip() for key, _, value in (line.partition(":") for line in rest if line)}
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    return Request(method, path, headers, body)
