"""``doctor``: every check on one line, for people, programs and terminals; and nothing is changed by it."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from launcher.domain.checks import SUBJECTS
from tests.cli.launched import ROOT, Launched, read_until

MEMBERS = ["id", "verdict", "title", "detail", "hint"]


def test_a_stopped_server_for_people(launched: Launched) -> None:
    ended = launched.run("doctor")
    assert (ended.code, ended.err) == (0, "")
    assert "ok       Program: Ollama " in ended.out
    assert "warning  Server: Ollama is not running" in ended.out
    assert "-> Start it: ollama-launcher start\n" in ended.out
    assert ended.out.splitlines()[-1].endswith(("1 warning.", "2 warnings."))  # a small disk is another one
    # Not even a folder for a log is made.
    assert not launched.state_dir.exists()
    assert not launched.models_dir.exists()


def test_facts_for_programs(launched: Launched) -> None:
    launched.started()
    ended = launched.run("doctor", "--json")
    assert ended.code == 0
    assert all(list(check) == MEMBERS for check in ended.fact)
    found = {check["id"]: check for check in ended.fact}
    assert set(found) == {subject.id for subject in SUBJECTS}
    assert (found["server"]["verdict"], found["owner"]["verdict"]) == ("ok", "ok")
    assert found["version"]["verdict"] == "note"


def test_a_command_names_the_server_that_was_examined(launched: Launched) -> None:
    ended = launched.run("doctor", "--host", launched.base_url)
    assert f"-> Start it: ollama-launcher start --host {launched.base_url}\n" in ended.out


def test_what_fails_is_1(launched: Launched, tmp_path: Path) -> None:
    ended = launched.run("doctor", "--json", changes={"OLLAMA_LAUNCHER_OLLAMA": str(tmp_path / "nothing")})
    assert ended.code == 1
    engine = ended.fact[0]
    assert (engine["id"], engine["verdict"]) == ("engine", "failed")
    assert engine["hint"]


def test_an_impossible_address_is_2(launched: Launched) -> None:
    ended = launched.run("doctor", "--host", "ftp://x")
    assert (ended.code, ended.out, ended.err.startswith("Error: ")) == (2, "", True)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows knows the home otherwise")
def test_without_a_home(launched: Launched) -> None:
    homeless = dict.fromkeys(("HOME", "LAUNCHER_STATE_DIR", "LAUNCHER_CONFIG_DIR", "XDG_STATE_HOME", "XDG_CONFIG_HOME"))
    ended = launched.run("doctor", changes=homeless)
    assert (ended.code, ended.err) == (1, "")
    assert "failed   Launcher: Your home folder is not known" in ended.out


def test_secrets_of_a_proxy_stay_hidden(launched: Launched, free_port: int) -> None:
    ended = launched.run("doctor", changes={"HTTPS_PROXY": f"http://me:hush@127.0.0.1:{free_port}"})
    assert "hush" not in ended.out + ended.err
    assert "warning  Proxy: The proxy of HTTPS_PROXY does not answer" in ended.out


def test_on_a_terminal_it_is_drawn(launched: Launched) -> None:
    controller, terminal = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "launcher", "doctor"],
        cwd=ROOT,
        env={**launched.environment, "TERM": "xterm", "COLUMNS": "60"},
        stdin=terminal,
        stdout=terminal,
        stderr=terminal,
        start_new_session=True,
    )
    try:
        os.close(terminal)
        drawn = read_until(lambda: os.read(controller, 4096), b"warning")
        assert process.wait(20) == 0
    finally:
        process.kill()
        process.wait(20)
        os.close(controller)
    assert b"\x1b[" in drawn
    assert "✓".encode() in drawn
    assert "→".encode() in drawn
