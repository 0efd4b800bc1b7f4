"""The official client and ours, asked the same of the same server: they send the same and make the same of the answer.

What the official one does not know (tool call ids, remote hosts, capabilities of installed models) is not compared;
whatever it does know, ours must know, too.
"""

from __future__ import annotations

import asyncio
import inspect
import json
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
import ollama
import pytest
from pydantic import BaseModel, TypeAdapter

from launcher.ollama import Client, InlineError, OllamaError, Refused, digest_of
from launcher.ollama.tls import trusting_nobody
from launcher.ollama.wire.fields import Moment
from tests.support.demo_server import DemoServer
from tests.support.replay import Recording, ReplayServer, load, names

pytestmark = pytest.mark.anyio

# Method of the official client -> those of ours that do the same. All others have the same name in both.
CALLED_OTHERWISE = {
    "list": ("tags",),
    "close": ("aclose",),
    "chat": ("chat", "stream_chat"),
    "generate": ("generate", "stream_generate"),
}

NOT_OURS = {
    "systemone": "no server up to 0.33 has the route /v1/systemone",
}

# Members of its answers that ours leave out, and why.
NOT_KEPT = {
    "image": "no model that makes images runs on a server up to 0.33",
    "completed of generate": "the same",
    "total of generate": "the same",
    "created_at of embed": "the server never tells it",
    "done of embed": "the same",
    "done_reason of embed": "the same",
}


def public(client: type) -> set[str]:
    return {name for name, _ in inspect.getmembers(client, inspect.isfunction) if not name.startswith("_")}


def test_every_method_of_the_official_clients_has_a_counterpart() -> None:
    ours = public(Client)
    for name in public(ollama.AsyncClient) | public(ollama.Client):
        if name in NOT_OURS:
            assert name not in ours
        else:
            assert set(CALLED_OTHERWISE.get(name, (name,))) <= ours, name
    assert set(NOT_OURS) | set(CALLED_OTHERWISE) <= public(ollama.AsyncClient)


@dataclass(frozen=True)
class Pair:
    """One call in both languages. A value is one answer, or a list of those that were streamed."""

    ours: Callable[[Client], Awaitable[object]]
    official: Callable[[Any], Any]
    """Of ``AsyncClient`` or ``Client``; what it returns is awaited, or iterated over, as it comes."""


async def collected(stream: AsyncGenerator[Any, None]) -> list[Any]:
    values = []
    async with aclosing(stream):
        async for value in stream:
            values.append(value)  # noqa: PERF401 - what came before an error counts
    return values


def pair_of(recording: Recording) -> Pair | None:
    """Make the calls that a recording answers; None where the official client has no such method."""
    body: dict[str, Any] = dict(recording.request_body or {})
    model = body.pop("model", "")
    stream = body.pop("stream", True)
    given: dict[str, Any] = {("from_" if key == "from" else key): value for key, value in body.items()}
    match recording.method, recording.path.partition("/sha256:")[0]:
        case "GET", "/api/tags":
            return Pair(lambda c: c.tags(), lambda c: c.list())
        case "GET", "/api/ps":
            return Pair(lambda c: c.ps(), lambda c: c.ps())
        case "POST", "/api/show" if not body.get("verbose"):
            return Pair(lambda c: c.show(model), lambda c: c.show(model))
        case "POST", "/api/pull" if stream:
            return Pair(lambda c: collected(c.pull(model, **given)), lambda c: c.pull(model, stream=True, **given))
        case "POST", "/api/push":
            return Pair(lambda c: collected(c.push(model)), lambda c: c.push(model, stream=True))
        case "POST", "/api/create":
            return Pair(lambda c: collected(c.create(model, **given)), lambda c: c.create(model, stream=True, **given))
        case "DELETE", "/api/delete":
            return Pair(lambda c: c.delete(model), lambda c: c.delete(model))
        case "POST", "/api/copy":
            return Pair(lambda c: c.copy(**given), lambda c: c.copy(**given))
        case "POST", "/api/generate" | "/api/chat":
            name = recording.path.rpartition("/")[2]
            if stream:
                return Pair(
                    lambda c: collected(getattr(c, f"stream_{name}")(model, **given)),
                    lambda c: getattr(c, name)(model, stream=True, **given),
                )
            return Pair(lambda c: getattr(c, name)(model, **given), lambda c: getattr(c, name)(model, **given))
        case "POST", "/api/embed":
            return Pair(lambda c: c.embed(model, **given), lambda c: c.embed(model, **given))
        case "POST", "/api/embeddings":
            return Pair(lambda c: c.embeddings(model, **given), lambda c: c.embeddings(model, **given))
    return None


# What the official client cannot be asked, or ends at once because it checks itself.
NOT_ASKED = {
    "errors/bad-json": "it always sends JSON",
    "errors/no-body": "the same",
    "errors/wrong-method": "it uses the right one",
    "errors/wrong-type": "it refuses the type itself",
    "errors/chat-bad-format": "it refuses the format itself",
    "errors/pull-empty-name": "it refuses the name itself",
    "errors/generate-context-overflow-no-truncate": "it cannot say truncate",
    # Theirs ends with an exception of httpx.
    "pull/big-server-killed": "it has no error for it",
    "pull/big-server-terminated": "the same",
    "chat/server-terminated": "the same",
    # Closed in the middle by whoever recorded it.
    "pull/big-closed": "there is no end to compare",
    "chat/closed-by-client": "the same",
}

COMPARED = [
    name
    for name in names()
    if name not in NOT_ASKED and pair_of(load(name)) is not None and load(name).end != "closed by client"
]


def test_enough_is_compared() -> None:
    asked = {load(name).path for name in COMPARED}
    assert len(COMPARED) > 70
    assert {f"/api/{route}" for route in ("chat", "generate", "embed", "embeddings", "create", "push")} <= asked
    assert set(NOT_ASKED) <= set(names())


@pytest.mark.parametrize("kind", [ollama.AsyncClient, ollama.Client], ids=["async", "sync"])
@pytest.mark.parametrize("name", COMPARED)
async def test_recorded_exchanges_give_the_same(name: str, kind: type) -> None:
    recording = load(name)
    pair = pair_of(recording)
    assert pair is not None
    async with ReplayServer(recording) as server:
        theirs = await outcome_of_theirs(kind, server.address, pair)
        async with Client(server.address, api_key="", retries=0) as client:
            ours = await outcome_of_ours(client, pair)
        assert_alike(ours, theirs, recording.path)
        their_request, our_request = server.requests
        assert (our_request.method, our_request.path) == (their_request.method, their_request.path)
        assert without_empty(sent(our_request.body)) == without_empty(sent(their_request.body))


async def test_a_file_is_sent_the_same(tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    path.write_bytes(b"GGUF" * 100_000)
    recording = replace(load("create/blob-post"), path=f"/api/blobs/{await digest_of(path)}")
    missing = replace(load("errors/blob-head-missing"), path=recording.path)
    pair = Pair(lambda c: collected(c.create_blob(path)), lambda c: c.create_blob(path))
    async with ReplayServer(recording, missing) as server, Client(server.address) as client:
        # The asynchronous one sends in chunks, which this server does not read.
        their_digest = await theirs_of(ollama.Client, server.address, pair)
        steps = await pair.ours(client)
    assert isinstance(steps, list)
    assert steps[-1].digest == their_digest
    assert [request.method for request in server.requests] == ["POST", "HEAD", "POST"]
    assert server.requests[0].path == server.requests[-1].path
    assert server.requests[0].body == server.requests[-1].body


async def outcome_of_ours(client: Client, pair: Pair) -> object:
    try:
        return await pair.ours(client)
    except OllamaError as error:
        return error


async def outcome_of_theirs(kind: type, address: str, pair: Pair) -> object:
    try:
        return await theirs_of(kind, address, pair)
    except ollama.ResponseError as error:
        return error


async def theirs_of(kind: type, address: str, pair: Pair) -> object:
    if kind is ollama.Client:
        return await asyncio.to_thread(in_turn, address, pair)
    # Trust that is never used: to make it takes longer than all else here.
    client = ollama.AsyncClient(address, verify=trusting_nobody())
    try:
        value = await pair.official(client)
        return value if isinstance(value, BaseModel | str) else [each async for each in value]
    finally:
        await client.close()  # type: ignore[no-untyped-call]  # it has no annotations


def in_turn(address: str, pair: Pair) -> object:
    client = ollama.Client(address, verify=trusting_nobody())
    try:
        value = pair.official(client)
        return value if isinstance(value, BaseModel | str) else list(value)
    finally:
        client.close()  # type: ignore[no-untyped-call]  # it has no annotations


def sent(body: bytes) -> Any:
    return json.loads(body) if body else None


def without_empty(value: Any) -> Any:
    """Leave out what means nothing to the server: null, false, empty lists and texts."""
    if isinstance(value, dict):
        kept = {key: without_empty(inner) for key, inner in value.items() if key != "stream"}
        return {key: inner for key, inner in kept.items() if inner not in (None, False, [], "")}
    return [without_empty(inner) for inner in value] if isinstance(value, list) else value


def assert_alike(ours: Any, theirs: Any, place: str, ignored: frozenset[str] = frozenset()) -> None:
    """Compare two answers member by member, as far as the official client knows them."""
    if isinstance(theirs, ollama.ResponseError):
        assert isinstance(ours, Refused | InlineError), place
        assert ours.text == theirs.error
        assert getattr(ours, "status", -1) == theirs.status_code
    elif isinstance(theirs, ollama.StatusResponse) and type(theirs) is ollama.StatusResponse:
        assert (ours, theirs.status) == (None, "success")
    elif isinstance(theirs, BaseModel):
        for name, field in type(theirs).model_fields.items():
            known_as = field.alias or name
            if known_as in ignored or {known_as, f"{known_as} of {place.rpartition('/')[2]}"} & set(NOT_KEPT):
                continue
            assert_alike(getattr(ours, known_as), getattr(theirs, name), f"{place}.{known_as}", ignored)
    elif theirs is None:
        assert not ours, place
    elif isinstance(theirs, datetime):
        assert ours == theirs or (ours is None and theirs.year > 2200), place  # for ever
    elif isinstance(ours, datetime):
        assert ours == TypeAdapter(Moment).validate_python(theirs), place
    elif isinstance(theirs, Mapping):
        assert dict(ours) == dict(theirs), place
    elif isinstance(theirs, Sequence) and not isinstance(theirs, str):
        assert len(ours) == len(theirs), place
        for one, other in zip(ours, theirs, strict=True):
            assert_alike(one, other, place, ignored)
    else:
        assert ours == theirs, place


# The simulated server: whole conversations, and what no recording has.

CHATS = "llama3.2:1b"
THINKS = "qwen3:8b"
EMBEDS = "nomic-embed-text"
SCRIPT = {"rate_bytes_per_s": 10**10, "tokens_per_s": 5000, "line_interval_ms": 1, "load_s": 0.01}
TIMES = frozenset({"created_at", "modified_at", "expires_at"}) | {
    f"{part}_duration" for part in ("total", "load", "eval", "prompt_eval")
}
ASK = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Why is the sky blue?"}]
PICTURE = b"\x89PNG\r\n\x1a\n" + bytes(30)
WEATHER = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "Say what the weather is like.",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string", "description": "Where"}},
            "required": ["city"],
        },
    },
}
CALLED = {
    "role": "assistant",
    "content": "",
    "tool_calls": [{"function": {"name": "weather", "arguments": {"city": "Oslo"}}}],
}
TOLD = {"role": "tool", "tool_name": "weather", "content": "rain"}
SCHEMA = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}


def alike(name: str, *arguments: Any, **given: Any) -> Pair:
    """Make a call that has the same name and arguments in both."""
    return Pair(lambda c: getattr(c, name)(*arguments, **given), lambda c: getattr(c, name)(*arguments, **given))


def streamed(name: str, *arguments: Any, **given: Any) -> Pair:
    """Make a call that streams."""
    ours = name if name in ("pull", "push", "create") else f"stream_{name}"
    return Pair(
        lambda c: collected(getattr(c, ours)(*arguments, **given)),
        lambda c: getattr(c, name)(*arguments, stream=True, **given),
    )


SIMULATED = {
    "chat": alike("chat", CHATS, ASK),
    "chat streamed": streamed("chat", CHATS, ASK),
    "chat with options": streamed("chat", CHATS, ASK, options={"num_predict": 5, "seed": 1, "stop": ["x"]}),
    "chat kept alive": alike("chat", CHATS, ASK, keep_alive="10m"),
    "chat as JSON": alike("chat", CHATS, ASK, format="json"),
    "chat by a schema": alike("chat", CHATS, ASK, format=SCHEMA),
    "chat with likelihoods": streamed("chat", CHATS, ASK, logprobs=True, top_logprobs=2),
    "chat with tools": streamed("chat", CHATS, ASK, tools=[WEATHER]),
    "chat with the result of a tool": alike("chat", CHATS, [*ASK, CALLED, TOLD], tools=[WEATHER]),
    "chat that loads": alike("chat", CHATS, []),
    "chat with a missing model": alike("chat", "nope", ASK),
    "chat that thinks": streamed("chat", THINKS, ASK, think=True),
    "chat that does not": alike("chat", THINKS, ASK, think=False),
    "chat that cannot think": streamed("chat", CHATS, ASK, think=True),
    "chat that cannot see": alike("chat", CHATS, [{**ASK[1], "images": [PICTURE]}]),
    "generate": alike("generate", CHATS, "Why?", system="Be brief."),
    "generate streamed": streamed("generate", CHATS, "Why?"),
    "generate raw": alike("generate", CHATS, "Why?", raw=True),
    "generate that loads": alike("generate", CHATS),
    "generate that thinks": streamed("generate", THINKS, "Why?", think=True),
    "generate that cannot see": alike("generate", CHATS, "Why?", images=[PICTURE]),
    "embed": alike("embed", EMBEDS, ["one", "two"]),
    "embed one": alike("embed", EMBEDS, "one", dimensions=4),
    "embed with another kind of model": alike("embed", CHATS, "one"),
    "embeddings": alike("embeddings", EMBEDS, "one"),
    "list": Pair(lambda c: c.tags(), lambda c: c.list()),
    "ps": alike("ps"),
    "show": alike("show", CHATS),
    "show a missing model": alike("show", "nope"),
    "pull what is there": streamed("pull", CHATS),
    "pull a missing model": streamed("pull", "nope-nope"),
    "push": streamed("push", "nope"),
    "create": streamed("create", "pirate", from_=CHATS, system="Be a pirate.", parameters={"stop": ["AYE"]}),
    "create of nothing": streamed("create", "pirate"),
    "copy": alike("copy", CHATS, "second"),
    "copy a missing model": alike("copy", "nope", "second"),
    "delete": Pair(lambda c: c.delete("ours"), lambda c: c.delete("theirs")),
    "delete a missing model": alike("delete", "nope"),
}


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
async def simulated(anyio_backend: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[str]:
    async with DemoServer(tmp_path_factory.mktemp("simulated"), SCRIPT) as server:
        async with Client(server.base_url) as client:
            for name in (CHATS, THINKS, EMBEDS):
                await collected(client.pull(name))
        yield server.base_url


@pytest.mark.parametrize("kind", [ollama.AsyncClient, ollama.Client], ids=["async", "sync"])
@pytest.mark.parametrize("name", SIMULATED)
async def test_the_simulated_server_gives_the_same(name: str, kind: type, simulated: str) -> None:
    async with Client(simulated, api_key="") as client:
        if name == "delete":
            await client.copy(CHATS, "ours")
            await client.copy(CHATS, "theirs")
        if name == "create":
            # The second finds its layers there.
            await outcome_of_ours(client, SIMULATED[name])
        theirs = await outcome_of_theirs(kind, simulated, SIMULATED[name])
        ours = await outcome_of_ours(client, SIMULATED[name])
    assert_alike(ours, theirs, f"/api/{name.split()[0]}", TIMES)


async def test_the_simulated_server_takes_the_same_file(simulated: str, tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    path.write_bytes(b"GGUF" + bytes(3_000_000))
    pair = Pair(lambda c: collected(c.create_blob(path)), lambda c: c.create_blob(path))
    async with Client(simulated) as client:
        digest = await digest_of(path)
        assert not await client.blob_exists(digest)
        steps = await pair.ours(client)
        assert isinstance(steps, list)
        assert steps[-1].digest == digest == await theirs_of(ollama.AsyncClient, simulated, pair)
        assert await client.blob_exists(digest)


# The web: both ask ollama.com where they have a key. Nobody does here.


class OllamaCom:
    """What stands for it, and keeps what was asked."""

    def __init__(self) -> None:
        self.requests: list[httpx.Request] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        if request.url.path.endswith("web_search"):
            return httpx.Response(200, json={"results": [{"title": "a", "url": "https://a", "content": "b"}]})
        return httpx.Response(200, json={"title": "a", "content": "b", "links": ["https://c"]})


@pytest.mark.parametrize(
    "pair",
    [
        pytest.param(alike("web_search", "sky", max_results=2), id="search"),
        pytest.param(alike("web_fetch", "https://a"), id="fetch"),
    ],
)
async def test_the_web_is_asked_the_same(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OLLAMA_API_KEY", "key")
    site = OllamaCom()
    transport = httpx.MockTransport(site)
    theirs = await pair.official(ollama.AsyncClient("http://127.0.0.1:9", transport=transport))
    async with Client("http://127.0.0.1:9", transport=transport) as client:
        ours = await pair.ours(client)
    assert_alike(ours, theirs, "web")
    official, own = site.requests
    assert own.method == official.method
    assert own.url == official.url
    assert own.headers["Authorization"] == official.headers["Authorization"] == "Bearer key"
    assert json.loads(own.content) == json.loads(official.content)
