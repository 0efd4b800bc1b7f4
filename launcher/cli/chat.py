"""``chat``: one question and its answer, or a conversation on a terminal."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

import click

from launcher.cli import output
from launcher.cli.answering import CUT_SHORT, Hearing, Notices, Wishes, answer_json, tell_measures, was_cut_short
from launcher.cli.completion import installed
from launcher.cli.failures import Exit
from launcher.cli.models import keep_alive_of
from launcher.cli.run import run
from launcher.cli.screen import open_screen
from launcher.cli.session import Session, shared_options
from launcher.domain.conversation import Conversation, Role, Turn
from launcher.domain.names import ModelName
from launcher.domain.options import read_options, split_option
from launcher.errors import InvalidInput
from launcher.tasks import run_blocking

if TYPE_CHECKING:
    from launcher.ollama import Client
    from launcher.ollama.requests import Format, Think

_THINK = "--think"
_LEVELS = ("on", "low", "medium", "high", "max")
_LARGEST_INPUT_BYTES = 16 * 1024 * 1024
_LARGEST_SCHEMA_BYTES = 1024 * 1024
_LARGEST_IMAGE_BYTES = 100 * 1024 * 1024


class _ThinkingCommand(click.Command):
    """A command whose ``--think`` may stand alone: the next word is its level only if it is one."""

    def parse_args(self, context: click.Context, arguments: list[str]) -> list[str]:
        named: list[str] = []
        rest = iter(arguments)
        for argument in rest:
            if argument == "--":
                named.append(argument)
                break
            if argument == _THINK:
                following = next(rest, None)
                if following in _LEVELS:
                    named.append(f"{_THINK}={following}")
                    continue
                named.append(f"{_THINK}=on")
                if following is None:
                    break
                argument = following
            named.append(argument)
        return super().parse_args(context, [*named, *rest])


_HELP = """Ask a model, or talk to it: without a PROMPT, on a terminal, a conversation begins.

What is piped in is the prompt, or is added to the one that is given:

\b
    git diff | ollama-launcher chat "Write a commit message for this:"
"""


@click.command(cls=_ThinkingCommand, short_help="Talk to a model, or ask it one question.", help=_HELP)
@click.argument("prompt", nargs=-1)
@click.option(
    "-m",
    "--model",
    metavar="NAME",
    help="The model; else the default one, a loaded one, the newest one.",
    shell_complete=installed,
)
@click.option("--system", metavar="TEXT", default="", help="What the model is told about itself.")
@click.option("--image", "images", metavar="PATH", multiple=True, help="A picture to look at; several are possible.")
@click.option("--format", "form", metavar="json|FILE", help="Answer in JSON, or as the JSON schema in a file says.")
@click.option(
    _THINK, "think", metavar="[LEVEL]", type=click.Choice(_LEVELS), help=f"Think first: {', '.join(_LEVELS)}."
)
@click.option("--no-think", is_flag=True, help="Answer without thinking.")
@click.option("--stream/--no-stream", default=None, help="Show the answer as it comes, or as a whole.")
@click.option("--temperature", metavar="NUMBER", help="How freely words are chosen.")
@click.option("--num-ctx", metavar="TOKENS", help="The size of the context.")
@click.option("--num-predict", metavar="TOKENS", help="The length that an answer may have.")
@click.option("--seed", metavar="NUMBER", help="The same seed and question give the same answer.")
@click.option("-o", "--option", "options", metavar="NAME=VALUE", multiple=True, help="Any other option of Ollama.")
@click.option("--keep-alive", metavar="TIME", help="How long the model stays in memory: 30m, 2h, 0, -1 for ever.")
@click.option("--start", is_flag=True, help="Start Ollama where it does not run.")
@click.option("-v", "--verbose", is_flag=True, help="Tell how long it took.")
@shared_options
def chat(
    session: Session,
    *,
    prompt: tuple[str, ...],
    model: str | None,
    system: str,
    images: tuple[str, ...],
    form: str | None,
    think: str | None,
    no_think: bool,
    stream: bool | None,
    temperature: str | None,
    num_ctx: str | None,
    num_predict: str | None,
    seed: str | None,
    options: tuple[str, ...],
    keep_alive: str | None,
    start: bool,
    verbose: bool,
) -> int:
    if think is not None and no_think:
        raise click.UsageError("--think and --no-think contradict each other.")
    named = {"temperature": temperature, "num_ctx": num_ctx, "num_predict": num_predict, "seed": seed}
    written = [(name, value) for name, value in named.items() if value is not None]
    wishes = Wishes(
        format=_format(form),
        think=_think(think, no_think=no_think),
        options=read_options([*map(split_option, options), *written]),
        keep_alive=None if keep_alive is None else keep_alive_of(keep_alive, zero=True),
        verbose=verbose,
    )
    wanted = None if model is None else ModelName.parse(model).display
    words = " ".join(prompt)
    if not words and sys.stdin is not None and sys.stdin.isatty():
        if session.as_json or not output.on_terminal():
            raise click.UsageError('There is no question. Ask one: ollama-launcher chat "Why is the sky blue?"')
        if images:
            raise click.UsageError("--image needs a PROMPT: what is to be said of the picture?")
        return run(lambda: _talk(session, wanted, system, wishes, start=start))
    streams = stream if stream is not None else not session.as_json
    return run(lambda: _once(session, wanted, words, system, images, wishes, start=start, streams=streams))


async def _talk(session: Session, wanted: str | None, system: str, wishes: Wishes, *, start: bool) -> int:
    from launcher.cli.conversation import Talk
    from launcher.cli.serving import NotPulled, choose_model, open_client, with_model

    notices = Notices()
    async with open_client(session, start=start, tell=notices.take) as client:
        model = await choose_model(session, client, wanted)
        try:
            await with_model(session, model, lambda: client.show(model))
        except NotPulled as error:
            return error.code
        return await Talk(session, client, Conversation(model, system), wishes, notices).run()


async def _once(
    session: Session,
    wanted: str | None,
    words: str,
    system: str,
    images: Sequence[str],
    wishes: Wishes,
    *,
    start: bool,
    streams: bool,
) -> int:
    from launcher.cli.serving import NotPulled, choose_model, open_client, with_model

    piped = await run_blocking(_piped)
    text = "\n\n".join(part for part in (words, piped) if part.strip())
    if not text:
        raise click.UsageError("There is no question: neither words nor something piped in.")
    pictures = [await run_blocking(_image, path) for path in images]
    notices = Notices()
    async with open_client(session, start=start, tell=notices.take) as client:
        model = await choose_model(session, client, wanted)
        asked = Conversation(model, system).with_turn(Turn(Role.USER, text, images=tuple(pictures)))
        try:
            await with_model(session, model, lambda: _answer(session, client, asked, wishes, streams=streams))
        except NotPulled as error:
            return error.code
        finally:
            notices.tell_held()
    return Exit.DONE


async def _answer(session: Session, client: Client, asked: Conversation, wishes: Wishes, *, streams: bool) -> None:
    if session.as_json:
        await _answer_json(client, asked, wishes, streams=streams)
        return
    hearing = Hearing()
    screen = open_screen()
    try:
        if streams:
            await hearing.listen(client, asked, wishes, screen)
        else:
            screen.wait(f"Waiting for {asked.model} …")
            hearing.last = await client.chat(asked.model, asked.messages(), **wishes.members())
            screen.think(hearing.last.message.thinking)
            screen.answer(hearing.last.message.content)
    finally:
        screen.close()
    if was_cut_short(hearing.last):
        output.remark(CUT_SHORT)
    if wishes.verbose:
        tell_measures(hearing.last)


async def _answer_json(client: Client, asked: Conversation, wishes: Wishes, *, streams: bool) -> None:
    from contextlib import aclosing

    if not streams:
        answer = await client.chat(asked.model, asked.messages(), **wishes.members())
        output.fact(answer_json(answer))
        return
    pieces = client.stream_chat(asked.model, asked.messages(), **wishes.members())
    async with aclosing(pieces):
        async for piece in pieces:
            output.fact(answer_json(piece))


def _think(level: str | None, *, no_think: bool) -> Think | None:
    if no_think:
        return False
    if level is None:
        return None
    return True if level == "on" else cast(Literal["low", "medium", "high", "max"], level)


def _format(written: str | None) -> Format | None:
    if written is None or written == "json":
        return cast("Literal['json'] | None", written)
    try:
        schema: Any = json.loads(_read(Path(written), _LARGEST_SCHEMA_BYTES))
    except (ValueError, RecursionError) as error:
        raise InvalidInput(
            f"The file {written} is not JSON.", detail=str(error), hint="--format takes a JSON schema."
        ) from error
    if not isinstance(schema, dict):
        raise InvalidInput(f"The file {written} holds no JSON schema: it is no object.")
    return schema


def _image(path: str) -> str:
    """Read a picture as Base64."""
    import base64

    return base64.b64encode(_read(Path(path), _LARGEST_IMAGE_BYTES)).decode("ascii")


def _piped() -> str:
    """Read what is piped in; nothing is where a person sits."""
    if sys.stdin is None or sys.stdin.isatty():
        return ""
    content = sys.stdin.buffer.read(_LARGEST_INPUT_BYTES + 1)
    if len(content) > _LARGEST_INPUT_BYTES:
        raise InvalidInput("What is piped in is longer than any model can read.", hint="Leave some of it out.")
    return content.decode("utf-8", "replace").rstrip("\n")


def _read(path: Path, limit_bytes: int) -> bytes:
    try:
        with path.open("rb") as file:
            content = file.read(limit_bytes + 1)
    except OSError as error:
        raise InvalidInput(f"The file {path} cannot be read: {error.strerror or error}.", detail=str(error)) from error
    if len(content) > limit_bytes:
        raise InvalidInput(f"The file {path} is too large.")
    return content
