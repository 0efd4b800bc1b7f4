"""The side bar: one entry for each page that exists, settings at the foot, icons only where there is little room."""

from __future__ import annotations

from itertools import pairwise

from PySide6.QtCore import QSize, Qt, Signal
from PySide6.QtWidgets import QButtonGroup, QFrame, QPushButton, QVBoxLayout, QWidget

from launcher.ui.theme import Role, Theme
from launcher.ui.units import count_text

_WIDE = 188
_NARROW = 56


class _Entry(QPushButton):
    def __init__(self, key: str, title: str, icon: str, place: int) -> None:
        super().__init__()
        self.key, self.title, self.icon_name, self.place = key, title, icon, place
        self.count = 0
        self.setCheckable(True)
        self.setIconSize(QSize(20, 20))
        self.setObjectName(f"{key}-page-button")
        self.setCursor(Qt.CursorShape.PointingHandCursor)
        # A click takes no focus: its frame is for those who came by keyboard.
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)


class SideBar(QFrame):
    """Emits :attr:`page_requested` with the key of the entry that was chosen."""

    page_requested = Signal(str)

    def __init__(self, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("side-bar")
        self.setAccessibleName(self.tr("Pages"))
        self._theme = theme
        self._icons_only = False
        self._entries: list[_Entry] = []
        self._group = QButtonGroup(self)
        self._layout = QVBoxLayout(self)
        self._layout.setContentsMargins(10, 12, 10, 12)
        self._layout.setSpacing(2)
        self._layout.addStretch(1)
        self.setFixedWidth(_WIDE)
        theme.changed.connect(self._on_theme_changed)

    @property
    def keys(self) -> list[str]:
        """The pages from top to foot: Ctrl+1 is the first."""
        return [entry.key for entry in self._entries]

    def add_entry(self, key: str, title: str, icon: str, *, place: int, foot: bool = False) -> None:
        """Add an entry. ``place`` orders the entries, whichever is added first."""
        entry = _Entry(key, title, icon, place)
        entry.clicked.connect(lambda: self.page_requested.emit(key))
        index = sum(1 for other in self._entries if other.place < place)
        self._layout.insertWidget(index + 1 if foot else index, entry)
        self._entries.insert(index, entry)
        self._group.addButton(entry)
        self._show_entry(entry)
        self._fit()
        for number, each in enumerate(self._entries, start=1):
            each.setAccessibleDescription(self.tr("Ctrl+{number}").format(number=number) if number < 9 else "")
        for before, after in pairwise((self, *self._entries)):
            QWidget.setTabOrder(before, after)

    def show_current(self, key: str) -> None:
        self._entry(key).setChecked(True)
        # Tab comes to the page that is shown, arrows go on from there.
        for entry in self._entries:
            entry.setFocusPolicy(Qt.FocusPolicy.TabFocus if entry.isChecked() else Qt.FocusPolicy.NoFocus)

    def show_count(self, key: str, count: int) -> None:
        """Show how many things go on in a page; 0 shows nothing."""
        entry = self._entry(key)
        if entry.count != count:
            entry.count = count
            self._show_entry(entry)
            self._fit()

    def show_icons_only(self, icons_only: bool) -> None:
        if icons_only == self._icons_only:
            return
        self._icons_only = icons_only
        for entry in self._entries:
            self._show_entry(entry)
        self._fit()

    def _entry(self, key: str) -> _Entry:
        return next(entry for entry in self._entries if entry.key == key)

    def _show_entry(self, entry: _Entry) -> None:
        words = f"{entry.title}   {count_text(entry.count)}" if entry.count else entry.title
        entry.setText("" if self._icons_only else "  " + words)
        entry.setToolTip(words if self._icons_only else "")
        entry.setAccessibleName(words)
        entry.setIcon(self._theme.icon(entry.icon_name, Role.TEXT_SECOND, Role.ACCENT))

    def _fit(self) -> None:
        # Long words and big type get their room.
        margins = self._layout.contentsMargins()
        widest = max((entry.sizeHint().width() for entry in self._entries), default=0)
        needed = margins.left() + widest + margins.right()
        self.setFixedWidth(_NARROW if self._icons_only else max(_WIDE, needed))

    def _on_theme_changed(self) -> None:
        for entry in self._entries:
            self._show_entry(entry)
        self._fit()
