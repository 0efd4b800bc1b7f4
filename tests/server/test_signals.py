"""A recorded group is ended, in order and bounded, and nobody else is."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import sys

import pytest

from launcher.server import identity, signals
from launcher.server.errors import SignalRefused, StopFailed
from launcher.server.record import ServerRecord, Wanted
from launcher.server.signals import Ended
from tests.support.processes import Family, until

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.blocks_loop("starting a process waits for a processor, up to 200 ms on a busy machine"),
    pytest.mark.skipif(sys.platform != "linux", reason="made of Linux processes"),
]

_SLEEP = os.path.realpath(shutil.which("sleep") or "/bin/sleep")
_POLITE = "signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))\n"
_STUBBORN = "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
_WITH_HELPER = "say('helper', helper('forever()').pid); say('up'); forever()"


async def test_a_polite_server_is_asked_only(family: Family) -> None:
    child = await family.start(_POLITE + _WITH_HELPER, says="up")
    assert await signals.stop_group(family.record(child), grace_s=20) is Ended.TERMINATED
    assert family.living(child.group) == []
    outcome = await child.wait()
    assert outcome.exit_code == 0


async def test_a_stubborn_server_is_killed(family: Family) -> None:
    child = await family.start(_STUBBORN + "say('up'); forever()", says="up")
    assert await signals.stop_group(family.record(child), grace_s=0.1) is Ended.KILLED
    assert family.living(child.group) == []
    assert (await child.wait()).signal == signal.SIGKILL


async def test_a_stubborn_helper_is_killed_after_its_server(family: Family) -> None:
    source = _POLITE + f"say('helper', helper({(_STUBBORN + 'say(1); forever()')!r}).pid); forever()"
    child = await family.start(source, says="1")
    assert await signals.stop_group(family.record(child), grace_s=0.2) is Ended.KILLED
    assert family.living(child.group) == []
    assert (await child.wait()).exit_code == 0


async def test_a_stopped_server_is_killed_too(family: Family) -> None:
    child = await family.start(_POLITE + "say('up'); forever()", says="up")
    os.kill(child.pid, signal.SIGSTOP)
    assert await signals.stop_group(family.record(child), grace_s=0.1) is Ended.KILLED


async def test_a_helper_in_a_group_of_its_own_is_reached(family: Family) -> None:
    source = "say('helper', helper('forever()', process_group=0).pid); say('up'); forever()"
    child = await family.start(source, says="up")
    assert await signals.stop_group(family.record(child), grace_s=20) is Ended.TERMINATED
    assert family.living(child.group) == []


async def test_who_is_gone_is_no_error(family: Family) -> None:
    child = await family.start("")
    await child.wait()
    assert await signals.stop_group(family.record(child), grace_s=1) is Ended.ALREADY_GONE
    assert await signals.stop_group(ServerRecord(wanted=Wanted.STOPPED), grace_s=1) is Ended.ALREADY_GONE


async def test_who_ends_between_look_and_signal_is_no_error(family: Family) -> None:
    children = [await family.start("say('up'); sys.exit()" if turn % 2 else "") for turn in range(6)]
    for child in children:
        assert await signals.stop_group(family.record(child), grace_s=20) in (Ended.ALREADY_GONE, Ended.TERMINATED)


async def test_with_a_stranger_nobody_is_signalled(family: Family) -> None:
    child = await family.start(
        f"say('stranger', subprocess.Popen(['{_SLEEP}', '600']).pid); forever()", says="stranger"
    )
    stranger = family.number(child, "stranger")
    with pytest.raises(SignalRefused) as caught:
        await signals.stop_group(family.record(child), grace_s=1)
    assert caught.value.strangers == (stranger,)
    assert str(stranger) in caught.value.hint
    assert set(family.living(child.group)) == {child.pid, stranger}


async def test_a_stranger_that_leaves_soon_is_waited_for(family: Family) -> None:
    source = f"say('up', subprocess.Popen(['{_SLEEP}', '0.2']).pid); forever()"
    child = await family.start(_POLITE + source, says="up")
    assert await signals.stop_group(family.record(child), grace_s=20) is Ended.TERMINATED


async def test_a_stranger_that_comes_after_the_first_signal_stops_the_second(family: Family) -> None:
    source = f"""
def late(*_):
    subprocess.Popen(['{_SLEEP}', '600'])
    say('late')
signal.signal(signal.SIGTERM, late)
say('up')
forever()
"""
    child = await family.start(source, says="up")
    with pytest.raises(SignalRefused):
        await signals.stop_group(family.record(child), grace_s=0.3)
    assert len(family.living(child.group)) == 2


async def test_a_number_that_was_given_away_is_not_signalled(family: Family) -> None:
    child = await family.start("say('up'); forever()", says="up")
    assert child.start is not None
    earlier = family.record(child, start=child.start - 1)
    assert await signals.stop_group(earlier, grace_s=1) is Ended.ALREADY_GONE
    assert await signals.sweep(earlier) == 0
    assert identity.is_alive(child.pid, child.start)


async def test_after_a_reboot_nobody_is_signalled(family: Family) -> None:
    child = await family.start("say('up'); forever()", says="up")
    assert child.start is not None
    assert await signals.stop_group(family.record(child, boot_id="another"), grace_s=1) is Ended.ALREADY_GONE
    assert identity.is_alive(child.pid, child.start)


async def test_our_own_group_is_never_signalled(family: Family) -> None:
    child = await family.start("say('up'); forever()", says="up")
    ours = family.record(child, pid=os.getpid(), group=os.getpgrp(), start=identity.start_of(os.getpid()))
    with pytest.raises(SignalRefused):
        await signals.stop_group(ours, grace_s=0.1)


async def test_what_a_killed_server_left_is_swept(family: Family) -> None:
    source = _STUBBORN + "say('a', helper('forever()').pid); say('b', helper('forever()').pid); say('up'); forever()"
    child = await family.start(source, says="up")
    os.kill(child.pid, signal.SIGKILL)
    await child.wait()
    assert len(family.living(child.group)) == 2
    assert await signals.sweep(family.record(child), grace_s=0.2) == 2
    assert family.living(child.group) == []
    assert await signals.sweep(family.record(child)) == 0


async def test_a_living_server_is_not_swept(family: Family) -> None:
    child = await family.start(_WITH_HELPER, says="up")
    assert await signals.sweep(family.record(child)) == 0
    assert len(family.living(child.group)) == 2


async def test_strangers_alone_are_left_alone(family: Family) -> None:
    child = await family.start(
        f"say('stranger', subprocess.Popen(['{_SLEEP}', '600']).pid); forever()", says="stranger"
    )
    os.kill(child.pid, signal.SIGKILL)
    await child.wait()
    assert await signals.sweep(family.record(child)) == 0
    assert family.living(child.group) == [family.number(child, "stranger")]


async def test_what_survives_a_kill_is_said(family: Family, monkeypatch: pytest.MonkeyPatch) -> None:
    # A process that waits for a broken disk does not hear it either.
    monkeypatch.setattr(os, "killpg", lambda group, number: None)
    child = await family.start("say('up'); forever()", says="up")
    with pytest.raises(StopFailed) as caught:
        await signals.stop_group(family.record(child), grace_s=0.05, kill_wait_s=0.05)
    assert caught.value.hint


async def test_a_cancelled_stop_has_asked_already(family: Family) -> None:
    child = await family.start(_STUBBORN + "say('up'); forever()", says="up")
    record = family.record(child)
    stopping = asyncio.create_task(signals.stop_group(record, grace_s=60))
    await asyncio.sleep(0.1)
    stopping.cancel()
    with pytest.raises(asyncio.CancelledError):
        await stopping
    await until(lambda: family.living(child.group))
    assert await signals.stop_group(record, grace_s=0) is Ended.KILLED
