"""Look-ups at registries, none of which is real."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Callable
from contextlib import aclosing
from pathlib import Path

import httpx
import pytest

from launcher.domain.names import ModelName
from launcher.ollama import Client, Layer, ModelNotFound, NotRunning, OllamaError, Registry, RegistryFailed
from launcher.ollama.registry import MAX_MANIFEST_BYTES
from tests.support.demo_server import DemoServer
from tests.support.raw_server import RawServer

pytestmark = pytest.mark.anyio

Answerer = Callable[[httpx.Request], httpx.Response]

MANIFEST = {
    "schemaVersion": 2,
    "config": {"mediaType": "application/vnd.docker.container.image.v1+json", "digest": "sha256:c", "size": 5},
    "layers": [
        {"mediaType": "application/vnd.ollama.image.model", "digest": "sha256:a", "size": 700, "from": "/x"},
        {"mediaType": "application/vnd.ollama.image.template", "digest": "sha256:b", "size": 20},
        {"mediaType": "application/vnd.ollama.image.license", "digest": "sha256:b", "size": 20},
    ],
}
BODY = json.dumps(MANIFEST).encode()


class World:
    """A server and the registries of the world, in one transport."""

    def __init__(self, answer: Answerer, *, simulated: bool = False, host: str = "") -> None:
        self._answer = answer
        self._simulated = simulated
        self.asked: list[httpx.Request] = []
        self.client = Client(host, transport=httpx.MockTransport(self._serve), retries=0, api_key="secret")
        self.registry = Registry(self.client, timeout_s=5, transport=lambda: httpx.MockTransport(self._ask))

    def _serve(self, request: httpx.Request) -> httpx.Response:
        return httpx.Response(
            200, json={"version": "1"}, headers={"Ollama-Simulated": "1"} if self._simulated else None
        )

    def _ask(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request)
        return self._answer(request)

    @property
    def urls(self) -> list[str]:
        return [str(request.url) for request in self.asked]


def found(request: httpx.Request) -> httpx.Response:
    return httpx.Response(200, content=BODY)


@pytest.mark.parametrize(
    ("name", "insecure", "url"),
    [
        pytest.param("m", False, "https://registry.ollama.ai/v2/library/m/manifests/latest", id="library"),
        pytest.param("u/m:8b", False, "https://registry.ollama.ai/v2/u/m/manifests/8b", id="user"),
        pytest.param("hf.co/u/r:Q4_0", False, "https://hf.co/v2/u/r/manifests/Q4_0", id="hugging face"),
        pytest.param("box:5000/u/m", True, "http://box:5000/v2/u/m/manifests/latest", id="insecure"),
        pytest.param("http://box/u/m", False, "https://box/v2/u/m/manifests/latest", id="a scheme does not count"),
    ],
)
async def test_the_registry_of_the_name_is_asked(name: str, insecure: bool, url: str) -> None:
    world = World(found)
    async with world.client:
        await world.registry.manifest(ModelName.parse(name), insecure)
    assert world.urls == [url]
    [request] = world.asked
    assert request.headers["Accept"] == "application/vnd.docker.distribution.manifest.v2+json"
    assert request.headers["User-Agent"].startswith("ollama-launcher/")
    assert "Authorization" not in request.headers


async def test_layers_in_the_order_of_a_pull_and_their_sum() -> None:
    world = World(found)
    async with world.client:
        manifest = await world.registry.manifest(ModelName.parse("m"))
    assert [layer.digest for layer in manifest.layers] == ["sha256:a", "sha256:b", "sha256:b", "sha256:c"]
    assert manifest.layers[0] == Layer("sha256:a", 700, "application/vnd.ollama.image.model")
    assert manifest.total_bytes == 725
    assert manifest.digest == hashlib.sha256(BODY).hexdigest()


@pytest.mark.parametrize(
    ("host", "simulated", "url"),
    [
        pytest.param("", True, "http://127.0.0.1:11434/v2/library/m/manifests/latest", id="simulated here"),
        pytest.param("0.0.0.0:7", True, "http://127.0.0.1:7/v2/library/m/manifests/latest", id="on every interface"),
        pytest.param("box.lan", True, "https://registry.ollama.ai/v2/library/m/manifests/latest", id="simulated far"),
        pytest.param("", False, "https://registry.ollama.ai/v2/library/m/manifests/latest", id="real"),
    ],
)
async def test_a_simulated_server_on_this_machine_is_its_own_registry(host: str, simulated: bool, url: str) -> None:
    world = World(found, simulated=simulated, host=host)
    async with world.client:
        await world.registry.manifest(ModelName.parse("m"))
    assert world.urls == [url]


async def test_a_name_that_the_registry_does_not_know() -> None:
    world = World(lambda request: httpx.Response(404, json={"errors": [{"code": "MANIFEST_UNKNOWN"}]}))
    async with world.client:
        with pytest.raises(ModelNotFound) as caught:
            await world.registry.manifest(ModelName.parse("nope"))
    assert caught.value.title == "The registry knows no such model."


def fails(error: Exception) -> Answerer:
    def answer(request: httpx.Request) -> httpx.Response:
        raise error

    return answer


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(fails(httpx.ConnectError("no such host")), id="unreachable"),
        pytest.param(fails(httpx.ReadTimeout("slow")), id="silent"),
        pytest.param(fails(httpx.ReadError("reset")), id="reset"),
        pytest.param(lambda request: httpx.Response(401, json={"errors": [{"message": "no"}]}), id="key wanted"),
        pytest.param(lambda request: httpx.Response(500, text="no"), id="failed"),
        pytest.param(lambda request: httpx.Response(200, text="<html>"), id="HTML"),
        pytest.param(lambda request: httpx.Response(200, json={}), id="no layers"),
        pytest.param(
            lambda request: httpx.Response(200, json={"layers": [{"digest": "x", "size": -1}]}), id="negative"
        ),
        pytest.param(lambda request: httpx.Response(200, json={"layers": "x"}), id="nonsense"),
        pytest.param(lambda request: httpx.Response(200, content=b" " * (MAX_MANIFEST_BYTES + 1)), id="too long"),
        pytest.param(lambda request: httpx.Response(302), id="a redirect to nowhere"),
        pytest.param(
            lambda request: httpx.Response(302, headers={"Location": "https://[x/"}), id="a redirect to nonsense"
        ),
    ],
)
async def test_whatever_goes_wrong_is_one_error(answer: Answerer) -> None:
    world = World(answer)
    async with world.client:
        with pytest.raises(RegistryFailed) as caught:
            await world.registry.manifest(ModelName.parse("m"))
    assert caught.value.title == "The registry registry.ollama.ai does not tell what this model consists of."
    assert caught.value.detail


async def test_an_impossible_host_is_the_same_error() -> None:
    world = World(found)
    async with world.client:
        with pytest.raises(RegistryFailed):
            await world.registry.manifest(ModelName.parse("a:b:c/u/m"))
    assert world.asked == []


async def test_redirects_are_followed_from_https_to_https() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.host == "hf.co":
            return httpx.Response(307, headers={"Location": "https://huggingface.co" + request.url.path})
        return found(request)

    world = World(answer)
    async with world.client:
        assert (await world.registry.manifest(ModelName.parse("hf.co/u/r"))).total_bytes == 725
    assert [request.url.host for request in world.asked] == ["hf.co", "huggingface.co"]


@pytest.mark.parametrize(
    ("insecure", "location", "asked"),
    [
        pytest.param(False, "http://x/", 1, id="to http"),
        pytest.param(True, "https://x/", 1, id="from http"),
        pytest.param(False, "https://x/", 4, id="for ever"),
    ],
)
async def test_other_redirects_are_not(insecure: bool, location: str, asked: int) -> None:
    world = World(lambda request: httpx.Response(302, headers={"Location": location}))
    async with world.client:
        with pytest.raises(RegistryFailed):
            await world.registry.manifest(ModelName.parse("box/u/m"), insecure)
    assert len(world.asked) == asked


async def test_a_server_that_does_not_answer_is_told_as_such(free_port: int) -> None:
    async with Client(f"127.0.0.1:{free_port}") as client:
        with pytest.raises(NotRunning):
            await Registry(client).manifest(ModelName.parse("m"))


async def test_silence_is_bounded() -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    async with RawServer(answer) as server:
        name = ModelName.parse(f"{server.address.removeprefix('http://')}/u/m")
        client = Client(transport=httpx.MockTransport(lambda request: httpx.Response(200, json={"version": "1"})))
        async with client:
            with pytest.raises(OllamaError) as caught:
                await Registry(client, timeout_s=0.05).manifest(name, insecure=True)
        assert isinstance(caught.value, RegistryFailed)


@pytest.mark.blocks_loop("starting a process waits for a processor, up to 200 ms on a busy machine")
async def test_the_simulated_registry_announces_what_is_installed_then(tmp_path: Path) -> None:
    async with DemoServer(tmp_path) as server, Client(server.base_url) as client:
        registry = Registry(client)
        manifest = await registry.manifest(ModelName.parse("nomic-embed-text"))
        async with aclosing(client.pull("nomic-embed-text")) as lines:
            digests = {line.digest async for line in lines if line.digest}
        [model] = (await client.tags()).models
        assert (model.size, model.digest) == (sum(layer.size_bytes for layer in manifest.layers), manifest.digest)
        assert digests <= {layer.digest for layer in manifest.layers}
        with pytest.raises(ModelNotFound):
            await registry.manifest(ModelName.parse("no-such-model"))
