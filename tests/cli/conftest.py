"""What every test of the command line is given."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.launched import Launched

if sys.platform == "win32":
    # They signal, and use terminals, in ways that Windows does not have.
    collect_ignore_glob = ["test_*.py"]


@pytest.fixture
def launched(tmp_path: Path, free_port: int) -> Iterator[Launched]:
    """A launcher with folders of its own; whatever server it has started is stopped at the end."""
    launcher = Launched(tmp_path, free_port)
    yield launcher
    launcher.close()
