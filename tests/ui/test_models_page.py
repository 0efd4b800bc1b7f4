from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import shiboken6
from PySide6.QtCore import QPoint, Qt, QTimer
from PySide6.QtGui import QGuiApplication
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QAbstractButton, QApplication, QLabel, QLineEdit, QPushButton, QWidget

from launcher.domain.models import InstalledModel, LoadedModel, Models
from launcher.domain.server import Owner, ServerState, ServerStatus
from launcher.domain.settings import Settings
from launcher.ui.models_table import Column, Work
from launcher.ui.pages.models import ModelsPage
from launcher.ui.store import Store
from launcher.ui.theme import Theme

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
MakeStatus = Callable[..., ServerStatus]


def installed(name: str, size_bytes: int = 1_000_000_000, days: float = 1, **more: Any) -> InstalledModel:
    members: dict[str, Any] = {
        "digest": f"{sum(map(ord, name)):064x}",
        "modified_at": NOW - timedelta(days=days),
        "family": "llama",
        "parameter_size": "3.2B",
        "quantization": "Q4_K_M",
        "capabilities": ("completion",),
        "remote_host": None,
        **more,
    }
    return InstalledModel(name, size_bytes, **members)


QWEN = installed("qwen3:8b", 5_200_000_000, 1, family="qwen3", capabilities=("completion", "tools"))
GEMMA = installed("gemma3:4b", 3_300_000_000, 2, family="gemma3", capabilities=("completion", "vision"))
CLOUD = installed("big:120b-cloud", 384, 3, remote_host="https://ollama.com:443")
LOADED = LoadedModel("qwen3:8b", 7_000_000_000, 6_000_000_000, 8192, NOW + timedelta(minutes=4), "")
THREE = Models((QWEN, GEMMA, CLOUD), (LOADED,))


@pytest.fixture
def page(store: Store, theme: Theme, make_status: MakeStatus) -> Iterator[ModelsPage]:
    store.put(make_status())
    store.put(THREE)
    page = ModelsPage(store, theme, now_s=NOW.timestamp)
    page.resize(900, 600)
    page.show()
    yield page
    # At once: its clocks must not outlive it.
    shiboken6.delete(page)


def button(page: QWidget, name: str) -> QPushButton:
    found = page.findChild(QPushButton, name)
    assert found is not None, name
    return found


def shown_buttons(page: QWidget) -> set[str]:
    return {each.objectName() for each in page.findChildren(QPushButton) if each.isVisibleTo(page)}


def words(page: QWidget) -> str:
    return "\n".join(label.text() for label in page.findChildren(QLabel) if label.isVisibleTo(page))


def names(page: ModelsPage) -> list[str]:
    return [page.table_model.index(row, 0).data() for row in range(page.table_model.rowCount())]


def select(page: ModelsPage, *wanted: str) -> None:
    page.view.clearSelection()
    for name in wanted:
        row = page.table_model.row_of(name)
        assert row is not None
        flags = page.view.selectionModel().SelectionFlag
        page.view.selectionModel().select(page.table_model.index(row, 0), flags.Select | flags.Rows)


# What is shown


def test_the_first_model_is_selected_and_told(page: ModelsPage) -> None:
    assert [entry.name for entry in page.selected] == ["qwen3:8b"]
    said = words(page.detail)
    for text in ("qwen3:8b", "5.2 GB", "Q4_K_M", "tools", "6.0 GB GPU + 1.0 GB memory", "leaves in 4 min"):
        assert text in said
    assert "8.5 GB on disk" in words(page)
    assert page.filter_field.placeholderText() == "Filter 3 models"


@pytest.mark.parametrize(
    ("name", "buttons"),
    [
        pytest.param("qwen3:8b", {"unload-model-button", "copy-name-button", "delete-button"}, id="loaded"),
        pytest.param("gemma3:4b", {"load-button", "copy-name-button", "delete-button"}, id="not loaded"),
        pytest.param("big:120b-cloud", {"copy-name-button", "delete-button"}, id="runs elsewhere"),
    ],
)
def test_only_what_can_be_done_is_offered(page: ModelsPage, name: str, buttons: set[str]) -> None:
    select(page, name)
    assert shown_buttons(page.detail) == buttons


def test_what_is_being_worked_on_offers_nothing(page: ModelsPage) -> None:
    page.show_work("qwen3:8b", Work.DELETING)
    assert shown_buttons(page.detail) == {"copy-name-button", "delete-button"}
    assert not button(page, "delete-button").isEnabled()
    page.show_work("qwen3:8b", None)
    assert button(page, "delete-button").isEnabled()


def test_several_are_told_together(page: ModelsPage) -> None:
    page.view.selectAll()
    assert "3 models are selected" in words(page.detail)
    assert "at most 8.5 GB on disk · 1 in memory" in words(page.detail)


@pytest.mark.parametrize(
    ("width", "hidden"),
    [
        pytest.param(1000, set(), id="wide"),
        pytest.param(520, {Column.FAMILY, Column.QUANTIZATION}, id="narrow"),
        pytest.param(400, {Column.FAMILY, Column.QUANTIZATION, Column.CHANGED}, id="narrower"),
    ],
)
def test_columns_give_way_to_the_name(page: ModelsPage, width: int, hidden: set[Column], qapp: QApplication) -> None:
    page.resize(width, 500)
    qapp.sendPostedEvents()
    assert {column for column in Column if page.view.isColumnHidden(column)} >= hidden
    if not hidden:
        assert not any(page.view.isColumnHidden(column) for column in Column)
    assert page.view.columnWidth(Column.NAME) >= 100


def test_a_page_that_nobody_sees_draws_when_it_is_seen(page: ModelsPage, store: Store) -> None:
    page.hide()
    store.put(Models((GEMMA,), ()))
    assert names(page) == ["qwen3:8b", "gemma3:4b", "big:120b-cloud"]
    page.show()
    assert names(page) == ["gemma3:4b"]


def test_no_timer_runs_for_a_page_that_nobody_sees(page: ModelsPage, store: Store) -> None:
    store.put(Models((GEMMA,), ()))
    store.put(Models((), ()))
    assert any(timer.isActive() for timer in page.findChildren(QTimer))
    page.hide()
    assert not any(timer.isActive() for timer in page.findChildren(QTimer))


# Empty places and their next step


@pytest.mark.parametrize(
    ("state", "owner", "models", "said", "buttons"),
    [
        pytest.param(ServerState.CHECKING, None, None, "Looking for Ollama…", set(), id="looking"),
        pytest.param(ServerState.STARTING, Owner.OURS, None, "Starting…", set(), id="starting"),
        pytest.param(ServerState.STOPPED, None, None, "Stopped", {"start-for-models-button"}, id="stopped"),
        pytest.param(ServerState.NOT_INSTALLED, None, None, "not installed", {"show-server-button"}, id="missing"),
        pytest.param(ServerState.UNREACHABLE, Owner.REMOTE, None, "does not answer", {"show-server-button"}, id="far"),
        pytest.param(
            ServerState.RUNNING, Owner.OURS, Models((), ()), "No model is installed", {"download-first-button"}, id="0"
        ),
        pytest.param(ServerState.RUNNING, Owner.OURS, Models(None, None), "Looking what", set(), id="not known"),
    ],
)
def test_an_empty_table_says_what_to_do(
    store: Store,
    theme: Theme,
    make_status: MakeStatus,
    state: ServerState,
    owner: Owner | None,
    models: Models | None,
    said: str,
    buttons: set[str],
) -> None:
    store.put(make_status(state, owner))
    if models is not None:
        store.put(models)
    page = ModelsPage(store, theme)
    assert said in words(page)
    assert shown_buttons(page) == buttons
    page.deleteLater()


def test_before_anything_is_known_nothing_is_claimed(store: Store, theme: Theme) -> None:
    page = ModelsPage(store, theme)
    assert "Looking for Ollama…" in words(page)
    assert shown_buttons(page) == set()
    page.deleteLater()


def test_no_hit_offers_all_again(page: ModelsPage) -> None:
    QTest.keyClicks(page.filter_field, "zebra")
    assert names(page) == []
    assert "No model fits “zebra”" in words(page)
    button(page, "show-all-models-button").click()
    assert len(names(page)) == 3
    assert page.filter_field.text() == ""


def test_the_next_steps_are_wished(page: ModelsPage, store: Store, make_status: MakeStatus, qtbot: Any) -> None:
    with qtbot.waitSignal(page.page_requested) as asked:
        button(page, "download-model-button").click()
    assert asked.args == ["downloads"]
    store.put(Models(None, None))
    store.put(make_status(ServerState.STOPPED, None))
    qtbot.waitUntil(lambda: button(page, "start-for-models-button").isVisible())
    with qtbot.waitSignal(page.start_requested):
        button(page, "start-for-models-button").click()


# Filter


def test_chips_count_and_choose(page: ModelsPage) -> None:
    texts = {chip.text() for chip in page.chips.chips.values() if chip.isVisible()}
    assert texts == {"All 3", "Loaded 1", "Tools 1", "Vision 1"}
    button(page, "kind-vision-button").click()
    assert names(page) == ["gemma3:4b"]
    button(page, "kind-all-button").click()
    assert len(names(page)) == 3


def test_a_chip_that_is_on_stays_when_it_counts_nothing(page: ModelsPage, store: Store, qtbot: Any) -> None:
    button(page, "kind-loaded-button").click()
    store.put(replace(THREE, loaded=()))
    qtbot.waitUntil(lambda: names(page) == [])
    assert button(page, "kind-loaded-button").isVisible()
    assert "No model is of this kind" in words(page)


def test_chips_go_away_where_there_is_no_room(page: ModelsPage, qapp: QApplication) -> None:
    button(page, "kind-vision-button").click()
    page.chips.resize(150, page.chips.height())
    visible = {key for key, chip in page.chips.chips.items() if not chip.isHidden()}
    assert visible == {"all", "vision"}
    assert page.chips.minimumSizeHint().width() == 0
    assert page.chips.remark.isHidden()


def test_keys_lead_through_the_page(page: ModelsPage, qtbot: Any) -> None:
    page.activateWindow()
    qtbot.waitUntil(page.isActiveWindow)
    QTest.keyClick(page, Qt.Key.Key_F, Qt.KeyboardModifier.ControlModifier)
    assert page.filter_field.hasFocus()
    QTest.keyClicks(page.filter_field, "gem")
    assert names(page) == ["gemma3:4b"]
    assert [entry.name for entry in page.selected] == ["gemma3:4b"], "what is left is selected"
    QTest.keyClick(page.filter_field, Qt.Key.Key_Down)
    assert page.view.hasFocus()
    with qtbot.waitSignal(page.delete_requested) as asked:
        QTest.keyClick(page.view, Qt.Key.Key_Delete)
    assert asked.args == [("gemma3:4b",)]
    QTest.keyClick(page.view, Qt.Key.Key_C, Qt.KeyboardModifier.ControlModifier)
    assert QGuiApplication.clipboard().text() == "gemma3:4b"
    QTest.keyClick(page.filter_field, Qt.Key.Key_Escape)
    assert page.filter_field.text() == ""


def test_a_model_can_be_shown_whatever_the_filter_is(page: ModelsPage) -> None:
    QTest.keyClicks(page.filter_field, "qwen")
    page.show_model("gemma3:4b")
    assert [entry.name for entry in page.selected] == ["gemma3:4b"]
    page.show_model("nope:latest")


# Wishes


def test_wishes_carry_names(page: ModelsPage, qtbot: Any) -> None:
    with qtbot.waitSignal(page.unload_requested) as asked:
        button(page, "unload-model-button").click()
    assert asked.args == [("qwen3:8b",)]
    select(page, "gemma3:4b")
    with qtbot.waitSignal(page.load_requested) as asked:
        button(page, "load-button").click()
    assert asked.args == [("gemma3:4b",)]
    page.view.selectAll()
    with qtbot.waitSignal(page.delete_requested) as asked:
        button(page, "delete-button").click()
    assert asked.args == [("qwen3:8b", "gemma3:4b", "big:120b-cloud")]


def test_selection_survives_news(page: ModelsPage, store: Store, qtbot: Any) -> None:
    select(page, "gemma3:4b")
    store.put(Models((installed("new:1b", days=0), QWEN, GEMMA), ()))
    qtbot.waitUntil(lambda: len(names(page)) == 3 and "new:1b" in names(page))
    assert [entry.name for entry in page.selected] == ["gemma3:4b"]


def test_after_a_deletion_another_one_is_selected(page: ModelsPage, store: Store, qtbot: Any) -> None:
    select(page, "gemma3:4b")
    store.put(Models((QWEN, CLOUD), ()))
    qtbot.waitUntil(lambda: len(names(page)) == 2)
    assert len(page.selected) == 1


def test_a_big_selection_survives_the_filter(store: Store, theme: Theme, make_status: MakeStatus) -> None:
    store.put(make_status())
    store.put(Models(tuple(installed(f"m{n}:1b", days=n) for n in range(200)), ()))
    page = ModelsPage(store, theme, now_s=NOW.timestamp)
    page.view.selectAll()
    page.filter_field.setText("7")
    assert {entry.name for entry in page.selected} == {f"m{n}:1b" for n in range(200) if "7" in str(n)}
    page.deleteLater()


# The default model


def test_the_default_model_is_selected_first(store: Store, theme: Theme, make_status: MakeStatus) -> None:
    store.put(make_status())
    store.put(THREE)
    store.put(Settings(default_model="gemma3:4b"))
    page = ModelsPage(store, theme, now_s=NOW.timestamp)
    assert [entry.name for entry in page.selected] == ["gemma3:4b"]
    assert "default model" in words(page.detail)
    page.deleteLater()


def test_a_model_can_be_made_the_default(page: ModelsPage, store: Store, qtbot: Any) -> None:
    (action,) = [each for each in page.view.actions() if each.objectName() == "default-action"]
    with qtbot.waitSignal(page.setting_changed) as asked:
        action.trigger()
    assert asked.args == ["default_model", "qwen3:8b"]
    store.put(Settings(default_model="qwen3:8b"))
    qtbot.waitUntil(lambda: "default model" in words(page.detail))
    assert not action.isEnabled()


# Everybody can use it


def test_everything_has_a_name(page: ModelsPage) -> None:
    for widget in page.findChildren(QWidget):
        if isinstance(widget, QAbstractButton | QLineEdit) or widget is page.view:
            if widget.objectName() in ("", "qt_scrollarea_viewport") and widget.parent() is page.filter_field:
                continue  # the clear button is Qt's own
            assert widget.objectName(), widget
            assert widget.accessibleName(), widget.objectName()


def test_names_are_never_mark_up(page: ModelsPage) -> None:
    assert all(label.textFormat() is Qt.TextFormat.PlainText for label in page.findChildren(QLabel))


def test_a_click_on_a_title_sorts_and_another_turns_the_order(page: ModelsPage, qtbot: Any) -> None:
    header = page.view.header()
    assert not header.isSortIndicatorShown(), "the arrow of the style stands far from the title"
    middle = QPoint(header.sectionViewportPosition(Column.NAME) + 30, header.height() // 2)
    titles = []
    for _ in range(2):
        qtbot.mouseClick(header.viewport(), Qt.MouseButton.LeftButton, pos=middle)
        names = [page.table_model.index(row, 0).data() for row in range(page.table_model.rowCount())]
        titles.append((page.table_model.headerData(Column.NAME, Qt.Orientation.Horizontal), names))
    (first, there), (second, back) = titles
    assert {first, second} == {"Model ↑", "Model ↓"}
    assert there == back[::-1]
