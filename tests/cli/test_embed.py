"""Texts that become vectors by command."""

from __future__ import annotations

import pytest

from launcher.cli.main import main
from tests.cli.launched import Launched


def test_texts_become_vectors(talking: Launched) -> None:
    ended = talking.run("embed", "-m", "vectors", "hello", "world")
    assert (ended.code, ended.err) == (0, "")
    answer = ended.fact
    assert list(answer)[:2] == ["model", "embeddings"]
    first, second = answer["embeddings"]
    assert len(first) == len(second) > 10
    assert sum(number * number for number in first) == pytest.approx(1.0, abs=1e-3)


def test_each_line_that_is_piped_in_is_a_text(talking: Launched) -> None:
    piped = "one\n\r\n \ntwo\u2028or\x85three\r\n"
    ended = talking.run("embed", "--model", "vectors", "--dimensions", "8", piped=piped)
    assert [len(vector) for vector in ended.fact["embeddings"]] == [8, 8]


def test_a_model_for_embeddings_is_found(talking: Launched) -> None:
    assert talking.run("embed", "hello").fact["model"] == "vectors:latest"


def test_where_there_is_none(launched: Launched) -> None:
    launched.started()
    ended = launched.run("embed", "hello")
    assert (ended.code, ended.out) == (4, "")
    assert "Download one with: ollama-launcher models pull nomic-embed-text" in ended.err


def test_a_model_that_cannot(talking: Launched) -> None:
    ended = talking.run("embed", "-m", "fast", "hello")
    assert (ended.code, ended.out) == (1, "")
    assert "gives no embeddings" in ended.err


@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param(("--dimensions", "0", "x"), id="dimensions"),
        pytest.param(("-m", "a b", "x"), id="name"),
        pytest.param(("--keep-alive", "soon", "x"), id="keep-alive"),
    ],
)
def test_wrong_usage(capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...]) -> None:
    assert main(["embed", *arguments]) == 2
    assert capsys.readouterr().out == ""


def test_nothing_at_all(talking: Launched) -> None:
    ended = talking.run("embed", "-m", "vectors")
    assert (ended.code, ended.out, "There is no text" in ended.err) == (2, "", True)


def test_too_long_a_text_is_refused_where_that_is_wished(talking: Launched) -> None:
    ended = talking.run("embed", "-m", "vectors", "--no-truncate", piped="word " * 20_000)
    assert (ended.code, ended.out) == (1, "")
    assert ended.err.startswith("Error: ")
