"""Two people at two terminals, a real server, and no agreement: seeded, and short."""

from __future__ import annotations

import os
import random
import threading
import time
from collections.abc import Iterator
from contextlib import suppress

import psutil
import pytest

from launcher.server.record import Wanted
from tests.real.conftest import partials, servers
from tests.support.machine import Machine
from tests.support.registry import LoopbackRegistry
from tests.support.terminal import Outcome, Terminal

pytestmark = pytest.mark.real_ollama

SEEDS = range(int(os.environ.get("REAL_SEEDS", "3")))
"""``REAL_SEEDS=50`` for a long run."""
STEPS = 5
LONGEST_PAUSE_S = 0.6
GIVES = {"start": {0, 1}, "stop": {0}, "restart": {0, 1}, "pull": {0, 3, 130}, "status": {0, 3}}
"""The exit codes that each command may end with when another one is at work."""


class Observer(threading.Thread):
    """Looks at the process table all the time; remembers when two servers lived at once."""

    def __init__(self, machine: Machine) -> None:
        super().__init__(daemon=True)
        self._machine = machine
        self._over = threading.Event()
        self.together: list[list[psutil.Process]] = []

    def run(self) -> None:
        while not self._over.wait(0.01):
            found = servers(self._machine)
            with suppress(psutil.Error):
                # A look takes a while: who was seen first may have ended before the next one began.
                if len(found) > 1 and all(process.status() != psutil.STATUS_ZOMBIE for process in found):
                    self.together.append(found)

    def end(self) -> None:
        self._over.set()
        self.join(10)


@pytest.fixture
def observer(machine: Machine) -> Iterator[Observer]:
    observer = Observer(machine)
    observer.start()
    yield observer
    observer.end()


def perform(source: random.Random, shell: Terminal, model: str, told: list[tuple[str, Outcome]]) -> None:
    for _ in range(STEPS):
        time.sleep(source.uniform(0, LONGEST_PAUSE_S))
        deed = source.choice(["start", "start", "stop", "restart", "pull", "pull", "status"])
        if deed != "pull":
            told.append((deed, shell.run(deed)))
            continue
        pull = shell.start("models", "pull", "--insecure", model)
        deadline_s = time.monotonic() + source.uniform(0.5, 3.0)
        while not pull.ended and time.monotonic() < deadline_s:
            time.sleep(0.02)
        if not pull.ended:
            pull.interrupt()
        told.append((deed, pull.wait()))


@pytest.mark.parametrize("seed", SEEDS, ids=lambda seed: f"seed-{seed}")
def test_two_terminals_and_one_server(
    machine: Machine, shell: Terminal, registry: LoopbackRegistry, observer: Observer, seed: int
) -> None:
    registry.rate_bps = 15_000_000
    big = registry.name_of("big")
    stories: list[list[tuple[str, Outcome]]] = [[], []]
    people = [
        threading.Thread(target=perform, args=(random.Random(f"{seed}-{who}"), shell, big, told))
        for who, told in enumerate(stories)
    ]
    for person in people:
        person.start()
    for person in people:
        person.join(100)
        assert not person.is_alive(), stories
    observer.end()

    assert observer.together == []
    for deed, outcome in [one for told in stories for one in told]:
        assert outcome.code in GIVES[deed], (deed, outcome)
        assert "Traceback" not in outcome.err, (deed, outcome)
        if outcome.code == 1:
            assert "stopped meanwhile" in outcome.err, (deed, outcome)
    record = machine.record_file.read()
    runs = record is not None and record.wanted is Wanted.RUNNING
    assert len(servers(machine)) == (1 if runs else 0)

    assert shell.run("start").code == 0
    registry.rate_bps = None
    pull = shell.run("models", "pull", "--insecure", big)
    assert pull.code == 0, (pull, stories)
    assert partials(machine.models) == {}
    assert shell.run("stop").code == 0
    assert machine.processes() == []
