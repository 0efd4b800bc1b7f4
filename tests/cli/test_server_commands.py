"""The commands about the server: its life, and whatever else may be at its address."""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
from pathlib import Path

import pytest

from tests.cli.launched import Launched

STATUS_MEMBERS = [
    "state",
    "owner",
    "address",
    "version",
    "pid",
    "uptime_s",
    "exposed",
    "reason",
    "models_installed",
    "models_loaded",
]


def test_start_status_and_stop(launched: Launched) -> None:
    assert launched.run("status").code == 3
    started = launched.run("start")
    assert started.code == 0
    assert "started by this launcher" in started.out
    assert "simulated" in started.out

    told = launched.run("status")
    assert told.code == 0
    assert launched.base_url in told.out
    assert "simulated" in told.out

    again = launched.run("start")
    assert (again.code, "started by this launcher" in again.out) == (0, True)

    stopped = launched.run("stop")
    assert (stopped.code, "not running" in stopped.out) == (0, True)
    assert launched.run("status").code == 3
    assert launched.run("stop").code == 0


def test_status_as_json(launched: Launched) -> None:
    down = launched.run("status", "--json")
    assert down.code == 3
    assert list(down.fact) == STATUS_MEMBERS
    assert (down.fact["state"], down.fact["owner"], down.fact["pid"]) == ("stopped", None, None)
    assert (down.fact["models_installed"], down.fact["models_loaded"]) == (None, None)

    launched.started()
    up = launched.run("--json", "status")
    assert up.code == 0
    assert list(up.fact) == STATUS_MEMBERS
    assert (up.fact["state"], up.fact["owner"], up.fact["address"]) == ("running", "ours", launched.base_url)
    assert (up.fact["exposed"], up.fact["models_installed"], up.fact["models_loaded"]) == (False, 0, [])
    assert isinstance(up.fact["version"], str)
    assert isinstance(up.fact["pid"], int)
    assert up.fact["uptime_s"] >= 0


def test_restart_is_another_process(launched: Launched) -> None:
    launched.started()
    before = launched.run("status", "--json").fact["pid"]
    restarted = launched.run("restart", "--json")
    assert (restarted.code, restarted.fact["state"]) == (0, "running")
    assert restarted.fact["pid"] != before


def test_restart_of_nothing_starts(launched: Launched) -> None:
    assert launched.run("restart").code == 0
    assert launched.run("status").code == 0


def test_without_ollama_nothing_starts(launched: Launched, tmp_path: Path) -> None:
    named = {"OLLAMA_LAUNCHER_OLLAMA": str(tmp_path / "nothing")}
    ended = launched.run("start", changes=named)
    assert (ended.code, ended.err.startswith("Error: "), len(ended.err.splitlines())) == (1, True, 2)
    # Others may be installed: that the named one is not there is the whole truth.
    assert launched.run("status", changes=named).out.startswith(named["OLLAMA_LAUNCHER_OLLAMA"])
    status = launched.run("status", "--json", changes=named)
    assert (status.code, status.fact["state"]) == (3, "not_installed")


def test_a_server_that_dies_at_once_is_explained(launched: Launched) -> None:
    launched.script({"start": {"exit_code": 1, "stderr": "Error: listen tcp: bad luck\n"}})
    ended = launched.run("start")
    assert ended.code == 1
    assert ended.err.splitlines()[-2].startswith("Error: ") or "Error: " in ended.err
    assert launched.run("status").code == 3


def test_a_foreign_server_is_used_and_never_stopped(launched: Launched) -> None:
    serving = launched.begin("demo", "serve")
    try:
        assert serving.process.stderr is not None
        for line in serving.process.stderr:
            if "Listening on" in line:
                break
        assert launched.run("start").code == 0
        assert launched.run("status", "--json").fact["owner"] == "unknown"
        refused = launched.run("stop")
        assert (refused.code, refused.err.startswith("Error: ")) == (5, True)
        assert launched.run("restart").code == 5
        assert serving.process.poll() is None
    finally:
        serving.signal(signal.SIGTERM)
        assert serving.end().code == 0


@pytest.mark.parametrize("command", ["start", "status"])
def test_a_port_held_by_something_else_is_named(launched: Launched, command: str) -> None:
    with socket.create_server(("127.0.0.1", launched.port)):
        ended = launched.run(command)
    assert ended.code == (1 if command == "start" else 3)
    text = ended.err if command == "start" else ended.out
    assert str(launched.port) in text
    assert str(os.getpid()) in text


def test_another_machine_is_not_started(launched: Launched) -> None:
    ended = launched.run("start", "--host", "http://192.0.2.1:11434", timeout_s=30)
    assert ended.code == 5


def test_an_impossible_address_is_wrong_usage(launched: Launched) -> None:
    for arguments in (("--host", "ftp://box", "status"), ("status", "--host", "ftp://box"), ("start", "--host", "a b")):
        ended = launched.run(*arguments)
        assert (ended.code, ended.out) == (2, "")
        assert "address" in ended.err
    assert launched.run("status", changes={"OLLAMA_HOST": "ftp://box"}).code == 2


def test_a_port_that_is_none_is_remarked(launched: Launched) -> None:
    ended = launched.run("status", "--host", "127.0.0.1:99999")
    assert "99999" in ended.err


@pytest.mark.parametrize("content", ["{", "[]", "\x00\xff"], ids=["cut", "list", "bytes"])
def test_garbage_settings_stop_nothing(launched: Launched, content: str) -> None:
    launched.config_dir.mkdir()
    settings = launched.config_dir / "settings.json"
    settings.write_text(content)
    ended = launched.run("status")
    assert ended.code == 3
    assert str(settings) in ended.err
    assert (launched.config_dir / "settings.broken.json").read_text() == content
    assert launched.run("status").err == ""


def test_a_wrong_setting_costs_only_itself(launched: Launched) -> None:
    launched.config_dir.mkdir()
    (launched.config_dir / "settings.json").write_text('{"on_quit": 7}')
    ended = launched.run("status")
    assert (ended.code, "on_quit" in ended.err) == (3, True)


def test_the_address_of_the_settings_wins_over_the_environment(launched: Launched, tmp_path: Path) -> None:
    launched.config_dir.mkdir()
    (launched.config_dir / "settings.json").write_text('{"address": "127.0.0.1:1"}')
    assert launched.run("status", "--json").fact["address"] == "http://127.0.0.1:1"
    assert launched.run("status", "--json", "--host", launched.base_url).fact["address"] == launched.base_url


@pytest.mark.skipif(sys.platform == "win32", reason="Windows knows the home otherwise")
def test_no_home_is_a_sentence(launched: Launched) -> None:
    homeless = dict.fromkeys(("HOME", "LAUNCHER_STATE_DIR", "LAUNCHER_CONFIG_DIR", "XDG_STATE_HOME", "XDG_CONFIG_HOME"))
    ended = launched.run("start", changes=homeless)
    assert ended.code == 1
    assert ended.err.count("home folder") == 1
    # To look needs no folder of ours.
    assert launched.run("status", changes=homeless).code == 3
    launched.started()
    told = launched.run("status", "--json", changes=homeless)
    assert (told.code, told.err, told.fact["state"], told.fact["owner"]) == (0, "", "running", "unknown")
    assert told.fact["models_installed"] == 0


def test_a_killed_starter_leaves_the_server_to_the_next(launched: Launched) -> None:
    launched.script({"start": {"silent_s": 200}})
    starting = launched.begin("start")
    record = launched.state_dir / "server.json"
    launched_in_time(record)
    starting.signal(signal.SIGKILL)
    starting.end()
    status = launched.run("status", "--json")
    assert status.fact["owner"] == "ours"
    assert launched.run("stop").code == 0


def test_ctrl_c_while_starting_ends_the_wait_only(launched: Launched) -> None:
    launched.script({"start": {"silent_s": 300}})
    starting = launched.begin("start")
    launched_in_time(launched.state_dir / "server.json")
    starting.signal(signal.SIGINT)
    assert starting.end().code == 130
    assert launched.run("status", "--json").fact["state"] == "starting"


def launched_in_time(record: Path) -> None:
    from tests.support.waiting import wait_until

    # Before the spawn it is written with nobody in it.
    wait_until(lambda: record.exists() and json.loads(record.read_text()).get("pid"), message="a record of the server")


def test_logs(launched: Launched) -> None:
    nothing = launched.run("logs")
    assert (nothing.code, nothing.out) == (1, "")
    launched.started()
    told = launched.run("logs", "-n", "1000")
    assert "Listening on" in told.out
    assert len(launched.run("logs", "-n", "2").out.splitlines()) == 2
    following = launched.begin("logs", "-f", "-n", "1")
    following.until(lambda line: True)  # only from here on is it known to follow
    assert launched.run("models", "list").code == 0
    following.until(lambda line: "/api/tags" in line)
    following.signal(signal.SIGINT)
    assert following.end().code == 130
