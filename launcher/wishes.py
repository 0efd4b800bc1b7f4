"""What the wishes of pages and tray mean to the services.

A page says what a person wants by the name of its signal; :attr:`Wishes.deeds` has the deed for each name, which is the
same on every page. Nothing here knows a widget. While there is no core (it is still imported, or it is rebuilt for
another address) wishes do nothing; what is wished of downloads is kept.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterable
from typing import TYPE_CHECKING, Any

from launcher.domain.server import ANSWERING, ServerState, ServerStatus, offers
from launcher.errors import LauncherError
from launcher.tasks import TaskScope

if TYPE_CHECKING:
    from launcher.core import Core

_ON_THE_WAY = (ServerState.CHECKING, ServerState.STARTING, ServerState.STOPPING, ServerState.BACKOFF)


class Wishes:
    """``show_page`` gets the key of the page on which the effect is seen; ``report`` what went wrong with one deed."""

    def __init__(
        self, scope: TaskScope, *, show_page: Callable[[str], None], report: Callable[[LauncherError], None]
    ) -> None:
        self._scope = scope
        self._show_page = show_page
        self._report = report
        self._pulls: list[str] = []
        self.core: Core | None = None
        self.deeds: dict[str, Callable[..., object]] = {
            "start_requested": self.start,
            "stop_requested": self.stop,
            "restart_requested": self.restart,
            "pull_requested": self.pull,
            "cancel_requested": self.cancel,
            "retry_requested": self.retry,
            "dismiss_requested": self.dismiss,
            "unload_requested": self.unload,
            "page_requested": show_page,
        }

    @property
    def has_pulls(self) -> bool:
        """Downloads are wished and wait for the server."""
        return bool(self._pulls)

    def start(self) -> None:
        if self.core is not None:
            self.core.supervisor.start()

    def stop(self) -> None:
        if self.core is not None:
            self.core.supervisor.stop()

    def restart(self) -> None:
        if self.core is not None:
            self.core.supervisor.restart()

    def pull(self, names: Iterable[str]) -> None:
        """Download models; where no server runs it is started for that, if one can be."""
        self._pulls.extend(names)
        if not self._pulls:
            return
        self._show_page("downloads")
        if self.core is None:
            return
        status = self.core.supervisor.status
        if status.state in ANSWERING:
            self._begin_pulls()
        elif offers(status).start:
            self.core.supervisor.start()
        elif status.state not in _ON_THE_WAY:
            self._begin_pulls()  # they fail, and say why

    def server_changed(self, status: ServerStatus) -> None:
        """Begin what waits for the server, or let it fail where the server will not come."""
        if self._pulls and status.state not in (*_ON_THE_WAY, ServerState.STOPPED):
            self._begin_pulls()

    def cancel(self, name: str) -> None:
        if self.core is not None:
            self.core.downloads.cancel(name)

    def retry(self, name: str) -> None:
        if self.core is not None:
            self.core.downloads.retry(name)

    def dismiss(self, name: str) -> None:
        if self.core is not None:
            self.core.downloads.dismiss(name)

    def unload(self, names: str | Iterable[str]) -> None:
        if self.core is not None:
            for name in (names,) if isinstance(names, str) else names:
                self.act(self._unload(self.core, name), f"unload {name}")

    def act(self, deed: Coroutine[Any, Any, object], name: str) -> None:
        """Do one thing that may fail in a way a person should hear of."""

        async def act() -> None:
            try:
                await deed
            except LauncherError as error:
                self._report(error)

        self._scope.spawn(act(), name=name)

    def _begin_pulls(self) -> None:
        if self.core is None:
            return
        names, self._pulls = self._pulls, []
        for name in names:
            try:
                self.core.downloads.add(name)
            except LauncherError as error:
                self._report(error)

    async def _unload(self, core: Core, name: str) -> None:
        await core.client.unload(name)
        await core.models()
