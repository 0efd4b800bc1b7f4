"""Sizes, speeds and times as people read them."""

from __future__ import annotations

import pytest

from launcher.domain.units import format_bytes, format_duration, format_percent, format_rate


@pytest.mark.parametrize(
    ("size_bytes", "shown"),
    [
        pytest.param(0, "0 B", id="nothing"),
        pytest.param(34, "34 B", id="bytes"),
        pytest.param(999, "999 B", id="last byte"),
        pytest.param(1000, "1.0 kB", id="first kilobyte"),
        pytest.param(9_949, "9.9 kB", id="a tenth below ten"),
        pytest.param(9_960, "10 kB", id="rounded to ten"),
        pytest.param(236_704, "237 kB", id="kilobytes"),
        pytest.param(999_499, "999 kB", id="just kilobytes"),
        pytest.param(999_500, "1.0 MB", id="rounded up to the next unit"),
        pytest.param(397_821_319, "398 MB", id="megabytes"),
        pytest.param(999_999_999, "1.0 GB", id="rounded up to gigabytes"),
        pytest.param(4_683_087_332, "4.7 GB", id="gigabytes"),
        pytest.param(42_520_413_916, "42.5 GB", id="tens of gigabytes"),
        pytest.param(99_960_000_000, "100 GB", id="a hundred gigabytes"),
        pytest.param(1_300_000_000_000, "1.3 TB", id="terabytes"),
        pytest.param(5_000_000_000_000_000_000, "5000 PB", id="beyond the last unit"),
        pytest.param(-2_400, "-2.4 kB", id="negative"),
    ],
)
def test_bytes(size_bytes: int, shown: str) -> None:
    assert format_bytes(size_bytes) == shown


def test_rate() -> None:
    assert format_rate(12_340_000.7) == "12 MB/s"
    assert format_rate(0.0) == "0 B/s"


@pytest.mark.parametrize(
    ("duration_s", "shown"),
    [
        pytest.param(0, "0 s", id="nothing"),
        pytest.param(0.2, "1 s", id="part of a second"),
        pytest.param(59.5, "1 min", id="rounded up to a minute"),
        pytest.param(200, "3 min 20 s", id="minutes"),
        pytest.param(3600, "1 h", id="an hour"),
        pytest.param(3900, "1 h 5 min", id="hours"),
        pytest.param(86_400 * 2 + 3 * 3600, "2 d 3 h", id="days"),
        pytest.param(-3, "0 s", id="negative"),
    ],
)
def test_duration(duration_s: float, shown: str) -> None:
    assert format_duration(duration_s) == shown


def test_percent_never_rounds_up() -> None:
    assert format_percent(999) == "99.9 %"
    assert format_percent(1000) == "100.0 %"
    assert format_percent(7) == "0.7 %"
