"""What simulated models say: formats, thoughts, tools, images, probabilities, and how much of a prompt they read."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from launcher.demo.chat import Question, answer
from launcher.demo.prompt import PromptTooLong, Room
from launcher.demo.schema import Material, example
from tests.demo.comparing import ask, differences
from tests.demo.recorded import EMBED, MODELS, QUICK_BYTES_PER_S, TINY, pull, talk_to
from tests.support.demo_server import DemoServer
from tests.support.streams import leave
from tests.support.waiting import eventually

SCRIPT: dict[str, Any] = {"models": MODELS, "rate_bytes_per_s": QUICK_BYTES_PER_S, "tokens_per_s": 1000}
SMALL = {"scale": 0.001}
THINKER, SEER, CALLER = "qwen3:8b", "gemma3:4b", "llama3.2:1b"
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="


def tool(name: str, **properties: Mapping[str, Any]) -> dict[str, Any]:
    parameters = {"type": "object", "properties": properties, "required": list(properties)}
    return {"type": "function", "function": {"name": name, "description": name, "parameters": parameters}}


WEATHER, ADD = tool("get_weather", city={"type": "string"}), tool("add", a={"type": "number"}, b={"type": "number"})


@asynccontextmanager
async def server_with(folder: Path, *models: str, **script: Any) -> AsyncIterator[tuple[DemoServer, httpx.AsyncClient]]:
    async with DemoServer(folder, {**SCRIPT, **script}) as demo, talk_to(demo.base_url) as client:
        for model in models:
            assert (await pull(demo.base_url, model)).lines[-1] == {"status": "success"}
        yield demo, client


def user(text: str, **more: Any) -> dict[str, Any]:
    return {"role": "user", "content": text, **more}


async def chat(client: httpx.AsyncClient, model: str, *messages: Mapping[str, Any], **more: Any) -> dict[str, Any]:
    body = {"model": model, "messages": messages, "stream": False, **more}
    answered = await client.post("/api/chat", json=body)
    answered.raise_for_status()
    whole: dict[str, Any] = answered.json()
    return whole


@pytest.mark.anyio
async def test_recorded_exchanges(tmp_path: Path) -> None:
    found: list[str] = []
    async with server_with(tmp_path, TINY, EMBED) as (_, client):
        for name in ("chat/chat-logprobs", "api/embeddings-legacy"):
            theirs, ours = await ask(client, name)
            found += differences(name, theirs, ours, words=False)
    assert not found, "\n".join(found)


@pytest.mark.anyio
async def test_a_model_without_its_program_cannot_be_loaded(tmp_path: Path) -> None:
    name = "errors/chat-runner-missing"
    words = "error starting llama-server: llama-server binary not found (checked: /usr/local/bin/llama-server)"
    async with server_with(tmp_path, TINY, answers={"faults": [{"fault": "load_error", "text": words}]}) as (_, client):
        theirs, ours = await ask(client, name)
    assert ours.status_code == theirs["status"] == 500
    beginning = re.escape(words.removesuffix(")"))
    assert re.match(beginning, ours.json()["error"])
    assert re.match(beginning, json.loads(theirs["body"])["error"])


@pytest.mark.anyio
async def test_a_tool_is_called_and_its_answer_told(tmp_path: Path) -> None:
    async with server_with(tmp_path, THINKER, CALLER, **SMALL) as (_, client):
        asked = user("What is the weather in Paris?")
        said = (await chat(client, CALLER, asked, tools=[ADD, WEATHER]))["message"]
        assert said["content"] == ""
        (call,) = said["tool_calls"]
        assert call["function"] == {"index": 0, "name": "add", "arguments": {"a": 1, "b": 1}}, "the first one"
        said = (await chat(client, CALLER, user("Use get_weather for Paris."), tools=[ADD, WEATHER]))["message"]
        assert said["tool_calls"][0]["function"]["arguments"] == {"city": "Paris"}
        told = {"role": "tool", "tool_name": "get_weather", "content": "11 degrees"}
        after = (await chat(client, CALLER, asked, said, told, tools=[ADD, WEATHER]))["message"]
        assert after["content"].endswith("The tool get_weather said: 11 degrees")

        body = {"model": THINKER, "messages": [asked], "tools": [ADD]}
        lines = [json.loads(line) for line in (await client.post("/api/chat", json=body)).text.splitlines()]
    calling = [line for line in lines if "tool_calls" in line["message"]]
    assert [line["done"] for line in calling] == [False]
    assert re.fullmatch("call_[a-z0-9]{8}", calling[0]["message"]["tool_calls"][0]["id"])
    assert lines[0]["message"]["thinking"]


@pytest.mark.anyio
@pytest.mark.parametrize(("use", "calls"), [("always", 1), ("never", 0)])
async def test_tools_at_every_turn_or_at_none(tmp_path: Path, use: str, calls: int) -> None:
    async with server_with(tmp_path, CALLER, answers={"tools": use}, **SMALL) as (_, client):
        told = {"role": "tool", "tool_name": "add", "content": "2"}
        said = (await chat(client, CALLER, user("1 and 1"), told, tools=[ADD]))["message"]
    assert len(said.get("tool_calls", [])) == calls


@pytest.mark.anyio
async def test_images_are_for_models_that_see(tmp_path: Path) -> None:
    async with server_with(tmp_path, SEER, **SMALL) as (_, client):
        said = await chat(client, SEER, user("What is this?", images=[PIXEL]))
        assert "your image" in said["message"]["content"]
        plain = await chat(client, SEER, user("What is this?"))
        assert said["prompt_eval_count"] > plain["prompt_eval_count"] + 500
        body = {"model": SEER, "prompt": "?", "images": [PIXEL, PIXEL], "stream": False}
        assert "2 images" in (await client.post("/api/generate", json=body)).json()["response"]
        bad = await client.post("/api/chat", json={"model": SEER, "messages": [user("?", images=["!!"])]})
        assert (bad.status_code, bad.json()) == (400, {"error": "illegal base64 data at input byte 0"})


@pytest.mark.anyio
async def test_what_a_request_may_not_be(tmp_path: Path) -> None:
    """The words are those that 0.33.0-rc2 had for the same requests."""
    chats: list[tuple[dict[str, Any], int, str]] = [
        ({"messages": [{"role": 5}]}, 400, "number into Go struct field ChatRequest.messages.role of type string"),
        ({"messages": ["x"]}, 400, "json: cannot unmarshal string into Go struct field ChatRequest.messages of type"),
        ({"options": {"use_mmap": 3}}, 500, 'option "use_mmap" must be of type boolean'),
        ({"options": {"stop": "x"}}, 500, 'option "stop" must be of type array'),
        ({"options": {"stop": [1]}}, 500, 'option "stop" must be of an array of strings'),
        ({"options": {"top_p": "x"}}, 500, 'option "top_p" must be of type float32'),
        ({"think": "loud"}, 400, 'invalid think value: "loud" (must be "high", "medium", "low", "max", true, or'),
        ({"think": 7}, 400, 'think must be a boolean or string ("high", "medium", "low", "max", true, or false)'),
        ({"think": "low"}, 400, f'"{TINY}" does not support thinking'),
        ({"format": []}, 500, 'invalid format: "[]"; expected "json" or a valid JSON Schema object'),
        ({"tools": [5]}, 400, "json: cannot unmarshal number into Go struct field ChatRequest.tools of type api.Tool"),
        ({"messages": [user("x", images="x")]}, 400, "field ChatRequest.messages.images of type []api.ImageData"),
        ({"logprobs": True, "top_logprobs": 21}, 400, "top_logprobs must be between 0 and 20"),
    ]
    generates: list[tuple[dict[str, Any], int, str]] = [
        ({"suffix": "y"}, 400, f"{TINY}:latest does not support insert"),
        ({"raw": True, "system": "y"}, 400, "raw mode does not support template, system, or context"),
        ({"template": "{{ .Prompt"}, 500, "template: :1: unclosed action"),
        ({"format": "yaml", "stream": False}, 500, 'expected "json" or a valid JSON Schema object'),
    ]
    embeds: list[tuple[dict[str, Any], int, str]] = [
        ({"input": 5}, 400, "invalid input type"),
        ({"input": ["word " * 9000], "truncate": False}, 400, "the input length exceeds the context length"),
    ]
    async with server_with(tmp_path, TINY, EMBED) as (_, client):
        for path, plain, cases in (
            ("/api/chat", {"model": TINY, "messages": [user("x")]}, chats),
            ("/api/generate", {"model": TINY, "prompt": "x"}, generates),
            ("/api/embed", {"model": EMBED}, embeds),
        ):
            for body, status, words in cases:
                got = await client.post(path, json={**plain, **body})
                assert got.status_code == status, (body, got.text)
                assert words in got.json()["error"], (body, got.text)


@pytest.mark.anyio
async def test_embeddings_are_of_length_one_and_alike_where_words_are(tmp_path: Path) -> None:
    texts = ["the cat sleeps here", "the cat sleeps there", "quarterly revenue figures"]
    async with server_with(tmp_path, EMBED) as (_, client):
        whole = (await client.post("/api/embed", json={"model": EMBED, "input": texts})).json()["embeddings"]
        short = (await client.post("/api/embed", json={"model": EMBED, "input": texts, "dimensions": 16})).json()
        legacy = (await client.post("/api/embeddings", json={"model": EMBED, "prompt": texts[0]})).json()["embedding"]
        nothing = (await client.post("/api/embeddings", json={"model": EMBED, "prompt": ""})).json()
    assert [len(one) for one in whole] == [64] * 3
    assert [len(one) for one in short["embeddings"]] == [16] * 3
    assert all(sum(value * value for value in one) == pytest.approx(1) for one in [*whole, *short["embeddings"]])
    near, far = (sum(a * b for a, b in zip(whole[0], other, strict=True)) for other in whole[1:])
    assert near > far
    assert legacy == whole[0]
    assert nothing == {"embedding": []}


@pytest.mark.anyio
async def test_the_oldest_messages_are_left_out_without_a_word(tmp_path: Path) -> None:
    """Only the number of tokens tells: that of the last turn, not of the conversation."""
    long = [user("word " * 300) for _ in range(4)]
    async with server_with(tmp_path, TINY) as (_, client):
        options = {"num_ctx": 700, "num_predict": 1}
        first = await chat(client, TINY, *long[:2], options=options)
        cut = await chat(client, TINY, {"role": "system", "content": "be kind"}, *long, options=options)
        assert first["prompt_eval_count"] == 2 * 304
        assert cut["prompt_eval_count"] == 2 * 304 + 6
        body = {"model": TINY, "messages": [user("word " * 800)], "options": options, "shift": False}
        refused = await client.post("/api/chat", json=body)
    assert refused.status_code == 400
    assert refused.json()["error"].startswith("the prompt is longer than the context length currently available")


@pytest.mark.anyio
async def test_context_goes_on_and_raw_has_none(tmp_path: Path) -> None:
    async with server_with(tmp_path, TINY) as (_, client):
        body = {"model": TINY, "prompt": "one two", "stream": False, "options": {"num_predict": 2}}
        first = (await client.post("/api/generate", json=body)).json()
        assert len(first["context"]) == first["prompt_eval_count"] + first["eval_count"]
        second = (await client.post("/api/generate", json={**body, "context": first["context"]})).json()
        assert second["prompt_eval_count"] == first["prompt_eval_count"] + len(first["context"])
        raw = (await client.post("/api/generate", json={**body, "raw": True})).json()
    assert "context" not in raw
    assert raw["prompt_eval_count"] == 2


@pytest.mark.anyio
async def test_probabilities_of_each_token_and_stops(tmp_path: Path) -> None:
    async with server_with(tmp_path, TINY) as (_, client):
        whole = await chat(client, TINY, user("x"), logprobs=True, top_logprobs=3, options={"num_predict": 4})
        assert "".join(one["token"] for one in whole["logprobs"]) == whole["message"]["content"]
        assert [len(one["top_logprobs"]) for one in whole["logprobs"]] == [3] * 4
        assert all(bytes(one["bytes"]).decode() == one["token"] for one in whole["logprobs"])
        assert whole["done_reason"] == "length"
        stopped = await chat(client, TINY, user("x"), options={"stop": ["simulated", "nowhere"]})
    assert (stopped["message"]["content"], stopped["done_reason"]) == ("This is a ", "stop")


@pytest.mark.anyio
async def test_closing_the_connection_stops_the_model(tmp_path: Path) -> None:
    """At 10 tokens a second no more than two are made that nobody reads."""
    came = 0
    async with server_with(tmp_path, TINY, tokens_per_s=10) as (demo, client):
        body = {"model": TINY, "messages": [user("x")]}
        async with client.stream("POST", "/api/chat", json=body) as response:
            lines = response.aiter_lines()
            async for _ in lines:
                came += 1
                if came == 3:
                    break
            await leave(response, lines)
        await eventually(lambda: 'msg="generation stopped"' in demo.log_text())
        (found,) = re.findall(r'msg="generation stopped" model=\S+ tokens=(\d+) reason=(.*)', demo.log_text())
    assert came <= int(found[0]) <= came + 2
    assert found[1] == '"cut short"'


def test_answers_may_be_long() -> None:
    said = [one.text for one in answer(Question("hi", length=500))]
    assert len(said) == 500
    assert said[0] == said[said.index("This", 1)]


def test_json_comes_in_pieces_that_are_whole_together() -> None:
    pieces = list(answer(Question('Say "hi" and ö.', form="json")))
    assert len(pieces) > 5
    assert json.loads("".join(one.text for one in pieces))["you_wrote"] == 'Say "hi" and ö.'


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        pytest.param({"type": "object", "properties": {"n": {"type": "integer"}}}, {"n": 3}, id="integer"),
        pytest.param({"type": "number", "minimum": 10}, 10, id="minimum"),
        pytest.param({"type": "array", "items": {"type": "string"}, "minItems": 2}, ["Paris", "simulated"], id="array"),
        pytest.param({"enum": ["b", "a"]}, "b", id="enum"),
        pytest.param({"type": ["null", "string"]}, None, id="null"),
        pytest.param({"anyOf": [{"type": "boolean"}, {"type": "null"}]}, True, id="any of"),
        pytest.param({"$ref": "#/$defs/x", "$defs": {"x": {"const": 5}}}, 5, id="reference"),
        pytest.param({"allOf": [{"type": "string"}, {"maxLength": 2}]}, "Pa", id="all of"),
        pytest.param({"type": "string", "format": "date"}, "2026-01-01", id="format"),
    ],
)
def test_values_fit_their_schema(schema: dict[str, Any], value: Any) -> None:
    assert example(schema, Material("Take 3 from Paris.")) == value


def test_a_schema_that_holds_itself_ends() -> None:
    tree = {"type": "object", "properties": {"next": {"$ref": "#"}}}
    assert "next" in example(tree, Material(""))


@pytest.mark.parametrize(
    ("count", "left"),
    [pytest.param(4095, 4095, id="fits"), pytest.param(4096, 2050, id="full"), pytest.param(63028, 2050, id="long")],
)
def test_a_prompt_that_is_cut_has_half_of_the_context(count: int, left: int) -> None:
    """As recorded: 63028 tokens at a context of 4096 were 2050."""
    assert Room(4096, 4, truncate=True, shift=True).fit(count) == left


def test_a_prompt_that_may_not_be_cut() -> None:
    assert Room(10, 4, truncate=False, shift=True).fit(10) == 10
    with pytest.raises(PromptTooLong, match="exceed_context_size_error"):
        Room(10, 4, truncate=False, shift=True).fit(11)
