"""The client on the loop of the window: streams, cancels and bounds work as on asyncio's own, and leave nothing."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import Any

import pytest
from PySide6.QtWidgets import QApplication

from launcher.loop import make_loop
from launcher.ollama import Client, CutStream, TimedOut
from tests.support.raw_server import RawServer
from tests.support.replay import ReplayServer, load
from tests.support.waiting import eventually

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend(qapp: QApplication) -> tuple[str, dict[str, Any]]:
    return "asyncio", {"loop_factory": lambda: make_loop(qapp)}


async def read_out(client: Client) -> list[str]:
    async with aclosing(client.pull("m")) as lines:
        return [line.status async for line in lines]


async def test_a_recorded_pull() -> None:
    async with ReplayServer(load("pull/mid")) as server, Client(server.address) as client:
        statuses = await read_out(client)
        assert statuses[-1] == "success"
        assert len(statuses) == len(load("pull/mid").lines)


async def test_a_cut_pull() -> None:
    async with ReplayServer(load("pull/big-server-killed")) as server, Client(server.address) as client:
        with pytest.raises(CutStream):
            await read_out(client)


async def test_a_cancelled_pull_closes_its_connection() -> None:
    async with ReplayServer(load("pull/big-closed")) as server, Client(server.address) as client:
        count = 0

        async def pull() -> None:
            nonlocal count
            async with aclosing(client.pull("m")) as lines:
                async for _ in lines:
                    count += 1

        task = asyncio.create_task(pull())
        await eventually(lambda: count > 2)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await server.wait_closed()


async def test_silence_is_bounded() -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    async with RawServer(answer) as server, Client(server.address) as client:
        with pytest.raises(TimedOut):
            await client.version(timeout_s=0.05)
