from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from PySide6.QtCore import QItemSelectionModel, QModelIndex, QPersistentModelIndex, Qt
from PySide6.QtWidgets import QAbstractItemView, QApplication, QTreeView

from launcher.domain.models import InstalledModel, LoadedModel, Models
from launcher.ui.models_table import (
    ENTRY_ROLE,
    SORT_ROLE,
    Column,
    ModelsTableModel,
    Work,
    ago_text,
    second_line,
)
from launcher.ui.runs import runs

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
ASCENDING, DESCENDING = Qt.SortOrder.AscendingOrder, Qt.SortOrder.DescendingOrder


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


def in_memory(name: str) -> LoadedModel:
    return LoadedModel(name, 2_000_000_000, 2_000_000_000, 4096, None, "")


def some(*models: InstalledModel, loaded: tuple[str, ...] = ()) -> Models:
    return Models(models, tuple(in_memory(name) for name in loaded))


@pytest.fixture
def model(qapp: QApplication) -> ModelsTableModel:
    return ModelsTableModel(now_s=NOW.timestamp)


def names(model: ModelsTableModel) -> list[str]:
    return [model.index(row, Column.NAME).data() for row in range(model.rowCount())]


def test_it_keeps_the_rules_of_qt(model: ModelsTableModel, qtmodeltester: Any) -> None:
    qtmodeltester.check(model)
    model.show_models(some(installed("a:1b"), installed("b:1b"), installed("c:1b")))
    model.show_models(some(installed("c:1b"), installed("x:1b"), installed("a:1b", 5)))
    model.show_only("1b")
    model.sort(Column.NAME, DESCENDING)
    model.show_only("x")
    model.show_only("")
    qtmodeltester.check(model)


def test_the_newest_comes_first_until_somebody_sorts(model: ModelsTableModel) -> None:
    model.show_models(some(installed("old:1b", days=9), installed("new:1b", days=1)))
    assert names(model) == ["new:1b", "old:1b"]


@pytest.mark.parametrize(
    ("column", "order", "expected"),
    [
        pytest.param(Column.NAME, ASCENDING, ["m:4b", "m:8b", "m:14b"], id="name as people count"),
        pytest.param(Column.NAME, DESCENDING, ["m:14b", "m:8b", "m:4b"], id="name from the end"),
        pytest.param(Column.SIZE, ASCENDING, ["m:8b", "m:14b", "m:4b"], id="size by bytes, not by words"),
        pytest.param(Column.SIZE, DESCENDING, ["m:4b", "m:14b", "m:8b"], id="biggest first"),
        pytest.param(Column.FAMILY, ASCENDING, ["m:14b", "m:4b", "m:8b"], id="family, then name"),
        pytest.param(Column.FAMILY, DESCENDING, ["m:4b", "m:8b", "m:14b"], id="family from the end, names still rise"),
        pytest.param(Column.QUANTIZATION, ASCENDING, ["m:8b", "m:4b", "m:14b"], id="none before F16 before Q4"),
        pytest.param(Column.CHANGED, ASCENDING, ["m:14b", "m:4b", "m:8b"], id="oldest first, unknown before"),
        pytest.param(Column.STATE, DESCENDING, ["m:8b", "m:4b", "m:14b"], id="loaded first, then name"),
    ],
)
def test_columns_sort_by_true_values(
    model: ModelsTableModel, column: Column, order: Qt.SortOrder, expected: list[str]
) -> None:
    model.show_models(
        some(
            installed("m:8b", 900_000_000, days=1, family="qwen", quantization=None),
            installed("m:14b", 1_100_000_000, modified_at=None, family="gemma"),
            installed("m:4b", 20_000_000_000, days=3, family="qwen", quantization="F16"),
            loaded=("m:8b",),
        )
    )
    model.sort(column, order)
    assert names(model) == expected
    values = [model.index(row, column).data(SORT_ROLE) for row in range(3)]
    if column is not Column.NAME:
        assert values == sorted(values, reverse=order is DESCENDING)


@pytest.mark.parametrize(
    ("words", "kind", "expected"),
    [
        pytest.param("", "all", ["qwen3:8b", "gemma3:4b", "embed:latest"], id="everything"),
        pytest.param("QWEN", "all", ["qwen3:8b"], id="case does not matter"),
        pytest.param("3 8.2b", "all", ["qwen3:8b"], id="every word, anywhere"),
        pytest.param("vision", "all", ["gemma3:4b"], id="an ability"),
        pytest.param("f16", "all", ["embed:latest"], id="a quantization"),
        pytest.param("  ", "all", ["qwen3:8b", "gemma3:4b", "embed:latest"], id="spaces only"),
        pytest.param("zebra", "all", [], id="nothing"),
        pytest.param("", "loaded", ["gemma3:4b"], id="loaded"),
        pytest.param("", "tools", ["qwen3:8b"], id="tools"),
        pytest.param("", "embedding", ["embed:latest"], id="embedding"),
        pytest.param("qwen", "loaded", [], id="word and kind"),
    ],
)
def test_the_filter_looks_at_what_a_row_says(
    model: ModelsTableModel, words: str, kind: str, expected: list[str]
) -> None:
    model.show_models(
        some(
            installed("qwen3:8b", days=1, parameter_size="8.2B", capabilities=("completion", "tools")),
            installed("gemma3:4b", days=2, parameter_size="4.3B", capabilities=("completion", "vision")),
            installed("embed:latest", days=3, quantization="F16", capabilities=("embedding",)),
            loaded=("gemma3:4b",),
        )
    )
    model.show_only(words, kind)
    assert names(model) == expected


def test_selection_survives_news_sorting_and_filtering(model: ModelsTableModel) -> None:
    view = QTreeView()
    view.setModel(model)
    view.setSelectionMode(QAbstractItemView.SelectionMode.ExtendedSelection)
    every = [installed(f"m{number}:1b", number * 1_000, days=number) for number in range(40)]
    model.show_models(some(*every))
    for name in ("m7:1b", "m8:1b"):
        row = model.row_of(name)
        assert row is not None
        rows = QItemSelectionModel.SelectionFlag.Select | QItemSelectionModel.SelectionFlag.Rows
        view.selectionModel().select(model.index(row, 0), rows)
    model.sort(Column.SIZE, DESCENDING)
    model.show_only("8")
    model.show_only("")
    model.show_models(some(*every[5:], installed("new:1b")))
    selected = {index.data() for index in view.selectionModel().selectedRows()}
    assert selected == {"m8:1b"}, "what the filter hid is not selected any more"


def test_only_what_changed_is_announced(model: ModelsTableModel) -> None:
    first = some(*(installed(f"m{number}:1b", days=number) for number in range(5)))
    model.show_models(first)
    seen: list[tuple[int, int]] = []
    others: list[object] = []
    model.dataChanged.connect(lambda top, bottom, *_: seen.append((top.row(), bottom.row())))
    for signal in (model.rowsInserted, model.rowsRemoved, model.layoutChanged, model.modelReset):
        signal.connect(lambda *_: others.append(1))
    model.show_models(first)
    assert seen == []
    assert first.installed is not None
    model.show_models(some(*first.installed, loaded=("m2:1b",)))
    assert seen == [(2, 2)]
    assert others == []


def test_persistent_indexes_follow_their_row(model: ModelsTableModel) -> None:
    model.show_models(some(installed("a:1b", days=1), installed("b:1b", days=2), installed("c:1b", days=3)))
    kept = [QPersistentModelIndex(model.index(row, Column.SIZE)) for row in range(3)]
    model.sort(Column.NAME, DESCENDING)
    assert [index.row() for index in kept] == [2, 1, 0]
    model.show_models(some(installed("b:1b"), installed("c:1b")))
    assert [index.isValid() for index in kept] == [False, True, True]


def test_what_is_being_done_is_said_in_the_row(model: ModelsTableModel) -> None:
    model.show_models(some(installed("a:1b"), loaded=("a:1b",)))
    state = model.index(0, Column.STATE)
    assert state.data() == "Loaded"
    model.show_work("a:1b", Work.UNLOADING)
    assert state.data() == "Unloading…"
    model.show_models(some(installed("a:1b")))
    assert state.data() == "Unloading…"
    model.show_work("a:1b", None)
    assert state.data() == ""


def test_a_row_is_read_out_as_a_whole(model: ModelsTableModel) -> None:
    model.show_models(some(installed("a:1b", capabilities=("completion", "tools")), loaded=("a:1b",)))
    assert model.index(0, Column.NAME).data(Qt.ItemDataRole.AccessibleTextRole) == "a:1b, 3.2B · tools, Loaded"
    assert model.index(0, Column.SIZE).data(Qt.ItemDataRole.AccessibleTextRole) == "1.0 GB"
    model.show_models(some(installed("a:1b")))
    assert model.index(0, Column.STATE).data(Qt.ItemDataRole.AccessibleTextRole) == "nothing"
    assert model.headerData(Column.STATE, Qt.Orientation.Horizontal, Qt.ItemDataRole.AccessibleTextRole) == "State"


def test_a_name_that_looks_like_mark_up_stays_text(model: ModelsTableModel) -> None:
    model.show_models(some(installed("<img src=x>:1b")))
    tooltip = model.index(0, Column.NAME).data(Qt.ItemDataRole.ToolTipRole)
    assert "&lt;img src=x&gt;" in tooltip
    assert "<img" not in tooltip


def test_a_model_that_runs_elsewhere_has_no_size(model: ModelsTableModel) -> None:
    model.show_models(some(installed("big:120b-cloud", 384, remote_host="https://ollama.com:443")))
    assert model.index(0, Column.SIZE).data() == "cloud"
    assert model.index(0, Column.SIZE).data(SORT_ROLE) == 0
    assert "another computer" in model.index(0, Column.NAME).data(ENTRY_ROLE).second


def test_an_index_of_nowhere_says_nothing(model: ModelsTableModel) -> None:
    assert model.data(QModelIndex()) is None
    assert model.entry_at(QModelIndex()) is None
    assert model.rowCount(model.createIndex(0, 0)) == 0


@pytest.mark.parametrize(
    ("past", "words"),
    [
        pytest.param(timedelta(seconds=-90), "just now", id="the server's clock is ahead"),
        pytest.param(timedelta(seconds=59), "just now", id="a moment"),
        pytest.param(timedelta(minutes=1), "1 min ago", id="a minute"),
        pytest.param(timedelta(minutes=59), "59 min ago", id="minutes"),
        pytest.param(timedelta(hours=1, minutes=59), "1 hour ago", id="an hour"),
        pytest.param(timedelta(hours=23), "23 hours ago", id="hours"),
        pytest.param(timedelta(hours=25), "1 day ago", id="a day"),
        pytest.param(timedelta(days=6), "6 days ago", id="days"),
        pytest.param(timedelta(days=7), "1 week ago", id="a week"),
        pytest.param(timedelta(days=30), "4 weeks ago", id="weeks"),
        pytest.param(timedelta(days=31), "1 month ago", id="a month"),
        pytest.param(timedelta(days=364), "11 months ago", id="months"),
        pytest.param(timedelta(days=366), "1 year ago", id="a year"),
        pytest.param(timedelta(days=1000), "2 years ago", id="years"),
    ],
)
def test_ages_are_told_in_the_biggest_unit(qapp: QApplication, past: timedelta, words: str) -> None:
    assert ago_text(NOW - past, NOW.timestamp()) == words


def test_an_unknown_age_is_not_told(qapp: QApplication) -> None:
    assert ago_text(None, NOW.timestamp()) == ""


def test_the_second_line_leaves_out_what_is_not_known(qapp: QApplication) -> None:
    assert second_line(installed("a", capabilities=None, parameter_size=None)) == ""
    full = installed("a", capabilities=("completion", "tools", "brand-new"), context_length=512)
    assert second_line(full) == "3.2B · context 512 · tools · brand-new"


@pytest.mark.parametrize(
    ("rows", "expected"),
    [([], []), ([3], [(3, 3)]), ([1, 2, 3, 7], [(1, 3), (7, 7)]), ([0, 2, 4], [(0, 0), (2, 2), (4, 4)])],
    ids=["none", "one", "two runs", "alone each"],
)
def test_rows_are_joined_to_runs(rows: list[int], expected: list[tuple[int, int]]) -> None:
    assert runs(rows) == expected


def test_the_title_says_what_it_is_sorted_by(model: ModelsTableModel) -> None:
    told: list[int] = []
    model.headerDataChanged.connect(lambda *_: told.append(1))
    role = Qt.ItemDataRole.AccessibleTextRole

    model.sort(Column.SIZE, Qt.SortOrder.DescendingOrder)
    assert model.headerData(Column.SIZE, Qt.Orientation.Horizontal) == "Size ↓"
    assert model.headerData(Column.SIZE, Qt.Orientation.Horizontal, role) == "Size, descending"
    assert model.headerData(Column.NAME, Qt.Orientation.Horizontal) == "Model"

    model.sort(Column.NAME, Qt.SortOrder.AscendingOrder)
    assert model.headerData(Column.SIZE, Qt.Orientation.Horizontal) == "Size"
    assert model.headerData(Column.NAME, Qt.Orientation.Horizontal) == "Model ↑"
    assert len(told) == 2
