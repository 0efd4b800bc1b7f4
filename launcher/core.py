"""Build and own all services, without Qt: the window, the command line and the tests stand on it.

Services do not know each other; what one needs of another is handed in here as a callable. :func:`open_core` builds
everything for one address and closes it on every path. A command uses ``control``, ``client`` and ``downloads``
directly; a window awaits :meth:`Core.run`, which keeps the published snapshots true.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial

from launcher import paths
from launcher.domain.address import Address
from launcher.domain.models import Models
from launcher.domain.server import Owner, ServerState, ServerStatus
from launcher.domain.settings import OnQuit
from launcher.domain.transfer import Transfer
from launcher.downloads import Downloads
from launcher.errors import LauncherError, StorageError
from launcher.library import Library
from launcher.ollama import Client
from launcher.server.control import Places, ServerControl, Timing
from launcher.server.find import find_binary
from launcher.server.health import HealthPoller
from launcher.server.supervisor import RestartPolicy, Supervisor
from launcher.settings import SettingsStorage

Snapshot = ServerStatus | Models | tuple[Transfer, ...]

_DRAIN_S = 2.0


def _to_nobody(_: object) -> None:
    """Publish to nobody: a command reads what it needs."""


@dataclass(frozen=True, slots=True)
class Chosen:
    """Which server is meant, and whether a person named it for this one run."""

    address: Address
    by_option: bool


def choose_address(host: str | None, setting: str, environ: Mapping[str, str]) -> Chosen:
    """Take ``--host``, else the setting, else ``OLLAMA_HOST``, else the default. Raises InvalidAddress."""
    if host is not None:
        return Chosen(Address.parse(host), by_option=True)
    return Chosen(Address.parse(setting or environ.get("OLLAMA_HOST", "")), by_option=False)


class Core:
    """All services of one run, for one address. Built by :func:`open_core`."""

    def __init__(
        self,
        *,
        settings: SettingsStorage,
        chosen: Chosen,
        client: Client,
        environ: Mapping[str, str],
        publish: Callable[[Snapshot], None],
        report: Callable[[LauncherError], None],
        timing: Timing | None,
        policy: RestartPolicy | None,
    ) -> None:
        self.settings = settings
        self.address = chosen.address
        self.client = client
        self.library = Library(client, publish)
        self.downloads = Downloads(client, publish)
        state = paths.state_dir()
        self.control = ServerControl(
            client=client,
            address=chosen.address,
            places=Places(
                record=state / "server.json",
                lock=state / "server.lock",
                log=paths.log_dir() / "server.log",
                work_dir=state,
            ),
            find=lambda: find_binary(settings.current.ollama_binary, environ),
            environ=environ,
            close_pulls=partial(self.downloads.drain, _DRAIN_S),
            chosen=chosen.by_option,
            timing=timing,
        )
        self.supervisor = Supervisor(
            self.control, publish=publish, report=report, wake_poller=self._wake_poller, policy=policy
        )
        self.health = HealthPoller(
            look=self.control.look,
            on_seen=self.supervisor.seen,
            state=lambda: self.supervisor.status.state,
            refresh_models=self.library.refresh,
            forget_models=self.library.forget,
        )

    async def models(self) -> Models:
        """Read what is installed and loaded now."""
        return await self.library.refresh()

    async def run(self) -> None:
        """Run all services until cancelled, or until one fails unexpectedly (which is raised)."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self.supervisor.run(), name="supervisor")
            group.create_task(self.health.run(), name="health")
            group.create_task(self.downloads.run(), name="downloads")

    async def quit(self) -> None:
        """What a person's "quit" means for pulls and server, before :meth:`run` is cancelled: as the setting says."""
        await self.downloads.drain(_DRAIN_S)
        status = self.supervisor.status
        ours = status.owner is Owner.OURS and status.state is not ServerState.BACKOFF
        if ours and self.settings.current.on_quit is OnQuit.STOP:
            await self.control.stop()

    def _wake_poller(self) -> None:
        self.health.wake()


@asynccontextmanager
async def open_core(
    host: str | None = None,
    *,
    publish: Callable[[Snapshot], None] = _to_nobody,
    report: Callable[[LauncherError], None] = _to_nobody,
    environ: Mapping[str, str] | None = None,
    timing: Timing | None = None,
    policy: RestartPolicy | None = None,
) -> AsyncIterator[Core]:
    """Build the services for the chosen address and close what they hold, on every path.

    Raises InvalidAddress, and StorageError where our folders cannot be had. The server is not touched by closing.
    """
    environ = os.environ if environ is None else environ
    settings = SettingsStorage(paths.config_dir() / "settings.json")
    for notice in settings.load():
        report(StorageError(notice.title, detail=notice.detail, hint=notice.hint))
    chosen = choose_address(host, settings.current.address, environ)
    async with Client(chosen.address) as client:
        core = Core(
            settings=settings,
            chosen=chosen,
            client=client,
            environ=environ,
            publish=publish,
            report=report,
            timing=timing,
            policy=policy,
        )
        try:
            yield core
        finally:
            await core.downloads.drain(_DRAIN_S)
