"""``models pull``: downloads with bars on a terminal, lines in a pipe, objects for programs.

However it ends, what was downloaded is kept and the words say how to go on. A server that another launcher stops is let
go of at once, so that it can write down what it has; one that comes back (a restart) is pulled from again.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Protocol

import click

from launcher.cli import output
from launcher.cli.failures import Exit
from launcher.cli.notices import tell_notice, warn_of_address
from launcher.cli.progress import BarScreen
from launcher.cli.run import run
from launcher.cli.session import Session, shared_options
from launcher.domain.names import ModelName
from launcher.domain.server import ANSWERING, ServerState
from launcher.domain.transfer import Phase, Transfer, Trouble
from launcher.domain.units import format_bytes, format_duration, format_percent, format_rate

if TYPE_CHECKING:
    from rich.progress import TaskID

    from launcher.core import Core

WATCH_EVERY_S = 0.1
"""A server that is being stopped waits half a second for pulls to let go."""
BACK_WITHIN_S = 90.0
GONE_FOR_GOOD_S = 4.0
"""A server that is gone and not being started again after so long stays gone."""
BROKEN_OFF_AT_MOST = 5
"""So often a server may break off and be there again before that is a failure."""
DRAIN_S = 2.0

_PHASES = {
    Phase.QUEUED: "waiting for its turn",
    Phase.CONNECTING: "asking the registry",
    Phase.PULLING: "downloading",
    Phase.STALLED: "stalled: nothing has come for a while",
    Phase.VERIFYING: "verifying",
    Phase.WRITING: "writing",
    Phase.PAUSED: "paused",
    Phase.WAITING_NETWORK: "waiting for the network",
    Phase.WAITING_SPACE: "waiting for room on the disk",
    Phase.DONE: "done",
    Phase.FAILED: "failed",
}


_EXITS: dict[Trouble, Exit] = {
    Trouble.NONE: Exit.DONE,
    Trouble.NO_SUCH_MODEL: Exit.NO_SUCH_MODEL,
    Trouble.NOT_REACHABLE: Exit.NOT_REACHABLE,
    Trouble.BROKEN_OFF: Exit.NOT_REACHABLE,
    Trouble.NO_NETWORK: Exit.FAILED,
    Trouble.NO_SPACE: Exit.FAILED,
    Trouble.DAMAGED: Exit.FAILED,
    Trouble.OTHER: Exit.FAILED,
}


class View(Protocol):
    """How transfers are shown."""

    def show(self, transfer: Transfer) -> None: ...

    def close(self) -> None: ...


@click.command(short_help="Download models.")
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
@click.option("--insecure", is_flag=True, help="Use plain HTTP to the registry.")
@shared_options
def pull(session: Session, names: tuple[str, ...], insecure: bool) -> int:
    """Download models, or bring installed ones up to date.

    Ctrl-C pauses: what was downloaded is kept, and the same command goes on from there.
    """
    parsed = [ModelName.parse(name) for name in names]
    return run(lambda: pull_models(session, parsed, insecure=insecure))


async def pull_models(session: Session, names: list[ModelName], *, insecure: bool) -> int:
    from launcher.core import open_core

    pulls = _Pulls(session, insecure=insecure)
    async with open_core(host=session.host, publish=pulls.take, report=tell_notice) as core:
        warn_of_address(core.address)
        return await pulls.run(core, [name.display for name in names])


class _Pulls:
    """One run of the command: from the first line to the last word."""

    def __init__(self, session: Session, *, insecure: bool) -> None:
        self._session = session
        self._insecure = insecure
        self._view = _view(session)
        self._shown: dict[str, Transfer] = {}
        self._held: dict[str, Transfer] = {}
        """Failed because the server broke off, which may be its restart: not shown before that is known."""
        self._broken_off = 0
        self._waiting = False
        self._over = asyncio.Event()
        self._broken: output.OutputGone | output.OutputFailed | None = None

    def take(self, snapshot: object) -> None:
        """Show what has changed; called by the downloads."""
        if not isinstance(snapshot, tuple):
            return
        for transfer in snapshot:
            if self._shown.get(transfer.model) != transfer:
                self._shown[transfer.model] = transfer
                if transfer.trouble is Trouble.BROKEN_OFF and self._broken_off < BROKEN_OFF_AT_MOST:
                    self._held[transfer.model] = transfer
                else:
                    self._show(transfer)
        if self._shown and all(self._is_over(transfer) for transfer in self._shown.values()):
            self._over.set()

    async def run(self, core: Core, names: list[str]) -> int:
        for name in names:
            core.downloads.add(name, insecure=self._insecure)
        try:
            if await core.control.is_being_stopped():
                # A stream that is opened now would be cut off, and what it had begun would not be written down.
                self._remark("The server is being stopped; waiting for it to come back.")
                await self._comes_back(core)
        except asyncio.CancelledError:
            self._close()
            self._say_how_to_go_on()
            raise
        work = asyncio.create_task(core.downloads.run(), name="downloads")
        watch = asyncio.create_task(self._watch(core), name="watch the server")
        over = asyncio.create_task(self._over.wait(), name="until all is over")
        try:
            # No timeout: a download takes as long as it takes, and Ctrl-C ends it.
            done, _ = await asyncio.wait({work, watch, over}, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        except asyncio.CancelledError:
            await core.downloads.drain(DRAIN_S)
            self._close()
            self._say_how_to_go_on()
            raise
        finally:
            await _end(work, watch, over)
            self._close()
        if self._broken is not None:
            raise self._broken
        return self._last_words()

    def _show(self, transfer: Transfer) -> None:
        try:
            self._view.show(transfer)
        except (output.OutputGone, output.OutputFailed) as broken:
            self._broken = broken
            self._over.set()

    def _close(self) -> None:
        try:
            self._view.close()
        except (output.OutputGone, output.OutputFailed) as broken:
            self._broken = self._broken or broken

    def _is_over(self, transfer: Transfer) -> bool:
        if transfer.model in self._held:
            return False
        return transfer.phase.ended or (transfer.phase is Phase.PAUSED and not self._waiting)

    async def _watch(self, core: Core) -> None:
        """Let go of a server that is being stopped, and come back to it when it is there again."""
        while True:
            await asyncio.sleep(WATCH_EVERY_S)
            stopping = await core.control.is_being_stopped()
            if not stopping and not self._held:
                continue
            self._waiting = True
            await core.downloads.drain(DRAIN_S)
            self._remark(f"The server {'is being stopped' if stopping else 'broke off'}; waiting for it to come back.")
            came_back = await self._comes_back(core)
            self._waiting = False
            held, self._held = self._held, {}
            if not came_back:
                for transfer in held.values():
                    self._show(transfer)
                self._over.set()
                return
            self._broken_off += len(held)
            self._remark("The server is back; the download goes on.")
            core.downloads.resume()
            for model in held:
                core.downloads.retry(model)

    async def _comes_back(self, core: Core) -> bool:
        began_s = time.monotonic()
        gone_since_s: float | None = None
        while time.monotonic() - began_s < BACK_WITHIN_S:
            status = await core.control.inspect()
            if status.state in ANSWERING and not await core.control.is_being_stopped():
                return True
            if status.state in (ServerState.STARTING, ServerState.STOPPING, *ANSWERING):
                gone_since_s = None
            elif gone_since_s is None:
                gone_since_s = time.monotonic()
            elif time.monotonic() - gone_since_s > GONE_FOR_GOOD_S:
                return False
            await asyncio.sleep(WATCH_EVERY_S)
        return False

    def _remark(self, text: str) -> None:
        if not self._session.as_json:
            output.remark(text)

    def _say_how_to_go_on(self) -> None:
        names = [transfer.model for transfer in self._shown.values() if transfer.phase is not Phase.DONE]
        if names:
            insecure = ["--insecure"] if self._insecure else []
            command = self._session.command("models", "pull", *insecure, *names)
            output.remark(f"Paused; what was downloaded is kept. Go on with: {command}")

    def _last_words(self) -> int:
        code = Exit.DONE
        for transfer in self._shown.values():
            if transfer.phase is Phase.FAILED:
                output.complain_of(f"{transfer.model}: {transfer.error}", self._session.hint(transfer.hint))
                code = code or _EXITS[transfer.trouble]
            elif transfer.phase is not Phase.DONE:
                code = code or Exit.NOT_REACHABLE
        if any(transfer.phase is Phase.PAUSED for transfer in self._shown.values()):
            output.complain_of("The server was stopped.", "")
            self._say_how_to_go_on()
        return code


async def _end(*tasks: asyncio.Task[object]) -> None:
    for task in tasks:
        task.cancel()
    # Bounded by what they await when they are cancelled: the streams close within DRAIN_S.
    await asyncio.wait(tasks, timeout=DRAIN_S + 2.0)
    for task in tasks:
        if task.done() and not task.cancelled():
            task.exception()


def _view(session: Session) -> View:
    if session.as_json:
        return JsonView()
    return BarView() if output.on_terminal() else LineView()


class JsonView:
    """One object a line, for programs."""

    def show(self, transfer: Transfer) -> None:
        output.fact(transfer_json(transfer))

    def close(self) -> None:
        """Nothing is left open."""


def transfer_json(transfer: Transfer) -> dict[str, object]:
    line: dict[str, object] = {
        "model": transfer.model,
        "phase": transfer.phase.value,
        "completed_bytes": transfer.completed_bytes,
        "total_bytes": transfer.total_bytes,
        "rate_bps": _rounded(transfer.rate_bps),
        "eta_s": _rounded(transfer.eta_s),
    }
    if transfer.error:
        line["error"] = transfer.error
    return line


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 1)


class LineView:
    """A line for each phase and for each twentieth of the way."""

    def __init__(self) -> None:
        self._told: dict[str, tuple[Phase, int]] = {}

    def show(self, transfer: Transfer) -> None:
        step = (transfer.permille or 0) // 50 if transfer.phase is Phase.PULLING else 0
        if transfer.phase is Phase.QUEUED or self._told.get(transfer.model) == (transfer.phase, step):
            return
        self._told[transfer.model] = (transfer.phase, step)
        if transfer.phase is Phase.FAILED:
            return  # told at the end, with what to do about it
        output.say(f"{transfer.model}: {describe(transfer)}")

    def close(self) -> None:
        """Nothing is left open."""


def describe(transfer: Transfer) -> str:
    """Phase, share, sizes, speed and time left, as far as they are known."""
    words = _PHASES[transfer.phase]
    if transfer.phase is Phase.DONE:
        whole = transfer.total_bytes if not transfer.total_is_so_far else None
        return f"{words} ({format_bytes(whole)})" if whole else words
    if transfer.phase is Phase.STALLED and transfer.permille is not None:
        return f"stalled at {format_percent(transfer.permille)}: nothing has come for a while"
    if transfer.phase in (Phase.PULLING, Phase.PAUSED) and transfer.permille is not None:
        words += f" {format_percent(transfer.permille)}"
    rest = [text for text in (amount(transfer), pace(transfer)) if text]
    return f"{words} ({', '.join(rest)})" if rest and transfer.phase in (Phase.PULLING, Phase.PAUSED) else words


def amount(transfer: Transfer) -> str:
    if transfer.total_bytes is None:
        return ""
    so_far = " so far" if transfer.total_is_so_far else ""
    return f"{format_bytes(transfer.completed_bytes)} of {format_bytes(transfer.total_bytes)}{so_far}"


def pace(transfer: Transfer) -> str:
    words = [format_rate(transfer.rate_bps)] if transfer.rate_bps is not None else []
    if transfer.eta_s is not None:
        words.append(f"{format_duration(transfer.eta_s)} left")
    return ", ".join(words)


class BarView:
    """A bar for each model, on a terminal."""

    def __init__(self) -> None:
        self._screen = BarScreen("{task.fields[percent]:>7}", "{task.fields[words]}")
        self._bars: dict[str, TaskID] = {}

    def show(self, transfer: Transfer) -> None:
        progress = self._screen.opened()
        bar = self._bars.get(transfer.model)
        if bar is None:
            bar = self._bars[transfer.model] = progress.add_task(transfer.model, total=None, words="", percent="")
        words = _PHASES[transfer.phase]
        if transfer.phase is Phase.PULLING:
            words = "  ".join(text for text in (amount(transfer), pace(transfer)) if text) or words
        progress.update(
            bar,
            # Never a full bar for what is not done.
            total=1000 if transfer.permille is not None else None,
            completed=transfer.permille or 0,
            words=words,
            percent=format_percent(transfer.permille) if transfer.permille is not None else "",
        )
        with output.told_when_broken():
            progress.refresh()

    def close(self) -> None:
        self._screen.close()
