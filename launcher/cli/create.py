"""``models create``: a model made of another one, of a Modelfile, or of files."""

from __future__ import annotations

import asyncio
import sys
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path

import click

from launcher.cli import output
from launcher.cli.failures import Exit
from launcher.cli.progress import open_steps
from launcher.cli.run import run
from launcher.cli.session import Session, shared_options
from launcher.domain.modelfile import Modelfile, decode_modelfile, parse_modelfile
from launcher.domain.names import ModelName
from launcher.domain.options import OptionValue, read_options, split_option
from launcher.errors import InvalidInput, LauncherError
from launcher.tasks import run_blocking

_USUAL_FILE = "Modelfile"
_STANDARD_INPUT = "-"
_LARGEST_MODELFILE_BYTES = 4 * 1024 * 1024


_HELP = """Make a model; one of that name is replaced. What options say counts more than the Modelfile.

\b
    ollama-launcher models create pirate --from llama3.2:1b --system "Be a pirate."

Paths in a Modelfile are meant from its folder.
"""


@click.command(short_help="Make a model of another one, or of a Modelfile.", help=_HELP)
@click.argument("name")
@click.option("--from", "source", metavar="MODEL|PATH", help="The model, file or folder that it is made from.")
@click.option("-f", "--file", "file", metavar="FILE", help=f"The Modelfile; - for standard input, else {_USUAL_FILE}.")
@click.option("-q", "--quantize", metavar="TYPE", help="Make it smaller: Q8_0, Q4_K_M, Q4_K_S, …")
@click.option("--system", metavar="TEXT", help="What the model is told about itself.")
@click.option("--template", metavar="TEXT", help="How a conversation is put before the model.")
@click.option("-p", "--parameter", "parameters", metavar="NAME=VALUE", multiple=True, help="An option of the model.")
@shared_options
def create(
    session: Session,
    *,
    name: str,
    source: str | None,
    file: str | None,
    quantize: str | None,
    system: str | None,
    template: str | None,
    parameters: tuple[str, ...],
) -> int:
    parsed = ModelName.parse_exact(name)
    options = read_options(map(split_option, parameters))
    return run(
        lambda: _create(
            session, parsed.display, source, file, quantize, system=system, template=template, options=options
        )
    )


async def _create(
    session: Session,
    name: str,
    source: str | None,
    file: str | None,
    quantize: str | None,
    *,
    system: str | None,
    template: str | None,
    options: dict[str, OptionValue],
) -> int:
    modelfile, folder = await run_blocking(_modelfile, source, file)
    modelfile = replace(
        modelfile,
        system=modelfile.system if system is None else system,
        template=modelfile.template if template is None else template,
        parameters={**modelfile.parameters, **options},
    )
    if modelfile.removed:
        output.remark(f"Note: without effect in today's Ollama, and left out: {', '.join(modelfile.removed)}.")
    return await _make(session, name, modelfile, folder, quantize)


async def _make(session: Session, name: str, modelfile: Modelfile, folder: Path, quantize: str | None) -> int:
    from launcher.actions.create_model import create_model
    from launcher.cli.serving import open_client

    view = open_steps(session, name)
    making = False
    try:
        async with open_client(session, start=False) as client:
            # Somebody who has to wait for a large file to be read wants to know first that it is of use.
            await client.version()
            steps = create_model(client, name, modelfile, folder, quantize=quantize)
            async with aclosing(steps):
                async for step in steps:
                    making = step.making
                    view.show(step.status, step.completed_bytes, step.total_bytes, step.digest)
    except asyncio.CancelledError:
        view.close()
        command = session.command("models", "list")
        if making:
            output.remark(f"Stopped. If {name} was as good as ready, it is there all the same: {command}")
        else:
            output.remark(f"Stopped; {name} was not made. What was sent need not be sent again.")
        raise
    except LauncherError as error:
        view.close()
        if session.as_json and not isinstance(error, output.OutputFailed):
            output.fact({"model": name, "status": "failed", "error": error.title})
        if _is_unknown(error):
            sources = ", ".join(modelfile.sources)
            output.complain_of(f"There is no model {sources}, neither here nor at its registry.", "")
            return Exit.NO_SUCH_MODEL
        raise
    finally:
        view.close()
    if not session.as_json:
        output.say(f"{name} is made.")
    return Exit.DONE


def _is_unknown(error: LauncherError) -> bool:
    from launcher.ollama.errors import InlineError, Reason

    return isinstance(error, InlineError) and error.reason is Reason.NO_SUCH_MODEL


def _modelfile(source: str | None, file: str | None) -> tuple[Modelfile, Path]:
    """Read what is to be made, and the folder that its paths are meant from. Blocks."""
    if file is None and source is not None:
        return Modelfile(sources=(source,)), Path.cwd()
    if file == _STANDARD_INPUT:
        content = sys.stdin.buffer.read(_LARGEST_MODELFILE_BYTES + 1) if sys.stdin is not None else b""
        folder = Path.cwd()
    else:
        path = Path(file or _USUAL_FILE)
        if file is None and not path.exists():
            raise click.UsageError(f"Say what it is made from: --from, or -f; there is no {_USUAL_FILE} here.")
        folder = path.parent
        try:
            with path.open("rb") as opened:
                content = opened.read(_LARGEST_MODELFILE_BYTES + 1)
        except OSError as error:
            why = error.strerror or error
            raise InvalidInput(f"The file {path} cannot be read: {why}.", detail=str(error)) from error
    if len(content) > _LARGEST_MODELFILE_BYTES:
        raise InvalidInput("A Modelfile is not that long.", hint="A model goes after FROM in it, or after --from.")
    modelfile = parse_modelfile(decode_modelfile(content))
    if source is not None:
        # Named on the command line, and so meant from where that is typed.
        path_of_source = Path.cwd() / Path(source).expanduser()
        modelfile = replace(modelfile, sources=(str(path_of_source) if path_of_source.exists() else source,))
    return modelfile, folder
