"""The first screen says what is, offers what fits and nothing else, and ticks by itself."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from PySide6.QtCore import QPoint, Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QLabel, QProgressBar, QPushButton, QWidget

from launcher.domain.models import InstalledModel, LoadedModel, Models
from launcher.domain.server import Owner, ServerState, offers
from launcher.domain.settings import Settings
from launcher.domain.transfer import Phase
from launcher.ui.models_table import Work
from launcher.ui.pages.server import ServerPage
from launcher.ui.store import Store
from launcher.ui.theme import Theme
from launcher.ui.widgets.loaded_models import place_words, stay_words

NOW_S = 10_000.0
MODEL = LoadedModel("qwen3:8b", 5_400_000_000, 4_100_000_000, 8192, datetime.fromtimestamp(NOW_S + 252, UTC), "a" * 64)
INSTALLED = InstalledModel("qwen3:8b", 5_200_000_000, "a" * 64, None, "qwen3", "8.2B", "Q4_K_M", None, None)


class Clock:
    def __init__(self) -> None:
        self.now_s = NOW_S

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def page(store: Store, theme: Theme, clock: Clock, qtbot) -> ServerPage:
    page = ServerPage(store, theme, now_s=clock)
    qtbot.addWidget(page)
    page.resize(850, 650)
    page.show()
    qtbot.waitExposed(page)
    return page


def _seen(page: QWidget, name: str) -> bool:
    widget = page.findChild(QWidget, name)
    return widget is not None and widget.isVisible()


def _button(page: QWidget, name: str) -> QPushButton:
    return page.findChild(QPushButton, name)


def _words(page: QWidget) -> list[str]:
    return [label.text() for label in page.findChildren(QLabel) if label.isVisible() and label.text()]


def _deeds(page: QWidget) -> dict[str, bool]:
    """The deeds that are seen, and whether they can be done."""
    names = ("start-button", "stop-button", "restart-button", "server-stop-trying-button")
    return {name: _button(page, name).isEnabled() for name in names if _seen(page, name)}


def test_before_anything_is_known_it_looks_and_offers_nothing(page: ServerPage) -> None:
    assert _words(page) == ["Looking for Ollama…"]
    assert not [button for button in page.findChildren(QPushButton) if button.isVisible()]


@pytest.mark.parametrize("state", list(ServerState), ids=lambda state: state.value)
def test_deeds_are_those_that_the_table_offers(page: ServerPage, store: Store, make_status, state: ServerState) -> None:
    for owner in (None, *Owner):
        status = make_status(state, owner)
        store.put(status)

        offered = offers(status)
        seen = _deeds(page)
        if state is ServerState.STOPPING:
            # It was there a moment ago, and is off.
            assert seen == ({"stop-button": False} if owner is Owner.OURS else {})
            continue
        assert all(seen.values())
        assert ("start-button" in seen) is offered.start
        assert bool({"stop-button", "server-stop-trying-button"} & seen.keys()) is offered.stop
        assert ("restart-button" in seen) is offered.restart


@pytest.mark.parametrize(
    ("name", "signal", "state"),
    [
        pytest.param("start-button", "start_requested", ServerState.STOPPED, id="start"),
        pytest.param("stop-button", "stop_requested", ServerState.RUNNING, id="stop"),
        pytest.param("restart-button", "restart_requested", ServerState.RUNNING, id="restart"),
        pytest.param("server-stop-trying-button", "stop_requested", ServerState.BACKOFF, id="stop trying"),
        pytest.param("start-button", "start_requested", ServerState.BACKOFF, id="start at once"),
    ],
)
def test_a_deed_is_wished_by_mouse_and_by_keyboard(
    page: ServerPage, store: Store, qtbot, make_status, name: str, signal: str, state: ServerState
) -> None:
    store.put(make_status(state, None if state is ServerState.STOPPED else Owner.OURS))

    with qtbot.waitSignal(getattr(page, signal)):
        qtbot.mouseClick(_button(page, name), Qt.MouseButton.LeftButton)
    with qtbot.waitSignal(getattr(page, signal)):
        qtbot.keyClick(_button(page, name), Qt.Key.Key_Space)


def test_a_double_click_on_start_does_not_stop(page: ServerPage, store: Store, qtbot, make_status) -> None:
    wishes: list[str] = []
    page.start_requested.connect(lambda: wishes.append("start"))
    page.stop_requested.connect(lambda: wishes.append("stop"))
    page.start_requested.connect(lambda: store.put(make_status(ServerState.STARTING)))
    store.put(make_status(ServerState.STOPPED, None))

    button = _button(page, "start-button")
    qtbot.mouseClick(button, Qt.MouseButton.LeftButton)
    qtbot.mouseDClick(button, Qt.MouseButton.LeftButton)
    QTest.mouseRelease(button, Qt.MouseButton.LeftButton)

    assert wishes == ["start"]
    assert _deeds(page)["stop-button"]


def test_stop_is_off_at_once_and_its_focus_comes_back_with_start(
    page: ServerPage, store: Store, qtbot, make_status
) -> None:
    page.stop_requested.connect(lambda: store.put(make_status(ServerState.STOPPING)))
    store.put(make_status())
    page.activateWindow()
    button = _button(page, "stop-button")
    button.setFocus()

    qtbot.keyClick(button, Qt.Key.Key_Space)
    assert _deeds(page) == {"stop-button": False}

    store.put(make_status(ServerState.STOPPED, None))
    assert _deeds(page) == {"start-button": True}
    assert button.hasFocus()


def test_facts_and_their_uptime(page: ServerPage, store: Store, clock: Clock, qtbot, make_status) -> None:
    store.put(make_status(started_at=NOW_S - 8040))
    facts = page.findChild(QLabel, "server-facts")
    assert facts.text() == (
        "127.0.0.1:11434  ·  Ollama 0.33.0  ·  started by this launcher 2\u00a0h\u00a014\u00a0min\u00a0ago"
    )

    clock.now_s += 60
    qtbot.waitUntil(lambda: "2\u00a0h\u00a015\u00a0min" in facts.text(), timeout=5000)


def test_nothing_ticks_while_nobody_looks(page: ServerPage, store: Store, make_status) -> None:
    store.put(make_status())
    assert page.ticking
    page.hide()
    assert not page.ticking
    page.show()
    assert page.ticking
    store.put(make_status(ServerState.STOPPED, None, started_at=None))
    assert not page.ticking


def test_reason_hint_and_the_way_to_the_log(page: ServerPage, store: Store, qtbot, make_status) -> None:
    store.put(make_status(ServerState.FAILED, None, reason="Ollama ended 4 times.", hint="Look into the log."))
    assert {"Ollama does not run", "Ollama ended 4 times.", "Look into the log."} <= set(_words(page))
    with qtbot.waitSignal(page.page_requested) as asked:
        qtbot.mouseClick(_button(page, "server-log-link"), Qt.MouseButton.LeftButton)
    assert asked.args == ["log"]
    assert not _seen(page, "server-address-link")


def test_a_taken_port_leads_to_the_address(page: ServerPage, store: Store, qtbot, make_status) -> None:
    store.put(make_status(ServerState.PORT_TAKEN, Owner.OTHER_PROGRAM, reason="python3 (1234) holds it."))
    assert "python3 (1234) holds it." in _words(page)
    with qtbot.waitSignal(page.page_requested) as asked:
        qtbot.mouseClick(_button(page, "server-address-link"), Qt.MouseButton.LeftButton)
    assert asked.args == ["settings"]


def test_open_to_the_network_is_said(page: ServerPage, store: Store, make_status) -> None:
    store.put(make_status(exposed=True, address="http://192.168.1.5:11434"))
    assert "Reachable from your network at 192.168.1.5:11434" in _words(page)
    store.put(make_status())
    assert not _seen(page, "server-exposed")


def test_somebody_elses_server_says_where_it_is_stopped(page: ServerPage, store: Store, make_status) -> None:
    store.put(make_status(owner=Owner.UNKNOWN))
    assert "It is used from here, and stopped where it was started." in _words(page)


def test_the_simulated_one_is_called_so(page: ServerPage, store: Store, make_status) -> None:
    store.put(make_status(simulated=True))
    assert page.findChild(QLabel, "server-facts").text().startswith("Simulated")


@pytest.mark.parametrize(
    ("name", "signal"),
    [
        ("get-ollama-button", "get_ollama_requested"),
        ("choose-binary-button", "choose_binary_requested"),
        ("try-demo-button", "demo_requested"),
    ],
)
def test_without_ollama_there_are_three_ways_on(
    page: ServerPage, store: Store, qtbot, make_status, name: str, signal: str
) -> None:
    store.put(make_status(ServerState.NOT_INSTALLED, None))
    assert not _deeds(page)
    assert not _seen(page, "loaded-models-card")
    with qtbot.waitSignal(getattr(page, signal)):
        qtbot.mouseClick(_button(page, name), Qt.MouseButton.LeftButton)

    store.put(make_status(ServerState.STOPPED, None))
    assert not _seen(page, "next-steps-card")


@pytest.mark.parametrize(
    ("models", "words", "button", "leads_to"),
    [
        pytest.param(
            Models((), ()), "No model is installed yet", "download-first-model-button", "downloads", id="none installed"
        ),
        pytest.param(Models((INSTALLED,), ()), "No model is loaded", "show-models-button", "models", id="none loaded"),
    ],
)
def test_an_empty_part_leads_on(
    page: ServerPage, store: Store, qtbot, make_status, models: Models, words: str, button: str, leads_to: str
) -> None:
    store.put(make_status())
    store.put(models)
    assert words in _words(page)
    with qtbot.waitSignal(page.page_requested) as asked:
        qtbot.mouseClick(_button(page, button), Qt.MouseButton.LeftButton)
    assert asked.args == [leads_to]


@pytest.mark.parametrize(
    "models",
    [
        pytest.param(Models((), ()), id="none installed"),
        pytest.param(Models((INSTALLED,), ()), id="none loaded"),
        pytest.param(None, id="not known"),
    ],
)
def test_there_is_one_primary_button_at_most(
    page: ServerPage, store: Store, make_status, models: Models | None
) -> None:
    if models is not None:
        store.put(models)
    for state in ServerState:
        store.put(make_status(state))
        primary = [
            button.objectName()
            for button in page.findChildren(QPushButton)
            if button.isVisible() and button.property("kind") in ("primary", "big-primary")
        ]
        assert len(primary) <= 1


def test_a_loaded_model_says_where_it_is_and_how_long(
    page: ServerPage, store: Store, clock: Clock, qtbot, make_status
) -> None:
    store.put(make_status(started_at=None))
    store.put(Models((INSTALLED,), (MODEL,)))
    words = _words(page)
    assert {"qwen3:8b", "8.2B · Q4_K_M", "leaves in 4 min 12 s"} <= set(words)
    assert any(line.startswith("4.1 GB GPU + 1.3 GB memory") for line in words)

    clock.now_s += 12
    qtbot.waitUntil(lambda: "leaves in 4 min" in _words(page), timeout=5000)

    with qtbot.waitSignal(page.unload_requested) as asked:
        qtbot.mouseClick(_button(page, "unload-button"), Qt.MouseButton.LeftButton)
    assert asked.args == ["qwen3:8b"]


def test_unload_all_is_there_for_several(page: ServerPage, store: Store, qtbot, make_status) -> None:
    wishes: list[str] = []
    page.unload_requested.connect(wishes.append)
    store.put(make_status())
    store.put(Models((), (MODEL,)))
    assert not _seen(page, "unload-all-button")

    store.put(Models((), (MODEL, replace(MODEL, name="gemma3:4b"))))
    qtbot.mouseClick(_button(page, "unload-all-button"), Qt.MouseButton.LeftButton)
    assert wishes == ["qwen3:8b", "gemma3:4b"]


def test_rows_of_loaded_models_stay_while_their_model_does(page: ServerPage, store: Store, make_status) -> None:
    store.put(make_status())
    other = replace(MODEL, name="gemma3:4b")
    store.put(Models((), (MODEL, other)))
    button = next(each for each in page.findChildren(QPushButton, "unload-button") if "gemma3" in each.accessibleName())
    page.activateWindow()
    button.setFocus()

    store.put(Models((), (other,)))

    assert button.hasFocus()
    assert "qwen3:8b" not in _words(page)


def test_nothing_is_said_of_models_when_the_server_is_gone(page: ServerPage, store: Store, make_status) -> None:
    store.put(make_status())
    store.put(Models((INSTALLED,), (MODEL,)))
    store.put(make_status(ServerState.STOPPED, None))
    assert "qwen3:8b" not in _words(page)


def test_at_most_three_bars_and_a_word_for_the_rest(page: ServerPage, store: Store, make_status, make_transfer) -> None:
    store.put(make_status())
    phases = (Phase.QUEUED, Phase.PULLING, Phase.STALLED, Phase.DONE, Phase.PULLING, Phase.VERIFYING, Phase.FAILED)
    store.put(tuple(make_transfer(f"m{i}:1b", phase, permille=100 * i) for i, phase in enumerate(phases)))

    bars = page.findChildren(QProgressBar, "transfer-progress")
    assert [bar.value() for bar in bars if bar.isVisible()] == [100, 200, 400]
    assert page.findChild(QLabel, "downloads-rest").text() == "1 more running · 1 queued · 1 failed · 1 done"


def test_a_download_tells_phase_pace_and_time_left_and_can_be_stopped(
    page: ServerPage, store: Store, qtbot, make_status, make_transfer
) -> None:
    store.put(make_status())
    store.put(
        (
            make_transfer(
                permille=620,
                completed_bytes=1_240_000_000,
                total_bytes=2_000_000_000,
                total_is_so_far=False,
                rate_bps=48.2e6,
                eta_s=16.0,
            ),
        )
    )
    assert "Downloading · 1.2 of 2.0 GB · 48 MB/s · 16 s left" in _words(page)
    with qtbot.waitSignal(page.cancel_requested) as asked:
        qtbot.mouseClick(_button(page, "transfer-pause-button"), Qt.MouseButton.LeftButton)
    assert asked.args == ["llama3.2:3b"]
    with qtbot.waitSignal(page.page_requested) as asked:
        qtbot.mouseClick(_button(page, "open-downloads-button"), Qt.MouseButton.LeftButton)
    assert asked.args == ["downloads"]


def test_what_is_published_fast_is_drawn_at_last(
    page: ServerPage, store: Store, qtbot, make_status, make_transfer
) -> None:
    store.put(make_status())
    for permille in range(0, 1000, 3):
        store.put((make_transfer(permille=permille),))
    bar = page.findChild(QProgressBar, "transfer-progress")
    assert bar.value() < 999
    qtbot.waitUntil(lambda: bar.value() == 999)


def test_names_are_never_taken_for_markup(page: ServerPage, store: Store, make_status, make_transfer) -> None:
    store.put(make_status(reason="<b>x</b>", hint="<img src=x>"))
    store.put((make_transfer("<h1>m</h1>"),))
    store.put(Models((), (replace(MODEL, name="<i>n</i>"),)))
    assert all(label.textFormat() is Qt.TextFormat.PlainText for label in page.findChildren(QLabel))


@pytest.mark.parametrize(
    ("left_s", "words"),
    [
        (252.0, "leaves in 4 min 12 s"),
        (0.0, "leaves when it is idle"),
        (-90.0, "leaves when it is idle"),
        (400 * 86_400.0, "stays loaded"),
        (None, "stays loaded"),
    ],
)
def test_how_long_a_model_stays(left_s: float | None, words: str, qapp) -> None:
    expires_at = None if left_s is None else datetime.fromtimestamp(NOW_S + left_s, UTC)
    assert stay_words(replace(MODEL, expires_at=expires_at), NOW_S) == words


@pytest.mark.parametrize(
    ("size_bytes", "gpu_bytes", "words"),
    [
        (6_200_000_000, 6_200_000_000, "6.2 GB on the GPU"),
        (6_200_000_000, 0, "6.2 GB in memory, on the processor alone"),
        (5_400_000_000, 4_100_000_000, "4.1 GB GPU + 1.3 GB memory"),
        (0, 0, ""),
    ],
    ids=["gpu", "processor", "both", "not known"],
)
def test_where_a_model_lies(size_bytes: int, gpu_bytes: int, words: str, qapp) -> None:
    model = replace(MODEL, size_bytes=size_bytes, size_vram_bytes=gpu_bytes, context_length=None)
    assert place_words(model) == words


@pytest.mark.parametrize("width", [520, 760, 1040])
def test_nothing_is_cut_off_sideways(
    page: ServerPage, store: Store, qtbot, make_status, make_transfer, width: int
) -> None:
    long = "Datenverarbeitungsschnittstellenverwaltungsdienst " * 3
    store.put(make_status(ServerState.DEGRADED, reason=long, hint=long))
    store.put(Models((), (replace(MODEL, name="hf.co/someone/" + "long-" * 15 + "name:Q4_K_M"),)))
    store.put((make_transfer("hf.co/someone/" + "long-" * 15 + "name:Q4_K_M", error=long),))
    page.resize(width - 56, 520)

    def inside() -> bool:
        seen = [button for button in page.findChildren(QPushButton) if button.isVisible()]
        return all(button.mapTo(page, QPoint(button.width(), 0)).x() <= page.width() for button in seen)

    qtbot.waitUntil(inside)


def test_the_default_model_can_be_loaded(page: ServerPage, store: Store, qtbot, make_status) -> None:
    store.put(make_status())
    store.put(Models((INSTALLED,), ()))
    assert not _seen(page, "load-default-button"), "none is chosen"
    store.put(Settings(default_model="gone:1b"))
    assert not _seen(page, "load-default-button"), "it is not there"
    store.put(Settings(default_model=INSTALLED.name))
    button = _button(page, "load-default-button")
    assert button.text() == button.accessibleName() == "Load qwen3:8b"
    with qtbot.waitSignal(page.load_requested) as wished:
        qtbot.mouseClick(button, Qt.MouseButton.LeftButton)
    assert wished.args == [(INSTALLED.name,)]

    page.show_work(INSTALLED.name, Work.LOADING)
    assert not button.isVisible()
    assert "Loading qwen3:8b…" in [words.replace("\u200b", "") for words in _words(page)]
    page.show_work(INSTALLED.name, None)
    assert button.isVisible()


def test_what_is_being_unloaded_cannot_be_unloaded_again(page: ServerPage, store: Store, make_status) -> None:
    store.put(make_status())
    store.put(Models((INSTALLED,), (LoadedModel(INSTALLED.name, 2, 1, 4096, None, "a" * 64),)))
    unload = _button(page, "unload-button")
    page.show_work(INSTALLED.name, Work.UNLOADING)
    assert (unload.text(), unload.isEnabled()) == ("Unloading…", False)
    page.show_work(INSTALLED.name, None)
    assert (unload.text(), unload.isEnabled()) == ("Unload", True)
