"""``status``, ``start``, ``stop``, ``restart``."""

from __future__ import annotations

import math
import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

import click

from launcher import paths
from launcher.cli import output, phrases
from launcher.cli.failures import Exit
from launcher.cli.notices import tell_notice, warn_of_address
from launcher.cli.run import run
from launcher.cli.session import Session, shared_options
from launcher.domain.models import Models
from launcher.domain.server import ANSWERING, ServerStatus
from launcher.errors import StorageError

if TYPE_CHECKING:
    from launcher.core import Core

_UNKNOWN_MODELS = Models(installed=None, loaded=None)


class _Seconds(click.FloatRange):
    """A time; click lets pass what is no number at all."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        seconds: float = super().convert(value, param, ctx)
        if math.isnan(seconds):
            self.fail(f"{value!r} is no time.", param, ctx)
        return seconds


@click.command(short_help="Tell whether Ollama runs, whose it is and what is loaded.")
@click.option("-w", "--watch", is_flag=True, help="Go on, and tell each change, until Ctrl-C.")
@click.option(
    "--interval",
    "interval_s",
    metavar="SECONDS",
    type=_Seconds(min=0.1, max=3600),
    default=2.0,
    show_default=True,
    help="With --watch: look so often.",
)
@shared_options
def status(session: Session, watch: bool, interval_s: float) -> int:
    """Tell whether Ollama runs, whose it is and what is loaded. Ends with 0 when it runs, else with 3."""
    if watch:
        from launcher.cli.watch import watch_status

        return run(lambda: watch_status(session, interval_s))
    return run(lambda: show_status(session))


@click.command(short_help="Start Ollama, or use the one that runs.")
@shared_options
def start(session: Session) -> int:
    """Start Ollama and wait until it answers; it goes on when this command ends. One that runs already is used."""
    return run(lambda: _change(session, lambda core: core.control.start(output.remark), runs_after=True))


@click.command(short_help="Stop the Ollama that the launcher started.")
@shared_options
def stop(session: Session) -> int:
    """Stop the Ollama that the launcher started; downloads are paused and nothing is lost. Others are left alone."""
    return run(lambda: _change(session, lambda core: core.control.stop(output.remark), runs_after=False))


@click.command(short_help="Stop and start Ollama again.")
@shared_options
def restart(session: Session) -> int:
    """Stop the Ollama that the launcher started, and start it again; downloads that run in a terminal go on."""
    return run(lambda: _change(session, lambda core: core.control.restart(output.remark), runs_after=True))


async def show_status(session: Session) -> int:
    """Look once and tell what is there."""
    from launcher.core import look_from_outside, open_core

    if _has_folders():
        async with open_core(host=session.host, report=tell_notice) as core:
            warn_of_address(core.address)
            found = await core.control.inspect()
            await _tell(session, core, found)
    else:
        # Without a home nothing was ever started by us.
        found, models = await look_from_outside(session.host, report=tell_notice)
        _tell_all(session, found, models)
    return Exit.DONE if found.state in ANSWERING else Exit.NOT_REACHABLE


async def _change(session: Session, change: Callable[[Core], Awaitable[ServerStatus]], *, runs_after: bool) -> int:
    from launcher.core import open_core

    async with open_core(host=session.host, report=tell_notice) as core:
        warn_of_address(core.address)
        found = await change(core)
        if session.as_json:
            await _tell(session, core, found)
        else:
            output.say(phrases.headline(found))
            if found.simulated:
                output.say(phrases.SIMULATED)
            if found.exposed and found.state in ANSWERING:
                output.say("It can be reached from other computers.")
    if runs_after and found.state not in ANSWERING:
        return Exit.FAILED
    return Exit.DONE


async def _tell(session: Session, core: Core, found: ServerStatus) -> None:
    _tell_all(session, found, await core.models() if found.state in ANSWERING else _UNKNOWN_MODELS)


def _tell_all(session: Session, found: ServerStatus, models: Models) -> None:
    if session.as_json:
        output.fact(phrases.status_json(found, models, time.time()))
    else:
        for line in phrases.status_lines(found, models, time.time()):
            output.say(line)


def _has_folders() -> bool:
    try:
        paths.state_dir(), paths.config_dir()
    except StorageError:
        return False
    return True
