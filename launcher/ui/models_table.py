"""The installed models as a table: a model that filters and sorts by true values, and a delegate that paints the rows.

A row is an :class:`InstalledModel` as it was published, with what is known of it in memory. What a filter and a sort
compare is made once for each row; rows come and go one run at a time, so that selection and scroll position survive.
Sorting and filtering are done here and not in a QSortFilterProxyModel, which asks Python for each comparison: 1,000
rows would take 40 ms.
"""

# ruff: noqa: N802 - Qt names the methods that it calls

from __future__ import annotations

import html
import re
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum, IntEnum
from typing import Any

from PySide6.QtCore import (
    QAbstractTableModel,
    QCoreApplication,
    QDateTime,
    QLocale,
    QModelIndex,
    QObject,
    QPersistentModelIndex,
    QRect,
    QSize,
    Qt,
)
from PySide6.QtGui import QFontMetrics, QPainter
from PySide6.QtWidgets import QAbstractItemView, QStyle, QStyledItemDelegate, QStyleOptionViewItem

from launcher.domain.models import InstalledModel, LoadedModel, Models
from launcher.ui.phrases import SEPARATOR
from launcher.ui.runs import runs
from launcher.ui.theme import Role, TextKind, Theme
from launcher.ui.units import count_text, size_text
from launcher.ui.widgets.pill import paint_pill, pill_size

ENTRY_ROLE = Qt.ItemDataRole.UserRole
"""The :class:`Entry` itself, for the delegate and for whoever acts on a row."""
SORT_ROLE = Qt.ItemDataRole.UserRole + 1
"""What the column is sorted by: bytes, seconds, not words."""

Index = QModelIndex | QPersistentModelIndex
_ROOT = QModelIndex()
_ARROWS = {False: "↑", True: "↓"}
"""By whether the order is a descending one."""
_EVERYTHING_CAN = "completion"
"""The capability that says nothing: nearly every model has it."""


class Column(IntEnum):
    NAME = 0
    SIZE = 1
    FAMILY = 2
    QUANTIZATION = 3
    CHANGED = 4
    STATE = 5


class Work(Enum):
    """What is being done to a model right now."""

    LOADING = "loading"
    UNLOADING = "unloading"
    DELETING = "deleting"


@dataclass(frozen=True, slots=True)
class Entry:
    """One model with what the table needs of it."""

    model: InstalledModel
    loaded: LoadedModel | None
    work: Work | None
    second: str
    """The second line."""
    found_by: str
    """Everything that the filter looks at, in lower case."""
    name_key: tuple[object, ...]
    """Sorts as people count: ``x:8b`` before ``x:14b``."""

    @property
    def name(self) -> str:
        return self.model.name


@dataclass(frozen=True, slots=True)
class Kinds:
    """A chip of the filter: its key, and whether a row belongs to it."""

    key: str
    fits: Callable[[Entry], bool]


def _can(capability: str) -> Callable[[Entry], bool]:
    return lambda entry: capability in (entry.model.capabilities or ())


KINDS: tuple[Kinds, ...] = (
    Kinds("all", lambda entry: True),
    Kinds("loaded", lambda entry: entry.loaded is not None),
    Kinds("tools", _can("tools")),
    Kinds("vision", _can("vision")),
    Kinds("thinking", _can("thinking")),
    Kinds("embedding", _can("embedding")),
)
_FITS = {kind.key: kind.fits for kind in KINDS}


def _tr(text: str) -> str:
    return QCoreApplication.translate("models-table", text)


def capability_words(model: InstalledModel) -> list[str]:
    """What it can do beyond writing text, in words."""
    known = {
        "tools": _tr("tools"),
        "vision": _tr("vision"),
        "thinking": _tr("thinking"),
        "embedding": _tr("embedding"),
        "insert": _tr("fills in"),
        "audio": _tr("audio"),
        "image": _tr("makes images"),
    }
    return [known.get(each, each) for each in model.capabilities or () if each != _EVERYTHING_CAN]


def second_line(model: InstalledModel) -> str:
    """``8.2B · context 40,960 · tools · thinking``; what is not known is left out."""
    parts = [model.parameter_size or ""]
    if model.context_length:
        parts.append(_tr("context {count}").format(count=count_text(model.context_length)))
    if model.remote_host:
        parts.append(_tr("runs on another computer"))
    return SEPARATOR.join(filter(None, (*parts, *capability_words(model))))


def model_size_text(model: InstalledModel) -> str:
    """``5.2 GB``; a model that runs elsewhere has no size here."""
    return _tr("cloud") if model.remote_host else size_text(model.size_bytes)


def when_text(when: datetime | None, *, long: bool = False) -> str:
    """The exact time, by the locale; empty when it is not known."""
    if when is None:
        return ""
    local = QDateTime.fromSecsSinceEpoch(int(when.timestamp()))
    return QLocale().toString(local, QLocale.FormatType.LongFormat if long else QLocale.FormatType.ShortFormat)


def ago_text(when: datetime | None, now_s: float) -> str:
    """``3 days ago``; ``now_s`` is seconds since the epoch. What lies in the future is now: clocks differ."""
    if when is None:
        return ""
    past_s = now_s - when.timestamp()
    for unit_s, one, many in (
        (31_557_600, _tr("1 year ago"), _tr("{count} years ago")),
        (2_629_800, _tr("1 month ago"), _tr("{count} months ago")),
        (604_800, _tr("1 week ago"), _tr("{count} weeks ago")),
        (86_400, _tr("1 day ago"), _tr("{count} days ago")),
        (3_600, _tr("1 hour ago"), _tr("{count} hours ago")),
        (60, _tr("1 min ago"), _tr("{count} min ago")),
    ):
        count = int(past_s // unit_s)
        if count >= 1:
            return one if count == 1 else many.format(count=count_text(count))
    return _tr("just now")


def work_words(work: Work) -> str:
    match work:
        case Work.LOADING:
            return _tr("Loading…")
        case Work.UNLOADING:
            return _tr("Unloading…")
        case Work.DELETING:
            return _tr("Deleting…")


def state_words(entry: Entry) -> tuple[str, Role]:
    """What the pill of a row says; empty where there is nothing to say."""
    if entry.work is not None:
        return work_words(entry.work), Role.BUSY
    return (_tr("Loaded"), Role.OK) if entry.loaded is not None else ("", Role.OK)


_DIGITS = re.compile(r"(\d+)")


def _name_key(name: str) -> tuple[object, ...]:
    # Odd places hold numbers, even ones text: what is compared is always of one kind.
    return tuple(int(part) if index % 2 else part for index, part in enumerate(_DIGITS.split(name.casefold())))


def _entry(model: InstalledModel, loaded: LoadedModel | None, work: Work | None) -> Entry:
    second = second_line(model)
    words = (model.name, model.family, model.quantization, model.parameter_size, second, *(model.capabilities or ()))
    found_by = "\n".join(filter(None, words)).casefold()
    return Entry(model, loaded, work, second, found_by, _name_key(model.name))


def _sort_value(entry: Entry, column: int) -> Any:
    model = entry.model
    match column:
        case Column.SIZE:
            return 0 if model.remote_host else model.size_bytes
        case Column.FAMILY:
            return (model.family or "").casefold()
        case Column.QUANTIZATION:
            return (model.quantization or "").casefold()
        case Column.CHANGED:
            return model.modified_at.timestamp() if model.modified_at is not None else 0.0
        case Column.STATE:
            return 0 if entry.loaded is None else 1
    return entry.name_key


class ModelsTableModel(QAbstractTableModel):
    """One row for each installed model that the filter lets through. ``now_s`` is seconds since the epoch."""

    def __init__(self, parent: QObject | None = None, *, now_s: Callable[[], float] = time.time) -> None:
        super().__init__(parent)
        self._now_s = now_s
        self._entries: dict[str, Entry] = {}
        self._works: dict[str, Work] = {}
        self._shown: list[Entry] = []
        self._rows: dict[str, int] = {}
        self._column: int = Column.CHANGED
        self._descending = True
        self._words: list[str] = []
        self._kind = KINDS[0].key
        self._titles = (
            _tr("Model"),
            _tr("Size"),
            _tr("Family"),
            _tr("Quant."),
            _tr("Changed"),
            _tr("State"),
        )

    @property
    def entries(self) -> tuple[Entry, ...]:
        """All models, in the order of the server, whether they are shown or not."""
        return tuple(self._entries.values())

    @property
    def oldest_words(self) -> str:
        """The longest that the column of ages has to say."""
        return _tr("{count} months ago").format(count=count_text(12))

    def longest_title(self, column: Column) -> str:
        """The title of a column when it is the one that is sorted by."""
        return f"{self._titles[column]} {_ARROWS[self._descending]}"

    def show_models(self, models: Models | None) -> None:
        """Bring the rows up to date; what is not known is not shown."""
        installed = models.installed if models is not None else None
        loaded = {each.name: each for each in (models.loaded or ())} if models is not None else {}
        entries: dict[str, Entry] = {}
        for model in installed or ():
            in_memory, work, old = loaded.get(model.name), self._works.get(model.name), self._entries.get(model.name)
            if old is not None and old.model == model and old.loaded == in_memory and old.work is work:
                entries[model.name] = old
            else:
                entries[model.name] = _entry(model, in_memory, work)
        self._entries = entries
        self._arrange()

    def show_work(self, name: str, work: Work | None) -> None:
        """Say what is being done to a model; None: nothing any more."""
        if work is None:
            self._works.pop(name, None)
        else:
            self._works[name] = work
        old = self._entries.get(name)
        if old is not None and old.work is not work:
            self._entries[name] = _entry(old.model, old.loaded, work)
            self._arrange()

    def show_only(self, words: str = "", kind: str = "all") -> None:
        """Let through what holds every one of ``words`` and is of ``kind``, a key of :data:`KINDS`."""
        self._words = words.casefold().split()
        self._kind = kind
        self._arrange()

    def show_time(self) -> None:
        """Bring the words of what passes by itself up to now."""
        if self._shown:
            self.dataChanged.emit(
                self.index(0, Column.CHANGED),
                self.index(len(self._shown) - 1, Column.CHANGED),
                [Qt.ItemDataRole.DisplayRole],
            )

    def entry_at(self, index: Index) -> Entry | None:
        return self._shown[index.row()] if index.isValid() and index.row() < len(self._shown) else None

    def entries_at(self, rows: Iterable[int]) -> tuple[Entry, ...]:
        return tuple(self._shown[row] for row in rows if row < len(self._shown))

    def row_of(self, name: str) -> int | None:
        """The row of a model; None where it is not shown."""
        return self._rows.get(name)

    def rowCount(self, parent: Index = _ROOT) -> int:
        return 0 if parent.isValid() else len(self._shown)

    def columnCount(self, parent: Index = _ROOT) -> int:
        return 0 if parent.isValid() else len(Column)

    def sort(self, column: int, order: Qt.SortOrder = Qt.SortOrder.AscendingOrder) -> None:
        """Sort by true values; -1, which the header says for "unsorted", keeps the order."""
        if column < 0:
            return
        self._column, self._descending = column, order is Qt.SortOrder.DescendingOrder
        self._arrange()
        self.headerDataChanged.emit(Qt.Orientation.Horizontal, 0, len(Column) - 1)

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        entry = self.entry_at(index)
        if entry is None:
            return None
        match role:
            case Qt.ItemDataRole.UserRole:  # ENTRY_ROLE
                return entry
            case Qt.ItemDataRole.DisplayRole:
                return self._words_of(entry, index.column())
            case Qt.ItemDataRole.TextAlignmentRole:
                side = Qt.AlignmentFlag.AlignRight if index.column() == Column.SIZE else Qt.AlignmentFlag.AlignLeft
                return side | Qt.AlignmentFlag.AlignVCenter
            case Qt.ItemDataRole.ToolTipRole:
                return self._tooltip(entry, index.column())
            case Qt.ItemDataRole.AccessibleTextRole:
                words = self._words_of(entry, index.column())
                if index.column() != Column.NAME:
                    # A screen reader that comes upon an empty cell would not say that it is there.
                    return words or _tr("nothing")
                return ", ".join(filter(None, (words, entry.second, state_words(entry)[0])))
        if role == SORT_ROLE:
            return _sort_value(entry, index.column()) if index.column() != Column.NAME else entry.name.casefold()
        return None

    def headerData(self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        if orientation is not Qt.Orientation.Horizontal or not 0 <= section < len(Column):
            return None
        if role == Qt.ItemDataRole.DisplayRole:
            title = "" if section == Column.STATE else self._titles[section]
            # In the words: the style's arrow stands at the far end of a column, whose title begins at the near one.
            return f"{title} {_ARROWS[self._descending]}".strip() if section == self._column else title
        if role == Qt.ItemDataRole.AccessibleTextRole:
            title = self._titles[section]
            if section != self._column:
                return title
            words = _tr("{title}, descending") if self._descending else _tr("{title}, ascending")
            return words.format(title=title)
        if role == Qt.ItemDataRole.TextAlignmentRole:
            side = Qt.AlignmentFlag.AlignRight if section == Column.SIZE else Qt.AlignmentFlag.AlignLeft
            return side | Qt.AlignmentFlag.AlignVCenter
        return None

    def _words_of(self, entry: Entry, column: int) -> str:
        model = entry.model
        match column:
            case Column.NAME:
                return model.name
            case Column.SIZE:
                return model_size_text(model)
            case Column.FAMILY:
                return model.family or ""
            case Column.QUANTIZATION:
                return model.quantization or ""
            case Column.CHANGED:
                return ago_text(model.modified_at, self._now_s())
        return state_words(entry)[0]

    def _tooltip(self, entry: Entry, column: int) -> str | None:
        match column:
            case Column.NAME:
                words = "\n".join(filter(None, (entry.name, entry.second)))
            case Column.SIZE if not entry.model.remote_host:
                words = _tr("{count} bytes").format(count=count_text(entry.model.size_bytes))
            case Column.CHANGED:
                words = when_text(entry.model.modified_at, long=True)
            case _:
                words = self._words_of(entry, column)
        # As Qt takes what looks like mark-up for it, names are marked as what they are: text.
        return f"<p style='white-space:pre'>{html.escape(words)}</p>" if words else None

    def _arrange(self) -> None:
        """Turn what is shown into what should be, one run of rows at a time."""
        fits, words = _FITS[self._kind], self._words
        wanted = [
            entry for entry in self._entries.values() if fits(entry) and all(word in entry.found_by for word in words)
        ]
        wanted.sort(key=lambda entry: entry.name_key)
        if self._column != Column.NAME:
            wanted.sort(key=lambda entry: _sort_value(entry, self._column), reverse=self._descending)
        elif self._descending:
            wanted.reverse()
        names = {entry.name for entry in wanted}
        for first, last in reversed(runs(row for row, entry in enumerate(self._shown) if entry.name not in names)):
            self.beginRemoveRows(_ROOT, first, last)
            del self._shown[first : last + 1]
            self.endRemoveRows()
        kept = {entry.name: entry for entry in self._shown}
        self._reorder([kept[entry.name] for entry in wanted if entry.name in kept])
        for first, last in runs(row for row, entry in enumerate(wanted) if entry.name not in kept):
            self.beginInsertRows(_ROOT, first, last)
            self._shown[first:first] = wanted[first : last + 1]
            self.endInsertRows()
        changed = [row for row, entry in enumerate(wanted) if self._shown[row] is not entry]
        self._shown = wanted
        self._rows = {entry.name: row for row, entry in enumerate(wanted)}
        for first, last in runs(changed):
            self.dataChanged.emit(self.index(first, 0), self.index(last, len(Column) - 1))

    def _reorder(self, order: list[Entry]) -> None:
        if order == self._shown:
            return
        self.layoutAboutToBeChanged.emit()
        places = {entry.name: row for row, entry in enumerate(order)}
        before = self.persistentIndexList()
        after = [self.createIndex(places[self._shown[old.row()].name], old.column()) for old in before]
        self._shown = order
        self.changePersistentIndexList(before, after)
        self.layoutChanged.emit()


_SIDE = 10
_ABOVE = 9
_GAP = 3


class ModelDelegate(QStyledItemDelegate):
    """Paints the name with its second line, the other columns in one line, and the pill."""

    def __init__(self, theme: Theme, view: QAbstractItemView) -> None:
        super().__init__(view)
        self._theme = theme
        theme.changed.connect(self._on_theme_changed)
        self._on_theme_changed()

    @property
    def row_height(self) -> int:
        return self._height

    def width_for(self, texts: Sequence[str]) -> int:
        """The width that a column needs for the longest of ``texts``."""
        return max(self._plain.horizontalAdvance(text) for text in texts) + 2 * _SIDE

    def pill_width_for(self, texts: Sequence[str]) -> int:
        return max(pill_size(self._small, text).width() for text in texts) + 2 * _SIDE

    def sizeHint(self, option: QStyleOptionViewItem, index: Index) -> QSize:
        return QSize(0, self._height)

    def paint(self, painter: QPainter, option: QStyleOptionViewItem, index: Index) -> None:
        entry = index.data(ENTRY_ROLE)
        if not isinstance(entry, Entry):
            return
        rect: QRect = option.rect
        state: QStyle.StateFlag = option.state
        direction: Qt.LayoutDirection = option.direction
        column, theme = index.column(), self._theme
        painter.save()
        painter.setClipRect(rect)
        self._paint_ground(painter, rect, state, first=column == Column.NAME)
        inner = rect.adjusted(_SIDE, 0, -_SIDE, 0)
        if column == Column.NAME:
            top = rect.top() + _ABOVE
            upper = QRect(inner.left(), top, inner.width(), self._strong.height())
            lower = QRect(inner.left(), upper.bottom() + 1 + _GAP, inner.width(), self._small.height())
            painter.setFont(self._name_font)
            painter.setPen(theme.color(Role.TEXT))
            name = self._strong.elidedText(entry.name, Qt.TextElideMode.ElideMiddle, inner.width())
            _write(painter, upper, name, direction)
            painter.setFont(self._small_font)
            painter.setPen(theme.color(Role.TEXT_SECOND))
            second = self._small.elidedText(entry.second, Qt.TextElideMode.ElideRight, inner.width())
            _write(painter, lower, second, direction)
        elif column == Column.STATE:
            words, role = state_words(entry)
            if words:
                place = QStyle.alignedRect(
                    direction,
                    Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter,
                    pill_size(self._small, words),
                    inner,
                )
                framed = bool(state & QStyle.StateFlag.State_Selected)
                paint_pill(painter, place, words, theme, role, framed=framed)
        else:
            painter.setFont(self._plain_font)
            painter.setPen(theme.color(Role.TEXT if column == Column.SIZE else Role.TEXT_SECOND))
            words = self._plain.elidedText(index.data() or "", Qt.TextElideMode.ElideRight, inner.width())
            _write(painter, inner, words, direction, at_end=column == Column.SIZE)
        painter.restore()

    def _paint_ground(self, painter: QPainter, rect: QRect, state: QStyle.StateFlag, *, first: bool) -> None:
        theme = self._theme
        if state & QStyle.StateFlag.State_Selected:
            painter.fillRect(rect, theme.color(Role.SELECTION))
        elif state & QStyle.StateFlag.State_MouseOver:
            painter.fillRect(rect, theme.color(Role.HOVER))
        painter.fillRect(rect.left(), rect.bottom(), rect.width(), 1, theme.color(Role.LINE))
        if first and (state & QStyle.StateFlag.State_HasFocus):
            painter.fillRect(rect.left(), rect.top(), 3, rect.height(), theme.color(Role.ACCENT))
        if theme.high_contrast and state & QStyle.StateFlag.State_Selected:
            line = theme.color(Role.SELECTION_LINE)
            painter.fillRect(rect.left(), rect.top(), rect.width(), 2, line)
            painter.fillRect(rect.left(), rect.bottom() - 1, rect.width(), 2, line)

    def _on_theme_changed(self) -> None:
        theme = self._theme
        self._name_font = theme.font(TextKind.BODY)
        self._name_font.setWeight(theme.font(TextKind.CARD_TITLE).weight())
        self._plain_font = theme.font(TextKind.BODY)
        self._small_font = theme.font(TextKind.SECOND)
        self._strong = QFontMetrics(self._name_font)
        self._plain = QFontMetrics(self._plain_font)
        self._small = QFontMetrics(self._small_font)
        self._height = 2 * _ABOVE + self._strong.height() + _GAP + self._small.height() + 1


def _write(painter: QPainter, rect: QRect, words: str, direction: Qt.LayoutDirection, *, at_end: bool = False) -> None:
    side = Qt.AlignmentFlag.AlignRight if at_end else Qt.AlignmentFlag.AlignLeft
    align = QStyle.visualAlignment(direction, side | Qt.AlignmentFlag.AlignVCenter)
    painter.drawText(rect, int(align), words)
