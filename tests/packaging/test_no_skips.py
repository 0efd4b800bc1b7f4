"""What CI makes of skipped tests, seen from outside: a run of pytest over a few files."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def outcome(folder: Path, body: str) -> str:
    """Run pytest with the plugin over one file and return its last line."""
    (folder / "pytest.ini").write_text("[pytest]\nmarkers = real_ollama\n", encoding="utf-8")
    (folder / "test_it.py").write_text(f"import sys, pytest\n{body}\n", encoding="utf-8")
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "tests.support.no_skips", "-p", "no:cacheprovider", str(folder)],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return f"{run.returncode} " + run.stdout.strip().splitlines()[-1].rsplit(" in ", 1)[0]


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        pytest.param("def test_a(): pass", "0 1 passed", id="passes"),
        pytest.param("def test_a(): pytest.skip('no xdotool')", "1 1 failed", id="skips inside"),
        pytest.param("@pytest.mark.skip(reason='later')\ndef test_a(): pass", "1 1 error", id="skips by a mark"),
        pytest.param("pytest.importorskip('nowhere_to_be_found')", "2 1 error", id="a module skips itself"),
        pytest.param("@pytest.mark.xfail(strict=True)\ndef test_a(): assert False", "0 1 xfailed", id="fails as said"),
        pytest.param(
            "@pytest.mark.real_ollama\ndef test_a(): pytest.skip('none here')", "0 1 skipped", id="no real ollama"
        ),
        pytest.param(
            "other = {'linux': 'Windows', 'win32': 'Linux', 'darwin': 'Linux'}[sys.platform]\n"
            "@pytest.mark.skipif(True, reason=f'{other} only')\ndef test_a(): pass",
            "0 1 skipped",
            id="for another system",
        ),
    ],
)
def test_a_skip_needs_a_good_reason(tmp_path: Path, body: str, expected: str) -> None:
    assert outcome(tmp_path, body) == expected
