"""The two outputs of the server: slog lines on stderr, access lines on stdout.

Written straight to the descriptors and unbuffered, as Go does: a full pipe stops the whole server, and a pipe that
nobody reads any more kills it by SIGPIPE (seen on 0.33.0-rc2). A launcher must live with both.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from typing import NoReturn

from launcher.demo.golang import format_duration, format_offset

_STDOUT, _STDERR = 1, 2


def write_stdout(text: str) -> None:
    """Write to stdout at once, or die as Go does where nobody reads."""
    _write(_STDOUT, text)


def write_stderr(text: str) -> None:
    """Write to stderr at once, or die as Go does where nobody reads."""
    _write(_STDERR, text)


def slog(level: str, source: str, message: str, **attributes: object) -> None:
    """Log one line in the format of Go's ``slog.TextHandler``."""
    now = time.time()
    parts = time.localtime(now)
    stamp = f"{time.strftime('%Y-%m-%dT%H:%M:%S', parts)}.{int(now * 1000) % 1000:03d}{format_offset(parts)}"
    pairs = [("time", stamp), ("level", level), ("source", source), ("msg", message)]
    pairs += [(name, str(value)) for name, value in attributes.items()]
    write_stderr(" ".join(f"{name}={_value(value)}" for name, value in pairs) + "\n")


def access(status: int, duration_s: float, client: str, method: str, path: str) -> None:
    """Log one answered request as gin does."""
    stamp = time.strftime("%Y/%m/%d - %H:%M:%S")
    duration = format_duration(int(duration_s * 1e9))
    write_stdout(f'[GIN] {stamp} | {status:3d} | {duration:>13} | {client:>15} | {method:<7}  "{path}"\n')


def _value(text: str) -> str:
    if text and all(character.isprintable() and character not in ' ="' for character in text):
        return text
    return json.dumps(text, ensure_ascii=False)


def _write(descriptor: int, text: str) -> None:
    rest = text.encode("utf-8", "surrogateescape")
    while rest:
        try:
            rest = rest[os.write(descriptor, rest) :]
        except BrokenPipeError:
            _die_of_broken_pipe()
        except OSError:
            return  # closed, or a full disk: Go drops the line too


def _die_of_broken_pipe() -> NoReturn:
    # Go re-raises SIGPIPE for descriptors 1 and 2 only (os/signal: "SIGPIPE").
    if sys.platform != "win32":
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGPIPE)
    os._exit(2)
