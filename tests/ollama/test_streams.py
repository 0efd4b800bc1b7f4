"""Streams on a real loopback socket: how they end, how they are cancelled, and what nonsense in them becomes."""

from __future__ import annotations

import asyncio
import json
import random
import tracemalloc
from collections.abc import AsyncGenerator
from contextlib import aclosing
from itertools import pairwise

import httpx
import pytest

from launcher.ollama import Client, CutStream, InlineError, Progress, ProtocolBroken, TimedOut
from launcher.ollama.lines import MAX_LINE_BYTES
from tests.support.raw_server import STREAM_HEAD, RawServer, answering, chunk
from tests.support.replay import ReplayServer, load
from tests.support.waiting import eventually

pytestmark = pytest.mark.anyio

FIRST = b'{"status":"pulling manifest"}\n'
SUCCESS = b'{"status":"success"}\n'
END = b"0\r\n\r\n"


async def collect(stream: AsyncGenerator[Progress, None], into: list[Progress]) -> None:
    async with aclosing(stream):
        async for line in stream:
            into.append(line)  # noqa: PERF401 - what came before an error counts


async def pull_from(*pieces: bytes) -> list[Progress]:
    lines: list[Progress] = []
    async with RawServer(answering(*pieces)) as server, Client(server.address) as client:
        await collect(client.pull("m"), lines)
    return lines


async def test_lines_come_as_they_were_recorded() -> None:
    recording = load("pull/mid")
    lines: list[Progress] = []
    async with ReplayServer(recording) as server, Client(server.address) as client:
        await collect(client.pull("m"), lines)
    expected = [Progress.model_validate_json(text) for _, text in recording.lines]
    assert lines == expected
    assert lines[-1].status == "success"


async def test_a_seeded_flood_is_read_whole() -> None:
    """A slice of what tests/benchmarks/bench_stream.py measures, cut anywhere instead of at line ends."""
    chosen = random.Random(20261121)
    sent = [
        {"status": f"pulling {n:012x}", "digest": f"sha256:{n:064x}", "total": n + 1, "completed": chosen.randint(0, n)}
        for n in range(3_000)
    ]
    text = b"".join(json.dumps(line).encode() + b"\n" for line in [*sent, {"status": "success"}])
    cuts = [0, *sorted(chosen.sample(range(1, len(text)), 2_000)), len(text)]
    pieces = [chunk(text[a:b]) for a, b in pairwise(cuts)]
    lines = await pull_from(STREAM_HEAD, *pieces, END)
    assert [line.model_dump() for line in lines[:-1]] == sent
    assert lines[-1].status == "success"


async def test_lines_are_handed_out_before_the_next_is_sent() -> None:
    gate = asyncio.Event()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(STREAM_HEAD + chunk(FIRST))
        await gate.wait()
        writer.write(chunk(SUCCESS) + END)

    async with RawServer(answer) as server, Client(server.address) as client, aclosing(client.pull("m")) as stream:
        assert (await anext(stream)).status == "pulling manifest"
        gate.set()
        assert (await anext(stream)).status == "success"
        with pytest.raises(StopAsyncIteration):
            await anext(stream)


@pytest.mark.parametrize("name", ["pull/big-server-terminated", "pull/big-server-killed"])
async def test_a_stream_cut_by_the_server_keeps_what_came(name: str) -> None:
    recording = load(name)
    lines: list[Progress] = []
    async with ReplayServer(recording) as server, Client(server.address) as client:
        with pytest.raises(CutStream):
            await collect(client.pull("m"), lines)
    assert len(lines) == len(recording.lines)


async def test_an_end_without_success_is_a_cut() -> None:
    with pytest.raises(CutStream) as caught:
        await pull_from(STREAM_HEAD, chunk(FIRST), END)
    assert "without its last line" in caught.value.detail


async def test_what_follows_success_is_not_waited_for() -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(STREAM_HEAD + chunk(SUCCESS))
        await reader.read()
        raise ConnectionResetError

    async with RawServer(answer) as server, Client(server.address) as client:
        lines: list[Progress] = []
        await collect(client.pull("m"), lines)
        assert [line.status for line in lines] == ["success"]
        await server.wait_closed()


async def test_the_connection_of_a_finished_stream_is_used_again() -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for _ in range(2):
            writer.write(STREAM_HEAD + chunk(SUCCESS) + END)
            await reader.readuntil(b"}")

    async with RawServer(answer) as server, Client(server.address) as client:
        await collect(client.pull("m"), [])
        await collect(client.pull("m"), [])
        assert len(server.heads) == 1


# Cancelling is closing.


async def test_closing_the_generator_closes_the_connection() -> None:
    async with ReplayServer(load("pull/big-closed")) as server, Client(server.address) as client:
        stream = client.pull("m")
        await anext(stream)
        assert not server.closed
        await stream.aclose()
        await server.wait_closed()


async def test_breaking_out_of_aclosing_closes_the_connection() -> None:
    async with ReplayServer(load("pull/big-stalled-7s"), scale=1.0) as server, Client(server.address) as client:
        async with aclosing(client.pull("m")) as stream:
            async for _ in stream:
                break
        await server.wait_closed()


async def test_cancelling_the_task_closes_the_connection() -> None:
    async with ReplayServer(load("pull/big-closed")) as server, Client(server.address) as client:
        lines: list[Progress] = []
        task = asyncio.create_task(collect(client.pull("m"), lines))
        await eventually(lambda: len(lines) >= 3)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await server.wait_closed()


async def test_closing_the_client_ends_its_streams() -> None:
    async with ReplayServer(load("pull/big-closed")) as server:
        client = Client(server.address)
        lines: list[Progress] = []
        task = asyncio.create_task(collect(client.pull("m"), lines))
        await eventually(lambda: lines)
        await client.aclose()
        with pytest.raises(CutStream):
            await task
        await server.wait_closed()


async def test_streams_do_not_keep_short_calls_waiting() -> None:
    pull = load("pull/big-closed")
    async with ReplayServer(pull, load("api/version")) as server, Client(server.address) as client:
        streams = [client.pull("m") for _ in range(20)]
        for stream in streams:
            await anext(stream)
        assert (await client.version()).version == "0.33.0-rc2"
        for stream in streams:
            await stream.aclose()


async def test_silence_is_bounded_when_asked() -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(STREAM_HEAD + chunk(FIRST))
        await reader.read()

    lines: list[Progress] = []
    async with RawServer(answer) as server, Client(server.address) as client:
        with pytest.raises(TimedOut):
            await collect(client.pull("m", silence_s=0.05), lines)
    assert [line.status for line in lines] == ["pulling manifest"]


# Nonsense on the wire.


async def test_an_error_line_ends_the_stream() -> None:
    with pytest.raises(InlineError) as caught:
        await pull_from(STREAM_HEAD, chunk(FIRST), chunk(b'{"error":"max retries exceeded: EOF"}\n'), END)
    assert caught.value.text == "max retries exceeded: EOF"


@pytest.mark.parametrize(
    "line",
    [
        pytest.param(b'{"status":3,"error":"no"}\n', id="the rest does not fit"),
        pytest.param(b'{"error":{"message":"no"}}\n', id="an object"),
        pytest.param(b'{"error":"no"}', id="no line end"),
    ],
)
async def test_an_error_is_found_in_any_line(line: bytes) -> None:
    with pytest.raises(InlineError) as caught:
        await pull_from(STREAM_HEAD, chunk(line), END)
    assert caught.value.text == "no"


async def test_a_status_that_speaks_of_an_error_is_none() -> None:
    lines = await pull_from(STREAM_HEAD, chunk(b'{"status":"\\"error\\"","error":null}\n'), chunk(SUCCESS), END)
    assert [line.status for line in lines] == ['"error"', "success"]


async def test_blank_lines_and_odd_cuts_do_not_matter() -> None:
    text = b'\n\r\n  \n{"status":"a","completed":null,"new":[1]}\r\n\n{"status":"success"}'
    pieces = [chunk(text[i : i + 5]) for i in range(0, len(text), 5)]
    assert [line.status for line in await pull_from(STREAM_HEAD, *pieces, END)] == ["a", "success"]


@pytest.mark.parametrize(
    "line",
    [
        pytest.param(b"<html><body>502 Bad Gateway</body></html>\n", id="HTML"),
        pytest.param(b'{"status":"pulling \xff\xfe"}\n', id="bad UTF-8"),
        pytest.param(b'{"status":\n', id="half a line"),
        pytest.param(b"[1]\n", id="another kind of JSON"),
        pytest.param(b"[" * 100_000 + b"\n", id="deep nesting"),
        pytest.param(b'{"error":' + b"[" * 100_000 + b"\n", id="deep nesting in an error"),
    ],
)
async def test_what_is_no_line_of_ollama_is_told(line: bytes) -> None:
    with pytest.raises(ProtocolBroken) as caught:
        await pull_from(STREAM_HEAD, chunk(FIRST), chunk(line), END)
    assert caught.value.title.endswith("does not answer as Ollama does.")
    assert len(caught.value.detail) < 600


async def test_a_line_of_ten_megabytes_is_read() -> None:
    size = 10 * 1024 * 1024
    long = b'{"status":"' + b"x" * size + b'"}\n'
    pieces = [chunk(long[i : i + 65536]) for i in range(0, len(long), 65536)]
    lines = await pull_from(STREAM_HEAD, *pieces, chunk(SUCCESS), END)
    assert [len(line.status) for line in lines] == [size, len("success")]


async def test_a_line_that_never_ends_is_told_and_memory_is_bounded() -> None:
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
                await collect(client.pull("m"), [])
            assert tracemalloc.get_traced_memory()[1] < 1.5 * MAX_LINE_BYTES
        finally:
            tracemalloc.stop()
        await server.wait_closed()


async def test_a_body_that_ends_early_is_a_cut() -> None:
    with pytest.raises(CutStream):
        await pull_from(STREAM_HEAD, b"ff\r\n" + FIRST)


async def test_an_answer_that_is_no_http_is_told() -> None:
    with pytest.raises(ProtocolBroken, match="does not speak HTTP"):
        await pull_from(b"SSH-2.0-OpenSSH_9.6\r\n\r\n")


async def test_no_answer_at_all_is_a_cut() -> None:
    with pytest.raises(CutStream):
        await pull_from(b"")


@pytest.mark.parametrize("waits", [False, True], ids=["goes on", "waits"])
async def test_a_transport_that_knows_no_close_is_left_all_the_same(waits: bool) -> None:
    async def body() -> AsyncGenerator[bytes, None]:
        while True:
            yield FIRST * 1000
            if waits:
                await asyncio.Event().wait()

    transport = httpx.MockTransport(lambda request: httpx.Response(200, content=body()))
    async with Client(transport=transport) as client, aclosing(client.pull("m")) as stream:
        assert (await anext(stream)).status == "pulling manifest"
