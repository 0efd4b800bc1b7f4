"""The server as the launcher shows it: state, owner, and how one follows from the other."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


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


class Owner(Enum):
    """Whose server it is."""

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
    owner: Owner
    address: str
    """The connectable base URL, e.g. ``http://127.0.0.1:11434``."""
    exposed: bool
    """True when the server listens on more than loopback."""
    version: str | None = None
    pid: int | None = None
    started_at: float | None = None
    """Wall-clock seconds since the epoch at which the process was started."""
    simulated: bool = False
    reason: str = ""
    """One sentence: why it is in this state (empty when there is nothing to explain)."""
    hint: str = ""
    """One sentence: what to do about it."""
