from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.launched import Launched


@pytest.fixture
def launched(tmp_path: Path, free_port: int) -> Iterator[Launched]:
    """A launcher with folders of its own; whatever server it has started is stopped at the end."""
    launcher = Launched(tmp_path, free_port)
    yield launcher
    launcher.close()
