"""What the tests of the window share: the store, the theme, and snapshots to show."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from PySide6.QtGui import QFont, QPalette
from PySide6.QtWidgets import QApplication

from launcher.domain.models import LoadedModel, Models
from launcher.domain.server import Owner, ServerState, ServerStatus
from launcher.domain.transfer import Phase, Transfer
from launcher.ui.store import Store
from launcher.ui.theme import Appearance, Theme

MakeStatus = Callable[..., ServerStatus]
MakeTransfer = Callable[..., Transfer]
MakeLoaded = Callable[..., Models]


def pytest_itemcollected(item: pytest.Item) -> None:
    """The offscreen platform says of each window, as a warning, that it has no window manager to tell its sizes to."""
    item.add_marker(pytest.mark.qt_log_ignore("This plugin does not support propagateSizeHints"))


@pytest.fixture
def store(qapp: QApplication) -> Store:
    return Store()


@pytest.fixture
def theme(qapp: QApplication) -> Iterator[Theme]:
    """The light theme; the application is as it was afterwards."""
    font, palette = QFont(qapp.font()), QPalette(qapp.palette())
    theme = Theme(qapp)
    theme.apply(Appearance.LIGHT)
    yield theme
    theme.deleteLater()
    qapp.styleHints().unsetColorScheme()
    qapp.setStyleSheet("")
    qapp.setPalette(palette)
    qapp.setFont(font)


@pytest.fixture
def make_status() -> MakeStatus:
    """A snapshot of the server; what is not said is that of our own one on the usual address."""

    def make(
        state: ServerState = ServerState.RUNNING, owner: Owner | None = Owner.OURS, **more: object
    ) -> ServerStatus:
        members: dict[str, object] = {
            "address": "http://127.0.0.1:11434",
            "local": owner is not Owner.REMOTE,
            "exposed": False,
            "version": "0.33.0",
            "started_at": 1_000.0,
            **more,
        }
        return ServerStatus(state, owner, **members)  # type: ignore[arg-type] # tests name members freely

    return make


@pytest.fixture
def make_transfer() -> MakeTransfer:
    def make(model: str = "llama3.2:3b", phase: Phase = Phase.PULLING, **more: object) -> Transfer:
        return Transfer(model, phase, **more)  # type: ignore[arg-type] # tests name members freely

    return make


@pytest.fixture
def make_loaded() -> MakeLoaded:
    """Models in memory, of (size, part on the GPU) each."""

    def make(*sizes: tuple[int, int]) -> Models:
        loaded = (
            LoadedModel(f"model{index}:1b", size_bytes, gpu_bytes, 4096, None, f"{index:064x}")
            for index, (size_bytes, gpu_bytes) in enumerate(sizes)
        )
        return Models(installed=(), loaded=tuple(loaded))

    return make
