"""The server as the launcher shows it: its state, its owner, and how one snapshot follows from the other.

The state machine is one pure function, :func:`advance`; what may be offered is another, :func:`offers`. Neither knows
where an event comes from: a probe, the exit of a child, a person's wish.

::

    CHECKING ──seen──▶ STOPPED ──start──▶ STARTING ──answers──▶ RUNNING ◀──answers── DEGRADED
                          ▲                  │  ▲                  │  └──silent──────▶
                          │               failed └── retry ── BACKOFF ◀──ended by itself
                          │                  ▼                     │
                          └──gone── STOPPING ◀───────stop──────────┘    too many times ──▶ FAILED

    NOT_INSTALLED, PORT_TAKEN: what CHECKING, STOPPED or STARTING turn into when there is no binary, or another program
    holds the port. UNREACHABLE: a server on another machine that does not answer.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum

from launcher.errors import sentence


class ServerState(Enum):
    """What the server is doing. RUNNING means *answered HTTP*, never *was spawned*."""

    CHECKING = "checking"
    NOT_INSTALLED = "not_installed"
    STOPPED = "stopped"
    STARTING = "starting"
    RUNNING = "running"
    DEGRADED = "degraded"
    STOPPING = "stopping"
    BACKOFF = "backoff"
    FAILED = "failed"
    PORT_TAKEN = "port_taken"
    UNREACHABLE = "unreachable"


ANSWERING = frozenset({ServerState.RUNNING, ServerState.DEGRADED})
"""States in which a server is there and has answered."""


class Owner(Enum):
    """Whose server it is. OURS: our child, or adopted from our own record."""

    OURS = "ours"
    SYSTEM_SERVICE = "system_service"
    USER_SERVICE = "user_service"
    OFFICIAL_APP = "official_app"
    CONTAINER = "container"
    OTHER_USER = "other_user"
    OTHER_PROGRAM = "other_program"
    REMOTE = "remote"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class ServerStatus:
    """One published snapshot. Unknown is None."""

    state: ServerState
    owner: Owner | None
    """None: there is no server."""
    address: str
    """The connectable base URL, e.g. ``http://127.0.0.1:11434``."""
    local: bool
    """True when the address is this machine's, so that a server can be started and stopped there."""
    exposed: bool | None
    """Whether the server is bound to more than loopback; where none runs: whether one would be. None: not known, as of
    a server that somebody else started."""
    version: str | None = None
    pid: int | None = None
    started_at: float | None = None
    """Seconds since the epoch at which the process was started."""
    simulated: bool = False
    reason: str = ""
    """One sentence: why it is in this state; empty when there is nothing to explain."""
    hint: str = ""
    """One sentence: what to do about it."""


class Answer(Enum):
    """What came back from the address."""

    OLLAMA = "ollama"
    SILENT = "silent"
    """The connection is accepted, but nothing is answered in time."""
    FOREIGN = "foreign"
    """Something answers, and not as Ollama does."""
    NONE = "none"
    """Nobody listens, or the machine cannot be reached."""


class Recorded(Enum):
    """What our own record says of a server that the launcher started, checked against the process table."""

    NOTHING = "nothing"
    ALIVE = "alive"
    STOPPING = "stopping"
    """Alive, and wished stopped."""
    ENDED = "ended"
    """Gone, and wished running: it ended by itself."""


@dataclass(frozen=True, slots=True)
class Sighting:
    """One look at the server from outside: what answers, and what our record says."""

    answer: Answer
    recorded: Recorded = Recorded.NOTHING
    version: str | None = None
    simulated: bool = False
    pid: int | None = None
    started_at: float | None = None
    overdue: bool = False
    """Our process has been silent for longer than any start takes."""
    has_answered: bool = False
    """Our process, or the one that has ended, answered once."""
    exposed: bool | None = None
    """Whether what is there (or would be) is bound to more than loopback; None: not known."""
    holder: str = ""
    """Who holds the port, in words; empty when nobody does or it is Ollama itself."""
    holder_is_ollama: bool = False
    installed: bool | None = None
    """Whether an Ollama was found; None when nobody looked."""
    reason: str = ""
    hint: str = ""


# --- events -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Seen:
    """The poller (or a command) looked."""

    sighting: Sighting


@dataclass(frozen=True, slots=True)
class StartWished:
    """A start is under way; ``progress`` says what is awaited, when that is known."""

    progress: str = ""


@dataclass(frozen=True, slots=True)
class StopWished:
    """A stop is under way."""


@dataclass(frozen=True, slots=True)
class Gone:
    """The server ended as wished."""

    reason: str = ""


@dataclass(frozen=True, slots=True)
class RetryPlanned:
    """The server ended by itself and will be started again after ``delay_s``."""

    delay_s: float
    reason: str
    hint: str


@dataclass(frozen=True, slots=True)
class Failed:
    """A start failed, or the server ended by itself too often."""

    reason: str
    hint: str
    state: ServerState = ServerState.FAILED
    """FAILED, or one of the states that say more: NOT_INSTALLED, PORT_TAKEN."""


ServerEvent = Seen | StartWished | StopWished | Gone | RetryPlanned | Failed


def advance(status: ServerStatus, event: ServerEvent) -> ServerStatus:
    """Return the snapshot that follows ``status`` after ``event``."""
    match event:
        case Seen(sighting):
            return _after_look(status, sighting)
        case StartWished(progress):
            # STOPPED, FAILED, BACKOFF, ... -> STARTING
            return _no_server(status, ServerState.STARTING, progress or "Starting Ollama.", owner=Owner.OURS)
        case StopWished():
            # STARTING, RUNNING, DEGRADED, BACKOFF -> STOPPING
            return replace(status, state=ServerState.STOPPING, reason="Stopping Ollama.", hint="")
        case Gone(reason):
            # STOPPING -> STOPPED
            return _no_server(status, ServerState.STOPPED, reason)
        case RetryPlanned(delay_s, reason, hint):
            # RUNNING, STARTING -> BACKOFF
            told = sentence("{reason} It is started again in {delay} s.", reason=reason, delay=f"{delay_s:g}")
            return _no_server(status, ServerState.BACKOFF, told, hint, owner=Owner.OURS)
        case Failed(reason, hint, state):
            # STARTING, BACKOFF -> FAILED, NOT_INSTALLED, PORT_TAKEN
            owner = Owner.OTHER_PROGRAM if state is ServerState.PORT_TAKEN else None
            return _no_server(status, state, reason, hint, owner=owner)


def _after_look(status: ServerStatus, seen: Sighting) -> ServerStatus:
    status = replace(status, exposed=seen.exposed)
    state = status.state
    if seen.answer is Answer.OLLAMA:
        # any -> RUNNING (or STOPPING, when another launcher process is stopping it)
        return replace(
            status,
            state=ServerState.STOPPING if seen.recorded is Recorded.STOPPING else ServerState.RUNNING,
            owner=_owner(status, seen),
            version=seen.version,
            simulated=seen.simulated,
            pid=seen.pid,
            started_at=seen.started_at,
            reason="",
            hint="",
        )
    if not status.local:
        # any -> UNREACHABLE
        return _no_server(status, ServerState.UNREACHABLE, seen.reason, seen.hint, owner=Owner.REMOTE)
    if seen.recorded is Recorded.STOPPING:
        # RUNNING, STARTING -> STOPPING
        return replace(
            status, state=ServerState.STOPPING, owner=Owner.OURS, pid=seen.pid, reason="Stopping Ollama.", hint=""
        )
    if seen.recorded is Recorded.ALIVE:
        ours = replace(status, owner=Owner.OURS, pid=seen.pid, started_at=seen.started_at)
        if state in ANSWERING or seen.overdue or seen.has_answered:
            # RUNNING -> DEGRADED
            return replace(
                ours,
                state=ServerState.DEGRADED,
                reason="Ollama is there but does not answer.",
                hint="It may be very busy. If it stays like this, restart it.",
            )
        # CHECKING, STOPPED, BACKOFF -> STARTING
        return replace(
            ours,
            state=ServerState.STARTING,
            reason="Waiting for Ollama to answer. Finding the graphics cards can take a while.",
            hint="",
        )
    if seen.answer in (Answer.SILENT, Answer.FOREIGN):
        if seen.answer is Answer.SILENT and (seen.holder_is_ollama or state in ANSWERING):
            if state in ANSWERING:
                # RUNNING -> DEGRADED, of a server that is not ours
                return replace(
                    status, state=ServerState.DEGRADED, reason="Ollama is there but does not answer.", hint=""
                )
            # CHECKING, STOPPED -> STARTING, started by somebody else
            return replace(
                _no_server(status, ServerState.STARTING, "Waiting for an Ollama that somebody else started."),
                owner=Owner.UNKNOWN,
                pid=seen.pid,
            )
        # any -> PORT_TAKEN
        taken = _no_server(status, ServerState.PORT_TAKEN, seen.holder, seen.hint, owner=Owner.OTHER_PROGRAM)
        return replace(taken, pid=seen.pid)
    if state in (ServerState.BACKOFF, ServerState.FAILED):
        return status
    if seen.installed is False:
        # any -> NOT_INSTALLED
        return _no_server(status, ServerState.NOT_INSTALLED, seen.reason, seen.hint)
    if seen.recorded is Recorded.ENDED and not seen.has_answered:
        # CHECKING, STOPPED, STARTING -> FAILED
        return _no_server(status, ServerState.FAILED, seen.reason, seen.hint)
    # any -> STOPPED
    return _no_server(status, ServerState.STOPPED, seen.reason, seen.hint)


def _owner(status: ServerStatus, seen: Sighting) -> Owner:
    if seen.recorded in (Recorded.ALIVE, Recorded.STOPPING):
        return Owner.OURS
    return Owner.UNKNOWN if status.local else Owner.REMOTE


def _no_server(
    status: ServerStatus, state: ServerState, reason: str = "", hint: str = "", *, owner: Owner | None = None
) -> ServerStatus:
    return replace(
        status,
        state=state,
        owner=owner,
        version=None,
        pid=None,
        started_at=None,
        simulated=False,
        reason=reason,
        hint=hint,
    )


# --- what can be offered ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Offers:
    """What a person may do with the server now."""

    start: bool = False
    stop: bool = False
    restart: bool = False


_OURS: dict[ServerState, Offers] = {
    ServerState.STARTING: Offers(stop=True, restart=True),
    ServerState.RUNNING: Offers(stop=True, restart=True),
    ServerState.DEGRADED: Offers(stop=True, restart=True),
    ServerState.BACKOFF: Offers(start=True, stop=True),
}

_NO_SERVER: dict[ServerState, Offers] = {
    ServerState.STOPPED: Offers(start=True),
    ServerState.FAILED: Offers(start=True),
    ServerState.PORT_TAKEN: Offers(start=True),
    ServerState.NOT_INSTALLED: Offers(),
}


def offers(status: ServerStatus) -> Offers:
    """Return what follows from owner and state. Nothing is ever offered against a server that is not ours."""
    if not status.local:
        return Offers()
    if status.owner is Owner.OURS:
        return _OURS.get(status.state, Offers())
    return _NO_SERVER.get(status.state, Offers())
