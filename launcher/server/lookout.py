"""Look at the server from outside: who answers at the address, and what our record and the process table say of it.

Signals nothing and writes nothing. What follows from a look is for :mod:`launcher.domain.server` to say.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from launcher.domain.address import Address, InvalidAddress
from launcher.domain.server import Answer, Recorded, ServerState, ServerStatus, Sighting
from launcher.errors import StorageError, sentence
from launcher.ollama import Client
from launcher.ollama.errors import NotRunning, OllamaError, TimedOut
from launcher.server import identity, models_folder
from launcher.server.errors import NotInstalled, PortTaken
from launcher.server.explain import explain_exit
from launcher.server.find import Binary
from launcher.server.log import last_lines
from launcher.server.port import Holder, is_local_host, is_same_place, port_holder
from launcher.server.record import RecordFile, ServerRecord, Wanted
from launcher.tasks import run_blocking

_log = logging.getLogger(__name__)

_LINES_EXPLAINED = 40
_READ_AGAIN_AT_MOST = 3


@dataclass(frozen=True, slots=True)
class Glance:
    """What the record and the process table say together."""

    record: ServerRecord | None
    recorded: Recorded
    leftovers: bool
    """The recorded process is gone, and some of its group still live."""


class Lookout:
    """See what is at one address.

    ``probe_s`` bounds one request; a process of ours that has not answered within ``overdue_s`` is overdue. Without a
    ``record_file`` nothing is known to be ours.
    """

    def __init__(
        self,
        *,
        client: Client,
        address: Address,
        record_file: RecordFile | None,
        find: Callable[[], Binary | None],
        probe_s: float,
        overdue_s: float,
    ) -> None:
        self._client = client
        self._address = address
        self._record_file = record_file
        self._find = find
        self._probe_s = probe_s
        self._overdue_s = overdue_s
        self._start_told: tuple[tuple[int | None, int], float] | None = None
        self.local = is_local_host(address.host)
        """Whether a server could be started at the address from here."""

    def nothing_seen(self) -> ServerStatus:
        """CHECKING: what is true before the first look."""
        return ServerStatus(
            ServerState.CHECKING,
            owner=None,
            address=self._address.base_url,
            local=self.local,
            exposed=self._exposed_if_started(),
        )

    async def look(self) -> Sighting:
        """Ask the address who answers, and the record whose it is. Raises nothing about the server."""
        probed, glance = await asyncio.gather(self.probe(), run_blocking(self.glance_or_nothing))
        recorded = glance.recorded if self.is_here(glance.record) else Recorded.NOTHING
        record = glance.record
        has_answered = record is not None and recorded is not Recorded.NOTHING and record.ready
        exposed = self._exposed_if_started() if probed.answer is Answer.NONE else None
        sighting = replace(probed, recorded=recorded, has_answered=has_answered, exposed=exposed)
        if record is not None and recorded in (Recorded.ALIVE, Recorded.STOPPING):
            sighting = replace(sighting, exposed=_is_exposed(record))
            started_at = self._started_at(record)
            overdue = started_at is not None and time.time() - started_at > self._overdue_s
            return replace(sighting, pid=record.pid, started_at=started_at, overdue=overdue)
        if not self.local:
            return sighting
        if sighting.answer in (Answer.SILENT, Answer.FOREIGN):
            return await self._with_holder(sighting)
        if sighting.answer is Answer.NONE:
            return await self._with_next_step(sighting, glance)
        return sighting

    async def probe(self) -> Sighting:
        """Ask ``/api/version`` once."""
        try:
            version = await self._client.version(timeout_s=self._probe_s)
        except NotRunning as error:
            return Sighting(Answer.NONE, reason="" if self.local else error.title, hint=error.hint)
        except TimedOut as error:
            return Sighting(Answer.SILENT, reason=error.title, hint=error.hint)
        except OllamaError as error:
            return Sighting(Answer.FOREIGN, reason=error.title, hint=error.hint)
        return Sighting(Answer.OLLAMA, version=version.version, simulated=version.simulated)

    def glance(self) -> Glance:
        """Read the record and check it against the process table. Blocking; raises StorageError."""
        written = self._written()
        for _ in range(_READ_AGAIN_AT_MOST):
            glance = _checked(written)
            if glance.recorded is not Recorded.ENDED:
                return glance
            before, written = written, self._written()
            if written == before:
                return glance
            # Its end was wished between the reading and the look at the process table.
        return _checked(written)

    def _written(self) -> ServerRecord | None:
        return None if self._record_file is None else self._record_file.read()

    def is_here(self, record: ServerRecord | None) -> bool:
        """Tell whether the record speaks of a server at our address."""
        if record is None or not record.address:
            return False
        if record.address == self._address.base_url:
            return True
        try:
            return is_same_place(_bound(record), self._address)
        except InvalidAddress:  # written by a launcher of another kind
            return False

    def _exposed_if_started(self) -> bool | None:
        return self._address.exposed if self.local else None

    async def whose_port(self) -> tuple[PortTaken, bool]:
        """Find who holds the port: the error that names it, and whether it is an Ollama (that does not answer yet)."""
        holder = await run_blocking(port_holder, self._address.connectable.host, self._address.port)
        who = (
            holder.sentence()
            if holder is not None
            else sentence("Port {port} is used by another program.", port=self._address.port)
        )
        taken = PortTaken(
            who,
            holder=holder,
            hint="Stop that program, or let Ollama use another port, e.g. --host 127.0.0.1:11435.",
        )
        return taken, await run_blocking(_is_ollama, holder)

    def glance_or_nothing(self) -> Glance:
        """As :meth:`glance`, where a record that cannot be read is no reason to fail. Blocking."""
        try:
            return self.glance()
        except StorageError as error:
            # What answers is true all the same; only whose it is cannot be told.
            _log.info("%s %s", error.title, error.detail)
            return Glance(None, Recorded.NOTHING, leftovers=False)

    def _started_at(self, record: ServerRecord) -> float | None:
        """Tell when the recorded process started. One answer a process: a clock that is set changes no snapshot."""
        if record.start is None:
            return None
        process = (record.pid, record.start)
        if self._start_told is None or self._start_told[0] != process:
            self._start_told = (process, identity.wall_time(record.start))
        return self._start_told[1]

    async def _with_holder(self, sighting: Sighting) -> Sighting:
        taken, is_ollama = await self.whose_port()
        return replace(
            sighting,
            holder=taken.title,
            hint=taken.hint,
            holder_is_ollama=is_ollama,
            pid=taken.holder.pid if taken.holder is not None else None,
        )

    async def _with_next_step(self, sighting: Sighting, glance: Glance) -> Sighting:
        """Nobody answers: say whether one could be started, or why ours is not there."""
        if glance.recorded is Recorded.ENDED and self.is_here(glance.record):
            if not sighting.has_answered and glance.record is not None and glance.record.log:
                lines = await run_blocking(_last_words, Path(glance.record.log))
                reason, hint = explain_exit(None, lines)
                return replace(sighting, reason=reason, hint=hint)
            return replace(
                sighting,
                reason="The Ollama that the launcher started has ended by itself.",
                hint="Start it again; its log says why it ended.",
            )
        if glance.record is not None and glance.recorded is Recorded.ALIVE:
            return replace(
                sighting,
                reason=sentence("The launcher's Ollama runs at {address}, not here.", address=glance.record.address),
                hint="Use that address, or stop it first.",
            )
        try:
            found = await run_blocking(self._find)
        except NotInstalled as error:
            return replace(sighting, installed=False, reason=error.title, hint=error.hint)
        if found is None:
            missing = NotInstalled()
            return replace(sighting, installed=False, reason=missing.title, hint=missing.hint)
        return replace(sighting, installed=True, reason="", hint="")


def _checked(record: ServerRecord | None) -> Glance:
    """Check what was read against the process table."""
    if record is None:
        return Glance(None, Recorded.NOTHING, leftovers=False)
    boot_id = identity.boot_id()
    record = identity.completed(record, boot_id)
    if record.pid is None:
        return Glance(record, Recorded.NOTHING, leftovers=False)
    if identity.is_recorded_alive(record, boot_id):
        alive = Recorded.ALIVE if record.wanted is Wanted.RUNNING else Recorded.STOPPING
        return Glance(record, alive, leftovers=False)
    leftovers = not identity.check_group(record, boot_id).gone
    # After a reboot nobody's server "ended by itself".
    ended = record.wanted is Wanted.RUNNING and identity.same_boot(record.boot_id, boot_id)
    return Glance(record, Recorded.ENDED if ended else Recorded.NOTHING, leftovers)


def _bound(record: ServerRecord) -> Address:
    """Tell where a recorded server listens. Raises InvalidAddress."""
    return Address.parse(record.bind or record.address)


def _is_exposed(record: ServerRecord) -> bool | None:
    try:
        return Address.parse(record.bind).exposed if record.bind else None
    except InvalidAddress:
        return None


def _last_words(log: Path) -> list[str]:
    try:
        return last_lines(log, _LINES_EXPLAINED)
    except StorageError:
        return []


def _is_ollama(holder: Holder | None) -> bool:
    """Tell whether who holds the port is an Ollama that does not answer yet. Blocking."""
    if holder is None:
        return False
    if holder.pid is None:
        # The processes of the service's own user are hidden from others; scripts/install.sh names it so.
        return holder.user == "ollama"
    return models_folder.is_server(holder.pid)
