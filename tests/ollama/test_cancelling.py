"""Who stops listening stops the model: at ten tokens a second, at most two are made for nobody."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing
from typing import Any

import pytest

from launcher.ollama import Client, Message
from tests.support.demo_server import DemoServer
from tests.support.waiting import eventually

pytestmark = pytest.mark.anyio

MODEL = "llama3.2:1b"
ASK = [Message(role="user", content="Why is the sky blue?")]
HEARD = 3
_STOPPED = re.compile(r'msg="generation stopped" model=\S+ tokens=(\d+) reason=(.*)')


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
async def server(anyio_backend: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[DemoServer]:
    script = {"rate_bytes_per_s": 10**10, "line_interval_ms": 1, "tokens_per_s": 10, "load_s": 0.01}
    async with DemoServer(tmp_path_factory.mktemp("cancelling"), script) as demo:
        async with Client(demo.base_url) as client, aclosing(client.pull(MODEL)) as lines:
            async for _ in lines:
                pass
        yield demo


STREAMS: dict[str, Callable[[Client], AsyncGenerator[Any, None]]] = {
    "chat": lambda client: client.stream_chat(MODEL, ASK),
    "generate": lambda client: client.stream_generate(MODEL, "Why?"),
    "v1_chat": lambda client: client.stream_v1_chat(MODEL, ASK),
}


async def hear(stream: AsyncGenerator[Any, None], heard: list[str]) -> None:
    async for piece in stream:
        if piece.text:
            heard.append(piece.text)
        if len(heard) == HEARD:
            return


async def stopped_after(server: DemoServer, before: int) -> int:
    """Return how many tokens the generation had made that has stopped after so many others."""
    await eventually(lambda: len(_STOPPED.findall(server.log_text())) > before)
    tokens, reason = _STOPPED.findall(server.log_text())[before]
    assert reason not in ("stop", "length")
    return int(tokens)


@pytest.mark.parametrize("name", STREAMS)
async def test_closing_a_stream_stops_the_model(name: str, server: DemoServer) -> None:
    before, heard = len(_STOPPED.findall(server.log_text())), list[str]()
    async with Client(server.base_url) as client:
        async with aclosing(STREAMS[name](client)) as stream:
            await hear(stream, heard)
        assert HEARD <= await stopped_after(server, before) <= HEARD + 2


@pytest.mark.parametrize("name", STREAMS)
async def test_cancelling_the_task_of_a_stream_stops_the_model(name: str, server: DemoServer) -> None:
    before, heard = len(_STOPPED.findall(server.log_text())), list[str]()

    async def listen(client: Client) -> None:
        async with aclosing(STREAMS[name](client)) as stream:
            async for piece in stream:
                heard.extend([piece.text] if piece.text else [])

    async with Client(server.base_url) as client:
        task = asyncio.create_task(listen(client))
        await eventually(lambda: len(heard) >= HEARD)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert HEARD <= await stopped_after(server, before) <= len(heard) + 2


async def test_cancelling_a_whole_answer_stops_the_model(server: DemoServer) -> None:
    before = len(_STOPPED.findall(server.log_text()))
    async with Client(server.base_url) as client:
        await client.load(MODEL)
        with pytest.raises(TimeoutError):
            # A token comes each tenth of a second; the answer has dozens.
            await asyncio.wait_for(client.chat(MODEL, ASK), 0.35)
        await stopped_after(server, before)
