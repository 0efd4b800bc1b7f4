"""A child is started as it must be, outlives us, and its end is heard."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import stat
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from launcher.errors import StorageError
from launcher.server import identity
from launcher.server.errors import StartFailed
from launcher.server.spawn import Adopted, ProcessOutcome, expected_exes, spawn
from launcher.tasks import run_blocking
from tests.support.processes import Family, until

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.blocks_loop("starting a process waits for a processor, up to 200 ms on a busy machine"),
    pytest.mark.skipif(sys.platform == "win32", reason="sessions and modes are POSIX"),
]


@pytest.mark.parametrize(
    ("source", "outcome", "sentence"),
    [
        pytest.param("", ProcessOutcome(exit_code=0), "The server ended normally.", id="normal"),
        pytest.param("sys.exit(3)", ProcessOutcome(exit_code=3), "The server ended with exit code 3.", id="code"),
        pytest.param(
            "os.kill(os.getpid(), signal.SIGKILL)",
            ProcessOutcome(signal=signal.SIGKILL),
            "The server was ended by SIGKILL.",
            id="signal",
        ),
    ],
)
async def test_how_it_ended_is_told(family: Family, source: str, outcome: ProcessOutcome, sentence: str) -> None:
    child = await family.start(source)
    assert await child.wait() == outcome
    assert child.outcome == outcome
    assert await child.wait() == outcome
    assert outcome.sentence() == sentence


@pytest.mark.parametrize(
    ("outcome", "sentence"),
    [
        pytest.param(ProcessOutcome(), "Ollama ended.", id="unknown"),
        pytest.param(
            ProcessOutcome(exit_code=0xC0000005), "Ollama ended with exit code 0xC0000005.", id="windows fault"
        ),
        pytest.param(ProcessOutcome(signal=40), "Ollama was ended by signal 40.", id="signal without a name"),
    ],
)
def test_an_outcome_is_a_sentence(outcome: ProcessOutcome, sentence: str) -> None:
    assert outcome.sentence("Ollama") == sentence


async def test_it_is_recorded_as_it_runs(family: Family) -> None:
    child = await family.start("say('up'); forever()", says="up")
    assert child.start == identity.start_of(child.pid)
    assert child.group == child.pid == os.getsid(child.pid) == os.getpgid(child.pid)
    assert child.exes == (identity.executable_of(child.pid),)
    assert child.outcome is None


async def test_one_that_ends_at_once_is_still_recorded(family: Family) -> None:
    children = [await family.start("") for _ in range(5)]
    for child in children:
        assert child.start is not None
        await child.wait()
        assert not identity.is_alive(child.pid, child.start)
        assert identity.read_process(child.pid) is None, "it was reaped"


@pytest.fixture
def inheritable() -> Iterator[int]:
    """A descriptor that a child would inherit if nobody took care."""
    descriptor = os.open(os.devnull, os.O_RDONLY)
    os.set_inheritable(descriptor, True)
    yield descriptor
    os.close(descriptor)


async def test_nothing_is_inherited_but_the_log(family: Family, inheritable: int) -> None:
    assert os.get_inheritable(inheritable)
    child = await family.start("say(*sorted(os.listdir('/proc/self/fd')), 'end'); say(repr(sys.stdin.read()))")
    await child.wait()
    # One more is the listing itself.
    assert family.said(child) == ["0", "1", "2", "3", "end", "''"]


async def test_the_environment_is_what_was_given(family: Family, tmp_path: Path) -> None:
    child = await family.spawn(["/usr/bin/env"], tmp_path / "log", env={"ONLY": "this"})
    await child.wait()
    assert family.said(child) == ["ONLY=this"]


async def test_both_outputs_are_appended_in_order(family: Family, tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("before\n")
    log.chmod(0o644)
    source = "import sys; print('out', flush=True); print('err', file=sys.stderr, flush=True); print('out', flush=True)"
    child = await family.spawn([sys.executable, "-I", "-S", "-c", source], log)
    await child.wait()
    assert log.read_text().splitlines() == ["before", "out", "err", "out"]
    assert stat.S_IMODE(log.stat().st_mode) == 0o600


async def test_a_new_log_is_private(family: Family, tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        child = await family.spawn(["/bin/true"], tmp_path / "log")
    finally:
        os.umask(before)
    await child.wait()
    assert stat.S_IMODE((tmp_path / "log").stat().st_mode) == 0o600


async def test_many_may_wait_and_give_up(family: Family) -> None:
    child = await family.start("say('up'); sys.stdout.close(); forever()", says="up")
    patient = [asyncio.create_task(child.wait()) for _ in range(3)]
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.02):
            await child.wait()
    os.kill(child.pid, signal.SIGTERM)
    assert set(await asyncio.gather(*patient)) == {ProcessOutcome(signal=signal.SIGTERM)}


async def test_it_may_be_waited_for_on_another_loop(family: Family) -> None:
    child = await family.start("say('up'); forever()", says="up")

    def wait_a_moment() -> None:
        async def wait() -> None:
            with suppress(TimeoutError):
                async with asyncio.timeout(0.02):
                    await child.wait()

        asyncio.run(wait())

    # That loop is closed when the child ends; nobody may notice.
    await run_blocking(wait_a_moment)
    os.kill(child.pid, signal.SIGKILL)
    assert await child.wait() == ProcessOutcome(signal=signal.SIGKILL)


async def test_forgetting_it_does_nothing_to_it(family: Family) -> None:
    child = await family.start("say('up'); forever()", says="up")
    pid, start = child.pid, child.start
    assert start is not None
    del child
    gc.collect()
    assert identity.is_alive(pid, start)


_STARTER = """
import asyncio, os, sys
from pathlib import Path
from launcher.server.spawn import spawn

async def main():
    log = Path(sys.argv[1])
    child = await spawn([sys.executable, "-c", "import time; print('up', flush=True); time.sleep(60)"],
                        os.environ, log, log.parent)
    waiting = asyncio.create_task(child.wait())
    while not log.read_text():
        await asyncio.sleep(0.01)
    print(child.pid, child.start, flush=True)
    if sys.argv[2] == "killed":
        os.kill(os.getpid(), 9)
    waiting.cancel()
    if sys.argv[2] == "fails":
        raise KeyError("as planned")

asyncio.run(main(), debug=True)
"""


@pytest.fixture
def orphan(
    request: pytest.FixtureRequest, tmp_path: Path
) -> Iterator[tuple[subprocess.CompletedProcess[str], int, int]]:
    """A child whose starter has ended in the way that the test names: the starter, the child's number and start."""
    starter = subprocess.run(
        [
            sys.executable,
            "-X",
            "dev",
            "-W",
            "error",
            "-c",
            textwrap.dedent(_STARTER),
            str(tmp_path / "log"),
            request.param,
        ],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    pid, start = map(int, starter.stdout.split())
    yield starter, pid, start
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


@pytest.mark.parametrize(
    ("orphan", "code"), [("ends", 0), ("fails", 1), ("killed", -signal.SIGKILL)], indirect=["orphan"], ids=str
)
def test_it_outlives_us(orphan: tuple[subprocess.CompletedProcess[str], int, int], code: int) -> None:
    starter, pid, start = orphan
    assert starter.returncode == code
    assert identity.is_alive(pid, start)
    assert "Warning" not in starter.stderr
    if code == 0:
        assert starter.stderr == ""


async def test_an_adopted_one_is_heard_to_end(family: Family) -> None:
    child = await family.start("say('up'); forever()", says="up")
    assert child.start is not None
    waiting = asyncio.create_task(Adopted(child.pid, child.start).wait())
    await asyncio.sleep(0)
    assert not waiting.done()
    os.kill(child.pid, signal.SIGKILL)
    async with asyncio.timeout(10):
        assert await waiting == ProcessOutcome()


async def test_an_adopted_one_is_heard_to_end_without_a_descriptor(
    family: Family, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(os, "pidfd_open", raising=False)
    child = await family.start("say('up'); forever()", says="up")
    assert child.start is not None
    waiting = asyncio.create_task(Adopted(child.pid, child.start).wait(poll_s=0.01))
    os.kill(child.pid, signal.SIGKILL)
    async with asyncio.timeout(10):
        assert await waiting == ProcessOutcome()


async def test_an_adopted_one_that_is_gone_or_another_is_not_waited_for(family: Family) -> None:
    child = await family.start("say('up'); forever()", says="up")
    assert child.start is not None
    async with asyncio.timeout(10):
        assert await Adopted(child.pid, child.start - 1).wait() == ProcessOutcome()
        os.kill(child.pid, signal.SIGKILL)
        await child.wait()
        assert await Adopted(child.pid, child.start).wait() == ProcessOutcome()


_PYTHON = os.path.realpath(sys.executable)


def _make(path: Path, content: str, mode: int = 0o755) -> Path:
    path.write_text(content)
    path.chmod(mode)
    return path


@pytest.mark.parametrize(
    ("content", "mode", "sentence"),
    [
        pytest.param(None, 0, "does not exist", id="missing"),
        pytest.param("#!/bin/sh\n", 0o644, "may not be run", id="not executable"),
        pytest.param("\x7fNOT", 0o755, "no program for this machine", id="no program"),
        pytest.param("#!/nowhere/python\n", 0o755, "needs a program that is missing", id="no interpreter"),
    ],
)
async def test_what_cannot_be_run_is_a_sentence(tmp_path: Path, content: str | None, mode: int, sentence: str) -> None:
    program = tmp_path / "ollama"
    if content is not None:
        _make(program, content, mode)
    with pytest.raises(StartFailed, match=sentence) as caught:
        await spawn([str(program), "serve"], {}, tmp_path / "log", tmp_path)
    assert caught.value.hint
    assert caught.value.outcome is None


async def test_a_missing_working_folder_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(StartFailed, match="working folder"):
        await spawn(["/bin/true"], {}, tmp_path / "log", tmp_path / "nowhere")


async def test_a_log_that_cannot_be_written_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(StorageError) as caught:
        await spawn(["/bin/true"], {}, tmp_path / "nowhere" / "log", tmp_path)
    assert str(tmp_path) in caught.value.title


def _open_descriptors() -> int:
    return len(os.listdir("/dev/fd"))


async def test_a_failed_start_leaves_no_descriptor(tmp_path: Path) -> None:
    before = _open_descriptors()
    for _ in range(3):
        with pytest.raises(StartFailed):
            await spawn([str(tmp_path / "missing")], {}, tmp_path / "log", tmp_path)
    assert _open_descriptors() == before


async def test_a_script_is_known_by_itself_and_its_interpreter(family: Family, tmp_path: Path) -> None:
    script = _make(
        tmp_path / "ollama", f"#!{sys.executable} -IS\nimport time\nprint('up', flush=True)\ntime.sleep(60)\n"
    )
    (tmp_path / "link").symlink_to(script)
    child = await family.spawn([str(tmp_path / "link"), "serve"], tmp_path / "log")
    await until(lambda: "up" in family.said(child))
    assert child.exes == (str(script), _PYTHON)
    assert identity.check_group(family.record(child)).may_signal


@pytest.mark.parametrize(
    ("first_line", "interpreter"),
    [
        pytest.param("#!/bin/sh", os.path.realpath("/bin/sh"), id="plain"),
        pytest.param("#! /bin/sh -e", os.path.realpath("/bin/sh"), id="space and option"),
        pytest.param("#!/usr/bin/env python3", None, id="searched"),
        pytest.param("#!", None, id="empty"),
        pytest.param("\x7fELF", None, id="binary"),
    ],
)
def test_the_interpreter_is_read(tmp_path: Path, first_line: str, interpreter: str | None) -> None:
    script = _make(tmp_path / "ollama", first_line + "\n")
    expected = (str(script),) if interpreter is None else (str(script), interpreter)
    assert expected_exes(script) == expected
