"""Every shape can be seen at every size, no two look alike, and what turns turns."""

from __future__ import annotations

from itertools import combinations

import pytest
from PySide6.QtCore import QRectF, Qt
from PySide6.QtGui import QColor, QImage, QPainter
from PySide6.QtWidgets import QApplication

from launcher.ui.shapes import StateShape, paint_shape, shape_pixmap
from launcher.ui.theme import Appearance, Role, SystemLook, Theme
from launcher.ui.widgets.state_shape import StateShapeWidget

SIZES = (14, 22, 44)
INK = QColor("#336699")
SHAPES = [pytest.param(shape, id=shape.value) for shape in StateShape]


def _painted(shape: StateShape, size: int, turn: float = 0.0, badge: QColor | None = None) -> QImage:
    image = QImage(size, size, QImage.Format.Format_ARGB32_Premultiplied)
    image.fill(Qt.GlobalColor.transparent)
    painter = QPainter(image)
    paint_shape(painter, QRectF(0, 0, size, size), shape, INK, turn, badge)
    painter.end()
    return image


def _alphas(image: QImage) -> list[int]:
    return [image.pixelColor(x, y).alpha() for y in range(image.height()) for x in range(image.width())]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("shape", SHAPES)
def test_a_shape_fills_its_square_and_leaves_the_corners(shape: StateShape, size: int, qapp: QApplication) -> None:
    image = _painted(shape, size)
    inked = [(i % size, i // size) for i, alpha in enumerate(_alphas(image)) if alpha > 60]

    width = max(x for x, _ in inked) - min(x for x, _ in inked) + 1
    height = max(y for _, y in inked) - min(y for _, y in inked) + 1
    assert width >= size * 0.7
    assert height >= size * 0.7
    assert image.pixelColor(0, 0).alpha() == 0


@pytest.mark.parametrize("size", SIZES)
def test_no_two_shapes_look_alike(size: int, qapp: QApplication) -> None:
    painted = {shape: _alphas(_painted(shape, size)) for shape in StateShape}
    for one, other in combinations(StateShape, 2):
        differing = sum(1 for a, b in zip(painted[one], painted[other], strict=True) if abs(a - b) > 80)
        assert differing >= size * size * 0.02, (one, other)


@pytest.mark.parametrize("shape", SHAPES)
def test_only_what_turns_looks_different_later(shape: StateShape, qapp: QApplication) -> None:
    assert (_alphas(_painted(shape, 22, 0.0)) != _alphas(_painted(shape, 22, 0.3))) == shape.turns
    # A whole turn ends where it began, but for rounding at the edge.
    before, after = _alphas(_painted(shape, 22, 0.0)), _alphas(_painted(shape, 22, 1.0))
    assert max(abs(a - b) for a, b in zip(before, after, strict=True)) <= 8


def test_only_ink_of_the_given_colour_is_used(qapp: QApplication) -> None:
    image = _painted(StateShape.CHECK_DISC, 44)
    opaque = {
        image.pixelColor(x, y).name() for x in range(44) for y in range(44) if image.pixelColor(x, y).alpha() == 255
    }
    assert opaque == {INK.name()}


def test_the_badge_lies_at_the_lower_right_with_a_gap(qapp: QApplication) -> None:
    badge = QColor("#AA3300")
    plain, with_badge = _painted(StateShape.CHECK_DISC, 44), _painted(StateShape.CHECK_DISC, 44, badge=badge)

    assert with_badge.pixelColor(33, 33).name() == badge.name()
    assert with_badge.pixelColor(10, 10) == plain.pixelColor(10, 10)
    between = [with_badge.pixelColor(x, 33).alpha() for x in range(20, 30)]
    assert min(between) < 40


def test_a_badge_on_a_painted_ground_does_not_tear_it(qapp: QApplication) -> None:
    image = QImage(44, 44, QImage.Format.Format_ARGB32_Premultiplied)
    image.fill(Qt.GlobalColor.white)
    painter = QPainter(image)
    paint_shape(painter, QRectF(0, 0, 44, 44), StateShape.LINK_DISC, INK, badge=QColor("#AA3300"))
    painter.end()

    assert min(_alphas(image)) == 255


@pytest.mark.parametrize("ratio", [1.0, 1.5, 2.0])
def test_a_pixmap_has_the_pixels_of_its_screen(ratio: float, qapp: QApplication) -> None:
    pixmap = shape_pixmap(StateShape.RING, INK, 22, ratio)

    assert pixmap.width() == round(22 * ratio)
    assert pixmap.devicePixelRatio() == ratio
    assert pixmap.toImage().pixelColor(round(1.5 * ratio), round(11 * ratio)).alpha() > 100


def test_the_widget_turns_only_while_it_is_seen(theme: Theme, qtbot) -> None:
    widget = StateShapeWidget(theme, 22)
    qtbot.addWidget(widget)
    widget.show_shape(StateShape.ARC, Role.BUSY, "Starting…")
    assert not widget.turning

    widget.show()
    assert widget.turning
    with qtbot.waitSignal(widget.turned, timeout=3000):
        pass

    widget.hide()
    assert not widget.turning


def test_what_does_not_turn_costs_nothing(theme: Theme, qtbot) -> None:
    widget = StateShapeWidget(theme, 22)
    qtbot.addWidget(widget)
    widget.show()
    widget.show_shape(StateShape.ARC, Role.BUSY)
    assert widget.turning

    widget.show_shape(StateShape.CHECK_RING, Role.OK)

    assert not widget.turning
    widget.hide()


def test_reduced_motion_stops_the_spinner(qapp: QApplication, qtbot) -> None:
    look = SystemLook(reduced_motion=False)
    theme = Theme(qapp, system_look=lambda: look)
    theme.apply(Appearance.LIGHT)
    widget = StateShapeWidget(theme, 22)
    qtbot.addWidget(widget)
    widget.show()
    widget.show_shape(StateShape.ARC, Role.BUSY)
    assert widget.turning

    look = SystemLook(reduced_motion=True)
    theme.refresh()
    assert not widget.turning

    look = SystemLook(reduced_motion=False)
    theme.refresh()
    assert widget.turning
    widget.hide()


def test_the_widget_says_its_state_and_follows_the_theme(theme: Theme, qtbot) -> None:
    widget = StateShapeWidget(theme, 44)
    qtbot.addWidget(widget)
    widget.show_shape(StateShape.CHECK_DISC, Role.OK, "Running", exposed=True)

    assert widget.accessibleName() == "Running"
    assert (widget.width(), widget.height()) == (44, 44)
    light = widget.grab().toImage()
    theme.apply(Appearance.DARK)
    assert widget.grab().toImage() != light
