"""The tray: what it says of a state, and that it follows a tray that is there, comes late, goes, or never comes."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from PySide6.QtGui import QColor
from pytestqt.qtbot import QtBot

from launcher.domain.server import Owner, ServerState
from launcher.domain.transfer import Phase
from launcher.ui.phrases import server_phrase
from launcher.ui.shapes import shape_pixmap
from launcher.ui.store import Store
from launcher.ui.theme import LIGHT, Role, Theme
from launcher.ui.tray import Tray
from tests.support.desktop import Desktop, Program

_LATER_S = 15.0
"""The program looks every 2.5 s; busy machines take longer."""


@pytest.fixture
def tray(store: Store, theme: Theme) -> Iterator[Tray]:
    tray = Tray(store, theme)
    yield tray
    tray.close()


def shown(tray: Tray) -> dict[str, str]:
    return {a.objectName(): a.text() for a in tray.menu.actions() if a.isVisible() and not a.isSeparator()}


# --- what it says, without a desktop ----------------------------------------------------------------------------------


def test_before_anything_is_known_nothing_is_offered(tray: Tray) -> None:
    assert shown(tray) == {
        "tray-state": "Looking for Ollama…",
        "tray-show": "Show the window",
        "tray-quit": "Quit",
    }


@pytest.mark.parametrize(
    ("state", "owner", "offered"),
    [
        pytest.param(ServerState.STOPPED, None, {"tray-start"}, id="stopped"),
        pytest.param(ServerState.RUNNING, Owner.OURS, {"tray-stop"}, id="ours"),
        pytest.param(ServerState.RUNNING, Owner.UNKNOWN, set(), id="somebody else's"),
        pytest.param(ServerState.STARTING, Owner.OURS, {"tray-stop"}, id="starting"),
        pytest.param(ServerState.STOPPING, Owner.OURS, set(), id="stopping"),
        pytest.param(ServerState.BACKOFF, Owner.OURS, {"tray-start", "tray-stop"}, id="back-off"),
        pytest.param(ServerState.NOT_INSTALLED, None, set(), id="not installed"),
    ],
)
def test_the_menu_offers_what_the_table_does(
    tray: Tray,
    store: Store,
    make_status: Callable[..., Any],
    state: ServerState,
    owner: Owner | None,
    offered: set[str],
) -> None:
    status = make_status(state, owner)
    store.put(status)
    assert set(shown(tray)) & {"tray-start", "tray-stop"} == offered
    assert shown(tray)["tray-state"] == server_phrase(status, None).footer


def test_downloads_stand_in_the_menu_while_they_run(
    tray: Tray, store: Store, make_transfer: Callable[..., Any]
) -> None:
    store.put(
        (
            make_transfer("qwen3:8b", Phase.PULLING, completed_bytes=420, total_bytes=1000, permille=420),
            make_transfer("gemma3:4b", Phase.PAUSED, completed_bytes=100, total_bytes=1000, permille=100),
            make_transfer("done:1b", Phase.DONE, completed_bytes=1000, total_bytes=1000),
        )
    )
    lines = [text for name, text in shown(tray).items() if name.startswith("tray-download")]
    assert lines == ["qwen3:8b: 42 %", "gemma3:4b: 10 % Paused"]
    store.put(())
    assert not [name for name in shown(tray) if name.startswith("tray-download")]


@pytest.mark.parametrize(
    ("item", "signal"),
    [
        pytest.param("tray-start", "start_requested", id="start"),
        pytest.param("tray-stop", "stop_requested", id="stop"),
        pytest.param("tray-quit", "quit_requested", id="quit"),
    ],
)
def test_an_item_is_a_wish(tray: Tray, qtbot: QtBot, item: str, signal: str) -> None:
    action = next(action for action in tray.menu.actions() if action.objectName() == item)
    with qtbot.waitSignal(getattr(tray, signal), timeout=1000):
        action.trigger()


@pytest.mark.parametrize(
    ("item", "page"),
    [
        pytest.param("tray-show", "", id="the window"),
        pytest.param("tray-state", "server", id="the state"),
        pytest.param("tray-download-1", "downloads", id="a download"),
    ],
)
def test_an_item_shows_the_page_it_speaks_of(tray: Tray, qtbot: QtBot, item: str, page: str) -> None:
    action = next(action for action in tray.menu.actions() if action.objectName() == item)
    with qtbot.waitSignal(tray.show_requested, timeout=1000) as shown_page:
        action.trigger()
    assert shown_page.args == [page]


def test_no_two_states_look_alike(theme: Theme, make_status: Callable[..., Any]) -> None:
    """Shape and colour together tell states apart that ask for different deeds."""
    looks: dict[bytes, ServerState] = {}
    alike = {ServerState.CHECKING: 1, ServerState.STARTING: 2, ServerState.STOPPING: 2}
    for state in ServerState:
        phrase = server_phrase(make_status(state))
        image = shape_pixmap(phrase.shape, theme.color(phrase.role), 22, 1.0).toImage()
        look = bytes(image.constBits())
        other = looks.setdefault(look, state)
        both_bad = {state, other} == {ServerState.FAILED, ServerState.PORT_TAKEN}
        assert other is state or both_bad or (alike.get(state) == alike.get(other) is not None), (state, other)


def test_without_a_tray_there_is_no_icon(tray: Tray) -> None:
    tray.watch()
    assert (tray.available, tray.icon) == (False, None)
    tray.tell("nobody", "hears this")


# --- on a desktop -----------------------------------------------------------------------------------------------------


def panel(desktop: Desktop) -> Program:
    return desktop.start("trayer", "--edge", "bottom", "--height", "30")


def program(desktop: Desktop) -> Program:
    return desktop.start_python("tests.support.tray_program")


def place(started: Program) -> tuple[int, int]:
    """The middle of the icon, once the tray has given it one."""
    for _ in range(200):
        found = json.loads(started.ask("place"))
        if found is not None and found[2] > 4:
            x, y, width, height = found
            return x + width // 2, y + height // 2
    pytest.fail(f"the icon has no place: {found}")


def clicks(desktop: Desktop, started: Program, button: int, heard: str) -> None:
    """Click the icon until the program has heard it: a tray tells a place before it has put the icon there."""
    begin = len(started.lines)
    for _ in range(10):
        x, y = place(started)
        desktop.do("xdotool", "mousemove", str(x), str(y), "click", str(button))
        deadline_s = time.monotonic() + 2.0
        while time.monotonic() < deadline_s:
            if any(line.startswith(heard) for line in started.lines[begin:]):
                return
            time.sleep(0.02)
    pytest.fail(f"ten clicks, and {heard!r} was not said")


def _rgb(color: QColor) -> tuple[int, int, int]:
    return color.red(), color.green(), color.blue()


def is_painted(started: Program, role: Role) -> bool:
    wanted = QColor(LIGHT[role])
    for name in started.ask("colors").split():
        seen = QColor(name)
        if all(abs(a - b) <= 6 for a, b in zip(_rgb(seen), _rgb(wanted), strict=True)):
            return True
    return False


def paints(started: Program, role: Role) -> None:
    for _ in range(200):
        if is_painted(started, role):
            return
    pytest.fail(f"the icon is not painted in {role}: {started.ask('colors')}")


def test_in_a_tray_of_the_old_kind(desktop: Desktop) -> None:
    panel(desktop)
    started = program(desktop)
    started.until("available True", timeout_s=_LATER_S)
    started.tell("server running ours")
    place(started)
    paints(started, Role.OK)
    assert "Running" in json.loads(started.ask("tooltip"))
    started.tell("server failed -")
    paints(started, Role.BAD)
    clicks(desktop, started, 1, "wished show")
    started.tell("server running ours")
    clicks(desktop, started, 3, "opened menu")
    item_x, item_y = started.ask("item tray-stop").split()
    desktop.do("xdotool", "mousemove", item_x, item_y, "click", "1")
    started.until("wished stop")


def test_a_tray_that_comes_late_goes_and_comes_again(desktop: Desktop) -> None:
    started = program(desktop)
    assert started.until("ready") == "False"
    assert json.loads(started.ask("tooltip")) is None
    first = panel(desktop)
    started.until("available True", timeout_s=_LATER_S)
    place(started)
    first.end()
    begin = len(started.lines)
    started.until("available False", begin, _LATER_S)
    panel(desktop)
    started.until("available True", begin, _LATER_S)
    place(started)
    started.tell("server running ours")
    paints(started, Role.OK)


def test_without_any_tray_it_says_so(desktop: Desktop) -> None:
    started = program(desktop)
    assert started.until("ready") == "False"
    assert started.ask("end") == "False"


def test_in_a_panel_on_the_session_bus(desktop: Desktop) -> None:
    bus = desktop.start("dbus-run-session", "--", "sh", "-c", "echo address $DBUS_SESSION_BUS_ADDRESS; cat >/dev/null")
    desktop.environment["DBUS_SESSION_BUS_ADDRESS"] = bus.until("address")
    watcher = desktop.start_python("tests.support.status_notifier")
    watcher.until("ready")
    started = program(desktop)
    started.until("available True", timeout_s=_LATER_S)
    watcher.until("registered")
    assert json.loads(watcher.ask("get Title")) == ["ollama-launcher"]
    assert json.loads(watcher.ask("get Status")) == ["Active"]
    assert watcher.ask("activate") == "[]"
    started.until("wished show")
    # The panel goes, and with it the icon; the next one gets a new icon.
    watcher.end()
    begin = len(started.lines)
    started.until("available False", begin, _LATER_S)
    again = desktop.start_python("tests.support.status_notifier")
    again.until("registered", timeout_s=_LATER_S)
    assert json.loads(again.ask("get Status")) == ["Active"]
