"""The card that says what the server is, with the one button that fits.

What may be offered comes from :func:`launcher.domain.server.offers`, every word of a state from ``phrases``.
"""

# ruff: noqa: N802 - Qt names the methods that it calls

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import TYPE_CHECKING

from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QMouseEvent, QResizeEvent
from PySide6.QtWidgets import QBoxLayout, QHBoxLayout, QLabel, QPushButton, QVBoxLayout, QWidget

from launcher.domain.server import ANSWERING, Owner, ServerState, ServerStatus, offers
from launcher.ui.phrases import exposed_words, facts_line, server_phrase, told
from launcher.ui.shapes import StateShape
from launcher.ui.theme import Role, TextKind, Theme
from launcher.ui.widgets.card import Card, kind_label, restyle
from launcher.ui.widgets.state_shape import StateShapeWidget

if TYPE_CHECKING:
    from launcher.domain.models import Models

_STACKED_BELOW = 540
"""Narrower than this the buttons stand under the words."""

_LINK_INDENT = 6


class _Deed(Enum):
    """What the big button does."""

    START = "start"
    STOP = "stop"


class _CalmButton(QPushButton):
    """A button whose second click of a double click does nothing: what it does has changed with the first."""

    def mouseDoubleClickEvent(self, event: QMouseEvent) -> None:
        event.accept()


class ServerCard(Card):
    """``now_s`` is seconds since the epoch."""

    start_requested = Signal()
    stop_requested = Signal()
    restart_requested = Signal()
    page_requested = Signal(str)

    def __init__(self, theme: Theme, now_s: Callable[[], float], parent: QWidget | None = None) -> None:
        super().__init__(parent=parent)
        self.setObjectName("server-card")
        self._now_s = now_s
        self._status: ServerStatus | None = None
        self._deed = _Deed.START

        self._shape = StateShapeWidget(theme, 44)
        self._title = _wrapped(kind_label("", TextKind.PAGE_TITLE), "server-state")
        self._facts = _wrapped(_second(), "server-facts")
        self._line = _wrapped(kind_label("", TextKind.BODY), "server-reason")
        self._hint = _wrapped(_second(), "server-hint")
        shield = StateShapeWidget(theme, 14)
        shield.show_shape(StateShape.SHIELD, Role.WARN)
        self._exposed = _wrapped(kind_label("", TextKind.BODY), "server-exposed")
        self._exposed_row = QWidget()
        exposed = QHBoxLayout(self._exposed_row)
        exposed.setContentsMargins(0, 0, 0, 0)
        exposed.addWidget(shield)
        exposed.addWidget(self._exposed, 1)

        self._log_link = self._link("server-log-link", self.tr("Open the log"), "log")
        self._address_link = self._link("server-address-link", self.tr("Change the address"), "settings")
        links = QHBoxLayout()
        # A link has a frame for the keyboard around it; its words begin where those above do.
        links.addSpacing(-_LINK_INDENT)
        links.addWidget(self._log_link)
        links.addWidget(self._address_link)
        links.addStretch(1)

        words = QVBoxLayout()
        words.setSpacing(4)
        for widget in (self._title, self._facts, self._line, self._hint, self._exposed_row):
            words.addWidget(widget)
        words.addLayout(links)
        left = QHBoxLayout()
        left.setSpacing(16)
        left.addWidget(self._shape, 0, Qt.AlignmentFlag.AlignTop)
        left.addLayout(words, 1)

        self._second_stop = self._button("server-stop-trying-button", self.tr("Stop trying"), self.stop_requested)
        self._restart = self._button("restart-button", self.tr("Restart"), self.restart_requested)
        self._button_of_deed = _CalmButton()
        self._button_of_deed.clicked.connect(self._on_deed_clicked)
        self._name_deed(self._deed)
        self._buttons = QHBoxLayout()
        self._buttons.setSpacing(12)
        self._buttons.addStretch(1)
        for button in (self._second_stop, self._restart, self._button_of_deed):
            self._buttons.addWidget(button, 0, Qt.AlignmentFlag.AlignVCenter)

        self._row = QBoxLayout(QBoxLayout.Direction.LeftToRight)
        self._row.setSpacing(16)
        self._row.addLayout(left, 1)
        self._row.addLayout(self._buttons)
        self.body.addLayout(self._row)
        self.show_status(None, None)

    def show_status(self, status: ServerStatus | None, models: Models | None) -> None:
        self._status = status
        phrase = server_phrase(status, models)
        self.setAccessibleName(phrase.title)
        self._shape.show_shape(phrase.shape, phrase.role, phrase.title, exposed=phrase.exposed)
        self._title.setText(phrase.title)
        self.show_time()
        # What RUNNING would add stands below, in the loaded models.
        running = status is not None and status.state is ServerState.RUNNING
        line = "" if running else phrase.line
        hint = told(status.hint) if status is not None else ""
        answering = status is not None and status.local and status.state in ANSWERING
        if status is not None and answering and not hint and status.owner is not Owner.OURS:
            hint = self.tr("It is used from here, and stopped where it was started.")
        _show(self._line, line)
        _show(self._hint, hint if hint != line else "")
        _show(self._exposed, exposed_words(status) if status is not None and phrase.exposed else "")
        self._exposed_row.setVisible(phrase.exposed)
        self._show_links(status)
        self._show_buttons(status)

    def show_time(self) -> None:
        """Bring the uptime up to now."""
        if self._status is None:
            _show(self._facts, "")
            return
        facts = facts_line(self._status, self._now_s())
        if self._status.simulated:
            facts = self.tr("Simulated  ·  {facts}").format(facts=facts)
        _show(self._facts, facts)

    def resizeEvent(self, event: QResizeEvent) -> None:
        stacked = event.size().width() < _STACKED_BELOW
        direction = QBoxLayout.Direction.TopToBottom if stacked else QBoxLayout.Direction.LeftToRight
        if self._row.direction() != direction:
            self._row.setDirection(direction)
        super().resizeEvent(event)

    def _show_links(self, status: ServerStatus | None) -> None:
        state = status.state if status is not None else ServerState.CHECKING
        ours = status is not None and status.owner is Owner.OURS
        log = state in (ServerState.FAILED, ServerState.BACKOFF) or (state is ServerState.DEGRADED and ours)
        address = state in (ServerState.PORT_TAKEN, ServerState.UNREACHABLE)
        self._log_link.setVisible(log)
        self._address_link.setVisible(address)

    def _show_buttons(self, status: ServerStatus | None) -> None:
        offered = offers(status) if status is not None else None
        stopping = status is not None and status.state is ServerState.STOPPING and status.owner is Owner.OURS
        deed: _Deed | None = None
        if offered is not None and offered.start:
            deed = _Deed.START
        elif stopping or (offered is not None and offered.stop):
            deed = _Deed.STOP
        self._restart.setVisible(offered is not None and offered.restart)
        self._second_stop.setVisible(offered is not None and offered.start and offered.stop)
        button = self._button_of_deed
        if deed is not None and deed is not self._deed:
            self._name_deed(deed)
            restyle(button)
        if stopping and button.hasFocus():
            # Disabled, the button would hand its focus to whatever comes next; the card keeps it for the next deed.
            self.setFocus()
        button.setEnabled(not stopping)
        button.setVisible(deed is not None)
        if self.hasFocus() and deed is not None and not stopping:
            button.setFocus()

    def _name_deed(self, deed: _Deed) -> None:
        button, self._deed = self._button_of_deed, deed
        button.setText(self.tr("Start") if deed is _Deed.START else self.tr("Stop"))
        button.setAccessibleName(button.text())
        button.setObjectName(f"{deed.value}-button")
        button.setProperty("kind", "big-primary" if deed is _Deed.START else "big")

    def _on_deed_clicked(self) -> None:
        if self._deed is _Deed.START:
            self.start_requested.emit()
        else:
            self.stop_requested.emit()

    def _button(self, name: str, words: str, signal: object) -> QPushButton:
        button = _CalmButton(words)
        button.setObjectName(name)
        button.setAccessibleName(words)
        button.clicked.connect(lambda: signal.emit())  # type: ignore[attr-defined] # PySide6 types no bound signal
        return button

    def _link(self, name: str, words: str, page: str) -> QPushButton:
        link = QPushButton(words)
        link.setObjectName(name)
        link.setAccessibleName(words)
        link.setProperty("kind", "link")
        link.setCursor(Qt.CursorShape.PointingHandCursor)
        link.clicked.connect(lambda: self.page_requested.emit(page))
        return link


def _second() -> QLabel:
    label = kind_label("", TextKind.BODY)
    label.setProperty("kind", "second")
    return label


def _wrapped(label: QLabel, name: str) -> QLabel:
    label.setObjectName(name)
    label.setWordWrap(True)
    # Else the longest word decides how narrow the page can be.
    label.setMinimumWidth(1)
    label.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
    return label


def _show(label: QLabel, words: str) -> None:
    label.setText(words)
    label.setVisible(bool(words))
