"""The commands by name, and the one place where whatever happened becomes an exit code."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence

import click

from launcher import __version__
from launcher.cli import output
from launcher.cli.failures import Exit, exit_code
from launcher.cli.session import Session, shared_options
from launcher.errors import LauncherError

PROGRAM = "ollama-launcher"


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
    },
    short_help="List, download, load and remove models.",
)
@shared_options
def models(session: Session) -> None:
    """List, download, load and remove models."""


@click.group(
    cls=LazyGroup,
    places={
        "status": "launcher.cli.server:status",
        "start": "launcher.cli.server:start",
        "stop": "launcher.cli.server:stop",
        "restart": "launcher.cli.server:restart",
        "logs": "launcher.cli.logs:logs",
        "models": "launcher.cli.main:models",
        "demo": "launcher.cli.demo:demo",
    },
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.version_option(__version__, message="%(prog)s %(version)s")
@shared_options
@click.pass_context
def root(context: click.Context, session: Session) -> int:
    """Start, watch and stop a local Ollama, and download models."""
    if context.invoked_subcommand is not None:
        return Exit.DONE
    from launcher.cli.run import run
    from launcher.cli.server import show_status

    if run(lambda: show_status(session)) == Exit.INTERRUPTED:
        return Exit.INTERRUPTED
    if not session.as_json:
        output.say("")
        output.say(context.get_help())
    return Exit.DONE


def main(arguments: Sequence[str]) -> int:
    """Run one command; returns the exit code. Only what nobody foresaw is raised."""
    output.prepare()
    try:
        code = _invoke(arguments)
        output.finish()
    except output.OutputGone:
        output.give_up_output()
        return Exit.OUTPUT_GONE
    except output.OutputFailed as error:
        output.complain(error)
        output.give_up_output()
        return Exit.FAILED
    return code


def _invoke(arguments: Sequence[str]) -> int:
    try:
        from launcher.diagnostics import install_last_resort_handlers

        install_last_resort_handlers()
        code = root.main(list(arguments), prog_name=PROGRAM, standalone_mode=False, obj=Session())
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
        output.complain(error)
        return exit_code(error)
    except KeyboardInterrupt:
        # Before the loop took over the signals, or after it.
        return Exit.INTERRUPTED
    return code if isinstance(code, int) else Exit.DONE
