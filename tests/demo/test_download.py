"""Downloads of the simulated server where no recording leads: roll-back, reconnects, shared blobs, faults."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from launcher.demo.golang import human_bytes
from tests.demo.recorded import (
    BIG,
    MODELS,
    QUICK_BYTES_PER_S,
    STEADY_BYTES_PER_S,
    TINY,
    Pull,
    partial_files,
    pull,
    talk_to,
    total_recorded,
    weights_of,
)
from tests.support.demo_server import SCALE, DemoServer
from tests.support.streams import leave
from tests.support.waiting import eventually

pytestmark = pytest.mark.anyio

HUGE = "localhost:5005/library/huge"
TWIN = "localhost:5005/library/twin"
STEADY: dict[str, Any] = {"rate_bytes_per_s": STEADY_BYTES_PER_S, "line_interval_ms": 15}


@asynccontextmanager
async def server(folder: Path, *faults: dict[str, Any], **script: Any) -> AsyncIterator[DemoServer]:
    models = {**MODELS, HUGE: {"size_bytes": 20_000_000_000}}
    async with DemoServer(folder, {**STEADY, "models": models, "faults": faults, **script}) as demo:
        yield demo


async def test_roll_back_makes_progress_fall_and_gives_up_in_the_end(tmp_path: Path) -> None:
    async with server(tmp_path, {"fault": "rollback", "after_bytes": 30_000_000}) as demo:
        weights = await weights_of(demo.base_url, BIG)
        seen = await pull(demo.base_url, BIG)
        files = partial_files(demo.blobs_dir, weights)
    assert seen.lines[-1] == {"error": "max retries exceeded: EOF"}
    assert any(later < earlier for earlier, later in zip(seen.fractions, seen.fractions[1:], strict=False))
    assert total_recorded(files) == 0.0


async def test_roll_back_that_ends_is_overcome(tmp_path: Path) -> None:
    async with server(tmp_path, {"fault": "rollback", "after_bytes": 30_000_000, "times": 8}) as demo:
        seen = await pull(demo.base_url, BIG)
    assert seen.lines[-1] == {"status": "success"}
    assert min(seen.fractions[3:]) < max(seen.fractions[:-1])


async def test_completed_is_missing_while_it_is_nothing(tmp_path: Path) -> None:
    async with server(tmp_path, {"fault": "stall", "at_bytes": 0, "for_s": 0.1}) as demo:
        seen = await pull(demo.base_url, BIG)
    assert "completed" not in seen.weights[0]
    assert seen.weights[0]["total"] == pytest.approx(756_461_696 * SCALE, abs=1)
    assert seen.lines[-1] == {"status": "success"}


async def test_the_server_itself_reconnects_a_stalled_part_and_keeps_what_came(tmp_path: Path) -> None:
    """30 s without a byte, 0.3 s here: the resume files are written, and the pull goes on by itself."""
    async with server(tmp_path, {"fault": "stall", "at_bytes": 300_000_000}) as demo:
        seen = await pull(demo.base_url, BIG)
        assert seen.lines[-1] == {"status": "success"}
        assert demo.log_text().count("stalled; retrying. If this persists") == 8


async def test_a_stall_without_end_records_and_is_left_by_closing(tmp_path: Path) -> None:
    async with server(tmp_path, {"fault": "stall", "at_bytes": 300_000_000, "times": 0}) as demo:
        weights = await weights_of(demo.base_url, BIG)

        async def kill_once_recorded(seen: Pull) -> None:
            if total_recorded(partial_files(demo.blobs_dir, weights)) > 0.35 and demo.returncode is None:
                await demo.kill()

        await pull(demo.base_url, BIG, on_line=kill_once_recorded)
        assert total_recorded(partial_files(demo.blobs_dir, weights)) == pytest.approx(0.4, abs=0.05)


async def test_an_inline_error_keeps_the_progress(tmp_path: Path) -> None:
    async with server(tmp_path, {"fault": "error", "at_bytes": 400_000_000, "text": "something broke"}) as demo:
        weights = await weights_of(demo.base_url, BIG)
        seen = await pull(demo.base_url, BIG)
        assert seen.lines[-1] == {"error": "something broke"}
        assert total_recorded(partial_files(demo.blobs_dir, weights)) == pytest.approx(0.53, abs=0.05)
        assert (await pull(demo.base_url, BIG)).fractions[0] > 0.5


async def test_a_crash_at_a_byte_leaves_what_a_kill_leaves(tmp_path: Path) -> None:
    async with server(tmp_path, {"fault": "crash", "at_bytes": 400_000_000}) as demo:
        weights = await weights_of(demo.base_url, BIG)
        seen = await pull(demo.base_url, BIG)
        assert await demo.wait() == -9
    assert seen.end == "RemoteProtocolError"
    assert total_recorded(partial_files(demo.blobs_dir, weights)) == 0.0


async def test_a_pull_within_the_pause_after_a_cut_meets_the_cancelled_download(tmp_path: Path) -> None:
    """The pause between two tries is a plain sleep: closing the stream does not wake it (download.go, 0.33)."""
    async with server(tmp_path, {"fault": "cut", "after_bytes": 0}, scale=1) as demo:

        async def cut(seen: Pull) -> None:
            await eventually(lambda: "retrying in 2s" in demo.log_text())

        await pull(demo.base_url, BIG, close_at=0.0, on_line=cut)
        assert (await pull(demo.base_url, BIG)).lines[-1] == {"error": "context canceled"}


async def test_many_parts_sixteen_at_a_time(tmp_path: Path) -> None:
    async with server(tmp_path, rate_bytes_per_s=QUICK_BYTES_PER_S) as demo:
        weights = await weights_of(demo.base_url, HUGE)

        async def look(seen: Pull) -> None:
            if not counted and seen.fractions:
                files = partial_files(demo.blobs_dir, weights)
                counted.append(sum(name.startswith("-partial-") for name in files))

        counted: list[int] = []
        seen = await pull(demo.base_url, HUGE, on_line=look)
        assert f"in 20 {human_bytes(round(1e9 * SCALE))} part(s)" in demo.log_text()
    assert counted == [20]
    assert seen.lines[-1] == {"status": "success"}


async def test_two_models_share_a_layer_on_its_way(tmp_path: Path) -> None:
    """The same blob under two names is downloaded once; the one who leaves does not end it for the other."""
    models = {**MODELS, TWIN: {**MODELS[BIG], "weights": f"{BIG}:latest"}}
    async with server(tmp_path, models=models) as demo:
        other = asyncio.create_task(pull(demo.base_url, TWIN))
        await pull(demo.base_url, BIG, close_at=0.3)
        assert (await other).lines[-1] == {"status": "success"}
        assert await weights_of(demo.base_url, TWIN) == await weights_of(demo.base_url, BIG)
        assert demo.log_text().count(" in 8 ") == 1


async def test_leaving_while_it_verifies_does_not_stop_it(tmp_path: Path) -> None:
    async with server(tmp_path, hash_bytes_per_s=2_000_000_000 * SCALE) as demo, talk_to(demo.base_url) as client:
        body = {"model": BIG, "insecure": True}
        async with client.stream("POST", "/api/pull", json=body) as response:
            lines = response.aiter_lines()
            async for text in lines:
                if json.loads(text)["status"] == "verifying sha256 digest":
                    break
            await leave(response, lines)
        manifest = demo.models_dir / "manifests" / "localhost:5005" / "library" / "big" / "latest"
        assert not manifest.exists()
        await eventually(manifest.exists)
        assert len((await client.get("/api/tags")).json()["models"]) == 1


async def test_old_layers_go_after_a_pull_of_the_next_version(tmp_path: Path) -> None:
    async with server(tmp_path, rate_bytes_per_s=QUICK_BYTES_PER_S) as demo:
        await pull(demo.base_url, TINY)
        old = await weights_of(demo.base_url, TINY)
    newer = {TINY: {**MODELS[TINY], "layers": [{"type": "model", "size_bytes": 300_000}]}}
    async with server(tmp_path, models=newer, rate_bytes_per_s=QUICK_BYTES_PER_S) as demo:
        seen = await pull(demo.base_url, TINY)
        assert [line["status"] for line in seen.lines][-2:] == ["removing unused layers", "success"]
        assert not (demo.blobs_dir / old).exists()


async def test_lines_keep_their_interval(tmp_path: Path) -> None:
    """60 ms whatever the scale, unless the script says otherwise: the count follows from the time it takes."""
    models = {**MODELS, HUGE: {"size_bytes": 756_461_696}}
    counts = []
    for interval_ms in (60, 5):
        folder = tmp_path / str(interval_ms)
        rate = 1_000_000_000 * SCALE
        async with server(folder, models=models, line_interval_ms=interval_ms, rate_bytes_per_s=rate) as demo:
            counts.append(len((await pull(demo.base_url, HUGE)).weights))
    assert counts[1] > 4 * counts[0] > 0
