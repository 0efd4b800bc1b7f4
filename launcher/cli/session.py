"""What every command is told: which server, and for whom to write; both may stand before or after its name."""

from __future__ import annotations

import functools
import shlex
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from launcher.cli.main import OpenWindow


@dataclass(slots=True)
class Session:
    """The options that all commands share."""

    host: str | None = None
    """``--host``; None: the setting, OLLAMA_HOST or the default decide."""
    as_json: bool = False
    open_window: OpenWindow | None = None
    """None: no window can be opened from here."""

    def command(self, *words: str) -> str:
        """Spell a command that does this to the same server, to be typed as it is."""
        words = ("ollama-launcher", *words, *(() if self.host is None else ("--host", self.host)))
        return subprocess.list2cmdline(words) if sys.platform == "win32" else shlex.join(words)

    def hint(self, hint: str) -> str:
        """Name the command that does what a hint says, if there is one."""
        # Imported only when something failed: it brings the HTTP client with it.
        from launcher.ollama.errors import START_IT

        return f"Start it with: {self.command('start')}" if hint == START_IT else hint


Command = Callable[..., int | None]
_HOST_HELP = "Address of the server, as OLLAMA_HOST spells it."
_JSON_HELP = "Print facts as JSON."


def shared_options(command: Command) -> Callable[..., Any]:
    """Add ``--host`` and ``--json``; the command gets a :class:`Session` as its first argument."""

    @click.option("--host", metavar="ADDRESS", help=_HOST_HELP)
    @click.option("--json", "as_json", is_flag=True, help=_JSON_HELP)
    @click.pass_context
    @functools.wraps(command)
    def with_session(context: click.Context, /, host: str | None, as_json: bool, **options: object) -> int | None:
        session = context.ensure_object(Session)
        if host is not None:
            session.host = host
        session.as_json = session.as_json or as_json
        return command(session, **options)

    return with_session
