"""The shapes that tell a state without colour: one painter for rows (14 px), cards (44 px) and the tray.

It knows neither states nor themes: ``phrases`` chooses the shape, ``theme`` the colour.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from math import cos, radians, sin

from PySide6.QtCore import QPointF, QRectF, Qt
from PySide6.QtGui import QColor, QPainter, QPainterPath, QPainterPathStroker, QPen, QPixmap, QPolygonF, QTransform


class StateShape(Enum):
    """What is drawn. ``disc`` is filled, ``ring`` is hollow; marks on a filled shape are cut out of it."""

    CHECK_DISC = "check-disc"
    CHECK_RING = "check-ring"
    LINK_DISC = "link-disc"
    RING = "ring"
    BAR_RING = "bar-ring"
    ARC = "arc"
    """Turns."""
    TRIANGLE = "triangle"
    ARC_TRIANGLE = "arc-triangle"
    """The arc in it turns."""
    EXCLAMATION_DISC = "exclamation-disc"
    CROSS_DISC = "cross-disc"
    SHIELD = "shield"

    @property
    def turns(self) -> bool:
        return self in (StateShape.ARC, StateShape.ARC_TRIANGLE)


# All shapes are drawn on a board of 24 x 24 with the centre at (12, 12).
_BOARD = 24.0
_CENTRE = QPointF(12, 12)
_RADIUS = 11.0


def paint_shape(
    painter: QPainter,
    rect: QRectF,
    shape: StateShape,
    color: QColor,
    turn: float = 0.0,
    badge: QColor | None = None,
) -> None:
    """Draw ``shape`` into the middle of ``rect``; ``turn`` is the part of a full turn, 0 to 1, of what turns.

    ``badge`` adds a small shield of that colour at the lower right.
    """
    side = min(rect.width(), rect.height())
    painter.save()
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    painter.translate(rect.center().x() - side / 2, rect.center().y() - side / 2)
    painter.scale(side / _BOARD, side / _BOARD)
    if badge is not None:
        _paint_badge(painter, badge)
    # Small marks need more ink to be seen.
    _PAINTERS[shape](painter, color, turn, 3.0 if side < 18 else 2.5)
    painter.restore()


def shape_pixmap(shape: StateShape, color: QColor, size: int, ratio: float, badge: QColor | None = None) -> QPixmap:
    """The same as a picture, on nothing: for the tray and for icons. ``size`` in logical pixels."""
    pixmap = QPixmap(round(size * ratio), round(size * ratio))
    pixmap.setDevicePixelRatio(ratio)
    pixmap.fill(Qt.GlobalColor.transparent)
    painter = QPainter(pixmap)
    paint_shape(painter, QRectF(0, 0, size, size), shape, color, badge=badge)
    painter.end()
    return pixmap


def _pen(color: QColor, width: float) -> QPen:
    return QPen(color, width, Qt.PenStyle.SolidLine, Qt.PenCapStyle.RoundCap, Qt.PenJoinStyle.RoundJoin)


def _disc() -> QPainterPath:
    path = QPainterPath()
    path.addEllipse(_CENTRE, _RADIUS, _RADIUS)
    return path


def _lines(*strokes: tuple[tuple[float, float], ...]) -> QPainterPath:
    path = QPainterPath()
    for first, *others in strokes:
        path.moveTo(*first)
        for point in others:
            path.lineTo(*point)
    return path


_CHECK = ((7.0, 12.4), (10.6, 16.0), (17.2, 8.6))
_CROSS = (((8.2, 8.2), (15.8, 15.8)), ((15.8, 8.2), (8.2, 15.8)))


def _cut(painter: QPainter, body: QPainterPath, mark: QPainterPath, color: QColor, ink: float) -> None:
    """Fill ``body`` but for ``mark``, so that the ground shows through whatever it is."""
    painter.setPen(Qt.PenStyle.NoPen)
    painter.setBrush(color)
    painter.drawPath(body.subtracted(_outline(mark, ink)))


def _outline(mark: QPainterPath, ink: float) -> QPainterPath:
    stroker = QPainterPathStroker(_pen(QColor(), ink))
    return stroker.createStroke(mark).simplified()


def _stroke(painter: QPainter, path: QPainterPath, color: QColor, ink: float) -> None:
    painter.setPen(_pen(color, ink))
    painter.setBrush(Qt.BrushStyle.NoBrush)
    painter.drawPath(path)


def _check_disc(painter: QPainter, color: QColor, _turn: float, ink: float) -> None:
    _cut(painter, _disc(), _lines(_CHECK), color, ink)


def _check_ring(painter: QPainter, color: QColor, _turn: float, ink: float) -> None:
    _ring(painter, color, 0.0, ink)
    _stroke(painter, _lines(_CHECK), color, ink)


def _link_disc(painter: QPainter, color: QColor, _turn: float, ink: float) -> None:
    # Two links of a chain, slanted: capsules that overlap in the middle.
    stroke = ink * 0.8
    mark = QPainterPath()
    for dx in (-3.0, 3.0):
        link = QPainterPath()
        link.addRoundedRect(QRectF(-4.3 + dx, -2.5, 8.6, 5.0), 2.5, 2.5)
        mark = mark.united(_outline(link, stroke))
    mark = _slanted(mark)
    painter.setPen(Qt.PenStyle.NoPen)
    painter.setBrush(color)
    painter.drawPath(_disc().subtracted(mark))


def _slanted(path: QPainterPath) -> QPainterPath:
    return QTransform().translate(12, 12).rotate(-45).map(path)


def _ring(painter: QPainter, color: QColor, _turn: float, ink: float) -> None:
    path = QPainterPath()
    path.addEllipse(_CENTRE, _RADIUS - ink / 2, _RADIUS - ink / 2)
    _stroke(painter, path, color, ink)


def _bar_ring(painter: QPainter, color: QColor, _turn: float, ink: float) -> None:
    _ring(painter, color, 0.0, ink)
    _stroke(painter, _lines(((7.5, 12.0), (16.5, 12.0))), color, ink)


def _arc(painter: QPainter, color: QColor, turn: float, ink: float) -> None:
    radius = _RADIUS - ink / 2
    rect = QRectF(12 - radius, 12 - radius, 2 * radius, 2 * radius)
    painter.setBrush(Qt.BrushStyle.NoBrush)
    painter.setPen(_pen(color, ink))
    painter.drawArc(rect, round((90 - 360 * turn) * 16), -270 * 16)


def _triangle_path() -> QPainterPath:
    # Rounded corners come from the pen that draws the outline together with the filling.
    path = QPainterPath()
    path.addPolygon(QPolygonF([QPointF(12, 3), QPointF(21.8, 20.4), QPointF(2.2, 20.4)]))
    path.closeSubpath()
    return path


def _triangle(painter: QPainter, color: QColor, _turn: float, ink: float) -> None:
    body = _triangle_path().united(_outline(_triangle_path(), 2.4))
    _cut(painter, body, _exclamation(13.2, 9.0, 17.2), color, ink * 0.9)


def _arc_triangle(painter: QPainter, color: QColor, turn: float, ink: float) -> None:
    _stroke(painter, _triangle_path(), color, ink * 0.85)
    centre = QPointF(12, 14.7)
    radius = 3.4
    start = radians(90 - 360 * turn)
    path = QPainterPath(QPointF(centre.x() + radius * cos(start), centre.y() - radius * sin(start)))
    rect = QRectF(centre.x() - radius, centre.y() - radius, 2 * radius, 2 * radius)
    path.arcTo(rect, 90 - 360 * turn, -270)
    _stroke(painter, path, color, ink * 0.75)


def _exclamation(end: float, start: float, dot: float) -> QPainterPath:
    # A dot is a line of no length in Qt's eyes, and drawn only if it has some.
    return _lines(((12.0, start), (12.0, end)), ((12.0, dot), (12.0, dot + 0.01)))


def _exclamation_disc(painter: QPainter, color: QColor, _turn: float, ink: float) -> None:
    _cut(painter, _disc(), _exclamation(12.6, 6.8, 17.0), color, ink)


def _cross_disc(painter: QPainter, color: QColor, _turn: float, ink: float) -> None:
    _cut(painter, _disc(), _lines(*_CROSS), color, ink)


def _shield_path() -> QPainterPath:
    path = QPainterPath(QPointF(12, 1.6))
    path.lineTo(20.6, 4.6)
    path.lineTo(20.6, 11.4)
    path.cubicTo(20.6, 16.8, 17.0, 20.6, 12, 22.6)
    path.cubicTo(7.0, 20.6, 3.4, 16.8, 3.4, 11.4)
    path.lineTo(3.4, 4.6)
    path.closeSubpath()
    return path


def _shield(painter: QPainter, color: QColor, _turn: float, ink: float) -> None:
    _cut(painter, _shield_path(), _exclamation(12.4, 7.4, 16.6), color, ink)


def _paint_badge(painter: QPainter, color: QColor) -> None:
    """Draw a small shield, and keep all that follows off it and off a gap around it."""
    shield = QTransform().translate(11.5, 11.5).scale(0.55, 0.55).map(_shield_path())
    painter.setPen(Qt.PenStyle.NoPen)
    painter.setBrush(color)
    painter.drawPath(shield)
    board = QPainterPath()
    board.addRect(0, 0, _BOARD, _BOARD)
    painter.setClipPath(board.subtracted(shield.united(_outline(shield, 2.4))))


_PAINTERS: dict[StateShape, Callable[[QPainter, QColor, float, float], None]] = {
    StateShape.CHECK_DISC: _check_disc,
    StateShape.CHECK_RING: _check_ring,
    StateShape.LINK_DISC: _link_disc,
    StateShape.RING: _ring,
    StateShape.BAR_RING: _bar_ring,
    StateShape.ARC: _arc,
    StateShape.TRIANGLE: _triangle,
    StateShape.ARC_TRIANGLE: _arc_triangle,
    StateShape.EXCLAMATION_DISC: _exclamation_disc,
    StateShape.CROSS_DISC: _cross_disc,
    StateShape.SHIELD: _shield,
}
