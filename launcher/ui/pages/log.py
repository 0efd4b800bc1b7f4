"""What the server writes: followed, filtered, copied.

Lines come in through :meth:`LogPage.append`, already masked; nothing here reads a file. They are kept up to a bound
and put on screen in batches, at most 30 times a second and only while somebody looks.
"""

# ruff: noqa: N802 - Qt names the methods that it calls

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from itertools import islice

from PySide6.QtCore import Qt, QTimer, Signal
from PySide6.QtGui import (
    QFontDatabase,
    QGuiApplication,
    QHideEvent,
    QKeySequence,
    QShortcut,
    QShowEvent,
    QSyntaxHighlighter,
    QTextCharFormat,
    QTextDocument,
)
from PySide6.QtWidgets import (
    QCheckBox,
    QHBoxLayout,
    QLineEdit,
    QPlainTextEdit,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from launcher.domain.server import ANSWERING, Owner
from launcher.ui.pace import Pace
from launcher.ui.store import Store
from launcher.ui.theme import Role, TextKind, Theme
from launcher.ui.units import count_text
from launcher.ui.widgets.card import kind_label
from launcher.ui.widgets.clear_button import add_clear_button
from launcher.ui.widgets.empty_state import EmptyState
from launcher.ui.widgets.tab_order import order_tabs

MOST_LINES = 20_000

_BATCH = 1_000
"""Lines put on screen within one frame: what comes at once when the page is opened is spread over several."""
_FILTER_AFTER_MS = 120
_BESIDE_ICON = " "
"""The style leaves 4 px between the icon of a button and its words, whatever their size."""

_LEVEL_WITHIN = 80
"""Where the level stands: right behind the time (log/slog's text form, seen on 0.33.0-rc2)."""

# What would be drawn as a box, or move the cursor of a terminal.
_UNSEEN = dict.fromkeys((*range(0x09), *range(0x0A, 0x20), 0x7F))


class _Levels(QSyntaxHighlighter):
    """Colours lines that warn or tell of an error, by the level that the server writes (``level=WARN``)."""

    def __init__(self, theme: Theme, document: QTextDocument) -> None:
        super().__init__(document)
        self._theme = theme
        self._formats: dict[str, QTextCharFormat] = {}

    def show_theme(self) -> None:
        for level, role in (("WARN", Role.WARN), ("ERROR", Role.BAD)):
            self._formats[level] = QTextCharFormat()
            self._formats[level].setForeground(self._theme.color(role))

    def highlightBlock(self, text: str) -> None:
        place = text.find("level=", 0, _LEVEL_WITHIN)
        if place < 0:
            return
        level = text[place + 6 : place + 11]
        shown = self._formats.get(level) or self._formats.get(level[:4])
        if shown is not None:
            self.setFormat(0, len(text), shown)


class LogPage(QWidget):
    """One page, built when it is first shown; lines may come before that and while it is hidden."""

    open_folder_requested = Signal()
    page_requested = Signal(str)

    def __init__(self, store: Store, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("log-page")
        self.setAccessibleName(self.tr("Log"))
        self._store = store
        self._theme = theme
        self._lines: deque[str] = deque(maxlen=MOST_LINES)
        self._waiting: deque[str] = deque(maxlen=MOST_LINES)
        """Lines that match and are not on screen yet."""
        self._shown_count = 0
        self._needle = ""
        self._writing = False

        title = kind_label(self.tr("Log"), TextKind.PAGE_TITLE)
        self._count = kind_label("", TextKind.SECOND)
        self._count.setObjectName("log-count")
        self._count.setProperty("kind", "small")
        self.filter_field = QLineEdit()
        self.filter_field.setObjectName("log-filter-field")
        self.filter_field.setAccessibleName(self.tr("Show only lines with this text"))
        self.filter_field.setPlaceholderText(self.tr("Filter"))
        add_clear_button(self.filter_field)
        self.follow_box = QCheckBox(self.tr("Follow"))
        self.follow_box.setObjectName("log-follow-box")
        self.follow_box.setAccessibleName(self.tr("Keep the newest line in view"))
        self.follow_box.setToolTip(self.follow_box.accessibleName())
        self.follow_box.setChecked(True)
        self.copy_button = self._button("log-copy-button", self.tr("Copy all"))
        self._folder_button = self._button("log-folder-button", self.tr("Open folder"))

        head = QHBoxLayout()
        head.setSpacing(8)
        head.addWidget(title)
        head.addStretch(1)
        head.addWidget(self.copy_button)
        head.addWidget(self._folder_button)
        tools = QHBoxLayout()
        tools.setSpacing(16)
        tools.addWidget(self.filter_field, 1)
        tools.addWidget(self._count)
        tools.addWidget(self.follow_box)

        self.text = QPlainTextEdit()
        self.text.setObjectName("log-text")
        self.text.setAccessibleName(self.tr("Output of the server"))
        self.text.setReadOnly(True)
        self.text.setUndoRedoEnabled(False)
        self.text.setMaximumBlockCount(MOST_LINES)
        self.text.setLineWrapMode(QPlainTextEdit.LineWrapMode.NoWrap)
        # Else the style draws a framed square between the two scroll bars.
        self.text.setCornerWidget(QWidget())
        self.text.setTextInteractionFlags(
            Qt.TextInteractionFlag.TextSelectableByMouse | Qt.TextInteractionFlag.TextSelectableByKeyboard
        )
        self.text.document().setDocumentMargin(10)
        self._levels = _Levels(theme, self.text.document())
        self._empty = EmptyState("")
        self._to_server = self._empty.add_button(self.tr("Go to the server"), "log-to-server-button")
        self._to_server.clicked.connect(lambda: self.page_requested.emit("server"))
        self._clear = self._empty.add_button(self.tr("Show all lines"), "log-clear-filter-button")
        self._clear.clicked.connect(self.filter_field.clear)

        column = QVBoxLayout(self)
        column.setContentsMargins(24, 20, 24, 24)
        column.setSpacing(12)
        column.addLayout(head)
        column.addLayout(tools)
        column.addWidget(self._empty, 1)
        column.addWidget(self.text, 1)

        self._pace = Pace(self._draw, self)
        self._filtering = QTimer(self, interval=_FILTER_AFTER_MS, singleShot=True)
        self._filtering.timeout.connect(self._on_filter_settled)
        self.filter_field.textChanged.connect(lambda: self._filtering.start())
        self.filter_field.returnPressed.connect(self._on_filter_settled)
        self.follow_box.toggled.connect(self._on_follow_toggled)
        self.copy_button.clicked.connect(self.copy)
        self._folder_button.clicked.connect(self.open_folder_requested)
        self.text.copyAvailable.connect(self._on_selection_changed)
        self.text.verticalScrollBar().valueChanged.connect(self._on_scrolled)
        self.text.verticalScrollBar().rangeChanged.connect(self._on_room_changed)
        find = QShortcut(QKeySequence(QKeySequence.StandardKey.Find), self)
        find.setContext(Qt.ShortcutContext.WidgetWithChildrenShortcut)
        find.activated.connect(self._on_find)
        store.server_changed.connect(self._show_emptiness)
        theme.changed.connect(self._on_theme_changed)
        self._on_theme_changed()
        self._show_emptiness()
        order_tabs(self)
        self.setFocusProxy(self.text)

    def append(self, lines: Sequence[str]) -> None:
        """Take over lines that the server has written since, oldest first."""
        clean = [line if line.isprintable() else line.translate(_UNSEEN) for line in lines]
        self._lines.extend(clean)
        self._waiting.extend(self._matching(clean))
        if self.isVisible():
            self._pace.wish()

    def clear(self) -> None:
        """Forget all lines: another log is shown from here on."""
        self._lines.clear()
        self._rewrite()

    def copy(self) -> None:
        """Put the selection on the clipboard, or all that the filter lets through."""
        cursor = self.text.textCursor()
        if cursor.hasSelection():
            # Qt separates blocks by U+2029 there.
            words = cursor.selectedText().replace("\u2029", "\n")
        else:
            words = "\n".join(self._matching(self._lines))
        QGuiApplication.clipboard().setText(words)

    @property
    def following(self) -> bool:
        return self.follow_box.isChecked()

    def showEvent(self, event: QShowEvent) -> None:
        super().showEvent(event)
        self._pace.wish()

    def hideEvent(self, event: QHideEvent) -> None:
        self._pace.rest()
        self._on_filter_settled()
        super().hideEvent(event)

    def _matching(self, lines: Iterable[str]) -> list[str]:
        if not self._needle:
            return list(lines)
        return [line for line in lines if self._needle in line.casefold()]

    def _draw(self) -> None:
        if self._waiting:
            batch = list(islice(self._waiting, _BATCH))
            for _ in batch:
                self._waiting.popleft()
            self._write(batch)
            if self._waiting:
                self._pace.wish()
        self._show_emptiness()

    def _write(self, batch: list[str]) -> None:
        # Shown while it is empty: the first time, Qt scrolls to the cursor, and that would be the end of a long line.
        self._show_text(True)
        bar = self.text.verticalScrollBar()
        top = bar.value()
        count = self._shown_count + len(batch)
        self._shown_count = min(count, MOST_LINES)
        self._writing = True
        self.text.appendPlainText("\n".join(batch))
        # Without wrapping the value is the number of the first line seen, and that line stays where it is.
        bar.setValue(bar.maximum() if self.following else top - (count - self._shown_count))
        self._writing = False

    def _rewrite(self) -> None:
        """Begin anew with what matches."""
        self._writing = True
        self.text.clear()
        self._writing = False
        self._shown_count = 0
        self._waiting.clear()
        self._waiting.extend(self._matching(self._lines))
        if self.isVisible():
            self._draw()
        else:
            self._show_emptiness()

    def _show_emptiness(self) -> None:
        count = self._shown_count + len(self._waiting)
        total = len(self._lines)
        if self._needle:
            words = self.tr("{count} of {total} lines").format(count=count_text(count), total=count_text(total))
        else:
            words = self.tr("{count} lines").format(count=count_text(total)) if total != 1 else self.tr("1 line")
        self._count.setText(words)
        for widget in (self._count, self.filter_field, self.follow_box, self.copy_button):
            widget.setVisible(total > 0)
        self.copy_button.setEnabled(count > 0)
        self._show_text(count > 0)
        if count:
            return
        self._clear.setVisible(total > 0)
        self._to_server.setVisible(total == 0)
        if total:
            self._empty.show_text(self.tr("No line has this text"))
            return
        status = self._store.server
        if status is not None and status.state in ANSWERING and status.owner is not Owner.OURS:
            self._empty.show_text(
                self.tr("No log here"),
                self.tr("This Ollama was not started by the launcher: what it writes goes elsewhere."),
            )
        else:
            self._empty.show_text(self.tr("No log yet"), self.tr("It begins when the launcher starts Ollama."))

    def _show_text(self, shown: bool) -> None:
        self._empty.setVisible(not shown)
        self.text.setVisible(shown)

    def _button(self, name: str, words: str) -> QPushButton:
        button = QPushButton(_BESIDE_ICON + words)
        button.setObjectName(name)
        button.setAccessibleName(words)
        return button

    def _on_filter_settled(self) -> None:
        self._filtering.stop()
        needle = self.filter_field.text().strip().casefold()
        if needle != self._needle:
            self._needle = needle
            self._rewrite()

    def _on_follow_toggled(self, follow: bool) -> None:
        bar = self.text.verticalScrollBar()
        if follow and bar.value() != bar.maximum():
            bar.setValue(bar.maximum())

    def _on_scrolled(self, value: int) -> None:
        if not self._writing:
            self.follow_box.setChecked(value >= self.text.verticalScrollBar().maximum())

    def _on_room_changed(self) -> None:
        # More lines, or less room for them: in both cases the end is somewhere else now.
        if self.following:
            bar = self.text.verticalScrollBar()
            bar.setValue(bar.maximum())

    def _on_selection_changed(self, selected: bool) -> None:
        words = self.tr("Copy selection") if selected else self.tr("Copy all")
        self.copy_button.setText(_BESIDE_ICON + words)
        self.copy_button.setAccessibleName(words)

    def _on_find(self) -> None:
        self.filter_field.setFocus(Qt.FocusReason.ShortcutFocusReason)
        self.filter_field.selectAll()

    def _on_theme_changed(self) -> None:
        self._levels.show_theme()
        self._levels.rehighlight()
        font = QFontDatabase.systemFont(QFontDatabase.SystemFont.FixedFont)
        font.setPointSizeF(self._theme.font(TextKind.SECOND).pointSizeF())
        self.text.setFont(font)
        self.copy_button.setIcon(self._theme.icon("copy"))
        self._folder_button.setIcon(self._theme.icon("folder"))
