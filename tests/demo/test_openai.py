"""The routes of OpenAI: recorded exchanges done again, and what a conversation over them needs."""

from __future__ import annotations

import base64
import json
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.demo.comparing import ask, differences
from tests.demo.recorded import EMBED, MODELS, QUICK_BYTES_PER_S, TINY, pull, talk_to
from tests.support.demo_server import DemoServer

pytestmark = pytest.mark.anyio

SCRIPT: dict[str, Any] = {"models": MODELS, "rate_bytes_per_s": QUICK_BYTES_PER_S, "tokens_per_s": 1000}
CHAT = "/v1/chat/completions"
THINKER = "qwen3:8b"
ADD = {
    "type": "function",
    "function": {
        "name": "add",
        "parameters": {
            "type": "object",
            "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}},
            "required": ["a", "b"],
        },
    },
}


@asynccontextmanager
async def server_with(folder: Path, *models: str, **script: Any) -> AsyncIterator[tuple[DemoServer, httpx.AsyncClient]]:
    async with DemoServer(folder, {**SCRIPT, **script}) as demo, talk_to(demo.base_url) as client:
        for model in models:
            assert (await pull(demo.base_url, model)).lines[-1] == {"status": "success"}
        yield demo, client


def chunks_of(text: str) -> list[dict[str, Any]]:
    events = [line.removeprefix("data: ") for line in text.splitlines() if line]
    assert events[-1] == "[DONE]"
    return [json.loads(one) for one in events[:-1]]


def user(text: str) -> dict[str, Any]:
    return {"role": "user", "content": text}


def picture(url: Any) -> dict[str, Any]:
    return {"role": "user", "content": [{"type": "image_url", "image_url": url}]}


async def test_recorded_exchanges(tmp_path: Path) -> None:
    found: list[str] = []

    async def like(name: str, *, words: bool = False) -> httpx.Response:
        theirs, ours = await ask(client, name)
        found.extend(differences(name, theirs, ours, words=words))
        return ours

    async with server_with(tmp_path) as (demo, client):
        await like("api/v1-models-empty", words=True)
        for model in (TINY, EMBED):
            await pull(demo.base_url, model)
        for name in ("api/v1-chat", "api/v1-chat-stream", "api/v1-embeddings"):
            await like(name)
        listed = await like("api/v1-models")
        await like("api/v1-model", words=True)
        await client.post("/api/copy", json={"source": TINY, "destination": "tiny"})
        assert (await client.get("/v1/models/tiny")).json()["id"] == "tiny"
    assert {one["id"] for one in listed.json()["data"]} == {f"{TINY}:latest", f"{EMBED}:latest"}
    assert not found, "\n".join(found)


async def test_streams_end_with_their_reason_and_use(tmp_path: Path) -> None:
    async with server_with(tmp_path, TINY) as (_, client):
        body = {"model": TINY, "messages": [user("hi")], "stream": True, "max_tokens": 3}
        plain = chunks_of((await client.post(CHAT, json=body)).text)
        answer = await client.post(CHAT, json={**body, "stream_options": {"include_usage": True}})
        with_usage = chunks_of(answer.text)
    reasons = [one["choices"][0]["finish_reason"] for one in plain]
    assert reasons == [None, None, None, "length"]
    assert ["role" in one["choices"][0]["delta"] for one in plain] == [True, False, False, False]
    assert all("usage" not in one for one in plain)
    assert with_usage[-1]["choices"] == []
    assert with_usage[-1]["usage"]["completion_tokens"] == 3
    assert len({one["created"] for one in with_usage}) == 1


async def test_tools_and_reasoning(tmp_path: Path) -> None:
    async with server_with(tmp_path, THINKER, scale=0.001) as (_, client):
        body: dict[str, Any] = {"model": THINKER, "messages": [user("What is 3 and 4?")], "tools": [ADD]}
        answer = (await client.post(CHAT, json=body)).json()["choices"][0]
        (call,) = answer["message"]["tool_calls"]
        assert (answer["finish_reason"], call["type"], call["function"]["name"]) == ("tool_calls", "function", "add")
        assert json.loads(call["function"]["arguments"]) == {"a": 3, "b": 4}
        assert answer["message"]["reasoning"]

        streamed = chunks_of((await client.post(CHAT, json={**body, "stream": True})).text)
        assert streamed[-1]["choices"][0]["finish_reason"] == "tool_calls"
        assert sum("tool_calls" in one["choices"][0]["delta"] for one in streamed) == 1

        told = {"role": "tool", "tool_call_id": call["id"], "content": "7"}
        body |= {"messages": [*body["messages"], answer["message"], told], "reasoning_effort": "none"}
        after = (await client.post(CHAT, json=body)).json()["choices"][0]
        assert after["message"]["content"].endswith("The tool add said: 7")
        assert "reasoning" not in after["message"]
        assert after["finish_reason"] == "stop"


async def test_formats_completions_and_embeddings(tmp_path: Path) -> None:
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
    form = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}
    async with server_with(tmp_path, TINY, EMBED) as (_, client):
        wish = {"model": TINY, "messages": [user("Give me 12.")], "response_format": form}
        content = (await client.post(CHAT, json=wish)).json()["choices"][0]["message"]["content"]
        assert json.loads(content) == {"n": 12}

        body: dict[str, Any] = {"model": TINY, "prompt": "x", "max_tokens": 2}
        whole = (await client.post("/v1/completions", json=body)).json()
        assert (whole["object"], whole["choices"][0]["finish_reason"]) == ("text_completion", "length")
        body |= {"stream": True, "stream_options": {"include_usage": True}}
        streamed = chunks_of((await client.post("/v1/completions", json=body)).text)
        assert "".join(one["choices"][0]["text"] for one in streamed[:-1]) == whole["choices"][0]["text"]
        assert streamed[-1]["usage"] == whole["usage"]

        body = {"model": EMBED, "input": ["a", "b"]}
        floats = (await client.post("/v1/embeddings", json=body)).json()
        packed = (await client.post("/v1/embeddings", json={**body, "encoding_format": "base64"})).json()
        for at in range(2):
            values = struct.unpack("<64f", base64.b64decode(packed["data"][at]["embedding"]))
            assert values == pytest.approx(floats["data"][at]["embedding"], abs=1e-6)


async def test_what_is_refused(tmp_path: Path) -> None:
    """The words are those that 0.33.0-rc2 had for the same requests."""
    blind = "Multimodal data provided, but model does not support multimodal requests."
    efforts = '"minimal", "low", "medium", "high", "xhigh", "ultra", "max", or "none"'
    cases: list[tuple[dict[str, Any], str]] = [
        ({"messages": []}, "[] is too short - 'messages'"),
        ({"messages": [user("x")], "tools": [ADD]}, f"{TINY}:latest does not support tools"),
        ({"messages": [user("x")], "reasoning_effort": "high"}, f'"{TINY}" does not support thinking'),
        ({"messages": [user("x")], "reasoning_effort": "huge"}, f'invalid reasoning value: "huge" (must be {efforts})'),
        (
            {"messages": [picture({"url": "http://x/y.png"})]},
            "image URLs are not currently supported, please use base64 encoded data instead",
        ),
        (
            {"messages": [picture("data:image/png;base64,aGk=")]},
            f'{{"error":{{"code":400,"message":"{blind}","type":"invalid_request_error"}}}}',
        ),
        ({"messages": [{"role": "user"}]}, "invalid message content type: <nil>"),
    ]
    async with server_with(tmp_path, TINY) as (_, client):
        for body, words in cases:
            answer = await client.post(CHAT, json={"model": TINY, **body})
            error = {"message": words, "type": "invalid_request_error", "param": None, "code": None}
            assert (answer.status_code, answer.json()) == (400, {"error": error})


async def test_an_error_in_the_middle_is_an_empty_chunk_and_no_end(tmp_path: Path) -> None:
    """As in the real server, whose translation knows no errors (ChatWriter, middleware/openai.go)."""
    faults = [{"fault": "error", "after_tokens": 2}]
    async with server_with(tmp_path, TINY, answers={"faults": faults}) as (_, client):
        body = {"model": TINY, "messages": [user("hi")], "stream": True}
        answer = await client.post(CHAT, json=body)
    events = [json.loads(line.removeprefix("data: ")) for line in answer.text.splitlines() if line]
    assert [one["choices"][0]["delta"]["content"] for one in events] == ["This", " is", ""]
