"""The truth line says what the store holds, leads to its page, and gives way from the end."""

from __future__ import annotations

from dataclasses import replace

import pytest
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QPushButton

from launcher.domain.models import Models
from launcher.domain.server import ServerState
from launcher.domain.transfer import Phase
from launcher.ui.store import Store
from launcher.ui.theme import Theme
from launcher.ui.widgets.footer import Footer
from launcher.ui.widgets.progress import ThinProgressBar


@pytest.fixture
def footer(store: Store, theme: Theme, qtbot) -> Footer:
    footer = Footer(store, theme)
    qtbot.addWidget(footer)
    footer.resize(1400, 32)
    footer.show()
    qtbot.waitExposed(footer)
    return footer


def _words(footer: Footer, name: str) -> str:
    """The accessible name of a part that is seen; empty when it is not."""
    part = footer.findChild(QPushButton, name)
    return part.accessibleName() if part.isVisible() else ""


def _bar(footer: Footer) -> ThinProgressBar:
    return footer.findChild(ThinProgressBar, "footer-progress")


def test_before_anything_is_known_it_looks_for_ollama(footer: Footer) -> None:
    assert _words(footer, "footer-state") == "Looking for Ollama…"
    for name in ("footer-exposed", "footer-downloads", "footer-rate", "footer-free-space", "footer-version"):
        assert _words(footer, name) == ""
    assert not _bar(footer).isVisible()


def test_state_and_version_follow_the_store(footer: Footer, store: Store, make_status, make_loaded) -> None:
    store.put(make_status())
    store.put(make_loaded((6_200_000_000, 6_200_000_000)))
    assert _words(footer, "footer-state") == "Running · 1 model · 6.2 GB GPU"
    assert _words(footer, "footer-version") == "Ollama 0.33.0"

    store.put(make_status(ServerState.STOPPED, None, version=None))
    store.put(Models(None, None))
    assert _words(footer, "footer-state") == "Stopped"
    assert _words(footer, "footer-version") == ""


def test_a_footer_built_late_shows_what_is_known(store: Store, theme: Theme, qtbot, make_status, make_transfer) -> None:
    store.put(make_status())
    store.put((make_transfer(permille=624),))

    footer = Footer(store, theme)
    qtbot.addWidget(footer)
    footer.resize(1400, 32)
    footer.show()

    assert _words(footer, "footer-state") == "Running"
    assert _words(footer, "footer-downloads").startswith("llama3.2:3b 62 %")


def test_one_download_has_name_part_and_bar(footer: Footer, store: Store, make_transfer) -> None:
    store.put((make_transfer(permille=624, rate_bps=48.2e6), make_transfer("mistral:7b", Phase.QUEUED)))

    assert _words(footer, "footer-downloads") == "llama3.2:3b 62 %, Downloading, 1 queued"
    assert _words(footer, "footer-rate") == "48 MB/s ↓"
    assert (_bar(footer).value(), _bar(footer).maximum(), _bar(footer).isVisible()) == (624, 1000, True)
    assert _bar(footer).accessibleName()


def test_an_unknown_part_runs_to_and_fro_and_says_the_phase(footer: Footer, store: Store, make_transfer) -> None:
    store.put((make_transfer(phase=Phase.CONNECTING),))

    assert _words(footer, "footer-downloads") == "llama3.2:3b: Connecting"
    assert _bar(footer).maximum() == 0


def test_several_downloads_are_counted_and_summed(footer: Footer, store: Store, make_transfer) -> None:
    one = make_transfer(completed_bytes=10, total_bytes=100, total_is_so_far=False, permille=100, rate_bps=1e6)
    other = replace(one, model="qwen3:8b", completed_bytes=290, total_bytes=300, rate_bps=2e6)

    store.put((one, other))

    assert _words(footer, "footer-downloads") == "2 downloads"
    assert _bar(footer).value() == 750
    assert _words(footer, "footer-rate") == "3.0 MB/s ↓"


def test_the_figure_is_that_of_the_side_bar(footer: Footer, store: Store, make_transfer) -> None:
    phases = (Phase.PULLING, Phase.STALLED, Phase.QUEUED, Phase.PAUSED, Phase.FAILED, Phase.DONE)
    store.put(tuple(make_transfer(f"m{number}:1b", phase) for number, phase in enumerate(phases)))

    assert _words(footer, "footer-downloads") == "3 downloads"


def test_several_are_never_all_done_before_they_are(footer: Footer, store: Store, make_transfer) -> None:
    full = make_transfer(phase=Phase.VERIFYING, completed_bytes=9, total_bytes=9, total_is_so_far=False)

    store.put((full, replace(full, model="qwen3:8b")))

    assert _bar(footer).value() == 999


def test_several_with_sizes_not_all_known_have_no_part(footer: Footer, store: Store, make_transfer) -> None:
    store.put((make_transfer(total_bytes=9), make_transfer("qwen3:8b", Phase.CONNECTING)))

    assert _bar(footer).maximum() == 0


@pytest.mark.parametrize("phase", [Phase.QUEUED, Phase.PAUSED, Phase.DONE, Phase.FAILED], ids=lambda phase: phase.value)
def test_what_rests_or_has_ended_is_not_running(footer: Footer, store: Store, make_transfer, phase: Phase) -> None:
    store.put((make_transfer(permille=5),))
    store.put((make_transfer(phase=phase, permille=5),))

    assert _words(footer, "footer-downloads") == ""
    assert not _bar(footer).isVisible()


@pytest.mark.parametrize(
    ("phase", "tone"),
    [
        pytest.param(Phase.PULLING, "", id="pulling"),
        pytest.param(Phase.STALLED, "warn", id="stalled"),
        pytest.param(Phase.WAITING_SPACE, "warn", id="waiting for space"),
    ],
)
def test_the_bar_has_the_colour_of_the_phase(footer: Footer, store: Store, make_transfer, phase, tone) -> None:
    store.put((make_transfer(phase=phase, permille=270),))

    assert (_bar(footer).property("tone") or "") == tone


def test_free_space_is_shown_when_known(footer: Footer) -> None:
    footer.show_free_space(212_000_000_000)
    assert _words(footer, "footer-free-space") == "212 GB free"

    footer.show_free_space(None)
    assert _words(footer, "footer-free-space") == ""


def test_an_exposed_server_wears_the_shield(footer: Footer, store: Store, make_status) -> None:
    store.put(make_status(exposed=True))

    assert _words(footer, "footer-exposed") == "Open to the network"
    assert "127.0.0.1:11434" in footer.findChild(QPushButton, "footer-exposed").toolTip()


@pytest.mark.parametrize(
    ("name", "page"),
    [
        ("footer-state", "server"),
        ("footer-exposed", "server"),
        ("footer-downloads", "downloads"),
        ("footer-rate", "downloads"),
        ("footer-free-space", "models"),
        ("footer-version", "server"),
    ],
)
def test_a_click_asks_for_the_page_it_speaks_of(
    footer: Footer, store, qtbot, make_status, make_transfer, name, page
) -> None:
    store.put(make_status(exposed=True))
    store.put((make_transfer(permille=5, rate_bps=1e6),))
    footer.show_free_space(10**9)

    with qtbot.waitSignal(footer.page_requested) as asked:
        qtbot.mouseClick(footer.findChild(QPushButton, name), Qt.MouseButton.LeftButton)

    assert asked.args == [page]


def test_what_does_not_fit_goes_from_the_end(footer: Footer, store: Store, qtbot, make_status, make_transfer) -> None:
    store.put(make_status())
    store.put((make_transfer(permille=5, rate_bps=1e6),))
    footer.show_free_space(10**9)
    names = ["footer-version", "footer-free-space", "footer-rate"]
    gone: list[str] = []

    for width in range(1400, 150, -10):
        footer.resize(width, 32)
        for name in names:
            if name not in gone and not _words(footer, name):
                gone.append(name)
        assert _words(footer, "footer-state") == "Running"
        assert _words(footer, "footer-downloads")

    assert gone == names
    assert not _bar(footer).isVisible()
    footer.resize(1400, 32)
    assert all(_words(footer, name) for name in names)
    assert _bar(footer).isVisible()


def test_nothing_is_cut_off_while_it_fits(footer: Footer, store: Store, qtbot, make_status, make_transfer) -> None:
    store.put(make_status(exposed=True))
    store.put((make_transfer(permille=624, rate_bps=1e6),))
    footer.show_free_space(10**9)
    for width in range(1400, 500, -25):
        footer.resize(width, 32)
        footer.layout().activate()
        for part in footer.findChildren(QPushButton):
            if part.isVisible():
                part.layout().activate()
                assert part.label.width() >= part.label.sizeHint().width(), (width, part.objectName())


def test_where_little_fits_the_state_is_told_alone(footer: Footer, store: Store, make_status, make_loaded) -> None:
    store.put(make_status(exposed=True, simulated=True))
    store.put(make_loaded((6_200_000_000, 6_200_000_000), (5_400_000_000, 4_100_000_000)))
    state = footer.findChild(QPushButton, "footer-state")
    exposed = footer.findChild(QPushButton, "footer-exposed")
    assert state.label.text() == "Simulated · Running · 2 models · 10.3 GB GPU · 1.3 GB memory"

    footer.resize(300, 32)

    assert state.label.text() == "Simulated · Running"
    assert state.accessibleName() == "Simulated · Running · 2 models · 10.3 GB GPU · 1.3 GB memory"
    assert not exposed.label.isVisible()
    assert exposed.isVisible()
    assert exposed.accessibleName() == "Open to the network"
    footer.resize(1400, 32)
    assert exposed.label.isVisible()
    assert state.label.text().endswith("memory")


def test_short_words_make_room_again(footer: Footer, store: Store, make_status, make_loaded, make_transfer) -> None:
    store.put(make_status(simulated=True))
    store.put(make_loaded((6_200_000_000, 6_200_000_000), (5_400_000_000, 4_100_000_000)))
    store.put((make_transfer(permille=624),))
    state = footer.findChild(QPushButton, "footer-state")
    seen: list[tuple[bool, bool]] = []
    for width in range(1400, 250, -10):
        footer.resize(width, 32)
        now = (state.label.text() == "Simulated · Running", _bar(footer).isVisible())
        if now not in seen:
            seen.append(now)

    assert seen == [(False, True), (False, False), (True, True), (True, False)]
