"""What a chat, a completion and an embedding send, and what is kept of an answer that breaks off."""

from __future__ import annotations

import base64
import json
import os
import threading
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing
from pathlib import Path
from types import MappingProxyType
from typing import Any

import httpx
import pytest
from pydantic import BaseModel

from launcher.errors import InvalidInput
from launcher.ollama import (
    ChatAnswer,
    Client,
    CutStream,
    GenerateAnswer,
    InlineError,
    Message,
    Options,
    ToolCall,
    ToolCallFunction,
)
from launcher.ollama.requests import image_text
from tests.support.raw_server import STREAM_HEAD, RawServer, answering, chunk

pytestmark = pytest.mark.anyio

PICTURE = b"\x89PNG\r\n\x1a\n\x00"
TEXT = base64.b64encode(PICTURE).decode()
HELLO = {"role": "user", "content": "hello"}


class Point(BaseModel):
    x: int
    y: int = 0


async def sent_by(call: Callable[[Client], Any]) -> Any:
    """Return the JSON that a call sends."""
    requests: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        requests.append(request)
        if request.url.path.startswith("/v1/") and b'"stream":true' in request.content:
            return httpx.Response(200, content=b"data: [DONE]\n\n")
        return httpx.Response(200, json={"done": True, "status": "success"})

    async with Client(transport=httpx.MockTransport(answer)) as client:
        result = call(client)
        if isinstance(result, AsyncGenerator):
            async with aclosing(result):
                async for _ in result:
                    pass
        else:
            await result
    [request] = requests
    assert request.headers["Content-Type"] == "application/json"
    return json.loads(request.content)


# What is sent


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        pytest.param({}, {}, id="nothing"),
        pytest.param({"format": "json"}, {"format": "json"}, id="JSON"),
        pytest.param({"format": {"type": "object"}}, {"format": {"type": "object"}}, id="schema"),
        pytest.param({"format": Point}, {"format": Point.model_json_schema()}, id="pydantic model"),
        pytest.param({"format": ""}, {}, id="no format"),
        pytest.param({"options": {"num_ctx": 8192, "stop": ("a", "b")}}, None, id="options"),
        pytest.param({"options": Options(temperature=0)}, None, id="typed options"),
        pytest.param({"think": False}, {"think": False}, id="no thinking"),
        pytest.param({"think": "high"}, {"think": "high"}, id="much thinking"),
        pytest.param({"keep_alive": 0}, {"keep_alive": 0}, id="unloaded after"),
        pytest.param({"keep_alive": "10m"}, {"keep_alive": "10m"}, id="kept"),
        pytest.param({"logprobs": True, "top_logprobs": 3}, {"logprobs": True, "top_logprobs": 3}, id="likelihoods"),
        pytest.param({"truncate": False, "shift": False}, {"truncate": False, "shift": False}, id="uncut"),
    ],
)
@pytest.mark.parametrize("route", ["chat", "stream_chat", "generate", "stream_generate"])
async def test_what_chats_and_completions_share(route: str, given: dict[str, Any], expected: Any) -> None:
    if expected is None:
        expected = json.loads(json.dumps(given))
    start: dict[str, Any] = {"messages": []} if "chat" in route else {"prompt": ""}
    body = await sent_by(lambda c: getattr(c, route)("m", **given))
    assert body == {"model": "m", "stream": route.startswith("stream"), **start, **expected}


@pytest.mark.parametrize("route", ["generate", "stream_generate"])
async def test_what_only_completions_have(route: str) -> None:
    given: dict[str, Any] = {"suffix": "s", "system": "", "template": "t", "context": [1, 2], "raw": True}
    body = await sent_by(lambda c: getattr(c, route)("m", "p", images=[PICTURE], **given))
    assert body == {"model": "m", "prompt": "p", "stream": route == "stream_generate", "images": [TEXT], **given}


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        pytest.param(lambda c: c.embed("m", "a"), {"model": "m", "input": "a"}, id="text"),
        pytest.param(lambda c: c.embed("m", ("a", "b")), {"model": "m", "input": ["a", "b"]}, id="texts"),
        pytest.param(lambda c: c.embed("m", []), {"model": "m", "input": []}, id="nothing"),
        pytest.param(
            lambda c: c.embed("m", "a", truncate=False, dimensions=3, keep_alive=1, options={"num_ctx": 1}),
            {
                "model": "m",
                "input": "a",
                "truncate": False,
                "dimensions": 3,
                "keep_alive": 1,
                "options": {"num_ctx": 1},
            },
            id="everything",
        ),
        pytest.param(lambda c: c.embeddings("m", "a"), {"model": "m", "prompt": "a"}, id="older route"),
    ],
)
async def test_embeddings(call: Callable[[Client], Any], expected: Any) -> None:
    assert await sent_by(call) == expected


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        pytest.param(Message(role="user", content="a"), {"role": "user", "content": "a"}, id="typed"),
        pytest.param(Message(role="user"), {"role": "user", "content": ""}, id="without content"),
        pytest.param({"role": "user", "new": [1]}, {"role": "user", "new": [1]}, id="mapping with what we do not know"),
        pytest.param(MappingProxyType(HELLO), HELLO, id="any mapping"),
        pytest.param(
            Message(role="user", content="a", images=(PICTURE,)),
            {"role": "user", "content": "a", "images": [TEXT]},
            id="picture",
        ),
        pytest.param({**HELLO, "images": [PICTURE, TEXT]}, {**HELLO, "images": [TEXT, TEXT]}, id="some in a mapping"),
        pytest.param({**HELLO, "images": None}, HELLO, id="none in a mapping"),
        pytest.param(
            Message(role="tool", tool_name="add", tool_call_id="7", content="3"),
            {"role": "tool", "tool_name": "add", "tool_call_id": "7", "content": "3"},
            id="result of a tool",
        ),
        pytest.param(
            Message(
                role="assistant",
                thinking="hm",
                tool_calls=(
                    ToolCall(id="7", function=ToolCallFunction(name="add", arguments={"a": [1]}, index=0)),
                    ToolCall(function=ToolCallFunction(name="now")),
                ),
            ),
            {
                "role": "assistant",
                "content": "",
                "thinking": "hm",
                "tool_calls": [
                    {"id": "7", "function": {"name": "add", "arguments": {"a": [1]}, "index": 0}},
                    {"function": {"name": "now", "arguments": {}}},
                ],
            },
            id="calls of tools",
        ),
        pytest.param(
            {"role": "assistant", "tool_calls": [ToolCall(function=ToolCallFunction(name="now"))]},
            {"role": "assistant", "tool_calls": [{"function": {"name": "now", "arguments": {}}}]},
            id="typed calls in a mapping",
        ),
    ],
)
async def test_messages(message: Message | Mapping[str, Any], expected: Any) -> None:
    body = await sent_by(lambda c: c.chat("m", [message]))
    assert body["messages"] == [expected]


async def test_what_was_answered_can_be_sent_again() -> None:
    told = {
        "role": "assistant",
        "content": "",
        "thinking": "hm",
        "tool_calls": [
            {"id": "call_1", "function": {"index": 0, "name": "add", "arguments": {"a": 1, "b": {"c": "<"}}}}
        ],
    }
    answer = ChatAnswer.model_validate({"message": told})
    body = await sent_by(lambda c: c.chat("m", [answer.message]))
    assert body["messages"] == [told]


@pytest.mark.parametrize("message", ["hello", 3, None, ("user", "hello")])
async def test_what_is_no_message_is_not_sent(message: Any) -> None:
    with pytest.raises(InvalidInput, match="A message cannot be"):
        await sent_by(lambda c: c.chat("m", [message]))


# Pictures


def test_pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "cat.png"
    path.write_bytes(PICTURE)
    monkeypatch.chdir(tmp_path)
    folded = "\n".join([TEXT[:4], TEXT[4:]])
    for image in (
        PICTURE,
        bytearray(PICTURE),
        path,
        str(path),
        "cat.png",
        TEXT,
        f"data:image/png;base64,{TEXT}",
        folded,
    ):
        assert image_text(image) == TEXT  # type: ignore[arg-type]  # a bytearray is taken, but not promised


def test_a_message_with_pictures_can_be_kept_and_shown() -> None:
    message = Message(role="user", images=(b"\xfb\xff", Path("cat.png"), TEXT))
    kept = Message.model_validate_json(message.model_dump_json())
    assert kept.images == ("+/8=", "cat.png", TEXT)
    assert TEXT not in repr(message)


@pytest.mark.parametrize(
    ("image", "words"),
    [
        pytest.param("dog.png", "There is no image dog.png", id="no such file"),
        pytest.param(os.path.join("x", "dog"), "There is no image", id="no such path"),
        pytest.param(Path("dog"), "cannot be read", id="no such typed path"),
        pytest.param("what?", "neither the path of an image nor Base64", id="neither"),
        pytest.param("", "neither the path", id="empty"),
        pytest.param("a\0b", "neither the path", id="no path at all"),
        pytest.param("x" * 5001, "neither the path", id="long"),
        pytest.param("é" * 4, "neither the path", id="not ASCII"),
        pytest.param(3, "cannot be a int", id="a number"),
    ],
)
async def test_what_is_no_picture_is_not_sent(image: Any, words: str) -> None:
    for call in (
        lambda c: c.chat("m", [{**HELLO, "images": [image]}]),
        lambda c: c.stream_generate("m", images=[image]),
    ):
        with pytest.raises(InvalidInput, match=words) as caught:
            await sent_by(call)
        assert len(caught.value.title) < 200


@pytest.mark.parametrize(
    "route", ["chat", "stream_chat", "generate", "stream_generate", "v1_chat", "stream_v1_chat", "create"]
)
async def test_files_are_read_beside_the_loop(route: str, tmp_path: Path) -> None:
    (tmp_path / "cat.png").write_bytes(PICTURE)
    threads = set()

    class Picture:
        def __fspath__(self) -> str:
            threads.add(threading.current_thread())
            return str(tmp_path / "cat.png")

    if "generate" in route:
        body = await sent_by(lambda c: getattr(c, route)("m", images=[Picture()]))
    else:
        messages = [Message(role="user", images=(Picture(),))]
        body = await sent_by(lambda c: getattr(c, route)("m", messages=messages))
    assert TEXT in json.dumps(body)
    assert threads
    assert threading.current_thread() not in threads


# What cannot be sent


@pytest.mark.parametrize(
    "options",
    [
        pytest.param({"stop": {1, 2}}, id="a set"),
        pytest.param({"temperature": float("nan")}, id="no number"),
        pytest.param({"a": b"x"}, id="bytes"),
    ],
)
async def test_what_is_no_json_is_told(options: Any) -> None:
    with pytest.raises(InvalidInput, match="it is no JSON"):
        await sent_by(lambda c: c.chat("m", [HELLO], options=options))


async def test_half_a_character_does_not_stop_a_request() -> None:
    body = await sent_by(lambda c: c.generate("m", "a\ud800b"))
    assert body["prompt"] == "a?b"


async def test_any_mapping_does_as_options() -> None:
    body = await sent_by(lambda c: c.chat("m", options=MappingProxyType({"seed": 1})))
    assert body["options"] == {"seed": 1}


# What comes


def test_speed_is_told_where_it_is_known() -> None:
    answer = GenerateAnswer(eval_count=30, eval_duration=1_500_000_000)
    assert answer.tokens_per_s == 20
    assert ChatAnswer().tokens_per_s is None
    assert ChatAnswer(eval_count=3, eval_duration=0).tokens_per_s is None


def lines(route: str, *pieces: tuple[str, str]) -> bytes:
    """Frame pieces of text and thought as each route does."""
    framed = []
    for text, thought in pieces:
        if route == "stream_chat":
            value: Any = {"message": {"role": "assistant", "content": text, "thinking": thought}, "done": False}
        elif route == "stream_generate":
            value = {"response": text, "thinking": thought, "done": False}
        else:
            value = {"choices": [{"index": 0, "delta": {"content": text, "reasoning": thought}}]}
        start = b"data: " if "v1" in route else b""
        framed.append(chunk(start + json.dumps(value).encode() + b"\n" + (b"\n" if start else b"")))
    return b"".join(framed)


STREAMS = ["stream_chat", "stream_generate", "stream_v1_chat"]


@pytest.mark.parametrize("route", STREAMS)
@pytest.mark.parametrize(
    ("end", "kind"),
    [
        pytest.param(b"0\r\n\r\n", CutStream, id="no last line"),
        pytest.param(b"ff\r\n{", CutStream, id="cut"),
        pytest.param(chunk(b'{"error":"out of memory"}\n') + b"0\r\n\r\n", InlineError, id="error line"),
    ],
)
async def test_what_had_come_is_kept(route: str, end: bytes, kind: type[CutStream | InlineError]) -> None:
    pieces = [("", "a "), ("", "thought"), ("Hello", ""), (", wörld", "")]
    server = RawServer(answering(STREAM_HEAD, lines(route, *pieces), end))
    async with server, Client(server.address) as client, aclosing(getattr(client, route)("m")) as stream:
        with pytest.raises(kind) as caught:
            [piece async for piece in stream]
    error: Any = caught.value
    assert error.partial == "Hello, wörld"
    assert error.partial_thought == "a thought"


async def test_calls_of_tools_are_read_from_any_line() -> None:
    call = {"id": "", "function": {"name": "now", "arguments": {}}}
    text = "".join(
        json.dumps({"message": {"role": "assistant", "content": "", "tool_calls": [call]}, "done": done}) + "\n"
        for done in (False, True)
    )
    server = RawServer(answering(STREAM_HEAD, chunk(text.encode()), b"0\r\n\r\n"))
    async with server, Client(server.address) as client, aclosing(client.stream_chat("m")) as stream:
        names = [call.function.name async for piece in stream for call in piece.message.tool_calls]
    assert names == ["now", "now"]
