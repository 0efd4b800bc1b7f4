"""The window's frame: side bar, the pages, messages above them and the truth line below.

It knows the order of pages and nothing of what is on them. Closing is only wished for: who owns the window decides
whether it hides, quits or stays.
"""

# ruff: noqa: N802 - Qt names the methods that it calls

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

from PySide6.QtCore import QEvent, Qt, Signal
from PySide6.QtGui import QCloseEvent, QIcon, QKeySequence, QResizeEvent, QShortcut
from PySide6.QtWidgets import QHBoxLayout, QStackedWidget, QVBoxLayout, QWidget

from launcher.paths import resource
from launcher.ui.store import Store
from launcher.ui.theme import Theme
from launcher.ui.widgets.footer import Footer
from launcher.ui.widgets.side_bar import SideBar

if TYPE_CHECKING:
    from launcher.ui.widgets.message_bar import MessageBar

PAGE_ORDER = ("server", "models", "discover", "downloads", "chat", "connect", "log", "settings")
"""From top to foot; the last stands at the foot."""

ICONS_ONLY_BELOW = 760
_MINIMUM = (520, 400)
_FIRST_SIZE = (1040, 700)


class MainWindow(QWidget):
    """Pages are added by key. A page given as a function is built when it is first shown."""

    closing = Signal()
    """The person closed the window; it is still there."""
    quit_requested = Signal()
    """The person wishes to end the program, by Ctrl+Q."""
    page_changed = Signal(str)

    def __init__(self, store: Store, theme: Theme, *, demo: bool = False, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._store = store
        self._theme = theme
        self._pages: dict[str, QWidget | Callable[[], QWidget]] = {}
        self._page = ""
        self._by_keyboard = False
        """Somebody has gone through the window by Tab."""
        self.setObjectName("main-window")
        title = self.tr("Ollama Launcher")
        self.setWindowTitle(self.tr("{title} – simulated").format(title=title) if demo else title)
        self.setMinimumSize(*_MINIMUM)
        self.resize(*_FIRST_SIZE)

        self.side_bar = SideBar(theme)
        self._message_bar: MessageBar | None = None
        self.footer = Footer(store, theme)
        self._stack = QStackedWidget()
        self._stack.setObjectName("pages")
        self._right = QVBoxLayout()
        self._right.setContentsMargins(0, 0, 0, 0)
        self._right.setSpacing(0)
        self._right.addWidget(self._stack, 1)
        upper = QHBoxLayout()
        upper.setSpacing(0)
        upper.addWidget(self.side_bar)
        upper.addLayout(self._right, 1)
        outer = QVBoxLayout(self)
        outer.setContentsMargins(0, 0, 0, 0)
        outer.setSpacing(0)
        outer.addLayout(upper, 1)
        outer.addWidget(self.footer)

        for number in range(1, len(PAGE_ORDER) + 1):
            shortcut = QShortcut(QKeySequence(f"Ctrl+{number}"), self)
            shortcut.activated.connect(lambda index=number - 1: self._show_index(index))
        if sys.platform != "darwin":  # there the menu of the program has it
            QShortcut(QKeySequence("Ctrl+Q"), self).activated.connect(self.quit_requested)
        self.side_bar.page_requested.connect(self.show_page)
        self.footer.page_requested.connect(self.show_page)
        store.transfers_changed.connect(self._on_transfers_changed)
        # The first Tab comes from here: nothing wears the frame of the keyboard before somebody uses it.
        self.setFocus()

    @property
    def page(self) -> str:
        """The key of the page that is shown; empty while there is none."""
        return self._page

    @property
    def message_bar(self) -> MessageBar:
        """Where failures and news are told; built with the first of them."""
        if self._message_bar is None:
            # Not imported before the first paint, which most starts reach with nothing to say.
            from launcher.ui.widgets.message_bar import MessageBar

            self._message_bar = MessageBar(self._theme)
            self._right.insertWidget(0, self._message_bar)
        return self._message_bar

    def add_page(self, key: str, title: str, icon: str, page: QWidget | Callable[[], QWidget]) -> None:
        """Add a page and its entry; the first one added is shown. ``icon`` names a file of resources/icons."""
        place = PAGE_ORDER.index(key)
        self._pages[key] = page
        self.side_bar.add_entry(key, title, icon, place=place, foot=key == PAGE_ORDER[-1])
        if key == "downloads":
            self._on_transfers_changed()
        if not self._page:
            self.show_page(key)

    def show_page(self, key: str) -> None:
        """Show a page; a key without a page is ignored, as what speaks of it cannot know which exist.

        The focus goes to what the page has as its focus proxy, where that can be seen; who is in the side bar or in
        the footer stays there.
        """
        if key not in self._pages or key == self._page:
            return
        page = self.page_widget(key)
        self._page = key
        before = self.focusWidget()
        goes_along = before is None or before is self or self._stack.isAncestorOf(before)
        if goes_along and before is not None:
            # Else the stack takes whatever comes first by Tab, before we choose.
            before.clearFocus()
        self._stack.setCurrentWidget(page)
        self.side_bar.show_current(key)
        self.page_changed.emit(key)
        if goes_along:
            first = page.focusProxy()
            usable = first is not None and first.isVisibleTo(self) and first.isEnabled()
            (first if first is not None and usable else self).setFocus(Qt.FocusReason.OtherFocusReason)

    def page_widget(self, key: str) -> QWidget:
        """The page itself, built now if nobody has looked at it yet."""
        page = self._pages[key]
        if not isinstance(page, QWidget):
            page = self._pages[key] = page()
        if self._stack.indexOf(page) < 0:
            self._stack.addWidget(page)
        return page

    def show_icon(self) -> None:
        """Give the window its icon. After the first paint: it is drawn from an SVG."""
        self.setWindowIcon(QIcon(str(resource("icons/app.svg"))))

    def closeEvent(self, event: QCloseEvent) -> None:
        event.ignore()
        self.closing.emit()

    def resizeEvent(self, event: QResizeEvent) -> None:
        self.side_bar.show_icons_only(event.size().width() < ICONS_ONLY_BELOW)
        super().resizeEvent(event)

    def changeEvent(self, event: QEvent) -> None:
        if event.type() == QEvent.Type.ApplicationFontChange:
            self._theme.refresh()
        super().changeEvent(event)

    def focusNextPrevChild(self, forward: bool) -> bool:
        """Go round as people read: side bar, message, page, footer, whatever was built when.

        What has the focus and goes away hands it to its neighbour; Qt asks for that here, too. Nobody who has only the
        mouse is shown a frame for that: the window has it then.
        """
        now = self.focusWidget()
        parts = self._stops(now)
        order = [each for part in parts for each in part]
        if now in order and not (now.isVisibleTo(self) and now.isEnabled()):
            part = next(part for part in parts if now in part)
            place = part.index(now)
            part.remove(now)
            if not self._by_keyboard:
                self.setFocus(Qt.FocusReason.OtherFocusReason)
                return True
            if part:
                part[min(place, len(part) - 1)].setFocus(Qt.FocusReason.OtherFocusReason)
                return True
            order.remove(now)
        if not order:
            return False
        self._by_keyboard = True
        index = order.index(now) if now in order else -1 if forward else 0
        reason = Qt.FocusReason.TabFocusReason if forward else Qt.FocusReason.BacktabFocusReason
        order[(index + (1 if forward else -1)) % len(order)].setFocus(reason)
        return True

    def _stops(self, now: QWidget | None) -> list[list[QWidget]]:
        """What takes the keyboard, by the parts of the window; ``now`` is among it even where it is going away."""
        places: list[QWidget] = [self.side_bar, self._stack, self.footer]
        if self._message_bar is not None:
            places.insert(1, self._message_bar)
        parts: list[list[QWidget]] = [[] for _ in places]
        widget = self.nextInFocusChain()
        while widget is not None and widget is not self:
            usable = widget.focusPolicy() & Qt.FocusPolicy.TabFocus and widget.isEnabled() and widget.isVisibleTo(self)
            if (usable or widget is now) and widget.focusProxy() is None:
                place = next((i for i, each in enumerate(places) if each.isAncestorOf(widget)), None)
                if place is not None:
                    parts[place].append(widget)
            widget = widget.nextInFocusChain()
        return parts

    def _show_index(self, index: int) -> None:
        keys = self.side_bar.keys
        if index < len(keys):
            self.show_page(keys[index])

    def _on_transfers_changed(self) -> None:
        if "downloads" in self._pages:
            count = sum(1 for transfer in self._store.transfers if transfer.phase.going_on)
            self.side_bar.show_count("downloads", count)
