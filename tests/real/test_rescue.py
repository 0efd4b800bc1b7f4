"""What a client does for a call to a real server: start it, be patient, warm up, and notice what is cut."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from functools import partial

import psutil
import pytest

from launcher.domain.address import Address
from launcher.domain.server import Owner, ServerState
from launcher.ollama import Backoff, ChatAnswer, Client, ConversationCut, InlineError, Notice, Retrying, StartingServer
from launcher.server import auto_start
from tests.real.conftest import Serve, servers
from tests.support.machine import QUICK, Machine
from tests.support.registry import LoopbackRegistry

pytestmark = [pytest.mark.real_ollama, pytest.mark.anyio]

HELLO = [{"role": "user", "content": "hello"}]


async def pulled(client: Client, registry: LoopbackRegistry, model: str) -> str:
    """Install a model and return its name."""
    name = registry.name_of(model)
    async with aclosing(client.pull(name, insecure=True)) as lines:
        assert [line.status async for line in lines][-1] == "success"
    return name


def runners(machine: Machine) -> list[psutil.Process]:
    return [process for process in machine.processes() if process.name() == "llama-server"]


async def test_a_script_gets_a_server_and_another_script_the_same(machine: Machine) -> None:
    told: list[Notice] = []
    start = partial(auto_start, environ=machine.environ, timing=QUICK)
    address = f"127.0.0.1:{machine.port}"
    async with Client(address, on_unreachable=start, tell=told.append) as client:
        assert (await client.tags()).models == ()
    status = await auto_start(Address.parse(address), environ=machine.environ, timing=QUICK)
    assert told == [StartingServer(f"http://{address}")]
    assert (status.state, status.owner) == (ServerState.RUNNING, Owner.OURS)
    assert [server.pid for server in servers(machine)] == [status.pid]
    async with machine.launcher() as core:
        await core.control.stop()


async def test_what_was_warmed_up_is_used_as_it_is(machine: Machine, serve: Serve, registry: LoopbackRegistry) -> None:
    await asyncio.to_thread(serve, machine.port)
    async with Client(f"127.0.0.1:{machine.port}") as client:
        name = await pulled(client, registry, "tiny")
        await client.prewarm(name, "10m", 1024)
        before = runners(machine)
        assert len(before) == 1
        await client.chat(name, HELLO, options={"num_predict": 2})
        [loaded] = (await client.ps()).models
        assert loaded.context_length == 1024
        assert runners(machine) == before


async def test_a_cut_is_told_and_nothing_else(machine: Machine, serve: Serve, registry: LoopbackRegistry) -> None:
    await asyncio.to_thread(serve, machine.port)
    told: list[Notice] = []
    async with Client(f"127.0.0.1:{machine.port}", tell=told.append) as client:
        name = await pulled(client, registry, "tiny")
        options = {"num_predict": 2, "num_ctx": 1024}
        messages = list(HELLO)
        for _ in range(4):
            await client.chat(name, messages, options=options)
            messages += [{"role": "assistant", "content": "ok"}, {"role": "user", "content": "and you?"}]
        assert told == []
        answer = await client.chat(name, [{"role": "user", "content": "word " * 3000}], options=options)
    [cut] = told
    assert isinstance(cut, ConversationCut)
    assert (cut.counted_tokens, cut.context_tokens) == (answer.prompt_eval_count, 1024)
    assert cut.counted_tokens <= 1024 < cut.expected_tokens


async def test_patience_gets_an_answer_from_a_busy_server(
    machine: Machine, serve: Serve, registry: LoopbackRegistry
) -> None:
    await asyncio.to_thread(partial(serve, machine.port, OLLAMA_MAX_QUEUE="1"))
    told: list[Notice] = []
    async with Client(
        f"127.0.0.1:{machine.port}", tell=told.append, backoff=Backoff(tries=40, first_s=0.05, longest_s=0.2)
    ) as client:
        name = await pulled(client, registry, "tiny")
        # Each context is a load of its own, and one load at a time is done.
        calls = [client.chat(name, HELLO, options={"num_predict": 2, "num_ctx": 512 + 64 * n}) for n in range(4)]
        answers = await asyncio.gather(*calls)
    assert all(isinstance(answer, ChatAnswer) and answer.done for answer in answers)
    assert any(isinstance(notice, Retrying) for notice in told)


async def test_a_runner_that_dies_leaves_the_text_so_far(
    machine: Machine, serve: Serve, registry: LoopbackRegistry
) -> None:
    await asyncio.to_thread(serve, machine.port)
    async with Client(f"127.0.0.1:{machine.port}", recover=True) as client:
        name = await pulled(client, registry, "tiny")
        endless = {"num_predict": -1, "num_ctx": 512, "temperature": 1.5}
        await client.prewarm(name, num_ctx=512)
        there = runners(machine)
        assert len(there) == 1
        said: list[str] = []
        async with aclosing(client.stream_chat(name, HELLO, options=endless)) as pieces:
            said.append((await anext(pieces)).text)
            there[0].kill()
            with pytest.raises(InlineError) as caught:
                said.extend([piece.text async for piece in pieces])
        assert caught.value.partial.startswith("".join(said))
        assert (await client.chat(name, HELLO, options={"num_predict": 2})).done
