"""One piece of work for all who want it at the same time. Knows tasks only."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

T = TypeVar("T")

_END_S = 5.0


@dataclass(slots=True)
class _Work(Generic[T]):
    task: asyncio.Task[T]
    waiting: int = 0


class Together(Generic[T]):
    """Do work of one kind once for all who ask for it while it is done: by key, all get its result or its error.

    One who waits may be cancelled without harm to the others; with the last of them the work is cancelled.
    """

    def __init__(self) -> None:
        self._works: dict[str, _Work[T]] = {}

    async def do(self, key: str, make: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Await the work of this key, begun now unless it is under way."""
        work = self._works.get(key)
        if work is None or work.task.done():
            work = self._works[key] = _Work(asyncio.create_task(make(), name=f"together-{key}"))
        work.waiting += 1
        try:
            # A cancellation is this caller's own, not the work's.
            await asyncio.wait({work.task})
        finally:
            work.waiting -= 1
            if work.waiting == 0:
                if self._works.get(key) is work:
                    del self._works[key]
                await _end(work.task)
        return work.task.result()


async def _end(task: asyncio.Task[Any]) -> None:
    """Cancel what nobody waits for any more, and see it end."""
    if not task.done():
        task.cancel()
        await asyncio.wait({task}, timeout=_END_S)
    if task.done() and not task.cancelled():
        # Looked at, so that nobody complains that it was not.
        task.exception()
