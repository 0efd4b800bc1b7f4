"""The list changes what has changed and nothing else, and paints through the style's own bar."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PySide6.QtCore import QModelIndex, Qt
from PySide6.QtGui import QColor, QImage, QPainter
from PySide6.QtWidgets import QListView, QStyle, QStyleOptionViewItem

from launcher.domain.transfer import Phase, Transfer
from launcher.ui.phrases import phase_phrase
from launcher.ui.theme import Role, Theme
from launcher.ui.transfers_table import TRANSFER_ROLE, TransferDelegate, TransfersTableModel


@pytest.fixture
def table_model(qapp, qtmodeltester) -> TransfersTableModel:
    return TransfersTableModel()


def _names(model: TransfersTableModel) -> list[str]:
    return [model.index(row).data() for row in range(model.rowCount())]


def _of(names: Sequence[str], permille: int = 0) -> tuple[Transfer, ...]:
    return tuple(Transfer(name, Phase.PULLING, permille=permille) for name in names)


class Changes:
    """What a model has announced."""

    def __init__(self, model: TransfersTableModel) -> None:
        self.seen: list[tuple[str, int, int]] = []
        model.rowsInserted.connect(lambda _, first, last: self.seen.append(("in", first, last)))
        model.rowsRemoved.connect(lambda _, first, last: self.seen.append(("out", first, last)))
        model.rowsMoved.connect(lambda _, first, last, __, row: self.seen.append(("move", first, row)))
        model.modelReset.connect(lambda: self.seen.append(("reset", 0, 0)))
        model.dataChanged.connect(lambda top, bottom: self.seen.append(("changed", top.row(), bottom.row())))


def test_the_model_keeps_qts_rules(table_model: TransfersTableModel, qtmodeltester) -> None:
    table_model.show_transfers(_of("abc"))
    qtmodeltester.check(table_model)
    table_model.show_transfers(_of("bdca"))
    table_model.show_transfers(_of("d", 10))
    qtmodeltester.check(table_model)


def test_only_changed_rows_are_announced(table_model: TransfersTableModel) -> None:
    table_model.show_transfers(_of("abcdef"))
    changes = Changes(table_model)
    table_model.show_transfers((*_of("ab", 5), *_of("cd"), *_of("e", 5), *_of("f")))
    assert changes.seen == [("changed", 0, 1), ("changed", 4, 4)]


def test_equal_transfers_announce_nothing(table_model: TransfersTableModel) -> None:
    table_model.show_transfers(_of("abc"))
    changes = Changes(table_model)
    table_model.show_transfers(_of("abc"))
    assert changes.seen == []


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(lists=st.lists(st.lists(st.sampled_from("abcdefgh"), unique=True), min_size=2, max_size=4))
def test_whatever_comes_next_is_shown_and_persistent_indexes_stay(qapp, lists: list[list[str]]) -> None:
    model = TransfersTableModel()
    model.show_transfers(_of(lists[0]))
    changes = Changes(model)
    for names in lists[1:]:
        model.show_transfers(_of(names, len(names)))
        assert _names(model) == names
        assert all(model.index(row).data(TRANSFER_ROLE).permille == len(names) for row in range(len(names)))
    assert "reset" not in {kind for kind, _, _ in changes.seen}


def test_the_selected_one_stays_selected_when_others_come_and_go(table_model: TransfersTableModel, qtbot) -> None:
    view = QListView()
    qtbot.addWidget(view)
    view.setModel(table_model)
    table_model.show_transfers(_of("abcd"))
    view.setCurrentIndex(table_model.index(2))
    table_model.show_transfers(_of("xdc"))
    assert view.currentIndex().data() == "c"


def test_a_name_twice_is_shown_twice(table_model: TransfersTableModel) -> None:
    table_model.show_transfers(_of("aab"))
    assert _names(table_model) == ["a", "a", "b"]


def test_a_row_says_all_to_a_screen_reader(table_model: TransfersTableModel, make_transfer) -> None:
    table_model.show_transfers(
        (
            make_transfer(
                permille=620,
                completed_bytes=1_240_000_000,
                total_bytes=2_000_000_000,
                total_is_so_far=False,
                rate_bps=48.2e6,
                eta_s=16.0,
            ),
            make_transfer("nosuch:latest", Phase.FAILED, error="There is no such model.", hint="Check the spelling."),
        )
    )
    first, second = table_model.index(0), table_model.index(1)
    spoken = Qt.ItemDataRole.AccessibleTextRole
    assert first.data(spoken) == "llama3.2:3b, Downloading, 62 %, 1.2 of 2.0 GB, 48 MB/s · 16 s left"
    assert second.data(spoken) == "nosuch:latest, Failed: There is no such model."
    assert second.data(Qt.ItemDataRole.ToolTipRole) == "There is no such model.\nCheck the spelling."
    assert QModelIndex().data() is None


# --- painting ---------------------------------------------------------------------------------------------------------

_WIDTH = 600


def _painted(
    theme: Theme,
    qtbot,
    transfer: Transfer,
    state: QStyle.StateFlag = QStyle.StateFlag.State_Enabled,
    *,
    direction: Qt.LayoutDirection = Qt.LayoutDirection.LeftToRight,
) -> QImage:
    view = QListView()
    qtbot.addWidget(view)
    view.setLayoutDirection(direction)
    model = TransfersTableModel(view)
    view.setModel(model)
    view.viewport().resize(_WIDTH, 300)
    model.show_transfers((transfer,))
    delegate = TransferDelegate(theme, view)
    option = QStyleOptionViewItem()
    option.initFrom(view)
    option.state = state
    height = delegate.sizeHint(option, model.index(0)).height()
    option.rect.setRect(0, 0, _WIDTH, height)
    image = QImage(_WIDTH, height, QImage.Format.Format_RGB32)
    image.fill(theme.color(Role.CARD))
    painter = QPainter(image)
    delegate.paint(painter, option, model.index(0))
    painter.end()
    return image


def _bar_row(image: QImage, colors: Sequence[QColor]) -> list[QColor]:
    """The line of pixels through the middle of the bar."""
    wanted = {color.rgb() for color in colors}
    lines = [y for y in range(image.height()) if all(image.pixel(x, y) in wanted for x in (40, _WIDTH // 2, 560))]
    assert lines, "no bar was painted"
    y = lines[len(lines) // 2]
    return [image.pixelColor(x, y) for x in range(_WIDTH)]


@pytest.mark.parametrize("phase", list(Phase), ids=lambda phase: phase.value)
def test_the_bar_is_as_long_and_as_coloured_as_it_should_be(theme: Theme, qtbot, make_transfer, phase: Phase) -> None:
    color, track = theme.color(phase_phrase(phase).role), theme.color(Role.TRACK)
    row = _bar_row(_painted(theme, qtbot, make_transfer(phase=phase, permille=400)), (color, track))
    done, rest = row.count(color), row.count(track)
    assert abs(done / (done + rest) - 0.4) < 0.01


@pytest.mark.parametrize("permille", [None, 0], ids=["not known", "nothing yet"])
def test_an_empty_bar_is_all_track(theme: Theme, qtbot, make_transfer, permille: int | None) -> None:
    track = theme.color(Role.TRACK)
    row = _bar_row(_painted(theme, qtbot, make_transfer(phase=Phase.QUEUED, permille=permille)), (track,))
    assert row.count(theme.color(Role.IDLE)) == 0


def test_the_selected_row_has_its_ground(theme: Theme, qtbot, make_transfer) -> None:
    image = _painted(theme, qtbot, make_transfer(permille=1), QStyle.StateFlag.State_Selected)
    assert image.pixelColor(5, 20) == theme.color(Role.SELECTION)


def test_the_round_corner_of_the_list_stays_free(theme: Theme, qtbot, make_transfer) -> None:
    image = _painted(theme, qtbot, make_transfer(), QStyle.StateFlag.State_Selected)
    assert image.pixelColor(0, 0) == image.pixelColor(_WIDTH - 1, 0) == theme.color(Role.CARD)


def test_long_names_and_reasons_end_within_the_row(theme: Theme, qtbot, make_transfer) -> None:
    long = "hf.co/someone/" + "a-very-long-name-" * 20 + ":Q4_K_M"
    image = _painted(theme, qtbot, make_transfer(long, Phase.FAILED, error=long, permille=10))
    right = [image.pixelColor(x, y) for x in range(_WIDTH - 13, _WIDTH) for y in range(image.height() - 1)]
    assert set(map(QColor.rgb, right)) == {theme.color(Role.CARD).rgb()}


def test_right_to_left_is_mirrored(theme: Theme, qtbot, make_transfer) -> None:
    image = _painted(theme, qtbot, make_transfer(permille=250), direction=Qt.LayoutDirection.RightToLeft)
    row = _bar_row(image, (theme.color(Role.BUSY), theme.color(Role.TRACK)))
    assert row[560] == theme.color(Role.BUSY)
    assert row[40] == theme.color(Role.TRACK)
