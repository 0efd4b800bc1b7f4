"""Each recorded end is explained; what nobody knows is quoted."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest

from launcher.server.explain import explain_exit
from launcher.server.spawn import ProcessOutcome

RECORDINGS = Path(__file__).parents[1] / "recordings" / "serve"

_TITLES = {
    "address-not-mine": "This computer does not have the address 192.0.2.7:11500.",
    "bad-flag": "This Ollama does not understand how the launcher starts it.",
    "bad-variables": "Ollama was stopped.",
    "corrupt-manifest": "Ollama was stopped.",
    "home-not-writable": "Ollama cannot create the folder /home/user/ro/.ollama, where it keeps its key.",
    "host-bad-port": "Ollama was stopped.",
    "host-garbage": "The server's address is not a valid one.",
    "list-no-server": "Ollama ended with exit code 1: could not connect to ollama server, "
    "run 'ollama serve' to start it",
    "models-is-a-file": "The models folder cannot be used: /home/user/mid.gguf is not a folder.",
    "models-no-parent": "The models folder cannot be used: Ollama may not create /nonexistent.",
    "models-not-writable": "The models folder cannot be used: Ollama may not create /home/user/ro/models.",
    "no-home": "Ollama cannot start because your home folder is not known.",
    "normal-sighup": "Ollama ended because its session was closed.",
    "normal-sigint": "Ollama was stopped.",
    "normal-sigkill": "Ollama was killed.",
    "normal-sigterm": "Ollama was stopped.",
    "origins-star": "Ollama was stopped.",
    "port-in-use": "Another program already uses the address 127.0.0.1:11500.",
    "port-privileged": "The system does not allow a server at 127.0.0.1:80.",
    "proxy-set": "Ollama was stopped.",
    "unknown-command": "This Ollama does not understand how the launcher starts it.",
    "version-no-server": "Ollama was stopped.",
}


def _outcome(code: int) -> ProcessOutcome:
    return ProcessOutcome(signal=-code) if code < 0 else ProcessOutcome(exit_code=code)


def test_every_recorded_end_is_expected() -> None:
    assert {path.stem for path in RECORDINGS.glob("*.json")} - {"timings"} == set(_TITLES)


@pytest.mark.parametrize("name", sorted(_TITLES))
def test_a_recorded_end_is_explained(name: str) -> None:
    recorded = json.loads((RECORDINGS / f"{name}.json").read_text())
    lines = (recorded["stdout"] + recorded["stderr"]).splitlines()[-40:]
    title, hint = explain_exit(_outcome(recorded["exit_code"]), lines)
    assert title == _TITLES[name]
    assert hint.endswith(".")


@pytest.mark.parametrize(
    ("outcome", "lines", "title"),
    [
        pytest.param(
            ProcessOutcome(exit_code=1),
            [
                "Error: listen tcp 127.0.0.1:11434: bind: Only one usage of each socket address "
                "(protocol/network address/port) is normally permitted."
            ],
            "Another program already uses the address 127.0.0.1:11434.",
            id="port in use, Windows",
        ),
        pytest.param(
            ProcessOutcome(exit_code=1),
            ["Error: listen tcp6 [::1]:11434: bind: address already in use"],
            "Another program already uses the address [::1]:11434.",
            id="port in use, IPv6",
        ),
        pytest.param(
            ProcessOutcome(exit_code=1),
            ["Error: write /m/blobs/x: no space left on device"],
            "Ollama cannot start because the disk is full.",
            id="disk full",
        ),
        pytest.param(
            ProcessOutcome(exit_code=1),
            ["Error: could not create directory mkdir /home/me/.ollama: no space left on device"],
            "Ollama cannot start because the disk is full.",
            id="disk full at the key",
        ),
        pytest.param(
            ProcessOutcome(exit_code=1),
            ["Error: mkdir /mnt/m: read-only file system: ensure path elements are traversable"],
            "The models folder cannot be created: /mnt/m is on a disk that is read-only.",
            id="read-only disk",
        ),
        pytest.param(
            ProcessOutcome(exit_code=127),
            ["/opt/ollama: error while loading shared libraries: libcudart.so.12: cannot open shared object file"],
            "Ollama cannot start because the library libcudart.so.12 is missing.",
            id="library missing",
        ),
        pytest.param(
            ProcessOutcome(exit_code=1),
            ["/opt/ollama: /lib/libc.so.6: version `GLIBC_2.38' not found (required by /opt/ollama)"],
            "This Ollama needs a newer system (GLIBC_2.38).",
            id="system too old",
        ),
        pytest.param(
            ProcessOutcome(exit_code=2),
            ["panic: bad origin: origins must contain '*' or include http://", "", "goroutine 1 [running]:"],
            "Ollama does not understand the list of allowed origins.",
            id="bad origin",
        ),
        pytest.param(
            ProcessOutcome(exit_code=2),
            ["fatal error: runtime: cannot allocate memory", "runtime stack:"],
            "Ollama ended because the computer ran out of memory.",
            id="out of memory, by exit",
        ),
        pytest.param(
            ProcessOutcome(signal=signal.SIGABRT),
            ["fatal error: runtime: out of memory", "runtime stack:"],
            "Ollama ended because the computer ran out of memory.",
            id="out of memory, by signal",
        ),
        pytest.param(ProcessOutcome(signal=signal.SIGSEGV), [], "Ollama crashed.", id="crash"),
        pytest.param(ProcessOutcome(signal=50), [], "Ollama was ended by signal 50.", id="unknown signal"),
        pytest.param(
            ProcessOutcome(exit_code=0xC0000135), [], "A library that Ollama needs is missing.", id="library, Windows"
        ),
        pytest.param(ProcessOutcome(exit_code=7), ["hello"], "Ollama ended with exit code 7.", id="nothing known"),
        pytest.param(None, [], "Ollama ended by itself.", id="nobody could ask"),
        pytest.param(
            None,
            ["Error: listen tcp 127.0.0.1:1: bind: permission denied"],
            "The system does not allow a server at 127.0.0.1:1.",
            id="nobody could ask, but the log says",
        ),
        pytest.param(
            ProcessOutcome(exit_code=1),
            ["Error: something new at http://me:pw@host/"],
            "Ollama ended with exit code 1: something new at http://***@host/",
            id="quoted without secrets",
        ),
        pytest.param(
            ProcessOutcome(exit_code=1),
            [
                'time=2026 level=WARN msg="mkdir /x: permission denied"',
                "Error: something new",
            ],
            "Ollama ended with exit code 1: something new",
            id="a warning is not the reason",
        ),
        pytest.param(
            ProcessOutcome(exit_code=0),
            ["Error: listen tcp 127.0.0.1:1: bind: permission denied"],
            "Ollama was stopped.",
            id="a normal end needs no reason",
        ),
    ],
)
def test_other_ends_are_explained(outcome: ProcessOutcome | None, lines: list[str], title: str) -> None:
    explanation = explain_exit(outcome, lines)
    assert explanation.title == title
    assert explanation.hint.endswith(".")


def test_a_quoted_line_is_bounded() -> None:
    assert len(explain_exit(ProcessOutcome(exit_code=1), ["Error: " + "x" * 10_000]).title) < 400


def test_braces_in_a_path_are_harmless() -> None:
    title, _ = explain_exit(
        ProcessOutcome(exit_code=1), ["Error: mkdir /m/{0}{x}: permission denied: ensure path elements are traversable"]
    )
    assert "/m/{0}{x}" in title
