"""Every recorded pull of a real server, done again by the simulated one: same phases, same end, same files."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import pytest

from tests.demo.recorded import (
    BIG,
    BIG_BYTES,
    MID,
    MODELS,
    QUICK_BYTES_PER_S,
    RECORDINGS,
    STEADY_BYTES_PER_S,
    TINY,
    Pull,
    assert_alike,
    least_recorded,
    partial_files,
    pull,
    recorded_files,
    recording,
    talk_to,
    total_recorded,
    weights_of,
)
from tests.support.demo_server import SCALE, DemoServer
from tests.support.waiting import eventually

pytestmark = pytest.mark.anyio

RECORDED_BIG = "sha256-772da61a4fe9322745b4eef8b56fae3afbb4f7cc95af46306d464ce8f8f2e911"
RECORDED_MID = "sha256-75e8ffeaa48480e39bf2d8c5776c04c149f2a0417fbd29b7efb63fcecc21842a"
QUICK: dict[str, Any] = {"models": MODELS, "rate_bytes_per_s": QUICK_BYTES_PER_S}
# About a second for the big model, in lines of at most 2 % each: fine enough to act at a fraction.
STEADY: dict[str, Any] = {"models": MODELS, "rate_bytes_per_s": STEADY_BYTES_PER_S, "line_interval_ms": 15}


def server(folder: Path, script: dict[str, Any], **members: Any) -> DemoServer:
    return DemoServer(folder, {**script, **members})


async def with_tiny(demo: DemoServer) -> None:
    """The recorder's folder held the small model, which shares its template and licence with the others."""
    assert (await pull(demo.base_url, TINY)).lines[-1] == {"status": "success"}


async def recorded_everywhere(demo: DemoServer, weights: str, fraction: float) -> None:
    """Wait until the server has written all resume files after a close."""
    await eventually(lambda: least_recorded(partial_files(demo.blobs_dir, weights)) > fraction)


async def test_tiny_has_no_layer_line(tmp_path: Path) -> None:
    async with server(tmp_path, QUICK) as demo:
        ours = await pull(demo.base_url, TINY)
    theirs = Pull.recorded("pull/tiny")
    assert (ours.phases, ours.end) == (theirs.phases, theirs.end)


async def test_tiny_again_has_one_line_a_layer(tmp_path: Path) -> None:
    async with server(tmp_path, QUICK) as demo:
        await with_tiny(demo)
        ours = await pull(demo.base_url, TINY)
    theirs = Pull.recorded("pull/tiny-again")
    assert (ours.phases, ours.end) == (theirs.phases, theirs.end)
    assert len(ours.lines) == len(theirs.lines)
    assert all(line["total"] == line["completed"] for line in ours.lines if "digest" in line)


async def test_tiny_not_streamed_is_one_object(tmp_path: Path) -> None:
    theirs = recording("pull/tiny-not-streamed")
    async with (
        server(tmp_path, QUICK) as demo,
        talk_to(demo.base_url) as client,
    ):
        answer = await client.post("/api/pull", json=theirs["request"]["body"])
    assert answer.status_code == theirs["response"]["status"]
    assert answer.text == theirs["response"]["body"]
    assert answer.headers["content-type"] == theirs["response"]["headers"]["content-type"]


async def test_mid_to_the_end(tmp_path: Path) -> None:
    async with server(tmp_path, STEADY, rate_bytes_per_s=200_000_000 * SCALE) as demo:
        await with_tiny(demo)
        ours = await pull(demo.base_url, MID)
    theirs = Pull.recorded("pull/mid")
    assert (ours.phases, ours.end) == (theirs.phases, theirs.end)
    assert ours.fractions == sorted(ours.fractions)


async def test_close_keeps_all_and_the_next_pull_goes_on(tmp_path: Path) -> None:
    theirs = Pull.recorded("pull/big-closed")
    async with server(tmp_path, STEADY) as demo:
        await with_tiny(demo)
        weights = await weights_of(demo.base_url, BIG)
        ours = await pull(demo.base_url, BIG, close_at=theirs.fractions[-1])
        assert (ours.phases, ours.end) == (theirs.phases, theirs.end)
        await eventually(
            lambda: least_recorded(partial_files(demo.blobs_dir, weights)) > 0.5, message="the resume files"
        )
        files = partial_files(demo.blobs_dir, weights)
        assert_alike(files, recorded_files("pull/big-closed-files", RECORDED_BIG))
        partial = demo.blobs_dir / f"{weights}-partial"
        assert partial.stat().st_size == pytest.approx(BIG_BYTES * SCALE, abs=1)

        resumed = await pull(demo.base_url, BIG)
        assert (resumed.phases, resumed.end) == (
            Pull.recorded("pull/big-resumed").phases,
            Pull.recorded("pull/big-resumed").end,
        )
        assert resumed.fractions[0] >= total_recorded(files)
        assert partial_files(demo.blobs_dir, weights) == {"": None}


async def test_second_client_shares_and_leaves(tmp_path: Path) -> None:
    theirs = Pull.recorded("pull/big-second-client")
    second = Pull()

    async def join(first: Pull) -> None:
        nonlocal second
        if not second.lines and first.fractions and first.fractions[-1] >= theirs.fractions[0]:
            second = await pull(demo.base_url, BIG, close_at=theirs.fractions[-1])

    async with server(tmp_path, STEADY) as demo:
        first = await pull(demo.base_url, BIG, on_line=join)
    assert (second.phases, second.end) == (theirs.phases, theirs.end)
    assert second.fractions[0] == pytest.approx(theirs.fractions[0], abs=0.10)
    assert first.lines[-1] == {"status": "success"}


async def end_at_half(demo: DemoServer, *, by_kill: bool) -> Pull:
    """Pull the big model and end the server when half of it is there."""

    async def end(seen: Pull) -> None:
        if seen.fractions and seen.fractions[-1] >= 0.5 and demo.returncode is None:
            await (demo.kill() if by_kill else demo.stop())

    return await pull(demo.base_url, BIG, on_line=end)


async def test_sigkill_loses_everything_unfinished(tmp_path: Path) -> None:
    theirs = Pull.recorded("pull/big-server-killed")
    async with server(tmp_path, STEADY) as demo:
        weights = await weights_of(demo.base_url, BIG)
        ours = await end_at_half(demo, by_kill=True)
    assert (ours.phases, ours.end) == (theirs.phases, theirs.end)
    assert_alike(partial_files(demo.blobs_dir, weights), recorded_files("pull/big-server-killed-files", RECORDED_BIG))


async def test_sigterm_is_a_race_and_the_next_pull_goes_on(tmp_path: Path) -> None:
    """Both recorded outcomes occur over seeds: nothing of what was shown is recorded, and all of it."""
    theirs = Pull.recorded("pull/big-server-terminated")
    nothing = recorded_files("pull/big-server-terminated-files", RECORDED_BIG)
    run = recorded_run("SIGTERM", None)
    everything = run["recorded_bytes"] / run["shown_bytes"]
    seen_nothing = seen_everything = seen_torn = False
    for seed in range(8):
        async with server(tmp_path / str(seed), STEADY, seed=seed) as demo:
            weights = await weights_of(demo.base_url, BIG)
            await with_tiny(demo)
            ours = await end_at_half(demo, by_kill=False)
            assert demo.returncode == 0
            assert (ours.phases, ours.end) == (theirs.phases, theirs.end)
            files = partial_files(demo.blobs_dir, weights)
            kept = total_recorded(files) / ours.fractions[-1]
            assert list(files) == list(nothing)
            torn = any((demo.blobs_dir / f"{weights}{ending}").stat().st_size == 0 for ending in files)
            if kept < 0.1 and not torn:
                assert_alike(files, nothing)
                seen_nothing = True
            if kept == pytest.approx(everything, abs=0.1) and not torn:
                await demo.start()
                again = await pull(demo.base_url, BIG)
                assert again.phases == Pull.recorded("pull/big-after-terminated").phases
                seen_everything = True
            seen_torn |= torn
        if seen_nothing and seen_everything and seen_torn:
            return
    pytest.fail(f"nothing: {seen_nothing}, everything: {seen_everything}, a torn file: {seen_torn}")


def recorded_run(signal: str, checkpoint_s: float | None) -> dict[str, Any]:
    """One of the recorded ends of a server in the middle of a pull, without or with checkpoints."""
    runs: list[dict[str, Any]] = recording("pull/checkpoints")["runs"]
    return next(run for run in runs if (run["signal"], run["checkpoint_s"]) == (signal, checkpoint_s))


async def test_checkpoints_survive_a_kill(tmp_path: Path) -> None:
    """The stream closed and opened again at the recorded fractions: what the last closing wrote is what is left."""
    run = recorded_run("SIGKILL", 1.0)
    marks = [shown / BIG_BYTES for shown in run["shown_after_each_checkpoint"]]
    async with server(tmp_path, STEADY) as demo:
        weights = await weights_of(demo.base_url, BIG)
        for mark in marks:
            await pull(demo.base_url, BIG, close_at=mark)

        async def kill(seen: Pull) -> None:
            if seen.fractions and seen.fractions[-1] >= run["shown_bytes"] / BIG_BYTES and demo.returncode is None:
                await demo.kill()

        ours = await pull(demo.base_url, BIG, on_line=kill)
    assert ours.end == "RemoteProtocolError"
    kept = total_recorded(partial_files(demo.blobs_dir, weights))
    assert kept == pytest.approx(run["recorded_bytes"] / BIG_BYTES, abs=0.10)
    assert kept < ours.fractions[-1]


async def test_prune_at_start(tmp_path: Path) -> None:
    theirs = recording("pull/prune-counts")["partial_files"]
    ours: dict[str, int] = {}
    async with server(tmp_path, STEADY) as demo:
        weights = await weights_of(demo.base_url, BIG)
        await pull(demo.base_url, BIG, close_at=0.3)
        await eventually(
            lambda: least_recorded(partial_files(demo.blobs_dir, weights)) > 0.2, message="the resume files"
        )
        await demo.stop()
    ours["before"] = len(partial_files(demo.blobs_dir, weights))
    for label, age_s, variables in (
        ("after start with OLLAMA_NOPRUNE=1, two hours old", 7200, {"OLLAMA_NOPRUNE": "1"}),
        ("after start, times just refreshed", 0, {}),
        ("after start, two hours old", 7200, {}),
    ):
        for path in demo.blobs_dir.iterdir():
            os.utime(path, (time.time() - age_s, time.time() - age_s))
        async with DemoServer(tmp_path, STEADY, environment=variables) as again:
            ours[label] = len(partial_files(again.blobs_dir, weights))
            if label == "after start, two hours old":
                assert 'msg="total blobs: 0"' in again.log_text()
                assert 'msg="total unused blobs removed: 0"' in again.log_text()
                after = await pull(again.base_url, BIG)
                assert after.phases == Pull.recorded("pull/big-after-prune").phases
                assert after.end == Pull.recorded("pull/big-after-prune").end
    assert ours == theirs


@pytest.mark.parametrize(
    ("content", "name"),
    [
        pytest.param(b"", "pull/big-empty-sidecar", id="empty"),
        pytest.param(b"{garbage", "pull/big-garbage-sidecar", id="garbage"),
    ],
)
async def test_damaged_sidecar_ends_every_pull(tmp_path: Path, content: bytes, name: str) -> None:
    theirs = Pull.recorded(name)
    async with server(tmp_path, STEADY) as demo:
        weights = await weights_of(demo.base_url, BIG)
        await pull(demo.base_url, BIG, close_at=0.2)
        await eventually(
            lambda: least_recorded(partial_files(demo.blobs_dir, weights)) > 0.1, message="the resume files"
        )
        (demo.blobs_dir / f"{weights}-partial-2").write_bytes(content)
        for _ in range(2):
            ours = await pull(demo.base_url, BIG)
            assert (ours.phases, ours.end) == (theirs.phases, theirs.end)
        for path in demo.blobs_dir.glob(f"{weights}-partial*"):
            path.unlink()
        assert (await pull(demo.base_url, BIG)).lines[-1] == {"status": "success"}


async def test_missing_sidecar_shows_a_wrong_total_and_fails_at_the_end(tmp_path: Path) -> None:
    theirs = Pull.recorded("pull/big-missing-sidecar")
    async with server(tmp_path, STEADY) as demo:
        weights = await weights_of(demo.base_url, BIG)
        await pull(demo.base_url, BIG, close_at=0.3)
        await eventually(
            lambda: least_recorded(partial_files(demo.blobs_dir, weights)) > 0.2, message="the resume files"
        )
        (demo.blobs_dir / f"{weights}-partial-2").unlink()
        ours = await pull(demo.base_url, BIG)
        files = partial_files(demo.blobs_dir, weights)
        size = (demo.blobs_dir / f"{weights}-partial").stat().st_size
    assert (ours.phases, ours.end) == (theirs.phases, theirs.end)
    assert ours.weights[0]["total"] == pytest.approx(theirs.weights[0]["total"] * SCALE, abs=1)
    assert_alike(files, recorded_files("pull/big-missing-sidecar-files", RECORDED_BIG))
    assert size == pytest.approx(BIG_BYTES * SCALE, abs=1)


async def test_disk_full(tmp_path: Path) -> None:
    theirs = Pull.recorded("pull/big-disk-full")
    async with server(tmp_path, STEADY, free_bytes=209_682_432) as demo:
        weights = await weights_of(demo.base_url, BIG)
        ours = await pull(demo.base_url, BIG)
    assert (ours.phases, ours.end) == (theirs.phases, theirs.end)
    assert ours.fractions[-1] == pytest.approx(theirs.fractions[-1], abs=0.10)
    assert_alike(partial_files(demo.blobs_dir, weights), recorded_files("pull/big-disk-full-files", RECORDED_BIG))


async def test_parts_cut_are_resumed(tmp_path: Path) -> None:
    theirs = Pull.recorded("pull/big-parts-cut")
    fault = {"fault": "cut", "after_bytes": 30_000_000, "for_s": 0.5}
    async with server(tmp_path, STEADY, faults=[fault]) as demo:
        ours = await pull(demo.base_url, BIG)
        log = demo.log_text()
    assert (ours.phases, ours.end) == (theirs.phases, theirs.end)
    assert "attempt 0 failed: unexpected EOF, retrying in 1s" in log
    assert ours.fractions == sorted(ours.fractions), "what a cut part received is kept"


async def test_retries_exceeded(tmp_path: Path) -> None:
    theirs = Pull.recorded("pull/big-retries-exceeded")
    async with server(tmp_path, STEADY, faults=[{"fault": "cut", "after_bytes": 65_536}]) as demo:
        weights = await weights_of(demo.base_url, BIG)
        ours = await pull(demo.base_url, BIG)
        log = demo.log_text()
    assert (ours.phases, ours.end) == (theirs.phases, theirs.end)
    assert ours.fractions[-1] == pytest.approx(theirs.fractions[-1], abs=0.01)
    for attempt, pause in enumerate(("1s", "2s", "4s", "8s", "16s", "32s")):
        assert f"part 0 attempt {attempt} failed: unexpected EOF, retrying in {pause}" in log
    assert_alike(partial_files(demo.blobs_dir, weights), recorded_files("pull/mid-digest-mismatch-files", RECORDED_BIG))


async def test_stall_repeats_the_same_line(tmp_path: Path) -> None:
    theirs = Pull.recorded("pull/big-stalled-7s")
    fault = {"fault": "stall", "at_bytes": 309_264_384, "for_s": 20 * SCALE}
    async with server(tmp_path, STEADY, faults=[fault]) as demo:
        ours = await pull(demo.base_url, BIG)
    assert (ours.phases, ours.end) == (theirs.phases, theirs.end)
    for one in (ours, theirs):
        frozen = max(set(one.fractions), key=one.fractions.count)
        assert frozen == pytest.approx(309_264_384 / BIG_BYTES, abs=0.01)
        assert one.fractions.count(frozen) >= 5


async def test_digest_mismatch_removes_the_blob(tmp_path: Path) -> None:
    theirs = Pull.recorded("pull/mid-digest-mismatch")
    async with server(tmp_path, STEADY, faults=[{"fault": "corrupt", "model": MID, "times": 1}]) as demo:
        weights = await weights_of(demo.base_url, MID)
        ours = await pull(demo.base_url, MID)
        blobs = sorted(path.name[:19] for path in demo.blobs_dir.iterdir())
        assert (await pull(demo.base_url, MID)).lines[-1] == {"status": "success"}
    assert (ours.phases, ours.end) == (theirs.phases, theirs.end)
    assert weights[:19] not in blobs
    assert not any(
        entry["name"].startswith(RECORDED_MID) for entry in recording("pull/mid-digest-mismatch-files")["files"]
    )
    assert {"sha256-caccf74e7b08", "sha256-f88f322dd0ec"} <= set(blobs)


def test_every_recorded_pull_is_done_again() -> None:
    """A new recording of a pull needs a test here."""
    own = Path(__file__).read_text(encoding="utf-8")
    recorded = {f"pull/{path.stem}" for path in (RECORDINGS / "pull").glob("*.json")}
    assert sorted(name for name in recorded if f'"{name}"' not in own) == []
