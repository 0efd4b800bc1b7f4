"""A conversation on a terminal: what is typed, what is shown, and what is left of it."""

from __future__ import annotations

import json
import re
import stat
from pathlib import Path

import pytest

from launcher.cli.editor import prepare_history
from tests.cli.at_a_terminal import ALT_ENTER, CTRL_C, CTRL_D, ENTER, AtATerminal, at_a_terminal
from tests.cli.launched import Launched

UP = "\x1b[A"


def say(person: AtATerminal, words: str) -> None:
    person.prompted()
    person.type(words + ENTER)


def saved(person: AtATerminal, path: Path) -> dict[str, object]:
    say(person, f"/save {path}")
    person.until(f"saved in {path}")
    document = json.loads(path.read_text())
    assert isinstance(document, dict)
    return document


def spoken(document: dict[str, object]) -> list[tuple[str, str]]:
    messages = document["messages"]
    assert isinstance(messages, list)
    return [(message["role"], message["content"]) for message in messages]


def end(person: AtATerminal) -> None:
    person.prompted()
    person.type(CTRL_D)
    assert person.end() == 0


def test_a_conversation_and_all_its_commands(talking: Launched, tmp_path: Path) -> None:
    file = tmp_path / "talk.json"
    with at_a_terminal(talking.environment, "chat", "-m", "fast", "--system", "Be brief.") as person:
        person.until("You talk to fast:latest.")
        say(person, "hello there")
        person.until("You wrote: hello there")
        say(person, "/model")
        person.until("  other:latest")
        say(person, "/model other")
        person.until("You talk to other:latest now.")
        say(person, "/system")
        person.until("Be brief.", after="/system")
        say(person, "/system Be long.")
        person.until("The system prompt is set.")
        say(person, "and now?")
        person.until("You wrote: and now?")
        document = saved(person, file)
        assert (document["model"], document["system"]) == ("other:latest", "Be long.")
        roles = [role for role, _ in spoken(document)]
        assert roles == ["user", "assistant", "user", "assistant"]

        say(person, "/clear")
        person.until("forgotten")
        again = tmp_path / "empty.json"
        assert spoken(saved(person, again)) == []
        say(person, f"/load {file}")
        person.until("You talk to other:latest; 4 messages are loaded.")
        say(person, f"/save {again}")
        person.until("Replace it? [y/N]")
        person.type("y\n")
        person.until("saved in", after="Replace it?")
        assert json.loads(again.read_text()) == document

        say(person, "/nonsense")
        person.until("There is no command /nonsense.")
        say(person, "/save")
        person.until("/save needs the name of a file.")
        say(person, "/load /nowhere/at.all")
        person.until("The file /nowhere/at.all cannot be read")
        say(person, "/help")
        person.until("/system [TEXT]", after="/nowhere/at.all cannot")
        say(person, "/bye")
        assert person.end() == 0
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_ctrl_c_stops_the_answer_and_not_the_program(talking: Launched, tmp_path: Path) -> None:
    with at_a_terminal(talking.environment, "chat", "-m", "staller") as person:
        say(person, "hello")
        person.until("This is a simulated answer.")
        person.type(CTRL_C)
        person.until("(stopped)")
        document = saved(person, tmp_path / "talk.json")
        person.prompted()
        person.type(CTRL_C)
        person.until("Ctrl-D or /bye ends")
        end(person)
    messages = document["messages"]
    assert isinstance(messages, list)
    assert messages[1] == {"role": "assistant", "content": "This is a simulated answer.", "ended": "stopped"}


def test_an_answer_that_breaks_off_stays_and_is_marked(talking: Launched, tmp_path: Path) -> None:
    with at_a_terminal(talking.environment, "chat", "-m", "cutter") as person:
        say(person, "hello")
        person.until("what had come stays in the conversation")
        say(person, "/model failer")
        person.until("You talk to failer:latest now.")
        say(person, "go on")
        person.until("made to fail")
        person.until("what had come stays in the conversation", after="made to fail")
        document = saved(person, tmp_path / "talk.json")
        end(person)
    messages = document["messages"]
    assert isinstance(messages, list)
    assert [message.get("ended") for message in messages] == [None, "cut", None, "cut"]


def test_a_question_to_which_nothing_came_is_taken_back(launched: Launched, tmp_path: Path) -> None:
    launched.started({"models": {"fast": {"size_bytes": 1_000_000}}, "tokens_per_s": 500})
    assert launched.run("models", "pull", "fast").code == 0
    with at_a_terminal(launched.environment, "chat", "-m", "fast") as person:
        say(person, "hello")
        person.until("You wrote: hello")
        assert launched.run("stop").code == 0
        say(person, "are you there?")
        person.until("Start it with: ollama-launcher start")
        assert len(spoken(saved(person, tmp_path / "one.json"))) == 2
        assert launched.run("start").code == 0
        say(person, "and now?")
        person.until("You wrote: and now?")
        assert len(spoken(saved(person, tmp_path / "two.json"))) == 4
        end(person)


def test_several_lines(talking: Launched, tmp_path: Path) -> None:
    with at_a_terminal(talking.environment, "chat", "-m", "fast") as person:
        say(person, f'"""one{ENTER}two"""')
        person.until("You wrote: one two")
        say(person, f"three{ALT_ENTER}four")
        person.until("You wrote: three four")
        document = saved(person, tmp_path / "talk.json")
        end(person)
    assert [text for role, text in spoken(document) if role == "user"] == ["one\ntwo", "three\nfour"]


def test_what_was_typed_is_remembered_for_its_owner_only(talking: Launched) -> None:
    with at_a_terminal(talking.environment, "chat", "-m", "fast") as person:
        say(person, "remember me")
        person.until("You wrote: remember me")
        end(person)
    history = talking.state_dir / "chat-history"
    assert stat.S_IMODE(history.stat().st_mode) == 0o600
    assert "+remember me" in history.read_text()
    with at_a_terminal(talking.environment, "chat", "-m", "fast") as person:
        say(person, UP)
        person.until("You wrote: remember me")
        end(person)


def test_a_missing_model_is_offered(launched: Launched) -> None:
    launched.started({"tokens_per_s": 500, "models": {"fast": {"size_bytes": 1_000_000}}})
    assert launched.run("models", "pull", "fast").code == 0
    with at_a_terminal(launched.environment, "chat", "-m", "fast") as person:
        say(person, "/model llama3.2:1b")
        person.until("Download it now? [Y/n]")
        person.type("n\n")
        person.until("Download it with: ollama-launcher models pull llama3.2:1b")
        say(person, "/model llama3.2:1b")
        person.until("Download it now? [Y/n]", after="Download it with")
        person.type("\n")
        person.until("You talk to llama3.2:1b now.")
        end(person)


def test_ctrl_c_during_a_download_pauses_it_and_the_conversation_goes_on(launched: Launched) -> None:
    script = {"tokens_per_s": 500, "models": {"fast": {"size_bytes": 1_000_000}}, "rate_bytes_per_s": 4_000_000}
    launched.started(script)
    assert launched.run("models", "pull", "fast").code == 0
    with at_a_terminal(launched.environment, "chat", "-m", "fast") as person:
        say(person, "/model llama3.2:1b")
        person.until("[Y/n]")
        person.type("\n")
        person.until(" MB of ")
        person.type(CTRL_C)
        person.until("Go on with: ollama-launcher models pull llama3.2:1b")
        say(person, "hello")
        person.until("You wrote: hello")
        end(person)


def test_a_folder_that_cannot_be_written_is_told_and_stops_nothing(talking: Launched, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    environment = {**talking.environment, "LAUNCHER_STATE_DIR": str(tmp_path / "file" / "state")}
    with at_a_terminal(environment, "chat", "-m", "fast") as person:
        person.until("Note: what you type is not remembered")
        say(person, "hello")
        person.until("You wrote: hello")
        end(person)


@pytest.mark.parametrize("arguments", [("--json",), ("--image", "x.png")], ids=lambda words: words[0])
def test_what_needs_a_question(talking: Launched, arguments: tuple[str, ...]) -> None:
    with at_a_terminal(talking.environment, "chat", "-m", "fast", *arguments) as person:
        assert person.end() == 2


def test_a_long_history_loses_its_oldest(tmp_path: Path) -> None:
    path = tmp_path / "history"
    path.write_text("".join(f"\n# 2026-01-01 00:00:00\n+line {number}\n" for number in range(50_000)))
    path.chmod(0o644)
    prepare_history(path)
    kept = path.read_text()
    assert 100_000 < len(kept) <= 512 * 1024
    assert re.match(r"\n# 2026-01-01 00:00:00\n\+line \d+\n", kept)
    assert kept.endswith("+line 49999\n")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    before = path.stat().st_mtime_ns
    prepare_history(path)
    assert path.stat().st_mtime_ns == before
