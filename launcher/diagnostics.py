"""The launcher's own log, and what happens to an error that nobody expected.

A person reads one sentence; the traceback goes to ``launcher.log``. Nothing that is logged may hold a secret: every
line passes :func:`redact` on its way to the file, whoever wrote it. Knows nothing of Ollama; the server's own output is
another file (:mod:`launcher.server`).
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import logging
import logging.handlers
import os
import re
import sys
import threading
import traceback
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any

from launcher import paths
from launcher.errors import LauncherError

LOG_NAME = "launcher.log"

_log = logging.getLogger(__name__)

_LOG_BYTES = 1024 * 1024
_LOGS_KEPT = 3
_FORMAT = "%(asctime)s %(levelname)-7s %(process)d %(name)s: %(message)s"
_HIDDEN = "[hidden]"
# Environment variables whose value is a secret wherever it appears; shorter values would hide half of every line.
_SECRET_VARIABLES = ("OLLAMA_API_KEY",)
_SHORTEST_SECRET = 6
_VALUE = r"""[^\s'",;&)\]}]+"""
_NAMES = r"(?:api[\s_-]?key|access[_-]?token|auth[_-]?token|token|password|passwd|secret)"
_SECRETS: tuple[tuple[re.Pattern[str], str], ...] = (
    # Authorization: Bearer abc   {'authorization': 'Basic abc'}   (b'Authorization', b'Bearer abc')
    (
        re.compile(rf"""(?i)(\bauthorization["']?\s*[:=,]\s*(?:b?["'])?(?:(?:bearer|basic|token)\s+)?){_VALUE}"""),
        rf"\1{_HIDDEN}",
    ),
    (re.compile(rf"(?i)\b(bearer\s+){_VALUE}"), rf"\1{_HIDDEN}"),
    # api_key=abc   "apiKey": "abc"   OLLAMA_API_KEY=abc   ?token=abc   password: abc
    (re.compile(rf"""(?i)({_NAMES}["']?\s*[=:]\s*(?:b?["'])?){_VALUE}"""), rf"\1{_HIDDEN}"),
    # https://user:password@host   https://token@host
    (re.compile(r"""\b([a-zA-Z][a-zA-Z0-9+.-]*://)[^\s/?#'"]+@"""), rf"\1{_HIDDEN}@"),
    (re.compile(r"\b(?:sk|hf)[-_][A-Za-z0-9_-]{16,}"), _HIDDEN),
)
_SENTENCE = "Something unexpected went wrong in the launcher."
# A slot that fails at each repaint must not fill the terminal: each sentence is said once, the log has all.
_already_said: set[str] = set()
_tell: Callable[[str], None] | None = None


def redact(text: str) -> str:
    """Remove what looks like a secret: credentials in headers and URLs, keys, and the value of OLLAMA_API_KEY."""
    for name in _SECRET_VARIABLES:
        value = os.environ.get(name, "")
        if len(value) >= _SHORTEST_SECRET:
            text = text.replace(value, _HIDDEN)
    for pattern, replacement in _SECRETS:
        text = pattern.sub(replacement, text)
    return text


def escaped(text: str) -> str:
    r"""Spell out what steers a terminal or is invisible, as ``\x1b``: texts of servers and programs are anybody's."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        character if character.isprintable() or character in "\n\t" else ascii(character)[1:-1] for character in text
    )


def report_unexpected(where: str, error: BaseException) -> None:
    """Treat an error like one that nobody caught: for whoever has caught it, and does not know what it is."""
    _report(where, error, error.__traceback__)


def setup_logging(console: bool = False) -> Path | None:
    """Send everything of INFO and above to ``launcher.log``, and warnings to stderr too where ``console`` is asked for.

    Returns the file, or None where it cannot be written: then there is none, which stderr is told once (but not where
    no home folder is known), and the program goes on. May be called again; it then replaces what the first call set up.
    """
    root = logging.getLogger()
    for handler in [handler for handler in root.handlers if isinstance(handler, _OwnHandler)]:
        root.removeHandler(handler)
        handler.close()
    root.setLevel(logging.INFO)
    # Tells every request at INFO, with its URL.
    for chatty in ("httpx", "httpcore"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    logging.captureWarnings(True)
    if console:
        root.addHandler(_ConsoleHandler())
    try:
        folder = paths.log_dir()
    except LauncherError:
        return None  # no home: whoever cannot do without our folders says so
    try:
        path = paths.ensure_dir(folder) / LOG_NAME
        root.addHandler(_PrivateFileHandler(path))
    except LauncherError as error:
        _say(f"The launcher keeps no log. {error.title}")
        return None
    except OSError as error:
        _say(f"The launcher keeps no log: {error.filename} cannot be written ({error.strerror}).")
        return None
    return path


def install_last_resort_handlers(
    loop: asyncio.AbstractEventLoop | None = None, tell: Callable[[str], None] | None = None
) -> None:
    """Catch what nobody caught, in any thread and in ``loop``: the traceback to the log, one sentence to stderr.

    Called before there is a loop, and again with it. ``tell`` gets the same as the log does, without secrets, for a
    report that a person can read; it may be called from any thread.
    """
    global _tell  # the hooks are the interpreter's, so there is one of them, too
    _tell = tell
    _already_said.clear()
    sys.excepthook = _uncaught
    sys.unraisablehook = _unraisable
    threading.excepthook = _uncaught_in_thread
    if loop is not None:
        loop.set_exception_handler(_uncaught_in_loop)


class _Redacted(logging.Formatter):
    """Format a record, its traceback included, without secrets, and without what a terminal would obey."""

    def format(self, record: logging.LogRecord) -> str:
        # Indented: no text from outside can pass for a line of its own.
        return escaped(redact(super().format(record))).replace("\n", "\n  ")


class _OwnHandler(logging.Handler):
    """Marks what :func:`setup_logging` added."""


class _ConsoleHandler(_OwnHandler):
    """Write the message alone, without a traceback, to what stderr is now; tests and terminals replace it."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)

    def emit(self, record: logging.LogRecord) -> None:
        if record.name != __name__:  # ours were said in one sentence already
            _say(redact(record.getMessage()))


class _PrivateFileHandler(logging.handlers.RotatingFileHandler, _OwnHandler):
    """A rotated file that only its owner may read; when it fails later (disk full, folder gone) it falls silent.

    Window and command line write to the same one: each follows when the other has rotated it.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path, maxBytes=_LOG_BYTES, backupCount=_LOGS_KEPT, encoding="utf-8", errors="backslashreplace")
        self.setFormatter(_Redacted(_FORMAT))

    def _open(self) -> io.TextIOWrapper:
        descriptor = os.open(self.baseFilename, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        if hasattr(os, "fchmod"):  # one of an older version, or of a careless copy, may be open to others
            with contextlib.suppress(OSError):
                os.fchmod(descriptor, 0o600)
        return open(descriptor, "a", encoding=self.encoding, errors=self.errors)

    def shouldRollover(self, record: logging.LogRecord) -> bool:  # noqa: N802 - logging's name
        if self.stream is not None and not self._is_current(self.stream):
            self.stream.close()
            self.stream = self._open()
        return bool(super().shouldRollover(record))

    def _is_current(self, stream: io.TextIOWrapper) -> bool:
        try:
            return os.path.samestat(os.stat(self.baseFilename), os.fstat(stream.fileno()))
        except OSError:
            return False

    def doRollover(self) -> None:  # noqa: N802 - logging's name
        # Another process of ours may hold the file (Windows), or the folder may be read-only by now.
        try:
            super().doRollover()
        except OSError:
            self.maxBytes = 0  # goes on in the same file
            if self.stream is None:
                self.stream = self._open()

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging's name
        pass


def _uncaught(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    if issubclass(kind, KeyboardInterrupt):
        return  # a person's own wish
    _report("uncaught", error, trace)


def _uncaught_in_thread(args: threading.ExceptHookArgs) -> None:
    if args.exc_value is None or issubclass(args.exc_type, SystemExit):
        return
    name = args.thread.name if args.thread else "a thread that is gone"
    _report(f"uncaught in thread {name}", args.exc_value, args.exc_traceback)


def _unraisable(args: sys.UnraisableHookArgs) -> None:
    if args.exc_value is None:
        return
    _report(f"{args.err_msg or 'ignored in'} {_kind_of(args.object)}", args.exc_value, args.exc_traceback)


def _uncaught_in_loop(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    error = context.get("exception")
    message = str(context.get("message") or "unhandled in the loop")
    who = context.get("task") or context.get("future") or context.get("handle")
    if isinstance(error, BaseException):
        _report(f"{message} ({_kind_of(who)})", error, error.__traceback__)
    else:
        _log.error("%s (%r)", message, who)


def _report(where: str, error: BaseException, trace: TracebackType | None) -> None:
    """Log an error nobody expected, and say one sentence; never fails itself."""
    try:
        _log.error("%s", where, exc_info=(type(error), error, trace))
        if _tell is not None:
            story = "".join(traceback.format_exception(type(error), error, trace))
            _tell(redact(f"{where}\n{story}"))
        sentence = _sentence(error)
        if sentence not in _already_said:
            _already_said.add(sentence)
            _say(sentence)
    except Exception:  # noqa: BLE001 - the last resort: there is nobody left to tell
        return


def _sentence(error: BaseException) -> str:
    if isinstance(error, LauncherError):
        return redact(f"{error.title} {error.hint}".strip())
    path = _log_file()
    if path:
        return f"{_SENTENCE} The details are in {path}."
    return redact(f"{_SENTENCE} ({type(error).__name__}: {error})").replace("\n", " ")


def _log_file() -> str | None:
    for handler in logging.getLogger().handlers:
        if isinstance(handler, _PrivateFileHandler):
            return handler.baseFilename
    return None


def _kind_of(thing: object) -> str:
    # Never its repr: an object that is being destroyed may have none, and one of ours may hold a secret.
    name = getattr(thing, "__qualname__", None) or getattr(thing, "get_name", lambda: None)()
    return f"{type(thing).__name__} {name}" if isinstance(name, str) else type(thing).__name__


def _say(sentence: str) -> None:
    # A window without a console has no stderr; a closed terminal refuses.
    with contextlib.suppress(OSError, ValueError):
        if sys.stderr is not None:
            print(sentence, file=sys.stderr, flush=True)
