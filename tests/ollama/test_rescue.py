"""What a client does when a call fails for a reason that it may remove, what it tells, and where it gives up."""

from __future__ import annotations

import asyncio
import json
import random
import re
from collections import Counter
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx
import pytest

from launcher.domain.address import Address
from launcher.errors import InvalidInput
from launcher.ollama import (
    Backoff,
    ChatAnswer,
    Client,
    ConversationCut,
    CutStream,
    InlineError,
    ModelNotFound,
    Notice,
    NotRunning,
    OllamaError,
    PullingModel,
    Reason,
    Recovery,
    Refused,
    Retrying,
    SmallerContext,
    StartingServer,
    TimedOut,
    Unloading,
)
from tests.support.demo_server import DemoServer
from tests.support.raw_server import STREAM_HEAD, RawServer, chunk
from tests.support.waiting import eventually

pytestmark = pytest.mark.anyio

HELLO = [{"role": "user", "content": "Hello"}]
QUICK = Backoff(tries=3, first_s=0.001)
BUSY = httpx.Response(503, json={"error": "server busy, please try again.  maximum pending requests exceeded"})
NO_MEMORY = httpx.Response(500, json={"error": "llama-server process has terminated: cudaMalloc failed: out of memory"})
MISSING = httpx.Response(404, json={"error": "model 'm:latest' not found"})


def answer(**members: Any) -> httpx.Response:
    whole = {"model": "m", "message": {"role": "assistant", "content": "hi"}, "response": "hi", "done": True}
    return httpx.Response(200, json={**whole, "embeddings": [[1.0]], **members})


class Ollama:
    """A server with these models in memory, as a handler of httpx's MockTransport.

    To each request for inference it gives the next answer, at last the same again and again. What is unloaded is gone
    at the second look.
    """

    def __init__(self, *answers: httpx.Response | Exception, loaded: tuple[str, ...] = (), context: int = 4096) -> None:
        self.answers = list(answers)
        self.loaded = list(loaded)
        self.context = context
        self.leaving: list[str] = []
        self.parameters = ""
        self.pulled: list[str] = []
        self.bodies: list[dict[str, Any]] = []
        self.paths: list[str] = []
        self.hold: asyncio.Event | None = None

    async def __call__(self, request: httpx.Request) -> httpx.Response:
        body = json.loads(request.content) if request.content else {}
        self.paths.append(request.url.path)
        match request.url.path:
            case "/api/ps":
                shown = [{"name": name, "context_length": self.context} for name in self.loaded]
                self.loaded = [name for name in self.loaded if name not in self.leaving]
                return httpx.Response(200, json={"models": shown})
            case "/api/show":
                return httpx.Response(200, json={"parameters": self.parameters, "capabilities": ["completion"]})
            case "/api/tags":
                models = [{"name": name, "capabilities": ["completion"]} for name in self.pulled]
                return httpx.Response(200, json={"models": models})
            case "/api/pull":
                if self.hold is not None:
                    await self.hold.wait()
                self.pulled.append(body["model"])
                return httpx.Response(200, text='{"status":"pulling"}\n{"status":"success"}\n')
        if body.get("keep_alive") == 0:
            self.leaving.append(body["model"])
            return httpx.Response(200, json={"done": True, "done_reason": "unload"})
        self.bodies.append(body)
        told = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(told, Exception):
            raise told
        return httpx.Response(told.status_code, headers=told.headers, content=told.content)

    def client(self, told: list[Notice] | None = None, **options: Any) -> Client:
        options = {"backoff": QUICK, "tell": None if told is None else told.append, **options}
        return Client(transport=httpx.MockTransport(self), **options)

    @property
    def contexts(self) -> list[int | None]:
        return [body.get("options", {}).get("num_ctx") for body in self.bodies]


async def pieces_of(stream: AsyncGenerator[ChatAnswer, None]) -> list[ChatAnswer]:
    async with aclosing(stream) as pieces:
        return [piece async for piece in pieces]


CALLS = [
    pytest.param(lambda c, **o: c.chat("m", HELLO, **o), id="chat"),
    pytest.param(lambda c, **o: pieces_of(c.stream_chat("m", HELLO, **o)), id="stream_chat"),
    pytest.param(lambda c, **o: c.generate("m", "Hello", **o), id="generate"),
    pytest.param(lambda c, **o: pieces_of(c.stream_generate("m", "Hello", **o)), id="stream_generate"),
    pytest.param(lambda c, **o: c.embed("m", "Hello", **o), id="embed"),
    pytest.param(lambda c, **o: c.load("m", **o), id="load"),
    pytest.param(lambda c, **o: c.prewarm("m", **o), id="prewarm"),
]
Call = Callable[..., Any]


# --- nothing runs -----------------------------------------------------------------------------------------------------


def refused() -> httpx.ConnectError:
    return httpx.ConnectError("refused")


def nobody(request: httpx.Request) -> httpx.Response:
    raise refused()


@pytest.mark.parametrize("call", CALLS)
async def test_a_server_is_started_once_and_the_call_made_again(call: Call) -> None:
    server = Ollama(refused(), answer())
    asked: list[Address] = []

    async def start(address: Address) -> None:
        asked.append(address)

    told: list[Notice] = []
    async with server.client(told, on_unreachable=start) as client:
        await call(client)
        assert asked == [client.address]
        assert told == [StartingServer(client.base_url)]
    assert len(server.bodies) == 2


@pytest.mark.parametrize(
    "call",
    [
        pytest.param(lambda c: c.tags(), id="tags"),
        pytest.param(lambda c: c.ps(), id="ps"),
        pytest.param(lambda c: c.show("m"), id="show"),
        pytest.param(lambda c: c.delete("m"), id="delete"),
        pytest.param(lambda c: c.copy("m", "n"), id="copy"),
        pytest.param(lambda c: c.detect_model(), id="detect_model"),
        pytest.param(lambda c: c.has_model("m"), id="has_model"),
        pytest.param(lambda c: c.blob_exists("sha256:" + "0" * 64), id="blob_exists"),
        pytest.param(lambda c: c.me(), id="me"),
        pytest.param(lambda c: c.signout(), id="signout"),
        pytest.param(lambda c: c.v1_models(), id="v1_models"),
        pytest.param(lambda c: c.web_search("ollama"), id="web_search"),
        pytest.param(lambda c: pieces_of(c.pull("m")), id="pull"),
        pytest.param(lambda c: pieces_of(c.push("m")), id="push"),
    ],
)
async def test_calls_without_inference_start_it_as_well(call: Call) -> None:
    running = False
    server = Ollama(answer())
    server.pulled = ["m:latest"]

    async def handler(request: httpx.Request) -> httpx.Response:
        if not running:
            raise refused()
        if request.url.path in ("/api/tags", "/api/ps", "/api/show", "/api/pull"):
            return await server(request)
        return httpx.Response(200, text='{"status":"success"}\n')

    async def start(address: Address) -> None:
        nonlocal running
        running = True

    async with Client(transport=httpx.MockTransport(handler), on_unreachable=start) as client:
        await call(client)
    assert running


async def test_probes_start_nothing() -> None:
    async def start(address: Address) -> None:
        raise AssertionError("started")

    async with Client(transport=httpx.MockTransport(nobody), on_unreachable=start) as client:
        assert not await client.is_running()
        with pytest.raises(NotRunning):
            await client.version()
        with pytest.raises(NotRunning):
            await client.wait_until_ready(0.01)
        assert not (await client.check_health()).connected


async def test_a_start_that_does_not_help_is_not_tried_twice() -> None:
    starts = 0

    async def start(address: Address) -> None:
        nonlocal starts
        starts += 1

    async with Ollama(refused()).client(on_unreachable=start) as client:
        with pytest.raises(NotRunning):
            await client.chat("m", HELLO)
    assert starts == 1


async def test_what_a_start_raises_is_the_callers() -> None:
    async def start(address: Address) -> None:
        raise InvalidInput("There is no program to start.")

    async with Ollama(refused()).client(on_unreachable=start) as client:
        with pytest.raises(InvalidInput):
            await client.chat("m", HELLO)


async def test_without_permission_nothing_is_started() -> None:
    told: list[Notice] = []
    async with Ollama(refused()).client(told) as client:
        with pytest.raises(NotRunning):
            await client.chat("m", HELLO)
    assert told == []


async def test_a_call_that_is_bounded_waits_no_longer_for_a_start() -> None:
    ended = asyncio.Event()

    async def start(address: Address) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    async with Client(transport=httpx.MockTransport(nobody), on_unreachable=start) as client:
        for call in (client.chat("m", HELLO, timeout_s=0.02), client.tags(timeout_s=0.02)):
            with pytest.raises(TimedOut):
                await call
            assert ended.is_set()
            ended.clear()


# --- the model is missing ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("call", CALLS)
async def test_a_missing_model_is_pulled_and_the_call_made_again(call: Call) -> None:
    server = Ollama(MISSING, answer())
    told: list[Notice] = []
    async with server.client(told, pull_missing=True) as client:
        await call(client)
    assert server.pulled == ["m:latest"]
    assert len(server.bodies) == 2
    assert [(notice.model, notice.progress.status) for notice in told if isinstance(notice, PullingModel)] == [
        ("m:latest", "pulling"),
        ("m:latest", "success"),
    ]


@pytest.mark.parametrize("agreed", [True, False])
async def test_it_may_be_asked_first(agreed: bool) -> None:
    server = Ollama(MISSING, answer())
    asked: list[str] = []

    async def may(name: str) -> bool:
        asked.append(name)
        return agreed

    async with server.client(pull_missing=may) as client:
        if agreed:
            await client.chat("m", HELLO)
        else:
            with pytest.raises(ModelNotFound):
                await client.chat("m", HELLO)
    assert asked == ["m:latest"]
    assert server.pulled == ["m:latest"] * agreed


@pytest.mark.parametrize("name", ["gpt-oss:120b-cloud", "gpt-oss:cloud", "gpt-oss:20b:cloud", "a b", "x:", "a/b/c/d"])
async def test_what_cannot_or_must_not_be_pulled_is_not(name: str) -> None:
    server = Ollama(MISSING)
    async with server.client(pull_missing=True) as client:
        with pytest.raises(ModelNotFound):
            await client.chat(name, HELLO)
    assert server.pulled == []


async def test_calls_at_once_pull_once() -> None:
    server = Ollama(*[MISSING] * 4, answer())
    server.hold = asyncio.Event()
    told: list[Notice] = []
    async with server.client(told, pull_missing=True) as client:
        names = ("m", "M", "m:latest", "library/m")
        calls = [asyncio.create_task(client.chat(name, HELLO)) for name in names]
        await eventually(lambda: len(server.bodies) == len(names))
        # One of them loses interest: the others still get theirs.
        calls[0].cancel()
        server.hold.set()
        ended = await asyncio.gather(*calls, return_exceptions=True)
    assert isinstance(ended[0], asyncio.CancelledError)
    assert [type(one) for one in ended[1:]] == [ChatAnswer] * 3
    assert server.pulled == ["m:latest"]
    assert len(told) == 2


async def test_with_the_last_who_waits_the_pull_ends() -> None:
    held = asyncio.Event()
    closed = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if server.heads[-1].startswith(b"POST /api/pull"):
            writer.write(STREAM_HEAD + chunk(b'{"status":"pulling"}\n'))
            await writer.drain()
            held.set()
            await reader.read()
            closed.set()
        else:
            body = b'{"error":"model \'m\' not found"}'
            writer.write(b"HTTP/1.1 404 Not Found\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))

    async with RawServer(serve) as server, Client(server.address, pull_missing=True) as client:
        call = asyncio.create_task(client.chat("m", HELLO))
        await held.wait()
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        async with asyncio.timeout(5):
            await closed.wait()


async def test_a_pull_that_fails_says_why(tmp_path: Path) -> None:
    async with DemoServer(tmp_path) as server, Client(server.base_url, pull_missing=True) as client:
        with pytest.raises(InlineError) as caught:
            await client.chat("there-is-no-such-model", HELLO)
    assert caught.value.reason is Reason.NO_SUCH_MODEL
    assert isinstance(caught.value.__cause__, ModelNotFound)


async def test_a_model_that_is_missing_again_is_not_pulled_again() -> None:
    server = Ollama(MISSING)
    async with server.client(pull_missing=True) as client:
        with pytest.raises(ModelNotFound):
            await client.chat("m", HELLO)
    assert server.pulled == ["m:latest"]


async def test_a_detected_model_that_was_removed_is_replaced_and_not_pulled() -> None:
    server = Ollama(answer(), MISSING, answer())
    server.pulled = ["m:latest"]
    async with server.client(pull_missing=True) as client:
        await client.chat(messages=HELLO)
        server.pulled = ["other:latest"]
        await client.chat(messages=HELLO)
        await client.chat(messages=HELLO)
    assert [body["model"] for body in server.bodies] == ["m:latest", "m:latest", "other:latest", "other:latest"]
    assert server.pulled == ["other:latest"]


# --- the server is busy -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("call", CALLS)
async def test_a_busy_server_is_asked_again(call: Call) -> None:
    server = Ollama(BUSY, BUSY, answer())
    told: list[Notice] = []
    async with server.client(told) as client:
        await call(client)
    assert [notice.attempt for notice in told if isinstance(notice, Retrying)] == [1, 2]
    assert len(server.bodies) == 3


async def test_in_the_end_it_is_too_busy() -> None:
    server = Ollama(BUSY)
    async with server.client() as client:
        with pytest.raises(Refused) as caught:
            await client.chat("m", HELLO)
    assert caught.value.reason is Reason.BUSY
    assert len(server.bodies) == 1 + QUICK.tries


async def test_who_wants_the_truth_at_once_gets_it() -> None:
    server = Ollama(BUSY)
    async with Client(transport=httpx.MockTransport(server), retries=0) as client:
        with pytest.raises(Refused):
            await client.chat("m", HELLO)
    assert len(server.bodies) == 1


async def test_a_bounded_call_does_not_wait_for_the_end_of_its_patience() -> None:
    server = Ollama(BUSY)
    async with server.client(backoff=Backoff(first_s=60, longest_s=60)) as client:
        with pytest.raises(TimedOut):
            await client.chat("m", HELLO, timeout_s=0.02)


def test_pauses_grow_differ_and_have_an_end() -> None:
    backoff = Backoff(first_s=1, longest_s=10)
    for attempt, (least, most) in enumerate([(0.5, 1), (1, 2), (2, 4), (4, 8), (5, 10), (5, 10)], 1):
        pauses = [backoff.pause_s(attempt) for _ in range(50)]
        assert least <= min(pauses) < max(pauses) <= most
    assert backoff.pause_s(10_000) <= 10


async def test_a_busy_demo_lets_the_patient_in(tmp_path: Path) -> None:
    script = {"scale": 0.0001, "tokens_per_s": 10_000, "answers": {"faults": [{"fault": "busy", "times": 2}]}}
    told: list[Notice] = []
    async with (
        DemoServer(tmp_path, script) as server,
        Client(server.base_url, pull_missing=True, backoff=QUICK, tell=told.append) as client,
    ):
        assert (await client.chat("llama3.2:1b", HELLO)).text
    assert Counter(type(notice) for notice in told)[Retrying] == 2


# --- there is too little memory ---------------------------------------------------------------------------------------


async def test_nothing_is_recovered_unless_it_is_allowed() -> None:
    server = Ollama(NO_MEMORY, loaded=("other:latest",))
    told: list[Notice] = []
    async with server.client(told) as client:
        with pytest.raises(Refused) as caught:
            await client.chat("m", HELLO)
    assert caught.value.reason is Reason.OUT_OF_MEMORY
    assert (server.paths, told) == (["/api/chat"], [])


@pytest.mark.parametrize("call", CALLS)
async def test_what_this_client_has_loaded_goes_first(call: Call) -> None:
    server = Ollama(answer(), NO_MEMORY, answer(), loaded=("theirs:latest",))
    told: list[Notice] = []
    async with server.client(told) as client:
        await client.chat("mine", HELLO, recover=True)
        server.loaded.append("mine:latest")
        await call(client, recover=True)
    assert told == [Unloading("mine:latest", ours=True)]
    assert server.loaded == ["theirs:latest"]
    assert server.contexts == [None] * 3


@pytest.mark.parametrize(
    "load",
    [
        pytest.param(lambda c: c.chat("mine", HELLO, recover=True), id="a call with recover"),
        pytest.param(lambda c: c.prewarm("mine"), id="prewarm"),
    ],
)
async def test_what_was_in_memory_before_is_not_ours(load: Call) -> None:
    server = Ollama(answer(), NO_MEMORY, loaded=("mine:latest",))
    async with server.client() as client:
        await load(client)
        with pytest.raises(Refused):
            await client.chat("m", HELLO, recover=Recovery(least_context=8192))
    assert server.loaded == ["mine:latest"]


async def test_what_is_loaded_by_prewarm_is_ours() -> None:
    server = Ollama(answer(), NO_MEMORY, answer())
    async with server.client() as client:
        await client.prewarm("mine")
        server.loaded.append("mine:latest")
        await client.chat("m", HELLO, recover=True)
    assert server.leaving == ["mine:latest"]


async def test_what_was_unloaded_since_is_not_ours_any_more() -> None:
    server = Ollama(answer(), NO_MEMORY)
    async with server.client() as client:
        await client.prewarm("mine")
        await client.unload("mine")
        server.loaded, server.leaving = ["mine:latest"], []
        with pytest.raises(Refused):
            await client.chat("m", HELLO, recover=Recovery(least_context=8192))
    assert server.leaving == []


async def test_what_left_by_itself_is_not_ours_when_somebody_loads_it_again() -> None:
    server = Ollama(answer(), answer(), NO_MEMORY)
    async with server.client() as client:
        await client.prewarm("mine")
        await client.chat("m", HELLO, recover=True)  # looks, and "mine" has left
        server.loaded = ["mine:latest"]
        with pytest.raises(Refused):
            await client.chat("m", HELLO, recover=Recovery(least_context=8192))
    assert server.leaving == []


async def test_it_is_waited_until_they_are_gone_but_not_for_ever() -> None:
    server = Ollama(answer(), NO_MEMORY, answer())
    async with server.client() as client:
        await client.prewarm("mine")
        server.loaded.append("mine:latest")
        await client.chat("m", HELLO, recover=True)
        looks = server.paths[server.paths.index("/api/generate", 2) : -1]
        assert looks.count("/api/ps") == 2

    stuck = Ollama(answer(), NO_MEMORY, answer())
    async with stuck.client() as client:
        await client.prewarm("mine")
        stuck.loaded = ["mine:latest", "mine:latest"]
        stuck.leaving = _Deaf()
        await client.chat("m", HELLO, recover=Recovery(gone_s=0.1))
    assert len(stuck.bodies) == 3


class _Deaf(list[str]):
    """Wishes that nobody hears."""

    def __contains__(self, name: object) -> bool:
        return False


@pytest.mark.parametrize(
    ("recovery", "named", "parameters", "tried"),
    [
        pytest.param(Recovery(), 20_000, "", [20_000, 10_000, 5000, 2500, 2048], id="half and half again"),
        pytest.param(Recovery(), 2048, "", [2048], id="nothing smaller"),
        pytest.param(Recovery(), None, "", [None, 4096, 2048], id="what the server chose"),
        pytest.param(Recovery(), None, "num_ctx 10000\nstop x", [None, 5000, 2500, 2048], id="what the model says"),
        pytest.param(Recovery(least_context=1), 5, "", [5, 2, 1], id="down to one"),
        pytest.param(Recovery(contexts=(8192, 32768, 1024)), 16_384, "", [16_384, 8192], id="given steps"),
        pytest.param(Recovery(contexts=(32768, 8192)), None, "", [None, 32768, 8192], id="given, all smaller"),
    ],
)
async def test_contexts_are_tried_downwards(
    recovery: Recovery, named: int | None, parameters: str, tried: list[int | None]
) -> None:
    server = Ollama(NO_MEMORY)
    server.parameters = parameters
    told: list[Notice] = []
    async with server.client(told) as client:
        with pytest.raises(Refused) as caught:
            await client.chat("m", HELLO, options={"num_ctx": named, "seed": 1} if named else None, recover=recovery)
    assert caught.value.reason is Reason.OUT_OF_MEMORY
    assert server.contexts == tried
    assert told == [SmallerContext("m", before, after or 0) for before, after in pairwise(tried)]
    if named:
        assert all(body["options"]["seed"] == 1 for body in server.bodies)


async def test_the_context_that_fits_is_kept_for_the_next_turn() -> None:
    server = Ollama(NO_MEMORY, NO_MEMORY, answer())
    told: list[Notice] = []
    async with server.client(told) as client:
        for _ in range(2):
            await client.chat("m", HELLO, options={"num_ctx": 16_384}, recover=True)
        assert server.contexts == [16_384, 8192, 4096, 4096]
        assert len(told) == 2
        # A smaller one is the caller's own, and a call that names none keeps what is loaded.
        await client.chat("m", HELLO, options={"num_ctx": 1000}, recover=True)
        await client.chat("M:latest", HELLO)
        await client.chat("m", HELLO, options={"num_ctx": 16_384})
        await client.chat("another", HELLO)
    assert server.contexts[4:] == [1000, 4096, 16_384, None]


@pytest.mark.parametrize("agreed", [True, False])
async def test_others_are_unloaded_only_after_asking(agreed: bool) -> None:
    server = Ollama(NO_MEMORY, NO_MEMORY, answer(), loaded=("theirs:latest", "also:theirs"))
    told: list[Notice] = []
    asked: list[tuple[str, ...]] = []

    async def ask(names: tuple[str, ...]) -> bool:
        asked.append(names)
        return agreed

    recovery = Recovery(contexts=(1000,), least_context=1, ask=ask)
    async with server.client(told) as client:
        call = client.chat("m", HELLO, options={"num_ctx": 2000}, recover=recovery)
        if agreed:
            await call
        else:
            server.answers = [NO_MEMORY]
            with pytest.raises(Refused):
                await call
    assert asked == [("theirs:latest", "also:theirs")]
    assert told[0] == SmallerContext("m", 2000, 1000)
    if agreed:
        assert told[1:] == [Unloading("theirs:latest", ours=False), Unloading("also:theirs", ours=False)]
        # There is more room now: what was asked for is tried first.
        assert server.contexts == [2000, 1000, 2000]
        assert server.loaded == []
    else:
        assert len(told) == 1
        assert server.loaded == ["theirs:latest", "also:theirs"]


async def test_it_gives_up_with_the_first_error() -> None:
    first = httpx.Response(500, json={"error": "out of memory: the first time"})
    server = Ollama(first, NO_MEMORY)
    async with server.client() as client:
        with pytest.raises(Refused) as caught:
            await client.chat("m", HELLO, options={"num_ctx": 8192}, recover=True)
    assert caught.value.text == "out of memory: the first time"
    assert isinstance(caught.value.__cause__, Refused)


async def test_a_text_too_long_for_the_smaller_context_is_a_lack_of_memory() -> None:
    too_long = httpx.Response(400, json={"error": "the input length exceeds the context length"})
    server = Ollama(NO_MEMORY, too_long)
    async with server.client() as client:
        with pytest.raises(Refused) as caught:
            await client.chat("m", HELLO, options={"num_ctx": 8192}, truncate=False, recover=True)
    assert caught.value.reason is Reason.OUT_OF_MEMORY


async def test_other_errors_are_no_lack_of_memory() -> None:
    server = Ollama(httpx.Response(500, json={"error": "llama-server process has terminated: exit status 1"}))
    async with server.client() as client:
        with pytest.raises(Refused):
            await client.chat("m", HELLO, recover=True)
    assert len(server.bodies) == 1


@pytest.mark.parametrize("recover", [Recovery(), True])
async def test_it_can_be_allowed_for_all_calls_and_forbidden_for_one(recover: Recovery | bool) -> None:
    server = Ollama(NO_MEMORY, answer())
    async with server.client(recover=recover) as client:
        await client.chat("m", HELLO)
        assert server.contexts == [None, 4096]
        server.answers = [NO_MEMORY]
        with pytest.raises(Refused):
            await client.chat("n", HELLO, recover=False)
        assert len(server.bodies) == 3


@pytest.mark.parametrize("wrong", [{"least_context": 0}, {"contexts": (4096, 0)}])
def test_impossible_recoveries_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput):
        Recovery(**wrong)


async def test_a_small_demo_is_recovered_step_by_step(tmp_path: Path) -> None:
    """A real child process, with memory for one model and a context of 8192."""
    fault = {"fault": "out_of_memory", "fits_alone": True, "times": 0}
    small = {"fault": "out_of_memory", "fits_num_ctx": 8192, "times": 0, "model": "gemma3:4b"}
    script = {"scale": 0.0001, "tokens_per_s": 10_000, "answers": {"faults": [small, fault]}}
    told: list[Notice] = []

    def tell(notice: Notice) -> None:
        if not isinstance(notice, PullingModel):
            told.append(notice)

    async with (
        DemoServer(tmp_path, script) as server,
        Client(server.base_url, pull_missing=True, tell=tell, recover=True) as client,
    ):
        await client.chat("llama3.2:1b", HELLO)
        await client.chat("gemma3:4b", HELLO, options={"num_ctx": 32_768})
        loaded = (await client.ps()).models
        assert [(one.name, one.context_length) for one in loaded] == [("gemma3:4b", 8192)]
        assert told == [
            Unloading("llama3.2:1b", ours=True),
            SmallerContext("gemma3:4b", 32_768, 16_384),
            SmallerContext("gemma3:4b", 16_384, 8192),
        ]
        await client.chat("gemma3:4b", HELLO, options={"num_ctx": 32_768})
        assert len(told) == 3


async def test_every_mixture_of_failures_comes_to_an_end() -> None:
    chosen = random.Random(20261121)

    async def start(address: Address) -> None:
        """Start nothing that helps for long."""

    async def ask(names: tuple[str, ...]) -> bool:
        return chosen.random() < 0.5

    ends: Counter[str] = Counter()
    for _ in range(80):
        failures: list[httpx.Response | Exception] = [refused(), MISSING, BUSY, NO_MEMORY, answer()]
        told = chosen.choices(failures, weights=(1, 1, 2, 4, 0.5), k=100)
        server = Ollama(*told, loaded=("theirs:latest",))
        recovery = Recovery(ask=ask, gone_s=0.01)
        async with server.client(
            on_unreachable=start, pull_missing=True, backoff=Backoff(tries=3, first_s=0), recover=recovery
        ) as client:
            try:
                await client.chat("m", HELLO, options={"num_ctx": 16_384})
            except OllamaError as error:
                ends[type(error).__name__] += 1
            else:
                ends["answer"] += 1
        # Three for a busy server, one start, one pull, twice three contexts, and the asked-for one again.
        assert len(server.bodies) <= 1 + 3 + 1 + 1 + 3 + 1 + 3
    assert set(ends) == {"answer", "NotRunning", "ModelNotFound", "Refused"}


# --- prewarm ----------------------------------------------------------------------------------------------------------


async def test_later_calls_use_what_was_warmed_up() -> None:
    server = Ollama(answer())
    async with server.client() as client:
        await client.prewarm("m", "10m", 8192)
        await client.chat("m:latest", HELLO)
        await client.generate("m", "Hello", options={"seed": 3})
        await client.chat("m", HELLO, options={"num_ctx": 1024})
        await client.embed("other", "Hello")
        assert server.contexts == [8192, 8192, 8192, 1024, None]
        assert server.bodies[0]["keep_alive"] == "10m"
        assert server.bodies[2]["options"] == {"num_ctx": 8192, "seed": 3}
        await client.load("m")
        await client.chat("m", HELLO)
        assert server.contexts[-2:] == [None, None]


async def test_without_a_name_it_is_the_model_of_later_calls() -> None:
    server = Ollama(answer())
    server.pulled = ["m:latest"]
    async with server.client() as client:
        await client.prewarm(num_ctx=8192)
        await client.chat(messages=HELLO)
    assert [(body["model"], body["options"]) for body in server.bodies] == [("m:latest", {"num_ctx": 8192})] * 2


async def test_a_prewarmed_demo_does_not_load_again(tmp_path: Path) -> None:
    async with (
        DemoServer(tmp_path, {"scale": 0.0001, "tokens_per_s": 10_000}) as server,
        Client(server.base_url, pull_missing=True) as client,
    ):
        await client.prewarm("llama3.2:1b", -1, 8192)
        [before] = (await client.ps()).models
        await client.chat("llama3.2:1b", HELLO)
        [after] = (await client.ps()).models
    assert (before.context_length, after.context_length) == (8192, 8192)
    assert after.expires_at is None


# --- streams, tellers, conversations ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("last", "kind"),
    [
        pytest.param(b'{"error":"out of memory"}\n', InlineError, id="an error line"),
        pytest.param(b"", CutStream, id="a cut"),
    ],
)
async def test_after_the_first_line_an_error_is_the_callers(last: bytes, kind: type[OllamaError]) -> None:
    first = b'{"model":"m","message":{"role":"assistant","content":"One "},"done":false}\n'
    told: list[Notice] = []
    server = Ollama(httpx.Response(200, content=first + last))
    async with server.client(told, recover=True) as client, aclosing(client.stream_chat("m", HELLO)) as pieces:
        assert (await anext(pieces)).text == "One "
        with pytest.raises(kind) as caught:
            await anext(pieces)
    assert (len(server.bodies), told) == (1, [])
    assert caught.value.partial == "One "  # type: ignore[attr-defined] # both kinds have it


async def test_an_error_that_is_the_first_line_can_still_be_mended() -> None:
    server = Ollama(httpx.Response(200, content=b'{"error":"out of memory"}\n'), answer())
    async with server.client() as client:
        pieces = await pieces_of(client.stream_chat("m", HELLO, recover=True))
    assert [piece.text for piece in pieces] == ["hi"]
    assert server.contexts == [None, 4096]


async def test_what_a_teller_raises_ends_the_call() -> None:
    def tell(notice: Notice) -> None:
        raise ZeroDivisionError

    for server in (Ollama(BUSY, answer()), Ollama(MISSING, answer()), Ollama(NO_MEMORY, answer())):
        async with server.client(tell=tell, pull_missing=True, recover=True) as client:
            with pytest.raises(ZeroDivisionError):
                await client.chat("m", HELLO)


@pytest.mark.parametrize("streamed", [False, True])
async def test_a_cut_conversation_is_told_with_its_answer(streamed: bool) -> None:
    server = Ollama(answer(prompt_eval_count=2050), loaded=("m:latest",), context=4096)
    told: list[Notice] = []
    messages = [{"role": "user", "content": "word " * 9000}]
    async with server.client(told) as client:
        if streamed:
            [piece] = await pieces_of(client.stream_chat("m", messages))
            assert piece.text == "hi"
        else:
            assert (await client.chat("m", messages)).text == "hi"
        await client.generate("m", "word " * 9000)
        await client.chat("m", messages, truncate=False)
    [chat, generate] = told
    assert chat == generate == ConversationCut("m", 9000, 2050, 4096)


async def test_what_fits_into_the_loaded_context_is_not_told() -> None:
    server = Ollama(answer(prompt_eval_count=100), loaded=("m:latest",), context=131_072)
    told: list[Notice] = []
    async with server.client(told) as client:
        await client.chat("m", [{"role": "user", "content": "word " * 1000}])
    assert told == []


@pytest.mark.parametrize(
    ("words", "named", "told_context"),
    [
        pytest.param(2000, None, None, id="more than any default"),
        pytest.param(300, 512, 512, id="more than was named"),
        pytest.param(300, 8192, "silent", id="less than was named"),
        pytest.param(190, None, "silent", id="less than any default"),
    ],
)
async def test_a_context_that_the_server_does_not_tell(words: int, named: int | None, told_context: object) -> None:
    told: list[Notice] = []
    options = {"num_ctx": named} if named else None
    async with Ollama(answer(prompt_eval_count=100)).client(told) as client:
        await client.chat("m", [{"role": "user", "content": "word " * words}], options=options)
    assert [notice.context_tokens for notice in told if isinstance(notice, ConversationCut)] == (
        [] if told_context == "silent" else [told_context]
    )


async def test_a_conversation_in_order_costs_no_request() -> None:
    server = Ollama(answer(prompt_eval_count=1300))
    async with server.client([]) as client:
        await client.chat("m", [{"role": "user", "content": "word " * 1000}])
        await client.chat("m", HELLO)
    assert server.paths == ["/api/chat"] * 2


async def test_closing_a_stream_stops_the_answer_on_the_server(tmp_path: Path) -> None:
    async with (
        DemoServer(tmp_path, {"scale": 0.0001, "tokens_per_s": 10}) as server,
        Client(server.base_url, pull_missing=True, recover=True) as client,
    ):
        async with aclosing(client.stream_chat("llama3.2:1b", HELLO)) as pieces:
            got = [await anext(pieces) for _ in range(2)]
        await eventually(lambda: 'msg="generation stopped"' in server.log_text())
        [tokens] = re.findall(r'msg="generation stopped" model=\S+ tokens=(\d+)', server.log_text())
    assert int(tokens) <= len(got) + 2


@pytest.mark.parametrize("stream", [False, True])
async def test_cancelling_closes_the_connection(stream: bool) -> None:
    closed = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        closed.set()

    async with RawServer(serve) as server, Client(server.address) as client:
        work = pieces_of(client.stream_chat("m", HELLO)) if stream else client.chat("m", HELLO)
        call = asyncio.ensure_future(work)
        await eventually(lambda: server.heads)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        async with asyncio.timeout(5):
            await closed.wait()
