"""``status --watch``: the state as it changes, drawn again on a terminal, a line for each change elsewhere.

Shows what the core publishes, and asks nothing itself. A server that ends is not started again: whoever watches changes
nothing.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from datetime import datetime
from typing import TYPE_CHECKING, Protocol

from launcher.cli import output, phrases
from launcher.cli.failures import Exit
from launcher.cli.notices import tell_notice, warn_of_address
from launcher.cli.session import Session
from launcher.domain.models import Models
from launcher.domain.server import ANSWERING, ServerStatus

if TYPE_CHECKING:
    from rich.live import Live

_END_S = 5.0
_SETTLE_S = 1.0
"""State and models are published one after the other: they are shown together when they come within this time."""
_UNKNOWN_MODELS = Models(installed=None, loaded=None)
_TIMELESS = ("uptime_s",)


class View(Protocol):
    """How a state is shown; one that shows nothing new may be left out."""

    def show(self, status: ServerStatus, models: Models) -> None: ...

    def close(self) -> None: ...


async def watch_status(session: Session, interval_s: float) -> int:
    """Show the state until interrupted; whatever is there or not."""
    from launcher.core import WATCHING, open_core, watching_every

    latest = _Latest()
    async with open_core(
        host=session.host,
        publish=latest.take,
        report=tell_notice,
        policy=WATCHING,
        intervals=watching_every(interval_s),
    ) as core:
        warn_of_address(core.address)
        view = _view(session)
        watching = asyncio.create_task(core.watch(), name="watch")
        showing = asyncio.create_task(_show(latest, view, interval_s), name="show")
        try:
            # No timeout: who watches ends it by Ctrl-C.
            done, _ = await asyncio.wait({watching, showing}, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in (watching, showing):
                task.cancel()
            await asyncio.wait({watching, showing}, timeout=_END_S)
            for task in (watching, showing):
                if task.done() and not task.cancelled():
                    task.exception()  # one of them is raised already
            view.close()
    return Exit.DONE


class _Latest:
    """What was published last."""

    def __init__(self) -> None:
        self.status: ServerStatus | None = None
        self.models = _UNKNOWN_MODELS
        self._changed = asyncio.Event()

    def take(self, snapshot: object) -> None:
        if isinstance(snapshot, ServerStatus):
            self.status = snapshot
        elif isinstance(snapshot, Models):
            self.models = snapshot
        self._changed.set()

    async def change(self, within_s: float) -> None:
        """Wait for the next change, for at most ``within_s``, and for what belongs to it."""
        with suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                await self._changed.wait()
        self._changed.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout(_SETTLE_S):
                while self._is_half():
                    await self._changed.wait()
                    self._changed.clear()

    def _is_half(self) -> bool:
        answers = self.status is not None and self.status.state in ANSWERING
        return self.status is None or (answers and self.models.installed is None)


async def _show(latest: _Latest, view: View, interval_s: float) -> None:
    while True:
        await latest.change(interval_s)
        if latest.status is not None:
            answers = latest.status.state in ANSWERING
            view.show(latest.status, latest.models if answers else _UNKNOWN_MODELS)


def _view(session: Session) -> View:
    if session.as_json:
        return JsonView()
    return DrawnView() if output.on_terminal() else LineView()


class JsonView:
    """One object a line, for programs; time alone changes nothing."""

    def __init__(self) -> None:
        self._told: dict[str, object] = {}

    def show(self, status: ServerStatus, models: Models) -> None:
        found = phrases.status_json(status, models, time.time())
        lasting = {name: value for name, value in found.items() if name not in _TIMELESS}
        if lasting != self._told:
            self._told = lasting
            output.fact(found)

    def close(self) -> None:
        """Nothing is held."""


class LineView:
    """One line a change, with the time, for pipes and files."""

    def __init__(self) -> None:
        self._told = ""

    def show(self, status: ServerStatus, models: Models) -> None:
        line = phrases.status_line(status, models)
        if line != self._told:
            self._told = line
            output.say(f"{datetime.now().astimezone().isoformat(timespec='seconds')} {line}")

    def close(self) -> None:
        """Nothing is held."""


class DrawnView:
    """All that ``status`` tells, in one place of the terminal. It goes on counting, so it is drawn at each call."""

    def __init__(self) -> None:
        self._live: Live | None = None

    def show(self, status: ServerStatus, models: Models) -> None:
        from rich.live import Live
        from rich.text import Text

        lines = [output.harmless(line) for line in phrases.status_lines(status, models, time.time())]
        text = Text("\n".join(lines), overflow="fold")
        with output.told_when_broken():
            if self._live is None:
                self._live = Live(text, auto_refresh=False)
                self._live.start(refresh=True)
            else:
                self._live.update(text, refresh=True)

    def close(self) -> None:
        live, self._live = self._live, None
        if live is not None:
            with output.told_when_broken():
                live.stop()
