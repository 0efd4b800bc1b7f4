"""The downloads as a list: a model that changes only what has changed, and a delegate that paints the rows.

A row is one :class:`Transfer` as it was published; words come from ``phrases``, the bar from the style's own progress
bar control, fed with the same 0 to 1000 as every other bar.
"""

# ruff: noqa: N802 - Qt names the methods that it calls

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from PySide6.QtCore import (
    QAbstractListModel,
    QModelIndex,
    QObject,
    QPersistentModelIndex,
    QRect,
    QRectF,
    QSize,
    Qt,
)
from PySide6.QtGui import QFontMetrics, QPainter, QPainterPath
from PySide6.QtWidgets import (
    QAbstractItemView,
    QStyle,
    QStyledItemDelegate,
    QStyleOptionProgressBar,
    QStyleOptionViewItem,
)

from launcher.domain.transfer import Transfer
from launcher.ui.phrases import amount_words, pace_words, phase_phrase, told, transfer_words
from launcher.ui.runs import runs
from launcher.ui.theme import RADIUS_CARD, Role, TextKind, Theme
from launcher.ui.units import percent_text
from launcher.ui.widgets.progress import ThinProgressBar

TRANSFER_ROLE = Qt.ItemDataRole.UserRole
"""The :class:`Transfer` itself, for the delegate and for whoever acts on a row."""

Index = QModelIndex | QPersistentModelIndex
_ROOT = QModelIndex()


class TransfersTableModel(QAbstractListModel):
    """One row for each download, in the order of the queue."""

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._transfers: list[Transfer] = []

    def show_transfers(self, transfers: Sequence[Transfer]) -> None:
        """Bring the rows up to date: what is gone goes, what is new comes, and only changed rows are announced."""
        names = [transfer.model for transfer in transfers]
        known = set(names)
        if len(known) != len(names):
            self.beginResetModel()
            self._transfers = list(transfers)
            self.endResetModel()
            return
        for row in range(len(self._transfers) - 1, -1, -1):
            if self._transfers[row].model not in known:
                self.beginRemoveRows(_ROOT, row, row)
                del self._transfers[row]
                self.endRemoveRows()
        changed: list[int] = []
        for row, transfer in enumerate(transfers):
            if row < len(self._transfers) and self._transfers[row].model == transfer.model:
                if self._transfers[row] != transfer:
                    self._transfers[row] = transfer
                    changed.append(row)
                continue
            old = self.row_of(transfer.model)
            if old is None:
                self.beginInsertRows(_ROOT, row, row)
                self._transfers.insert(row, transfer)
                self.endInsertRows()
            else:
                self.beginMoveRows(_ROOT, old, old, _ROOT, row)
                del self._transfers[old]
                self._transfers.insert(row, transfer)
                self.endMoveRows()
                changed.append(row)
        for first, last in runs(changed):
            self.dataChanged.emit(self.index(first), self.index(last))

    def transfer_at(self, index: Index) -> Transfer | None:
        return self._transfers[index.row()] if index.isValid() else None

    def row_of(self, model: str) -> int | None:
        return next((row for row, each in enumerate(self._transfers) if each.model == model), None)

    def rowCount(self, parent: Index = _ROOT) -> int:
        return 0 if parent.isValid() else len(self._transfers)

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        if not index.isValid() or index.row() >= len(self._transfers):
            return None
        transfer = self._transfers[index.row()]
        match role:
            case Qt.ItemDataRole.UserRole:  # TRANSFER_ROLE
                return transfer
            case Qt.ItemDataRole.DisplayRole:
                return transfer.model
            case Qt.ItemDataRole.AccessibleTextRole:
                return ", ".join(_parts(transfer))
            case Qt.ItemDataRole.ToolTipRole:
                return "\n".join(filter(None, (told(transfer.error), told(transfer.hint)))) or None
        return None


def _parts(transfer: Transfer) -> list[str]:
    """What a row says, in the order in which it is read out."""
    part = percent_text(transfer.permille) if transfer.permille is not None else ""
    words = (transfer.model, transfer_words(transfer), part, amount_words(transfer), pace_words(transfer))
    return [each for each in words if each]


_SIDE = 14
_ABOVE = 9
_GAP = 5
_BAR_HEIGHT = 6
_BETWEEN = 12
_TONES = (Role.BUSY, Role.OK, Role.WARN, Role.BAD, Role.IDLE)


class TransferDelegate(QStyledItemDelegate):
    """Paints name and pace, the bar, and what is going on."""

    def __init__(self, theme: Theme, view: QAbstractItemView) -> None:
        super().__init__(view)
        self._theme = theme
        self._view = view
        # Never shown: the style looks up here how a bar of each tone is drawn.
        self._bars = {role: ThinProgressBar(view, height=_BAR_HEIGHT) for role in _TONES}
        for role, bar in self._bars.items():
            bar.hide()
            bar.show_permille(0, role)
            bar.ensurePolished()
        theme.changed.connect(self._on_theme_changed)
        self._on_theme_changed()

    def sizeHint(self, option: QStyleOptionViewItem, index: Index) -> QSize:
        return QSize(0, self._height)

    def paint(self, painter: QPainter, option: QStyleOptionViewItem, index: Index) -> None:
        transfer = index.data(TRANSFER_ROLE)
        if not isinstance(transfer, Transfer):
            return
        rect: QRect = option.rect
        state: QStyle.StateFlag = option.state
        direction: Qt.LayoutDirection = option.direction
        theme, phrase = self._theme, phase_phrase(transfer.phase)
        painter.save()
        painter.setClipPath(self._inside(rect))
        if state & QStyle.StateFlag.State_Selected:
            painter.fillRect(rect, theme.color(Role.SELECTION))
            if theme.high_contrast:
                painter.setPen(theme.color(Role.SELECTION_LINE))
                painter.drawRect(rect.adjusted(1, 1, -2, -2))
        elif state & QStyle.StateFlag.State_MouseOver:
            painter.fillRect(rect, theme.color(Role.HOVER))
        painter.fillRect(rect.left(), rect.bottom(), rect.width(), 1, theme.color(Role.LINE))

        inner = rect.adjusted(_SIDE, _ABOVE, -_SIDE, -_ABOVE)
        first = QRect(inner.left(), inner.top(), inner.width(), self._first.height())
        bar = QRect(inner.left(), first.bottom() + 1 + _GAP, inner.width(), _BAR_HEIGHT)
        second = QRect(inner.left(), bar.bottom() + 1 + _GAP, inner.width(), self._second.height())

        right = "   ".join(filter(None, (amount_words(transfer), pace_words(transfer).replace(" · ", "   "))))
        painter.setFont(theme.font(TextKind.BODY))
        painter.setPen(theme.color(Role.TEXT_SECOND))
        name_width = min(self._first.horizontalAdvance(transfer.model), first.width() * 2 // 5) + _BETWEEN
        left_width = self._write_right(painter, first, right, self._plain, direction, most=first.width() - name_width)
        painter.setFont(self._name_font)
        painter.setPen(theme.color(Role.TEXT))
        name = self._first.elidedText(transfer.model, Qt.TextElideMode.ElideMiddle, left_width)
        self._write_left(painter, first, name, direction)

        self._draw_bar(painter, bar, transfer.permille or 0, phrase.role, direction)

        painter.setFont(theme.font(TextKind.SECOND))
        part = percent_text(transfer.permille) if transfer.permille else ""
        painter.setPen(theme.color(Role.TEXT_SECOND))
        left_width = self._write_right(painter, second, part, self._second, direction, most=second.width() // 2)
        painter.setPen(theme.color(phrase.text_role))
        words = self._second.elidedText(transfer_words(transfer), Qt.TextElideMode.ElideRight, left_width)
        self._write_left(painter, second, words, direction)
        painter.restore()

    def _inside(self, rect: QRect) -> QPainterPath:
        """The row without what lies beyond the round corners of the list."""
        path = QPainterPath()
        path.addRect(QRectF(rect))
        frame = QRectF(self._view.viewport().rect())
        if rect.top() > RADIUS_CARD and rect.bottom() < frame.bottom() - RADIUS_CARD:
            return path
        corners = QPainterPath()
        corners.addRoundedRect(frame, RADIUS_CARD - 1, RADIUS_CARD - 1)
        return path.intersected(corners)

    def _draw_bar(
        self, painter: QPainter, rect: QRect, permille: int, role: Role, direction: Qt.LayoutDirection
    ) -> None:
        bar = self._bars[role]
        option: Any = QStyleOptionProgressBar()
        option.initFrom(bar)
        option.rect = rect
        option.direction = direction
        # Without it Qt 6 draws an upright bar.
        option.state = QStyle.StateFlag.State_Enabled | QStyle.StateFlag.State_Horizontal
        option.minimum, option.maximum, option.progress = 0, 1000, permille
        option.textVisible = False
        bar.style().drawControl(QStyle.ControlElement.CE_ProgressBar, option, painter, bar)

    def _write_right(
        self,
        painter: QPainter,
        rect: QRect,
        words: str,
        metrics: QFontMetrics,
        direction: Qt.LayoutDirection,
        *,
        most: int,
    ) -> int:
        """Write at the end of the line, at most ``most`` wide; return the width that is left before it."""
        if not words:
            return rect.width()
        shown = metrics.elidedText(words, Qt.TextElideMode.ElideRight, most)
        align = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
        painter.drawText(rect, int(QStyle.visualAlignment(direction, align)), shown)
        return rect.width() - metrics.horizontalAdvance(shown) - _BETWEEN

    def _write_left(self, painter: QPainter, rect: QRect, words: str, direction: Qt.LayoutDirection) -> None:
        align = Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter
        painter.drawText(rect, int(QStyle.visualAlignment(direction, align)), words)

    def _on_theme_changed(self) -> None:
        self._name_font = self._theme.font(TextKind.BODY)
        self._name_font.setWeight(self._theme.font(TextKind.CARD_TITLE).weight())
        self._first = QFontMetrics(self._name_font)
        self._plain = QFontMetrics(self._theme.font(TextKind.BODY))
        self._second = QFontMetrics(self._theme.font(TextKind.SECOND))
        self._height = 2 * _ABOVE + self._first.height() + 2 * _GAP + _BAR_HEIGHT + self._second.height() + 1
