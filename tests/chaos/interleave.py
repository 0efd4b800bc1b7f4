"""Two people at two terminals, who know nothing of each other, start, stop, restart and pull at one server.

::

    .venv/bin/python -m tests.chaos.interleave                      100 seeds, about eight minutes
    .venv/bin/python -m tests.chaos.interleave --first 4711 --count 1   one again, with its story
    .venv/bin/python -m tests.chaos.interleave --steps 12           longer stories
    .venv/bin/python -m tests.chaos.interleave --kills              some commands are killed in the middle

A seed makes two stories of commands, with pauses between them and Ctrl-C in some pulls. Two processes perform them at
once, each command a process of its own, against the simulated server. What must hold:

- at no time do two servers live: each takes a lock when it starts, and an observer looks at the process table;
- each command ends as it may (a start that was overtaken by a stop says so), and none with a traceback;
- at the end the server is as it was last wished, by the record and in truth;
- a pull then goes on to its end, whatever happened to it before;
- after a last stop nothing lives any more.

The last wish is that of a command after whose end no other one began; where two overlapped, either may be the last.
Who was killed may or may not have had its wish: then it only counts that a server that lives is known to be ours.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from launcher.server import identity
from launcher.server.record import RecordFile, Wanted
from tests.support.demo_server import make_ollama_shim, write_script

_ROOT = Path(__file__).parents[2]
_MODEL = "llama3.2:1b"
_DEEDS = ("start", "stop", "restart", "pull")
_WEIGHTS = (35, 25, 20, 20)
_LONGEST_PAUSE_S = 0.4
_KILLED = 0.5
_LATEST_KILL_S = 0.15
_STORY_LIMIT_S = 120.0
_COMMAND_LIMIT_S = 60.0
_LOOK_EVERY_S = 0.01
_OVERTAKEN = "stopped meanwhile"
_INTERRUPTED = 130
_NOT_REACHABLE = 3
_HANGS = "(it hung)"

# Put before the simulated server: it may not begin while another one lives on the same models folder.
_ALONE = """
import fcntl, os, sys
if "serve" in sys.argv:
    alone = open(os.environ["CHAOS_FOLDER"] + "/alone", "w")
    try:
        fcntl.flock(alone, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        open(os.environ["CHAOS_FOLDER"] + "/together", "w").close()
"""


@dataclass(frozen=True, slots=True)
class Step:
    """One command after a pause; a pull is interrupted after a while unless it has ended, others may be killed."""

    pause_s: float
    deed: str
    interrupt_s: float | None = None
    kill_s: float | None = None


@dataclass(frozen=True, slots=True)
class Done:
    """What became of a step; times are those of the machine's one monotonic clock."""

    deed: str
    begin_s: float
    end_s: float
    code: int
    output: str

    def __str__(self) -> str:
        return f"{self.begin_s:9.3f} to {self.end_s:9.3f}  {self.deed:8} {self.code:4}  {self.output.strip()!r}"


def stories(seed: int, steps: int, *, kills: bool = False) -> tuple[list[Step], list[Step]]:
    """Make two stories of a seed."""
    chance = random.Random(seed)

    def step() -> Step:
        (deed,) = chance.choices(_DEEDS, _WEIGHTS)
        interrupt_s = chance.uniform(0.1, 1.0) if deed == "pull" else None
        # Half of the commands come at once: that is where they meet.
        pause_s = chance.choice((0.0, chance.uniform(0.0, _LONGEST_PAUSE_S)))
        kill_s = None
        if kills and deed != "pull" and chance.random() < _KILLED:
            kill_s = chance.uniform(0.0, _LATEST_KILL_S)
        return Step(pause_s, deed, interrupt_s, kill_s)

    return [step() for _ in range(steps)], [step() for _ in range(steps)]


def surroundings(seed: int) -> dict[str, object]:
    """Make the simulated server's script of a seed: slow to start, slow to end, or neither."""
    chance = random.Random(f"server {seed}")
    return {
        "seed": seed,
        "rate_bytes_per_s": 20_000_000,
        "start": {"silent_s": chance.choice((0.0, 0.0, 0.3))},
        "stop": {"delay_s": chance.choice((0.0, 0.0, 0.2))},
    }


class Scene:
    """One person's machine in a folder of its own."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.folder = folder
        self.models = folder / "models"
        self.record_file = RecordFile(folder / "state" / "server.json")
        shim = make_ollama_shim(folder / "bin")
        first, rest = shim.read_text(encoding="utf-8").split("\n", 1)
        shim.write_text(first + _ALONE + rest, encoding="utf-8")
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(("OLLAMA_", "LAUNCHER_"))}
        self.environ = {
            **inherited,
            "HOME": str(folder),
            "LAUNCHER_STATE_DIR": str(folder / "state"),
            "LAUNCHER_CONFIG_DIR": str(folder / "config"),
            "LAUNCHER_DEMO_SCRIPT": str(write_script(folder, surroundings(seed))),
            "OLLAMA_LAUNCHER_OLLAMA": str(shim),
            "OLLAMA_HOST": f"127.0.0.1:{port}",
            "OLLAMA_MODELS": str(self.models),
            "CHAOS_FOLDER": str(folder),
        }

    def act(self, stories: Sequence[Sequence[Step]]) -> list[Done]:
        """Let a process perform each of the stories, all at once; returns what was done, in order."""
        performers = [self._performer(story) for story in stories]
        try:
            for performer in performers:
                if performer.stdout is not None and performer.stdin is not None:
                    performer.stdout.readline()  # it has imported all it needs
            for performer in performers:
                if performer.stdin is not None:
                    performer.stdin.close()
                    performer.stdin = None  # communicate() would close it again
            lines = [line for one in performers for line in one.communicate(timeout=_STORY_LIMIT_S)[0].splitlines()]
        finally:
            for performer in performers:
                performer.kill()
                performer.wait()
        return sorted((Done(**json.loads(line)) for line in lines), key=lambda one: one.begin_s)

    def _performer(self, story: Sequence[Step]) -> subprocess.Popen[str]:
        """Start a performer; it begins when its input is closed."""
        return subprocess.Popen(
            [sys.executable, "-m", "tests.chaos.interleave", "--perform", json.dumps([asdict(step) for step in story])],
            cwd=_ROOT,
            env=self.environ,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def command(self, *arguments: str) -> Done:
        """Run one command to its end."""
        begin_s = time.monotonic()
        ended = subprocess.run(
            [sys.executable, "-m", "launcher", *arguments],
            cwd=_ROOT,
            env=self.environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=_COMMAND_LIMIT_S,
            check=False,
        )
        return Done(" ".join(arguments), begin_s, time.monotonic(), ended.returncode, ended.stdout)

    def living(self) -> dict[int, list[str]]:
        """Whoever lives and was started here by a server's environment: number and command."""
        marker = f"OLLAMA_MODELS={self.models}\0".encode()
        found = {}
        for process in identity.processes():
            with suppress(OSError):
                if not process.dead and marker in Path(f"/proc/{process.pid}/environ").read_bytes():
                    found[process.pid] = identity.command_of(process.pid)
        return found

    def servers(self) -> list[int]:
        return [pid for pid, words in self.living().items() if identity.serves_ollama(words)]

    def met(self) -> bool:
        """Whether two servers lived at once."""
        return (self.folder / "together").exists()


class Observer:
    """Looks at the process table until it is told to stop."""

    def __init__(self, scene: Scene) -> None:
        self._scene = scene
        self._over = threading.Event()
        self.most = 0
        self._thread = threading.Thread(target=self._look, name="observer")

    def __enter__(self) -> Observer:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._over.wait(_LOOK_EVERY_S):
            self.most = max(self.most, len(self._scene.servers()))


def run(seed: int, folder: Path, steps: int = 4, *, kills: bool = False) -> tuple[list[str], list[Done]]:
    """Perform the stories of a seed; returns what did not hold, and what was done, in order."""
    scene = Scene(folder, seed)
    done: list[Done] = []
    wrong: list[str] = []
    try:
        with Observer(scene) as observer:
            done += scene.act(stories(seed, steps, kills=kills))
            wrong += [f"{one.deed} ended with {one.code}: {one.output!r}" for one in done if not _may_end_so(one)]
            wrong += _unknown(scene) if kills else _ending(scene, done)
            for arguments in (("start",), ("models", "pull", _MODEL), ("stop",)):
                last = scene.command(*arguments)
                done.append(last)
                if last.code != 0:
                    wrong.append(f"at the end {last.deed} ended with {last.code}: {last.output!r}")
        if observer.most > 1 or scene.met():
            wrong.append(f"several servers lived at once (seen: {observer.most}, met: {scene.met()})")
        left = scene.living()
        if left:
            wrong.append(f"still alive after the last stop: {left}")
    finally:
        for pid in scene.living():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
    return wrong, done


def _may_end_so(one: Done) -> bool:
    if "Traceback" in one.output or "unexpected" in one.output.lower():
        return False
    if one.code in (0, -signal.SIGKILL):  # a command that hangs is killed, too, but then says so
        return _HANGS not in one.output
    if one.deed in ("start", "restart"):
        return one.code == 1 and _OVERTAKEN in one.output
    return one.deed == "pull" and one.code in (_INTERRUPTED, _NOT_REACHABLE)


def _ending(scene: Scene, done: Sequence[Done]) -> list[str]:
    """Check that the server is as it was last wished."""
    wishes = last_wishes(done)
    if not wishes:
        return []
    record = scene.record_file.read()
    wanted = record.wanted if record is not None else Wanted.STOPPED
    servers = scene.servers()
    status = scene.command("status", "--json")
    wrong = []
    if wanted not in wishes:
        wrong.append(f"the record wants it {wanted.value}, last wished was {[wish.value for wish in wishes]}")
    if wanted is Wanted.RUNNING:
        state = json.loads(status.output)
        if (status.code, state["state"], state["owner"]) != (0, "running", "ours") or len(servers) != 1:
            wrong.append(f"it should run: {status}, servers {servers}")
        elif record is not None and record.pid != servers[0]:
            wrong.append(f"process {record.pid} is recorded, {servers[0]} serves")
    elif status.code != _NOT_REACHABLE or servers:
        wrong.append(f"it should be stopped: {status}, servers {servers}")
    return wrong


def _unknown(scene: Scene) -> list[str]:
    """Check that a server that lives is known to be ours."""
    status = scene.command("status", "--json")
    servers = scene.servers()
    facts = json.loads(status.output)
    if servers and (facts["owner"] != "ours" or facts["pid"] != servers[0]):
        return [f"process {servers} is not known: {status}"]
    return []


def last_wishes(done: Sequence[Done]) -> set[Wanted]:
    """What may have been wished last: by each command after whose end no other one began."""
    changes = [one for one in done if one.deed in ("start", "stop", "restart")]
    latest_s = max((one.begin_s for one in changes), default=0.0)
    return {Wanted.STOPPED if one.deed == "stop" else Wanted.RUNNING for one in changes if one.end_s >= latest_s}


# --- the performer: a process of its own, which forks a command at a time, so that an import costs nothing ------------


def perform(story: Sequence[Mapping[str, object]]) -> None:
    """Act one story out; prints a line of JSON for each step that is done."""
    import launcher.cli.models
    import launcher.cli.pull
    import launcher.cli.run
    import launcher.cli.server
    import launcher.core
    import launcher.diagnostics  # noqa: F401 - all of these for the forks

    print("ready", flush=True)
    sys.stdin.read()
    for raw in story:
        step = Step(**raw)  # type: ignore[arg-type] # written by this file
        time.sleep(step.pause_s)
        print(json.dumps(asdict(_command(step))), flush=True)


def _command(step: Step) -> Done:
    arguments = ["models", "pull", _MODEL] if step.deed == "pull" else [step.deed]
    begin_s = time.monotonic()
    with tempfile.TemporaryFile() as output:
        pid = os.fork()
        if pid == 0:
            _become(arguments, output.fileno())
        hangs = threading.Event()

        def end_it() -> None:
            hangs.set()
            os.kill(pid, signal.SIGKILL)

        timers = [threading.Timer(_COMMAND_LIMIT_S, end_it)]
        if step.interrupt_s is not None:
            timers.append(threading.Timer(step.interrupt_s, os.kill, (pid, signal.SIGINT)))
        if step.kill_s is not None:
            timers.append(threading.Timer(step.kill_s, os.kill, (pid, signal.SIGKILL)))
        for timer in timers:
            timer.start()
        # Not reaped before the timers are off: they must not meet another process of this number.
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
        for timer in timers:
            timer.cancel()
            timer.join()
        _, status = os.waitpid(pid, 0)
        output.seek(0)
        text = output.read().decode(errors="replace") + (_HANGS if hangs.is_set() else "")
    return Done(step.deed, begin_s, time.monotonic(), os.waitstatus_to_exitcode(status), text)


def _become(arguments: list[str], output: int) -> None:
    """Turn this fork into one command."""
    code = 70
    try:
        os.setsid()
        os.dup2(output, 1)
        os.dup2(output, 2)
        from launcher.cli.main import main

        code = main(arguments)
    except BaseException:  # noqa: BLE001 - the traceback is what the check looks for
        import traceback

        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def main() -> int:
    """Perform seed after seed; returns 1 when anything did not hold."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--first", type=int, default=0, metavar="SEED")
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument("--steps", type=int, default=4, help="commands of each of the two")
    parser.add_argument("--kills", action="store_true", help="kill some commands in the middle")
    parser.add_argument("--perform", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.perform is not None:
        perform(json.loads(options.perform))
        return 0
    failed = 0
    began_s = time.monotonic()
    for seed in range(options.first, options.first + options.count):
        folder = Path(tempfile.mkdtemp(prefix=f"interleave-{seed}-"))
        wrong, done = run(seed, folder, options.steps, kills=options.kills)
        failed += bool(wrong)
        print(f"seed {seed}: {'; '.join(wrong) or 'all holds'}", flush=True)
        if wrong or options.count == 1:
            print("\n".join(f"    {one}" for one in done), flush=True)
        if wrong:
            print(f"    its files are in {folder}", flush=True)
        else:
            shutil.rmtree(folder)
    print(f"{options.count - failed} of {options.count} held, {time.monotonic() - began_s:.0f} s")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
