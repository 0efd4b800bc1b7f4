"""A pill: one or two words about a row on a tinted ground, painted in lists and as a widget.

Its ground is a shade of its colour, so that the words keep their contrast in light and dark; in high contrast it is a
frame. Where it lies on what is selected it has both: the two grounds are too much alike.
"""

# ruff: noqa: N802 - Qt names the methods that it calls

from __future__ import annotations

from PySide6.QtCore import QRect, QRectF, QSize, Qt
from PySide6.QtGui import QColor, QFontMetrics, QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import QSizePolicy, QWidget

from launcher.ui.theme import Role, TextKind, Theme

_SIDE = 10
_ABOVE = 3
_TINT = 0.12


def pill_size(metrics: QFontMetrics, words: str) -> QSize:
    """The room that a pill with ``words`` takes; ``metrics`` are those of the small type."""
    return QSize(metrics.horizontalAdvance(words) + 2 * _SIDE, metrics.height() + 2 * _ABOVE)


def pill_ground(theme: Theme, role: Role) -> QColor:
    """The colour of ``role``, thinned with that of the card."""
    color, card = theme.color(role), theme.color(Role.CARD)
    parts = (
        round(getattr(card, part)() * (1 - _TINT) + getattr(color, part)() * _TINT) for part in ("red", "green", "blue")
    )
    return QColor(*parts)


def paint_pill(painter: QPainter, rect: QRect, words: str, theme: Theme, role: Role, *, framed: bool = False) -> None:
    """Paint ``words`` in a pill that fills ``rect``, in the small type; ``framed`` where it lies on a tinted ground."""
    painter.save()
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    frame = QRectF(rect).adjusted(0.5, 0.5, -0.5, -0.5)
    framed = framed or theme.high_contrast
    painter.setPen(QPen(theme.color(role), 1) if framed else Qt.PenStyle.NoPen)
    painter.setBrush(Qt.BrushStyle.NoBrush if theme.high_contrast else pill_ground(theme, role))
    painter.drawRoundedRect(frame, frame.height() / 2, frame.height() / 2)
    painter.setFont(theme.font(TextKind.SECOND))
    painter.setPen(theme.color(role))
    painter.drawText(rect, int(Qt.AlignmentFlag.AlignCenter), words)
    painter.restore()


class Pill(QWidget):
    """Hidden while it has nothing to say. What it says is its accessible name, too."""

    def __init__(self, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._theme = theme
        self._words = ""
        self._role = Role.OK
        self.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Fixed)
        theme.changed.connect(self._on_theme_changed)
        self.hide()

    @property
    def words(self) -> str:
        return self._words

    def show_words(self, words: str, role: Role = Role.OK) -> None:
        self._words, self._role = words, role
        self.setAccessibleName(words)
        self.setVisible(bool(words))
        self.updateGeometry()
        self.update()

    def sizeHint(self) -> QSize:
        return pill_size(QFontMetrics(self._theme.font(TextKind.SECOND)), self._words)

    def paintEvent(self, event: QPaintEvent) -> None:
        paint_pill(QPainter(self), self.rect(), self._words, self._theme, self._role)

    def _on_theme_changed(self) -> None:
        self.updateGeometry()
        self.update()
