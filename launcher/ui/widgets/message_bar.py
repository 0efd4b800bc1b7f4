"""Messages that interrupt nobody: one bar at the top of the page, one sentence, one action, details folded.

It shows what it is told and decides nothing: a message about the same cause takes the place of the one before, others
wait behind it.
"""

# ruff: noqa: N802 - Qt names the methods that it calls

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from PySide6.QtCore import QEasingCurve, QPropertyAnimation, Qt, Signal
from PySide6.QtGui import QGuiApplication, QKeyEvent, QResizeEvent
from PySide6.QtWidgets import QBoxLayout, QFrame, QHBoxLayout, QPushButton, QVBoxLayout, QWidget

from launcher.errors import LauncherError
from launcher.ui.phrases import told
from launcher.ui.shapes import StateShape
from launcher.ui.theme import Role, TextKind, Theme
from launcher.ui.widgets.card import kind_label, restyle
from launcher.ui.widgets.state_shape import StateShapeWidget

_SLIDE_MS = 140
_DEEDS_PART = 0.35
_NO_LIMIT = 16_777_215  # QWIDGETSIZE_MAX, which PySide6 does not export


@dataclass(frozen=True, slots=True)
class MessageAction:
    """The one thing that a message offers; the button says the deed."""

    words: str
    run: Callable[[], None]


@dataclass(frozen=True, slots=True)
class Message:
    """``cause`` tells messages apart: a later one of the same cause replaces the earlier."""

    cause: str
    title: str
    hint: str = ""
    detail: str = ""
    role: Role = Role.ACCENT
    action: MessageAction | None = None


class MessageBar(QWidget):
    """Hidden while there is nothing to say, and then takes no room."""

    settled = Signal()
    """It has slid in."""

    def __init__(self, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("message-bar")
        self._theme = theme
        self._waiting: list[Message] = []
        self._shape = StateShapeWidget(theme, 22)
        self._title = kind_label("", TextKind.BODY)
        self._title.setProperty("kind", "strong")
        self._hint = kind_label("", TextKind.BODY)
        self._hint.setProperty("kind", "second")
        self._detail = kind_label("", TextKind.SECOND)
        self._detail.setProperty("kind", "small")
        self._detail.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        for label in (self._title, self._hint, self._detail):
            label.setWordWrap(True)
        self._details_button = self._button("message-details-button", self.tr("Details"), "link")
        self._details_button.setCheckable(True)
        self._details_button.toggled.connect(self._on_details_toggled)
        self._copy_button = self._button("message-copy-button", self.tr("Copy"), "link")
        self._copy_button.clicked.connect(self._on_copy_clicked)
        self._action_button = self._button("message-action-button", "", "")
        self._action_button.clicked.connect(self._on_action_clicked)
        self._close_button = self._button("message-close-button", "", "link")
        self._close_button.setAccessibleName(self.tr("Dismiss this message"))
        self._close_button.setToolTip(self.tr("Dismiss"))
        self._close_button.clicked.connect(self.dismiss)

        words = QVBoxLayout()
        words.setContentsMargins(0, 4, 0, 4)
        words.setSpacing(4)
        words.addWidget(self._title)
        words.addWidget(self._hint)
        words.addWidget(self._detail)
        shape_place = QVBoxLayout()
        shape_place.setContentsMargins(0, 3, 0, 0)
        shape_place.addWidget(self._shape, 0, Qt.AlignmentFlag.AlignTop)
        self._frame = QFrame()
        self._frame.setObjectName("message-frame")
        outer = QVBoxLayout(self)
        outer.setContentsMargins(24, 16, 24, 0)
        outer.addWidget(self._frame)
        row = QHBoxLayout(self._frame)
        row.setContentsMargins(12, 8, 8, 8)
        row.setSpacing(12)
        row.addLayout(shape_place)
        self._words_and_deeds = QBoxLayout(QBoxLayout.Direction.LeftToRight)
        self._words_and_deeds.addLayout(words, 1)
        self._deeds = QHBoxLayout()
        self._deeds.setSpacing(8)
        for button in (self._copy_button, self._details_button, self._action_button):
            self._deeds.addWidget(button)
        self._deeds.addStretch(1)
        self._words_and_deeds.addLayout(self._deeds)
        self._words_and_deeds.setAlignment(self._deeds, Qt.AlignmentFlag.AlignTop)
        row.addLayout(self._words_and_deeds, 1)
        row.addWidget(self._close_button, 0, Qt.AlignmentFlag.AlignTop)
        self._slide = QPropertyAnimation(self, b"maximumHeight", self)
        self._slide.setDuration(_SLIDE_MS)
        self._slide.setEasingCurve(QEasingCurve.Type.OutCubic)
        self._slide.finished.connect(self._on_slid)
        theme.changed.connect(self._on_theme_changed)
        self._on_theme_changed()
        self.hide()

    @property
    def current(self) -> Message | None:
        """What is shown now."""
        return self._waiting[-1] if self._waiting else None

    def show_error(self, error: LauncherError, action: MessageAction | None = None, *, cause: str = "") -> None:
        """Tell a failure. ``cause`` is its title unless the caller knows better."""
        self.show_message(
            Message(cause or error.title, told(error.title), told(error.hint), error.detail, Role.BAD, action)
        )

    def show_note(self, title: str, hint: str = "", action: MessageAction | None = None, *, cause: str = "") -> None:
        """Tell something that is no failure."""
        self.show_message(Message(cause or title, title, hint, "", Role.ACCENT, action))

    def show_message(self, message: Message) -> None:
        """Show a message before all others; one of the same cause is forgotten."""
        self._waiting = [*(each for each in self._waiting if each.cause != message.cause), message]
        self._render()

    def clear(self, cause: str) -> None:
        """Take back what was said about a cause that is gone."""
        shown = self.current
        self._waiting = [each for each in self._waiting if each.cause != cause]
        if shown is not self.current:
            self._render()

    def dismiss(self) -> None:
        """Drop what is shown; what waits behind it comes next."""
        self._waiting = self._waiting[:-1]
        self._render()

    def keyPressEvent(self, event: QKeyEvent) -> None:
        if event.key() == Qt.Key.Key_Escape:
            self.dismiss()
        else:
            super().keyPressEvent(event)

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self._arrange()

    def _arrange(self) -> None:
        # Buttons stand beside the words while these keep most of the width, else below.
        beside = self._deeds.sizeHint().width() < self.width() * _DEEDS_PART
        direction = QBoxLayout.Direction.LeftToRight if beside else QBoxLayout.Direction.TopToBottom
        self._words_and_deeds.setDirection(direction)

    def _render(self) -> None:
        message = self.current
        if message is None:
            self._slide.stop()
            self.hide()
            return
        was_hidden = self.isHidden()
        self._title.setText(message.title)
        self._hint.setText(message.hint)
        self._hint.setVisible(bool(message.hint))
        self._detail.setText(message.detail)
        self._details_button.setVisible(bool(message.detail))
        self._details_button.setChecked(False)
        self._on_details_toggled(False)
        self._action_button.setVisible(message.action is not None)
        if message.action is not None:
            self._action_button.setText(message.action.words)
            self._action_button.setAccessibleName(message.action.words)
        shape = StateShape.CROSS_DISC if message.role is Role.BAD else StateShape.EXCLAMATION_DISC
        self._shape.show_shape(shape, message.role, "")
        tone = {Role.BAD: "bad", Role.WARN: "warn"}.get(message.role, "")
        if self._frame.property("tone") != tone:
            self._frame.setProperty("tone", tone)
            restyle(self._frame)
        self._arrange()
        self.setAccessibleName(message.title)
        self.setAccessibleDescription(message.hint)
        self.show()
        if was_hidden and self.window().isVisible() and not self._theme.reduced_motion:
            self._slide.setStartValue(0)
            self._slide.setEndValue(self.sizeHint().height())
            self._slide.start()
        else:
            self.setMaximumHeight(_NO_LIMIT)

    def _button(self, name: str, words: str, kind: str) -> QPushButton:
        button = QPushButton(words)
        button.setObjectName(name)
        button.setAccessibleName(words)
        if kind:
            button.setProperty("kind", kind)
        return button

    def _on_details_toggled(self, shown: bool) -> None:
        has_detail = bool(self._detail.text())
        self._detail.setVisible(shown and has_detail)
        self._copy_button.setVisible(shown and has_detail)
        self._arrange()

    def _on_copy_clicked(self) -> None:
        message = self.current
        if message is not None:
            QGuiApplication.clipboard().setText("\n".join(filter(None, (message.title, message.hint, message.detail))))

    def _on_action_clicked(self) -> None:
        message = self.current
        if message is None or message.action is None:
            return
        self.dismiss()
        message.action.run()

    def _on_slid(self) -> None:
        self.setMaximumHeight(_NO_LIMIT)
        self.settled.emit()

    def _on_theme_changed(self) -> None:
        self._close_button.setIcon(self._theme.icon("close"))
