"""``status --watch``: each change once, and nothing is changed by looking."""

from __future__ import annotations

import asyncio
import json
import os
import pty
import signal
import subprocess
import sys
from contextlib import aclosing

import psutil
import pytest

from launcher.cli.main import main
from launcher.ollama import Client
from tests.cli.launched import ROOT, Launched, read_until
from tests.support.waiting import wait_until


async def _pull_and_load(base_url: str, name: str) -> None:
    async with Client(base_url) as client:
        async with aclosing(client.pull(name)) as lines:
            async for _ in lines:
                pass
        await client.load(name)


def states(launched: Launched) -> str:
    return str(launched.run("status", "--json").fact["state"])


def test_a_line_for_each_change(launched: Launched) -> None:
    watching = launched.begin("status", "--watch", "--interval", "0.1")
    assert "not running" in watching.until(lambda line: True)
    launched.started()
    came = watching.until(lambda line: "is running" in line)
    assert "0 models installed. In memory: nothing." in came
    asyncio.run(_pull_and_load(launched.base_url, "llama3.2:1b"))
    assert "1 model installed" in watching.until(lambda line: "llama3.2:1b (" in line)
    assert launched.run("stop").code == 0
    watching.until(lambda line: "not running" in line)
    watching.signal(signal.SIGINT)
    ended = watching.end()
    assert (ended.code, ended.out, ended.err) == (130, "", "")
    assert len(set(watching.lines)) == len(watching.lines)


def test_objects_for_programs(launched: Launched) -> None:
    launched.started()
    members = list(launched.run("status", "--json").fact)
    watching = launched.begin("--json", "status", "--watch", "--interval", "0.1")
    first = json.loads(watching.until(lambda line: True))
    assert list(first) == members
    assert (first["state"], first["owner"], first["models_installed"]) == ("running", "ours", 0)
    os.kill(first["pid"], signal.SIGKILL)
    gone = json.loads(watching.until(lambda line: True))
    assert (gone["state"], gone["pid"], gone["models_installed"]) == ("failed", None, None)
    watching.signal(signal.SIGTERM)
    assert watching.end().code == 130
    # Looking has started nothing.
    assert states(launched) == "stopped"
    assert not psutil.pid_exists(first["pid"]) or psutil.Process(first["pid"]).status() == psutil.STATUS_ZOMBIE


def test_a_foreign_server_that_dies_is_seen(launched: Launched) -> None:
    serving = launched.begin("demo", "serve")
    wait_until(lambda: states(launched) == "running")
    watching = launched.begin("status", "--watch", "--interval", "0.1", "--json")
    watching.until(lambda line: '"running"' in line)
    serving.signal(signal.SIGKILL)
    assert json.loads(watching.until(lambda line: True))["state"] == "stopped"
    watching.signal(signal.SIGINT)
    assert watching.end().code == 130


def test_a_reader_that_has_gone_ends_it(launched: Launched) -> None:
    watching = launched.begin("status", "--watch", "--interval", "0.1")
    watching.until(lambda line: True)
    assert watching.process.stdout is not None
    watching.process.stdout.close()
    launched.started()
    assert watching.process.wait(20) == 141


@pytest.mark.parametrize("interval", ["0", "-1", "nan", "soon"])
def test_no_time_at_all_is_wrong_usage(interval: str) -> None:
    assert main(["status", "--watch", "--interval", interval]) == 2


def test_on_a_terminal_it_is_drawn_again(launched: Launched) -> None:
    controller, terminal = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "launcher", "status", "-w", "--interval", "0.1"],
        cwd=ROOT,
        env={**launched.environment, "TERM": "xterm", "COLUMNS": "100"},
        stdin=terminal,
        stdout=terminal,
        stderr=terminal,
        start_new_session=True,
    )
    try:
        os.close(terminal)
        read_until(lambda: os.read(controller, 4096), b"not running")
        launched.started()
        drawn = read_until(lambda: os.read(controller, 4096), b"In memory")
        assert b"\x1b[" in drawn
        process.send_signal(signal.SIGINT)
        shown = read_until(lambda: os.read(controller, 4096), b"\x1b[?25h")
        assert process.wait(20) == 130
        assert b"Traceback" not in shown
    finally:
        process.kill()
        process.wait(20)
        os.close(controller)
