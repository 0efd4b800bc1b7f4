"""What people read can be told in another language: words with values remember the pattern that they were made from."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path

import pytest

from launcher.errors import LauncherError, Sentence, sentence
from tests.cli.launched import ROOT

HOUSE = ROOT / "launcher"
SPEAKING = sorted(
    path
    for pattern in ("domain/*.py", "server/*.py", "downloads/*.py", "settings.py", "paths.py", "ollama/errors.py")
    for path in HOUSE.glob(pattern)
    # Told by the command line alone, which speaks English.
    if path.name not in ("checks.py", "conversation.py", "modelfile.py", "options.py")
)
_END_OF_A_SENTENCE = re.compile(r"[a-z)”][.!?]( |$)")


def test_it_is_its_text() -> None:
    made = sentence("{name} is {what}.", name="qwen3:8b", what=sentence("{count} GB", count=5))
    assert made == "qwen3:8b is 5 GB."
    assert json.dumps(made) == '"qwen3:8b is 5 GB."'
    assert made.pattern == "{name} is {what}."
    assert isinstance(made.values["what"], Sentence)
    assert str(LauncherError(made)) == made


def test_braces_in_values_are_theirs() -> None:
    assert sentence("{text} is no name.", text="{0}{x}") == "{0}{x} is no name."


def _is_glued(node: ast.AST) -> bool:
    """A sentence of several words with values in it."""
    if not isinstance(node, ast.JoinedStr) or not any(isinstance(part, ast.FormattedValue) for part in node.values):
        return False
    words = "".join(str(part.value) if isinstance(part, ast.Constant) else "x" for part in node.values)
    return words.count(" ") > 1 and _END_OF_A_SENTENCE.search(words) is not None


@pytest.mark.parametrize("path", SPEAKING, ids=lambda path: str(path.relative_to(HOUSE)))
def test_no_sentence_is_glued_together(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    assert [f"{path.name}:{node.lineno}" for node in ast.walk(tree) if _is_glued(node)] == []
