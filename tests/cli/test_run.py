"""What Ctrl-C ends: a piece of work that gives way to it, else the command."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.cli.launched import ROOT

_BEGIN = """
import asyncio, sys
from launcher.cli.run import GivenUp, giving_way, run

async def stubborn():
    print('working', flush=True)
    try:
        await asyncio.sleep(60)
    finally:
        print('cleaning', flush=True)
        await asyncio.sleep(float(sys.argv[1]))
"""
GIVES_WAY = (
    _BEGIN
    + """
async def command():
    for _ in range(2):
        try:
            await giving_way(stubborn())
        except GivenUp:
            print('given up', flush=True)
    return 7

sys.exit(run(command))
"""
)
FAILS = (
    _BEGIN
    + """
async def failing():
    raise LookupError('told')

async def command():
    try:
        await giving_way(failing())
    except LookupError as error:
        print(error, flush=True)
    return await giving_way(asyncio.sleep(0, 7))

sys.exit(run(command))
"""
)


@contextmanager
def running(program: str, clean_up_s: float = 0.0) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-c", program, str(clean_up_s)],
        cwd=ROOT,
        env=dict(os.environ),
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        with process:
            yield process
    finally:
        process.kill()


def told(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().rstrip("\n")


def test_a_piece_of_work_gives_way_and_the_command_goes_on() -> None:
    with running(GIVES_WAY) as process:
        for _ in range(2):
            assert told(process) == "working"
            process.send_signal(signal.SIGINT)
            assert (told(process), told(process)) == ("cleaning", "given up")
        assert process.wait(20) == 7


def test_the_second_ctrl_c_during_its_end_is_for_the_command() -> None:
    with running(GIVES_WAY, clean_up_s=1.0) as process:
        assert told(process) == "working"
        process.send_signal(signal.SIGINT)
        assert told(process) == "cleaning"
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 130


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP], ids=lambda number: number.name)
def test_an_ended_session_ends_the_command(number: signal.Signals) -> None:
    with running(GIVES_WAY) as process:
        assert told(process) == "working"
        process.send_signal(number)
        assert told(process) == "cleaning"
        assert process.wait(20) == 130


def test_a_piece_of_work_that_fails_or_ends_is_as_if_it_had_been_awaited() -> None:
    with running(FAILS) as process:
        assert told(process) == "told"
        assert process.wait(20) == 7
