"""Which model is talked to when none is named, what is installed, and a look at the server that never raises."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from launcher.errors import InvalidInput
from launcher.ollama import Client, HealthRecord, NoModelInstalled, NotRunning, Refused
from tests.support.raw_server import RawServer
from tests.support.waiting import eventually

pytestmark = pytest.mark.anyio

CHAT = ["completion", "tools"]


def model(name: str, capabilities: list[str] | None = None, **members: Any) -> dict[str, Any]:
    return {"name": name, "model": name, "capabilities": capabilities, **members}


class Ollama:
    """A server with these models, as a handler of httpx's MockTransport."""

    def __init__(
        self, *installed: dict[str, Any], loaded: tuple[str, ...] = (), shown: dict[str, Any] | None = None
    ) -> None:
        self.installed = list(installed)
        self.loaded = list(loaded)
        self.shown = shown or {}
        self.paths: list[str] = []
        self.headers: dict[str, str] = {}

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.paths.append(request.url.path)
        match request.url.path:
            case "/api/version":
                return httpx.Response(200, json={"version": "0.33.0"}, headers=self.headers)
            case "/api/tags":
                return httpx.Response(200, json={"models": self.installed})
            case "/api/ps":
                return httpx.Response(200, json={"models": [model(name) for name in self.loaded]})
            case "/api/show":
                name = json.loads(request.content)["model"]
                listed = {entry["name"]: {"capabilities": entry["capabilities"]} for entry in self.installed}
                if name not in self.shown and listed.get(name, {}).get("capabilities"):
                    return httpx.Response(200, json=listed[name])
                if name not in self.shown:
                    return httpx.Response(404, json={"error": f"model '{name}' not found"})
                return httpx.Response(200, json=self.shown[name])
            case "/api/chat":
                name = json.loads(request.content)["model"]
                return httpx.Response(200, json={"model": name, "message": {"content": "hi"}, "done": True})
        return httpx.Response(404, text="404 page not found")

    def client(self, default_model: str = "", **options: Any) -> Client:
        return Client(transport=httpx.MockTransport(self), default_model=default_model, retries=0, **options)


EMBEDDER = model("nomic-embed-text:latest", ["embedding"])
PAINTER = model("z-image:latest", ["image"])
STUB = model("gpt-oss:120b-cloud", CHAT, remote_host="https://ollama.com:443", remote_model="gpt-oss:120b")
LLAMA = model("llama3.2:1b", CHAT)
QWEN = model("qwen3:8b", CHAT)


@pytest.mark.parametrize(
    ("server", "default", "found"),
    [
        pytest.param(Ollama(LLAMA, QWEN), "", "llama3.2:1b", id="the first installed one"),
        pytest.param(Ollama(LLAMA, QWEN, loaded=("qwen3:8b",)), "", "qwen3:8b", id="a loaded one"),
        pytest.param(Ollama(LLAMA, QWEN, loaded=("llama3.2:1b",)), "qwen3:8b", "qwen3:8b", id="the default"),
        pytest.param(Ollama(LLAMA, QWEN), "QWEN3:8B", "qwen3:8b", id="the default, spelled otherwise"),
        pytest.param(Ollama(LLAMA, QWEN), "mistral", "llama3.2:1b", id="a default that is not installed"),
        pytest.param(Ollama(LLAMA), "no/such/name/at all", "llama3.2:1b", id="a default that cannot be a name"),
        pytest.param(Ollama(LLAMA, EMBEDDER), "nomic-embed-text", "nomic-embed-text:latest", id="a default as it is"),
        pytest.param(Ollama(STUB, LLAMA), "gpt-oss:120b-cloud", "gpt-oss:120b-cloud", id="a default in the cloud"),
        pytest.param(
            Ollama(EMBEDDER, PAINTER, STUB, LLAMA, loaded=("nomic-embed-text:latest", "z-image:latest")),
            "",
            "llama3.2:1b",
            id="neither embeddings nor images nor the cloud",
        ),
        pytest.param(Ollama(LLAMA, loaded=("deleted:latest",)), "", "llama3.2:1b", id="loaded, but deleted"),
        pytest.param(
            Ollama(model("old:latest"), shown={"old:latest": {"capabilities": CHAT}}),
            "",
            "old:latest",
            id="capabilities in show only",
        ),
        pytest.param(
            Ollama(model("made:latest", ["completion"]), LLAMA, shown={"made:latest": {"capabilities": ["embedding"]}}),
            "",
            "llama3.2:1b",
            id="the list says more than is true",
        ),
        pytest.param(
            Ollama(
                model("bert:latest", details={"family": "bert"}),
                model("older:latest", details={"family": "llama"}),
                shown={"bert:latest": {}, "older:latest": {}},
            ),
            "",
            "older:latest",
            id="a server that tells no capabilities",
        ),
        pytest.param(Ollama(model("gone:latest"), LLAMA), "", "llama3.2:1b", id="deleted meanwhile"),
    ],
)
async def test_the_model_of_a_call_that_names_none(server: Ollama, default: str, found: str) -> None:
    async with server.client(default) as client:
        assert await client.detect_model() == found


@pytest.mark.parametrize(
    ("server", "any_installed"),
    [pytest.param(Ollama(), False, id="nothing"), pytest.param(Ollama(EMBEDDER, STUB), True, id="none that can chat")],
)
async def test_nothing_to_talk_to(server: Ollama, any_installed: bool) -> None:
    async with server.client() as client:
        with pytest.raises(NoModelInstalled) as caught:
            await client.detect_model()
    assert caught.value.any_installed is any_installed
    assert caught.value.title.endswith(".")
    assert "llama3.2:1b" in caught.value.hint


async def test_a_conversation_stays_with_its_model() -> None:
    server = Ollama(LLAMA, QWEN)
    async with server.client() as client:
        first = await client.chat(messages=[{"role": "user", "content": "Hi"}])
        server.loaded = ["qwen3:8b"]
        second = await client.chat(messages=[{"role": "user", "content": "Hi"}])
    assert (first.model, second.model) == ("llama3.2:1b", "llama3.2:1b")
    assert server.paths.count("/api/tags") == 1


async def test_the_default_model_costs_no_request() -> None:
    server = Ollama(LLAMA, QWEN)
    async with server.client("qwen3:8b") as client:
        assert (await client.chat(messages=[{"role": "user", "content": "Hi"}])).model == "qwen3:8b"
    assert server.paths == ["/api/chat"]


@pytest.mark.parametrize(
    ("name", "there"),
    [
        ("llama3.2:1b", True),
        ("LLAMA3.2:1B", True),
        ("registry.ollama.ai/library/llama3.2:1b", True),
        ("llama3.2", False),
        ("nomic-embed-text", True),
        (" nomic-embed-text ", True),
        ("gpt-oss:120b:cloud", True),
        ("", False),
        ("a b", False),
    ],
)
async def test_has_model(name: str, there: bool) -> None:
    async with Ollama(LLAMA, EMBEDDER, STUB).client() as client:
        assert await client.has_model(name) is there


async def test_a_healthy_server() -> None:
    async with Ollama(LLAMA).client() as client:
        record = await client.check_health()
    assert record == HealthRecord(
        connected=True,
        model_detected=True,
        model_id="llama3.2:1b",
        base_url="http://127.0.0.1:11434",
        provider_type="ollama",
        error=None,
        checked_at=record.checked_at,
        latency_ms=record.latency_ms,
    )
    assert record.ok
    assert record.checked_at.tzinfo is UTC
    assert abs(datetime.now(UTC) - record.checked_at) < timedelta(seconds=30)
    assert record.latency_ms is not None
    assert 0 < record.latency_ms < 10_000


async def test_the_simulated_server_is_told() -> None:
    server = Ollama(LLAMA)
    server.headers = {"Ollama-Simulated": "1"}
    async with server.client() as client:
        assert (await client.check_health()).provider_type == "ollama-simulated"


async def test_a_server_without_models_is_connected() -> None:
    async with Ollama().client() as client:
        record = await client.check_health()
    assert (record.connected, record.model_detected, record.model_id, record.ok) == (True, False, None, False)
    assert record.error == "No model is installed."


def _refusing(request: httpx.Request) -> httpx.Response:
    raise httpx.ConnectError("refused")


def _cut(request: httpx.Request) -> httpx.Response:
    raise httpx.ReadError("reset")


def _half(request: httpx.Request) -> httpx.Response:
    if request.url.path == "/api/version":
        return httpx.Response(200, json={"version": "1"})
    return httpx.Response(500, json={"error": "no such thing"})


@pytest.mark.parametrize(
    ("answer", "connected"),
    [
        pytest.param(_refusing, False, id="nobody there"),
        pytest.param(_cut, False, id="cut"),
        pytest.param(lambda _: httpx.Response(200, html="<html>"), False, id="another program"),
        pytest.param(lambda _: httpx.Response(302, headers={"Location": "http://x/"}), False, id="redirect"),
        pytest.param(lambda _: httpx.Response(404, text="404 page not found"), False, id="not ollama"),
        pytest.param(_half, True, id="half of it works"),
    ],
)
async def test_what_is_wrong_is_a_sentence_and_no_exception(
    answer: Callable[[httpx.Request], httpx.Response], connected: bool
) -> None:
    async with Client(transport=httpx.MockTransport(answer)) as client:
        record = await client.check_health()
    assert (record.connected, record.model_detected) == (connected, False)
    assert record.error
    assert record.error.endswith((".", "thing"))
    assert (record.latency_ms is not None) is connected


async def test_an_impossible_host_name_is_a_server_that_is_not_there() -> None:
    async with Client("http://xn--:11434") as client:
        assert not await client.is_running()
        record = await client.check_health()
        with pytest.raises(NotRunning):
            await client.version()
    assert record.error == "No Ollama server answers at http://xn--:11434."


async def test_a_look_by_a_closed_client_tells_that() -> None:
    client = Client(transport=httpx.MockTransport(Ollama()))
    await client.aclose()
    assert (await client.check_health()).error == "This client is closed."
    with pytest.raises(InvalidInput, match="closed"):
        await client.version()
    with pytest.raises(InvalidInput, match="closed"):
        await anext(client.stream_chat("m"))


async def test_the_look_is_bounded() -> None:
    async def never(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    async with RawServer(never) as server, Client(server.address) as client:
        record = await client.check_health(timeout_s=0.05)
    assert not record.connected
    assert record.error == f"The Ollama server at {client.base_url} did not answer in time."


async def test_who_looks_at_the_health_can_be_cancelled() -> None:
    async def never(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    async with RawServer(never) as server, Client(server.address) as client:
        look = asyncio.create_task(client.check_health())
        await eventually(lambda: server.heads)
        look.cancel()
        with pytest.raises(asyncio.CancelledError):
            await look


async def test_failures_of_a_detection_are_the_callers() -> None:
    async with Client(transport=httpx.MockTransport(_half), retries=0) as client:
        with pytest.raises(Refused):
            await client.detect_model()
