"""The command line of the simulated ``ollama``: serve, --version, and what the real one says to anything else."""

from __future__ import annotations

import json
import os
import signal
import socket
from collections.abc import Mapping, Sequence

from launcher.demo import log

_HELP = """A simulated Ollama server

Usage:
  ollama [flags]
  ollama [command]

Available Commands:
  serve       Start the simulated server

Flags:
  -h, --help      help for ollama
  -v, --version   Show version information
"""


def main(arguments: Sequence[str]) -> int:
    """Run one command and give its exit code."""
    # Ctrl-C before the server listens to signals ends a Go program, without a word.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    command, rest = (arguments[0], list(arguments[1:])) if arguments else ("--help", [])
    if command in ("serve", "start"):
        return _serve(rest)
    if command == "runner":
        from launcher.demo.runners import stay

        stay()
    if command in ("-v", "--version"):
        return _print_version(os.environ)
    if command in ("-h", "--help", "help"):
        log.write_stdout(_HELP)
        return 0
    if command.startswith("-"):
        return _refuse(f"unknown {_flag_kind(command)}: {command}")
    return _refuse(f'unknown command "{command}" for "ollama"')


def _serve(rest: list[str]) -> int:
    if rest and rest[0] in ("-h", "--help"):
        log.write_stdout("Start the simulated server\n\nUsage:\n  ollama serve [flags]\n")
        return 0
    if rest and rest[0].startswith("-"):
        return _refuse(f"unknown {_flag_kind(rest[0])}: {rest[0]}")
    if rest:
        return _refuse(f'unknown command "{rest[0]}" for "ollama serve"')
    from launcher.demo.server import serve

    return serve(os.environ)


def _flag_kind(flag: str) -> str:
    return "flag" if flag.startswith("--") else "shorthand flag"


def _refuse(text: str) -> int:
    log.write_stderr(f"Error: {text}\n")
    return 1


def _print_version(environ: Mapping[str, str]) -> int:
    """Tell the version of a server that answers, and ours where it differs. Waits without a limit, as the real one."""
    from launcher.demo.script import InvalidScript
    from launcher.demo.script_file import load_script

    try:
        own = load_script(environ).version
    except InvalidScript as error:
        return _refuse(str(error))
    running = _running_version(environ)
    if running is None:
        log.write_stdout("Warning: could not connect to a running Ollama instance\n")
    else:
        log.write_stdout(f"ollama version is {running}\n")
    if running != own:
        log.write_stdout(f"Warning: client version is {own}\n")
    return 0


def _running_version(environ: Mapping[str, str]) -> str | None:
    from launcher.domain.address import Address, InvalidAddress

    try:
        target = Address.parse(environ.get("OLLAMA_HOST", "")).connectable
        with socket.create_connection((target.host, target.port)) as connection:
            connection.sendall(b"GET /api/version HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            received = b""
            while data := connection.recv(65536):
                received += data
        body = received.partition(b"\r\n\r\n")[2]
        return str(json.loads(body)["version"])
    except (InvalidAddress, OSError, ValueError, KeyError, TypeError):
        return None
