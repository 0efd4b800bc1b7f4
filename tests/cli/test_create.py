"""Models that are made and uploaded by command."""

from __future__ import annotations

import json
import re
import signal
from pathlib import Path

import pytest

from launcher.cli.main import main
from tests.cli.at_a_terminal import at_a_terminal
from tests.cli.launched import Launched
from tests.support.gguf import make_gguf

STEP_MEMBERS = ["model", "status", "digest", "completed_bytes", "total_bytes"]


def shown(launched: Launched, name: str) -> dict[str, str]:
    answer = launched.run("models", "show", name, "--json").fact
    assert isinstance(answer, dict)
    return answer


def test_a_model_of_another_one(talking: Launched) -> None:
    arguments = ("--from", "fast", "--system", "You are a pirate.", "-p", "temperature=0.2", "-p", "stop=AYE")
    ended = talking.run("models", "create", "pirate", *arguments, "--template", "{{ .Prompt }}")
    assert (ended.code, ended.err) == (0, "")
    lines = ended.out.splitlines()
    assert lines[-2:] == ["writing manifest", "pirate:latest is made."]
    pirate = shown(talking, "pirate")
    assert (pirate["system"], pirate["template"]) == ("You are a pirate.", "{{ .Prompt }}")
    assert sorted(pirate["parameters"].split()) == ['"AYE"', "0.2", "stop", "temperature"]

    told = talking.run("models", "create", "pirate", "--from", "fast", "--json").facts
    assert all(list(line) == STEP_MEMBERS for line in told)
    assert told[-1]["status"] == "success"
    assert shown(talking, "pirate")["system"] == ""


def test_a_modelfile_and_its_files(talking: Launched, tmp_path: Path) -> None:
    folder = tmp_path / "pirate"
    folder.mkdir()
    (folder / "tiny.gguf").write_bytes(make_gguf())
    (folder / "Modelfile").write_text(
        '# mine\nFROM ./tiny.gguf\nSYSTEM """You are a\npirate."""\nPARAMETER num_ctx 2048\nPARAMETER mirostat 1\n'
        "MESSAGE user hi\nMESSAGE assistant aye\nLICENSE free\n"
    )
    ended = talking.run("models", "create", "pirate", "-f", str(folder / "Modelfile"), "-p", "num_ctx=4096")
    assert ended.code == 0, ended
    assert ended.err == "Note: without effect in today's Ollama, and left out: mirostat.\n"
    assert re.search(r"^sending tiny\.gguf: 100 % \(\d+ B of \d+ B\)$", ended.out, re.MULTILINE)
    pirate = shown(talking, "pirate")
    assert (pirate["system"], pirate["license"]) == ("You are a\npirate.", "free")
    assert pirate["parameters"].split() == ["num_ctx", "4096"]
    assert [turn["content"] for turn in pirate["messages"]] == ["hi", "aye"]  # type: ignore[index]  # a list here

    piped = talking.run("models", "create", "pirate", "-f", "-", piped="FROM fast\nSYSTEM x\n")
    assert (piped.code, shown(talking, "pirate")["system"]) == (0, "x")


def test_a_file_without_a_modelfile(talking: Launched, tmp_path: Path) -> None:
    file = tmp_path / "tiny.gguf"
    file.write_bytes(make_gguf())
    assert talking.run("models", "create", "one", "--from", str(file), "-q", "q8_0").code == 0
    (one,) = [model for model in talking.run("models", "list", "--json").fact if model["name"] == "one:latest"]
    assert one["quantization"] == "Q8_0"


@pytest.mark.parametrize(
    ("modelfile", "words"),
    [
        pytest.param("FROM fast\nFORM x\n", "Line 2 of the Modelfile is no command", id="command"),
        pytest.param("FROM ./nope.gguf\n", "There is no file", id="file"),
        pytest.param("SYSTEM x\n", "The Modelfile has no FROM", id="no FROM"),
        pytest.param("GGUF\udcff", "The Modelfile is not text", id="no text"),
    ],
)
def test_a_modelfile_that_is_wrong(talking: Launched, tmp_path: Path, modelfile: str, words: str) -> None:
    file = tmp_path / "Modelfile"
    file.write_bytes(modelfile.encode(errors="surrogateescape"))
    ended = talking.run("models", "create", "x", "-f", str(file))
    assert (ended.code, ended.out, words in ended.err) == (2, "", True), ended
    assert ended.err.startswith("Error: ")


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        pytest.param(("--from", "nope"), 4, "There is no model nope", id="model"),
        pytest.param(("--from", __file__), 1, "no model that Ollama can read", id="file that is no model"),
        pytest.param(("--from", "fast", "-q", "q9"), 1, "cannot be quantized", id="quantization"),
        pytest.param(("--from", "fast", "--template", "{{ .Nope"), 1, "template", id="template"),
    ],
)
def test_what_the_server_refuses(talking: Launched, arguments: tuple[str, ...], code: int, words: str) -> None:
    ended = talking.run("models", "create", "x", *arguments)
    assert (ended.code, words in ended.err) == (code, True), ended
    told = talking.run("models", "create", "x", *arguments, "--json")
    assert (told.code, told.facts[-1]["status"]) == (code, "failed")
    assert talking.run("models", "show", "x").code == 4


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        pytest.param(("create", "x"), "there is no Modelfile here", id="of nothing"),
        pytest.param(("create", "a b", "--from", "x"), "cannot be the name", id="name"),
        pytest.param(("create", "x", "--from", "y", "-p", "wings=2"), "no option “wings”", id="parameter"),
        pytest.param(("create", "x", "-f", "/nowhere/at.all"), "cannot be read", id="file"),
        pytest.param(("push", "a b"), "cannot be the name", id="push of no name"),
        pytest.param(("push", "x"), "does not tell whose it is", id="push of nobody's"),
    ],
)
def test_wrong_usage(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    arguments: tuple[str, ...],
    words: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["models", *arguments]) == 2
    told = capsys.readouterr()
    assert (told.out, words in told.err) == ("", True), told.err


@pytest.mark.parametrize("arguments", [("create", "x", "--from", "y"), ("push", "me/x")], ids=lambda words: words[0])
def test_without_a_server(launched: Launched, arguments: tuple[str, ...]) -> None:
    ended = launched.run("models", *arguments)
    assert (ended.code, ended.out) == (3, "")
    assert "Start it with: ollama-launcher start\n" in ended.err


def test_a_large_file_is_shown_on_its_way_and_ctrl_c_stops_it(talking: Launched, tmp_path: Path) -> None:
    file = tmp_path / "large.gguf"
    with file.open("wb") as large:
        large.write(make_gguf())
        large.truncate(3_000_000_000)  # with holes: it takes no room, and its reading a while
    making = talking.begin("models", "create", "large", "--from", str(file), "--json")
    told = json.loads(making.until(lambda line: json.loads(line)["completed_bytes"] > 0))
    assert (told["status"], told["total_bytes"]) == ("reading large.gguf", 3_000_000_000)
    making.signal(signal.SIGINT)
    ended = making.end()
    assert ended.code == 130
    assert ended.err == "Stopped; large:latest was not made. What was sent need not be sent again.\n"
    assert talking.run("models", "show", "large").code == 4


def test_bars_on_a_terminal(talking: Launched, tmp_path: Path) -> None:
    file = tmp_path / "tiny.gguf"
    file.write_bytes(make_gguf())
    with at_a_terminal(talking.environment, "models", "create", "tiny", "--from", str(file)) as person:
        assert person.end() == 0
    assert "100 %" in person.text
    assert "━" in person.text
    assert person.text.rstrip().endswith("tiny:latest is made.")
    assert person.screen.rindex(b"\x1b[?25h") > person.screen.rindex(b"\x1b[?25l")


def test_a_model_is_uploaded(talking: Launched) -> None:
    assert talking.run("models", "cp", "fast", "me/fast").code == 0
    ended = talking.run("models", "push", "me/fast")
    assert (ended.code, ended.err) == (0, "")
    assert ended.out.splitlines()[0] == "retrieving manifest"
    assert ended.out.splitlines()[-2:] == ["pushing manifest", "me/fast:latest is uploaded."]
    told = talking.run("models", "push", "me/fast", "--json").facts
    assert all(list(line) == STEP_MEMBERS for line in told)
    assert told[-1]["status"] == "success"


def test_what_cannot_be_uploaded(talking: Launched) -> None:
    missing = talking.run("models", "push", "me/nope", "--json")
    assert (missing.code, missing.fact["status"]) == (4, "failed")
    assert missing.err.startswith("Error: me/nope:latest is not installed.\n")


def test_ctrl_c_stops_an_upload(launched: Launched) -> None:
    launched.started({"models": {"me/big": {"size_bytes": 200_000_000}}, "line_interval_ms": 5})
    assert launched.run("models", "pull", "me/big").code == 0
    assert launched.run("models", "create", "me/other", "--from", "me/big", "--system", "x" * 50_000).code == 0
    assert launched.run("stop").code == 0
    launched.started({"rate_bytes_per_s": 5000, "line_interval_ms": 5})
    pushing = launched.begin("models", "push", "me/other", "--json")
    pushing.until(lambda line: bool(json.loads(line)["completed_bytes"]))
    pushing.signal(signal.SIGINT)
    ended = pushing.end()
    assert ended.code == 130
    assert ended.err == "Stopped; me/other:latest is not uploaded as a whole. The same command sends what is missing.\n"
