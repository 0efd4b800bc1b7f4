"""``models list|show|rm|cp|load|unload``."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING

import click

from launcher.cli import output, phrases
from launcher.cli.completion import installed, loaded
from launcher.cli.failures import Exit, exit_code
from launcher.cli.notices import tell_notice, warn_of_address
from launcher.cli.output import OutputFailed
from launcher.cli.run import run
from launcher.cli.session import Session, shared_options
from launcher.domain.models import InstalledModel, LoadedModel
from launcher.domain.names import ModelName
from launcher.domain.units import format_bytes
from launcher.errors import InvalidInput, LauncherError

if TYPE_CHECKING:
    from launcher.ollama import Client

_READ_WITHIN_S = 5.0
"""Lists and descriptions come at once, also from a busy server: somebody who waits for them is told sooner."""
_OPTION = "--keep-alive"
_GO_DURATION = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)(ns|us|µs|μs|ms|s|m|h)((\d+(\.\d*)?|\.\d+)(ns|us|µs|μs|ms|s|m|h))*")


class NameTaken(LauncherError):
    """A copy would replace another model."""


class SameName(InvalidInput):
    """A copy would be the model itself."""


@click.command("list", short_help="List the installed models.")
@shared_options
def list_models(session: Session) -> int:
    """List the installed models, newest first, and which of them are in memory."""
    return _with_client(session, lambda client: _list(session, client))


@click.command(short_help="Tell what a model is.")
@click.argument("name", shell_complete=installed)
@shared_options
def show(session: Session, name: str) -> int:
    """Tell what a model is and can do."""
    parsed = ModelName.parse(name)
    return _with_client(session, lambda client: _each(session, [parsed], lambda name: _show(session, client, name)))


@click.command("rm", short_help="Remove models.")
@click.argument("names", nargs=-1, required=True, metavar="NAME...", shell_complete=installed)
@shared_options
def remove(session: Session, names: tuple[str, ...]) -> int:
    """Remove models from the disk; those in memory are unloaded first."""
    parsed = [ModelName.parse(name) for name in names]
    return _with_client(session, lambda client: _each(session, parsed, lambda name: _remove(session, client, name)))


@click.command("cp", short_help="Give a model a second name.")
@click.argument("source", shell_complete=installed)
@click.argument("destination")
@click.option("--overwrite", is_flag=True, help="Also when the destination is the name of another model.")
@shared_options
def copy(session: Session, source: str, destination: str, overwrite: bool) -> int:
    """Give a model a second name. No data is copied."""
    names = ModelName.parse(source), ModelName.parse(destination)
    return _with_client(
        session, lambda client: _each(session, names[:1], lambda _: _copy(session, client, *names, overwrite=overwrite))
    )


@click.command(short_help="Load a model into memory.")
@click.argument("name", shell_complete=installed)
@click.option("--keep-alive", metavar="TIME", help="How long it stays when unused: 30m, 2h, -1 for ever.")
@shared_options
def load(session: Session, name: str, keep_alive: str | None) -> int:
    """Load a model into memory, so that the first answer comes at once."""
    parsed = ModelName.parse(name)
    stay = None if keep_alive is None else keep_alive_of(keep_alive)
    return _with_client(
        session, lambda client: _each(session, [parsed], lambda name: _load(session, client, name, stay))
    )


@click.command(short_help="Take a model out of memory.")
@click.argument("name", shell_complete=loaded)
@shared_options
def unload(session: Session, name: str) -> int:
    """Take a model out of memory and wait until it is gone; it stays installed."""
    parsed = ModelName.parse(name)
    return _with_client(
        session, lambda client: _each(session, [parsed], lambda name: _unload_command(session, client, name))
    )


def _with_client(session: Session, command: Callable[[Client], Awaitable[int]]) -> int:
    async def body() -> int:
        from launcher.core import open_client

        async with open_client(session.host, report=tell_notice) as client:
            warn_of_address(client.address)
            return await command(client)

    return run(body)


async def _each(session: Session, names: Sequence[ModelName], command: Callable[[ModelName], Awaitable[None]]) -> int:
    """Do it for every name: one that fails is told and does not keep the others back."""
    from launcher.ollama.errors import ModelNotFound

    code = Exit.DONE
    for name in names:
        try:
            await command(name)
        except ModelNotFound:
            output.complain_of(
                f"{name.display} is not installed.",
                f"Download it with: {session.command('models', 'pull', name.display)}",
            )
            code = code or Exit.NO_SUCH_MODEL
        except OutputFailed:
            raise
        except LauncherError as error:
            output.complain_of(error.title, session.hint(error.hint))
            code = code or exit_code(error)
            if exit_code(error) is Exit.NOT_REACHABLE:
                break
    return code


async def _list(session: Session, client: Client) -> int:
    from launcher.actions.in_memory import model_key
    from launcher.library import installed_model, loaded_model

    tags, ps = await asyncio.gather(client.tags(timeout_s=_READ_WITHIN_S), client.ps(timeout_s=_READ_WITHIN_S))
    installed = [installed_model(model) for model in tags.models]
    loaded = [loaded_model(model) for model in ps.models]
    loaded_keys = {model_key(model.name) for model in loaded}
    if session.as_json:
        output.fact([_listed_json(model, is_loaded=model_key(model.name) in loaded_keys) for model in installed])
        return Exit.DONE
    if not installed:
        output.say(f"No model is installed. Download one with: {session.command('models', 'pull', 'llama3.2:1b')}")
        return Exit.DONE
    in_memory = {model_key(model.name): model for model in loaded}
    now_s = time.time()
    rows = [_listed_row(model, in_memory.get(model_key(model.name)), now_s) for model in installed]
    for line in output.table(("NAME", "SIZE", "PARAMETERS", "QUANTIZATION", "CHANGED", "IN MEMORY"), rows, right=(1,)):
        output.say(line)
    return Exit.DONE


def _listed_json(model: InstalledModel, *, is_loaded: bool) -> dict[str, object]:
    return {
        "name": model.name,
        "size_bytes": model.size_bytes,
        "digest": model.digest,
        "modified_at": phrases.when(model.modified_at),
        "family": model.family,
        "parameter_size": model.parameter_size,
        "quantization": model.quantization,
        "capabilities": list(model.capabilities) if model.capabilities is not None else None,
        "loaded": is_loaded,
    }


def _listed_row(model: InstalledModel, loaded: LoadedModel | None, now_s: float) -> tuple[str, ...]:
    changed = model.modified_at.astimezone().strftime("%Y-%m-%d %H:%M") if model.modified_at is not None else "–"
    memory = phrases.processor(loaded.size_bytes, loaded.size_vram_bytes) if loaded is not None else ""
    return (
        model.name,
        "cloud" if model.remote_host else format_bytes(model.size_bytes),
        model.parameter_size or "–",
        model.quantization or "–",
        changed,
        memory,
    )


async def _show(session: Session, client: Client, name: ModelName) -> None:
    answer = await client.show(name.display, timeout_s=_READ_WITHIN_S)
    if session.as_json:
        output.fact({"name": name.display, **answer.model_dump(mode="json", exclude={"tensors"})})
        return
    details = answer.details
    architecture = answer.model_info.get("general.architecture")
    facts = [
        ("Name", name.display),
        ("Family", details.family),
        ("Parameters", details.parameter_size),
        ("Quantization", details.quantization_level),
        ("Context", _whole(answer.model_info.get(f"{architecture}.context_length"))),
        ("Embedding", _whole(answer.model_info.get(f"{architecture}.embedding_length"))),
        ("Can", phrases.enumeration(answer.capabilities or ())),
        ("Runs at", answer.remote_host),
        ("License", next((line.strip() for line in (answer.license or "").splitlines() if line.strip()), None)),
    ]
    for label, value in facts:
        if value:
            output.say(f"{label:<13} {value}")
    for label, text in (("Settings", answer.parameters), ("System", answer.system)):
        if text:
            output.say(f"\n{label}")
            # The server gives the settings in random order.
            lines = sorted(text.splitlines()) if label == "Settings" else text.splitlines()
            for line in lines:
                output.say("  " + line)


def _whole(value: object) -> str | None:
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else None


async def _remove(session: Session, client: Client, name: ModelName) -> None:
    from launcher.actions.delete_models import delete_model

    await delete_model(client, name.display)
    if session.as_json:
        output.fact({"model": name.display, "removed": True})
    else:
        output.say(f"{name.display} is removed.")


async def _copy(
    session: Session, client: Client, source: ModelName, destination: ModelName, *, overwrite: bool
) -> None:
    from launcher.actions.in_memory import model_key
    from launcher.ollama.errors import ModelNotFound

    tags = await client.tags(timeout_s=_READ_WITHIN_S)
    digests = {model_key(model.name): model.digest for model in tags.models}
    if source.key == destination.key:
        if source.key not in digests:
            raise ModelNotFound(404, f"model '{source.display}' not found")  # the server would be content
        raise SameName(f"Both names are {source.display}.", hint="Choose another name for the copy.")
    # The server itself says best whether there is such a model, but not before it would be asked to overwrite one.
    if not overwrite and source.key in digests:
        taken = digests.get(destination.key)
        if taken is not None and taken != digests[source.key]:
            # The server would overwrite it without asking.
            raise NameTaken(
                f"There is another model with the name {destination.display}.",
                hint="Choose another name, or use --overwrite.",
            )
    await client.copy(source.display, destination.display)
    if session.as_json:
        output.fact({"model": destination.display, "copied_from": source.display})
    else:
        output.say(f"{destination.display} is a copy of {source.display}.")


async def _load(session: Session, client: Client, name: ModelName, keep_alive: int | str | None) -> None:
    from launcher.actions.in_memory import find_loaded

    if output.on_terminal():
        output.remark(f"Loading {name.display} …")
    # A load may last for minutes; that somebody answers at all is known sooner.
    await client.version(timeout_s=_READ_WITHIN_S)
    await client.load(name.display, keep_alive=keep_alive)
    loaded = await find_loaded(client, name.display)
    if session.as_json:
        output.fact(phrases.loaded_json(loaded) if loaded is not None else {"name": name.display})
    else:
        output.say(f"{phrases.loaded_sentence(loaded) if loaded is not None else name.display} is loaded.")


async def _unload_command(session: Session, client: Client, name: ModelName) -> None:
    from launcher.actions.in_memory import unload_model

    was_loaded = await unload_model(client, name.display)
    if not was_loaded:
        # Whether there is such a model at all is for the server to say.
        await client.unload(name.display)
    if session.as_json:
        output.fact({"model": name.display, "loaded": False})
    else:
        output.say(f"{name.display} is unloaded." if was_loaded else f"{name.display} was not loaded.")


def keep_alive_of(text: str, *, zero: bool = False) -> int | str:
    """Read a time that a model stays in memory; ``zero``: it may be none. Raises BadParameter."""
    # A number must be sent as one: the server refuses it as a text (api/types.go Duration, 0.33).
    if re.fullmatch(r"[+-]?\d+", text):
        value: int | str = int(text)
    elif _GO_DURATION.fullmatch(text):
        value = text
    else:
        raise click.BadParameter(f"“{text}” is no time: use seconds, 30m, 2h, or -1 for ever.", param_hint=_OPTION)
    if not zero and not re.search(r"[1-9]", text):
        raise click.BadParameter("a model that stays for no time would not be loaded: use unload.", param_hint=_OPTION)
    return value
