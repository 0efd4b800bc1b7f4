"""Real small processes for the tests of the process layer; whatever a test starts is gone when it ends."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.support.processes import Family


@pytest.fixture
async def family(tmp_path: Path) -> AsyncIterator[Family]:
    family = Family(tmp_path)
    yield family
    await family.end()


@pytest.fixture
def zombie() -> Iterator[subprocess.Popen[bytes]]:
    """A process in a session of its own that has ended and that nobody has reaped."""
    process = subprocess.Popen([sys.executable, "-I", "-S", "-c", ""], start_new_session=True)
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    yield process
    process.wait()
