"""Build and own all services, without Qt: the window, the command line and the tests stand on it.

Services do not know each other; what one needs of another is handed in here as a callable. :func:`open_core` builds
everything for one address and closes it on every path. A command uses ``control``, ``client`` and ``downloads``
directly; a window awaits :meth:`Core.run`, which keeps the published snapshots true.

A demo is the same on the simulated server: a child of ours in the place of Ollama, on an address of its own, in
folders of its own.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from launcher import paths
from launcher.domain.address import Address
from launcher.domain.models import Models
from launcher.domain.server import ANSWERING, Owner, Seen, ServerState, ServerStatus, Sighting, advance, offers
from launcher.domain.settings import OnQuit, Settings
from launcher.domain.transfer import Transfer
from launcher.downloads import Downloads
from launcher.downloads.unfinished import Unfinished, UnfinishedFile
from launcher.environment import self_command
from launcher.errors import LauncherError, StorageError
from launcher.library import Library
from launcher.ollama import Client
from launcher.ollama.tls import trusted
from launcher.server import identity
from launcher.server.control import ServerControl, Timing
from launcher.server.find import Binary, find_binary
from launcher.server.health import HealthPoller, Intervals
from launcher.server.launch import usual_places
from launcher.server.log import follow_in_batches
from launcher.server.lookout import Lookout
from launcher.server.models_folder import models_folder
from launcher.server.record import RecordFile
from launcher.server.supervisor import RestartPolicy, Supervisor
from launcher.settings import SettingsStorage
from launcher.tasks import run_blocking

if TYPE_CHECKING:
    from launcher.ollama.notices import Tell

Snapshot = ServerStatus | Models | tuple[Transfer, ...]

_DRAIN_S = 2.0
_LOG_LINES = 5000
_LOG_POLL_S = 0.2
_UNFINISHED_NAME = "downloads.json"


WATCHING = RestartPolicy(most=0)
"""For whoever only watches: a server that ends by itself is not started again."""


def watching_every(interval_s: float) -> Intervals:
    """Look at state and models so often."""
    return Intervals(running_s=interval_s, unwatched_s=interval_s, models_s=interval_s)


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


@asynccontextmanager
async def open_client(
    host: str | None = None,
    *,
    report: Callable[[LauncherError], None] = _to_nobody,
    environ: Mapping[str, str] | None = None,
    mend: bool = True,
    tell: Tell | None = None,
) -> AsyncIterator[Client]:
    """Connect to the chosen server, for whoever needs nothing else: no folder of ours has to be there.

    Without a home there are no settings, and ``host``, OLLAMA_HOST or the default decide. ``tell`` gets what the client
    notices on the way to an answer. With ``mend=False`` settings that cannot be understood stay where they are, for
    somebody else to be told of. Raises InvalidAddress.
    """
    environ = os.environ if environ is None else environ
    try:
        settings = _load_settings(report, mend=mend).current
    except StorageError:
        settings = Settings()
    address = choose_address(host, settings.address, environ).address
    async with await _make_client(address, default_model=settings.default_model, tell=tell) as client:
        yield client


async def look_from_outside(
    host: str | None = None,
    *,
    report: Callable[[LauncherError], None] = _to_nobody,
    environ: Mapping[str, str] | None = None,
) -> tuple[ServerStatus, Models]:
    """See once what is at the chosen address, without any folder of ours: then nobody knows whose it is."""
    environ = os.environ if environ is None else environ
    timing = Timing()
    async with open_client(host, report=report, environ=environ) as client:
        lookout = Lookout(
            client=client,
            address=client.address,
            record_file=None,
            find=partial(find_binary, "", environ),
            probe_s=timing.probe_s,
            overdue_s=timing.ready_s,
        )
        status = advance(lookout.nothing_seen(), Seen(await lookout.look()))
        answers = status.state in ANSWERING
        return status, await Library(client, _to_nobody).refresh() if answers else Models(installed=None, loaded=None)


def _load_settings(report: Callable[[LauncherError], None], *, mend: bool = True) -> SettingsStorage:
    settings = SettingsStorage(paths.config_dir() / "settings.json")
    for notice in settings.load(mend=mend):
        report(StorageError(notice.title, detail=notice.detail, hint=notice.hint))
    return settings


async def _make_client(address: Address, *, default_model: str = "", tell: Tell | None = None) -> Client:
    if address.scheme == "https":
        # Made once a process, and for long enough to be felt: 40 ms, 200 ms where the disk is slow.
        await run_blocking(trusted)
    return Client(address, default_model=default_model, tell=tell)


def _find(settings: SettingsStorage, environ: Mapping[str, str]) -> Binary | None:
    return find_binary(settings.current.ollama_binary, environ)


# --- the simulated server in the place of Ollama ----------------------------------------------------------------------


def _demo_binary() -> Binary:
    program, *arguments = self_command("demo")
    return Binary(Path(program), "simulated", tuple(arguments))


def _demo_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """Keep the models of a demo in its state folder, and drop what is meant for a real server."""
    kept = {name: value for name, value in environ.items() if not name.startswith("OLLAMA_")}
    return {**kept, "OLLAMA_MODELS": str(paths.state_dir() / "models")}


def _demo_address() -> str:
    """Take the address of a simulated server that still runs, else a free port: the usual one may have an Ollama."""
    record = RecordFile(usual_places().record).read()
    if record is not None and record.address and identity.is_recorded_alive(record):
        return record.address
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{probe.getsockname()[1]}"


class Core:
    """All services of one run, for one address. Built by :func:`open_core`."""

    def __init__(
        self,
        *,
        settings: SettingsStorage,
        chosen: Chosen,
        client: Client,
        find: Callable[[], Binary | None],
        environ: Mapping[str, str],
        publish: Callable[[Snapshot], None],
        report: Callable[[LauncherError], None],
        timing: Timing | None,
        policy: RestartPolicy | None,
        intervals: Intervals | None,
    ) -> None:
        self.settings = settings
        self.address = chosen.address
        self.client = client
        self._environ = environ
        self._publish = publish
        self._starts_when_seen = False
        self._answers = False
        self.library = Library(client, publish)
        self.downloads = Downloads(client, self._publish_transfers)
        self.control = ServerControl(
            client=client,
            address=chosen.address,
            places=usual_places(),
            find=find,
            environ=environ,
            close_pulls=partial(self.downloads.drain, _DRAIN_S),
            chosen=chosen.by_option,
            timing=timing,
        )
        self.supervisor = Supervisor(
            self.control, publish=self._publish_server, report=report, wake_poller=self._wake_poller, policy=policy
        )
        server = "local" if self.supervisor.status.local else client.base_url
        self.unfinished = Unfinished(UnfinishedFile(paths.state_dir() / _UNFINISHED_NAME), server)
        self.health = HealthPoller(
            look=self.control.look,
            on_seen=self._on_seen,
            state=lambda: self.supervisor.status.state,
            refresh_models=self.library.refresh,
            forget_models=self.library.forget,
            intervals=intervals,
        )

    async def models(self) -> Models:
        """Read what is installed and loaded now."""
        return await self.library.refresh()

    @property
    def models_folder(self) -> Path | None:
        """Where a server that is started here keeps its models; None for one on another machine."""
        if not self.supervisor.status.local:
            return None
        try:
            return models_folder(self._environ).absolute()
        except StorageError:
            return None

    def log_batches(self) -> AsyncGenerator[list[str], None]:
        """What our server writes, masked: its last lines, then what came at each asking, which may be nothing."""
        return follow_in_batches(self.control.log_path, lines=_LOG_LINES, poll_s=_LOG_POLL_S)

    def start_when_seen(self) -> None:
        """Start the server once it has been seen that none runs and one can be started."""
        self._starts_when_seen = True

    async def run(self) -> None:
        """Run all services until cancelled, or until one fails unexpectedly (which is raised)."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self.supervisor.run(), name="supervisor")
            group.create_task(self.health.run(), name="health")
            group.create_task(self.downloads.run(), name="downloads")
            group.create_task(self._keep_unfinished(), name="unfinished downloads")

    async def watch(self) -> None:
        """Keep the published state and models true until cancelled, and do nothing else."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self.supervisor.run(), name="supervisor")
            group.create_task(self.health.run(), name="health")

    async def quit(self) -> None:
        """What a person's "quit" means for pulls and server, before :meth:`run` is cancelled: as the setting says."""
        await self.downloads.drain(_DRAIN_S)
        status = self.supervisor.status
        ours = status.owner is Owner.OURS and status.state is not ServerState.BACKOFF
        if ours and self.settings.current.on_quit is OnQuit.STOP:
            await self.control.stop()

    def _on_seen(self, sighting: Sighting) -> None:
        self.supervisor.seen(sighting)
        status = self.supervisor.status
        if self._starts_when_seen and status.state is not ServerState.CHECKING:
            # Once: what is stopped later is stopped because somebody wishes it.
            self._starts_when_seen = False
            if status.state in (ServerState.STOPPED, ServerState.FAILED) and offers(status).start:
                self.supervisor.start()

    async def _keep_unfinished(self) -> None:
        """Offer what an earlier run has left, paused, as nobody has asked for it in this one; keep what this has."""
        for name in await self.unfinished.read():
            self.downloads.offer(name)
        # Also where there is none: what was shown may be another server's.
        self._publish_transfers(self.downloads.transfers)
        await self.unfinished.run()

    def _publish_transfers(self, transfers: tuple[Transfer, ...]) -> None:
        self._publish(transfers)
        self.unfinished.changed(transfers)

    def _publish_server(self, status: ServerStatus) -> None:
        answered, self._answers = self._answers, status.state in ANSWERING
        self._publish(status)
        if self._answers and not answered:
            self.downloads.resume()

    def _wake_poller(self) -> None:
        self.health.wake()


@asynccontextmanager
async def open_core(
    host: str | None = None,
    *,
    publish: Callable[[Snapshot], None] = _to_nobody,
    report: Callable[[LauncherError], None] = _to_nobody,
    settings: SettingsStorage | None = None,
    demo: bool = False,
    environ: Mapping[str, str] | None = None,
    timing: Timing | None = None,
    policy: RestartPolicy | None = None,
    intervals: Intervals | None = None,
) -> AsyncIterator[Core]:
    """Build the services for the chosen address and close what they hold, on every path.

    ``settings`` are those that were read already; None: read here. With ``demo`` the simulated server is started in
    the place of Ollama; our folders must be those of a demo then (:func:`.paths.state_dir`). Raises InvalidAddress, and
    StorageError where our folders cannot be had. The server is not touched by closing.
    """
    environ = os.environ if environ is None else environ
    if settings is None:
        settings = _load_settings(report)
    stored = settings
    find: Callable[[], Binary | None]
    if demo:
        environ = _demo_environment(environ)
        chosen = choose_address(host, settings.current.address or _demo_address(), {})
        find = _demo_binary
    else:
        chosen = choose_address(host, settings.current.address, environ)
        find = partial(_find, stored, environ)
    async with await _make_client(chosen.address) as client:
        core = Core(
            settings=stored,
            chosen=chosen,
            client=client,
            find=find,
            environ=environ,
            publish=publish,
            report=report,
            timing=timing,
            policy=policy,
            intervals=intervals,
        )
        # Whatever the command is for: a killed server leaves runners that hold gigabytes.
        await core.control.tidy()
        try:
            yield core
        finally:
            await core.downloads.drain(_DRAIN_S)
