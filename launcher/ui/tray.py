"""The icon in the system tray: the state by shape and colour, the same in words, and what can be done from there.

There may be no tray, it may come later (a desktop that is still starting) and it may go. Qt does not tell, and an icon
made before does not move to a tray that comes: so we look every few seconds and make a new one. Only
``isSystemTrayAvailable`` is to be trusted; an icon says that it is visible where nobody shows it.
"""

from __future__ import annotations

import sys

from PySide6.QtCore import QObject, QTimer, Signal
from PySide6.QtGui import QAction, QIcon
from PySide6.QtWidgets import QApplication, QLabel, QMenu, QSystemTrayIcon

from launcher.domain.server import offers
from launcher.ui.phrases import phase_phrase, server_phrase
from launcher.ui.shapes import shape_pixmap
from launcher.ui.store import Store
from launcher.ui.theme import Role, Theme
from launcher.ui.units import percent_text

_LOOK_EVERY_MS = 2500
_SIZES = (16, 22, 24, 32, 48)
_DOWNLOADS_SHOWN = 5
_MESSAGE_MS = 10_000


class Tray(QObject):
    """Renders the store. :meth:`watch` begins to look for a tray; until :meth:`close` the icon follows it."""

    start_requested = Signal()
    stop_requested = Signal()
    show_requested = Signal(str)
    """Show the window, on the page of this key; empty: on the one it was."""
    quit_requested = Signal()
    available_changed = Signal(bool)

    def __init__(self, store: Store, theme: Theme, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._store = store
        self._theme = theme
        self._available = False
        self._icon: QSystemTrayIcon | None = None
        self._shown: tuple[object, ...] = ()
        self._poll = QTimer(self)
        self._poll.setInterval(_LOOK_EVERY_MS)
        self._poll.timeout.connect(self.look)

        self._menu = QMenu()
        self._menu.setObjectName("tray-menu")
        self._state = self._menu.addAction("")
        self._state.setObjectName("tray-state")
        self._state.triggered.connect(lambda: self.show_requested.emit("server"))
        self._menu.addSeparator()
        self._start = self._action("tray-start", self.tr("Start"), self.start_requested.emit)
        self._stop = self._action("tray-stop", self.tr("Stop"), self.stop_requested.emit)
        self._downloads_line = self._menu.addSeparator()
        self._downloads = [
            self._action(f"tray-download-{number}", "", lambda: self.show_requested.emit("downloads"))
            for number in range(1, _DOWNLOADS_SHOWN + 1)
        ]
        self._menu.addSeparator()
        self._action("tray-show", self.tr("Show the window"), lambda: self.show_requested.emit(""))
        self._action("tray-quit", self.tr("Quit"), self.quit_requested.emit)
        store.server_changed.connect(self._on_changed)
        store.models_changed.connect(self._on_changed)
        store.transfers_changed.connect(self._on_changed)
        theme.changed.connect(self._on_theme_changed)
        self._on_changed()

    @property
    def available(self) -> bool:
        """True while there is a tray that shows the icon."""
        return self._available

    @property
    def icon(self) -> QSystemTrayIcon | None:
        """The icon of now; another one after the tray was gone."""
        return self._icon

    @property
    def menu(self) -> QMenu:
        return self._menu

    def watch(self) -> None:
        """Look now, and every few seconds from now on."""
        self.look()
        self._poll.start()

    def look(self) -> None:
        """See whether there is a tray, and follow it."""
        available = QSystemTrayIcon.isSystemTrayAvailable()
        if available == self._available:
            return
        self._available = available
        self._drop_icon()
        if available:
            self._make_icon()
        self.available_changed.emit(available)

    def tell(self, title: str, text: str) -> None:
        """Say something in a bubble; nothing where there is no tray."""
        if self._icon is None:
            return
        self._icon.showMessage(title, text, QSystemTrayIcon.MessageIcon.Information, _MESSAGE_MS)
        # WORKAROUND Qt 6.11: the bubble that Qt draws itself (XEMBED) is yellow with black words in its own palette,
        # but its labels take theirs from the application's, which is light on light in a dark theme.
        for bubble in QApplication.topLevelWidgets():
            if bubble.metaObject().className() == "QBalloonTip":
                for label in bubble.findChildren(QLabel):
                    label.setPalette(bubble.palette())

    def close(self) -> None:
        """Take the icon away, for good."""
        self._poll.stop()
        self._available = False
        self._drop_icon()
        self._menu.deleteLater()

    def _action(self, name: str, words: str, run: object) -> QAction:
        action = self._menu.addAction(words)
        action.setObjectName(name)
        action.triggered.connect(run)
        return action

    def _make_icon(self) -> None:
        icon = QSystemTrayIcon(self)
        icon.setContextMenu(self._menu)
        icon.activated.connect(self._on_activated)
        icon.messageClicked.connect(lambda: self.show_requested.emit(""))
        self._icon = icon
        self._shown = ()
        self._on_changed()
        icon.show()

    def _drop_icon(self) -> None:
        if self._icon is not None:
            self._icon.hide()
            self._icon.deleteLater()
            self._icon = None

    def _on_activated(self, reason: QSystemTrayIcon.ActivationReason) -> None:
        # On macOS a click opens the menu, and is told as well.
        if reason is QSystemTrayIcon.ActivationReason.Trigger and sys.platform != "darwin":
            self.show_requested.emit("")

    def _on_theme_changed(self) -> None:
        self._shown = ()
        self._on_changed()

    def _on_changed(self) -> None:
        status = self._store.server
        phrase = server_phrase(status, self._store.models)
        offered = offers(status) if status is not None else None
        self._state.setText(phrase.footer)
        self._start.setVisible(offered is not None and offered.start)
        self._stop.setVisible(offered is not None and offered.stop)
        lines = self._show_downloads()
        if self._icon is None:
            return
        self._icon.setToolTip("\n".join((phrase.tooltip, *lines)))
        color = self._theme.color(phrase.role)
        badge = self._theme.color(Role.WARN) if phrase.exposed else None
        shown = (phrase.shape, color.rgba(), badge is not None)
        if shown == self._shown:
            return
        self._shown = shown
        icon = QIcon()
        for size in _SIZES:
            icon.addPixmap(shape_pixmap(phrase.shape, color, size, 1.0, badge))
        self._state.setIcon(icon)
        self._icon.setIcon(icon)

    def _show_downloads(self) -> list[str]:
        """Fill in the menu's lines for what is downloaded; returns them."""
        running = [transfer for transfer in self._store.transfers if not transfer.phase.ended]
        lines = []
        for transfer in running[:_DOWNLOADS_SHOWN]:
            phrase = phase_phrase(transfer.phase)
            part = percent_text(transfer.permille) if transfer.permille is not None else ""
            words = part if part and phrase.moving else " ".join(filter(None, (part, phrase.words)))
            lines.append(self.tr("{model}: {part}").format(model=transfer.model, part=words))
        self._downloads_line.setVisible(bool(lines))
        for number, action in enumerate(self._downloads):
            action.setVisible(number < len(lines))
            if number < len(lines):
                action.setText(lines[number])
        return lines
