"""Wait in a test for something that tells nobody: bounded, and with a sentence where it does not come."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Callable
from typing import Protocol

import pytest

_STEP_S = 0.01


class WaitFor(Protocol):
    def __call__(self, predicate: Callable[[], object], timeout_s: float = 10.0, message: str = "") -> None: ...


def wait_until(predicate: Callable[[], object], timeout_s: float = 10.0, message: str = "") -> None:
    """Return when ``predicate()`` is true; fail after ``timeout_s``. For plain tests: it blocks."""
    deadline_s = time.monotonic() + timeout_s
    while not predicate():
        if time.monotonic() > deadline_s:
            pytest.fail(f"not within {timeout_s} s: {message or predicate}")
        time.sleep(_STEP_S)


async def eventually(predicate: Callable[[], object], timeout_s: float = 10.0, message: str = "") -> None:
    """Return when ``predicate()`` is true; fail after ``timeout_s``. For tests on a loop, which goes on."""
    deadline_s = time.monotonic() + timeout_s
    while not predicate():
        if time.monotonic() > deadline_s:
            pytest.fail(f"not within {timeout_s} s: {message or predicate}")
        await asyncio.sleep(_STEP_S)


@pytest.fixture
def wait_for() -> WaitFor:
    """Give :func:`wait_until`."""
    return wait_until


@pytest.fixture
def free_port() -> int:
    """Give a loopback port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
