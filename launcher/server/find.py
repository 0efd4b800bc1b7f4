"""Where the ollama binary is, and which version it is.

Knows installation layouts and ``ollama --version``, no running server. Search order: the variable
``OLLAMA_LAUNCHER_OLLAMA``, the setting, PATH, the places where installers put it. A binary that was *named* and cannot
be run is an error with a sentence: to run another one instead would surprise more than it helps.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from launcher.errors import sentence
from launcher.server.errors import BinaryUnusable
from launcher.tasks import run_blocking

VARIABLE = "OLLAMA_LAUNCHER_OLLAMA"

Source = Literal["environment", "setting", "PATH", "known place", "simulated"]

_VERSION_LIMIT_S = 10.0
_OUTPUT_BYTES = 16 * 1024
_KILLER_POLL_S = 0.02
_CLIENT_VERSION = re.compile(r"client version is (\S+)")
_ANY_VERSION = re.compile(r"ollama version is (\S+)")


@dataclass(frozen=True, slots=True)
class Binary:
    path: Path
    source: Source
    first_arguments: tuple[str, ...] = ()
    """What makes an ``ollama`` of the program at ``path``; empty where it is one."""

    @property
    def command(self) -> tuple[str, ...]:
        """How it is run; arguments are added."""
        return (str(self.path), *self.first_arguments)


def find_binary(setting: str, environ: Mapping[str, str], places: Iterable[Path] | None = None) -> Binary | None:
    """Find the binary to run; None where there is none. Blocking.

    Raises :class:`BinaryUnusable` where the variable or the setting names one that cannot be run.
    """
    named = environ.get(VARIABLE, "").strip()
    if named:
        return Binary(_named(named, environ, f"the variable {VARIABLE}"), "environment")
    if setting.strip():
        return Binary(_named(setting.strip(), environ, "the setting"), "setting")
    found = shutil.which("ollama", path=environ.get("PATH", os.defpath))
    if found:
        return Binary(Path(found).absolute(), "PATH")
    for place in known_places(environ) if places is None else places:
        if _is_runnable(place):
            return Binary(place, "known place")
    return None


def known_places(environ: Mapping[str, str]) -> list[Path]:
    """List where installers put the binary (scripts/install.sh, app/ollama.iss, 0.33; Homebrew, snap)."""
    if sys.platform == "win32":
        places = []
        for variable, folder in (("LOCALAPPDATA", ("Programs", "Ollama")), ("PROGRAMFILES", ("Ollama",))):
            if environ.get(variable):
                places.append(Path(environ[variable], *folder, "ollama.exe"))
        return places
    home = environ.get("HOME", "")
    own = [Path(home, ".local", "bin", "ollama")] if home.startswith("/") else []
    if sys.platform == "darwin":
        inside = Path("Applications", "Ollama.app", "Contents", "Resources", "ollama")
        apps = [Path("/") / inside, *([Path(home) / inside] if home.startswith("/") else [])]
        return [*apps, Path("/usr/local/bin/ollama"), Path("/opt/homebrew/bin/ollama"), *own]
    folders = ("/usr/local/bin", "/usr/bin", "/bin", "/opt/ollama/bin", "/snap/bin", "/home/linuxbrew/.linuxbrew/bin")
    return [*(Path(folder, "ollama") for folder in folders), *own]


async def binary_version(path: Path, environ: Mapping[str, str], limit_s: float = _VERSION_LIMIT_S) -> str | None:
    """Ask a binary for its own version, e.g. ``0.33.0``; None where it does not say one in time.

    The binary asks a server, too, without any limit of its own; so it is pointed at a port where nobody listens.
    """
    # Longer than the work's own limit: that one also ends the process.
    try:
        output = await run_blocking(_version_output, path, dict(environ), limit_s, timeout_s=limit_s + 5)
    except (OSError, TimeoutError, ValueError):
        return None
    return parse_version(output)


def parse_version(output: str) -> str | None:
    """Read the output of ``ollama --version``: a client line tells the binary's own version, if there is one."""
    found = _CLIENT_VERSION.search(output) or _ANY_VERSION.search(output)
    return found[1] if found else None


def _named(text: str, environ: Mapping[str, str], where: str) -> Path:
    if os.sep not in text and not (os.altsep and os.altsep in text) and not text.startswith("~"):
        found = shutil.which(text, path=environ.get("PATH", os.defpath))
        if found:
            return Path(found).absolute()
    path = Path(_expanded(text, environ)).absolute()
    if _is_runnable(path):
        return path
    trouble, hint = _trouble_with(path)
    raise BinaryUnusable(
        sentence("{path}, which {where} names, {trouble}.", path=path, where=where, trouble=trouble),
        detail=f"{text!r} from {where}",
        hint=hint,
    )


def _trouble_with(path: Path) -> tuple[str, str]:
    try:
        mode = path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return "does not exist", "Correct the path, or remove it so that Ollama is searched for."
    except (OSError, ValueError) as error:
        return "cannot be reached", sentence(
            "Check who may look into its folder ({error}), or name another program.", error=error
        )
    if stat.S_ISDIR(mode):
        return "is a folder", sentence("Name the program itself, for example {program}.", program=path / "ollama")
    return "may not be run", "Make the file executable, or name another one."


def _expanded(text: str, environ: Mapping[str, str]) -> str:
    # Not os.path.expanduser: it would look at our own environment.
    home = environ.get("USERPROFILE" if sys.platform == "win32" else "HOME", "")
    if home and (text == "~" or text.startswith(("~/", f"~{os.sep}"))):
        return home + text[1:]
    return text


def _is_runnable(path: Path) -> bool:
    try:
        return path.is_file() and os.access(path, os.X_OK)
    except (OSError, ValueError):  # a closed folder, an impossible name
        return False


def _version_output(path: Path, environ: dict[str, str], limit_s: float, cancel: threading.Event) -> str:
    # Bound and not listening: a connection is refused at once, and nobody else can take the port meanwhile.
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        environ["OLLAMA_HOST"] = f"127.0.0.1:{closed.getsockname()[1]}"
        flags = 0
        if sys.platform == "win32":
            flags = subprocess.CREATE_NO_WINDOW
        process = subprocess.Popen(
            [str(path), "--version"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=environ,
            start_new_session=True,
            creationflags=flags,
        )
        over = threading.Event()
        limit = threading.Thread(target=_end_in_time, args=(process, limit_s, over, cancel), daemon=True)
        limit.start()
        try:
            output = b""
            if process.stdout is not None:
                with process.stdout:
                    output = process.stdout.read(_OUTPUT_BYTES)
            if len(output) == _OUTPUT_BYTES:  # no version is that long: another program
                _kill(process)
            process.wait()
        finally:
            over.set()
            limit.join()
    return output.decode(errors="replace")


def _end_in_time(
    process: subprocess.Popen[bytes], limit_s: float, over: threading.Event, cancel: threading.Event
) -> None:
    deadline_s = time.monotonic() + limit_s
    while not over.wait(_KILLER_POLL_S):
        if cancel.is_set() or time.monotonic() >= deadline_s:
            _kill(process)
            return


def _kill(process: subprocess.Popen[bytes]) -> None:
    with suppress(OSError):
        if sys.platform == "win32":
            process.kill()
        elif process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
