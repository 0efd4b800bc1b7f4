"""Work that several want at once is done once, for as long as one of them waits."""

from __future__ import annotations

import asyncio

import pytest

from launcher.ollama.together import Together

pytestmark = pytest.mark.anyio


class Work:
    """Something that takes until it is let go, and counts how often it was begun and cancelled."""

    def __init__(self) -> None:
        self.begun = 0
        self.cancelled = 0
        self.go = asyncio.Event()
        self.outcome: str | Exception = "done"

    async def __call__(self) -> str:
        self.begun += 1
        try:
            await self.go.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        if isinstance(self.outcome, Exception):
            raise self.outcome
        return self.outcome


async def waiting(together: Together[str], work: Work, count: int, key: str = "k") -> list[asyncio.Task[str]]:
    tasks = [asyncio.create_task(together.do(key, work)) for _ in range(count)]
    for _ in range(3):
        await asyncio.sleep(0)
    return tasks


async def test_all_get_the_result_of_one() -> None:
    together, work = Together[str](), Work()
    tasks = await waiting(together, work, 3)
    work.go.set()
    assert await asyncio.gather(*tasks) == ["done"] * 3
    assert work.begun == 1


async def test_all_get_the_error_of_one() -> None:
    together, work = Together[str](), Work()
    work.outcome = ValueError("no")
    tasks = await waiting(together, work, 3)
    work.go.set()
    assert [type(one) for one in await asyncio.gather(*tasks, return_exceptions=True)] == [ValueError] * 3
    assert work.begun == 1


async def test_other_keys_are_other_work() -> None:
    together, work = Together[str](), Work()
    tasks = [*await waiting(together, work, 1, "a"), *await waiting(together, work, 1, "b")]
    work.go.set()
    await asyncio.gather(*tasks)
    assert work.begun == 2


async def test_what_is_done_is_begun_anew() -> None:
    together, work = Together[str](), Work()
    work.go.set()
    assert [await together.do("k", work), await together.do("k", work)] == ["done", "done"]
    assert work.begun == 2


async def test_one_who_leaves_ends_nothing() -> None:
    together, work = Together[str](), Work()
    first, second = await waiting(together, work, 2)
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    work.go.set()
    assert await second == "done"
    assert (work.begun, work.cancelled) == (1, 0)


async def test_with_the_last_it_ends_and_can_be_begun_anew() -> None:
    together, work = Together[str](), Work()
    tasks = await waiting(together, work, 2)
    for task in tasks:
        task.cancel()
    assert [type(one) for one in await asyncio.gather(*tasks, return_exceptions=True)] == [asyncio.CancelledError] * 2
    assert work.cancelled == 1
    work.go.set()
    assert await together.do("k", work) == "done"


async def test_an_error_that_nobody_waits_for_is_not_complained_of() -> None:
    """The plugins of the tests fail what is logged when a task's error was never looked at."""
    together = Together[str]()

    async def work() -> str:
        try:
            await asyncio.Event().wait()
        finally:
            raise ValueError("at the end")

    task = asyncio.create_task(together.do("k", work))
    for _ in range(3):
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
