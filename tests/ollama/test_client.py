"""Single calls: what is sent, what comes back, how long is waited, and where a key goes."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import httpx
import pytest

from launcher import __version__
from launcher.domain.address import Address
from launcher.errors import InvalidInput
from launcher.ollama import (
    Client,
    CutStream,
    InvalidAddress,
    Limits,
    ModelNotFound,
    NotRunning,
    OllamaError,
    ProtocolBroken,
    Reason,
    Refused,
    ServerVersion,
    TimedOut,
    Timeouts,
)
from launcher.ollama.errors import START_IT
from launcher.ollama.rescue import Backoff
from launcher.ollama.tls import trusted, trusting_nobody
from launcher.ollama.transport import MAX_BODY_BYTES
from tests.support.raw_server import JSON_HEAD, RawServer, answering

pytestmark = pytest.mark.anyio

VERSION = b'{"version":"0.33.0"}'
OK = JSON_HEAD + b"Content-Length: 20\r\n\r\n" + VERSION


class Server:
    """What a handler of httpx's MockTransport has seen, and its answers in turn; the last one repeats."""

    def __init__(self, *answers: httpx.Response | Exception) -> None:
        self._answers = list(answers)
        self.requests: list[httpx.Request] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        if isinstance(answer, Exception):
            raise answer
        return httpx.Response(answer.status_code, headers=answer.headers, content=answer.content)

    @property
    def transport(self) -> httpx.MockTransport:
        return httpx.MockTransport(self)

    @property
    def sent(self) -> Any:
        return json.loads(self.requests[-1].content)


def good(**members: object) -> httpx.Response:
    return httpx.Response(200, json=members)


# What is sent


@pytest.mark.parametrize(
    ("call", "method", "path", "body"),
    [
        pytest.param(lambda c: c.version(), "GET", "/api/version", None, id="version"),
        pytest.param(lambda c: c.tags(), "GET", "/api/tags", None, id="tags"),
        pytest.param(lambda c: c.ps(), "GET", "/api/ps", None, id="ps"),
        pytest.param(lambda c: c.show("m"), "POST", "/api/show", {"model": "m"}, id="show"),
        pytest.param(
            lambda c: c.show("m", verbose=True),
            "POST",
            "/api/show",
            {"model": "m", "verbose": True},
            id="show verbosely",
        ),
        pytest.param(lambda c: c.delete("m"), "DELETE", "/api/delete", {"model": "m"}, id="delete"),
        pytest.param(lambda c: c.copy("a", "b"), "POST", "/api/copy", {"source": "a", "destination": "b"}, id="copy"),
        pytest.param(lambda c: c.load("m"), "POST", "/api/generate", {"model": "m", "stream": False}, id="load"),
        pytest.param(
            lambda c: c.load("m", keep_alive="10m", options={"num_ctx": 512}),
            "POST",
            "/api/generate",
            {"model": "m", "keep_alive": "10m", "options": {"num_ctx": 512}, "stream": False},
            id="load with options",
        ),
        pytest.param(
            lambda c: c.load("m", keep_alive=0.5),
            "POST",
            "/api/generate",
            {"model": "m", "keep_alive": 0.5, "stream": False},
            id="load for half a second",
        ),
        pytest.param(
            lambda c: c.unload("m"),
            "POST",
            "/api/generate",
            {"model": "m", "keep_alive": 0, "stream": False},
            id="unload",
        ),
    ],
)
async def test_requests(call: Callable[[Client], Any], method: str, path: str, body: object) -> None:
    server = Server(good(version="1", models=[]))
    async with Client("http://127.0.0.1:9/prefix/v1", transport=server.transport) as client:
        await call(client)
    [request] = server.requests
    assert (request.method, str(request.url)) == (method, f"http://127.0.0.1:9/prefix{path}")
    assert (json.loads(request.content) if request.content else None) == body
    assert request.headers["User-Agent"].startswith(f"ollama-launcher/{__version__} (")
    assert " Python/" in request.headers["User-Agent"]


async def test_a_model_for_embeddings_is_loaded_by_its_own_route() -> None:
    refused = httpx.Response(400, json={"error": '"m" does not support generate'})
    server = Server(refused, good(model="m", embeddings=[]))
    async with Client(transport=server.transport) as client:
        assert (await client.load("m", keep_alive=-1)).done_reason == "load"
    assert [request.url.path for request in server.requests] == ["/api/generate", "/api/embed"]
    assert server.sent == {"model": "m", "keep_alive": -1, "input": []}


async def test_other_refusals_of_a_load_stay() -> None:
    server = Server(httpx.Response(400, json={"error": "time: invalid duration"}))
    async with Client(transport=server.transport) as client:
        with pytest.raises(Refused):
            await client.load("m", keep_alive="soon")
    assert len(server.requests) == 1


async def test_given_headers_go_along() -> None:
    server = Server(good(version="1"))
    async with Client(headers={"X-Name": "a", "User-Agent": "mine"}, transport=server.transport) as client:
        await client.version()
    assert server.requests[0].headers["X-Name"] == "a"
    assert server.requests[0].headers["User-Agent"] == "mine"


# Which server


@pytest.mark.parametrize(
    ("variable", "host", "url"),
    [
        pytest.param(None, None, "http://127.0.0.1:11434", id="default"),
        pytest.param("0.0.0.0:7", None, "http://127.0.0.1:7", id="environment"),
        pytest.param("0.0.0.0:7", "[::]:8", "http://[::1]:8", id="argument wins"),
        pytest.param("0.0.0.0:7", "", "http://127.0.0.1:11434", id="an empty argument is the default"),
        pytest.param(None, Address.parse("https://x/y"), "https://x:443/y", id="address"),
    ],
)
async def test_base_url(
    variable: str | None, host: str | Address | None, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if variable is not None:
        monkeypatch.setenv("OLLAMA_HOST", variable)
    async with Client(host, transport=Server(good()).transport) as client:
        assert client.base_url == url
        assert client.address.base_url == url


async def test_a_zone_can_be_asked() -> None:
    server = Server(good(version="1"))
    async with Client("[fe80::1%eth0]:80", transport=server.transport) as client:
        await client.version()


def test_an_impossible_host_is_refused() -> None:
    with pytest.raises(InvalidAddress):
        Client("not a host")


# Keys


@pytest.mark.parametrize(
    ("host", "goes"),
    [
        pytest.param("https://example.com", True, id="https"),
        pytest.param("127.0.0.1", True, id="this machine"),
        pytest.param("0.0.0.0", True, id="this machine, every interface"),
        pytest.param("http://[::1]:1", True, id="this machine by IPv6"),
        pytest.param("http://192.168.1.2:11434", False, id="http to another machine"),
        pytest.param("example.com", False, id="http by name"),
    ],
)
@pytest.mark.parametrize("given", ["environment", "argument"])
async def test_a_key_goes_only_where_nobody_reads_it(
    host: str, goes: bool, given: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = Server(good(version="1"))
    if given == "environment":
        monkeypatch.setenv("OLLAMA_API_KEY", " secret ")
    async with Client(host, api_key="secret" if given == "argument" else None, transport=server.transport) as client:
        await client.version()
    sent = server.requests[0].headers.get("Authorization")
    assert sent == ("Bearer secret" if goes else None)
    assert goes or "secret" not in str(server.requests[0].headers.raw)


def test_a_key_in_a_header_is_refused_where_others_could_read_it() -> None:
    with pytest.raises(InvalidInput):
        Client("http://example.com", headers={"authorization": "Bearer secret"})


@pytest.mark.parametrize(("trust_env", "goes"), [(None, True), (False, True), (True, False)])
async def test_no_key_goes_in_clear_where_a_proxy_may_be_on_the_way(trust_env: bool | None, goes: bool) -> None:
    server = Server(good(version="1"))
    async with Client("127.0.0.1", api_key="secret", trust_env=trust_env, transport=server.transport) as client:
        await client.version()
    assert ("Authorization" in server.requests[0].headers) is goes


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_redirects_are_told_and_not_followed(status: int) -> None:
    server = Server(httpx.Response(status, headers={"Location": "http://evil.example/api/version?token=secret"}))
    async with Client("https://example.com", api_key="secret", transport=server.transport) as client:
        with pytest.raises(ProtocolBroken) as caught:
            await client.version()
    assert len(server.requests) == 1
    assert "http://evil.example/api/version" in caught.value.title
    assert "secret" not in caught.value.title + caught.value.detail


async def test_proxies_of_the_environment_do_not_count_on_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:1")
    async with RawServer(answering(OK)) as server, Client(server.address) as client:
        assert (await client.version()).version == "0.33.0"


# Answers


async def test_version_tells_what_is_simulated() -> None:
    real = good(version="0.33.0-rc2")
    simulated = httpx.Response(200, json={"version": "0.33.0"}, headers={"Ollama-Simulated": "1"})
    async with Client(transport=Server(real, simulated).transport) as client:
        assert await client.version() == ServerVersion("0.33.0-rc2", simulated=False)
        assert await client.version() == ServerVersion("0.33.0", simulated=True)


@pytest.mark.parametrize(
    ("answer", "running"),
    [
        pytest.param(httpx.Response(200, text="Ollama is running"), True, id="ollama"),
        pytest.param(httpx.Response(200, text="It works!"), False, id="another program"),
        pytest.param(httpx.Response(500, text="no"), False, id="an error"),
        pytest.param(httpx.ConnectError("refused"), False, id="nothing"),
        pytest.param(httpx.ReadTimeout("slow"), False, id="silence"),
    ],
)
async def test_is_running(answer: httpx.Response | Exception, running: bool) -> None:
    server = Server(answer)
    async with Client(transport=server.transport) as client:
        assert await client.is_running() is running
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"<!doctype html><html>nginx</html>", id="HTML"),
        pytest.param(b'{"version":"\xff"}', id="bad UTF-8"),
        pytest.param(b"{}", id="no version"),
        pytest.param(b'{"version":null}', id="version is null"),
        pytest.param(b'{"version":{}}', id="version is an object"),
        pytest.param(b"", id="nothing"),
        pytest.param(b"[]", id="a list"),
        pytest.param(b"[" * 100_000, id="deep nesting"),
    ],
)
async def test_an_answer_that_is_not_ollamas(body: bytes) -> None:
    async with Client(transport=Server(httpx.Response(200, content=body)).transport) as client:
        with pytest.raises(ProtocolBroken) as caught:
            await client.version()
    assert caught.value.title == "What answers at http://127.0.0.1:11434 does not answer as Ollama does."
    assert len(caught.value.detail) < 600


@pytest.mark.parametrize(
    ("answer", "kind", "reason", "text"),
    [
        pytest.param(
            httpx.Response(404, json={"error": "model 'm' not found"}),
            ModelNotFound,
            Reason.NO_SUCH_MODEL,
            "model 'm' not found",
            id="no such model",
        ),
        pytest.param(
            httpx.Response(404, text="404 page not found"),
            Refused,
            Reason.NO_SUCH_ROUTE,
            "404 page not found",
            id="no such route",
        ),
        pytest.param(
            httpx.Response(404, json={"error": {"message": "model 'm' not found", "code": None}}),
            ModelNotFound,
            Reason.NO_SUCH_MODEL,
            "model 'm' not found",
            id="in the shape of OpenAI",
        ),
        pytest.param(httpx.Response(403), Refused, Reason.HOST_GUARD, "", id="host guard"),
        pytest.param(httpx.Response(401, text="no"), Refused, Reason.NOT_ALLOWED, "no", id="key wanted"),
        pytest.param(httpx.Response(500, text="<html>no</html>"), Refused, Reason.OTHER, "<html>no</html>", id="HTML"),
        pytest.param(httpx.Response(500, json="no"), Refused, Reason.OTHER, '"no"', id="a JSON string"),
        pytest.param(httpx.Response(500, json={"error": 3}), Refused, Reason.OTHER, '{"error":3}', id="a number"),
        pytest.param(httpx.Response(500, content=b"\xff"), Refused, Reason.OTHER, "\ufffd", id="bad UTF-8"),
        pytest.param(httpx.Response(500), Refused, Reason.OTHER, "", id="nothing"),
    ],
)
async def test_refusals(answer: httpx.Response, kind: type[Refused], reason: Reason, text: str) -> None:
    async with Client(transport=Server(answer).transport, retries=0) as client:
        with pytest.raises(Refused) as caught:
            await client.show("m")
    error = caught.value
    assert (type(error), error.status, error.reason, error.text) == (kind, answer.status_code, reason, text)
    assert error.title


async def test_a_huge_error_body_is_cut() -> None:
    async with Client(transport=Server(httpx.Response(500, content=b"x" * 10_000_000)).transport) as client:
        with pytest.raises(Refused) as caught:
            await client.tags()
    assert len(caught.value.text) < 10_000_000
    assert len(caught.value.title) < 500


async def test_the_same_list_of_models_is_read_once() -> None:
    """Whoever watches asks every few seconds."""
    server = Server(good(models=[{"name": "a"}]), good(models=[{"name": "a"}]), good(models=[{"name": "b"}]))
    async with Client(transport=server.transport) as client:
        first, same, other = [await client.tags() for _ in range(3)]
    assert same is first
    assert [model.name for model in other.models] == ["b"]


async def test_an_answer_of_ten_megabytes_is_read() -> None:
    body = json.dumps({"version": "x" * 10_000_000}).encode()
    async with Client(transport=Server(httpx.Response(200, content=body)).transport) as client:
        assert len((await client.version()).version) == 10_000_000


# Bounds


async def test_a_body_that_never_ends_is_cut_off() -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(JSON_HEAD + b"\r\n")
        while True:
            writer.write(b" " * 1024 * 1024)
            await writer.drain()

    async with RawServer(answer) as server, Client(server.address) as client:
        with pytest.raises(ProtocolBroken, match="too long") as caught:
            await client.tags()
        assert str(MAX_BODY_BYTES) in caught.value.detail
        await server.wait_closed()


async def trickle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Send a byte now and then: no single read is ever late."""
    writer.write(JSON_HEAD + b"\r\n")
    while True:
        writer.write(b" ")
        await writer.drain()
        await asyncio.sleep(0.01)


async def silence(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    if not await reader.read():
        raise ConnectionResetError


@pytest.mark.parametrize(
    "timeouts",
    [pytest.param(Timeouts(read_s=0.05), id="read"), pytest.param(Timeouts(total_s=0.05), id="total")],
)
async def test_silence_is_bounded(timeouts: Timeouts) -> None:
    async with RawServer(silence) as server, Client(server.address, timeouts=timeouts) as client:
        with pytest.raises(TimedOut):
            await client.version()
        await server.wait_closed()


@pytest.mark.parametrize("answer", [silence, trickle])
async def test_a_call_has_its_own_bound(answer: Any) -> None:
    async with RawServer(answer) as server, Client(server.address) as client:
        for call in (client.version, client.tags, client.ps, client.is_running):
            if call == client.is_running:
                assert not await client.is_running(timeout_s=0.05)
            else:
                with pytest.raises(TimedOut):
                    await call(timeout_s=0.05)
        with pytest.raises(TimedOut):
            await client.load("m", timeout_s=0.05)


async def test_a_load_waits_longer_than_any_read() -> None:
    gate = asyncio.Event()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await gate.wait()
        writer.write(JSON_HEAD + b"Content-Length: 34\r\n\r\n" + b'{"done":true,"done_reason":"load"} ')

    async with (
        RawServer(answer) as server,
        Client(server.address, timeouts=Timeouts(read_s=0.01, total_s=0.01)) as client,
    ):
        load = asyncio.create_task(client.load("m"))
        with pytest.raises(TimedOut):
            await client.version()
        assert not load.done()
        gate.set()
        assert (await load).done


async def test_cancelling_a_call_closes_its_connection() -> None:
    async with RawServer(silence) as server, Client(server.address) as client:
        load = asyncio.create_task(client.load("m"))
        while not server.heads:  # noqa: ASYNC110 - the raw server tells nobody
            await asyncio.sleep(0.001)
        load.cancel()
        with pytest.raises(asyncio.CancelledError):
            await load
        await server.wait_closed()


async def test_connections_are_limited_and_waiting_for_one_is_bounded() -> None:
    timeouts, limits = Timeouts(pool_s=0.05, read_s=10), Limits(control=1)
    async with RawServer(silence) as server, Client(server.address, timeouts=timeouts, limits=limits) as client:
        first = asyncio.create_task(client.version(timeout_s=5))
        while not server.heads:  # noqa: ASYNC110 - the raw server tells nobody
            await asyncio.sleep(0.001)
        with pytest.raises(TimedOut) as caught:
            await client.version()
        assert "PoolTimeout" in caught.value.detail
        first.cancel()
        await asyncio.gather(first, return_exceptions=True)


async def test_leaving_closes_even_after_an_error() -> None:
    async with RawServer(answering(OK)) as server:
        with suppress(KeyError):
            async with Client(server.address) as client:
                await client.version()
                raise KeyError
        with pytest.raises(InvalidInput, match="closed"):
            await client.version()


# Retries


async def test_nobody_on_this_machine_is_told_at_once(free_port: int) -> None:
    async with Client(f"127.0.0.1:{free_port}") as client:
        with pytest.raises(NotRunning) as caught:
            await client.version()
    assert caught.value.title == f"No Ollama server answers at http://127.0.0.1:{free_port}."
    assert caught.value.hint == START_IT


def passing() -> list[Any]:
    return [
        pytest.param(httpx.RemoteProtocolError("Server disconnected without sending a response."), id="disconnected"),
        pytest.param(httpx.ReadError("reset"), id="reset"),
        pytest.param(httpx.Response(502), id="bad gateway"),
        pytest.param(httpx.Response(503, json={"error": "server busy, please try again."}), id="busy"),
    ]


@pytest.mark.parametrize("failure", passing())
async def test_what_may_pass_is_tried_again_where_nothing_happens_twice(failure: httpx.Response | Exception) -> None:
    server = Server(failure, failure, good(version="1", models=[]))
    async with Client(transport=server.transport) as client:
        await client.tags()
    assert len(server.requests) == 3


@pytest.mark.parametrize("failure", passing())
@pytest.mark.parametrize(
    "call",
    [
        pytest.param(lambda c: c.delete("m"), id="delete"),
        pytest.param(lambda c: c.copy("a", "b"), id="copy"),
        pytest.param(lambda c: c.load("m"), id="load"),
        pytest.param(lambda c: c.unload("m"), id="unload"),
        pytest.param(lambda c: anext(c.pull("m")), id="pull"),
    ],
)
async def test_what_changes_something_is_tried_once(failure: httpx.Response | Exception, call: Any) -> None:
    server = Server(failure, good())
    async with Client(transport=server.transport, backoff=Backoff(tries=0)) as client:
        with pytest.raises(OllamaError):
            await call(client)
    assert len(server.requests) == 1


async def test_retries_end() -> None:
    server = Server(httpx.ReadError("reset"))
    async with Client(transport=server.transport, retries=1) as client:
        with pytest.raises(CutStream):
            await client.ps()
    assert len(server.requests) == 2


@pytest.mark.parametrize(
    "failure",
    [
        pytest.param(httpx.Response(404, json={"error": "model 'm' not found"}), id="refused"),
        pytest.param(httpx.Response(500, json={"error": "no"}), id="failed"),
        pytest.param(httpx.Response(200, text="<html>"), id="not ollama"),
        pytest.param(httpx.ReadTimeout("slow"), id="silent"),
        pytest.param(httpx.ConnectError("refused"), id="nobody on this machine"),
    ],
)
async def test_what_does_not_pass_is_not_tried_again(failure: httpx.Response | Exception) -> None:
    server = Server(failure)
    async with Client(transport=server.transport) as client:
        with pytest.raises(OllamaError):
            await client.show("m")
    assert len(server.requests) == 1


async def test_another_machine_that_refuses_is_asked_again() -> None:
    server = Server(httpx.ConnectError("refused"), good(version="1"))
    async with Client("box.lan", transport=server.transport) as client:
        await client.version()
    assert len(server.requests) == 2


async def test_no_retry_goes_beyond_the_bound() -> None:
    server = Server(httpx.ReadError("reset"))
    async with Client(transport=server.transport, retries=100) as client:
        with pytest.raises(CutStream):
            await client.version(timeout_s=0.05)
    assert len(server.requests) == 1


# Readiness


async def test_ready_after_nothing_silence_and_trouble() -> None:
    server = Server(
        httpx.ConnectError("refused"),
        httpx.ReadTimeout("slow"),
        httpx.RemoteProtocolError("Server disconnected"),
        httpx.Response(503),
        good(version="0.33.0"),
    )
    async with Client(transport=server.transport) as client:
        assert (await client.wait_until_ready(10, interval_s=0.001)).version == "0.33.0"
    assert len(server.requests) == 5


async def test_not_ready_in_time_is_the_last_failure() -> None:
    server = Server(httpx.ConnectError("refused"))
    async with Client(transport=server.transport) as client:
        with pytest.raises(NotRunning):
            await client.wait_until_ready(0.05, interval_s=0.01)
    assert len(server.requests) > 1


@pytest.mark.parametrize(
    "answer", [httpx.Response(200, text="<html>"), httpx.Response(404, text="404 page not found"), httpx.Response(403)]
)
async def test_another_program_is_not_waited_for(answer: httpx.Response) -> None:
    server = Server(answer)
    async with Client(transport=server.transport) as client:
        with pytest.raises((ProtocolBroken, Refused)):
            await client.wait_until_ready(10)
    assert len(server.requests) == 1


# TLS


def test_a_client_for_http_makes_no_tls_context(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: object, **kwargs: object) -> None:
        pytest.fail("certificates are loaded")

    monkeypatch.setattr(ssl.SSLContext, "load_verify_locations", fail)
    monkeypatch.setattr(ssl.SSLContext, "load_default_certs", fail)
    Client("http://127.0.0.1:1")
    Client("http://example.com")


def test_certificates_are_checked() -> None:
    for context in (trusted(), trusting_nobody()):
        assert context.verify_mode is ssl.CERT_REQUIRED
        assert context.check_hostname
    assert trusted().cert_store_stats()["x509_ca"] > 0
    assert trusting_nobody().cert_store_stats()["x509_ca"] == 0


async def test_https_to_a_server_without_it_is_told() -> None:
    plain = answering(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
    async with RawServer(plain, shouts_first=True) as server:
        address = server.address.replace("http:", "https:")
        async with Client(address, retries=0) as client:
            with pytest.raises(ProtocolBroken, match="does not speak https"):
                await client.version(timeout_s=5)
