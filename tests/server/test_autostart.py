"""A script that needs a server gets one, by the rules that hold for every start; a real child process answers it."""

from __future__ import annotations

import asyncio
from functools import partial

import pytest

from launcher.domain.address import Address
from launcher.domain.server import Owner, ServerState
from launcher.ollama import Client, NotRunning, StartingServer
from launcher.ollama.notices import Notice
from launcher.server import auto_start
from launcher.server.errors import NotInstalled, NotOffered, PortTaken
from tests.support.demo_server import DemoServer
from tests.support.machine import QUICK, Machine
from tests.support.raw_server import RawServer, answering

pytestmark = pytest.mark.anyio


def client_of(machine: Machine, told: list[Notice] | None = None) -> Client:
    start = partial(auto_start, environ=machine.environ, timing=QUICK)
    return Client(
        f"127.0.0.1:{machine.port}", on_unreachable=start, pull_missing=True, tell=None if told is None else told.append
    )


async def stop(machine: Machine) -> None:
    async with machine.launcher() as core:
        await core.control.stop()
    assert machine.processes() == []


async def test_a_chat_goes_from_nothing_to_an_answer(machine: Machine) -> None:
    machine.script(scale=0.0001, tokens_per_s=10_000)
    told: list[Notice] = []
    async with client_of(machine, told) as client:
        answer = await client.chat("llama3.2:1b", [{"role": "user", "content": "Hello"}])
        assert answer.text
        assert told[0] == StartingServer(client.base_url)
        assert {type(notice).__name__ for notice in told[1:]} == {"PullingModel"}
    assert len(machine.servers()) == 1
    await stop(machine)


async def test_calls_at_once_start_one_server(machine: Machine) -> None:
    told: list[Notice] = []
    async with client_of(machine, told) as client:
        answers = await asyncio.gather(*(client.tags() for _ in range(5)))
    assert len(answers) == 5
    assert len(told) == 1
    assert len(machine.servers()) == 1
    await stop(machine)


async def test_a_launcher_adopts_what_was_started(machine: Machine) -> None:
    status = await auto_start(Address.parse(f"127.0.0.1:{machine.port}"), environ=machine.environ, timing=QUICK)
    async with machine.launcher() as core:
        seen = await core.control.inspect()
    assert (seen.state, seen.owner, seen.pid) == (ServerState.RUNNING, Owner.OURS, status.pid)
    await stop(machine)


async def test_somebody_elses_server_is_used(machine: Machine) -> None:
    async with DemoServer(machine.folder / "other") as server:
        status = await auto_start(Address.parse(server.base_url), environ=machine.environ, timing=QUICK)
        assert (status.state, status.owner) == (ServerState.RUNNING, Owner.UNKNOWN)
    assert machine.processes() == []


async def test_nothing_is_started_on_a_port_of_another_program(machine: Machine) -> None:
    async with RawServer(answering(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi")) as other:
        with pytest.raises(PortTaken):
            await auto_start(Address.parse(other.address), environ=machine.environ, timing=QUICK)
    assert machine.processes() == []


async def test_nothing_is_started_for_another_machine(machine: Machine) -> None:
    with pytest.raises(NotOffered):
        await auto_start(Address.parse("192.0.2.1:11434"), environ=machine.environ, timing=QUICK)
    assert machine.processes() == []


async def test_where_none_is_installed_the_call_says_so(machine: Machine) -> None:
    machine.environ["PATH"] = ""
    machine.environ["OLLAMA_LAUNCHER_OLLAMA"] = str(machine.folder / "none")
    async with client_of(machine) as client:
        with pytest.raises(NotInstalled) as caught:
            await client.tags()
    assert isinstance(caught.value.__context__, NotRunning)


async def test_a_look_at_the_health_starts_nothing(machine: Machine) -> None:
    async with client_of(machine) as client:
        assert not (await client.check_health()).connected
        assert not await client.is_running()
    assert machine.processes() == []
