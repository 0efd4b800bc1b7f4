"""Models for Pydantic AI: which model, which address, which key; and that an agent talks through them."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from pydantic import BaseModel
from pydantic_ai import Agent
from pydantic_ai.models.openai import OpenAIChatModel

from launcher.ollama import Client, ModelNotFound, NoModelInstalled, NotRunning
from launcher.ollama.pydantic_ai import create_model, create_model_async
from tests.support.demo_server import DemoServer

pytestmark = pytest.mark.anyio

NOBODY = "http://127.0.0.1:9"
MODEL = "llama3.2:1b"


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
async def server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[DemoServer]:
    script = {"tokens_per_s": 10_000, "load_s": 0.01, "rate_bytes_per_s": 1_000_000_000}
    async with DemoServer(tmp_path_factory.mktemp("demo"), script) as server:
        async with Client(server.base_url) as client:
            async for _ in client.pull(MODEL):
                pass
            # Its runner is a process, which no test leaves behind then.
            await client.load(MODEL, keep_alive=-1)
        yield server


async def test_an_agent_talks_through_it(server: DemoServer) -> None:
    model = await create_model_async(host=server.base_url)
    assert model.model_name == MODEL
    async with Agent(model, instructions="Be short.") as agent:
        result = await agent.run("Why is the sky blue?")
    assert "You wrote: Why is the sky blue?" in result.output
    assert result.usage.input_tokens > 0


async def test_an_agent_streams_through_it(server: DemoServer) -> None:
    model = await create_model_async(MODEL, server.base_url)
    async with Agent(model) as agent, agent.run_stream("Hello") as run:
        pieces = [piece async for piece in run.stream_text(delta=True, debounce_by=None)]
    assert len(pieces) > 5
    assert "You wrote: Hello" in "".join(pieces)


async def test_an_agent_calls_tools_through_it(server: DemoServer) -> None:
    called: list[str] = []

    def weather(city: str) -> str:
        """Tell the weather."""
        called.append(city)
        return "sunny"

    async with Agent(await create_model_async(MODEL, server.base_url), tools=[weather]) as agent:
        result = await agent.run("How is the weather?")
    assert len(called) == 1
    assert "sunny" in result.output


class Answer(BaseModel):
    city: str
    degrees: int


async def test_an_agent_gets_values_through_it(server: DemoServer) -> None:
    async with Agent(await create_model_async(MODEL, server.base_url), output_type=Answer) as agent:
        result = await agent.run("How warm is it in Bern?")
    assert isinstance(result.output, Answer)


def test_programs_without_a_loop_need_not_await(server: DemoServer) -> None:
    model = create_model(host=server.base_url)
    assert (model.model_name, model.base_url) == (MODEL, f"{server.base_url}/v1/")
    with pytest.raises(ModelNotFound):
        create_model("no-such-model", server.base_url)
    with pytest.raises(NotRunning):
        create_model(host=NOBODY, check=False)


@pytest.mark.blocks_loop("it waits in the loop's own thread")
async def test_programs_with_a_loop_may_still_wait(server: DemoServer) -> None:
    assert create_model(host=server.base_url).model_name == MODEL


async def test_a_proxy_is_not_asked_for_this_machine(server: DemoServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", NOBODY)
    model = await create_model_async(host=server.base_url)
    async with model.client:
        assert (await Agent(model).run("Hello")).output


@pytest.mark.parametrize(
    ("host", "url"),
    [
        pytest.param("http://127.0.0.1:9", "http://127.0.0.1:9/v1/", id="added"),
        pytest.param("http://127.0.0.1:9/v1", "http://127.0.0.1:9/v1/", id="as it is"),
        pytest.param("http://127.0.0.1:9/v1/", "http://127.0.0.1:9/v1/", id="with a slash"),
        pytest.param("0.0.0.0:9", "http://127.0.0.1:9/v1/", id="bind address"),
        pytest.param("https://example.com/ollama/v1", "https://example.com/ollama/v1/", id="below a path"),
        pytest.param(None, "http://127.0.0.1:11434/v1/", id="default"),
    ],
)
async def test_the_address_is_that_of_the_client_with_v1(host: str | None, url: str) -> None:
    model = await create_model_async("m", host, check=False)
    assert model.base_url == url


def test_ollama_host_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OLLAMA_HOST", "127.0.0.1:9")
    assert create_model("m", check=False).base_url == "http://127.0.0.1:9/v1/"


@pytest.mark.parametrize(
    ("host", "given", "key"),
    [
        pytest.param("https://box", None, "of the environment", id="https"),
        pytest.param("https://box", "given", "given", id="given"),
        pytest.param("http://127.0.0.1:9", None, "of the environment", id="this machine"),
        pytest.param("http://box", None, "none", id="others could read it"),
        pytest.param("http://box", "given", "none", id="others could read what was given"),
        pytest.param("https://box", "", "none", id="none wanted"),
    ],
)
def test_a_key_goes_only_where_others_cannot_read_it(
    host: str, given: str | None, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OLLAMA_API_KEY", "of the environment")
    model = create_model("m", host, check=False, api_key=given)
    assert model.client.api_key == key


async def test_the_check_says_what_is_wrong_now(server: DemoServer) -> None:
    with pytest.raises(ModelNotFound):
        await create_model_async("no-such-model", server.base_url)
    with pytest.raises(NotRunning):
        await create_model_async(MODEL, NOBODY)
    with pytest.raises(NotRunning):
        await create_model_async(host=NOBODY, check=False)
    assert isinstance(await create_model_async("no-such-model", NOBODY, check=False), OpenAIChatModel)


async def test_without_any_model_there_is_a_sentence(tmp_path: Path) -> None:
    async with DemoServer(tmp_path) as server:
        with pytest.raises(NoModelInstalled):
            await create_model_async(host=server.base_url)


def test_without_the_extra_there_is_a_sentence_with_the_command() -> None:
    code = (
        "import sys\n"
        "sys.modules['pydantic_ai'] = None\n"
        "from launcher.ollama.pydantic_ai import ExtraMissing, create_model\n"
        "try:\n"
        "    create_model('m', check=False)\n"
        "except ExtraMissing as error:\n"
        "    print(error, error.hint)\n"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert run.stdout == 'Pydantic AI is not installed. Run: pip install "ollama-launcher[pydantic-ai]"\n'


def test_it_is_imported_only_when_it_is_used() -> None:
    code = "import launcher.ollama.pydantic_ai, sys; sys.exit('pydantic_ai' in sys.modules or 'openai' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], timeout=60, check=True)
