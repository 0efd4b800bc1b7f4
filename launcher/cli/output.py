"""Where a command's words go: facts to standard output, remarks and errors to standard error.

A reader that has gone (``… | head -1``) is told by :class:`OutputGone`, so that a command can end in order.

Names and texts come from servers, which may be anybody's: nothing of them that steers a terminal, or turns the order of
what is read, gets out of here. What colours a word is added after that.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from typing import TextIO

import click

from launcher.errors import LauncherError

# C0 but tab and newline, DEL and C1 (escape sequences begin with one of them), and what Unicode calls Bidi_Control.
_STEERING = re.compile("[\\x00-\\x08\\x0b-\\x1f\\x7f-\\x9f\\u061c\\u200e\\u200f\\u202a-\\u202e\\u2066-\\u2069]")
_BREAKING = re.compile(r"[\t\n]")
_REPLACEMENT = "\ufffd"


class OutputGone(Exception):
    """Nobody reads standard output any more."""


class OutputFailed(LauncherError):
    """Standard output cannot be written to."""


def output_failed(error: OSError | ValueError) -> OutputFailed:
    """Put into words why a stream cannot be written to."""
    why = (isinstance(error, OSError) and error.strerror) or str(error)
    return OutputFailed(
        f"The output cannot be written: {why}.",
        detail=str(error),
        hint="Make room there, or send it somewhere else.",
    )


def prepare() -> None:
    """Make sure that no character can break a command: a terminal that lacks it shows a replacement."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(AttributeError, ValueError):
            stream.reconfigure(errors="replace")  # type: ignore[union-attr]  # not every stream has it: suppressed


def harmless(text: str) -> str:
    """Replace what a terminal would obey, and what lets a text be read in another order than it is written."""
    return _STEERING.sub(_REPLACEMENT, text.replace("\r\n", "\n"))


def say(text: str) -> None:
    """Tell a fact to a person."""
    _write(sys.stdout, harmless(text))


def flow(text: str) -> None:
    """Tell a part of a fact as it comes: no line is ended."""
    _write(sys.stdout, harmless(text), end="")


def fact(value: object) -> None:
    """Tell a fact to a program, as one JSON document on one line."""
    document = json.dumps(value, ensure_ascii=False)
    # JSON itself escapes less than a terminal obeys. Such characters can only be within its strings.
    _write(sys.stdout, _STEERING.sub(lambda found: f"\\u{ord(found[0]):04x}", document))


def remark(text: str) -> None:
    """Say something that is not the answer: what is awaited, what else is to know."""
    with contextlib.suppress(OutputGone, OutputFailed):
        _write(sys.stderr, harmless(text))


def ask(question: str) -> None:
    """Ask a person; the answer is typed after it."""
    with contextlib.suppress(OutputGone, OutputFailed):
        _write(sys.stderr, harmless(question), end="")


def complain_of(title: str, hint: str) -> None:
    """Tell what went wrong and what to do about it."""
    label = click.style("Error: ", fg="red") if _is_terminal(sys.stderr) else "Error: "
    with contextlib.suppress(OutputGone, OutputFailed):
        _write(sys.stderr, label + harmless(title))
    if hint:
        remark(hint)


@contextlib.contextmanager
def told_when_broken() -> Iterator[None]:
    """Turn what others raise who write to our output into OutputGone and OutputFailed."""
    try:
        yield
    except BrokenPipeError as error:
        raise OutputGone from error
    except OSError as error:
        raise output_failed(error) from error


def on_terminal() -> bool:
    """Whether a person looks at standard output, on a terminal that can move its cursor."""
    return _is_terminal(sys.stdout) and os.environ.get("TERM", "") != "dumb"


def somebody_answers() -> bool:
    """Whether a question that is asked on standard error can be answered: a person is at a terminal."""
    return _is_terminal(sys.stdin) and _is_terminal(sys.stderr)


def table(heads: Sequence[str], rows: Iterable[Sequence[str]], *, right: Iterable[int] = ()) -> list[str]:
    """Align columns by spaces; those in ``right`` to the right."""
    lines = [list(heads), *([_BREAKING.sub(_REPLACEMENT, harmless(text)) for text in row] for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(heads))]
    to_right = frozenset(right)
    return [
        "  ".join(
            text.rjust(width) if column in to_right else text.ljust(width)
            for column, (text, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    ]


def finish() -> None:
    """Bring out what is still in the buffers. Raises OutputGone or OutputFailed."""
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            _guarded(stream, None)


def give_up_output() -> None:
    """Let the interpreter flush into nothing at its end, instead of complaining about a closed pipe."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError, AttributeError):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            try:
                os.dup2(nowhere, stream.fileno())
            finally:
                os.close(nowhere)


def _write(stream: TextIO | None, text: str, end: str = "\n") -> None:
    if stream is not None:  # None: started with the stream closed
        _guarded(stream, text + end)


def _guarded(stream: TextIO, text: str | None) -> None:
    try:
        if text is not None:
            stream.write(text)
        stream.flush()
    except BrokenPipeError as error:
        raise OutputGone from error
    except (OSError, ValueError) as error:
        raise output_failed(error) from error


def _is_terminal(stream: TextIO | None) -> bool:
    return stream is not None and stream.isatty()
