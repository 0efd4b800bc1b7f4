"""From a file on the disk to an answer, with real inference: create, chat and embed as they are typed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.at_a_terminal import CTRL_C, CTRL_D, ENTER, at_a_terminal
from tests.real.tiny_gguf import tiny_gguf
from tests.support.machine import Machine
from tests.support.terminal import Terminal

pytestmark = pytest.mark.real_ollama


@pytest.fixture
def with_models(machine: Machine, shell: Terminal, tmp_path: Path) -> Terminal:
    """A server that has ``tiny``, made of a Modelfile, and ``vectors``, made of a file."""
    (tmp_path / "tiny.gguf").write_bytes(tiny_gguf())
    (tmp_path / "vectors.gguf").write_bytes(tiny_gguf(embeds=True))
    (tmp_path / "Modelfile").write_text(
        'FROM ./tiny.gguf\nTEMPLATE "{{ .System }} {{ .Prompt }}"\nSYSTEM """Be\nsmall."""\n'
        "PARAMETER temperature 0\nPARAMETER stop river\nMESSAGE user one\nMESSAGE assistant two\nLICENSE free\n"
    )
    assert shell.run("start").code == 0
    for arguments in (("tiny", "-f", f"{tmp_path}/Modelfile"), ("vectors", "--from", f"{tmp_path}/vectors.gguf")):
        made = shell.run("models", "create", *arguments, "--json")
        assert (made.code, made.err) == (0, ""), made
        assert json.loads(made.out.splitlines()[-1])["status"] == "success"
    return shell


def test_a_model_is_what_its_modelfile_says(with_models: Terminal) -> None:
    shown = with_models.run("models", "show", "tiny", "--json").json
    assert (shown["system"], shown["template"]) == ("Be\nsmall.", "{{ .System }} {{ .Prompt }}")
    assert sorted(shown["parameters"].split()) == ['"river"', "0", "stop", "temperature"]
    assert [turn["content"] for turn in shown["messages"]] == ["one", "two"]

    small = with_models.run("models", "create", "small", "--from", "tiny", "--system", "Be smaller.")
    assert (small.code, small.out.splitlines()[-1]) == (0, "small:latest is made.")
    assert with_models.run("models", "show", "small", "--json").json["system"] == "Be smaller."


def test_answers_and_vectors(with_models: Terminal) -> None:
    answer = with_models.run("chat", "-m", "tiny", "-o", "num_predict=8", "--seed", "1", "--json", "hello").json
    assert (answer["done"], answer["eval_count"] <= 8) == (True, True)
    streamed = with_models.run("chat", "-m", "tiny", "-o", "num_predict=8", "--seed", "1", "hello")
    assert (streamed.code, streamed.out.strip()) == (0, answer["message"]["content"].strip())

    embedded = with_models.run("embed", "one", "two", "--dimensions", "16")
    assert embedded.code == 0, embedded
    assert embedded.json["model"] == "vectors:latest"
    assert [len(vector) for vector in embedded.json["embeddings"]] == [16, 16]
    unable = with_models.run("embed", "-m", "tiny", "one")
    assert (unable.code, unable.out, unable.err.count("Error: ")) == (1, "", 1)


def test_a_conversation_goes_on_after_ctrl_c(with_models: Terminal) -> None:
    # Its context is shifted, and it never comes to an end by itself.
    endless = ("-o", "num_predict=-1", "--temperature", "1.5", "--num-ctx", "512")
    with at_a_terminal(with_models.environ, "chat", "-m", "tiny", *endless) as person:
        person.prompted()
        person.type("hello" + ENTER)
        person.until("\n", after="hello")
        person.type(CTRL_C)
        person.prompted()
        person.type(CTRL_D)
        assert person.end() == 0
