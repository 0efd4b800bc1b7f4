"""The pages of the window: made when they are first looked at, each connected to what its wishes mean.

The first one is there with the first paint (:mod:`.front`); the others are imported with the services.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, TypeVar

from PySide6.QtCore import QCoreApplication, QObject
from PySide6.QtWidgets import QWidget

from launcher.app.front import Front
from launcher.errors import LauncherError
from launcher.tasks import TaskScope

if TYPE_CHECKING:
    from launcher.core import Core
    from launcher.ui.pages.log import LogPage
    from launcher.ui.pages.models import ModelsPage
    from launcher.ui.pages.settings import SettingsPage

LATER = (
    "launcher.ui.pages.downloads",
    "launcher.ui.pages.log",
    "launcher.ui.pages.models",
    "launcher.ui.pages.settings",
)
"""To be imported in a thread after the first paint."""

_LOG_AGAIN_S = 0.5

P = TypeVar("P", bound=QWidget)


class Pages:
    """``deeds`` has what each ``*_requested`` and ``*_changed`` of a page means, by its name.

    ``host`` is the server that was named for this run.
    """

    def __init__(self, front: Front, deeds: Mapping[str, Callable[..., object]], *, host: str | None = None) -> None:
        self._window = front.window
        self._store = front.store
        self._theme = front.theme
        self._first = front.server_page
        self._deeds = deeds
        self._host = host
        self._models: ModelsPage | None = None
        self._settings: SettingsPage | None = None
        self._log_watched = asyncio.Event()

    def connect_first(self) -> None:
        """Connect the page that is there already; before, it has nothing to wish for."""
        self._made(self._first)

    def add_others(self, scope: TaskScope, core: Callable[[], Core | None]) -> None:
        """``core`` tells the services of now; ``scope`` owns what feeds a page."""
        from launcher.ui.pages.downloads import DownloadsPage

        add = self._window.add_page
        add("models", _tr("Models"), "models", self._make_models)
        add("downloads", _tr("Downloads"), "download", lambda: self._made(DownloadsPage(self._store, self._theme)))
        add("log", _tr("Log"), "log", lambda: self._make_log(scope, core))
        add("settings", _tr("Settings"), "settings", self._make_settings)

    def show_seen(self, seen: bool) -> None:
        """``seen``: somebody looks at the window. The log is read only for somebody who sees it."""
        if seen and self._window.page == "log":
            self._log_watched.set()
        else:
            self._log_watched.clear()

    def show_model(self, name: str) -> None:
        """Show the page of the models, with this one selected."""
        self._window.show_page("models")
        if self._models is not None:
            self._models.show_model(name)

    def show_work(self, name: str, work: str | None) -> None:
        """Show what is being done to a model (``loading``, ``unloading``, ``deleting``); None: nothing any more."""
        from launcher.ui.models_table import Work

        shown = Work(work) if work is not None else None
        self._first.show_work(name, shown)
        if self._models is not None:
            self._models.show_work(name, shown)

    def show_unsaved(self, key: str, error: LauncherError) -> bool:
        """Say at a setting why it was not saved; False where nobody sees the page."""
        if self._settings is None or self._window.page != "settings":
            return False
        self._settings.show_failed(key, error)
        return True

    def _make_models(self) -> QWidget:
        from launcher.ui.pages.models import ModelsPage

        self._models = self._made(ModelsPage(self._store, self._theme))
        return self._models

    def _make_settings(self) -> QWidget:
        from launcher.ui.pages.settings import SettingsPage

        self._settings = self._made(SettingsPage(self._store, self._theme, host=self._host))
        return self._settings

    def _make_log(self, scope: TaskScope, core: Callable[[], Core | None]) -> QWidget:
        from launcher.ui.pages.log import LogPage

        page = self._made(LogPage(self._store, self._theme))
        scope.spawn(self._feed_log(page, core), name="log page")
        return page

    def _made(self, page: P) -> P:
        connect(page, self._deeds)
        return page

    async def _feed_log(self, page: LogPage, core_of_now: Callable[[], Core | None]) -> None:
        """Give the page what the server writes, while somebody looks at it."""
        while True:
            await self._log_watched.wait()
            core = core_of_now()
            if core is None:
                await asyncio.sleep(_LOG_AGAIN_S)
                continue
            page.clear()
            async with contextlib.aclosing(core.log_batches()) as batches:
                async for batch in batches:
                    if batch:
                        page.append(batch)
                    await self._log_watched.wait()
                    if core_of_now() is not core:
                        break


def connect(page: QObject, deeds: Mapping[str, Callable[..., object]]) -> None:
    """Connect the wishes of a page by their names; they mean the same on each."""
    for name, deed in deeds.items():
        wish = getattr(page, name, None)
        if wish is not None:
            wish.connect(deed)


def _tr(text: str) -> str:
    return QCoreApplication.translate("pages", text)
