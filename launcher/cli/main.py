"""The commands by name, and the one place where whatever happened becomes an exit code."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Sequence
from typing import Protocol

import click

from launcher import __version__
from launcher.cli import output
from launcher.cli.failures import Exit, exit_code
from launcher.cli.session import Session, shared_options
from launcher.domain.names import ModelName
from launcher.environment import COMPLETION_VARIABLE, has_display
from launcher.errors import LauncherError

PROGRAM = "ollama-launcher"


class OpenWindow(Protocol):
    """Shows the window and returns its exit code; handed in, because nothing here knows Qt."""

    def __call__(self, *, host: str | None, demo: bool, hidden: bool, pulls: Sequence[str]) -> int: ...


class NoDisplay(LauncherError):
    """A window was asked for where none can be shown."""


class LazyGroup(click.Group):
    """A group whose commands are imported when they are called: ``name -> "module:attribute"``, in order."""

    def __init__(self, *args: object, places: dict[str, str], **options: object) -> None:
        super().__init__(*args, **options)  # type: ignore[arg-type]  # passed through
        self._places = places

    def list_commands(self, context: click.Context) -> list[str]:
        return list(self._places)

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        place = self._places.get(name)
        if place is None:
            return None
        module, _, attribute = place.partition(":")
        command: click.Command = getattr(importlib.import_module(module), attribute)
        return command


@click.group(
    cls=LazyGroup,
    places={
        "list": "launcher.cli.models:list_models",
        "show": "launcher.cli.models:show",
        "pull": "launcher.cli.pull:pull",
        "rm": "launcher.cli.models:remove",
        "cp": "launcher.cli.models:copy",
        "load": "launcher.cli.models:load",
        "unload": "launcher.cli.models:unload",
        "create": "launcher.cli.create:create",
        "push": "launcher.cli.push:push",
    },
    short_help="List, download, load, make and remove models.",
)
@shared_options
def models(session: Session) -> None:
    """List, download, load, make and remove models."""


@click.group(
    cls=LazyGroup,
    places={
        "status": "launcher.cli.server:status",
        "start": "launcher.cli.server:start",
        "stop": "launcher.cli.server:stop",
        "restart": "launcher.cli.server:restart",
        "logs": "launcher.cli.logs:logs",
        "doctor": "launcher.cli.doctor:doctor",
        "models": "launcher.cli.main:models",
        "chat": "launcher.cli.chat:chat",
        "embed": "launcher.cli.embed:embed",
        "demo": "launcher.cli.demo:demo",
        "completion": "launcher.cli.completion:completion",
    },
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.version_option(__version__, message="%(prog)s %(version)s")
@click.option("--demo", is_flag=True, help="Open the window on a simulated Ollama; nothing real is touched.")
@click.option("--hidden", is_flag=True, help="Open the window in the tray.")
@click.option("--pull", "pulls", multiple=True, metavar="NAME", help="Open the window and download a model.")
@shared_options
@click.pass_context
def root(context: click.Context, session: Session, demo: bool, hidden: bool, pulls: tuple[str, ...]) -> int:
    """Start, watch and stop a local Ollama, and download models.

    Without a command the window is opened, or the one that is open comes to the front.
    """
    wants_window = demo or hidden or bool(pulls)
    if context.invoked_subcommand is not None:
        if wants_window:
            raise click.UsageError("--demo, --hidden and --pull are for the window: leave the command out.")
        return Exit.DONE
    names = [ModelName.parse(name).display for name in pulls]
    if session.open_window is not None and has_display() and not session.as_json:
        return session.open_window(host=session.host, demo=demo, hidden=hidden, pulls=names)
    if wants_window:
        raise NoDisplay(
            "There is no display here, so no window can be shown.",
            hint="The commands do the same work: see --help.",
        )
    from launcher.cli.run import run
    from launcher.cli.server import show_status

    if run(lambda: show_status(session)) == Exit.INTERRUPTED:
        return Exit.INTERRUPTED
    if not session.as_json:
        output.say("")
        output.say(context.get_help())
    return Exit.DONE


def main(arguments: Sequence[str], open_window: OpenWindow | None = None) -> int:
    """Run one command, or open the window where none is given; returns the exit code.

    Only what nobody foresaw is raised. Without ``open_window``, or a display, no command means ``status`` and help.
    """
    output.prepare()
    try:
        code = _invoke(arguments, open_window)
        output.finish()
    except output.OutputGone:
        output.give_up_output()
        return Exit.OUTPUT_GONE
    except output.OutputFailed as error:
        output.complain_of(error.title, error.hint)
        output.give_up_output()
        return Exit.FAILED
    return code


def _invoke(arguments: Sequence[str], open_window: OpenWindow | None) -> int:
    session = Session(open_window=open_window)
    try:
        from launcher.diagnostics import install_last_resort_handlers

        install_last_resort_handlers()
        if COMPLETION_VARIABLE in os.environ:
            from launcher.cli.completion import prepare

            prepare()
        code = root.main(list(arguments), prog_name=PROGRAM, standalone_mode=False, obj=session)
    except click.exceptions.Exit as ended:
        return ended.exit_code
    except click.Abort:
        return Exit.INTERRUPTED
    except click.ClickException as error:
        error.show(sys.stderr)
        return error.exit_code
    except output.OutputFailed:
        raise
    except LauncherError as error:
        output.complain_of(error.title, session.hint(error.hint))
        return exit_code(error)
    except KeyboardInterrupt:
        # Before the loop took over the signals, or after it.
        return Exit.INTERRUPTED
    return code if isinstance(code, int) else Exit.DONE
