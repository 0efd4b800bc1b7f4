"""The thin progress bar: 0 to 1000 of the whole, in the colour of what is going on."""

from __future__ import annotations

from PySide6.QtWidgets import QProgressBar, QWidget

from launcher.ui.theme import Role
from launcher.ui.widgets.card import restyle

_TONES = {Role.OK: "ok", Role.WARN: "warn", Role.BAD: "bad", Role.IDLE: "idle"}


class ThinProgressBar(QProgressBar):
    """No text: words stand beside it. Its accessible name is given by whoever places it."""

    def __init__(self, parent: QWidget | None = None, *, height: int = 6) -> None:
        super().__init__(parent)
        self.setRange(0, 1000)
        self.setTextVisible(False)
        self.setFixedHeight(height)

    def show_permille(self, permille: int | None, role: Role = Role.BUSY, *, moving: bool = True) -> None:
        """Show a part; None is an unknown one: it runs to and fro while ``moving``, and is empty otherwise."""
        if permille is None and moving:
            self.setRange(0, 0)
        else:
            self.setRange(0, 1000)
            self.setValue(permille or 0)
        tone = _TONES.get(role, "")
        if self.property("tone") != tone:
            self.setProperty("tone", tone)
            restyle(self)
