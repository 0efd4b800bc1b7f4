"""Every kind of call that takes long, against servers that answer nonsense: the right error, no hang, bounded memory.

The streams of a pull have the same in ``test_streams.py``, in more detail.
"""

from __future__ import annotations

import asyncio
import json
import tracemalloc
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

import pytest

from launcher.ollama import (
    Client,
    CutStream,
    InlineError,
    OllamaError,
    ProtocolBroken,
    Reason,
    Refused,
    TimedOut,
    Timeouts,
)
from launcher.ollama import client as client_module
from launcher.ollama import transport as transport_module
from launcher.ollama.lines import MAX_LINE_BYTES
from tests.support.raw_server import JSON_HEAD, STREAM_HEAD, RawServer, answering, chunk
from tests.support.waiting import eventually

pytestmark = pytest.mark.anyio

END = b"0\r\n\r\n"


@dataclass(frozen=True)
class Route:
    """How a route is asked, and what a good answer of it looks like."""

    call: Callable[[Client], Any]
    piece: Callable[[str], Any]
    """The JSON of a piece with this text, or of the whole answer."""
    last: bytes
    """What ends a stream; empty for a whole answer."""
    text: Callable[[Any], str]

    @property
    def streams(self) -> bool:
        return bool(self.last)

    def line(self, text: str) -> bytes:
        start = b"data: " if self.last.startswith(b"data:") else b""
        return start + json.dumps(self.piece(text), ensure_ascii=False).encode() + b"\n" * (1 + bool(start))


def openai(member: str) -> Callable[[str], Any]:
    return lambda text: {"choices": [{member: {"content": text}}]}


ROUTES = {
    "chat": Route(
        lambda c: c.chat("m"),
        lambda text: {"message": {"content": text}, "done": True},
        b"",
        lambda answer: str(answer.message.content),
    ),
    "stream_chat": Route(
        lambda c: c.stream_chat("m"),
        lambda text: {"message": {"content": text}, "done": False},
        b'{"done":true}\n',
        lambda answer: str(answer.message.content),
    ),
    "generate": Route(
        lambda c: c.generate("m"),
        lambda text: {"response": text, "done": True},
        b"",
        lambda answer: str(answer.response),
    ),
    "stream_generate": Route(
        lambda c: c.stream_generate("m"),
        lambda text: {"response": text, "done": False},
        b'{"done":true}\n',
        lambda answer: str(answer.response),
    ),
    "create": Route(
        lambda c: c.create("m"),
        lambda text: {"status": text},
        b'{"status":"success"}\n',
        lambda answer: "" if answer.status == "success" else str(answer.status),
    ),
    "embed": Route(
        lambda c: c.embed("m", "a"),
        lambda text: {"model": text, "embeddings": [[1.0]]},
        b"",
        lambda answer: str(answer.model),
    ),
    "v1_chat": Route(lambda c: c.v1_chat("m"), openai("message"), b"", lambda answer: str(answer.text)),
    "stream_v1_chat": Route(
        lambda c: c.stream_v1_chat("m"), openai("delta"), b"data: [DONE]\n\n", lambda answer: str(answer.text)
    ),
}
EACH = pytest.mark.parametrize("route", ROUTES.values(), ids=ROUTES)
EACH_STREAM = pytest.mark.parametrize(
    "route", [pytest.param(route, id=name) for name, route in ROUTES.items() if route.streams]
)


async def text_of(route: Route, client: Client) -> str:
    """Make the call and put its text together."""
    result = route.call(client)
    if not isinstance(result, AsyncGenerator):
        return route.text(await result)
    async with aclosing(result):
        return "".join([route.text(piece) async for piece in result])


async def error_of(route: Route, *pieces: bytes) -> OllamaError:
    """Return what the call ends with when the server sends these bytes and closes."""
    async with RawServer(answering(*pieces)) as server, Client(server.address) as client:
        with pytest.raises(OllamaError) as caught:
            await text_of(route, client)
    assert caught.value.title
    assert len(caught.value.title) + len(caught.value.detail) < 1000
    return caught.value


@EACH
async def test_an_answer_of_ten_megabytes_is_read(route: Route) -> None:
    long = "x" * 10_000_000
    body = route.line(long)
    pieces = [chunk(body[i : i + 65536]) for i in range(0, len(body), 65536)]
    last = [chunk(route.last)] if route.last else []
    server = RawServer(answering(STREAM_HEAD, *pieces, *last, END))
    async with server, Client(server.address) as client:
        assert await text_of(route, client) == long


@EACH
@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"<!doctype html><html><body>It works!</body></html>\n", id="HTML"),
        pytest.param(b"{\n", id="half a line"),
        pytest.param(b"[1]\n", id="another kind of JSON"),
        pytest.param(b"[" * 100_000 + b"\n", id="deep nesting"),
        pytest.param(b"\x1f\x8b\x08\x00\n", id="no text at all"),
    ],
)
async def test_what_is_no_answer_of_ollama_is_told(route: Route, body: bytes) -> None:
    error = await error_of(route, STREAM_HEAD, chunk(body), END)
    assert type(error) is ProtocolBroken
    assert error.title.endswith("does not answer as Ollama does.")


@EACH
async def test_bad_utf8_is_told(route: Route) -> None:
    line = route.line("a@b").replace(b"@", b"\xff\xfe")
    assert type(await error_of(route, STREAM_HEAD, chunk(line), END)) is ProtocolBroken


@EACH
async def test_an_answer_that_breaks_off_is_cut(route: Route) -> None:
    error = await error_of(route, STREAM_HEAD, chunk(route.line("a")), b"ff\r\n{")
    assert type(error) is CutStream
    assert error.partial == ("a" if route.streams and route is not ROUTES["create"] else "")


@EACH_STREAM
async def test_a_stream_without_its_last_line_is_cut(route: Route) -> None:
    error = await error_of(route, STREAM_HEAD, chunk(route.line("a")), END)
    assert type(error) is CutStream
    assert "without its last line" in error.detail


async def test_not_all_of_an_endless_text_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_module, "_MAX_PARTIAL_CHARS", 10)
    lines = ROUTES["stream_chat"].line("abcd") * 100
    error = await error_of(ROUTES["stream_chat"], STREAM_HEAD, chunk(lines), END)
    assert isinstance(error, CutStream)
    assert error.partial == "abcd" * 3


@EACH_STREAM
async def test_an_error_after_text_is_told(route: Route) -> None:
    text = b'{"error":"an error was encountered while running the model: unexpected EOF"}\n'
    error = await error_of(route, STREAM_HEAD, chunk(route.line("a")), chunk(text), END)
    assert isinstance(error, InlineError)
    assert error.reason is Reason.RUNNER_FAILED


@EACH
async def test_an_error_instead_of_an_answer_is_told(route: Route) -> None:
    body = b'{"error":"cudaMalloc failed: out of memory"}'
    head = b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: %d\r\n\r\n" % len(body)
    error = await error_of(route, head, body)
    assert isinstance(error, Refused)
    assert error.reason is Reason.OUT_OF_MEMORY


@EACH
async def test_a_redirect_is_not_followed(route: Route) -> None:
    async with RawServer(answering(JSON_HEAD + b"Content-Length: 2\r\n\r\n{}")) as other:
        answer = b"HTTP/1.1 307 Temporary Redirect\r\nLocation: %b/?token=secret\r\nContent-Length: 0\r\n\r\n"
        async with RawServer(answering(answer % other.address.encode())) as server:
            async with Client(server.address, api_key="secret") as client:
                with pytest.raises(ProtocolBroken, match="sends us to another address") as caught:
                    await text_of(route, client)
            assert b"secret" in server.heads[0]
        assert other.heads == []
    assert "secret" not in caught.value.title + caught.value.detail


@EACH
async def test_a_body_that_never_ends_is_told(route: Route, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport_module, "MAX_BODY_BYTES", MAX_LINE_BYTES)

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(STREAM_HEAD)
        piece = chunk(b"x" * 1024 * 1024)
        while True:
            writer.write(piece)
            await writer.drain()

    async with RawServer(answer) as server, Client(server.address) as client:
        tracemalloc.start()
        try:
            with pytest.raises(ProtocolBroken, match="too long to be Ollama"):
                await text_of(route, client)
            assert tracemalloc.get_traced_memory()[1] < 1.5 * MAX_LINE_BYTES
        finally:
            tracemalloc.stop()
        await server.wait_closed()


@EACH
async def test_an_error_that_never_ends_is_told(route: Route) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 500\r\n\r\nno luck today")
        await writer.drain()
        if not await reader.read():
            raise ConnectionResetError

    async with RawServer(answer) as server, Client(server.address, timeouts=Timeouts(read_s=0.05)) as client:
        with pytest.raises(Refused) as caught:
            await text_of(route, client)
        await server.wait_closed()
    assert (caught.value.status, caught.value.text) == (500, "no luck today")


async def answer_slowly(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Send the head, then nothing."""
    writer.write(STREAM_HEAD)
    await writer.drain()
    if not await reader.read():
        raise ConnectionResetError


@EACH
async def test_cancelling_closes_the_connection(route: Route) -> None:
    async with RawServer(answer_slowly) as server, Client(server.address) as client:
        task = asyncio.create_task(text_of(route, client))
        await eventually(lambda: server.heads)
        assert not server.closed
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await server.wait_closed()


@EACH_STREAM
async def test_closing_a_stream_closes_the_connection(route: Route) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(STREAM_HEAD + chunk(route.line("a")))
        await writer.drain()
        if not await reader.read():
            raise ConnectionResetError

    async with RawServer(answer) as server, Client(server.address) as client:
        stream = route.call(client)
        assert route.text(await anext(stream)) == "a"
        assert not server.closed
        await stream.aclose()
        await server.wait_closed()


@EACH
async def test_silence_is_bounded_when_asked(route: Route) -> None:
    bounds = {"silence_s": 0.05} if route.streams else {"timeout_s": 0.05}
    name = next(name for name, known in ROUTES.items() if known is route)
    async with RawServer(answer_slowly) as server, Client(server.address) as client:
        with pytest.raises(TimedOut):
            await text_of(Route(lambda c: getattr(c, name)("m", **bounds), route.piece, route.last, route.text), client)
        await server.wait_closed()
