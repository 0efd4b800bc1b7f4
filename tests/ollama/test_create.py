"""Making a model: what is sent, and files on their way to the server."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import sys
import tracemalloc
from collections.abc import Callable
from contextlib import aclosing
from pathlib import Path
from typing import Any

import httpx
import pytest

from launcher.errors import InvalidInput
from launcher.ollama import (
    BlobProgress,
    Client,
    Message,
    NotRunning,
    Reason,
    Refused,
    TimedOut,
    digest_of,
)
from launcher.ollama.blobs import PIECE_BYTES
from tests.support.raw_server import RawServer

pytestmark = pytest.mark.anyio

DIGEST = "sha256:" + "0" * 64
MISSING = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"
THERE = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
CREATED = b"HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n"


async def sent_by(call: Callable[[Client], Any]) -> Any:
    requests: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        requests.append(request)
        return httpx.Response(200, json={"status": "success"})

    async with Client(transport=httpx.MockTransport(answer)) as client, aclosing(call(client)) as stream:
        assert [line.status async for line in stream] == ["success"]
    return json.loads(requests[-1].content)


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        pytest.param(lambda c: c.push("a/b"), {"model": "a/b"}, id="push"),
        pytest.param(lambda c: c.push("h:1/a/b", True), {"model": "h:1/a/b", "insecure": True}, id="push without TLS"),
        pytest.param(
            lambda c: c.create("m", from_="n", system="s", template="t", license=("a", "b"), parameters={"seed": 1}),
            {
                "model": "m",
                "from": "n",
                "system": "s",
                "template": "t",
                "license": ["a", "b"],
                "parameters": {"seed": 1},
            },
            id="from a model",
        ),
        pytest.param(
            lambda c: c.create(
                "m", files={"a.gguf": DIGEST}, adapters={"b.gguf": DIGEST}, quantize="q8_0", license="x"
            ),
            {
                "model": "m",
                "files": {"a.gguf": DIGEST},
                "adapters": {"b.gguf": DIGEST},
                "quantize": "q8_0",
                "license": "x",
            },
            id="from files",
        ),
        pytest.param(
            lambda c: c.create(
                "m",
                from_="n",
                messages=[Message(role="user", content="a"), {"role": "assistant", "content": "b"}],
                renderer="r",
                parser="p",
                requires="0.30.0",
                draft_files={"d.gguf": DIGEST},
                draft_quantize="q8_0",
                remote_host="https://ollama.com",
                info={"base_name": "x"},
            ),
            {
                "model": "m",
                "from": "n",
                "messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}],
                "renderer": "r",
                "parser": "p",
                "requires": "0.30.0",
                "draft_files": {"d.gguf": DIGEST},
                "draft_quantize": "q8_0",
                "remote_host": "https://ollama.com",
                "info": {"base_name": "x"},
            },
            id="all else",
        ),
    ],
)
async def test_what_is_sent(call: Callable[[Client], Any], expected: dict[str, Any]) -> None:
    assert await sent_by(call) == {**expected, "stream": True}


# Files


class Store(RawServer):
    """Take blobs as the server does, but keep only their digests. Answers HEAD with ``has``."""

    def __init__(self, has: bytes = MISSING, answer: bytes = CREATED, stops_after: int | None = None) -> None:
        super().__init__(self._serve, shouts_first=True)
        self._has, self._reply, self._stops_after = has, answer, stops_after
        self.goes_on = asyncio.Event()
        self.lines: list[str] = []
        self.received_bytes = 0
        self.digests: list[str] = []

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while head := await reader.readuntil(b"\r\n\r\n"):
            self.lines.append(head.partition(b"\r\n")[0].decode())
            if head.startswith(b"HEAD"):
                writer.write(self._has)
                continue
            assert b"transfer-encoding" not in head.lower()
            left = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
            digest = hashlib.sha256()
            while left:
                piece = await reader.read(min(65536, left))
                if not piece:
                    raise ConnectionResetError
                left -= len(piece)
                self.received_bytes += len(piece)
                digest.update(piece)
                if self._stops_after is not None and self.received_bytes > self._stops_after:
                    await self.goes_on.wait()
            self.digests.append(f"sha256:{digest.hexdigest()}")
            writer.write(self._reply)


async def steps_of(client: Client, path: Path, **given: Any) -> list[BlobProgress]:
    async with aclosing(client.create_blob(path, **given)) as steps:
        return [step async for step in steps]


@pytest.mark.parametrize("size", [0, 1, PIECE_BYTES, PIECE_BYTES + 1], ids=["empty", "1", "one piece", "two pieces"])
async def test_a_file_arrives_as_it_is(size: int, tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    path.write_bytes(os.urandom(size))
    digest = f"sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}"
    async with Store() as server, Client(server.address) as client:
        steps = await steps_of(client, path)
    assert server.lines == [f"HEAD /api/blobs/{digest} HTTP/1.1", f"POST /api/blobs/{digest} HTTP/1.1"]
    assert server.digests == [digest]
    assert steps[-1] == BlobProgress(size, size, digest)
    assert await digest_of(str(path)) == digest


async def test_what_the_server_has_is_not_sent(tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    path.write_bytes(b"x")
    async with Store(has=THERE) as server, Client(server.address) as client:
        assert (await steps_of(client, path, digest=DIGEST)) == [BlobProgress(1, 1, DIGEST)]
    assert len(server.lines) == 1


async def test_a_large_file_is_told_step_by_step_and_never_whole_in_memory(tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    size = 64 * PIECE_BYTES
    with path.open("wb") as file:
        file.truncate(size)
    async with Store() as server, Client(server.address) as client:
        tracemalloc.start()
        try:
            steps = await steps_of(client, path)
            assert tracemalloc.get_traced_memory()[1] < 16 * PIECE_BYTES
        finally:
            tracemalloc.stop()
    assert server.digests == [steps[-1].digest]
    hashing = [step.completed_bytes for step in steps if not step.digest]
    sending = [step.completed_bytes for step in steps if step.digest]
    assert hashing == sorted(hashing)
    assert sending == sorted(sending)
    assert sending[-1] == size
    assert {step.total_bytes for step in steps} == {size}


async def test_closing_stops_the_sending(tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    with path.open("wb") as file:
        file.truncate(64 * PIECE_BYTES)
    async with Store(stops_after=PIECE_BYTES) as server, Client(server.address) as client:
        async with aclosing(client.create_blob(path, digest=DIGEST)) as steps:
            step = await anext(steps)
            assert 0 < step.completed_bytes < step.total_bytes
        assert not {task for task in asyncio.all_tasks() if "upload" in repr(task.get_coro())}


async def test_cancelling_stops_the_hashing(tmp_path: Path) -> None:
    if sys.platform == "win32":
        pytest.skip("Windows has no such files")
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    async with Store() as server, Client(server.address) as client:
        task = asyncio.create_task(steps_of(client, fifo))
        # Opened by the hashing thread, too, from now on.
        writer = await asyncio.to_thread(fifo.open, "wb", 0)
        with writer:
            writer.write(b"x")
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        assert server.lines == []


async def test_a_refused_file_is_told(tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    path.write_bytes(bytes(3 * PIECE_BYTES))
    text = b'{"error":"digest mismatch, expected \\"sha256:0\\", got \\"sha256:1\\""}'
    answer = b"HTTP/1.1 400 Bad Request\r\nContent-Length: %d\r\n\r\n%b" % (len(text), text)
    async with Store(answer=answer) as server, Client(server.address) as client:
        with pytest.raises(Refused) as caught:
            await steps_of(client, path, digest=DIGEST)
    assert caught.value.reason is Reason.BAD_REQUEST
    assert caught.value.title == "What has arrived is not what its digest says."


async def test_a_digest_that_is_none_is_told() -> None:
    transport = httpx.MockTransport(lambda request: httpx.Response(400))
    async with Client(transport=transport) as client:
        with pytest.raises(Refused) as caught:
            await client.blob_exists("../x?y")
    assert caught.value.title == "This cannot be the digest of a file."


async def test_digests_do_not_lead_elsewhere() -> None:
    paths = []

    def answer(request: httpx.Request) -> httpx.Response:
        paths.append(request.url.raw_path)
        return httpx.Response(404)

    async with Client(transport=httpx.MockTransport(answer)) as client:
        assert not await client.blob_exists("../me?x#y")
    assert paths == [b"/api/blobs/..%2Fme%3Fx%23y"]


@pytest.mark.parametrize("place", ["missing", "."], ids=["missing", "a folder"])
async def test_what_cannot_be_read_is_told(place: str, tmp_path: Path) -> None:
    async with Store() as server, Client(server.address) as client:
        for digest in (None, DIGEST):
            with pytest.raises(InvalidInput, match="cannot be read"):
                await steps_of(client, tmp_path / place, digest=digest)
        assert server.lines == []
    with pytest.raises(InvalidInput, match="cannot be read"):
        await digest_of(tmp_path / place)


async def test_a_file_that_becomes_shorter_is_told(tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    with path.open("wb") as file:
        file.truncate(64 * PIECE_BYTES)
    store = Store(stops_after=PIECE_BYTES)
    async with (
        store as server,
        Client(server.address) as client,
        aclosing(client.create_blob(path, digest=DIGEST)) as steps,
    ):
        await anext(steps)
        os.truncate(path, 0)
        store.goes_on.set()
        with pytest.raises(InvalidInput, match="cannot be read") as caught:
            [step async for step in steps]
    assert "shorter" in caught.value.detail
    assert server.digests == []


async def test_a_server_that_says_nothing_is_not_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    path.write_bytes(b"x")
    async with Store(answer=b"") as server, Client(server.address) as client:
        with pytest.raises(TimedOut):
            await steps_of(client, path, digest=DIGEST, timeout_s=0.05)
        assert len(server.digests) == 1


async def test_a_server_that_is_not_there_is_told(tmp_path: Path, free_port: int) -> None:
    path = tmp_path / "model.gguf"
    path.write_bytes(b"x")
    async with Client(f"127.0.0.1:{free_port}") as client:
        with pytest.raises(NotRunning):
            await steps_of(client, path)
