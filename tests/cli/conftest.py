"""What every test of the command line is given."""

from __future__ import annotations

import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.cli.launched import Launched
from tests.support.leaks import RUN_VARIABLE

if sys.platform == "win32":
    # They signal, and use terminals, in ways that Windows does not have.
    collect_ignore_glob = ["test_*.py"]


@pytest.fixture
def launched(tmp_path: Path, free_port: int) -> Iterator[Launched]:
    """A launcher with folders of its own; whatever server it has started is stopped at the end."""
    launcher = Launched(tmp_path, free_port)
    yield launcher
    launcher.close()


_SMALL = {"size_bytes": 1_000_000, "capabilities": ["completion"]}
TALKERS = {
    "fast": _SMALL,
    "other": _SMALL,
    "thinker": {**_SMALL, "capabilities": ["completion", "thinking"]},
    "seer": {**_SMALL, "capabilities": ["completion", "vision"]},
    "staller": _SMALL,
    "cutter": _SMALL,
    "failer": _SMALL,
    "vectors": {**_SMALL, "capabilities": ["embedding"]},
}
"""Models of which each can one thing, or fails in one way."""


@pytest.fixture(scope="session")
def talking(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Launched]:
    """A server with models in memory, for tests that change none of them; what they add is nobody's."""
    folder = tmp_path_factory.mktemp("talking")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    launcher = Launched(folder, port)
    launcher.environment |= {"HOME": str(folder), "OLLAMA_MAX_LOADED_MODELS": "20", "OLLAMA_KEEP_ALIVE": "-1"}
    # It outlives each test, and is ended here.
    launcher.environment.pop(RUN_VARIABLE)
    launcher.started(
        {
            "models": TALKERS,
            "line_interval_ms": 5,
            "tokens_per_s": 500,
            "answers": {
                "faults": [
                    {"fault": "stall", "model": "staller", "after_tokens": 5, "for_s": 60, "times": 0},
                    {"fault": "cut", "model": "cutter", "after_tokens": 5, "times": 0},
                    {"fault": "error", "model": "failer", "after_tokens": 5, "text": "made to fail", "times": 0},
                ]
            },
        }
    )
    try:
        ended = launcher.run("models", "pull", *reversed(TALKERS))
        assert ended.code == 0, ended
        for name in TALKERS:
            path, member = ("embed", "input") if name == "vectors" else ("chat", "messages")
            asked = httpx.post(f"{launcher.base_url}/api/{path}", json={"model": name, member: []}, timeout=20)
            assert asked.status_code == 200, asked.text
        yield launcher
    finally:
        launcher.close()
