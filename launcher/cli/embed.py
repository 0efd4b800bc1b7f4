"""``embed``: texts become vectors, as JSON."""

from __future__ import annotations

import contextlib
import sys
from typing import TYPE_CHECKING

import click

from launcher.cli import output
from launcher.cli.answering import answer_json
from launcher.cli.completion import installed
from launcher.cli.failures import Exit, NotInstalled
from launcher.cli.models import keep_alive_of
from launcher.cli.run import run
from launcher.cli.session import Session, shared_options
from launcher.domain.names import ModelName
from launcher.errors import InvalidInput
from launcher.tasks import run_blocking

if TYPE_CHECKING:
    from launcher.ollama import Client

_LARGEST_INPUT_BYTES = 64 * 1024 * 1024
_CAPABILITY = "embedding"
_SMALL_MODEL = "nomic-embed-text"


@click.command(short_help="Turn texts into vectors.")
@click.argument("texts", nargs=-1, metavar="[TEXT]...")
@click.option(
    "-m",
    "--model",
    metavar="NAME",
    help="The model; else one for embeddings that is loaded or installed.",
    shell_complete=installed,
)
@click.option("--dimensions", type=click.IntRange(min=1), metavar="N", help="Shorten the vectors.")
@click.option("--truncate/--no-truncate", default=None, help="Cut texts that are too long, or refuse them.")
@click.option("--keep-alive", metavar="TIME", help="How long the model stays in memory: 30m, 2h, 0, -1 for ever.")
@click.option("--start", is_flag=True, help="Start Ollama where it does not run.")
@shared_options
def embed(
    session: Session,
    *,
    texts: tuple[str, ...],
    model: str | None,
    dimensions: int | None,
    truncate: bool | None,
    keep_alive: str | None,
    start: bool,
) -> int:
    """Turn texts into vectors and print them as JSON; without a TEXT, each line that is piped in is one."""
    wanted = None if model is None else ModelName.parse(model).display
    stay = None if keep_alive is None else keep_alive_of(keep_alive, zero=True)
    return run(
        lambda: _embed(
            session, list(texts), wanted, dimensions=dimensions, truncate=truncate, keep_alive=stay, start=start
        )
    )


async def _embed(
    session: Session,
    texts: list[str],
    wanted: str | None,
    *,
    dimensions: int | None,
    truncate: bool | None,
    keep_alive: int | str | None,
    start: bool,
) -> int:
    from launcher.cli.serving import NotPulled, open_client, with_model

    if not texts:
        texts = await run_blocking(_lines)
    if not texts:
        raise click.UsageError("There is no text: neither words nor lines that are piped in.")
    async with open_client(session, start=start) as client:
        model = wanted or await _embedding_model(session, client)
        try:
            answer = await with_model(
                session,
                model,
                lambda: client.embed(model, texts, truncate=truncate, dimensions=dimensions, keep_alive=keep_alive),
            )
        except NotPulled as error:
            return error.code
    output.fact(answer_json(answer))
    return Exit.DONE


async def _embedding_model(session: Session, client: Client) -> str:
    """A model that makes embeddings: one that is loaded, else the newest. Raises NotInstalled."""
    from launcher.ollama.errors import ModelNotFound

    tags, ps = await client.tags(), await client.ps()
    loaded = {model.name for model in ps.models}
    for model in sorted(tags.models, key=lambda model: model.name not in loaded):
        if _CAPABILITY in model.capabilities:
            return model.name
    # The list says "completion" of one that was made here of a file; its description knows better (seen on 0.33.0-rc2).
    for model in sorted(tags.models, key=lambda model: model.name not in loaded):
        with contextlib.suppress(ModelNotFound):
            if _CAPABILITY in (await client.show(model.name)).capabilities:
                return model.name
    command = session.command("models", "pull", _SMALL_MODEL)
    raise NotInstalled("No model for embeddings is installed.", hint=f"Download one with: {command}")


def _lines() -> list[str]:
    """Read what is piped in, a text each line; empty lines are none."""
    if sys.stdin is None or sys.stdin.isatty():
        return []
    content = sys.stdin.buffer.read(_LARGEST_INPUT_BYTES + 1)
    if len(content) > _LARGEST_INPUT_BYTES:
        raise InvalidInput("What is piped in is too long.", hint="Send it in several parts.")
    # Not splitlines(): a text may hold what Unicode calls a separator of lines.
    lines = content.decode("utf-8", "replace").split("\n")
    return [line.removesuffix("\r") for line in lines if line.strip()]
