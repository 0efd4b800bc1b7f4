"""The account of the server, the web behind it, and the cloud that can be switched off."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest

from launcher.demo.script import InvalidScript
from launcher.demo.script_file import parse_script
from tests.demo.comparing import ask, differences
from tests.demo.recorded import talk_to
from tests.support.demo_server import DemoServer

SEARCH, FETCH = "/api/experimental/web_search", "/api/experimental/web_fetch"
PAGE = {"title": "A page", "content": "Its text", "links": ["https://example.com/b"]}
RESULTS = [{"title": f"{n}", "url": f"https://example.com/{n}", "content": "…"} for n in range(7)]


async def codes(client: httpx.AsyncClient, *requests: tuple[str, Mapping[str, Any]]) -> list[int]:
    return [(await client.post(path, json=body)).status_code for path, body in requests]


@pytest.mark.anyio
async def test_recommendations_are_those_of_a_server_that_was_never_online(tmp_path: Path) -> None:
    async with DemoServer(tmp_path) as demo, talk_to(demo.base_url) as client:
        theirs, ours = await ask(client, "api/recommendations")
    assert differences("recommendations", theirs, ours, words=True) == []


@pytest.mark.anyio
async def test_signed_in_until_signed_out(tmp_path: Path) -> None:
    script = {
        "account": {"state": "signed_in", "name": "grace", "plan": "pro"},
        "web": {"results": RESULTS, "pages": {"https://example.com/a": PAGE}},
    }
    async with DemoServer(tmp_path, script) as demo, talk_to(demo.base_url) as client:
        me = (await client.post("/api/me")).json()
        assert (me["name"], me["plan"]) == ("grace", "pro")
        assert (await client.post(SEARCH, json={"query": "x"})).json() == {"results": RESULTS[:5]}
        assert (await client.post(SEARCH, json={"query": "x", "max_results": 2})).json() == {"results": RESULTS[:2]}
        assert (await client.post(FETCH, json={"url": "https://example.com/a"})).json() == PAGE
        assert (await client.post(FETCH, json={"url": "https://example.com/z"})).status_code == 404

        answer = await client.post("/api/signout")
        assert (answer.status_code, answer.text) == (200, "null")
        refused = await client.post("/api/me")
        assert refused.status_code == 401
        assert refused.json()["error"] == "unauthorized"
        assert refused.json()["signin_url"].startswith("https://ollama.com/connect?")
        again = await client.request("DELETE", "/api/user/keys/abc")
        assert (again.status_code, again.json()) == (401, {"error": "you are not currently signed in"})
        assert await codes(client, (SEARCH, {"query": "x"}), (FETCH, {"url": "x"})) == [401, 401]


@pytest.mark.anyio
async def test_no_cloud_at_all(tmp_path: Path) -> None:
    async with (
        DemoServer(tmp_path, environment={"OLLAMA_NO_CLOUD": "1"}) as demo,
        talk_to(demo.base_url) as client,
    ):
        assert (await client.get("/api/status")).json() == {"cloud": {"disabled": True, "source": "env"}}
        refused = await client.post(SEARCH, json={"query": "x"})
        assert (refused.status_code, refused.json()) == (
            403,
            {"error": "ollama cloud is disabled: web search is unavailable"},
        )
        body = {"model": "gpt-oss:120b-cloud", "messages": []}
        assert (await client.post("/api/chat", json=body)).json() == {
            "error": "ollama cloud is disabled: remote model is unavailable"
        }
        assert "Ollama cloud disabled: true" in demo.log_text()


@pytest.mark.anyio
async def test_a_model_of_the_cloud_is_listed_and_not_run(tmp_path: Path) -> None:
    async with DemoServer(tmp_path) as demo, talk_to(demo.base_url) as client:
        await client.post("/api/create", json={"model": "far", "from": "gpt-oss:120b-cloud"})
        (listed,) = (await client.get("/api/tags")).json()["models"]
        assert (listed["remote_model"], listed["remote_host"]) == ("gpt-oss:120b", "https://ollama.com:443")
        shown = (await client.post("/api/show", json={"model": "far"})).json()
        assert shown["remote_model"] == "gpt-oss:120b"
        body = {"model": "far", "messages": [{"role": "user", "content": "x"}]}
        assert (await client.post("/api/chat", json=body)).status_code == 502


def test_a_state_that_is_none() -> None:
    with pytest.raises(InvalidScript, match="state in account must be one of offline, signed_out, signed_in"):
        parse_script({"account": {"state": "asleep"}})
