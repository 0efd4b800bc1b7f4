"""What goes wrong with the inference when the script says so."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from launcher.demo.registry import Registry
from launcher.demo.script import InvalidScript
from launcher.demo.script_file import parse_script
from tests.demo.recorded import MID, MODELS, QUICK_BYTES_PER_S, TINY, pull, recording, talk_to
from tests.support.demo_server import DemoServer
from tests.support.streams import leave

SCRIPT: dict[str, Any] = {"models": MODELS, "rate_bytes_per_s": QUICK_BYTES_PER_S, "tokens_per_s": 2000}
CHAT = {"model": TINY, "messages": [{"role": "user", "content": "hi"}]}


@asynccontextmanager
async def server_with(folder: Path, *faults: dict[str, Any]) -> AsyncIterator[httpx.AsyncClient]:
    script = {**SCRIPT, "answers": {"faults": faults}}
    async with DemoServer(folder, script) as demo, talk_to(demo.base_url) as client:
        for model in (TINY, MID):
            await pull(demo.base_url, model)
        yield client


async def load(client: httpx.AsyncClient, model: str, num_ctx: int = 4096) -> httpx.Response:
    return await client.post("/api/generate", json={"model": model, "options": {"num_ctx": num_ctx}})


async def watch(client: httpx.AsyncClient, seen: list[str], timeout_s: float = 10.0) -> None:
    async with client.stream("POST", "/api/chat", json=CHAT, timeout=timeout_s) as response:
        async for line in response.aiter_lines():
            seen += [line]


@pytest.mark.anyio
async def test_memory_that_a_smaller_context_fits(tmp_path: Path) -> None:
    fault = {"fault": "out_of_memory", "model": TINY, "fits_num_ctx": 1024, "times": 0}
    async with server_with(tmp_path, fault) as client:
        for _ in range(2):
            refused = await load(client, TINY, 2048)
            assert refused.status_code == 500
            assert "cudaMalloc failed: out of memory" in refused.json()["error"]
        assert (await load(client, MID, 2048)).status_code == 200, "of another model nothing was said"
        assert (await load(client, TINY, 1024)).status_code == 200


@pytest.mark.anyio
async def test_memory_that_another_model_takes(tmp_path: Path) -> None:
    fault = {"fault": "out_of_memory", "model": TINY, "fits_alone": True, "times": 0}
    async with server_with(tmp_path, fault) as client:
        await load(client, MID)
        assert (await client.post("/api/chat", json=CHAT)).status_code == 500
        await client.post("/api/generate", json={"model": MID, "keep_alive": 0})
        assert (await client.post("/api/chat", json=CHAT)).status_code == 200


@pytest.mark.anyio
async def test_busy_for_the_first_requests(tmp_path: Path) -> None:
    theirs = recording("errors/server-busy")["response"]
    async with server_with(tmp_path, {"fault": "busy", "times": 2}) as client:
        answers = [await client.post("/api/chat", json=CHAT) for _ in range(3)]
        assert [one.status_code for one in answers] == [503, 503, 200]
        assert answers[0].text == theirs["body"]


@pytest.mark.anyio
async def test_a_page_and_a_redirect_instead_of_an_answer(tmp_path: Path) -> None:
    faults = ({"fault": "html", "status": 502}, {"fault": "redirect", "location": "http://127.0.0.1:1/", "path": "/"})
    async with server_with(tmp_path, *faults) as client:
        page = await client.post("/api/chat", json=CHAT)
        assert (page.status_code, page.headers["content-type"]) == (502, "text/html")
        assert (await client.post("/api/chat", json=CHAT)).status_code == 200
        elsewhere = await client.get("/")
        assert (elsewhere.status_code, elsewhere.headers["location"]) == (307, "http://127.0.0.1:1/")


@pytest.mark.anyio
async def test_answers_that_end_before_their_end(tmp_path: Path) -> None:
    faults = [{"fault": fault, "after_tokens": 3, "text": "oh"} for fault in ("error", "cut", "no_done")]
    async with server_with(tmp_path, *faults) as client:
        lines = (await client.post("/api/chat", json=CHAT)).text.splitlines()
        assert (len(lines), json.loads(lines[-1])) == (4, {"error": "oh"})

        seen: list[str] = []
        with pytest.raises(httpx.TransportError):
            await watch(client, seen)
        assert len(seen) == 3

        lines = (await client.post("/api/chat", json=CHAT)).text.splitlines()
        assert [json.loads(line)["done"] for line in lines] == [False] * 3

        assert json.loads((await client.post("/api/chat", json=CHAT)).text.splitlines()[-1])["done"]


@pytest.mark.anyio
async def test_lines_that_are_none(tmp_path: Path) -> None:
    faults = ({"fault": "bad_utf8", "after_tokens": 1}, {"fault": "long_line", "after_tokens": 1, "bytes": 100_000})
    async with server_with(tmp_path, *faults) as client:
        lines = (await client.post("/api/chat", json=CHAT)).content.splitlines()
        with pytest.raises(UnicodeDecodeError):
            lines[1].decode()
        assert json.loads(lines[-1])["done"]
        lines = (await client.post("/api/chat", json=CHAT)).content.splitlines()
        assert len(json.loads(lines[1])["message"]["content"]) == 100_000
        assert json.loads(lines[-1])["done"]


@pytest.mark.anyio
@pytest.mark.parametrize("fault", ["endless", "endless_line"])
async def test_bodies_without_end_stop_when_nobody_reads(tmp_path: Path, fault: str) -> None:
    size_bytes = 0
    async with server_with(tmp_path, {"fault": fault, "after_tokens": 2}) as client:
        async with asyncio.timeout(10), client.stream("POST", "/api/chat", json=CHAT) as response:
            pieces = response.aiter_bytes()
            async for data in pieces:
                size_bytes += len(data)
                if size_bytes > 200_000:
                    break
            await leave(response, pieces)
        assert (await client.post("/api/chat", json=CHAT)).status_code == 200
    assert size_bytes > 200_000


@pytest.mark.anyio
async def test_silence_in_the_middle(tmp_path: Path) -> None:
    async with server_with(tmp_path, {"fault": "stall", "after_tokens": 2, "for_s": 30}) as client:
        seen: list[str] = []
        with pytest.raises(httpx.ReadTimeout):
            await watch(client, seen, timeout_s=0.3)
    assert len(seen) == 2


@pytest.mark.parametrize(
    ("answers", "sentence"),
    [
        pytest.param({"faults": [{"fault": "rain"}]}, "fault must be one of busy, html, ", id="kind"),
        pytest.param({"tools": "maybe"}, "tools in answers must be one of once, always, never.", id="tools"),
        pytest.param({"faults": [{"fault": "cut", "at": 1}]}, "faults[0] has no member 'at'.", id="member"),
    ],
)
def test_bad_faults_are_refused_in_one_sentence(answers: dict[str, Any], sentence: str) -> None:
    with pytest.raises(InvalidScript) as caught:
        Registry(parse_script({"answers": answers}))
    assert caught.value.title.startswith(sentence)
