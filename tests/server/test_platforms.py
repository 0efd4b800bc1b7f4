"""The ways of the other systems are at least walked: a fresh interpreter is told that it is on one of them.

This does not replace a run there; it finds misspelt names and wrong types where psutil takes the place of ``/proc``.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

_SCRIPT = """
import asyncio, os, socket, subprocess, sys
from pathlib import Path
import filelock, psutil, pwd
from launcher.server import explain, find, graphics, identity, log, models_folder, owner, port, record, signals, spawn

folder = Path(sys.argv[2])
leader = subprocess.Popen(
    [sys.executable, "-c", "import subprocess, sys, time; "
     "subprocess.Popen([sys.executable, '-c', 'import time; print(1, flush=True); time.sleep(600)']); time.sleep(600)"],
    start_new_session=True, stdout=subprocess.PIPE)
leader.stdout.readline()
listener = socket.create_server(("127.0.0.1", 0))
number = listener.getsockname()[1]
sys.platform = sys.argv[1]

start = identity.start_of(leader.pid)
assert identity.is_alive(leader.pid, start)
assert not identity.is_alive(leader.pid, start + 1)
assert identity.executable_of(leader.pid) == os.path.realpath(sys.executable)
assert identity.command_of(leader.pid)[1] == "-c"
assert abs(identity.wall_time(start) - psutil.Process(leader.pid).create_time()) < 1
assert identity.same_boot(identity.boot_id(), identity.boot_id())
one = record.ServerRecord(
    wanted=record.Wanted.RUNNING, pid=leader.pid, group=leader.pid, boot_id=identity.boot_id(), start=start,
    exes=(os.path.realpath(sys.executable),), models=str(folder))
check = identity.check_group(one)
assert check.leader_alive and len(check.members) == 2 and not check.strangers, check
assert not models_folder.is_server(leader.pid)
assert [user.pid for user in models_folder.live_users(folder, [one])] == [leader.pid]
models_folder.models_folder({"HOME": "/h", "USERPROFILE": "/u"})
holder = port.port_holder("127.0.0.1", number)
assert holder is not None and holder.pid == os.getpid(), holder
assert holder.user and holder.command
assert port.bound_at(number) == ("127.0.0.1",)
whose = owner.ownership(holder)
assert whose is not None and whose.pid == os.getpid() and whose.owner.value == "unknown", whose
assert models_folder.folder_of(leader.pid) is None
assert models_folder.unfinished(folder, 0.0) == () and models_folder.count_models(folder) == 0
if sys.platform != "win32":
    assert isinstance(graphics.cards(), tuple)
listener.close()
assert port.port_holder("127.0.0.1", number) is None
file = record.RecordFile(folder / "state" / "server.json")
file.write(one)
assert file.read() == one
assert spawn.expected_exes(Path(sys.executable))

async def main():
    (runner,) = [member for member in check.members if member.pid != leader.pid]
    if sys.platform == "win32":  # Linux gives an orphan another parent, Windows does not
        assert await signals.stop_group(one, grace_s=10) is signals.Ended.TERMINATED
    else:
        leader.kill()
        leader.wait()
        assert await signals.sweep(one, grace_s=10) == 1
    await spawn.Adopted(runner.pid, runner.start).wait(poll_s=0.01)
    async with record.ServerLock(folder / "server.lock", 1):
        pass

signals._send_break = lambda pid: False
asyncio.run(main())
sys.platform = "linux"
assert identity.check_group(one).gone
leader.wait()
leader.stdout.close()
print("walked")
"""


@pytest.mark.skipif(sys.platform != "linux", reason="pretends from Linux")
@pytest.mark.parametrize("platform", ["linux", "darwin", "win32"])
def test_the_way_of_another_system_is_walked(platform: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _SCRIPT, platform, str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stdout == "walked\n", done.stderr
