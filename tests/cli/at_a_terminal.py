"""A command on a terminal of its own, and a person who types."""

from __future__ import annotations

import os
import pty
import re
import select
import struct
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from tests.cli.launched import ROOT

CTRL_C, CTRL_D, ENTER, ALT_ENTER = "\x03", "\x04", "\r", "\x1b\r"
_TIMEOUT_S = 30.0
_PROMPT = b"\x1b[?2004h"
"""What prompt-toolkit writes when it begins to read a line: pasting is bracketed from now on."""
_ESCAPES = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07]*\x07|\x1b[=>]")


class AtATerminal:
    """One command that runs on a terminal of 120 columns."""

    def __init__(self, process: subprocess.Popen[bytes], leader: int) -> None:
        self.process = process
        self._leader = leader
        self.screen = b""
        """Everything that was written to the terminal."""
        self._prompts = 0

    @property
    def text(self) -> str:
        """What was written, without what steers a terminal."""
        return readable(self.screen)

    def type(self, text: str) -> None:
        os.write(self._leader, text.encode())

    def until(self, wanted: str, *, after: str = "") -> str:
        """Read until ``wanted`` is on the screen, later than the last ``after``; returns what stands between them."""
        deadline_s = time.monotonic() + _TIMEOUT_S
        while True:
            seen = self.text
            begin = seen.rfind(after) if after else 0
            if begin >= 0 and wanted in seen[begin + len(after) :]:
                return seen[begin + len(after) :].partition(wanted)[0]
            assert time.monotonic() < deadline_s, f"never there: {wanted!r} in {seen!r}"
            assert self._read(), f"ended without {wanted!r}: {seen!r}"

    def prompted(self) -> None:
        """Wait until a line can be typed after all that was written so far."""
        deadline_s = time.monotonic() + _TIMEOUT_S
        while self.screen.count(_PROMPT) <= self._prompts:
            assert time.monotonic() < deadline_s, f"no prompt: {self.text!r}"
            assert self._read(), f"ended without a prompt: {self.text!r}"
        self._prompts += 1

    def end(self) -> int:
        """Read until the command has ended; returns its exit code."""
        while self._read():
            pass
        return self.process.wait(_TIMEOUT_S)

    def _read(self) -> bool:
        ready, _, _ = select.select([self._leader], [], [], _TIMEOUT_S)
        assert ready, f"silent for {_TIMEOUT_S} s: {self.text!r}"
        try:
            chunk = os.read(self._leader, 65536)
        except OSError:  # Linux: the last process has closed it
            return False
        self.screen += chunk
        return bool(chunk)


def readable(screen: bytes) -> str:
    return _ESCAPES.sub("", screen.decode("utf-8", "replace")).replace("\r\n", "\n")


@contextmanager
def at_a_terminal(environment: Mapping[str, str], *arguments: str) -> Iterator[AtATerminal]:
    """Run a command on a terminal; it is killed if it still runs at the end."""
    import fcntl
    import termios

    leader, follower = pty.openpty()
    fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))
    process = subprocess.Popen(
        [sys.executable, "-m", "launcher", *arguments],
        cwd=ROOT,
        # Nobody answers here where the cursor is.
        env={**environment, "TERM": "xterm-256color", "PROMPT_TOOLKIT_NO_CPR": "1"},
        stdin=follower,
        stdout=follower,
        stderr=follower,
        start_new_session=True,
        preexec_fn=_take_terminal,
    )
    os.close(follower)
    try:
        yield AtATerminal(process, leader)
    finally:
        process.kill()
        process.wait()
        os.close(leader)


def _take_terminal() -> None:
    import fcntl
    import termios

    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
