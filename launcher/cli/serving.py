"""What chat and embed need before they can begin: a server that runs, and a model that is installed.

What is missing is offered where a person can be asked, and named with the command that brings it where not.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, TypeVar

from launcher.cli import output
from launcher.cli.failures import Exit, NotInstalled
from launcher.cli.notices import tell_notice, warn_of_address
from launcher.cli.session import Session
from launcher.domain.server import ANSWERING
from launcher.errors import LauncherError

if TYPE_CHECKING:
    from launcher.ollama import Client
    from launcher.ollama.notices import Tell

T = TypeVar("T")
_SMALL_MODEL = "llama3.2:1b"


class NotStarted(LauncherError):
    """A server was to be started, and does not answer."""


class NotPulled(Exception):
    """A model was to be downloaded, and is not there; why was said already. ``code`` is what a command ends with."""

    def __init__(self, code: int) -> None:
        super().__init__(f"the download ended with {code}")
        self.code = code


@asynccontextmanager
async def open_client(session: Session, *, start: bool, tell: Tell | None = None) -> AsyncIterator[Client]:
    """Connect to the chosen server; ``start``: where none runs, start it first, as the command ``start`` does."""
    from launcher.core import open_client as connected
    from launcher.core import open_core

    if start:
        async with open_core(host=session.host) as core:
            if not await core.client.is_running():
                found = await core.control.start(output.remark)
                if found.state not in ANSWERING:
                    raise NotStarted(found.reason or "Ollama could not be started.", hint=found.hint)
    async with connected(session.host, report=tell_notice, tell=tell) as client:
        warn_of_address(client.address)
        yield client


async def choose_model(session: Session, client: Client, wanted: str | None) -> str:
    """Take the one that is wanted, else the one that is set, a loaded one, the newest one. Raises NotInstalled."""
    from launcher.ollama.errors import NoModelInstalled

    if wanted is not None:
        return wanted
    try:
        return await client.detect_model()
    except NoModelInstalled as error:
        raise NotInstalled(
            error.title,
            detail=error.detail,
            hint=f"Download one with: {session.command('models', 'pull', _SMALL_MODEL)}",
        ) from error


async def with_model(session: Session, model: str, use: Callable[[], Awaitable[T]]) -> T:
    """Do what needs a model. One that is not installed is downloaded first, where a person says so.

    Raises NotInstalled where nobody does, NotPulled where the download did not come to its end.
    """
    from launcher.ollama.errors import ModelNotFound

    try:
        return await use()
    except ModelNotFound as error:
        if not await _may_pull(session, model):
            raise NotInstalled(
                f"{model} is not installed.",
                detail=error.detail,
                hint=f"Download it with: {session.command('models', 'pull', model)}",
            ) from error
    await pull_now(session, model)
    return await use()


async def pull_now(session: Session, model: str) -> None:
    """Download a model as ``models pull`` does. Raises NotPulled, after its reason was told."""
    from launcher.cli.pull import pull_models
    from launcher.domain.names import ModelName

    code = await pull_models(session, [ModelName.parse(model)], insecure=False)
    if code != Exit.DONE:
        raise NotPulled(code)


async def _may_pull(session: Session, model: str) -> bool:
    from launcher.cli.asking import confirm

    # Where the answer goes into a file, the progress of a download must not.
    if session.as_json or not output.on_terminal() or not output.somebody_answers():
        return False
    return await confirm(f"{model} is not installed. Download it now?")
