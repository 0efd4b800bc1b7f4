"""A pytest plugin for CI: a test that is skipped has failed, because the set-up installs what tests need.

Two reasons stay good ones: no real `ollama` on this machine (marker ``real_ollama``), and a test for another system,
which its reason names (``reason="Windows only"``). `packaging/test.sh` loads it where ``CI`` is true.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Generator

import pytest

_OTHER_SYSTEMS = {
    "linux": r"\b(Windows|macOS)\b",
    "darwin": r"\b(Windows|Linux)\b",
    "win32": r"\b(POSIX|Linux|macOS|Windows)\b",  # "Windows has no modes" is a reason of this kind, too
}


def is_good_reason(reason: str, platform: str = sys.platform) -> bool:
    """Tell whether the reason of a skip names a system other than this one."""
    return re.search(_OTHER_SYSTEMS[platform], reason) is not None


def _reason(report: pytest.TestReport | pytest.CollectReport) -> str:
    text = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
    return text.removeprefix("Skipped: ")


def _fail_if_skipped(report: pytest.TestReport | pytest.CollectReport) -> None:
    if report.skipped and not hasattr(report, "wasxfail") and not is_good_reason(_reason(report)):
        report.outcome = "failed"
        report.longrepr = f"{report.nodeid} was skipped, which CI does not accept: {_reason(report)}"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Turn a skipped test into a failed one."""
    report = yield
    if item.get_closest_marker("real_ollama") is None:
        _fail_if_skipped(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """Turn a module that skips itself as a whole into an error."""
    report = yield
    _fail_if_skipped(report)
    return report
