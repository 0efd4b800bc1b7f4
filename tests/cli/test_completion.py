"""Shell completion, by the protocol that shells speak, and in a real bash."""

from __future__ import annotations

import os
import pty
import select
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from click.shell_completion import get_completion_class

from launcher.cli.completion import prepare
from launcher.cli.main import PROGRAM, root
from launcher.cli.session import Session
from launcher.environment import COMPLETION_VARIABLE
from tests.cli.conftest import TALKERS
from tests.cli.launched import ROOT, Launched, read_until

BREAKS = " \t\n\"'><=;|&(:"


def completed(launched: Launched, line: str, shell: str = "bash", **variables: str) -> list[str]:
    """What the program answers to a shell whose line up to the cursor is ``line``."""
    ended = launched.run(changes={"COMP_WORDS": line, COMPLETION_VARIABLE: f"{shell}_complete", **variables})
    assert (ended.code, ended.err) == (0, "")
    return ended.out.strip().splitlines()


def values(lines: list[str]) -> list[str]:
    return [line.removeprefix("plain,") for line in lines if line.startswith("plain,")]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish", "powershell"])
def test_a_script_for_each_shell(launched: Launched, shell: str) -> None:
    ended = launched.run("completion", shell)
    assert (ended.code, ended.err) == (0, "")
    assert f"{COMPLETION_VARIABLE}" in ended.out
    assert "%(" not in ended.out


def test_another_shell_is_wrong_usage(launched: Launched) -> None:
    assert launched.run("completion", "tcsh").code == 2


def test_commands_and_options(launched: Launched) -> None:
    # Also where a window could be shown: a shell that asks gives no argument.
    assert "doctor" in values(completed(launched, "ollama-launcher d", DISPLAY=":99"))
    assert values(completed(launched, "ollama-launcher models unl")) == ["unload"]
    assert "--watch" in values(completed(launched, "ollama-launcher status --w"))


def test_no_server_is_no_delay_and_no_word(launched: Launched) -> None:
    assert completed(launched, "ollama-launcher models show ") == []


def test_asking_changes_nothing(launched: Launched) -> None:
    launched.config_dir.mkdir()
    (launched.config_dir / "settings.json").write_text("{broken")
    assert completed(launched, "ollama-launcher models show ") == []
    # Whoever runs a command is told of it, once.
    assert os.listdir(launched.config_dir) == ["settings.json"]
    assert not launched.state_dir.exists()


def test_a_silent_server_is_not_waited_for(launched: Launched) -> None:
    with socket.create_server(("127.0.0.1", launched.port)):
        began_s = time.monotonic()
        assert completed(launched, "ollama-launcher models show ") == []
        # Far from the 5 s that commands wait: starting the program is in it.
        assert time.monotonic() - began_s < 4.0


class Shell:
    """Asks within this process, as the shells do by their variables."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._monkeypatch = monkeypatch
        prepare()

    def asks(self, line: str, shell: str = "bash", **variables: str) -> list[str]:
        for name, value in {"COMP_BREAKS": "", **variables, "COMP_WORDS": line}.items():
            self._monkeypatch.setenv(name, value)
        kind = get_completion_class(shell)
        assert kind is not None
        answer = kind(root, {"obj": Session()}, PROGRAM, COMPLETION_VARIABLE).complete()
        return [text.removeprefix("plain,") for text in answer.splitlines()]


@pytest.fixture
def shell(talking: Launched, monkeypatch: pytest.MonkeyPatch) -> Shell:
    monkeypatch.setenv("OLLAMA_HOST", f"127.0.0.1:{talking.port}")
    return Shell(monkeypatch)


@pytest.mark.parametrize(
    "command", ["models show", "models rm", "models load", "models unload", "models cp", "models push", "chat --model"]
)
def test_names_of_models(shell: Shell, command: str) -> None:
    names = shell.asks(f"ollama-launcher {command} ")
    # Other tests of the same server may have added some.
    assert {f"{name}:latest" for name in TALKERS} <= set(names)
    assert len(names) == len(set(names))


@pytest.mark.parametrize(
    ("line", "breaks", "expected"),
    [
        pytest.param("models show fa", "", ["fast:latest", "failer:latest"], id="begun"),
        pytest.param("models show fast:", "", ["fast:latest"], id="behind the colon"),
        # bash replaces only what follows the last break of a word.
        pytest.param("models show fast:", BREAKS, ["latest"], id="bash, behind the colon"),
        pytest.param("models show fast:lat", BREAKS, ["latest"], id="bash, in the tag"),
        pytest.param("models show 'fast:lat", BREAKS, ["fast:latest"], id="bash, quoted"),
        pytest.param("models show fas", BREAKS, ["fast:latest"], id="bash, before the colon"),
        pytest.param("chat --model=fast:lat", BREAKS, ["latest"], id="bash, value of an option"),
        pytest.param("chat --model=fas", BREAKS, ["fast:latest"], id="bash, begin of a value"),
        pytest.param("models rm fast:latest fa", "", ["failer:latest"], id="given already"),
        pytest.param("models show nothing", "", [], id="none like that"),
        pytest.param("--host 127.0.0.1:1 models show ", "", [], id="another server"),
        pytest.param("models show --host 127.0.0.1:1 ", "", [], id="another server, named late"),
        pytest.param("models pull ", "", [], id="not installed yet"),
    ],
)
def test_what_is_offered(shell: Shell, line: str, breaks: str, expected: list[str]) -> None:
    assert sorted(shell.asks(f"ollama-launcher {line}", COMP_BREAKS=breaks)) == sorted(expected)


def test_what_other_shells_are_told(shell: Shell) -> None:
    line = "ollama-launcher models show fast:"
    assert shell.asks(line, "zsh", COMP_CWORD="3") == ["plain", "fast:latest", "_"]
    assert shell.asks(line, "fish", COMP_CWORD="fast:") == ["fast:latest"]
    assert shell.asks(line, "powershell") == ["fast:latest"]


@pytest.mark.skipif(shutil.which("bash") is None, reason="other systems: no bash")
def test_in_bash(launched: Launched, tmp_path: Path) -> None:
    launched.started()
    assert launched.run("models", "pull", "llama3.2:1b").code == 0
    program = tmp_path / "bin" / "ollama-launcher"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m launcher "$@"\n')
    program.chmod(0o755)
    environment = {
        **launched.environment,
        "PATH": f"{program.parent}:{os.environ['PATH']}",
        "PS1": "ready> ",
        "TERM": "dumb",
        "INPUTRC": os.devnull,
    }
    controller, terminal = pty.openpty()
    process = subprocess.Popen(
        ["bash", "--norc", "--noprofile", "-i"],
        cwd=ROOT,
        env=environment,
        stdin=terminal,
        stdout=terminal,
        stderr=terminal,
        start_new_session=True,
    )
    try:
        os.close(terminal)

        def typed(text: str, wanted: str) -> bytes:
            os.write(controller, text.encode())
            return read_until(lambda: _read(controller), wanted.encode())

        typed("", "ready> ")
        typed('eval "$(ollama-launcher completion bash)"; echo e""valuated\r', "evaluated\r\nready> ")
        typed("ollama-launcher mod\t", "models ")
        typed("show lla\t", "llama3.2:1b ")
        # Once more, from behind the colon; then the whole line is printed instead of run.
        typed("\x15ollama-launcher models show llama3.2:\t", "llama3.2:1b ")
        typed("\x01echo as:\r", "\r\nas:ollama-launcher models show llama3.2:1b")
    finally:
        process.kill()
        process.wait(20)
        os.close(controller)


def _read(terminal: int) -> bytes:
    """What has come, within a second."""
    readable, _, _ = select.select([terminal], [], [], 1.0)
    return os.read(terminal, 4096) if readable else b""
