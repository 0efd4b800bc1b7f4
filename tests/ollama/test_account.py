"""The account at ollama.com, and the web: where to sign in, and where a key goes."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import httpx
import pytest

from launcher.domain.address import Address
from launcher.ollama import (
    Account,
    Client,
    CloudStatus,
    NotSignedIn,
    ProtocolBroken,
    Reason,
    Recommendation,
    Refused,
    WebPage,
    WebResult,
)
from launcher.ollama import client as client_module
from launcher.ollama.transport import Transport

pytestmark = pytest.mark.anyio

SIGN_IN = "https://ollama.com/connect?name=box&key=c3NoLWVk"


class Server:
    """Answers all with the same, and keeps what was asked."""

    def __init__(self, status: int = 200, **members: Any) -> None:
        self.answer = httpx.Response(status, json=members)
        self.requests: list[httpx.Request] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        return httpx.Response(self.answer.status_code, headers=self.answer.headers, content=self.answer.content)

    @property
    def transport(self) -> httpx.MockTransport:
        return httpx.MockTransport(self)


async def test_whose_account_it_is() -> None:
    server = Server(id="7", email="a@b", name="a", plan="free", avatarurl=None, new=1)
    async with Client(transport=server.transport) as client:
        assert await client.me() == Account(id="7", email="a@b", name="a", plan="free")
        await client.signout()
    assert [(request.method, request.url.path) for request in server.requests] == [
        ("POST", "/api/me"),
        ("POST", "/api/signout"),
    ]


async def test_where_to_sign_in_is_told() -> None:
    server = Server(401, error="unauthorized", signin_url=SIGN_IN)
    async with Client(transport=server.transport) as client:
        for call in (client.me(), client.chat("x:cloud"), client.web_search("sky")):
            with pytest.raises(NotSignedIn) as caught:
                await call
            error = caught.value
            assert (error.status, error.reason, error.signin_url) == (401, Reason.NOT_ALLOWED, SIGN_IN)
            assert error.title == "This Ollama server is not signed in at ollama.com."
            assert SIGN_IN in error.hint


@pytest.mark.parametrize("url", ["javascript:alert(1)", "http://evil.example", "file:///etc/passwd", 3, None, ""])
async def test_only_an_address_for_a_browser_is_told(url: object) -> None:
    server = Server(401, error="unauthorized", signin_url=url)
    async with Client(transport=server.transport) as client:
        with pytest.raises(Refused) as caught:
            await client.me()
    assert type(caught.value) is Refused
    assert "evil" not in caught.value.hint


@pytest.mark.parametrize(
    ("status", "text", "reason"),
    [
        (401, "you are not currently signed in", Reason.NOT_ALLOWED),
        (500, "there was an error signing out", Reason.CLOUD_UNREACHABLE),
        (503, "account unavailable", Reason.CLOUD_UNREACHABLE),
        (402, "payment required", Reason.NOT_ALLOWED),
        (429, "slow down", Reason.BUSY),
        (403, "ollama cloud is disabled: web search is unavailable", Reason.CLOUD_OFF),
    ],
)
async def test_what_goes_wrong_with_it(status: int, text: str, reason: Reason) -> None:
    async with Client(transport=Server(status, error=text).transport) as client:
        with pytest.raises(Refused) as caught:
            await client.signout()
    assert caught.value.reason is reason
    assert caught.value.hint


async def test_recommendations() -> None:
    told = {"model": "gemma4", "vram_bytes": 12_000_000_000, "required_plan": None}
    async with Client(transport=Server(recommendations=[told]).transport) as client:
        [model] = (await client.recommendations()).recommendations
    assert model == Recommendation(model="gemma4", vram_bytes=12_000_000_000)


@pytest.mark.parametrize("members", [{}, {"cloud": None}, {"cloud": {}}], ids=["nothing", "null", "empty"])
async def test_servers_that_do_not_tell_about_the_cloud(members: dict[str, Any]) -> None:
    async with Client(transport=Server(**members).transport) as client:
        assert await client.cloud_status() == CloudStatus()


# The web


async def test_without_a_key_the_server_searches() -> None:
    server = Server(results=[{"title": "a", "url": "https://a", "content": "b"}], title="c")
    async with Client("http://127.0.0.1:9", transport=server.transport) as client:
        assert (await client.web_search("sky")).results == (WebResult(title="a", url="https://a", content="b"),)
        assert await client.web_fetch("https://a") == WebPage(title="c")
    assert [str(request.url) for request in server.requests] == [
        "http://127.0.0.1:9/api/experimental/web_search",
        "http://127.0.0.1:9/api/experimental/web_fetch",
    ]
    assert [json.loads(request.content) for request in server.requests] == [{"query": "sky"}, {"url": "https://a"}]
    assert all("Authorization" not in request.headers for request in server.requests)


@pytest.mark.parametrize(
    ("host", "given", "environment", "expected"),
    [
        pytest.param("127.0.0.1:9", None, " key ", "https://ollama.com/api/web_search", id="of the environment"),
        pytest.param("127.0.0.1:9", "key", None, "https://ollama.com/api/web_search", id="given, server here"),
        pytest.param("https://ollama.com", "key", None, "https://ollama.com/api/web_search", id="of ollama.com"),
        pytest.param("http://box.lan", None, "key", "https://ollama.com/api/web_search", id="server in the house"),
        pytest.param("https://box.lan", "key", None, "https://box.lan/api/experimental/web_search", id="of another"),
        pytest.param("127.0.0.1:9", "", "key", "http://127.0.0.1:9/api/experimental/web_search", id="none wanted"),
        pytest.param("127.0.0.1:9", None, "  ", "http://127.0.0.1:9/api/experimental/web_search", id="empty"),
    ],
)
async def test_where_a_key_goes(
    host: str, given: str | None, environment: str | None, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if environment is not None:
        monkeypatch.setenv("OLLAMA_API_KEY", environment)
    server = Server(results=[])
    async with Client(host, api_key=given, transport=server.transport, headers={"X-Own": "1"}) as client:
        await client.web_search("sky", 3)
        await client.web_search("sky", 3)
    for request in server.requests:
        assert str(request.url).replace(":443", "") == expected
        key = request.headers.get("Authorization")
        assert key == ("Bearer key" if request.url.scheme == "https" else None)
        # What was given for the server stays there.
        assert ("X-Own" in request.headers) == (request.url.host != "ollama.com")


async def test_a_search_is_not_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OLLAMA_API_KEY", "key")
    server = Server(502, error="bad gateway")
    async with Client(transport=server.transport) as client:
        with pytest.raises(Refused):
            await client.web_search("sky")
    assert len(server.requests) == 1


async def test_searches_at_once_share_their_connections(monkeypatch: pytest.MonkeyPatch) -> None:
    made = []

    class Counted(Transport):
        def __init__(self, address: Address, **rest: Any) -> None:
            made.append(address.host)
            super().__init__(address, **rest)

    monkeypatch.setattr(client_module, "Transport", Counted)
    async with Client("127.0.0.1:9", api_key="key", transport=Server(results=[]).transport) as client:
        await asyncio.gather(client.web_search("sky"), client.web_search("sea"), client.web_search("sun"))
    assert made == ["127.0.0.1", "ollama.com"]


async def test_no_redirect_takes_the_key_along(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OLLAMA_API_KEY", "key")
    requests = []

    def answer(request: httpx.Request) -> httpx.Response:
        requests.append(request)
        return httpx.Response(307, headers={"Location": "https://evil.example/"})

    async with Client(transport=httpx.MockTransport(answer)) as client:
        with pytest.raises(ProtocolBroken, match="evil"):
            await client.web_fetch("https://a")
    assert [request.url.host for request in requests] == ["ollama.com"]


@pytest.mark.parametrize("key", ["", "key"], ids=["by the server", "directly"])
async def test_a_slow_page_is_waited_for_as_long_as_a_call_may_take(key: str) -> None:
    bounds = []

    def answer(request: httpx.Request) -> httpx.Response:
        bounds.append(request.extensions["timeout"]["read"])
        return httpx.Response(200, json={})

    async with Client("127.0.0.1:9", api_key=key, transport=httpx.MockTransport(answer)) as client:
        await client.web_fetch("https://a")
        await client.web_fetch("https://a", timeout_s=90)
    assert bounds == [60.0, 90]
