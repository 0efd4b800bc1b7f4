"""Which files a Modelfile means."""

from __future__ import annotations

from pathlib import Path

import pytest

from launcher.actions.create_model import InvalidSource, Sources, find_sources
from launcher.domain.modelfile import Modelfile
from launcher.domain.names import InvalidModelName


def made(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"x")
    return folder


def found(folder: Path, *sources: str, adapter: str | None = None) -> Sources:
    return find_sources(Modelfile(sources=sources, adapter=adapter), folder)


def test_a_name_is_a_model_and_a_path_is_a_file(tmp_path: Path) -> None:
    made(tmp_path, "tiny.gguf", "deep/projector.gguf")
    assert found(tmp_path, "llama3.2") == Sources("llama3.2:latest", {}, {})
    assert found(tmp_path, "./tiny.gguf") == Sources(None, {"tiny.gguf": tmp_path / "tiny.gguf"}, {})
    assert found(tmp_path, str(tmp_path / "tiny.gguf")).files == {"tiny.gguf": tmp_path / "tiny.gguf"}
    assert found(tmp_path, "tiny.gguf", "deep/projector.gguf").files.keys() == {"tiny.gguf", "projector.gguf"}


def test_home_is_understood(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    made(tmp_path, "tiny.gguf")
    assert found(Path("/"), "~/tiny.gguf").files == {"tiny.gguf": tmp_path / "tiny.gguf"}


@pytest.mark.parametrize(
    ("there", "taken"),
    [
        pytest.param(
            ["model-1.safetensors", "model-2.safetensors", "config.json", "tokenizer.json", "1_Pooling/config.json"],
            {"model-1.safetensors", "model-2.safetensors", "config.json", "tokenizer.json", "1_Pooling/config.json"},
            id="safetensors",
        ),
        pytest.param(["model.safetensors", "README.md", "x.gguf"], {"model.safetensors"}, id="not everything"),
        pytest.param(["adapter_model.safetensors", "a.json"], {"adapter_model.safetensors", "a.json"}, id="adapter"),
        pytest.param(["pytorch_model.bin", "tokenizer.model"], {"pytorch_model.bin", "tokenizer.model"}, id="pytorch"),
        pytest.param(["a.gguf", "b.bin"], {"a.gguf"}, id="gguf"),
        pytest.param(
            ["model.safetensors", "chat_template.jinja"], {"model.safetensors", "chat_template.jinja"}, id="t"
        ),
    ],
)
def test_what_of_a_folder_is_a_model(tmp_path: Path, there: list[str], taken: set[str]) -> None:
    made(tmp_path / "model", *there)
    assert found(tmp_path, "model").files.keys() == taken
    assert found(tmp_path, "llama3.2", adapter="./model").adapters.keys() == taken


@pytest.mark.parametrize(
    ("sources", "words"),
    [
        pytest.param(("./nope.gguf",), "There is no file", id="path"),
        pytest.param(("nope.gguf",), "There is no file", id="name of a file"),
        pytest.param(("~nobody/x",), "There is no file", id="home of nobody"),
        pytest.param(("a b",), "There is no file", id="no name either"),
        pytest.param(("empty",), "There is no model in the folder", id="empty folder"),
        pytest.param(("one", "two"), "one, two is too much", id="two models"),
        pytest.param(("one", "a.gguf"), "one, a.gguf is too much", id="model and file"),
        pytest.param(("a.gguf", "deep/a.gguf"), "Two files are called a.gguf", id="same names"),
        pytest.param(("pointer.gguf",), "not the file itself but a reference", id="git lfs"),
    ],
)
def test_what_cannot_be_meant(tmp_path: Path, sources: tuple[str, ...], words: str) -> None:
    made(tmp_path, "a.gguf", "deep/a.gguf", "empty/README.md")
    (tmp_path / "pointer.gguf").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:1\n")
    with pytest.raises(InvalidSource, match=words):
        found(tmp_path, *sources)


def test_an_adapter_is_never_a_model(tmp_path: Path) -> None:
    with pytest.raises(InvalidSource, match=r"There is no adapter llama3\.2"):
        found(tmp_path, "llama3.2", adapter="llama3.2")


def test_a_name_that_cannot_be_one(tmp_path: Path) -> None:
    with pytest.raises((InvalidSource, InvalidModelName)):
        found(tmp_path, "a/b/c/d/e")


def test_a_link_out_of_the_folder_is_not_followed(tmp_path: Path) -> None:
    made(tmp_path, "secret.json", "model/model.safetensors")
    try:
        (tmp_path / "model" / "config.json").symlink_to(tmp_path / "secret.json")
    except OSError:
        pytest.skip("links need a privilege here")
    with pytest.raises(InvalidSource, match="leads out of the folder"):
        found(tmp_path, "model")
