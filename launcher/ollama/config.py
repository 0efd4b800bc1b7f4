"""How calls are made: timeouts, limits of connections, and what the launcher calls itself."""

from __future__ import annotations

import platform
from dataclasses import dataclass

from launcher import __version__


@dataclass(frozen=True, slots=True)
class Timeouts:
    """How long is waited for what, in seconds.

    ::

        Timeouts()                                the defaults
        Timeouts(connect_s=1)                     a shorter wait for the connection
        Timeouts(read_s=5, total_s=5)             an answer within five seconds, or TimedOut
        await client.version(timeout_s=0.5)       for one call: everything together

    They bound all calls but streams and loads: the server is silent for minutes while it verifies a download or loads
    a model, so that those only bound the connection, unless a call says otherwise.
    """

    connect_s: float = 3.0
    read_s: float = 20.0
    """Between two pieces of an answer."""
    write_s: float = 20.0
    pool_s: float = 5.0
    """For a free connection."""
    total_s: float = 60.0
    """For the whole call; bounds an answer that never ends."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How many connections may be open at once. Streams have their own, so that they never starve short calls."""

    control: int = 8
    streams: int = 64
    idle_s: float = 30.0
    """An idle connection is closed after so long."""


def user_agent() -> str:
    """``ollama-launcher/<version> (<machine> <system>) Python/<version>``, as the official clients do it."""
    machine, system = platform.machine() or "unknown", platform.system() or "unknown"
    return f"ollama-launcher/{__version__} ({machine} {system}) Python/{platform.python_version()}"
