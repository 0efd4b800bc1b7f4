"""Loaded models of the simulated server: their processes, their time, and what happens when one dies."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from tests.demo.comparing import differences, shape
from tests.demo.recorded import MID, MODELS, QUICK_BYTES_PER_S, TINY, pull, recording, talk_to
from tests.support.demo_server import SCALE, DemoServer
from tests.support.streams import leave
from tests.support.waiting import eventually

pytestmark = pytest.mark.anyio

QUICK: dict[str, Any] = {"models": MODELS, "rate_bytes_per_s": QUICK_BYTES_PER_S, "tokens_per_s": 1000}


@asynccontextmanager
async def server_with(
    folder: Path, *models: str, environment: dict[str, str] | None = None, **script: Any
) -> AsyncIterator[tuple[DemoServer, httpx.AsyncClient]]:
    async with (
        DemoServer(folder, {**QUICK, **script}, environment=environment) as demo,
        talk_to(demo.base_url) as client,
    ):
        for model in models:
            assert (await pull(demo.base_url, model)).lines[-1] == {"status": "success"}
        yield demo, client


def runners_of(demo: DemoServer) -> list[psutil.Process]:
    return [one for one in psutil.Process(demo.pid).children() if one.status() != psutil.STATUS_ZOMBIE]


async def loaded(client: httpx.AsyncClient) -> list[str]:
    return [one["name"] for one in (await client.get("/api/ps")).json()["models"]]


async def test_ps_is_empty_while_loading_and_each_model_has_a_process(tmp_path: Path) -> None:
    async with server_with(tmp_path, TINY, MID, load_s=1.5 / SCALE) as (demo, client):
        loading = asyncio.create_task(client.post("/api/generate", json={"model": TINY}))
        await eventually(lambda: runners_of(demo))
        assert await loaded(client) == []
        assert (await loading).json()["done_reason"] == "load"
        assert await loaded(client) == [f"{TINY}:latest"]
        await client.post("/api/chat", json={"model": MID, "messages": []})
        assert len(runners_of(demo)) == 2


async def test_closing_during_a_load_ends_it(tmp_path: Path) -> None:
    async with server_with(tmp_path, TINY, load_s=5 / SCALE) as (demo, client):
        with pytest.raises(httpx.ReadTimeout):
            await client.post("/api/generate", json={"model": TINY}, timeout=0.3)
        await eventually(lambda: not runners_of(demo))
        assert await loaded(client) == []


async def test_a_model_leaves_when_its_time_has_passed(tmp_path: Path) -> None:
    async with server_with(tmp_path, TINY, MID) as (demo, client):
        await client.post("/api/generate", json={"model": TINY, "keep_alive": "100ms"})
        await client.post("/api/generate", json={"model": MID, "keep_alive": -1})
        await eventually(lambda: len(runners_of(demo)) == 1)
        assert await loaded(client) == [f"{MID}:latest"]


async def test_keep_alive_of_the_environment_and_its_stickiness(tmp_path: Path) -> None:
    """Absent means: what the runner has; a new runner has what the environment says."""
    async with server_with(tmp_path, TINY, environment={"OLLAMA_KEEP_ALIVE": "0"}) as (_, client):
        await client.post("/api/generate", json={"model": TINY})
        assert await loaded(client) == []
        await client.post("/api/generate", json={"model": TINY, "keep_alive": 300})
        await client.post("/api/generate", json={"model": TINY})
        assert await loaded(client) == [f"{TINY}:latest"]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        pytest.param("10", 'time: missing unit in duration "10"', id="bare number in a text"),
        pytest.param("", 'time: invalid duration ""', id="empty"),
        pytest.param("5 apples", 'time: unknown unit " apples" in duration "5 apples"', id="unit"),
        pytest.param([], "Unsupported type: '[]interface {}'", id="list"),
    ],
)
async def test_keep_alive_that_is_none(tmp_path: Path, value: object, text: str) -> None:
    async with server_with(tmp_path, TINY) as (_, client):
        answer = await client.post("/api/generate", json={"model": TINY, "keep_alive": value})
        assert (answer.status_code, answer.json()) == (400, {"error": text})


async def test_another_context_reloads(tmp_path: Path) -> None:
    async with server_with(tmp_path, TINY) as (demo, client):
        await client.post("/api/generate", json={"model": TINY})
        (before,) = runners_of(demo)
        await client.post("/api/generate", json={"model": TINY, "options": {"num_ctx": 512}})
        (after,) = runners_of(demo)
        assert before.pid != after.pid
        await client.post("/api/generate", json={"model": TINY})
        assert [one.pid for one in runners_of(demo)] == [after.pid]


async def test_a_killed_runner_stays_listed_until_the_next_request(tmp_path: Path) -> None:
    theirs = recording("api/ps-after-runner-killed")["response"]
    async with server_with(tmp_path, TINY, MID) as (demo, client):
        for model in (TINY, MID):
            await client.post("/api/generate", json={"model": model})
        first = runners_of(demo)[0]
        os.kill(first.pid, signal.SIGKILL)
        await eventually(lambda: "llama-server terminated" in demo.log_text())
        assert not psutil.pid_exists(first.pid), "the server has reaped it"
        answer = await client.get("/api/ps")
        assert differences("ps", theirs, answer, words=False) == []
        assert len(answer.json()["models"]) == len(json.loads(theirs["body"])["models"]) == 2
        assert (await client.post("/api/generate", json={"model": TINY})).json()["done_reason"] == "load"
        assert len(runners_of(demo)) == 2


async def test_a_runner_killed_in_the_middle_of_an_answer(tmp_path: Path) -> None:
    lines = recording("errors/chat-runner-killed")["response"]["lines"]
    theirs = [json.loads(text) for _, text in lines if text.startswith("{")]
    ours: list[dict[str, Any]] = []
    async with server_with(tmp_path, MID, tokens_per_s=50) as (demo, client):
        body = {"model": MID, "prompt": "the", "raw": True}
        async with client.stream("POST", "/api/generate", json=body) as response:
            async for text in response.aiter_lines():
                ours.append(json.loads(text))
                for one in runners_of(demo):
                    os.kill(one.pid, signal.SIGKILL)
    assert ours[-1] == theirs[-1]
    assert shape(ours[0]) == shape(theirs[0])


async def test_queue_full(tmp_path: Path) -> None:
    """With a queue of one: one loads, one waits, the third is refused."""
    theirs = recording("errors/server-busy")["response"]
    async with server_with(tmp_path, TINY, load_s=0.6 / SCALE, environment={"OLLAMA_MAX_QUEUE": "1"}) as (_, client):
        requests = [
            asyncio.create_task(client.post("/api/generate", json={"model": TINY, "prompt": "x", "stream": False}))
            for _ in range(3)
        ]
        answers = await asyncio.gather(*requests)
    statuses = sorted(one.status_code for one in answers)
    assert statuses == [200, 200, 503]
    refused = next(one for one in answers if one.status_code == 503)
    assert differences("server-busy", theirs, refused, words=True) == []


async def test_a_chat_cut_by_either_side(tmp_path: Path) -> None:
    """The model stays loaded when the client leaves; a stopped server leaves the answer without its end."""
    assert recording("chat/closed-by-client")["response"]["end"] == "closed by client"
    async with server_with(tmp_path, TINY, tokens_per_s=100) as (demo, client):
        body = {"model": TINY, "prompt": "x"}
        async with client.stream("POST", "/api/generate", json=body) as response:
            lines = response.aiter_lines()
            async for _ in lines:
                break
            await leave(response, lines)
        await eventually(lambda: '"/api/generate"' in demo.log_text())
        assert await loaded(client) == [f"{TINY}:latest"]

        end = recording("chat/server-terminated")["response"]["end"].partition(":")[0]
        with pytest.raises(getattr(httpx, end)):
            await _stop_in_the_middle(demo, client, body)


async def _stop_in_the_middle(demo: DemoServer, client: httpx.AsyncClient, body: dict[str, Any]) -> None:
    async with client.stream("POST", "/api/generate", json=body) as response:
        async for _ in response.aiter_lines():
            if demo.returncode is None:
                await demo.stop()


async def test_thinking_comes_first_and_can_be_switched_off(tmp_path: Path) -> None:
    async with server_with(tmp_path, "qwen3:8b", scale=0.001) as (_, client):
        body: dict[str, Any] = {"model": "qwen3:8b", "messages": [{"role": "user", "content": "hi"}], "stream": False}
        message = (await client.post("/api/chat", json=body)).json()["message"]
        assert message["thinking"]
        assert "hi" in message["content"]
        assert "thinking" not in (await client.post("/api/chat", json={**body, "think": False})).json()["message"]


async def test_a_graphics_card_takes_what_fits(tmp_path: Path) -> None:
    gpu = {"name": "Pretended", "library": "CUDA", "total_bytes": 1_000_000}
    async with server_with(tmp_path, TINY, gpu=gpu) as (demo, client):
        await client.post("/api/generate", json={"model": TINY})
        (one,) = (await client.get("/api/ps")).json()["models"]
        assert 0 < one["size_vram"] <= one["size"]
        assert 'msg="inference compute"' in demo.log_text()
        assert "library=CUDA" in demo.log_text()
