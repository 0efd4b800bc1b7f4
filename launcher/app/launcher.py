"""The run of the window: build the services when it has been painted, join them to it, serve, and shut down.

Services need httpx, pydantic and psutil, so those are imported in a thread. Widgets wish, services do; this module
joins the two and decides nothing that belongs to either. It owns the end: the first wish to quit and the first failure
that nobody expected lead to the same, bounded way out.
"""

from __future__ import annotations

import asyncio
import contextlib
import faulthandler
import gc
import importlib
import logging
import os
import shutil
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from PySide6.QtGui import QSessionManager

from launcher import paths
from launcher.app.choices import Choices
from launcher.app.front import Front, quitting_signals
from launcher.app.outside import Outside
from launcher.app.pages import LATER, Pages
from launcher.app.presence import Presence
from launcher.app.unexpected import versions
from launcher.app.wishes import Wishes
from launcher.domain.server import Owner, ServerState, ServerStatus
from launcher.domain.settings import OnStart, Settings
from launcher.errors import LauncherError, StorageError
from launcher.tasks import TaskScope, run_blocking
from launcher.ui.single_instance import SingleInstance, Wish

if TYPE_CHECKING:
    from launcher.core import Core
    from launcher.domain.questions import Question
    from launcher.ui.dialogs import WindowAsk
    from launcher.ui.tray import Tray

_log = logging.getLogger(__name__)

_WATCHDOG_S = 15.0
_WATCHDOG_CODE = 70
_FAILED_CODE = 1
_WORK = "window"
_TASKS_S = 3.0
_QUIT_S = 10.0
"""Drain (2 s), grace and a bit (6 s), and some air."""
_SPACE_EVERY_S = 30.0
_HEAVY = (
    "launcher.core",
    "launcher.diagnostics",
    "launcher.ui.tray",
    "launcher.ui.dialogs",
    *LATER,
    "launcher.actions.change_setting",
    "launcher.actions.delete_models",
    "launcher.actions.in_memory",
)


class _AskLate:
    """Asks by dialogs that are imported with the first question."""

    def __init__(self, dialogs: Callable[[], WindowAsk]) -> None:
        self._dialogs = dialogs

    async def confirm(self, question: Question) -> bool:
        return await self._dialogs().confirm(question)

    async def choose_program(self, start: str) -> str | None:
        return await self._dialogs().choose_program(start)


class Launcher:
    """One run of the window. :meth:`run` is all of it; the rest is what signals call."""

    def __init__(
        self,
        front: Front,
        instance: SingleInstance | None = None,
        *,
        host: str | None = None,
        hidden: bool = False,
        pulls: Sequence[str] = (),
    ) -> None:
        self._front = front
        self._instance = instance
        self._host = host
        self._hidden = hidden
        self._wished_pulls = tuple(pulls)
        self._stop = asyncio.Event()
        self._reopen = asyncio.Event()
        self._seen: bool | None = None
        self._scope = TaskScope(self._on_task_failed)
        self._watchdog: threading.Timer | None = None
        self._ask: WindowAsk | None = None

        self.window = front.window
        self.store = front.store
        self.theme = front.theme
        self._wishes = Wishes(
            ask=_AskLate(self._dialogs),
            show_page=self.window.show_page,
            show_window=lambda: self._presence.show(),
            show_work=lambda name, work: self._pages.show_work(name, work),
            report=self.report,
            end=self.quit,
        )
        self._pages = Pages(front, self._wishes.deeds, host=host)
        self._choices = Choices(
            front,
            self._pages,
            self._scope,
            dialogs=self._dialogs,
            report=self.report,
            changed=self._on_setting_changed,
        )
        self._presence = Presence(
            front, self._scope, on_quit=self._wishes.quit, closes_to_tray=lambda: self._choices.current.close_to_tray
        )
        outside = Outside(self.report)
        self._wishes.deeds.update(
            setting_changed=self._choices.change,
            choose_binary_requested=self._choices.choose_binary,
            show_model_requested=self._pages.show_model,
            get_ollama_requested=outside.get_ollama,
            demo_requested=outside.open_demo,
            open_folder_requested=outside.open_log_folder,
        )
        self._pages.connect_first()
        self.store.server_changed.connect(self._wishes.server_changed)

    @property
    def deeds(self) -> Mapping[str, Callable[..., object]]:
        """What each signal of the pages means, by its name."""
        return self._wishes.deeds

    @property
    def tray(self) -> Tray | None:
        """None until all that follows the first paint is there."""
        return self._presence.tray

    # --- the run ------------------------------------------------------------------------------------------------------

    async def run(self) -> int:
        """Serve the window until somebody wishes to quit, and leave nothing behind."""
        self._listen(asyncio.get_running_loop())
        try:
            work = self._scope.spawn(self._work(), name=_WORK)
            await self._stop.wait()
            self._arm_watchdog()
            self._hide_for_good()
            await asyncio.wait({work}, timeout=_QUIT_S)
        finally:
            await self._scope.aclose(_TASKS_S)
            self._close()
        return _FAILED_CODE if self._front.unexpected.fatal else 0

    def quit(self) -> None:
        """Begin the end, asking nobody; called again it changes nothing."""
        if self._instance is not None:
            self._instance.rest()  # a start that comes now is the next one, and not this one's
        self._wishes.rest()
        self._stop.set()

    def report(self, error: LauncherError) -> None:
        """Tell the person about a failure that stopped one thing only."""
        _log.info("told: %s %s", error.title, error.detail)
        self.window.message_bar.show_error(error)

    async def _work(self) -> None:
        if not self._hidden:
            self.window.show()
        await self._prepare()
        await self._serve()

    def _listen(self, loop: asyncio.AbstractEventLoop) -> None:
        for number in quitting_signals():
            with contextlib.suppress(NotImplementedError, RuntimeError):  # RuntimeError: not the main thread
                loop.add_signal_handler(number, self.quit)
        front = self._front
        if front.quit_wished:
            self.quit()
        front.unexpected.watch(loop, self.window, self.quit)
        # At the end of a session commitDataRequest comes before it.
        front.app.quit_wished.connect(self._wishes.quit)
        front.app.raised.connect(self._presence.show)
        front.app.commitDataRequest.connect(self._on_session_ends)
        self.window.page_changed.connect(self._on_seen_changed)
        front.window_events.seen_changed.connect(self._on_seen_changed)

    async def _prepare(self) -> None:
        """Do what need not be there for the first paint."""
        await run_blocking(_import_heavy)
        self._front.unexpected.write_log()
        _log.info("%s", versions())
        await self._choices.read()
        if self._instance is not None:
            self._instance.wished.connect(self._on_wish)
            if not self._stop.is_set() and not self._instance.listen():
                _log.warning("second starts cannot be heard")
        await self._presence.appear(start=self._wishes.start, stop=self._wishes.stop)
        self._pages.add_others(self._scope, lambda: self._wishes.core)
        self._wishes.pull(self._wished_pulls)
        if not gc.isenabled():  # the entry has turned it off
            # What was made so far stays: the collector need not look at it again and again.
            gc.freeze()
            gc.enable()

    async def _serve(self) -> None:
        """Run the services of one address after the other, until the end."""
        starts = self._choices.current.on_start is OnStart.START
        while not self._stop.is_set():
            self._reopen.clear()
            try:
                starts = await self._serve_address(starts=starts)
            except LauncherError as error:
                # What cannot even be looked for: an address that is none, folders that cannot be had.
                self.report(error)
                self.store.put(_unknown_server(error))
                await self._until_asked()

    async def _serve_address(self, *, starts: bool) -> bool:
        """Run the services of one address until the end, or until there is another; tell whether to start one there.

        What a person has stopped, or wishes to watch only, is not started by another address.
        """
        from launcher.core import open_core

        async with open_core(
            self._host,
            publish=self._front.publish,
            report=self.report,
            settings=self._choices.storage,
            demo=self._front.demo,
        ) as core:
            self._front.publish(core.supervisor.status)
            deeds = TaskScope(self._on_task_failed)
            self._wishes.serve(core, deeds)
            if starts or self._wishes.has_pulls:
                core.start_when_seen()
            self._seen = None
            self._on_seen_changed()
            space = self._scope.spawn(self._watch_free_space(core), name="free space")
            services = asyncio.create_task(core.run(), name="core")
            try:
                await self._until_asked(services)
                if services.done():
                    services.result()  # the first failure that nobody expected
                status = core.supervisor.status
                await self._leave(core)
            finally:
                self._wishes.rest()
                space.cancel()
                await deeds.aclose(_TASKS_S)
                services.cancel()
                await asyncio.wait({services}, timeout=_TASKS_S)
            ran = status.owner is Owner.OURS and status.state is not ServerState.STOPPED
            return ran or (starts and status.state is not ServerState.STOPPED)

    async def _leave(self, core: Core) -> None:
        """Save what is being saved, close the pulls, and stop the server or leave it, as the person has set it."""
        await self._choices.saved()
        try:
            if self._stop.is_set():
                await core.quit()
            else:
                await core.control.stop()  # it is to run at another address
        except LauncherError as error:
            _log.warning("the server was not stopped: %s %s", error.title, error.detail)

    async def _until_asked(self, services: asyncio.Task[None] | None = None) -> None:
        """Wait for the end, for another address, or until ``services`` fail."""
        asked = {
            asyncio.create_task(self._stop.wait(), name="end awaited"),
            asyncio.create_task(self._reopen.wait(), name="other address awaited"),
        }
        try:
            await asyncio.wait(asked | ({services} if services else set()), return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in asked:
                task.cancel()
            await asyncio.wait(asked)

    async def _watch_free_space(self, core: Core) -> None:
        while True:
            folder = core.models_folder
            self.window.footer.show_free_space(None if folder is None else await run_blocking(_free_bytes, folder))
            await asyncio.sleep(_SPACE_EVERY_S)

    # --- what is told -------------------------------------------------------------------------------------------------

    def _on_seen_changed(self) -> None:
        """Look often, and read the log, only for somebody who sees it."""
        seen = self.window.isVisible() and not self.window.isMinimized()
        self._pages.show_seen(seen)
        if self._wishes.core is not None and seen is not self._seen:
            self._seen = seen
            self._wishes.core.health.watch(visible=seen)

    def _on_wish(self, wish: Wish) -> None:
        """Do what a second start was for."""
        if wish.activation_token:
            # Qt takes it from there when a window asks to be activated (Wayland).
            os.environ["XDG_ACTIVATION_TOKEN"] = wish.activation_token
        if not wish.hidden or wish.pulls:
            self._presence.show()
        self._wishes.pull(wish.pulls)

    def _on_setting_changed(self, before: Settings, after: Settings) -> None:
        if after.address != before.address and self._host is None:
            self._reopen.set()
        core = self._wishes.core
        if after.ollama_binary != before.ollama_binary and core is not None:
            if core.supervisor.status.state is ServerState.NOT_INSTALLED:
                core.start_when_seen()
            core.health.wake()

    def _on_session_ends(self, _session: QSessionManager) -> None:
        self.quit()

    def _on_task_failed(self, name: str, error: BaseException) -> None:
        self._front.unexpected.task_failed(name, error, fatal=name == _WORK)

    def _dialogs(self) -> WindowAsk:
        if self._ask is None:
            from launcher.ui.dialogs import WindowAsk

            self._ask = WindowAsk(self.window)
        return self._ask

    # --- the end ------------------------------------------------------------------------------------------------------

    def _arm_watchdog(self) -> None:
        """End the process whatever hangs: what is left then is better than a launcher that cannot be quit."""
        watchdog = threading.Timer(_WATCHDOG_S, _give_up)
        watchdog.daemon = True
        watchdog.start()
        self._watchdog = watchdog

    def _hide_for_good(self) -> None:
        self._presence.end()
        self._front.unexpected.hide()
        # Dialogs are windows of their own.
        for window in self._front.app.topLevelWidgets():
            window.hide()

    def _close(self) -> None:
        self._presence.close()
        if self._instance is not None:
            self._instance.close()
        app = self._front.app
        app.quit_wished.disconnect(self._wishes.quit)
        app.raised.disconnect(self._presence.show)
        app.commitDataRequest.disconnect(self._on_session_ends)
        if self._watchdog is not None:
            self._watchdog.cancel()


# --- what needs no window ---------------------------------------------------------------------------------------------


def _import_heavy() -> None:
    """Import what the services need, and what the first request does. In a thread."""
    with contextlib.suppress(ImportError):  # it may lack a library of the system, and is not needed most of the time
        importlib.import_module("PySide6.QtNetwork")
    for name in _HEAVY:
        importlib.import_module(name)


def _unknown_server(error: LauncherError) -> ServerStatus:
    return ServerStatus(
        ServerState.FAILED, None, address="", local=False, exposed=False, reason=error.title, hint=error.hint
    )


def _free_bytes(folder: Path) -> int | None:
    """Tell what is free where ``folder`` is, or will be."""
    for place in (folder, *folder.parents):
        with contextlib.suppress(OSError):
            return shutil.disk_usage(place).free
    return None


def _give_up() -> None:
    """Write down where every thread hangs, and end."""
    with (
        contextlib.suppress(OSError, StorageError, ValueError),
        (paths.ensure_dir(paths.log_dir()) / "launcher.log").open("a", encoding="utf-8") as log,
    ):
        log.write("the launcher did not end by itself\n")
        log.flush()
        faulthandler.dump_traceback(log)
    os._exit(_WATCHDOG_CODE)
