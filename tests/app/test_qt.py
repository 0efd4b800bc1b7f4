"""What is put right in PySide6 when it is imported; each cure fails here when it is no longer needed."""

from __future__ import annotations

import subprocess
import sys

import pytest

PROGRAM = """
import linecache, sys
from launcher.app.qt import load_qt
{load}
import colorsys
sys.exit(1 if any("colorsys" in name for name in linecache.cache) else 0)
"""


@pytest.mark.parametrize(
    ("load", "is_kept"),
    [pytest.param("load_qt()", 0, id="with the cure"), pytest.param("import PySide6.QtCore", 1, id="without it")],
)
def test_no_source_is_read_and_kept(load: str, is_kept: int) -> None:
    program = PROGRAM.format(load=load)
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)

    assert (run.returncode, run.stderr) == (is_kept, "")
