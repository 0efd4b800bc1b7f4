"""What every command is told: which server, and for whom to write; both may stand before or after its name."""

from __future__ import annotations

import functools
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
