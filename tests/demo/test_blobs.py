"""Uploads to the simulated server: digests are checked, nothing is kept in memory, nothing half is left behind."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from pathlib import Path

import psutil
import pytest

from tests.demo.comparing import ask, differences
from tests.demo.recorded import recording, talk_to
from tests.support.demo_server import DemoServer
from tests.support.waiting import eventually

pytestmark = pytest.mark.anyio

CONTENT = b"not the weights of any model"
BLOCK, LARGE_BLOCKS = bytes(1 << 20), 64
DIGEST = f"sha256:{hashlib.sha256(CONTENT).hexdigest()}"


def recorded_digest(name: str) -> str:
    path: str = recording(name)["request"]["path"]
    return path.rpartition("/")[2]


async def test_a_blob_is_uploaded_once(tmp_path: Path) -> None:
    digest = {recorded_digest("create/blob-post"): DIGEST, recorded_digest("create/blob-head"): DIGEST}
    found: list[str] = []
    async with DemoServer(tmp_path) as demo, talk_to(demo.base_url) as client:
        for name in ("create/blob-post", "create/blob-post-again", "create/blob-head-after", "create/blob-head"):
            theirs, ours = await ask(client, name, digest, CONTENT if "post" in name else None)
            found += differences(name, theirs, ours, words=True)
        (stored,) = demo.blobs_dir.iterdir()
        assert (stored.name, stored.read_bytes()) == (DIGEST.replace(":", "-"), CONTENT)
    assert not found, "\n".join(found)


async def test_other_bytes_than_the_digest_says(tmp_path: Path) -> None:
    """They are refused, but kept under their own digest."""
    name = "errors/blob-post-mismatch"
    async with DemoServer(tmp_path) as demo, talk_to(demo.base_url) as client:
        theirs, ours = await ask(client, name, content=b"hello")
        assert differences(name, theirs, ours, words=True) == []
        assert ours.text == theirs["body"]
        own = f"sha256:{hashlib.sha256(b'hello').hexdigest()}"
        assert (await client.head(f"/api/blobs/{own}")).status_code == 200


@pytest.fixture
def large_digest() -> str:
    digest = hashlib.sha256()
    for _ in range(LARGE_BLOCKS):
        digest.update(BLOCK)
    return f"sha256:{digest.hexdigest()}"


async def test_a_large_blob_does_not_fill_the_memory(tmp_path: Path, large_digest: str) -> None:
    async def blocks() -> AsyncIterator[bytes]:
        for _ in range(LARGE_BLOCKS):
            yield BLOCK

    async with DemoServer(tmp_path) as demo, talk_to(demo.base_url) as client:
        before = psutil.Process(demo.pid).memory_info().rss
        answer = await client.post(f"/api/blobs/{large_digest}", content=blocks())
        after = psutil.Process(demo.pid).memory_info().rss
    assert answer.status_code == 201
    assert after - before < LARGE_BLOCKS * len(BLOCK) / 4


async def test_an_upload_that_breaks_off_leaves_nothing(tmp_path: Path) -> None:
    async with DemoServer(tmp_path) as demo:
        reader, writer = await asyncio.open_connection("127.0.0.1", demo.port)
        writer.write(
            f"POST /api/blobs/{DIGEST} HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\n"
            f"Content-Length: {len(CONTENT)}\r\n\r\n".encode()
        )
        assert await reader.readline() == b"HTTP/1.1 100 Continue\r\n"
        writer.write(CONTENT[:5])
        await writer.drain()
        await eventually(lambda: list(demo.blobs_dir.iterdir()))
        writer.close()
        await writer.wait_closed()
        await eventually(lambda: not list(demo.blobs_dir.iterdir()))
