"""The HTTP of the simulated server: disconnects, connections used twice, nonsense, and faults of the script."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.demo.recorded import MODELS, QUICK_BYTES_PER_S, TINY, pull, talk_to
from tests.support.demo_server import DemoServer
from tests.support.waiting import eventually

pytestmark = pytest.mark.anyio

QUICK: dict[str, Any] = {"models": MODELS, "rate_bytes_per_s": QUICK_BYTES_PER_S}


async def exchange(demo: DemoServer, sent: bytes) -> bytes:
    """Send bytes and read until the server closes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", demo.port)
    writer.write(sent)
    async with asyncio.timeout(10):
        received = await reader.read()
    writer.close()
    await writer.wait_closed()
    return received


async def test_two_requests_in_one_packet_are_answered_in_order(tmp_path: Path) -> None:
    one = b"GET %s HTTP/1.1\r\nHost: localhost\r\n%s\r\n"
    async with DemoServer(tmp_path) as demo:
        received = await exchange(demo, one % (b"/", b"") + one % (b"/api/version", b"Connection: close\r\n"))
    assert received.count(b"HTTP/1.1 200 OK") == 2
    assert received.index(b"Ollama is running") < received.index(b'{"version"')


async def test_what_is_not_http_is_refused(tmp_path: Path) -> None:
    async with DemoServer(tmp_path) as demo, talk_to(demo.base_url) as client:
        assert (await exchange(demo, b"\x16\x03\x01 this is not http\r\n\r\n")).startswith(b"HTTP/1.1 400")
        assert (await client.get("/api/version")).status_code == 200


async def test_big_bodies_come_in_chunks_and_small_ones_with_a_length(tmp_path: Path) -> None:
    async with DemoServer(tmp_path, QUICK) as demo, talk_to(demo.base_url) as client:
        await pull(demo.base_url, TINY)
        shown = await client.post("/api/show", json={"model": TINY})
        assert ("content-length" in shown.headers) == (len(shown.content) <= 2048)
        assert int((await client.get("/api/version")).headers["content-length"]) == 20


async def test_every_answer_is_in_the_access_log(tmp_path: Path) -> None:
    async with DemoServer(tmp_path) as demo, talk_to(demo.base_url) as client:
        await client.get("/api/tags")
        await client.get("/nothing")
        await eventually(lambda: '"/nothing"' in demo.log_text())
        log = demo.log_text()
    assert '|       127.0.0.1 | GET      "/api/tags"\n' in log
    assert "| 404 | " in log


async def test_silence_holds_answers_and_lines(tmp_path: Path) -> None:
    script = {**QUICK, "answers": {"silent": {"after_s": 0, "for_s": 0.6}}}
    async with DemoServer(tmp_path, script, wait_for_http=False) as demo, talk_to(demo.base_url) as client:
        with pytest.raises(httpx.ReadTimeout):
            await client.get("/api/version", timeout=0.1)
        assert (await client.get("/api/version")).status_code == 200


async def test_slow_answers_and_garbage(tmp_path: Path) -> None:
    script = {"answers": {"delay_s": 0.3, "garbage": ["/api/tags"]}}
    async with DemoServer(tmp_path, script) as demo, talk_to(demo.base_url) as client:
        with pytest.raises(httpx.ReadTimeout):
            await client.get("/api/version", timeout=0.1)
        answer = await client.get("/api/tags")
        assert answer.status_code == 200
        with pytest.raises(json.JSONDecodeError):
            answer.json()
