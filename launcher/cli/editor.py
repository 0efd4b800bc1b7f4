"""The line that a person types in a conversation: history, several lines, commands that complete themselves.

The only module that knows prompt-toolkit, which takes a tenth of a second to import.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from prompt_toolkit import PromptSession
from prompt_toolkit.completion import WordCompleter
from prompt_toolkit.history import FileHistory, InMemoryHistory
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent

_PROMPT = ">>> "
_CONTINUED = "... "
_QUOTES = '"""'
_LARGEST_HISTORY_BYTES = 1024 * 1024
_KEPT_HISTORY_BYTES = 512 * 1024
_ENTRY = b"\n# "
"""What an entry begins with (prompt_toolkit/history.py FileHistory, 3.0)."""


class Interrupted(Exception):
    """Ctrl-C was pressed while a line was typed."""


class Ended(Exception):
    """Ctrl-D was pressed on an empty line, or the terminal is gone."""


class Editor:
    """Reads what a person types. Enter sends it; Alt-Enter begins a new line, as Enter does after ``\"\"\"``."""

    def __init__(self, history: Path | None, commands: Sequence[str]) -> None:
        self._session: PromptSession[str] = PromptSession(
            _PROMPT,
            multiline=True,
            prompt_continuation=_CONTINUED,
            key_bindings=_keys(),
            history=InMemoryHistory() if history is None else _KeptHistory(history),
            completer=WordCompleter(list(commands), sentence=True),
            complete_while_typing=False,
            interrupt_exception=Interrupted,
            eof_exception=Ended,
        )

    async def read(self) -> str:
        """Read one message. Raises Interrupted and Ended."""
        # Signals and failures stay with the command that runs this.
        text = await self._session.prompt_async(handle_sigint=False, set_exception_handler=False)
        text = text.strip()
        if text.startswith(_QUOTES):
            text = text.removeprefix(_QUOTES).removesuffix(_QUOTES).strip("\n")
        return text


def _keys() -> KeyBindings:
    keys = KeyBindings()

    @keys.add("enter")
    def _(event: KeyPressEvent) -> None:
        text = event.current_buffer.text.strip()
        is_open = text.startswith(_QUOTES) and (len(text) < 2 * len(_QUOTES) or not text.endswith(_QUOTES))
        if is_open:
            event.current_buffer.insert_text("\n")
        else:
            event.current_buffer.validate_and_handle()

    @keys.add("escape", "enter")
    def _(event: KeyPressEvent) -> None:
        event.current_buffer.insert_text("\n")

    return keys


class _KeptHistory(FileHistory):
    """A history that a full disk or a file of somebody else does not stop."""

    def __init__(self, path: Path) -> None:
        self._path = path
        super().__init__(str(path))

    def load_history_strings(self) -> Iterable[str]:
        try:
            return list(super().load_history_strings())
        except OSError:
            return []

    def store_string(self, string: str) -> None:
        with contextlib.suppress(OSError):
            super().store_string(string)


def prepare_history(path: Path) -> None:
    """Make the file, for its owner's eyes only, and cut off the oldest of one that has grown long. Blocks.

    Raises OSError.
    """
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.close(descriptor)
    path.chmod(0o600)
    if path.stat().st_size <= _LARGEST_HISTORY_BYTES:
        return
    kept = path.read_bytes()[-_KEPT_HISTORY_BYTES:]
    begin = kept.find(_ENTRY)
    shorter = path.with_name(path.name + ".new")
    descriptor = os.open(shorter, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(kept[begin:] if begin >= 0 else b"")
    os.replace(shorter, path)
