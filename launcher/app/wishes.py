"""What the wishes of pages and tray mean to the services.

A page says what a person wants by the name of its signal; :attr:`Wishes.deeds` has the deed for each name, which is the
same on every page. Nothing here knows a widget. While there is no core (it is still imported, or it is rebuilt for
another address) wishes do nothing; what is wished of downloads is kept.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

from launcher.domain.questions import QuitWhileDownloading
from launcher.domain.server import ANSWERING, ServerState, ServerStatus, offers
from launcher.errors import LauncherError
from launcher.tasks import TaskScope

if TYPE_CHECKING:
    from launcher.actions.ask import Ask
    from launcher.core import Core

_ON_THE_WAY = (ServerState.CHECKING, ServerState.STARTING, ServerState.STOPPING, ServerState.BACKOFF)


class Wishes:
    """``show_page`` gets the key of the page on which the effect is seen; ``report`` what went wrong with one deed.

    ``show_window`` brings to the front what a question is asked over; ``end`` ends the launcher, asking nobody.

    ``show_work`` gets the name of a model and what is being done to it (``loading``, ``unloading``, ``deleting``), or
    None when that is over.
    """

    def __init__(
        self,
        *,
        ask: Ask | None,
        show_page: Callable[[str], None],
        show_window: Callable[[], None],
        show_work: Callable[[str, str | None], None],
        report: Callable[[LauncherError], None],
        end: Callable[[], None],
    ) -> None:
        self._ask = ask
        self._show_page = show_page
        self._show_work = show_work
        self._report = report
        self._show_window = show_window
        self._end = end
        self._asks_to_quit = False
        self._pulls: list[str] = []
        self._scope: TaskScope | None = None
        self.core: Core | None = None
        self.deeds: dict[str, Callable[..., object]] = {
            "start_requested": self.start,
            "stop_requested": self.stop,
            "restart_requested": self.restart,
            "pull_requested": self.pull,
            "cancel_requested": self.cancel,
            "retry_requested": self.retry,
            "dismiss_requested": self.dismiss,
            "load_requested": self.load,
            "unload_requested": self.unload,
            "delete_requested": self.delete,
            "page_requested": show_page,
        }

    def serve(self, core: Core, scope: TaskScope) -> None:
        """Mean ``core`` from now on; what takes time is done by tasks of ``scope``."""
        self.core, self._scope = core, scope

    def rest(self) -> None:
        """Do nothing until the next :meth:`serve`."""
        self.core = self._scope = None

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
        """Go on with a download, with all that one which is new may need."""
        self.pull((name,))

    def dismiss(self, name: str) -> None:
        if self.core is not None:
            self.core.downloads.dismiss(name)

    def load(self, names: Iterable[str]) -> None:
        for name in names:
            self._act(partial(self._load, name), f"load {name}")

    def unload(self, names: str | Iterable[str]) -> None:
        for name in (names,) if isinstance(names, str) else names:
            self._act(partial(self._unload, name), f"unload {name}")

    def delete(self, names: Iterable[str]) -> None:
        self._act(partial(self._delete, tuple(names)), "delete models")

    def quit(self) -> None:
        """End the launcher; while downloads go on a person is asked first, once."""
        transfers = self.core.downloads.transfers if self.core is not None else ()
        names = tuple(transfer.model for transfer in transfers if transfer.phase.going_on)
        if not names:
            self._end()
            return
        self._show_window()
        if not self._asks_to_quit:
            self._act(partial(self._ask_and_quit, names), "quit")

    def _act(self, deed: Callable[[Core], Coroutine[Any, Any, object]], name: str) -> None:
        """Do one thing that may fail in a way a person should hear of."""
        core = self.core
        if core is None or self._scope is None:
            return

        async def act() -> None:
            try:
                await deed(core)
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

    async def _load(self, name: str, core: Core) -> None:
        with self._at_work(name, "loading"):
            await core.client.load(name)
        await core.models()

    async def _unload(self, name: str, core: Core) -> None:
        from launcher.actions.in_memory import unload_model

        with self._at_work(name, "unloading"):
            await unload_model(core.client, name)
        await core.models()

    async def _delete(self, names: tuple[str, ...], core: Core) -> None:
        from launcher.actions.delete_models import ask_and_delete, failure_of

        if self._ask is None:
            return

        def show_busy(name: str, busy: bool) -> None:
            self._show_work(name, "deleting" if busy else None)

        failure = failure_of(await ask_and_delete(core, self._ask, names, busy=show_busy))
        if failure is not None:
            self._report(failure)

    async def _ask_and_quit(self, names: tuple[str, ...], core: Core) -> None:
        self._asks_to_quit = True
        try:
            if self._ask is None or await self._ask.confirm(QuitWhileDownloading(names)):
                self._end()
        finally:
            self._asks_to_quit = False

    @contextmanager
    def _at_work(self, name: str, work: str) -> Iterator[None]:
        self._show_work(name, work)
        try:
            yield
        finally:
            self._show_work(name, None)
