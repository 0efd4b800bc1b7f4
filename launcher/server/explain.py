"""Why a server ended, in plain sentences, from its exit and the last lines of its log.

Knows what Ollama and the system's loader print, nothing else; pure. One table, first match wins; each row cites where
its text was seen. What no row knows is quoted, not guessed.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from launcher.errors import sentence
from launcher.server.log import mask_secrets
from launcher.server.spawn import ProcessOutcome

_QUOTED_CHARACTERS = 300
_ERROR_LINE = re.compile(r"^(?:Error|panic|fatal error): (?P<text>.+)$")
# Warnings of a running server hold the same words as the line it ends with.
_LAST_WORDS = re.compile(
    r"^(?:Error|panic|fatal error): |error while loading shared libraries: |GLIBC\w*_[\d.]+' not found"
)


class Explanation(NamedTuple):
    title: str
    hint: str


@dataclass(frozen=True, slots=True)
class _Line:
    """``title`` and ``hint`` may name the groups of ``pattern``."""

    pattern: re.Pattern[str]
    title: str
    hint: str


# "Seen" means: on Ollama 0.33.0-rc2, Linux. Windows' texts are those of Go's net package and of winerror.h.
_LINES = (
    _Line(  # seen; the Windows text after "bind:" is WSAEADDRINUSE
        re.compile(r"listen tcp[46]? (?P<at>\S+): bind: (?:address already in use|Only one usage of each socket addr)"),
        "Another program already uses the address {at}.",
        "End that program, or choose another address in the settings, for example 127.0.0.1:11435.",
    ),
    _Line(  # seen; WSAEADDRNOTAVAIL
        re.compile(
            r"listen tcp[46]? (?P<at>\S+): bind: (?:cannot assign requested|can't assign requested|The requested) addr"
        ),
        "This computer does not have the address {at}.",
        "Choose an address of this computer in the settings; 127.0.0.1:11434 always works.",
    ),
    _Line(  # seen; WSAEACCES (a port that Windows has reserved)
        re.compile(r"listen tcp[46]? (?P<at>\S+): bind: (?:permission denied|An attempt was made to access a socket)"),
        "The system does not allow a server at {at}.",
        "Choose a port above 1023 in the settings, for example 11434.",
    ),
    _Line(  # seen
        re.compile(r"listen tcp[46]?: (?:lookup (?P<name>.+?)(?: on \S+)?: |address )"),
        "The server's address is not a valid one.",
        "Correct the address in the settings or in OLLAMA_HOST; 127.0.0.1:11434 always works.",
    ),
    _Line(  # seen as "$HOME is not defined"; %userprofile% is Go's text on Windows (os.UserHomeDir)
        re.compile(r"\$HOME is not defined|%userprofile% is not defined"),
        "Ollama cannot start because your home folder is not known.",
        "Set HOME (on Windows USERPROFILE) and start again.",
    ),
    _Line(  # the disk full of recordings and models; for the key and for the models folder alike (Go's ENOSPC text)
        re.compile(r"^Error: .*(?:no space left on device|There is not enough space on the disk)"),
        "Ollama cannot start because the disk is full.",
        "Free some space and start again.",
    ),
    _Line(  # seen
        re.compile(r"could not create directory mkdir (?P<path>.+?): "),
        "Ollama cannot create the folder {path}, where it keeps its key.",
        "Make your home folder writable and start again.",
    ),
    _Line(  # the key itself: auth.go and cmd.go, 0.33
        re.compile(r"open (?P<path>\S*id_ed25519): "),
        "Ollama cannot read or write its key {path}.",
        "Give this file to your user and start again.",
    ),
    _Line(  # seen, where OLLAMA_MODELS named a file
        re.compile(r"mkdir (?P<path>.+?): (?:not a directory|file exists|The system cannot find the path)"),
        "The models folder cannot be used: {path} is not a folder.",
        "Choose another models folder.",
    ),
    _Line(
        re.compile(r"mkdir (?P<path>.+?): read-only file system"),
        "The models folder cannot be created: {path} is on a disk that is read-only.",
        "Choose another models folder, or make that disk writable.",
    ),
    _Line(  # seen: not writable, and below a path that does not exist (an unplugged drive)
        re.compile(r"mkdir (?P<path>.+?): (?:permission denied|Access is denied)"),
        "The models folder cannot be used: Ollama may not create {path}.",
        "Check who may write there and whether its drive is connected, or choose another models folder.",
    ),
    _Line(  # the same folder, existing and closed to us (os.ReadDir and os.Rename texts of Go)
        re.compile(r"^Error: (?:open|rename|stat|lstat|readdirent) (?P<path>.+?): permission denied"),
        "Ollama may not use {path}.",
        "Check who may read and write there.",
    ),
    _Line(  # gin-contrib/cors panics on an origin without a scheme
        re.compile(r"panic: bad origin"),
        "Ollama does not understand the list of allowed origins.",
        "Correct OLLAMA_ORIGINS: each entry begins with http:// or https://, or is *.",
    ),
    _Line(  # seen
        re.compile(r"^Error: unknown (?:flag|command|shorthand flag)"),
        "This Ollama does not understand how the launcher starts it.",
        "Check which program is set as Ollama, and install a current version.",
    ),
    _Line(  # the dynamic loader, glibc
        re.compile(r"error while loading shared libraries: (?P<name>[^:]+)"),
        "Ollama cannot start because the library {name} is missing.",
        "Install Ollama again.",
    ),
    _Line(  # the dynamic loader, glibc
        re.compile(r"version [`'](?P<name>GLIBC\w*_[\d.]+)' not found"),
        "This Ollama needs a newer system ({name}).",
        "Update the system, or install an Ollama that fits it.",
    ),
    _Line(
        re.compile(r"fatal error: .*(?:out of memory|cannot allocate memory)"),
        "Ollama ended because the computer ran out of memory.",
        "Close other programs or use a smaller model.",
    ),
)

_SIGNALS = {
    "SIGKILL": Explanation(
        "Ollama was killed.",
        "If nobody did it by hand, the computer ran out of memory: use a smaller model or a shorter context.",
    ),
    "SIGTERM": Explanation("Ollama was told to end by another program.", "Start it again if you still need it."),
    "SIGINT": Explanation("Ollama was interrupted.", "Start it again if you still need it."),
    "SIGHUP": Explanation("Ollama ended because its session was closed.", "Start it again."),
    "SIGILL": Explanation(
        "Ollama uses instructions that this processor does not have.", "Install an Ollama that fits it."
    ),
    "SIGSEGV": Explanation("Ollama crashed.", "Start it again; if it comes back, update Ollama and look at its log."),
    "SIGBUS": Explanation("Ollama crashed while reading a file.", "Check the disk that the models are on."),
    "SIGABRT": Explanation("Ollama crashed.", "Start it again; if it comes back, update Ollama and look at its log."),
    "SIGPIPE": Explanation("Ollama ended because nobody read its output any more.", "Start it again."),
}

_CODES = {
    0xC0000135: Explanation("A library that Ollama needs is missing.", "Install Ollama again."),  # STATUS_DLL_NOT_FOUND
    0xC000007B: Explanation("This Ollama is made for another processor.", "Install the one that fits this computer."),
    0xC0000005: Explanation("Ollama crashed.", "Start it again; if it comes back, update Ollama and look at its log."),
    0xC000013A: Explanation("Ollama was interrupted.", "Start it again if you still need it."),  # STATUS_CONTROL_C_EXIT
    126: Explanation("The program that is set as Ollama cannot be run.", "Check which program is set as Ollama."),
    127: Explanation("The program that is set as Ollama is missing.", "Check which program is set as Ollama."),
}


def explain_exit(outcome: ProcessOutcome | None, log_tail: Sequence[str]) -> Explanation:
    """Say why the server ended and what to do. ``outcome`` is None where nobody could ask how it ended.

    ``log_tail`` holds the last lines of this run's log, oldest first. An exit that was asked for (code 0) and one by a
    signal are explained by themselves: older complaints in the log did not cause them.
    """
    if outcome is not None and outcome.exit_code == 0:
        return Explanation("Ollama was stopped.", "Start it again if you still need it.")
    if outcome is not None and outcome.signal is not None:
        return _of_signal(outcome, log_tail)
    for line in reversed(log_tail):
        if _LAST_WORDS.search(line) and (explanation := _of_line(line)) is not None:
            return explanation
    if outcome is not None and outcome.exit_code in _CODES:
        return _CODES[outcome.exit_code]
    return _quoted(outcome, log_tail)


def _of_signal(outcome: ProcessOutcome, log_tail: Sequence[str]) -> Explanation:
    # A Go program that runs out of memory says so before it aborts.
    for line in reversed(log_tail):
        if line.startswith("fatal error: ") and (explanation := _of_line(line)) is not None:
            return explanation
    unknown = Explanation(outcome.sentence("Ollama"), "Start it again, and look at its log.")
    return _SIGNALS.get(outcome.signal_name, unknown)


def _quoted(outcome: ProcessOutcome | None, log_tail: Sequence[str]) -> Explanation:
    ended = "Ollama ended by itself." if outcome is None else outcome.sentence("Ollama")
    for line in reversed(log_tail):
        found = _ERROR_LINE.match(line)
        if found:
            text = mask_secrets(found["text"]).strip()[:_QUOTED_CHARACTERS]
            return Explanation(
                sentence("{ended}: {text}", ended=ended.removesuffix("."), text=text),
                "Look at its log for what came before.",
            )
    return Explanation(ended, "Look at its log for the reason.")


def _of_line(line: str) -> Explanation | None:
    for row in _LINES:
        found = row.pattern.search(line)
        if found:
            parts = {name: mask_secrets(text or "") for name, text in found.groupdict().items()}
            return Explanation(row.title.format(**parts), row.hint.format(**parts))
    return None
