"""What can go wrong with the server's process.

::

    ServerError(LauncherError)
     ├─ NotInstalled           no ollama binary is found
     │   └─ BinaryUnusable     one was named, and it cannot be run
     ├─ PortTaken              something else listens where the server should (holder)
     ├─ ModelsFolderInUse      another live server uses the models folder (pid, name, address)
     ├─ StartFailed            it could not be started, or ended before it answered (outcome)
     ├─ StoppedMeanwhile       somebody wished it stopped while it was being started
     ├─ StopFailed             it is still there after it was told to end, and then killed
     ├─ NotOffered             owner and state do not allow what was asked for
     ├─ LockBusy               another launcher is changing the server
     └─ SignalRefused          a process in the group is not known to be ours: nothing was signalled (strangers)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from launcher.errors import LauncherError

if TYPE_CHECKING:
    from launcher.server.port import Holder
    from launcher.server.spawn import ProcessOutcome


class ServerError(LauncherError):
    """Something about the server's process."""


class NotInstalled(ServerError):
    """No ollama binary is found."""

    def __init__(
        self,
        title: str = "Ollama is not installed.",
        *,
        detail: str = "",
        hint: str = "Install Ollama from https://ollama.com/download, or name its program in the settings.",
    ) -> None:
        super().__init__(title, detail=detail, hint=hint)


class BinaryUnusable(NotInstalled):
    """A binary was named (by variable or setting) and cannot be run; others are not tried behind the user's back."""


class PortTaken(ServerError):
    """Something else listens on the port."""

    def __init__(self, title: str, *, holder: Holder | None = None, detail: str = "", hint: str = "") -> None:
        super().__init__(title, detail=detail, hint=hint)
        self.holder = holder


class ModelsFolderInUse(ServerError):
    """Another live server uses the models folder; two would prune each other's files."""

    def __init__(
        self, title: str, *, pid: int | None, name: str | None, address: str | None, detail: str = "", hint: str = ""
    ) -> None:
        super().__init__(title, detail=detail, hint=hint)
        self.pid = pid
        self.name = name
        self.address = address


class StartFailed(ServerError):
    """The server could not be started, or ended before it answered. ``outcome`` is None when nothing was spawned."""

    def __init__(self, title: str, *, outcome: ProcessOutcome | None = None, detail: str = "", hint: str = "") -> None:
        super().__init__(title, detail=detail, hint=hint)
        self.outcome = outcome


class StoppedMeanwhile(ServerError):
    """Somebody wished the server stopped while it was being started."""

    def __init__(self, title: str = "The server was stopped meanwhile.", *, detail: str = "", hint: str = "") -> None:
        super().__init__(title, detail=detail, hint=hint)


class StopFailed(ServerError):
    """Processes are still there after they were told to end, and then killed."""


class NotOffered(ServerError):
    """Owner and state do not allow what was asked for (exit code 5 of the command line)."""


class LockBusy(ServerError):
    """Another launcher is changing the server, and did not finish in time."""

    def __init__(
        self,
        title: str = "Another launcher is starting or stopping the server right now.",
        *,
        detail: str = "",
        hint: str = "Wait a moment and try again.",
    ) -> None:
        super().__init__(title, detail=detail, hint=hint)


class SignalRefused(ServerError):
    """A process in the group is not known to be ours, so nothing was signalled.

    ``signalled`` tells that the group was asked to end before, when all of it was known yet.
    """

    def __init__(self, title: str, *, strangers: tuple[int, ...] = (), detail: str = "", hint: str = "") -> None:
        super().__init__(title, detail=detail, hint=hint)
        self.strangers = strangers
        self.signalled = False
