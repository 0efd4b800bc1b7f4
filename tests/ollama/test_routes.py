"""Several calls in one story, each by its own route: what is asked for where, and in which order.

By respx, which knows routes and counts their calls. Tests of one answer hand a transport of httpx's to the client, and
those of broken connections talk to a socket: neither needs routes.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator

import httpx
import pytest
import respx

from launcher.ollama import Client, ModelNotFound, ProtocolBroken, Refused

pytestmark = pytest.mark.anyio

HOST = "http://127.0.0.1:11434"


@pytest.fixture
async def routes() -> AsyncIterator[respx.MockRouter]:
    async with respx.mock(base_url=HOST) as router:
        yield router


def body(call: respx.models.Call) -> object:
    return json.loads(call.request.content)


async def test_a_model_that_only_embeds_is_loaded_by_the_other_route(routes: respx.MockRouter) -> None:
    refused = httpx.Response(400, json={"error": '"embed:latest" does not support generate'})
    generate = routes.post("/api/generate").mock(return_value=refused)
    embed = routes.post("/api/embed").respond(json={"model": "embed", "embeddings": []})
    async with Client(HOST) as client:
        loaded = await client.load("embed", keep_alive="10m")
    assert (loaded.done, loaded.done_reason) == (True, "load")
    assert [call.request.url.path for call in routes.calls] == ["/api/generate", "/api/embed"]
    assert body(generate.calls.last) == {"model": "embed", "keep_alive": "10m", "stream": False}
    assert body(embed.calls.last) == {"model": "embed", "keep_alive": "10m", "input": []}


async def test_another_refusal_to_load_asks_no_other_route(routes: respx.MockRouter) -> None:
    routes.post("/api/generate").respond(500, json={"error": "llama-server process has terminated: exit status 1"})
    async with Client(HOST) as client:
        with pytest.raises(Refused):
            await client.load("llama3.2:1b")
    assert len(routes.calls) == 1


async def test_a_gateway_that_is_unwell_is_asked_again_but_only_for_what_changes_nothing(
    routes: respx.MockRouter,
) -> None:
    tags = routes.get("/api/tags").mock(side_effect=[httpx.Response(502), httpx.Response(200, json={"models": []})])
    delete = routes.delete("/api/delete").respond(502)
    async with Client(HOST) as client:
        assert (await client.tags()).models == ()
        with pytest.raises(Refused):
            await client.delete("llama3.2:1b")
    assert (tags.call_count, delete.call_count) == (2, 1)


async def test_a_copy_and_a_removal_carry_their_names(routes: respx.MockRouter) -> None:
    copy = routes.post("/api/copy").respond(200)
    delete = routes.delete("/api/delete")
    delete.side_effect = [httpx.Response(200), httpx.Response(404, json={"error": "model 'b' not found"})]
    async with Client(HOST) as client:
        await client.copy("a", "b")
        await client.delete("b")
        with pytest.raises(ModelNotFound):
            await client.delete("b")
    assert body(copy.calls.last) == {"source": "a", "destination": "b"}
    assert [body(call) for call in delete.calls] == [{"model": "b"}, {"model": "b"}]


@pytest.mark.parametrize("status", [404, 405])
async def test_a_server_without_a_version_is_no_ollama(routes: respx.MockRouter, status: int) -> None:
    routes.get("/api/version").respond(status, text="nothing here")
    async with Client(HOST) as client:
        with pytest.raises(ProtocolBroken):
            await client.version()
