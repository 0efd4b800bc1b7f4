"""The names of what was not downloaded to its end, kept for the next start of the window.

Names only, for each server that pulls: what has come so far is known to that server. Losing the file costs a person the
list, and no byte. They are written down as soon as they change: a launcher that is killed has no time to.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from collections.abc import Iterable
from functools import partial
from pathlib import Path

from launcher.domain.names import InvalidModelName, ModelName
from launcher.domain.transfer import Phase, Transfer, Trouble
from launcher.paths import write_whole
from launcher.tasks import run_blocking

_log = logging.getLogger(__name__)

_MOST_BYTES = 1_000_000


def unfinished_names(transfers: Iterable[Transfer]) -> tuple[str, ...]:
    """What is worth another attempt: all that is not done, unless nobody has it."""
    return tuple(
        transfer.model
        for transfer in transfers
        if transfer.phase is not Phase.DONE and transfer.trouble is not Trouble.NO_SUCH_MODEL
    )


class UnfinishedFile:
    """``server`` tells apart whose downloads they are: ``local``, or the address of a server elsewhere."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def read(self, server: str) -> tuple[str, ...]:
        """The names that can be downloaded, each once; none where the file cannot be read."""
        names: dict[str, None] = {}
        for name in self._read().get(server, []):
            with contextlib.suppress(InvalidModelName):
                names[ModelName.parse(name).display] = None
        return tuple(names)

    def write(self, server: str, names: Iterable[str]) -> None:
        """Remember these and no others for ``server``."""
        kept = {**self._read(), server: list(names)}
        content = json.dumps({key: value for key, value in kept.items() if value}, indent=2, ensure_ascii=False) + "\n"
        try:
            write_whole(self._path, content.encode("utf-8", "surrogatepass"))
        except OSError as error:
            _log.warning("the names of unfinished downloads were not kept: %s", error)

    def _read(self) -> dict[str, list[str]]:
        try:
            if self._path.stat().st_size > _MOST_BYTES:
                return {}
            raw = json.loads(self._path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, RecursionError) as error:
            _log.warning("the names of unfinished downloads cannot be read: %s", error)
            return {}
        if not isinstance(raw, dict):
            return {}
        return {
            str(key): [name for name in value if isinstance(name, str)]
            for key, value in raw.items()
            if isinstance(value, list)
        }


class Unfinished:
    """Keeps the names for one server, while :meth:`run` runs."""

    def __init__(self, file: UnfinishedFile, server: str) -> None:
        self._file = file
        self._server = server
        self._kept: tuple[str, ...] | None = None
        """What the file holds or is to hold; None: not read yet."""
        self._changed = asyncio.Event()

    async def read(self) -> tuple[str, ...]:
        """The names that an earlier run has left."""
        self._kept = await run_blocking(partial(self._file.read, self._server))
        return self._kept

    def changed(self, transfers: Iterable[Transfer]) -> None:
        """Take note of the list of downloads as it is now."""
        names = unfinished_names(transfers)
        if self._kept is not None and names != self._kept:
            self._kept = names
            self._changed.set()

    async def run(self) -> None:
        """Write down what has changed, until cancelled."""
        while True:
            await self._changed.wait()
            self._changed.clear()
            await run_blocking(partial(self._file.write, self._server, self._kept or ()))
