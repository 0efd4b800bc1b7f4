"""``logs``: what the server wrote."""

from __future__ import annotations

from contextlib import aclosing
from pathlib import Path

import click

from launcher.cli import output
from launcher.cli.failures import Exit
from launcher.cli.run import run
from launcher.cli.session import Session, shared_options


@click.command(short_help="Show the server's log.")
@click.option("-f", "--follow", is_flag=True, help="Go on with what is written from now on.")
@click.option(
    "-n", "--lines", "count", default=100, show_default=True, type=click.IntRange(min=0), help="How many lines."
)
@shared_options
def logs(session: Session, follow: bool, count: int) -> int:
    """Show the last lines of the log of the server that the launcher started. Credentials are masked."""
    return run(lambda: _logs(session, follow=follow, count=count))


async def _logs(session: Session, *, follow: bool, count: int) -> int:
    from launcher.core import open_core
    from launcher.server import log as server_log
    from launcher.tasks import run_blocking

    async with open_core(host=session.host) as core:
        path: Path = core.control.log_path
        if follow:
            # Ends with Ctrl-C, or when the reader of our output has gone.
            async with aclosing(server_log.follow(path, lines=count)) as lines:
                async for line in lines:
                    _tell(session, line)
        if not await run_blocking(path.exists):
            output.complain_of(
                "There is no log: the launcher has not started a server yet.",
                f"Start one with: {session.command('start')}",
            )
            return Exit.FAILED
        for line in await run_blocking(server_log.last_lines, path, count):
            _tell(session, server_log.mask_secrets(line))
    return Exit.DONE


def _tell(session: Session, line: str) -> None:
    if session.as_json:
        output.fact({"line": line})
    else:
        output.say(line)
