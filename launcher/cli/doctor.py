"""``doctor``: one line for each thing that has a part in an answering server, and what to do about it."""

from __future__ import annotations

from collections import Counter
from contextlib import aclosing
from dataclasses import replace
from typing import TYPE_CHECKING

import click

from launcher.cli import output
from launcher.cli.failures import Exit
from launcher.cli.run import run
from launcher.cli.session import Session, shared_options
from launcher.domain.checks import LABELS, Check, Verdict

if TYPE_CHECKING:
    from rich.console import Console

_MARKS = {
    Verdict.OK: ("✓", "green"),
    Verdict.NOTE: ("•", "cyan"),
    Verdict.WARNING: ("!", "yellow"),
    Verdict.FAILED: ("✗", "red"),
    Verdict.UNKNOWN: ("?", "magenta"),
}
_SUMMED_UP = {
    Verdict.FAILED: ("{} thing fails", "{} things fail"),
    Verdict.WARNING: ("{} warning", "{} warnings"),
    Verdict.UNKNOWN: ("{} could not be found out", "{} could not be found out"),
}
_WIDTH = max(map(len, LABELS.values()))


@click.command(short_help="Examine everything and say what to do.")
@shared_options
def doctor(session: Session) -> int:
    """Examine all that has a part in an answering server, and say how it is and what to do. Changes nothing.

    Ends with 0 when nothing fails, else with 1.
    """
    return run(lambda: _doctor(session), keeps_log=False)


async def _doctor(session: Session) -> int:
    from launcher.actions.examine import examine

    console = _console() if output.on_terminal() and not session.as_json else None
    told: list[Check] = []
    async with aclosing(examine(session.host)) as examined:
        async for check in examined:
            told.append(check)
            if session.as_json:
                continue
            if console is not None:
                _draw(console, check, hint_of(session, check))
            else:
                _tell(check, hint_of(session, check))
    if session.as_json:
        output.fact([check_json(session, check) for check in told])
    else:
        output.say("")
        output.say(summary(told))
    return Exit.FAILED if any(check.verdict is Verdict.FAILED for check in told) else Exit.DONE


def hint_of(session: Session, check: Check) -> str:
    """The hint, and the command that does it as it is typed for this server."""
    if not check.command:
        return check.hint
    # A command that names its server itself means another one than ours.
    which = replace(session, host=None) if "--host" in check.command else session
    return f"{check.hint}: {which.command(*check.command)}"


def check_json(session: Session, check: Check) -> dict[str, object]:
    return {
        "id": check.id,
        "verdict": check.verdict.value,
        "title": check.title,
        "detail": check.detail or None,
        "hint": hint_of(session, check) or None,
    }


def summary(told: list[Check]) -> str:
    """One sentence about all of it."""
    count = Counter(check.verdict for check in told)
    parts = [
        forms[count[verdict] != 1].format(count[verdict]) for verdict, forms in _SUMMED_UP.items() if count[verdict]
    ]
    return ", ".join(parts) + "." if parts else "All is well."


def _tell(check: Check, hint: str) -> None:
    output.say(f"{check.verdict.value:<8} {LABELS[check.id]}: {check.title}")
    for text in (check.detail, hint):
        if text:
            output.say(f"{'':<8} {'-> ' if text is hint else ''}{text}")


def _console() -> Console:
    from rich.console import Console

    return Console(highlight=False, soft_wrap=False)


def _draw(console: Console, check: Check, hint: str) -> None:
    from rich.table import Table
    from rich.text import Text

    mark, colour = _MARKS[check.verdict]
    grid = Table.grid(padding=(0, 1))
    grid.add_column(width=1)
    grid.add_column(width=_WIDTH)
    grid.add_column(overflow="fold")
    words = Text(output.harmless(check.title))
    if check.detail:
        words.append("\n" + output.harmless(check.detail), style="dim")
    if hint:
        words.append("\n→ ", style=colour).append(output.harmless(hint))
    grid.add_row(Text(mark, style=f"bold {colour}"), Text(LABELS[check.id], style="bold"), words)
    with output.told_when_broken():
        console.print(grid)
