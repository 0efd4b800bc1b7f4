"""The examples of the README run as they stand there, and do what it says about them."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from launcher.ollama import Client
from launcher.tasks import run_blocking
from tests.support.demo_server import DemoServer
from tests.support.machine import Machine

pytestmark = pytest.mark.anyio

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PART = README.partition("\n## From Python\n")[2].partition("\n## ")[0]
EXAMPLES = re.findall(r"^```python\n(.*?)^```$", PART, re.MULTILINE | re.DOTALL)

QUICK = {"tokens_per_s": 10_000, "load_s": 0.01, "rate_bytes_per_s": 1_000_000_000}
ANSWER = "This is a simulated answer."

# What each example must say, in their order.
SAYS = {
    "chat": ["llama3.2:1b 1", f"{ANSWER} No model has read", "You wrote: Why is the sky blue?"],
    "sync": ["pulling manifest None None\n", "success None None\n", ANSWER],
    "tools": ["weather {'city': ", "ToolOutcome.RETURNED", '"sky":"clear"', "The tool weather said:"],
    "values and vectors": ["inhabitants=", "2 vectors of "],
    "start and pull": ["StartingServer(address=", "PullingModel(model='llama3.2:1b'", ANSWER],
    "health and memory": ["True llama3.2:1b None\n", ANSWER],
    "errors": ["This model is not installed. Pull it first"],
    "pydantic-ai": [ANSWER],
}
NAMED = dict(zip(SAYS, EXAMPLES, strict=False))


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
async def with_models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("demo")
    async with DemoServer(folder, QUICK) as server, Client(server.base_url) as client:
        for model in ("nomic-embed-text", "llama3.2:1b"):
            async for _ in client.pull(model):
                pass
    return folder


@pytest.fixture
async def server(with_models: Path) -> AsyncIterator[DemoServer]:
    async with DemoServer(with_models, QUICK) as server:
        yield server


async def run(example: str, folder: Path, environ: dict[str, str]) -> str:
    path = folder / "example.py"
    path.write_text(example, encoding="utf-8")
    command = [sys.executable, str(path)]
    done = await run_blocking(
        lambda: subprocess.run(
            command, env=environ, cwd=folder, capture_output=True, text=True, timeout=60, check=False
        )
    )
    assert done.stderr == ""
    assert done.returncode == 0
    return done.stdout


def test_every_example_is_run() -> None:
    assert len(EXAMPLES) == len(SAYS)


@pytest.mark.parametrize("name", [name for name in SAYS if name != "start and pull"])
async def test_examples_do_what_they_say(name: str, server: DemoServer, tmp_path: Path) -> None:
    said = await run(NAMED[name], tmp_path, {**os.environ, "OLLAMA_HOST": server.base_url})
    for text in SAYS[name]:
        assert text in said


async def test_the_example_that_starts_a_server_does(machine: Machine, tmp_path: Path) -> None:
    machine.script(scale=0.0001, tokens_per_s=10_000)
    said = await run(NAMED["start and pull"], tmp_path, machine.environ)
    for text in SAYS["start and pull"]:
        assert text in said
    async with machine.launcher() as core:
        await core.control.stop()
    assert machine.processes() == []
