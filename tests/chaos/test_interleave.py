"""A slice of the long run, and that its own measures would notice."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from launcher.server.record import Wanted
from tests.chaos.interleave import Done, Observer, Scene, Step, last_wishes, run, stories
from tests.support.waiting import wait_until

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads Linux's process table")


@pytest.mark.parametrize("seed", range(1, 9))
def test_two_at_once_leave_one_server_in_the_last_wished_state(seed: int, tmp_path: Path) -> None:
    wrong, done = run(seed, tmp_path, steps=3)
    assert not wrong, "\n".join([*wrong, *map(str, done)])


def test_a_killed_command_leaves_a_server_that_is_known(tmp_path: Path) -> None:
    # Seed 19 once killed a start between the spawn and the writing of the process's number.
    wrong, done = run(19, tmp_path, steps=6, kills=True)
    assert not wrong, "\n".join([*wrong, *map(str, done)])


def test_a_server_that_was_not_written_down_is_still_ours(tmp_path: Path) -> None:
    scene = Scene(tmp_path, seed=0)
    assert scene.command("start").code == 0
    record = scene.record_file.read()
    assert record is not None
    # What the file says in the moment before a start writes the number of what it has spawned.
    scene.record_file.write(replace(record, pid=None, group=None, start=None))
    status = json.loads(scene.command("status", "--json").output)
    assert (status["owner"], status["pid"]) == ("ours", record.pid)
    assert scene.command("start").code == 0
    assert scene.record_file.read() == record
    scene.record_file.write(replace(record, pid=None, group=None, start=None))
    assert scene.command("stop").code == 0
    assert scene.living() == {}


def test_a_damaged_download_is_mended_by_a_start(tmp_path: Path) -> None:
    scene = Scene(tmp_path, seed=0)
    done = scene.act([[Step(0.0, "start"), Step(0.0, "pull", interrupt_s=0.3), Step(0.0, "stop")]])
    assert [one.code for one in done] == [0, 130, 0], done
    sidecars = sorted(scene.models.glob("blobs/sha256-*-partial-*"))
    assert sidecars
    # As a server leaves it that is told to end at the wrong moment.
    os.truncate(sidecars[0], 0)
    assert scene.command("start").code == 0
    pulled = scene.command("models", "pull", "llama3.2:1b")
    assert scene.command("stop").code == 0
    assert pulled.code == 0, pulled


@pytest.mark.long
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("seed", range(100))
def test_a_hundred_times(seed: int, tmp_path: Path) -> None:
    wrong, done = run(seed, tmp_path)
    assert not wrong, "\n".join([*wrong, *map(str, done)])


def test_a_seed_is_a_story() -> None:
    assert stories(7, 5) == stories(7, 5)
    assert stories(7, 5) != stories(8, 5)
    assert [len(story) for story in stories(7, 5)] == [5, 5]


@pytest.mark.parametrize(
    ("commands", "wishes"),
    [
        pytest.param([("start", 0, 1), ("stop", 2, 3)], {Wanted.STOPPED}, id="one after the other"),
        pytest.param([("stop", 0, 1), ("restart", 2, 3)], {Wanted.RUNNING}, id="restart is a wish to run"),
        pytest.param([("start", 0, 5), ("stop", 2, 3)], {Wanted.RUNNING, Wanted.STOPPED}, id="overlapping"),
        pytest.param(
            [("start", 0, 1), ("stop", 2, 6), ("stop", 3, 4)], {Wanted.STOPPED}, id="overlapping, of one mind"
        ),
        pytest.param([("stop", 0, 1), ("pull", 2, 3)], {Wanted.STOPPED}, id="a pull wishes nothing"),
        pytest.param([], set(), id="nothing"),
    ],
)
def test_the_last_wish_is_known(commands: list[tuple[str, float, float]], wishes: set[Wanted]) -> None:
    assert last_wishes([Done(deed, begin_s, end_s, 0, "") for deed, begin_s, end_s in commands]) == wishes


@pytest.fixture
def two_servers(tmp_path: Path) -> Iterator[Scene]:
    """What must never be: two servers on one folder, at two ports."""
    scene = Scene(tmp_path, seed=0)
    servers = [
        subprocess.Popen(
            [scene.environ["OLLAMA_LAUNCHER_OLLAMA"], "serve"],
            env={**scene.environ, "OLLAMA_HOST": "127.0.0.1:0"},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for _ in range(2)
    ]
    yield scene
    for server in servers:
        with suppress(ProcessLookupError):
            os.kill(server.pid, 9)
        server.wait()


def test_two_servers_at_once_would_be_noticed(two_servers: Scene) -> None:
    with Observer(two_servers) as observer:
        wait_until(two_servers.met)
        wait_until(lambda: observer.most == 2)
        assert len(two_servers.servers()) == 2


def test_a_server_left_over_would_be_noticed(tmp_path: Path) -> None:
    scene = Scene(tmp_path, seed=0)
    assert scene.command("start").code == 0
    left = scene.living()
    assert len(left) >= 1
    assert scene.command("stop").code == 0
    assert scene.living() == {}
