"""One question and its answer, for people, pipes and programs."""

from __future__ import annotations

import base64
import json
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from launcher.cli.main import main
from tests.cli.at_a_terminal import CTRL_C, CTRL_D, at_a_terminal
from tests.cli.launched import ROOT, Launched
from tests.cli.test_output import EVIL, steering
from tests.support.waiting import wait_until

PIXEL = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)


def test_an_answer_in_a_pipe_is_plain_text(talking: Launched) -> None:
    ended = talking.run("chat", "-m", "fast", "why", "is the sky blue?")
    assert (ended.code, ended.err) == (0, "")
    assert ended.out.startswith("This is a simulated answer.")
    assert ended.out.endswith("You wrote: why is the sky blue?\n")
    assert "\x1b" not in ended.out


@pytest.mark.parametrize(
    ("words", "piped", "asked"),
    [
        pytest.param((), "what is piped in\n", "what is piped in", id="alone"),
        pytest.param(("Say:",), "piped\n", "Say: piped", id="after the words"),
        pytest.param(("Say:",), "\n", "Say:", id="nothing but a line's end"),
    ],
)
def test_what_is_piped_in_is_asked(talking: Launched, words: tuple[str, ...], piped: str, asked: str) -> None:
    ended = talking.run("chat", "-m", "fast", *words, piped=piped)
    assert (ended.code, ended.out.partition("You wrote: ")[2]) == (0, asked + "\n")


def test_no_question_at_all_is_wrong_usage(talking: Launched) -> None:
    ended = talking.run("chat", "-m", "fast")
    assert (ended.code, ended.out) == (2, "")
    assert "There is no question" in ended.err


def test_an_answer_for_programs(talking: Launched) -> None:
    whole = talking.run("chat", "-m", "fast", "--json", "hello").fact
    assert list(whole)[:3] == ["model", "created_at", "message"]
    assert whole["message"]["content"].endswith("You wrote: hello")
    assert (whole["done"], whole["done_reason"]) == (True, "stop")
    assert whole["eval_count"] > 10

    pieces = talking.run("chat", "-m", "fast", "--json", "--stream", "hello").facts
    assert "".join(piece["message"]["content"] for piece in pieces) == whole["message"]["content"]
    assert [piece["done"] for piece in pieces] == [False] * (len(pieces) - 1) + [True]


def test_as_a_whole_and_how_long_it_took(talking: Launched) -> None:
    ended = talking.run("chat", "-m", "fast", "--no-stream", "--verbose", "hello")
    assert ended.out.endswith("You wrote: hello\n")
    assert re.fullmatch(r"\([\d.]+ s in all; .*answer \d+ tokens at [\d.]+/s\)\n", ended.err)


def test_a_thought_is_no_part_of_what_is_piped(talking: Launched) -> None:
    ended = talking.run("chat", "-m", "thinker", "--think", "hello")
    assert ended.code == 0
    assert ended.out.startswith("This is a simulated answer.")
    assert "I had better say so" not in ended.out + ended.err
    told = talking.run("chat", "-m", "thinker", "--think=high", "--json", "hello").fact
    assert "I had better say so" in told["message"]["thinking"]
    quiet = talking.run("chat", "-m", "thinker", "--no-think", "--json", "hello").fact
    assert "thinking" not in quiet["message"]


def test_a_thought_on_a_terminal_is_dim(talking: Launched) -> None:
    with at_a_terminal(talking.environment, "chat", "-m", "thinker", "hello") as person:
        assert person.end() == 0
    thought, _, answer = person.text.rpartition("I had better say so.")
    assert "The message has to be answered" in thought
    assert "This is a simulated answer." in answer
    before = person.screen.rpartition(b"The message has to be answered")[0]
    assert b"\x1b[2;3m" in before[-20:]


@pytest.mark.parametrize("think", ["true", "deep"])
def test_a_word_after_think_that_is_no_level_is_asked(talking: Launched, think: str) -> None:
    assert talking.run("chat", "-m", "thinker", "--think", think).out.endswith(f"You wrote: {think}\n")


def test_json_and_a_schema(talking: Launched, tmp_path: Path) -> None:
    assert json.loads(talking.run("chat", "-m", "fast", "--format", "json", "hello").out)
    schema = tmp_path / "schema.json"
    schema.write_text('{"type": "object", "properties": {"age": {"type": "integer"}}, "required": ["age"]}')
    answer = json.loads(talking.run("chat", "-m", "fast", "--format", str(schema), "hello").out)
    assert isinstance(answer["age"], int)


def test_a_picture(talking: Launched, tmp_path: Path) -> None:
    picture = tmp_path / "one.png"
    picture.write_bytes(PIXEL)
    ended = talking.run("chat", "-m", "seer", "--image", str(picture), "--image", str(picture), "What is it?")
    assert (ended.code, "looked at your 2 images" in ended.out) == (0, True), ended


def test_what_the_model_says_steers_no_terminal(talking: Launched) -> None:
    ended = talking.run("chat", "-m", "fast", piped=EVIL)
    assert steering(ended.out) == []
    assert "\ufffd]0;owned" in ended.out
    with at_a_terminal(talking.environment, "chat", "-m", "fast", EVIL) as person:
        assert person.end() == 0
    assert b"\x1b]0;" not in person.screen
    assert "]0;owned" in person.text
    assert "\u202e" not in person.text
    exact = talking.run("chat", "-m", "fast", "--json", piped="a\x1bb").fact
    assert exact["message"]["content"].endswith("a\x1bb")


def test_markdown_on_a_terminal_leaves_nothing_out(talking: Launched) -> None:
    with at_a_terminal(talking.environment, "chat", "-m", "fast", "**bold** <b>html</b>") as person:
        assert person.end() == 0
    assert "bold <b>html</b>" in person.text
    assert b"\x1b[1mbold" in person.screen


def test_what_is_too_long_to_be_drawn_is_shown_all_the_same(launched: Launched) -> None:
    fault = {"fault": "long_line", "after_tokens": 5, "bytes": 200_000}
    launched.started(
        {"tokens_per_s": 500, "models": {"fast": {"size_bytes": 1_000_000}}, "answers": {"faults": [fault]}}
    )
    assert launched.run("models", "pull", "fast").code == 0
    with at_a_terminal(launched.environment, "chat", "-m", "fast", "hello") as person:
        assert person.end() == 0
    assert len(person.text) > 200_000
    assert person.text.endswith("You wrote: hello\n")


def test_options_reach_the_server(launched: Launched) -> None:
    launched.started({"tokens_per_s": 500, "models": {"fast": {"size_bytes": 1_000_000, "context_length": 32768}}})
    assert launched.run("models", "pull", "fast").code == 0
    arguments = ("--num-ctx", "8192", "-o", "num_predict=3", "-o", "stop=x", "--keep-alive", "10m")
    ended = launched.run("chat", "-m", "fast", *arguments, "hello")
    assert (ended.code, ended.out) == (0, "This is a\n")
    assert "cut off" in ended.err
    (loaded,) = launched.run("status", "--json").fact["models_loaded"]
    assert loaded["context_length"] == 8192


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        pytest.param(("--num-ctx", "8k"), "“num_ctx” must be a whole number", id="option of its own"),
        pytest.param(("-o", "num_ctxt=1"), "no option “num_ctxt”", id="option that is not there"),
        pytest.param(("-o", "num_ctx"), "“num_ctx” is no option", id="option without a value"),
        pytest.param(("-o", "mirostat=1"), "no effect any more", id="option of old"),
        pytest.param(("--keep-alive", "soon"), "is no time", id="keep-alive"),
        pytest.param(("--think", "--no-think"), "contradict", id="both"),
        pytest.param(("--think=deep",), "'deep' is not one of", id="level"),
        pytest.param(("--format", "/nowhere/at.all"), "cannot be read", id="no schema"),
        pytest.param(("--format", __file__), "is not JSON", id="schema of another kind"),
        pytest.param(("-m", "a b"), "cannot be the name of a model", id="name"),
    ],
)
def test_wrong_usage(capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], words: str) -> None:
    assert main(["chat", *arguments, "hello"]) == 2
    told = capsys.readouterr()
    assert (told.out, words in told.err) == ("", True), told.err


@pytest.mark.parametrize("picture", ["/nowhere/cat.png", str(Path(__file__).parent)], ids=["missing", "folder"])
def test_a_picture_that_cannot_be_read(talking: Launched, picture: str) -> None:
    ended = talking.run("chat", "-m", "seer", "--image", picture, "What is it?")
    assert (ended.code, ended.out, f"The file {picture} cannot be read" in ended.err) == (2, "", True)


@pytest.mark.parametrize("arguments", [("chat", "-m", "nope", "hi"), ("embed", "-m", "nope", "hi")], ids=lambda a: a[0])
def test_a_model_that_is_missing_in_a_pipe(talking: Launched, arguments: tuple[str, ...]) -> None:
    ended = talking.run(*arguments)
    assert (ended.code, ended.out) == (4, "")
    assert ended.err == (
        "Error: nope:latest is not installed.\nDownload it with: ollama-launcher models pull nope:latest\n"
    )


def test_the_model_that_is_set_is_asked_else_one_that_is_there(talking: Launched, tmp_path: Path) -> None:
    (tmp_path / "settings.json").write_text('{"default_model": "other"}')
    set_here = {"LAUNCHER_CONFIG_DIR": str(tmp_path)}
    assert talking.run("chat", "--json", "hello", changes=set_here).fact["model"] == "other:latest"
    assert talking.run("chat", "--json", "hello").fact["model"] != "vectors:latest"


def test_a_question_that_was_cut_is_told_at_the_end(launched: Launched) -> None:
    launched.started({"tokens_per_s": 500, "models": {"fast": {"size_bytes": 1_000_000, "context_length": 512}}})
    assert launched.run("models", "pull", "fast").code == 0
    ended = launched.run("chat", "-m", "fast", piped="one two three four five six. " * 600)
    assert (ended.code, ended.out.startswith("This is a simulated answer.")) == (0, True)
    assert "Note: not all that was said fits into the context of 512 tokens of fast:latest" in ended.err


def test_no_model_at_all(launched: Launched) -> None:
    launched.started()
    ended = launched.run("chat", "hello")
    assert (ended.code, ended.out) == (4, "")
    assert "Download one with: ollama-launcher models pull " in ended.err


def test_a_missing_model_is_offered_on_a_terminal(launched: Launched) -> None:
    launched.started({"tokens_per_s": 500})
    with at_a_terminal(launched.environment, "chat", "-m", "llama3.2:1b", "hello") as person:
        person.until("llama3.2:1b is not installed. Download it now? [Y/n] ")
        person.type("n\n")
        assert person.end() == 4
    with at_a_terminal(launched.environment, "chat", "-m", "llama3.2:1b", "hello") as person:
        person.until("[Y/n] ")
        person.type("\n")
        person.until("You wrote: hello")
        assert person.end() == 0
    assert "100.0 %" in person.text


@pytest.mark.parametrize(
    ("typed", "code"), [(CTRL_D, 4), (CTRL_C, 130), ("perhaps\n", 4)], ids=["end", "stop", "words"]
)
def test_nobody_who_has_not_agreed_gets_a_download(talking: Launched, typed: str, code: int) -> None:
    with at_a_terminal(talking.environment, "chat", "-m", "nope", "hello") as person:
        person.until("Download it now? [Y/n] ")
        person.type(typed)
        assert person.end() == code


@pytest.mark.parametrize("arguments", [("chat", "hi"), ("embed", "hi")], ids=lambda words: words[0])
def test_without_a_server(launched: Launched, arguments: tuple[str, ...]) -> None:
    ended = launched.run(*arguments)
    assert (ended.code, ended.out) == (3, "")
    assert "Start it with: ollama-launcher start\n" in ended.err


def test_a_server_is_started_where_that_is_wished(launched: Launched) -> None:
    launched.script({"tokens_per_s": 500})
    ended = launched.run("chat", "--start", "-m", "nope", "hello")
    assert (ended.code, "nope:latest is not installed" in ended.err) == (4, True)
    assert launched.run("status").code == 0


@pytest.mark.parametrize(
    ("model", "words"),
    [pytest.param("cutter", "broke off", id="cut"), pytest.param("failer", "made to fail", id="error")],
)
def test_an_answer_that_breaks_off(talking: Launched, model: str, words: str) -> None:
    ended = talking.run("chat", "-m", model, "hello")
    assert ended.code == 1
    assert ended.out == "This is a simulated answer.\n"
    assert ended.err.startswith("Error: ")
    assert words in ended.err


def test_ctrl_c_really_stops_the_answer(talking: Launched) -> None:
    log = talking.state_dir / "logs" / "server.log"
    stopped = log.read_text().count('"generation stopped" model=staller')
    running = talking.begin("chat", "-m", "staller", "--json", "--stream", "hello")
    running.until(lambda line: "answer." in line)
    running.signal(signal.SIGINT)
    ended = running.end()
    assert ended.code == 130
    wait_until(lambda: log.read_text().count('"generation stopped" model=staller') == stopped + 1)


def test_ctrl_c_on_a_terminal_keeps_what_was_shown(talking: Launched) -> None:
    with at_a_terminal(talking.environment, "chat", "-m", "staller", "hello") as person:
        person.until("This is a simulated answer.")
        person.type(CTRL_C)
        assert person.end() == 130
    assert person.text.rstrip().endswith("This is a simulated answer.")
    assert person.screen.rindex(b"\x1b[?25h") > person.screen.rindex(b"\x1b[?25l")


def test_a_reader_that_goes_away_ends_it_quietly(talking: Launched) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "launcher", "chat", "-m", "staller", "hello"],
        cwd=ROOT,
        env=talking.environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    with process:
        assert process.stdout.read(4) == b"This"
        process.stdout.close()
        process.send_signal(signal.SIGINT)
        # It has nothing more to say: the interrupt counts, and nobody hears of the pipe.
        assert process.wait(30) in (130, 141)
        assert process.stderr.read() == b""
