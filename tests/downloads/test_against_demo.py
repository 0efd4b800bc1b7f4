"""Downloads from the simulated server: its cadence, its faults, its files."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from launcher.domain.transfer import Phase, Transfer, Trouble
from launcher.downloads import Downloads
from launcher.ollama import Client
from tests.support.demo_server import DemoServer
from tests.support.waiting import eventually

pytestmark = pytest.mark.anyio

MODEL = "llama3.2:1b"
SLOW = {"rate_bytes_per_s": 4_000_000}


class Story:
    """The snapshots of one transfer."""

    def __init__(self) -> None:
        self.told: list[Transfer] = []
        self._came = asyncio.Event()

    def put(self, snapshot: tuple[Transfer, ...]) -> None:
        self.told.extend(snapshot)
        self._came.set()

    @property
    def phases(self) -> list[Phase]:
        return [phase for phase, _ in itertools.groupby(transfer.phase for transfer in self.told)]

    async def until(self, *phases: Phase, completed_bytes: int = 0) -> Transfer:
        async with asyncio.timeout(30):
            while True:
                if self.told and self.told[-1].phase in phases and self.told[-1].completed_bytes >= completed_bytes:
                    return self.told[-1]
                self._came.clear()
                await self._came.wait()


@asynccontextmanager
async def downloading(server: DemoServer) -> AsyncIterator[tuple[Downloads, Story]]:
    story = Story()
    async with Client(server.base_url) as client:
        downloads = Downloads(client, story.put, stalled_after_s=0.4)
        work = asyncio.create_task(downloads.run())
        try:
            yield downloads, story
        finally:
            work.cancel()
            await asyncio.wait({work})


@asynccontextmanager
async def served(folder: Path, script: dict[str, Any]) -> AsyncIterator[tuple[DemoServer, Downloads, Story]]:
    async with DemoServer(folder, script) as server, downloading(server) as (downloads, story):
        yield server, downloads, story


def never_falls(story: Story) -> bool:
    steps = list(zip(story.told, story.told[1:], strict=False))
    return all(
        after.completed_bytes >= before.completed_bytes and (after.permille or 0) >= (before.permille or 0)
        for before, after in steps
    )


async def test_the_total_comes_from_the_manifest_of_the_server_itself(tmp_path: Path) -> None:
    async with served(tmp_path, SLOW) as (server, downloads, story):
        downloads.add(MODEL)
        told = await story.until(Phase.PULLING, completed_bytes=1_000_000)
        assert (told.total_is_so_far, told.total_bytes is not None) == (False, True)
        done = await story.until(Phase.DONE)
        async with Client(server.base_url) as client:
            (installed,) = (await client.tags()).models
        assert (done.total_bytes, done.completed_bytes) == (installed.size, installed.size)
        assert never_falls(story)
        assert story.phases[-1] is Phase.DONE


async def test_a_pause_keeps_every_byte_that_was_shown(tmp_path: Path) -> None:
    async with served(tmp_path, SLOW) as (server, downloads, story):
        downloads.add(MODEL)
        await story.until(Phase.PULLING, completed_bytes=3_000_000)
        await downloads.drain(2.0)
        shown = story.told[-1]
        assert shown.phase is Phase.PAUSED
        await eventually(lambda: _kept_bytes(server) >= shown.completed_bytes)
        downloads.add(MODEL)
        first = await story.until(Phase.PULLING)
        assert first.completed_bytes >= shown.completed_bytes
        await story.until(Phase.DONE)


def _kept_bytes(server: DemoServer) -> int:
    """What the sidecars hold; the server writes them when the stream is closed."""
    kept_bytes = 0
    for path in server.blobs_dir.glob("*-partial-*"):
        with contextlib.suppress(ValueError):  # being written
            kept_bytes += json.loads(path.read_text())["Completed"]
    return kept_bytes


async def test_a_roll_back_is_never_shown(tmp_path: Path) -> None:
    rollback = {"fault": "rollback", "after_bytes": 300_000_000, "times": 2}
    async with served(tmp_path, {**SLOW, "faults": [rollback]}) as (_, downloads, story):
        downloads.add(MODEL)
        await story.until(Phase.DONE)
        assert never_falls(story)


async def test_a_stall_is_shown_and_passes(tmp_path: Path) -> None:
    stall = {"fault": "stall", "at_bytes": 400_000_000, "for_s": 1.2}
    async with served(tmp_path, {**SLOW, "faults": [stall]}) as (_, downloads, story):
        downloads.add(MODEL)
        await story.until(Phase.DONE)
        stalled = story.phases.index(Phase.STALLED)
        assert story.phases[stalled + 1] is Phase.PULLING
        assert never_falls(story)


async def test_bad_bytes_are_a_reason_and_the_next_attempt_begins_anew(tmp_path: Path) -> None:
    async with served(tmp_path, {"faults": [{"fault": "corrupt", "times": 1}]}) as (_, downloads, story):
        downloads.add(MODEL)
        ended = await story.until(Phase.FAILED)
        assert ended.trouble is Trouble.DAMAGED
        downloads.retry(MODEL)
        done = await story.until(Phase.DONE)
        assert done.error == ""


async def test_a_server_that_ends_is_a_reason_and_the_next_one_goes_on(tmp_path: Path) -> None:
    async with DemoServer(tmp_path, SLOW) as server, downloading(server) as (downloads, story):
        downloads.add(MODEL)
        await story.until(Phase.PULLING, completed_bytes=2_000_000)
        await server.stop()
        ended = await story.until(Phase.FAILED)
        assert ended.trouble is Trouble.BROKEN_OFF
        assert "again" in ended.hint


async def test_three_at_once_end_each_for_itself(tmp_path: Path) -> None:
    async with served(tmp_path, {}) as (_, downloads, _story):
        for name in (MODEL, "nomic-embed-text", "nobody-knows-this"):
            downloads.add(name)
        await eventually(lambda: all(transfer.phase.ended for transfer in downloads.transfers), 30.0)
        assert [(transfer.model, transfer.phase, transfer.trouble) for transfer in downloads.transfers] == [
            (MODEL, Phase.DONE, Trouble.NONE),
            ("nomic-embed-text:latest", Phase.DONE, Trouble.NONE),
            ("nobody-knows-this:latest", Phase.FAILED, Trouble.NO_SUCH_MODEL),
        ]
