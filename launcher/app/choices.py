"""The settings: read once, changed by a person's wishes, each change with its effect.

What a change means to the services is not known here; who serves them says it by a callable.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import TYPE_CHECKING

from launcher.app.front import Front
from launcher.app.pages import Pages
from launcher.domain.settings import Settings
from launcher.errors import LauncherError, StorageError
from launcher.settings import SettingsStorage
from launcher.tasks import TaskScope, run_blocking

if TYPE_CHECKING:
    from launcher.ui.dialogs import WindowAsk

_SAVING_S = 2.0


class Choices:
    """``changed(before, after)`` is called when a change has been saved and is seen."""

    def __init__(
        self,
        front: Front,
        pages: Pages,
        scope: TaskScope,
        *,
        dialogs: Callable[[], WindowAsk],
        report: Callable[[LauncherError], None],
        changed: Callable[[Settings, Settings], None],
    ) -> None:
        self._front = front
        self._pages = pages
        self._scope = scope
        self._dialogs = dialogs
        self._report = report
        self._changed = changed
        self._saving = asyncio.Lock()
        self.storage = SettingsStorage()

    @property
    def current(self) -> Settings:
        return self.storage.current

    async def read(self) -> None:
        """Read the settings and show them; what is wrong with them is told."""
        for notice in await run_blocking(self.storage.load):
            self._report(StorageError(notice.title, detail=notice.detail, hint=notice.hint))
        self._front.theme.apply(self.current.appearance)
        self._front.publish(self.current)

    def change(self, key: str, value: object) -> None:
        """Save a setting at once, and let it have its effect."""
        self._scope.spawn(self._save(key, value), name=f"setting {key}")

    def choose_binary(self) -> None:
        """Ask for the program of Ollama."""
        self._scope.spawn(self._ask_for_binary(), name="choose binary")

    async def saved(self) -> None:
        """Wait until what is being saved is saved, but not for long."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_SAVING_S), self._saving:
                pass

    async def _save(self, key: str, value: object) -> None:
        from launcher.actions.change_setting import change_setting

        async with self._saving:
            before = self.current
            try:
                after = await change_setting(self.storage, key, value)
            except LauncherError as error:
                if not self._pages.show_unsaved(key, error):
                    self._report(error)
                return
        self._front.publish(after)
        if after.appearance is not before.appearance:
            self._front.theme.apply(after.appearance)
        self._changed(before, after)

    async def _ask_for_binary(self) -> None:
        path = await self._dialogs().choose_program(self.current.ollama_binary)
        if path is not None:
            await self._save("ollama_binary", path)
