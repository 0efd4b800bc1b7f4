from __future__ import annotations

import json
from pathlib import Path

import httpx
import pytest

from launcher.actions.in_memory import StillLoaded, find_loaded, model_key, unload_model
from launcher.ollama import Client
from tests.support.demo_server import DemoServer

pytestmark = pytest.mark.anyio

MODEL = "llama3.2:1b"


@pytest.mark.blocks_loop("starting a process waits for a processor, up to 200 ms on a busy machine")
async def test_it_is_gone_when_it_is_told(tmp_path: Path) -> None:
    async with DemoServer(tmp_path) as server, Client(server.base_url) as client:
        async for _ in client.pull(MODEL):
            pass
        assert await unload_model(client, MODEL) is False, "it was not there"
        await client.load(MODEL)
        loaded = await find_loaded(client, "LLAMA3.2:1b")
        assert loaded is not None, "spellings that the server takes for the same are the same"
        assert loaded.name == MODEL
        assert await unload_model(client, MODEL) is True
        assert (await client.ps()).models == ()


async def test_one_that_does_not_leave_is_told() -> None:
    unloads: list[dict[str, object]] = []

    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/api/ps":
            return httpx.Response(200, json={"models": [{"name": MODEL, "model": MODEL, "size": 1, "digest": "x"}]})
        unloads.append(json.loads(request.content))
        return httpx.Response(200, json={"model": MODEL, "done": True, "done_reason": "unload"})

    async with Client("127.0.0.1:1", transport=httpx.MockTransport(answer)) as client:
        with pytest.raises(StillLoaded) as caught:
            await unload_model(client, MODEL, within_s=0)
    assert MODEL in caught.value.title
    assert [sent["keep_alive"] for sent in unloads] == [0]


def test_a_name_that_no_rule_fits_stands_for_itself() -> None:
    assert model_key("QWEN3:8b") == model_key("registry.ollama.ai/library/qwen3:8b")
    assert model_key("通义:最新") == "通义:最新"
