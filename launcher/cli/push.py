"""``models push``: a model goes to its registry."""

from __future__ import annotations

import asyncio
from contextlib import aclosing

import click

from launcher.cli import output
from launcher.cli.completion import installed
from launcher.cli.failures import Exit, NotInstalled
from launcher.cli.progress import open_steps
from launcher.cli.run import run
from launcher.cli.session import Session, shared_options
from launcher.domain.names import DEFAULT_HOST, DEFAULT_NAMESPACE, ModelName
from launcher.errors import InvalidInput, LauncherError

_ANSWERS_WITHIN_S = 5.0


@click.command(short_help="Upload a model to its registry.")
@click.argument("name", shell_complete=installed)
@click.option("--insecure", is_flag=True, help="Use plain HTTP to the registry.")
@shared_options
def push(session: Session, name: str, insecure: bool) -> int:
    """Upload a model to the registry that its name tells: USER/MODEL at ollama.com, or HOST/USER/MODEL.

    Ctrl-C stops; the same command sends what is missing.
    """
    parsed = ModelName.parse(name)
    if parsed.host.lower() == DEFAULT_HOST and parsed.namespace.lower() == DEFAULT_NAMESPACE:
        command = session.command("models", "cp", parsed.display, f"USER/{parsed.model}:{parsed.tag}")
        raise InvalidInput(
            f"The name {parsed.display} does not tell whose it is, so it cannot be uploaded.",
            hint=f"Give it a name with yours in it first: {command}",
        )
    return run(lambda: _push(session, parsed.display, insecure=insecure))


async def _push(session: Session, name: str, *, insecure: bool) -> int:
    from launcher.cli.serving import open_client
    from launcher.ollama.errors import ModelNotFound

    view = open_steps(session, name)
    try:
        async with open_client(session, start=False) as client:
            # The server itself would answer with the path of a file that is not there.
            await client.show(name, timeout_s=_ANSWERS_WITHIN_S)
            lines = client.push(name, insecure)
            async with aclosing(lines):
                async for line in lines:
                    view.show(line.status, line.completed, line.total, line.digest or "")
    except asyncio.CancelledError:
        view.close()
        output.remark(f"Stopped; {name} is not uploaded as a whole. The same command sends what is missing.")
        raise
    except ModelNotFound as error:
        _tell_failure(session, name, f"{name} is not installed.")
        raise NotInstalled(
            f"{name} is not installed.", hint=f"What is there tells: {session.command('models', 'list')}"
        ) from error
    except output.OutputFailed:
        raise
    except LauncherError as error:
        view.close()
        _tell_failure(session, name, error.title)
        raise
    finally:
        view.close()
    if not session.as_json:
        output.say(f"{name} is uploaded.")
    return Exit.DONE


def _tell_failure(session: Session, name: str, title: str) -> None:
    if session.as_json:
        output.fact({"model": name, "status": "failed", "error": title})
