"""Every method of the client, answered by a real Ollama."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from datetime import UTC, datetime

import psutil
import pytest

from launcher.domain.names import ModelName
from launcher.library import installed_model, loaded_model
from launcher.ollama import Client
from launcher.ollama.errors import (
    CutStream,
    InlineError,
    ModelNotFound,
    NotRunning,
    ProtocolBroken,
    Reason,
    Refused,
    TimedOut,
)
from launcher.ollama.registry import Registry
from tests.real.conftest import BIG_BYTES, IN_FLIGHT_BYTES, Serve, listener, partials, recorded_bytes
from tests.support.machine import Machine
from tests.support.registry import Blob, LoopbackRegistry
from tests.support.waiting import eventually

pytestmark = [pytest.mark.real_ollama, pytest.mark.anyio]


@pytest.fixture
def server(machine: Machine, serve: Serve) -> psutil.Process:
    """Have a server running. Not in an async fixture: it blocks until it answers."""
    return psutil.Process(serve(machine.port).pid)


@pytest.fixture
async def client(machine: Machine, server: psutil.Process) -> AsyncIterator[Client]:
    async with Client(f"127.0.0.1:{machine.port}") as client:
        yield client


async def pulled(client: Client, registry: LoopbackRegistry, model: str) -> str:
    """Install a model and return its name."""
    name = registry.name_of(model)
    async with aclosing(client.pull(name, insecure=True)) as lines:
        assert [line.status async for line in lines][-1] == "success"
    return name


async def until_unloaded(client: Client) -> None:
    async with asyncio.timeout(10):
        while (await client.ps()).models:  # noqa: ASYNC110 # the server tells nobody
            await asyncio.sleep(0.02)


async def test_version_and_readiness(client: Client) -> None:
    version = await client.version()
    assert version.version[0].isdigit()
    assert not version.simulated
    assert await client.wait_until_ready(5) == version
    assert await client.is_running()


async def test_nobody_there_is_not_running(machine: Machine) -> None:
    async with Client(f"127.0.0.1:{machine.port}") as client:
        assert not await client.is_running()
        with pytest.raises(NotRunning):
            await client.tags()


async def test_a_frozen_server_times_out_and_then_answers(client: Client, server: psutil.Process) -> None:
    server.suspend()
    try:
        assert not await client.is_running(timeout_s=0.3)
        with pytest.raises(TimedOut):
            await client.version(timeout_s=0.3)
    finally:
        server.resume()
    assert (await client.wait_until_ready(5)).version


async def test_pull_tells_its_lines_in_order(client: Client, registry: LoopbackRegistry, big_blob: Blob) -> None:
    registry.rate_bps = 100_000_000
    statuses = []
    completed = [0]
    async with aclosing(client.pull(registry.name_of("big"), insecure=True)) as lines:
        async for line in lines:
            statuses.append(line.status)
            if line.digest == big_blob.digest:
                assert line.total == BIG_BYTES
                completed.append(line.completed or 0)
    assert statuses[0] == "pulling manifest"
    assert [status for status in statuses if not status.startswith("pulling ")] == [
        "verifying sha256 digest",
        "writing manifest",
        "success",
    ]
    assert completed == sorted(completed)
    assert 0 < max(completed) <= BIG_BYTES


async def test_a_closed_pull_is_kept_and_gone_on_with(
    client: Client, machine: Machine, registry: LoopbackRegistry, big_blob: Blob
) -> None:
    registry.rate_bps = 15_000_000
    name = registry.name_of("big")
    shown = 0
    async with aclosing(client.pull(name, insecure=True)) as lines:
        async for line in lines:
            shown = line.completed or 0 if line.digest == big_blob.digest else 0
            if shown > 20_000_000:
                break
    await eventually(lambda: recorded_bytes(machine.models, big_blob.digest) >= shown)
    kept = recorded_bytes(machine.models, big_blob.digest)
    served = registry.served_bytes[big_blob.digest]
    registry.rate_bps = None
    await pulled(client, registry, "big")
    assert registry.served_bytes[big_blob.digest] - served < BIG_BYTES - kept + IN_FLIGHT_BYTES
    assert partials(machine.models) == {}


async def test_tags_show_and_manifest_agree(client: Client, registry: LoopbackRegistry) -> None:
    name = await pulled(client, registry, "tiny")
    [listed] = (await client.tags()).models
    manifest = await Registry(client).manifest(ModelName.parse(name), insecure=True)
    assert (listed.name, listed.model) == (name, name)
    assert listed.size == manifest.total_bytes
    assert listed.digest == manifest.digest
    assert listed.modified_at is not None
    assert abs((datetime.now(UTC) - listed.modified_at).total_seconds()) < 60
    assert "completion" in listed.capabilities
    assert installed_model(listed).name == name

    shown = await client.show(name)
    assert (shown.architecture, shown.context_length) == ("llama", 2048)
    assert shown.details.family == listed.details.family == "llama"
    assert shown.system == "Be small."
    assert "Free for any use" in shown.license
    assert "temperature" in shown.parameters
    assert shown.tensors
    assert shown.model_info["tokenizer.ggml.tokens"] in (None, [])
    verbose = await client.show(name, verbose=True)
    assert len(verbose.model_info["tokenizer.ggml.tokens"]) > 256


async def test_load_ps_and_unload(client: Client, registry: LoopbackRegistry) -> None:
    name = await pulled(client, registry, "tiny")
    assert (await client.ps()).models == ()
    loaded = await client.load(name, keep_alive=600, options={"num_ctx": 1024})
    assert (loaded.done, loaded.done_reason) == (True, "load")
    [running] = (await client.ps()).models
    assert (running.name, running.context_length, running.size_vram) == (name, 1024, 0)
    assert running.size > 0
    assert running.expires_at is not None
    assert 500 < (running.expires_at - datetime.now(UTC)).total_seconds() <= 600
    assert loaded_model(running).name == name

    await client.load(name, keep_alive=-1, options={"num_ctx": 1024})
    [running] = (await client.ps()).models
    assert running.expires_at is None
    unloaded = await client.unload(name)
    assert (unloaded.done, unloaded.done_reason) == (True, "unload")
    await until_unloaded(client)


@pytest.mark.parametrize("keep_alive", ["10m", "1h30m", 90, 0.5e3], ids=str)
async def test_keep_alive_in_words_and_numbers(
    client: Client, registry: LoopbackRegistry, keep_alive: float | str
) -> None:
    name = await pulled(client, registry, "tiny")
    await client.load(name, keep_alive=keep_alive)
    [running] = (await client.ps()).models
    assert running.expires_at is not None
    await client.unload(name)
    await until_unloaded(client)


async def test_a_model_for_embeddings_is_loaded_and_unloaded(client: Client, registry: LoopbackRegistry) -> None:
    name = await pulled(client, registry, "embed")
    assert (await client.load(name, keep_alive="5m")).done_reason == "load"
    assert [one.name for one in (await client.ps()).models] == [name]
    assert (await client.unload(name)).done_reason == "unload"
    await until_unloaded(client)


async def test_copy_and_delete(client: Client, registry: LoopbackRegistry) -> None:
    name = await pulled(client, registry, "tiny")
    await client.copy(name, "short")
    digests = {one.name: one.digest for one in (await client.tags()).models}
    assert set(digests) == {name, "short:latest"}
    assert len(set(digests.values())) == 1
    await client.delete(name)
    await client.delete("short")
    assert (await client.tags()).models == ()


async def test_what_does_not_exist_is_told_as_such(client: Client, registry: LoopbackRegistry) -> None:
    for call in (client.show, client.delete, client.load, client.unload):
        with pytest.raises(ModelNotFound) as caught:
            await call("nothing")
        assert caught.value.title
        assert caught.value.hint
    with pytest.raises(ModelNotFound):
        await client.copy("nothing", "other")
    with pytest.raises(InlineError) as inline:
        async for _ in client.pull(registry.name_of("nothing"), insecure=True):
            pass
    assert inline.value.reason is Reason.NO_SUCH_MODEL
    assert inline.value.text == "pull model manifest: file does not exist"


async def test_names_that_cannot_be_are_refused(client: Client) -> None:
    for call in (client.show, client.delete):
        with pytest.raises(Refused) as caught:
            await call("a/b/c/d")
        assert caught.value.status == 400
    with pytest.raises(Refused) as caught:
        async for _ in client.pull("a/b/c/d"):
            pass
    assert caught.value.status == 400


async def test_no_registry_there_is_an_inline_error(client: Client, another_port: int) -> None:
    with pytest.raises(InlineError) as caught:
        async for _ in client.pull(f"127.0.0.1:{another_port}/library/tiny", insecure=True):
            pass
    assert "connection refused" in caught.value.text
    assert caught.value.title
    assert "127.0.0.1" in caught.value.detail


async def test_a_server_that_is_stopped_cuts_the_stream(
    client: Client, server: psutil.Process, registry: LoopbackRegistry
) -> None:
    async def pull_and_stop() -> None:
        async with aclosing(client.pull(registry.name_of("big"), insecure=True)) as lines:
            async for line in lines:
                if line.completed:
                    server.terminate()

    registry.rate_bps = 10_000_000
    with pytest.raises(CutStream):
        await pull_and_stop()
    assert not await client.is_running()


async def test_a_cancelled_load_leaves_the_server_well(client: Client, registry: LoopbackRegistry) -> None:
    name = await pulled(client, registry, "tiny")
    load = asyncio.create_task(client.load(name))
    await asyncio.sleep(0.02)  # into the load, wherever that is by then
    load.cancel()
    await asyncio.wait({load})
    assert (await client.load(name)).done
    assert len((await client.ps()).models) == 1


async def test_a_program_that_says_nothing_is_no_ollama(machine: Machine) -> None:
    with listener(machine.port):
        async with Client(f"127.0.0.1:{machine.port}") as client:
            with pytest.raises(TimedOut):
                await client.version(timeout_s=0.3)


async def test_another_http_server_is_no_ollama(registry: LoopbackRegistry) -> None:
    async with Client(registry.address) as client:
        assert not await client.is_running()
        with pytest.raises((Refused, ProtocolBroken)):
            await client.version()


async def test_a_prefix_of_v1_is_stripped(client: Client, machine: Machine) -> None:
    async with Client(f"http://127.0.0.1:{machine.port}/v1") as other:
        assert await other.version() == await client.version()
