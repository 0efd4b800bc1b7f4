"""Examine all that has a part in an answering server, and say of each how it is and what to do. Changes nothing.

Facts are gathered side by side, what blocks on threads, and each check has a time limit: one that hangs says so and
keeps no other back. What follows from the facts is :mod:`launcher.domain.checks`' to say. Works without a home, without
Ollama and without a server; of one on another computer only what can be known from here is examined.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import sys
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

from launcher import paths
from launcher.core import Chosen, choose_address
from launcher.domain import checks
from launcher.domain.checks import Check, Engine, Graphics, Key, ModelsFolder, Ownership, OwnFolders, Proxies, Proxy
from launcher.domain.server import ANSWERING, Owner, Seen, advance
from launcher.domain.settings import Settings
from launcher.errors import LauncherError, StorageError
from launcher.library import loaded_model
from launcher.ollama import Client, OllamaError
from launcher.ollama.tls import trusted
from launcher.server import graphics, identity, models_folder, owner, port
from launcher.server.errors import NotInstalled
from launcher.server.find import Binary, binary_version, find_binary
from launcher.server.lookout import Lookout
from launcher.server.record import RecordFile, ServerRecord
from launcher.settings import SettingsStorage
from launcher.tasks import run_blocking

T = TypeVar("T")

_PROXY_S = 2.0
_READ_S = 3.0
_OVERDUE_S = 180.0
_SHARE = 0.8
"""Of the limit: what a check waits for another one's facts that it can do without."""
_FOUND_IN = {
    "environment": "the variable OLLAMA_LAUNCHER_OLLAMA",
    "setting": "the settings",
    "PATH": "PATH",
    "known place": "the place where it is usually installed",
}


@dataclass(frozen=True, slots=True)
class Patience:
    """How long is waited, in seconds."""

    check_s: float = 8.0
    """For one check, whatever it does."""
    probe_s: float = 2.0
    """For one answer of the server."""


@dataclass(frozen=True, slots=True)
class _Own:
    """Our own files, read and left as they are."""

    settings: Settings
    state: Path | None
    trouble: tuple[str, ...]


async def examine(
    host: str | None = None, *, environ: Mapping[str, str] | None = None, patience: Patience | None = None
) -> AsyncGenerator[Check, None]:
    """Give one check after the other, in the order of :data:`.checks.SUBJECTS`. Raises InvalidAddress.

    Close it when done before its end.
    """
    environ = dict(os.environ if environ is None else environ)
    patience = patience or Patience()
    try:
        own = await run_blocking(_read_own, timeout_s=patience.check_s)
    except TimeoutError:
        own = _Own(Settings(), None, ("The launcher's settings could not be read in time.",))
    chosen = choose_address(host, own.settings.address, environ)
    if chosen.address.scheme == "https":
        await run_blocking(trusted)
    async with Client(chosen.address) as client:
        examination = _Examination(client, chosen, own, environ, patience)
        try:
            async for check in examination.run():
                yield check
        finally:
            await examination.aclose()


def _read_own() -> _Own:
    trouble: list[str] = []
    settings = Settings()
    state: Path | None = None
    with suppress(StorageError):
        state = paths.state_dir()
        storage = SettingsStorage(paths.config_dir() / "settings.json")
        trouble.extend(f"{notice.title} {notice.hint}".strip() for notice in storage.load(mend=False))
        settings = storage.current
    return _Own(settings, state, tuple(trouble))


class _Examination:
    """One walk through all checks. Facts that several of them need are gathered once."""

    def __init__(
        self, client: Client, chosen: Chosen, own: _Own, environ: Mapping[str, str], patience: Patience
    ) -> None:
        self._client = client
        self._address = chosen.address
        self._own = own
        self._environ = environ
        self._patience = patience
        self._trouble = list(own.trouble)
        self._tasks: list[asyncio.Task[Any]] = []
        record_file = None
        if own.state is not None:
            record_file = RecordFile(own.state / "server.json", self._trouble.append, mends=False)
        self._lookout = Lookout(
            client=client,
            address=chosen.address,
            record_file=record_file,
            find=self._find,
            probe_s=patience.probe_s,
            overdue_s=_OVERDUE_S,
        )
        self._status = self._lookout.nothing_seen()
        self._record: ServerRecord | None = None
        self._latency_ms: float | None = None

    async def run(self) -> AsyncGenerator[Check, None]:
        engine = self._spawn(self._engine()) if self._lookout.local else None
        try:
            async with asyncio.timeout(self._patience.check_s):
                await self._look()
        except TimeoutError:
            # A drive hangs; who answers is known all the same.
            self._status = advance(self._status, Seen(await self._lookout.probe()))
        whose = self._spawn(self._whose())
        place = self._spawn(self._place(whose))
        left_over = self._spawn(self._unfinished(place))
        work: dict[str, Callable[[], Awaitable[Check | None]]] = {
            "engine": lambda: self._check_engine(engine),
            "version": lambda: self._check_version(engine),
            "server": self._check_server,
            "owner": lambda: self._check_owner(whose),
            "port": self._check_port,
            "models": lambda: self._check_models(place, whose),
            "downloads": lambda: self._check_downloads(left_over),
            "space": lambda: self._check_space(place, left_over),
            "gpu": lambda: self._check_gpu(whose),
            "proxy": self._check_proxy,
            "exposure": self._check_exposure,
            "key": lambda: self._check_key(whose),
            "state": self._check_state,
            "variables": lambda: self._check_variables(whose),
        }
        examined = [
            self._spawn(self._bounded(subject.id, work[subject.id]))
            for subject in checks.SUBJECTS
            if subject.elsewhere or self._lookout.local
        ]
        for task in examined:
            check = await task
            if check is not None:
                yield check

    async def aclose(self) -> None:
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=1.0)
        for task in self._tasks:
            if task.done() and not task.cancelled():
                task.exception()

    async def _bounded(self, subject_id: str, work: Callable[[], Awaitable[Check | None]]) -> Check | None:
        limit_s = self._patience.check_s
        try:
            async with asyncio.timeout(limit_s):
                return await work()
        except TimeoutError:
            return checks.hung(subject_id, limit_s)
        except LauncherError as error:
            return checks.broken(subject_id, error.title)
        except OSError as error:
            return checks.broken(subject_id, str(error))

    def _spawn(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.append(task)
        return task

    async def _or(self, task: asyncio.Task[T], otherwise: T) -> T:
        """Wait for another check's facts; without them, after a while."""
        done, _ = await asyncio.wait({task}, timeout=self._patience.check_s * _SHARE)
        return task.result() if done and not task.cancelled() and task.exception() is None else otherwise

    # --- facts ------------------------------------------------------------------------------------------------

    def _find(self) -> Binary | None:
        return find_binary(self._own.settings.ollama_binary, self._environ)

    async def _look(self) -> None:
        sighting = await self._lookout.look()
        self._status = advance(self._status, Seen(sighting))
        self._record = (await run_blocking(self._lookout.glance_or_nothing)).record
        if self._status.state in ANSWERING:
            began_s = time.perf_counter()
            with suppress(OllamaError):
                await self._client.version(timeout_s=self._patience.probe_s, retries=0)
                self._latency_ms = (time.perf_counter() - began_s) * 1000

    @property
    def _ours(self) -> bool:
        return self._status.owner is Owner.OURS

    @property
    def _foreign(self) -> bool:
        """Somebody else's server answers on this computer."""
        return self._lookout.local and self._status.state in ANSWERING and not self._ours

    async def _engine(self) -> Engine:
        try:
            binary = await run_blocking(self._find)
        except NotInstalled as error:
            return Engine(None, error=error.title, hint=error.hint)
        if binary is None:
            return Engine(None)
        version = await binary_version(binary.path, self._environ, self._patience.check_s * _SHARE)
        return Engine(str(binary.path), _FOUND_IN.get(binary.source, binary.source), version)

    async def _whose(self) -> Ownership | None:
        """Look up whose the server is; None where it is ours, or where nothing can be known."""
        if not self._foreign:
            return None
        holder = await run_blocking(port.port_holder, self._address.connectable.host, self._address.port)
        return await run_blocking(owner.ownership, holder)

    async def _started_with(self, ownership: Ownership | None) -> Mapping[str, str] | None:
        """Tell the environment that the server runs with; None where none runs, or where it is hidden from us."""
        pid = self._status.pid if self._ours else ownership.pid if ownership is not None else None
        return None if pid is None else await run_blocking(identity.environ_of, pid)

    async def _place(self, whose: asyncio.Task[Ownership | None]) -> Path | None:
        """Tell the models folder: that of the server that answers, else the one that a server would use."""
        if self._ours and self._record is not None and self._record.models:
            return Path(self._record.models)
        if not self._foreign:
            return models_folder.models_folder(self._environ).absolute()
        ownership = await asyncio.shield(whose)
        if ownership is None or ownership.owner is Owner.CONTAINER:
            return None
        if ownership.pid is not None:
            return await run_blocking(models_folder.folder_of, ownership.pid)
        return await run_blocking(models_folder.folder_of_user, ownership.user or "")

    async def _unfinished(self, place: asyncio.Task[Path | None]) -> tuple[checks.Unfinished, ...] | None:
        folder = await asyncio.shield(place)
        return None if folder is None else await run_blocking(models_folder.unfinished, folder, time.time())

    # --- checks -----------------------------------------------------------------------------------------------

    async def _check_engine(self, engine: asyncio.Task[Engine] | None) -> Check | None:
        return None if engine is None else checks.judge_engine(await asyncio.shield(engine), self._status)

    async def _check_version(self, engine: asyncio.Task[Engine] | None) -> Check | None:
        found = None if engine is None else await self._or(engine, Engine(None))
        return checks.judge_version(self._status, None if found is None else found.version)

    async def _check_server(self) -> Check:
        return checks.judge_server(self._status, self._latency_ms)

    async def _check_owner(self, whose: asyncio.Task[Ownership | None]) -> Check | None:
        return checks.judge_owner(self._status, await asyncio.shield(whose))

    async def _check_port(self) -> Check:
        number = self._address.port
        holder = await run_blocking(port.port_holder, self._address.connectable.host, number) if number else None
        is_root = sys.platform == "win32" or os.geteuid() == 0
        return checks.judge_port(
            self._status,
            number,
            holder.sentence() if holder is not None else "",
            may_bind_low=is_root,
            warning=self._address.warning,
        )

    async def _check_models(self, place: asyncio.Task[Path | None], whose: asyncio.Task[Ownership | None]) -> Check:
        try:
            folder = await asyncio.shield(place)
        except StorageError as error:
            return checks.judge_models(ModelsFolder(None, trouble=error.title), used_by_other=False)
        if folder is None:
            return checks.judge_models(ModelsFolder(None), used_by_other=True)
        ownership = await asyncio.shield(whose)
        found = await run_blocking(_models_folder, folder)
        return checks.judge_models(found, used_by_other=ownership is not None and not ownership.same_user)

    async def _check_downloads(self, left_over: asyncio.Task[tuple[checks.Unfinished, ...] | None]) -> Check | None:
        try:
            found = await asyncio.shield(left_over)
        except StorageError:
            return None  # the check of the models folder says it
        return None if found is None else checks.judge_downloads(found, self._status)

    async def _check_space(
        self,
        place: asyncio.Task[Path | None],
        left_over: asyncio.Task[tuple[checks.Unfinished, ...] | None],
    ) -> Check | None:
        try:
            folder = await asyncio.shield(place)
        except StorageError:
            return None
        if folder is None:
            return None
        there, free_bytes, total_bytes = await run_blocking(_space, folder)
        found = await self._or(left_over, None)
        needed = sum(max(0, download.total_bytes - download.completed_bytes) for download in found or ())
        return checks.judge_space(str(there), free_bytes, total_bytes, needed)

    async def _check_gpu(self, whose: asyncio.Task[Ownership | None]) -> Check | None:
        loaded = None
        if self._status.state in ANSWERING:
            with suppress(OllamaError):
                answer = await self._client.ps(timeout_s=_READ_S)
                loaded = tuple(loaded_model(model) for model in answer.models)
        if not self._lookout.local:
            return checks.judge_gpu(Graphics(loaded=loaded), local=False)
        ownership = await self._or(whose, None)
        log = self._log_of(ownership)
        found = None if log is None else await run_blocking(graphics.found_by_server, log)
        own_rights = ownership is None or ownership.same_user
        facts = Graphics(
            found,
            loaded,
            await run_blocking(graphics.cards),
            () if self._foreign else graphics.hidden_by(self._environ),
            await run_blocking(graphics.closed_device) if own_rights else "",
        )
        return checks.judge_gpu(facts, local=True)

    def _log_of(self, ownership: Ownership | None) -> Path | None:
        """Where the server that runs writes to, if that is a file that we know."""
        if self._ours:
            return Path(self._record.log) if self._record is not None and self._record.log else None
        if ownership is not None and ownership.owner is Owner.OFFICIAL_APP:
            home = self._environ.get("LOCALAPPDATA" if sys.platform == "win32" else "HOME", "")
            inside = ("Ollama",) if sys.platform == "win32" else (".ollama", "logs")
            return Path(home, *inside, "server.log") if home else None
        return None

    async def _check_proxy(self) -> Check:
        proxies = await self._proxies()
        return checks.judge_proxy(proxies, self._address, self._status)

    async def _proxies(self) -> Proxies:
        http, https, every = await asyncio.gather(
            *(_proxy(self._environ, name) for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"))
        )
        return Proxies(http, https, every, _variable(self._environ, "NO_PROXY")[1])

    async def _check_exposure(self) -> Check | None:
        answering = self._status.state in ANSWERING
        bound = await run_blocking(port.bound_at, self._address.port) if answering else ()
        return checks.judge_exposure(
            self._status,
            bound,
            origins="" if self._foreign else self._environ.get("OLLAMA_ORIGINS", ""),
            would_be=self._address.exposed,
        )

    async def _check_key(self, whose: asyncio.Task[Ownership | None]) -> Check:
        ownership = await self._or(whose, None)
        if ownership is not None and not ownership.same_user:
            return checks.judge_key(Key(None, of_other_user=ownership.user or "not known from here"))
        started_with = await self._started_with(ownership)
        return checks.judge_key(await run_blocking(_key, self._environ if started_with is None else started_with))

    async def _check_state(self) -> Check:
        state = self._own.state
        found = OwnFolders(None) if state is None else await run_blocking(_own_folders, state, tuple(self._trouble))
        return checks.judge_state(found, local=self._lookout.local)

    async def _check_variables(self, whose: asyncio.Task[Ownership | None]) -> Check:
        ownership = await self._or(whose, None)
        started_with = await self._started_with(ownership)
        changed = None if started_with is None else _changed(self._environ, started_with)
        whom = None if ownership is None else ownership.owner
        return checks.judge_variables(tuple(self._environ), self._status, whom, changed)


# --- looking at the machine: all blocking -----------------------------------------------------------------------------


def _models_folder(folder: Path) -> ModelsFolder:
    users = tuple(_user(user) for user in models_folder.live_users(folder))
    if not os.path.lexists(folder):
        above = _existing(folder)
        can_be_made = above.is_dir() and os.access(above, os.W_OK | os.X_OK)
        return ModelsFolder(str(folder), can_be_made=can_be_made, users=users)
    readable = os.access(folder, os.R_OK | os.X_OK)
    return ModelsFolder(
        str(folder),
        exists=True,
        is_folder=folder.is_dir(),
        readable=readable,
        writable=_may_write(folder) and (not (folder / "blobs").exists() or _may_write(folder / "blobs")),
        models=models_folder.count_models(folder) if readable else None,
        users=users,
    )


def _user(user: models_folder.FolderUser) -> str:
    whose = f" of {user.user}" if user.user else ""
    return f"{user.name or 'a server'}{whose} (process {user.pid})"


def _may_write(folder: Path) -> bool:
    return os.access(folder, os.W_OK | os.X_OK)


def _existing(path: Path) -> Path:
    """The nearest folder above that exists, or the path itself."""
    return next((above for above in (path, *path.parents) if above.exists()), Path(path.anchor))


def _space(folder: Path) -> tuple[Path, int, int]:
    there = _existing(folder)
    usage = shutil.disk_usage(there)
    return there, usage.free, usage.total


def _key(environ: Mapping[str, str]) -> Key:
    home = environ.get("USERPROFILE" if sys.platform == "win32" else "HOME", "")
    if not home:
        return Key(None)
    path = Path(home, ".ollama", "id_ed25519")
    try:
        found = path.stat()
    except FileNotFoundError:
        return Key(str(path))
    except PermissionError:
        return Key(str(path), exists=True, readable=False)
    if sys.platform == "win32":
        return Key(str(path), exists=True, readable=os.access(path, os.R_OK))
    return Key(
        str(path),
        exists=True,
        ours=found.st_uid == os.geteuid(),
        user=_name_of_user(found.st_uid),
        private=found.st_mode & 0o077 == 0,
        readable=os.access(path, os.R_OK),
    )


def _name_of_user(number: int) -> str | None:
    if sys.platform == "win32":
        return None
    import pwd

    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return str(number)


def _own_folders(state: Path, trouble: tuple[str, ...]) -> OwnFolders:
    there = _existing(state)
    free_bytes = None
    with suppress(OSError):
        free_bytes = shutil.disk_usage(there).free
    return OwnFolders(str(state), there.is_dir() and _may_write(there), free_bytes, trouble)


def _changed(environ: Mapping[str, str], started_with: Mapping[str, str]) -> tuple[str, ...]:
    """Name what a server reads and was started with otherwise. What the launcher itself sets is no change."""
    names = {*checks.server_variables(tuple(environ)), *checks.server_variables(tuple(started_with))}
    changed = []
    for name in sorted(names - {"OLLAMA_NOPRUNE"}):
        now, then = environ.get(name, ""), started_with.get(name, "")
        if name == "OLLAMA_MODELS" and now:
            now = os.path.abspath(now)
        if now != then:
            changed.append(name)
    return tuple(changed)


# --- proxies ----------------------------------------------------------------------------------------------------------


def _variable(environ: Mapping[str, str], name: str) -> tuple[str, str]:
    """Read a variable as Go does: in capitals, else in small letters (x/net/http/httpproxy)."""
    for spelt in (name, name.lower()):
        if environ.get(spelt):
            return spelt, environ[spelt].strip()
    return name, ""


async def _proxy(environ: Mapping[str, str], name: str) -> Proxy | None:
    spelt, value = _variable(environ, name)
    if not value:
        return None
    try:
        parts = urlsplit(value if "://" in value else f"http://{value}")
        host, number = parts.hostname or "", parts.port or {"https": 443, "socks5": 1080}.get(parts.scheme, 80)
    except ValueError:
        return Proxy(spelt, "(no address)", reachable=False)
    if not host:
        return Proxy(spelt, "(no address)", reachable=False)
    hidden = "***@" if parts.username is not None else ""
    shown_host = f"[{host}]" if ":" in host else host
    try:
        reachable = await run_blocking(partial(_connects, host, number), timeout_s=_PROXY_S + 1.0)
    except TimeoutError:  # its name is looked up for ever
        reachable = False
    return Proxy(spelt, f"{parts.scheme}://{hidden}{shown_host}:{number}", reachable)


def _connects(host: str, number: int) -> bool:
    try:
        socket.create_connection((host, number), timeout=_PROXY_S).close()
    except (OSError, UnicodeError):
        return False
    return True
