"""Downloads by command: what is shown, how they end, and how they go on."""

from __future__ import annotations

import json
import os
import pty
import re
import signal

import pytest

from tests.cli.launched import ROOT, Launched, read_until

PULL_MEMBERS = ["model", "phase", "completed_bytes", "total_bytes", "rate_bps", "eta_s"]
SLOW = {"rate_bytes_per_s": 4_000_000}


def pulling(line: str) -> bool:
    told = json.loads(line)
    return bool(told["phase"] == "pulling" and told["completed_bytes"] > 1_000_000)


def test_lines_in_a_pipe(launched: Launched) -> None:
    launched.started()
    ended = launched.run("models", "pull", "llama3.2:1b")
    lines = ended.out.splitlines()
    assert ended.code == 0
    assert "\x1b" not in ended.out
    assert lines[-1].startswith("llama3.2:1b: done (")
    assert any(re.search(r"downloading [\d.]+ % \(.* of ", line) for line in lines)
    assert len(lines) <= 30
    assert "so far" not in lines[-2]


def test_objects_for_programs(launched: Launched) -> None:
    launched.started()
    ended = launched.run("models", "pull", "llama3.2:1b", "--json")
    told = ended.facts
    assert ended.code == 0
    assert all(list(line) == PULL_MEMBERS for line in told)
    assert {line["model"] for line in told} == {"llama3.2:1b"}
    assert (told[-1]["phase"], told[-1]["completed_bytes"]) == ("done", told[-1]["total_bytes"])
    completed = [line["completed_bytes"] for line in told]
    assert completed == sorted(completed)


def test_a_failure_for_programs(launched: Launched) -> None:
    launched.started()
    ended = launched.run("models", "pull", "nope", "--json")
    last = ended.facts[-1]
    assert ended.code == 4
    assert list(last) == [*PULL_MEMBERS, "error"]
    assert (last["phase"], bool(last["error"])) == ("failed", True)


def test_two_at_once(launched: Launched) -> None:
    launched.started()
    ended = launched.run("models", "pull", "llama3.2:1b", "nomic-embed-text", "nope")
    assert ended.code == 4
    assert "llama3.2:1b: done" in ended.out
    assert "nomic-embed-text:latest: done" in ended.out
    assert "nope:latest" in ended.err


def test_an_interrupted_pull_goes_on(launched: Launched) -> None:
    launched.started(SLOW)
    first = launched.begin("models", "pull", "llama3.2:1b", "--json")
    shown = json.loads(first.until(pulling))["completed_bytes"]
    first.signal(signal.SIGINT)
    ended = first.end()
    assert (ended.code, ended.facts[-1]["phase"]) == (130, "paused")
    assert ended.err.endswith("Go on with: ollama-launcher models pull llama3.2:1b\n")

    second = launched.begin("models", "pull", "llama3.2:1b", "--json")
    told = json.loads(second.until(lambda line: json.loads(line)["completed_bytes"] > 0))
    assert told["completed_bytes"] >= shown
    ended = second.end()
    assert (ended.code, ended.facts[-1]["phase"]) == (0, "done")


def test_how_to_go_on_says_all_that_was_said(launched: Launched) -> None:
    launched.started(SLOW)
    host = f"127.0.0.1:{launched.port}"
    pull = launched.begin("--host", host, "models", "pull", "llama3.2:1b", "--insecure", "--json")
    pull.until(pulling)
    pull.signal(signal.SIGINT)
    assert pull.end().err.endswith(f"ollama-launcher models pull --insecure llama3.2:1b --host {host}\n")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP], ids=lambda number: number.name)
def test_an_ended_session_is_an_interrupt(launched: Launched, number: signal.Signals) -> None:
    launched.started(SLOW)
    pull = launched.begin("models", "pull", "llama3.2:1b", "--json")
    pull.until(pulling)
    pull.signal(number)
    ended = pull.end()
    assert (ended.code, ended.facts[-1]["phase"]) == (130, "paused")


def test_a_restart_during_a_pull_interrupts_it_only(launched: Launched) -> None:
    launched.started(SLOW)
    pull = launched.begin("models", "pull", "llama3.2:1b", "--json")
    shown = json.loads(pull.until(pulling))["completed_bytes"]
    assert launched.run("restart").code == 0
    pull.until(lambda line: json.loads(line)["phase"] == "paused")
    again = json.loads(pull.until(lambda line: json.loads(line)["phase"] == "pulling"))
    assert again["completed_bytes"] >= shown
    ended = pull.end()
    assert (ended.code, ended.facts[-1]["phase"]) == (0, "done")


def test_a_stop_during_a_pull_pauses_it(launched: Launched) -> None:
    launched.started(SLOW)
    pull = launched.begin("models", "pull", "llama3.2:1b", "--json")
    shown = json.loads(pull.until(pulling))["completed_bytes"]
    assert launched.run("stop").code == 0
    ended = pull.end()
    assert ended.code == 3
    assert "ollama-launcher models pull llama3.2:1b" in ended.err

    launched.started()
    second = launched.begin("models", "pull", "llama3.2:1b", "--json")
    told = json.loads(second.until(lambda line: json.loads(line)["completed_bytes"] > 0))
    assert told["completed_bytes"] >= shown
    assert second.end().code == 0


def test_a_server_that_is_killed_is_a_reason(launched: Launched) -> None:
    launched.started(SLOW)
    pull = launched.begin("models", "pull", "llama3.2:1b", "--json")
    pull.until(pulling)
    os.kill(launched.run("status", "--json").fact["pid"], signal.SIGKILL)
    ended = pull.end()
    assert (ended.code, ended.facts[-1]["phase"]) == (3, "failed")
    assert "Run it again" in ended.err


def test_an_error_in_the_middle_is_a_reason(launched: Launched) -> None:
    text = "write /models/blobs/sha256-1-partial: no space left on device"
    launched.started({"faults": [{"fault": "error", "at_bytes": 10_000_000, "text": text}]})
    ended = launched.run("models", "pull", "llama3.2:1b")
    assert (ended.code, "disk" in ended.err) == (1, True)


def test_a_reader_that_goes_away_ends_it_quietly(launched: Launched) -> None:
    launched.started(SLOW)
    pull = launched.begin("models", "pull", "llama3.2:1b", "--json")
    pull.until(pulling)
    assert pull.process.stdout is not None
    assert pull.process.stderr is not None
    pull.process.stdout.close()
    assert pull.process.wait(30) == 141
    assert pull.process.stderr.read() == ""
    pull.process.stderr.close()
    second = launched.begin("models", "pull", "llama3.2:1b", "--json")
    told = json.loads(second.until(lambda line: json.loads(line)["completed_bytes"] > 0))
    assert told["completed_bytes"] > 1_000_000
    assert second.end().code == 0


def test_bars_on_a_terminal(launched: Launched) -> None:
    launched.started()
    screen, code = on_a_terminal(launched, "models", "pull", "llama3.2:1b")
    assert code == 0
    assert b"\x1b[" in screen
    assert b"100.0 %" in screen
    assert "━".encode() in screen
    # The cursor is given back.
    assert screen.rindex(b"\x1b[?25h") > screen.rindex(b"\x1b[?25l")


def test_ctrl_c_on_a_terminal_gives_the_cursor_back(launched: Launched) -> None:
    launched.started(SLOW)
    screen, code = on_a_terminal(launched, "models", "pull", "llama3.2:1b", typed=(b" MB of ", b"\x03"))
    assert code == 130
    assert screen.rindex(b"\x1b[?25h") > screen.rindex(b"\x1b[?25l")
    assert b"Go on with: ollama-launcher models pull llama3.2:1b" in screen


def on_a_terminal(launched: Launched, *arguments: str, typed: tuple[bytes, bytes] | None = None) -> tuple[bytes, int]:
    """Run a command on a terminal of its own; type ``typed[1]`` once ``typed[0]`` is on the screen."""
    import subprocess
    import sys

    leader, follower = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "launcher", *arguments],
        cwd=ROOT,
        env={**launched.environment, "TERM": "xterm-256color"},
        stdin=follower,
        stdout=follower,
        stderr=follower,
        start_new_session=True,
        preexec_fn=_take_terminal,
    )
    os.close(follower)
    screen = b""
    try:
        if typed is not None:
            screen = read_until(lambda: os.read(leader, 4096), typed[0])
            os.write(leader, typed[1])
        while True:
            try:
                chunk = os.read(leader, 4096)
            except OSError:  # Linux: the last process has closed it
                break
            if not chunk:
                break
            screen += chunk
        return screen, process.wait(30)
    finally:
        process.kill()
        process.wait()
        os.close(leader)


def _take_terminal() -> None:
    import fcntl
    import termios

    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


def test_a_server_that_comes_back_is_pulled_from_again(launched: Launched) -> None:
    launched.started(SLOW)
    pull = launched.begin("models", "pull", "llama3.2:1b", "--json")
    pull.until(pulling)
    os.kill(launched.run("status", "--json").fact["pid"], signal.SIGKILL)
    assert launched.run("start").code == 0
    ended = pull.end()
    phases = [line["phase"] for line in ended.facts]
    assert (ended.code, phases[-1], "failed" in phases) == (0, "done", False)
