"""Whether a process is the one that was recorded, and whether a group is still made of ours only.

A process number is used again; what identifies a process is boot, number and start together. Knows the system's
process table and a :class:`.record.ServerRecord`, signals nothing. All blocking, a few milliseconds each; on Linux
read from ``/proc`` directly (a whole table costs 4 ms, psutil's import alone costs 18).
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from launcher.server.record import TOKEN_VARIABLE, ServerRecord

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_DELETED = " (deleted)"
_TIME_PREFIX = "time:"
# A boot time that is computed from the clock moves when the clock is set.
_BOOT_TIME_SLACK_S = 60
_MICROSECONDS = 1_000_000
_SERVE_WORDS = ("serve", "start")
_OLLAMA_NAMES = ("ollama", "ollama.exe")
_DEMO_MODULES = ("launcher.demo", "launcher")
_DEMO_NAMES = ("ollama-launcher", "ollama-launcher.exe")
_WORDS_LOOKED_AT = 6


@dataclass(frozen=True, slots=True)
class Process:
    """One row of the process table."""

    pid: int
    parent: int
    group: int
    session: int
    start: int
    dead: bool
    """A zombie: it has ended, only nobody has asked how. Where nobody reaps, it stays so for ever."""


@dataclass(frozen=True, slots=True)
class Member:
    """A live process of a group; ``exe`` is None where the system does not tell (another user's)."""

    pid: int
    start: int
    exe: str | None


@dataclass(frozen=True, slots=True)
class GroupCheck:
    """Who lives in a recorded group. Zombies are not counted."""

    members: tuple[Member, ...]
    """Checked: ours."""
    strangers: tuple[Member, ...]
    """In the group, and not known to be ours."""
    leader_alive: bool
    """The recorded process itself lives."""

    @property
    def gone(self) -> bool:
        """Nothing of ours is left."""
        return not self.members

    @property
    def may_signal(self) -> bool:
        """The whole group may be signalled."""
        return bool(self.members) and not self.strangers


_NOBODY = GroupCheck((), (), False)


def boot_id() -> str:
    """Tell a text that differs after each boot of the machine."""
    if sys.platform == "linux":
        try:
            return _BOOT_ID.read_text(encoding="ascii").strip()
        except OSError:
            pass
    elif sys.platform == "darwin":
        session = _darwin_boot_session()
        if session:
            return session
    import psutil

    return f"{_TIME_PREFIX}{round(psutil.boot_time())}"


def same_boot(recorded: str, current: str) -> bool:
    """Tell whether two answers of :func:`boot_id` speak of one boot."""
    if recorded.startswith(_TIME_PREFIX) and current.startswith(_TIME_PREFIX):
        try:
            apart_s = int(recorded.removeprefix(_TIME_PREFIX)) - int(current.removeprefix(_TIME_PREFIX))
        except ValueError:
            return False
        return abs(apart_s) <= _BOOT_TIME_SLACK_S
    return bool(recorded) and recorded == current


def start_of(pid: int) -> int | None:
    """Tell when a process started, as a number that only compares: None when there is no such process.

    Linux: clock ticks since boot (field 22 of ``/proc/<pid>/stat``); elsewhere microseconds since the epoch.
    """
    process = read_process(pid)
    return None if process is None else process.start


def completed(record: ServerRecord, current_boot: str | None = None) -> ServerRecord:
    """Fill in the process of a record whose writer was killed between the start and the writing of its number.

    It is known by the token in its environment, which its helpers inherit; their session leads to it even when it has
    ended. A record that has its process, or whose process never came to be, is returned as it is.
    """
    if record.pid is not None or not record.token or not same_boot(record.boot_id, current_boot or boot_id()):
        return record
    found = [process for process in processes() if not process.dead and _has_token(process.pid, record.token)]
    if not found:
        return record
    first = min(found, key=lambda process: (process.start, process.pid))
    leader = first.pid if sys.platform == "win32" else first.session
    return replace(record, pid=leader, group=leader, start=first.start, exes=observed_exes(leader, record.exes))


def wall_time(start: int) -> float:
    """Turn an answer of :func:`start_of` into seconds since the epoch, as the clock says it now."""
    if sys.platform == "linux":
        up_s = time.clock_gettime(time.CLOCK_BOOTTIME)
        return time.time() - up_s + start / os.sysconf("SC_CLK_TCK")
    return start / _MICROSECONDS


def is_alive(pid: int, start: int) -> bool:
    """Tell whether the process with this number *and* this start runs; one that is gone or a zombie is dead."""
    process = read_process(pid)
    return process is not None and process.start == start and not process.dead


def is_recorded_alive(record: ServerRecord, current_boot: str | None = None) -> bool:
    """Tell whether the recorded process itself lives."""
    if record.pid is None or record.start is None:
        return False
    return same_boot(record.boot_id, current_boot or boot_id()) and is_alive(record.pid, record.start)


def executable_of(pid: int) -> str | None:
    """Tell the file that a process runs, without the mark that Linux adds once it was replaced on disk."""
    if sys.platform == "linux":
        try:
            exe = os.readlink(f"/proc/{pid}/exe")
        except OSError:
            return None
        return exe.removesuffix(_DELETED)
    import psutil

    try:
        return os.path.realpath(psutil.Process(pid).exe()) or None
    except (psutil.Error, OSError):
        return None


def list_group(group: int) -> tuple[Process, ...]:
    """List who is in a process group or in the session of that number, zombies included.

    Windows has neither: there it is the process of that number and all that descend from it, which its end does not
    change, for a child keeps the number of its dead parent.
    """
    if sys.platform == "win32":
        return _descendants(group)
    return tuple(process for process in processes() if group in (process.group, process.session))


def check_group(record: ServerRecord, current_boot: str | None = None) -> GroupCheck:
    """List who lives in the recorded group, and tell ours from strangers.

    A process is ours when all of this holds: the boot is the recorded one; its session is the recorded group; it
    started no earlier than the recorded process; its executable is one of the recorded ones or lies where the
    engine keeps its helpers. The recorded process itself, known by number and exact start, needs no more: it may have
    replaced its program. A number that belongs to another process now proves that the recorded group has ended:
    the system does not give it away while the group has a member.
    """
    if record.group is None or record.start is None or not same_boot(record.boot_id, current_boot or boot_id()):
        return _NOBODY
    living = [process for process in list_group(record.group) if not process.dead]
    leader = next((process for process in living if process.pid == record.pid), None)
    leader_alive = leader is not None and leader.start == record.start
    if leader is not None and not leader_alive:
        return _NOBODY
    known = [_comparable(exe) for exe in record.exes]
    folders = _helper_folders(record.exes)
    members: list[Member] = []
    strangers: list[Member] = []
    for process in living:
        exe = executable_of(process.pid)
        member = Member(process.pid, process.start, exe)
        is_leader = leader_alive and process.pid == record.pid
        if exe is None and not _still_there(process):
            continue  # ended between the two looks
        is_related = process.session == record.group and process.start >= record.start
        is_known = exe is not None and (_comparable(exe) in known or _is_helper(exe, folders))
        if is_leader or (is_related and (is_known or _is_leaving(process.pid))):
            members.append(member)
        else:
            strangers.append(member)
    return GroupCheck(tuple(members), tuple(strangers), leader_alive)


def observed_exes(pid: int, known: tuple[str, ...] = ()) -> tuple[str, ...]:
    """Add to ``known`` what the process runs now.

    A wrapper script may replace itself by another program after it was spawned; looked at again when the server
    answers, the record then knows what its children will run, too.
    """
    exe = executable_of(pid)
    return known if exe is None or exe in known else (*known, exe)


def family_exes(record: ServerRecord) -> tuple[str, ...]:
    """Add to the recorded executables what the live process and its descendants in its group run now.

    A wrapper script that does not replace itself stays, and starts the server as its child. Helpers of the engine are
    known by where they lie and are not listed.
    """
    if record.pid is None or record.group is None:
        return record.exes
    known = observed_exes(record.pid, record.exes)
    members = {process.pid: process for process in list_group(record.group) if not process.dead}
    for process in members.values():
        if process.session != record.group or not _descends(process, record.pid, members):
            continue
        exe = executable_of(process.pid)
        if exe is not None and exe not in known and not _is_helper(exe, _helper_folders(known)):
            known = (*known, exe)
    return known


def _descends(process: Process, ancestor: int, members: Mapping[int, Process]) -> bool:
    seen: set[int] = set()
    while process.pid not in seen:
        seen.add(process.pid)
        if process.parent == ancestor:
            return True
        parent = members.get(process.parent)
        if parent is None:
            return False
        process = parent
    return False


def command_of(pid: int) -> list[str]:
    """Tell the command line of a process; empty where the system does not."""
    if sys.platform == "linux":
        try:
            raw = Path(f"/proc/{pid}/cmdline").read_bytes()
        except OSError:
            return []
        return [os.fsdecode(word) for word in raw.removesuffix(b"\0").split(b"\0")] if raw else []
    import psutil

    try:
        return psutil.Process(pid).cmdline()
    except (psutil.Error, OSError):
        return []


def environ_of(pid: int) -> Mapping[str, str] | None:
    """Tell the environment that a process was started with; None where the system does not (another user's)."""
    if sys.platform == "linux":
        try:
            raw = Path(f"/proc/{pid}/environ").read_bytes()
        except OSError:
            return None
        pairs = (entry.partition(b"=") for entry in raw.split(b"\0") if b"=" in entry)
        return {os.fsdecode(name): os.fsdecode(value) for name, _, value in pairs}
    import psutil

    try:
        return psutil.Process(pid).environ()
    except (psutil.Error, OSError):
        return None


def serves_ollama(words: Sequence[str]) -> bool:
    """Tell whether a command line is ``ollama serve``, by an interpreter or not, or that of the simulated server."""
    looked_at = list(words[:_WORDS_LOOKED_AT])
    for place, word in enumerate(looked_at[:-1]):
        following = looked_at[place + 1 :]
        name = os.path.basename(word).lower()
        if name in _OLLAMA_NAMES and following[0] in _SERVE_WORDS:
            return True
        if name in _DEMO_NAMES and following[:2] == ["demo", "serve"]:
            return True
        if word == "-m" and following[0] in _DEMO_MODULES:
            wanted = ["serve"] if following[0] == "launcher.demo" else ["demo", "serve"]
            return following[1 : 1 + len(wanted)] == wanted
    return False


def serves_simulated(words: Sequence[str]) -> bool:
    """Tell whether a command line that serves is that of the simulated server, as far as it says so."""
    names = {os.path.basename(word).lower() for word in words[:_WORDS_LOOKED_AT]}
    return serves_ollama(words) and not names.intersection(_OLLAMA_NAMES)


def processes() -> Iterator[Process]:
    """Walk through the process table; who ends meanwhile is left out."""
    if sys.platform == "linux":
        for name in os.listdir("/proc"):
            if name.isdigit() and (process := read_process(int(name))) is not None:
                yield process
        return
    import psutil

    for pid in psutil.pids():
        if (process := read_process(pid)) is not None:
            yield process


def read_process(pid: int) -> Process | None:
    """Look one process up; None when there is none (or the system does not tell)."""
    if sys.platform == "linux":
        try:
            with open(f"/proc/{pid}/stat", "rb") as file:
                text = file.read()
        except OSError:
            return None
        # The name in parentheses may hold spaces and parentheses itself (proc(5)); fields count from 3 after it.
        fields = text[text.rfind(b")") + 2 :].split()
        if len(fields) < 20:
            return None
        return Process(
            pid=pid,
            parent=int(fields[1]),
            group=int(fields[2]),
            session=int(fields[3]),
            start=int(fields[19]),
            dead=fields[0] in (b"Z", b"X", b"x"),
        )
    import psutil

    try:
        entry = psutil.Process(pid)
        with entry.oneshot():
            start = round(entry.create_time() * _MICROSECONDS)
            parent = entry.ppid()
            dead = entry.status() in (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD)
        if sys.platform == "win32":
            group = session = pid
        else:
            group, session = os.getpgid(pid), os.getsid(pid)
    except (psutil.Error, OSError):
        return None
    return Process(pid=pid, parent=parent, group=group, session=session, start=start, dead=dead)


def _has_token(pid: int, token: str) -> bool:
    return (environ_of(pid) or {}).get(TOKEN_VARIABLE) == token


def _still_there(process: Process) -> bool:
    now = read_process(process.pid)
    return now is not None and now.start == process.start and not now.dead


def _is_leaving(pid: int) -> bool:
    """Tell whether a process is on its way out: it runs no file any more, and is no zombie yet.

    That may take a while (a graphics card's memory is given back). A signal can do it no harm; to overlook it would be
    to say too early that its group is gone.
    """
    if sys.platform != "linux":
        return False
    try:
        os.readlink(f"/proc/{pid}/exe")
    except FileNotFoundError:
        return True
    except OSError:  # another user's
        return False
    return False


def _descendants(root: int) -> tuple[Process, ...]:
    """Walk down from a process that may have ended; ``session`` of all found is made ``root``."""
    children: dict[int, list[Process]] = {}
    found: list[Process] = []
    for process in processes():
        children.setdefault(process.parent, []).append(process)
        if process.pid == root:
            found.append(process)
    oldest = {process.pid: process.start for process in found}
    queue = [root]
    while queue:
        parent = queue.pop()
        for child in children.get(parent, ()):
            # A number used again makes strangers look like children; they are older than their "parent".
            if child.pid != root and child.start >= oldest.get(parent, 0):
                oldest[child.pid] = child.start
                found.append(child)
                queue.append(child.pid)
    return tuple(
        Process(
            pid=process.pid,
            parent=process.parent,
            group=root,
            session=root,
            start=process.start,
            dead=process.dead,
        )
        for process in found
    )


def _helper_folders(exes: tuple[str, ...]) -> list[str]:
    """Tell where the engine looks for ``llama-server`` and its like (ml/path.go, llm/llama_binary.go, 0.33)."""
    folders: list[str] = []
    for exe in exes:
        home = os.path.dirname(os.path.realpath(exe))
        folders.append(_comparable(os.path.join(home, "..", "lib", "ollama")))
        folders.append(_comparable(os.path.join(home, "lib", "ollama")))
        if sys.platform == "darwin":
            folders.append(_comparable(home))
    return folders


def _is_helper(exe: str, folders: list[str]) -> bool:
    path = _comparable(exe)
    for folder in folders:
        if not path.startswith(folder + os.sep):
            continue
        # On macOS the helpers lie beside the binary, which may be a folder of many programs.
        flat = sys.platform == "darwin" and not folder.endswith(os.path.join("lib", "ollama"))
        if not flat or os.path.basename(path).startswith(("llama-", "ollama")):
            return True
    return False


def _comparable(path: str) -> str:
    return os.path.normcase(os.path.realpath(path))


def _darwin_boot_session() -> str:
    if sys.platform != "darwin":
        return ""
    import ctypes

    try:
        libc = ctypes.CDLL(None)
        size = ctypes.c_size_t(64)
        text = ctypes.create_string_buffer(size.value)
        if libc.sysctlbyname(b"kern.bootsessionuuid", text, ctypes.byref(size), None, ctypes.c_size_t(0)) != 0:
            return ""
        return text.value.decode("ascii", errors="replace")
    except (OSError, AttributeError):
        return ""
