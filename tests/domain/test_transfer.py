"""The fold: hand-made stories for each rule, random stories for what must hold in all, recorded ones for the world."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from launcher.domain.transfer import (
    AGGREGATE_DIGEST,
    Phase,
    PlannedLayer,
    PullLine,
    Transfer,
    Trouble,
    failed,
    fold,
    new_transfer,
    paused,
    reopened,
    tick,
    with_plan,
)

RECORDINGS = Path(__file__).parents[1] / "recordings" / "pull"

MANIFEST = PullLine("pulling manifest")
VERIFYING = PullLine("verifying sha256 digest")
WRITING = PullLine("writing manifest")
SUCCESS = PullLine("success")


def layer_line(name: str, completed: int | None, total: int | None) -> PullLine:
    return PullLine(f"pulling {name}", f"sha256:{name}", total, completed)


def told(*lines: PullLine, plan: tuple[PlannedLayer, ...] = (), every_s: float = 0.06) -> Transfer:
    """A first attempt of which ``lines`` came at the cadence of the server."""
    transfer = reopened(new_transfer("m:latest", 0.0), 0.0)
    if plan:
        transfer = with_plan(transfer, plan)
    for number, line in enumerate(lines, start=1):
        transfer = fold(transfer, line, number * every_s)
    return transfer


PLAN = (
    PlannedLayer("sha256:big", 900),
    PlannedLayer("sha256:tiny", 50),
    PlannedLayer("sha256:config", 50),
)


def test_a_new_transfer_promises_nothing() -> None:
    transfer = new_transfer("m:latest", 3.0)
    assert (transfer.phase, transfer.completed_bytes, transfer.total_bytes) == (Phase.QUEUED, 0, None)
    assert (transfer.permille, transfer.rate_bps, transfer.eta_s, transfer.added_s) == (None, None, None, 3.0)


def test_the_total_of_the_manifest_counts_layers_that_nobody_announced() -> None:
    transfer = told(MANIFEST, layer_line("big", 450, 900), plan=PLAN)
    assert (transfer.completed_bytes, transfer.total_bytes, transfer.total_is_so_far) == (450, 1000, False)
    assert transfer.permille == 450


def test_without_the_manifest_the_total_is_so_far() -> None:
    transfer = told(MANIFEST, layer_line("big", 450, 900))
    assert (transfer.total_bytes, transfer.total_is_so_far, transfer.permille) == (900, True, 500)


def test_the_next_layer_completes_those_before_it() -> None:
    # The last line of a layer is usually below 100 %, and a layer of less than 60 ms has no line at all.
    transfer = told(layer_line("big", 850, 900), layer_line("config", None, 50), plan=PLAN)
    assert transfer.completed_bytes == 950


def test_the_next_layer_completes_those_before_it_without_a_manifest() -> None:
    transfer = told(layer_line("big", 850, 900), layer_line("config", 10, 50))
    assert (transfer.completed_bytes, transfer.total_bytes) == (910, 950)


def test_a_layer_that_the_manifest_does_not_name_completes_nothing() -> None:
    transfer = told(layer_line("stranger", 10, 100), plan=PLAN)
    assert (transfer.completed_bytes, transfer.total_bytes) == (10, 1100)


def test_a_missing_completed_is_zero() -> None:
    transfer = told(layer_line("big", None, 900))
    assert (transfer.phase, transfer.completed_bytes, transfer.permille) == (Phase.PULLING, 0, 0)


def test_a_missing_total_leaves_the_share_unknown() -> None:
    transfer = told(layer_line("big", None, None))
    assert (transfer.total_bytes, transfer.permille) == (None, None)


def test_a_digest_twice_counts_once() -> None:
    twice = (*PLAN, PlannedLayer("sha256:tiny", 50))
    transfer = told(layer_line("big", 900, 900), layer_line("tiny", 50, 50), layer_line("tiny", 50, 50), plan=twice)
    assert (transfer.completed_bytes, transfer.total_bytes) == (950, 1000)


def test_a_roll_back_is_not_shown() -> None:
    transfer = told(layer_line("big", 600, 900), layer_line("big", 200, 900), plan=PLAN)
    assert (transfer.completed_bytes, transfer.permille) == (600, 600)
    assert fold(transfer, layer_line("big", 650, 900), 1.0).completed_bytes == 650


def test_a_shrinking_total_is_not_shown() -> None:
    # A lost sidecar makes the server announce less (seen on 0.33.0-rc2).
    transfer = told(layer_line("big", 600, 900), layer_line("big", 300, 500))
    assert (transfer.completed_bytes, transfer.permille) == (600, 999)
    assert told(layer_line("big", 600, 900), layer_line("big", 300, 500), plan=PLAN).total_bytes == 1000


def test_verifying_completes_all_layers_but_is_not_done() -> None:
    transfer = told(layer_line("big", 850, 900), VERIFYING, plan=PLAN)
    assert (transfer.phase, transfer.completed_bytes, transfer.permille) == (Phase.VERIFYING, 1000, 999)
    assert (transfer.rate_bps, transfer.eta_s) == (None, None)


def test_success_is_done() -> None:
    transfer = told(MANIFEST, layer_line("big", 850, 900), VERIFYING, WRITING, SUCCESS, plan=PLAN)
    assert (transfer.phase, transfer.permille) == (Phase.DONE, 1000)
    assert transfer.completed_bytes == transfer.total_bytes == 1000


def test_at_the_end_without_the_manifest_the_size_is_not_claimed_to_be_whole() -> None:
    transfer = told(MANIFEST, layer_line("small", 240, 240), VERIFYING, WRITING, SUCCESS)
    assert (transfer.phase, transfer.permille, transfer.total_is_so_far) == (Phase.DONE, 1000, True)


def test_a_model_so_small_that_no_layer_speaks_is_done_all_the_same() -> None:
    transfer = told(MANIFEST, VERIFYING, WRITING, SUCCESS)
    assert (transfer.phase, transfer.permille, transfer.total_bytes) == (Phase.DONE, 1000, None)


def test_an_aggregate_speaks_for_the_whole_model() -> None:
    aggregate = PullLine("pulling model", AGGREGATE_DIGEST, 2000, 500)
    transfer = told(MANIFEST, aggregate, plan=PLAN)
    assert (transfer.completed_bytes, transfer.total_bytes, transfer.total_is_so_far) == (500, 2000, False)
    assert with_plan(transfer, PLAN) == transfer
    again = fold(reopened(transfer, 1.0), PullLine("pulling model", AGGREGATE_DIGEST, 2000, 700), 2.0)
    assert (again.completed_bytes, again.total_bytes) == (700, 2000)


def test_a_manifest_that_comes_late_never_turns_the_share_back() -> None:
    transfer = told(layer_line("big", 450, 900))
    planned = with_plan(transfer, (*PLAN, PlannedLayer("sha256:projector", 1000)))
    assert (planned.total_bytes, planned.total_is_so_far, planned.permille) == (2000, False, 500)


def test_an_unknown_status_changes_nothing() -> None:
    transfer = told(MANIFEST, layer_line("big", 450, 900))
    assert fold(transfer, PullLine("removing unused layers"), 1.0) == transfer


def test_nothing_moves_a_transfer_that_has_ended() -> None:
    ended = failed(told(layer_line("big", 450, 900)), Trouble.OTHER, "No.", "Try again.")
    assert fold(ended, SUCCESS, 1.0) is ended
    assert tick(ended, 100.0) is ended
    assert with_plan(ended, PLAN) is ended


def test_another_attempt_keeps_what_was_shown_until_the_server_speaks() -> None:
    transfer = reopened(failed(told(layer_line("big", 600, 900), plan=PLAN), Trouble.OTHER, "No."), 5.0)
    assert (transfer.phase, transfer.completed_bytes, transfer.error) == (Phase.CONNECTING, 600, "")
    # The server was killed and has forgotten: its word counts.
    assert fold(transfer, layer_line("big", 100, 900), 6.0).completed_bytes == 100


def test_a_pause_ends_speed_and_hope() -> None:
    transfer = paused(_steady(4.0), "The server stopped.", "Run it again.")
    assert (transfer.phase, transfer.rate_bps, transfer.eta_s) == (Phase.PAUSED, None, None)
    assert transfer.error == "The server stopped."


def _steady(until_s: float, *, first: int = 0, step_s: float = 0.1, step: int = 1000) -> Transfer:
    """A pull of 1 MB at 10 kB/s that began with ``first`` bytes on disk."""
    transfer = reopened(new_transfer("m:latest", 0.0), 0.0)
    completed = first
    for number in range(int(until_s / step_s) + 1):
        transfer = fold(transfer, layer_line("big", completed, 1_000_000), number * step_s)
        completed += step
    return transfer


def test_the_speed_is_unknown_at_first() -> None:
    assert _steady(1.0).rate_bps is None
    early = _steady(2.0)
    assert early.rate_bps == pytest.approx(10_000)
    assert early.eta_s is None


def test_bytes_that_were_on_disk_are_no_speed() -> None:
    transfer = _steady(4.0, first=900_000)
    assert transfer.rate_bps == pytest.approx(10_000)
    assert transfer.eta_s == pytest.approx(6.0, abs=0.3)


def test_the_speed_follows_the_window_not_the_whole_past() -> None:
    transfer = _steady(20.0)
    for number in range(1, 121):
        transfer = fold(transfer, layer_line("big", 201_000 + number * 3000, 1_000_000), 20.0 + number * 0.1)
    assert transfer.rate_bps == pytest.approx(30_000, rel=0.05)


def test_no_time_left_while_the_speed_jumps() -> None:
    transfer = _steady(4.0)
    assert transfer.eta_s is not None
    for number in range(1, 21):
        transfer = fold(transfer, layer_line("big", 41_000 + number * 9000, 1_000_000), 4.0 + number * 0.1)
    assert (transfer.rate_bps is not None, transfer.eta_s) == (True, None)


def test_a_stall_is_a_phase_of_its_own_and_ends_with_the_next_byte() -> None:
    transfer = _steady(4.0)
    same = layer_line("big", 40_000, 1_000_000)
    for number in range(1, 6):
        transfer = fold(transfer, same, 4.0 + number * 0.9, stalled_after_s=5.0)
    assert transfer.phase is Phase.PULLING
    transfer = fold(transfer, same, 9.0, stalled_after_s=5.0)
    assert (transfer.phase, transfer.rate_bps, transfer.eta_s) == (Phase.STALLED, None, None)
    assert fold(transfer, same, 60.0) == transfer
    moving = fold(transfer, layer_line("big", 50_000, 1_000_000), 61.0)
    assert (moving.phase, moving.rate_bps) == (Phase.PULLING, None)


def test_silence_is_a_stall_too() -> None:
    transfer = _steady(4.0)
    assert tick(transfer, 8.9, stalled_after_s=5.0).phase is Phase.PULLING
    assert tick(transfer, 9.1, stalled_after_s=5.0).phase is Phase.STALLED


def test_verifying_in_silence_is_no_stall() -> None:
    transfer = told(layer_line("big", 850, 900), VERIFYING)
    assert tick(transfer, 600.0) is transfer


digests = st.sampled_from(["sha256:a", "sha256:b", "sha256:c", AGGREGATE_DIGEST])
sizes = st.none() | st.integers(min_value=-5, max_value=2000)
lines = st.one_of(
    st.sampled_from([MANIFEST, VERIFYING, WRITING, PullLine("removing unused layers"), PullLine("")]),
    st.builds(PullLine, st.just("pulling"), digests, sizes, sizes),
)
plans = st.lists(st.builds(PlannedLayer, digests.filter(lambda d: d != AGGREGATE_DIGEST), st.integers(0, 2000)))
steps = st.lists(st.tuples(st.floats(0, 10), st.one_of(lines, plans.map(tuple), st.none())), max_size=40)


@given(steps)
def test_in_any_attempt_progress_never_falls_and_stays_in_bounds(
    steps: list[tuple[float, PullLine | tuple[PlannedLayer, ...] | None]],
) -> None:
    now_s = 0.0
    transfer = reopened(new_transfer("m:latest", now_s), now_s)
    for wait_s, step in steps:
        now_s += wait_s
        before = transfer
        if step is None:
            transfer = tick(transfer, now_s)
        elif isinstance(step, PullLine):
            transfer = fold(transfer, step, now_s)
        else:
            transfer = with_plan(transfer, step)
        assert transfer.completed_bytes >= before.completed_bytes
        assert (transfer.permille or 0) >= (before.permille or 0)
        assert transfer.permille is None or 0 <= transfer.permille < 1000
        assert transfer.total_bytes is None or transfer.completed_bytes <= transfer.total_bytes
        assert transfer.rate_bps is None or transfer.rate_bps >= 0
        assert transfer.eta_s is None or transfer.eta_s >= 0
        assert transfer.phase is not Phase.DONE
        if transfer.phase is not Phase.PULLING:
            assert (transfer.rate_bps, transfer.eta_s) == (None, None)
    done = fold(transfer, SUCCESS, now_s)
    assert (done.phase, done.permille) == (Phase.DONE, 1000)
    assert done.completed_bytes >= transfer.completed_bytes


@given(st.lists(st.tuples(st.integers(0, 3), st.lists(lines, max_size=6)), max_size=8))
def test_over_many_attempts_the_figures_stay_in_bounds(attempts: list[tuple[int, list[PullLine]]]) -> None:
    transfer = new_transfer("m:latest", 0.0)
    for number, (how, said) in enumerate(attempts):
        transfer = reopened(transfer, number * 100.0)
        if how == 1:
            transfer = with_plan(transfer, PLAN)
        for line in said:
            transfer = fold(transfer, line, number * 100.0 + 1.0)
            assert transfer.permille is None or 0 <= transfer.permille < 1000
            assert transfer.total_bytes is None or 0 <= transfer.completed_bytes <= transfer.total_bytes
        if how == 2:
            transfer = paused(transfer)
        elif how == 3:
            transfer = failed(transfer, Trouble.OTHER, "No.")
    done = fold(reopened(transfer, 1e6), SUCCESS, 1e6)
    assert (done.phase, done.permille) == (Phase.DONE, 1000)


def _response(path: Path) -> dict[str, Any]:
    exchange: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    response: dict[str, Any] = exchange.get("response", {})
    return response


def recorded_pulls() -> list[Path]:
    return [path for path in sorted(RECORDINGS.glob("*.json")) if "lines" in _response(path)]


def recorded_lines(path: Path) -> list[tuple[float, PullLine]]:
    """What was said until an error, as (seconds, line)."""
    timed = [(ms / 1000, json.loads(text)) for ms, text in _response(path)["lines"]]
    return [
        (at_s, PullLine(raw["status"], raw.get("digest"), raw.get("total"), raw.get("completed")))
        for at_s, raw in timed
        if "error" not in raw
    ]


def test_there_are_recordings() -> None:
    assert len(recorded_pulls()) >= 15


@pytest.mark.parametrize("path", recorded_pulls(), ids=lambda path: path.stem)
def test_every_recorded_pull_runs_forward(path: Path) -> None:
    transfer = reopened(new_transfer("m:latest", 0.0), 0.0)
    highest = 0
    for at_s, line in recorded_lines(path):
        before = transfer
        transfer = fold(transfer, line, at_s)
        highest = max(highest, line.completed_bytes or 0)
        assert transfer.completed_bytes >= max(before.completed_bytes, highest)
        assert (transfer.permille or 0) >= (before.permille or 0)
        assert (transfer.phase is Phase.DONE) == (line.status == "success")
        assert (transfer.permille == 1000) == (transfer.phase is Phase.DONE)


def test_the_recorded_stall_shows_and_ends() -> None:
    transfer = reopened(new_transfer("m:latest", 0.0), 0.0)
    phases = [transfer.phase]
    for at_s, line in recorded_lines(RECORDINGS / "big-stalled-7s.json"):
        transfer = fold(transfer, line, at_s)
        if phases[-1] is not transfer.phase:
            phases.append(transfer.phase)
    assert phases == [
        Phase.CONNECTING,
        Phase.PULLING,
        Phase.STALLED,
        Phase.PULLING,
        Phase.VERIFYING,
        Phase.WRITING,
        Phase.DONE,
    ]
