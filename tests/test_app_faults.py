"""A server that misbehaves, seen through the whole window: it goes on painting, tells the truth within one look, offers
a next step, and leaves no process behind.
"""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from PySide6.QtWidgets import QApplication, QLabel, QProgressBar

from launcher.domain.server import ServerState
from launcher.domain.transfer import Phase, Transfer
from launcher.loop import make_loop
from tests.cli.launched import Launched
from tests.support.waiting import eventually
from tests.test_app import FROZEN_S, ONE_POLL_S, Beat, Open, launched, server_pids, window

__all__ = ["launched"]

pytestmark = [pytest.mark.anyio, pytest.mark.blocks_loop("pages are built, which on a busy machine takes longer")]

MODEL = "llama3.2:1b"
SILENT_S = 10.0
PROBE_S = 5.0
"""For so long one look at most waits for an answer."""


@pytest.fixture
def anyio_backend(qapp: QApplication) -> tuple[str, dict[str, Any]]:
    return "asyncio", {"loop_factory": lambda: make_loop(qapp)}


class Figures:
    """All that was told of one download."""

    def __init__(self, opened: Open) -> None:
        self.told: list[Transfer] = []
        opened.store.transfers_changed.connect(self.told.extend)

    @property
    def never_fell(self) -> bool:
        parts = [each.permille for each in self.told if each.permille is not None]
        return parts == sorted(parts)


async def test_ten_silent_seconds_are_told_and_every_page_goes_on(launched: Launched) -> None:
    launched.script({"answers": {"silent": {"after_s": 1.5, "for_s": SILENT_S}}})
    async with window() as opened:
        await opened.reaches(ServerState.RUNNING)
        with Beat() as beat:
            await opened.reaches(ServerState.DEGRADED, 1.5 + ONE_POLL_S + PROBE_S)
            assert opened.words("server-reason") == "Ollama is there but does not answer."
            assert opened.widget("restart-button").isEnabled(), "the next step"
            for key in opened.launcher.window.side_bar.keys:
                opened.click(f"{key}-page-button")
                assert opened.launcher.window.page == key
                assert "problem" in opened.words("footer-state")
                await asyncio.sleep(0)
            opened.launcher.window.show_page("server")
            await opened.reaches(ServerState.RUNNING, SILENT_S + ONE_POLL_S + PROBE_S)
        assert beat.longest_s < FROZEN_S
    assert server_pids(launched) == []


async def test_a_cut_download_goes_on_and_its_bar_never_falls(launched: Launched) -> None:
    """The connection to the registry breaks again and again, which the server mends by itself."""
    launched.script(
        {
            "scale": 0.02,
            "rate_bytes_per_s": 6_000_000,
            "line_interval_ms": 20,
            "faults": [{"fault": "cut", "after_bytes": 60_000_000, "times": 6}],
        }
    )
    async with window(pulls=(MODEL,)) as opened:
        figures = Figures(opened)
        with Beat() as beat:
            await eventually(lambda: opened.store.transfers, 20, "it is on the list")
            bar = opened.widget("transfer-detail-progress")
            assert isinstance(bar, QProgressBar)
            await eventually(lambda: opened.store.transfers[0].phase is Phase.DONE, 40, str(opened.store.transfers))
        assert figures.never_fell
        await eventually(lambda: bar.value() == 1000, 5, "the bar shows it, too")
        assert beat.longest_s < FROZEN_S


async def test_a_server_that_dies_in_a_download_is_back_and_the_download_goes_on(launched: Launched) -> None:
    launched.script(
        {"rate_bytes_per_s": 8_000_000, "line_interval_ms": 20, "faults": [{"fault": "crash", "at_bytes": 600_000_000}]}
    )
    async with window(pulls=(MODEL,)) as opened:
        states: list[ServerState] = []
        opened.store.server_changed.connect(lambda status: states.append(status.state))
        with Beat() as beat:
            await eventually(lambda: ServerState.BACKOFF in states, 30, "it has died")
            launched.script({"rate_bytes_per_s": 80_000_000})
            await opened.reaches(ServerState.RUNNING, 20)
            transfer = opened.store.transfers[0]
            if transfer.phase is Phase.FAILED:
                assert transfer.error
                opened.click("retry-button")
            await eventually(lambda: opened.store.transfers[0].phase is Phase.DONE, 30, str(opened.store.transfers))
        assert beat.longest_s < FROZEN_S
    assert server_pids(launched) == []


async def test_lists_that_are_garbage_are_told_where_they_would_be(launched: Launched) -> None:
    launched.script({"answers": {"garbage": ["/api/tags", "/api/ps"]}})
    async with window() as opened:
        await opened.reaches(ServerState.RUNNING)
        await eventually(lambda: opened.store.models is not None and opened.store.models.problem, 10, "it was asked")
        with Beat() as beat:
            for key in opened.launcher.window.side_bar.keys:
                opened.click(f"{key}-page-button")
                await asyncio.sleep(0.05)
        assert beat.longest_s < FROZEN_S
        assert opened.state() is ServerState.RUNNING, "it answers, and that is what the state says"
        opened.launcher.window.show_page("models")
        page = opened.widget("models-page")
        said = [label.text() for label in page.findChildren(QLabel) if label.isVisible()]
        assert "The models could not be listed" in said
        opened.click("show-server-button")
        assert "What is loaded could not be read" in [
            label.text() for label in opened.widget("server-page").findChildren(QLabel) if label.isVisible()
        ]
    assert server_pids(launched) == []
