"""The routes of OpenAI: what is sent, and server-sent events of every shape."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import Any

import httpx
import pytest

from launcher.ollama import (
    Client,
    CutStream,
    InlineError,
    Message,
    ModelNotFound,
    ProtocolBroken,
    Reason,
    Refused,
    ToolCall,
    ToolCallFunction,
    V1ChatChunk,
)
from tests.support.raw_server import RawServer, answering, chunk

pytestmark = pytest.mark.anyio

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
END = b"0\r\n\r\n"
DONE = b"data: [DONE]\n\n"
JPEG = b"\xff\xd8\xff\xe0\x00\x10JFIF"
SCHEMA = {"type": "object", "properties": {}}


async def sent_by(call: Callable[[Client], Any]) -> Any:
    requests: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        requests.append(request)
        streams = json.loads(request.content).get("stream")
        return httpx.Response(200, content=DONE) if streams else httpx.Response(200, json={})

    async with Client(transport=httpx.MockTransport(answer)) as client:
        result = call(client)
        if isinstance(result, AsyncGenerator):
            assert [piece async for piece in result] == []
        else:
            await result
    [request] = requests
    return json.loads(request.content)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        pytest.param({"max_tokens": 3, "seed": 1, "stop": ("a", "b")}, None, id="options"),
        pytest.param({"temperature": 0, "top_p": 0.5}, None, id="chance"),
        pytest.param({"frequency_penalty": 1, "presence_penalty": 1}, None, id="penalties"),
        pytest.param({"reasoning_effort": "none", "logprobs": True, "top_logprobs": 2}, None, id="effort"),
        pytest.param({"response_format": "json"}, {"response_format": {"type": "json_object"}}, id="JSON"),
        pytest.param(
            {"response_format": SCHEMA},
            {"response_format": {"type": "json_schema", "json_schema": {"name": "answer", "schema": SCHEMA}}},
            id="schema",
        ),
        pytest.param({"response_format": {"type": "json_object"}}, None, id="as OpenAI has it"),
        pytest.param({"tools": [{"type": "function", "function": {"name": "f"}}]}, None, id="tools"),
    ],
)
async def test_chats(given: dict[str, Any], expected: Any) -> None:
    if expected is None:
        expected = json.loads(json.dumps(given))
    whole = await sent_by(lambda c: c.v1_chat("m", **given))
    assert whole == {"model": "m", "messages": [], **expected}
    streamed = await sent_by(lambda c: c.stream_v1_chat("m", **given, include_usage=True))
    assert streamed == {**whole, "stream": True, "stream_options": {"include_usage": True}}


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        pytest.param({"role": "user", "content": [{"type": "text"}]}, None, id="as OpenAI has it"),
        pytest.param(Message(role="user", content="a"), {"role": "user", "content": "a"}, id="typed"),
        pytest.param(
            Message(role="user", content="a", images=(JPEG,)),
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "a"},
                    {
                        "type": "image_url",
                        "image_url": {"url": f"data:image/jpeg;base64,{base64.b64encode(JPEG).decode()}"},
                    },
                ],
            },
            id="picture",
        ),
        pytest.param(
            Message(
                role="assistant",
                thinking="hm",
                tool_calls=(ToolCall(id="7", function=ToolCallFunction(name="f", arguments={"a": 1})),),
            ),
            {
                "role": "assistant",
                "content": "",
                "reasoning": "hm",
                "tool_calls": [{"id": "7", "type": "function", "function": {"name": "f", "arguments": '{"a": 1}'}}],
            },
            id="calls of tools",
        ),
        pytest.param(
            Message(role="tool", tool_name="f", tool_call_id="7", content="3"),
            {"role": "tool", "name": "f", "tool_call_id": "7", "content": "3"},
            id="result of a tool",
        ),
    ],
)
async def test_messages(message: Any, expected: Any) -> None:
    body = await sent_by(lambda c: c.v1_chat("m", [message]))
    assert body["messages"] == [message if expected is None else expected]


async def test_embeddings() -> None:
    body = await sent_by(lambda c: c.v1_embeddings("m", ("a", "b"), dimensions=3))
    assert body == {"model": "m", "input": ["a", "b"], "dimensions": 3}


async def test_names_do_not_lead_elsewhere() -> None:
    paths = []

    def answer(request: httpx.Request) -> httpx.Response:
        paths.append(request.url.raw_path)
        return httpx.Response(404, text="404 page not found")

    async with Client(transport=httpx.MockTransport(answer)) as client:
        with pytest.raises(Refused) as caught:
            await client.v1_model("user/../m?x:1b")
    assert caught.value.reason is Reason.NO_SUCH_ROUTE
    assert paths == [b"/v1/models/user%2F..%2Fm%3Fx:1b"]


async def test_errors_in_the_shape_of_openai() -> None:
    error = {"message": "model 'm' not found", "type": "not_found_error", "param": None, "code": None}
    transport = httpx.MockTransport(lambda request: httpx.Response(404, json={"error": error}))
    async with Client(transport=transport) as client:
        with pytest.raises(ModelNotFound):
            await client.v1_chat("m")


def test_a_piece_without_text_has_none() -> None:
    piece = V1ChatChunk.model_validate_json('{"choices":[],"usage":{"prompt_tokens":3}}')
    assert (piece.text, piece.thought) == ("", "")
    assert piece.usage is not None
    null = V1ChatChunk.model_validate_json('{"choices":[{"delta":{"content":null,"tool_calls":null}}]}')
    assert null.text == ""


# Server-sent events


def event(text: str) -> bytes:
    return b"data: " + json.dumps({"choices": [{"delta": {"content": text}}]}).encode() + b"\n\n"


async def read(*pieces: bytes) -> str:
    server = RawServer(answering(HEAD, *pieces))
    async with server, Client(server.address) as client, aclosing(client.stream_v1_chat("m")) as stream:
        return "".join([piece.text async for piece in stream])


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(event("a") + event("b") + DONE, id="plain"),
        pytest.param((event("a") + event("b") + DONE).replace(b"\n", b"\r\n"), id="other line ends"),
        pytest.param((event("a") + event("b") + DONE).replace(b"data: ", b"data:"), id="no blanks"),
        pytest.param(b": hello\n\nevent: chunk\nid: 1\nretry: 3\n" + event("a") + event("b") + DONE, id="more"),
        pytest.param(event("a") + event("b") + b"data: [DONE]", id="no line end"),
    ],
)
@pytest.mark.parametrize("step", [1, 7, 10_000])
async def test_events(text: bytes, step: int) -> None:
    pieces = [chunk(text[i : i + step]) for i in range(0, len(text), step)]
    assert await read(*pieces, END) == "ab"


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        pytest.param(event("a"), CutStream, id="no end"),
        pytest.param(b"", CutStream, id="nothing"),
        pytest.param(event("a") + b'data: {"error":{"message":"out of memory"}}\n\n', InlineError, id="error"),
        pytest.param(event("a") + b'{"error":"out of memory"}\n', InlineError, id="error of the other API"),
        pytest.param(event("a") + b"<html>\n", ProtocolBroken, id="HTML"),
        pytest.param(event("a") + b"data: {\n\n", ProtocolBroken, id="half"),
        pytest.param(b'data: {"choices":[{"delta":{"content":"\xff"}}]}\n\n', ProtocolBroken, id="bad UTF-8"),
    ],
)
async def test_ends_that_are_none(text: bytes, kind: type[Exception]) -> None:
    with pytest.raises(kind):
        await read(*([chunk(text)] if text else []), END)


async def test_the_connection_is_used_again_after_the_end() -> None:
    async def answer(reader: Any, writer: Any) -> None:
        for _ in range(2):
            writer.write(HEAD + chunk(DONE) + END)
            await reader.readuntil(b"}")

    async with RawServer(answer) as server, Client(server.address) as client:
        for _ in range(2):
            assert [piece async for piece in client.stream_v1_chat("m")] == []
        assert len(server.heads) == 1
