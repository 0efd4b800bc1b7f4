"""How far something is that has steps: bars on a terminal, lines in a pipe, objects for programs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from launcher.cli import output
from launcher.cli.session import Session
from launcher.domain.units import format_bytes

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

_PARTS = 20
_LAST = "success"
"""The server's last line; people are told in a sentence."""


class StepView(Protocol):
    """Where steps are shown."""

    def show(self, status: str, completed_bytes: int | None, total_bytes: int | None, digest: str) -> None:
        """Show a step, or how far it has come."""
        ...

    def close(self) -> None:
        """Leave the screen as it should be found. May be called twice."""
        ...


def open_steps(session: Session, model: str) -> StepView:
    """Choose by who reads."""
    if session.as_json:
        return _Objects(model)
    return _Bars() if output.on_terminal() else _Lines()


class _Objects:
    """One object a line."""

    def __init__(self, model: str) -> None:
        self._model = model

    def show(self, status: str, completed_bytes: int | None, total_bytes: int | None, digest: str) -> None:
        output.fact(
            {
                "model": self._model,
                "status": status,
                "digest": digest or None,
                "completed_bytes": completed_bytes if total_bytes is None else completed_bytes or 0,
                "total_bytes": total_bytes,
            }
        )

    def close(self) -> None:
        """Nothing is left open."""


class _Lines:
    """A line for each step, and for each twentieth of its way."""

    def __init__(self) -> None:
        self._told: tuple[str, int | None] | None = None

    def show(self, status: str, completed_bytes: int | None, total_bytes: int | None, digest: str) -> None:
        part = (completed_bytes or 0) * _PARTS // total_bytes if total_bytes else None
        if status == _LAST or (status, part) == self._told:
            return
        self._told = status, part
        words = f"{status}: {amount(completed_bytes or 0, total_bytes)}" if total_bytes else status
        output.say(words)

    def close(self) -> None:
        """Nothing is left open."""


def amount(completed_bytes: int, total_bytes: int) -> str:
    """``50 % (1.2 MB of 2.4 MB)``."""
    percent = completed_bytes * 100 // total_bytes if total_bytes else 100
    return f"{percent} % ({format_bytes(completed_bytes)} of {format_bytes(total_bytes)})"


class BarScreen:
    """The bars at the foot of a terminal, from the first one on: a name, the bar, and what ``texts`` say of a task."""

    def __init__(self, *texts: str) -> None:
        self._texts = texts
        self._progress: Progress | None = None

    def opened(self) -> Progress:
        if self._progress is None:
            # Imported for a terminal only: it costs as much as all else together.
            from rich.progress import BarColumn, Progress, TextColumn

            self._progress = Progress(
                TextColumn("{task.description}", markup=False),
                BarColumn(bar_width=30),
                *(TextColumn(text, markup=False) for text in self._texts),
                auto_refresh=False,
            )
            self._progress.start()
        return self._progress

    def close(self) -> None:
        """Leave the screen as it should be found. May be called twice."""
        progress, self._progress = self._progress, None
        if progress is not None:
            with output.told_when_broken():
                progress.stop()


class _Bars:
    """A bar for each step that has a size, a line for each other."""

    def __init__(self) -> None:
        self._screen = BarScreen("{task.fields[words]}")
        self._bars: dict[str, TaskID] = {}
        self._last = ""

    def show(self, status: str, completed_bytes: int | None, total_bytes: int | None, digest: str) -> None:
        status = output.harmless(status)
        with output.told_when_broken():
            progress = self._screen.opened()
            if not total_bytes:
                if status not in (self._last, _LAST):
                    progress.console.print(status, markup=False, highlight=False)
                self._last = status
                return
            bar = self._bars.get(status)
            if bar is None:
                bar = self._bars[status] = progress.add_task(status, total=total_bytes, words="")
            done = completed_bytes or 0
            progress.update(bar, completed=done, total=total_bytes, words=amount(done, total_bytes))
            progress.refresh()

    def close(self) -> None:
        self._screen.close()
