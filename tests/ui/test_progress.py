"""The thin bar: how much is done, and how much there is, whatever the colours."""

from __future__ import annotations

import pytest
from PySide6.QtCore import QPoint
from PySide6.QtGui import QColor, QPalette
from PySide6.QtWidgets import QApplication

from launcher.ui.theme import Appearance, SystemLook, Theme
from launcher.ui.widgets.progress import ThinProgressBar


def _black_and_white() -> QPalette:
    palette = QPalette()
    for role, color in (
        (QPalette.ColorRole.Window, "black"),
        (QPalette.ColorRole.Base, "black"),
        (QPalette.ColorRole.WindowText, "white"),
        (QPalette.ColorRole.Text, "white"),
        (QPalette.ColorRole.Highlight, "#1AEBFF"),
        (QPalette.ColorRole.HighlightedText, "black"),
    ):
        palette.setColor(role, QColor(color))
    return palette


@pytest.mark.parametrize("high_contrast", [False, True], ids=["usual", "high contrast"])
def test_the_whole_length_is_seen(qapp: QApplication, theme: Theme, high_contrast: bool) -> None:
    look = SystemLook(high_contrast=_black_and_white() if high_contrast else None)
    shown = Theme(qapp, system_look=lambda: look)
    shown.apply(Appearance.LIGHT)
    bar = ThinProgressBar()
    bar.resize(200, 6)
    bar.show_permille(100)
    edge = bar.grab().toImage().pixelColor(QPoint(150, 0))
    assert edge == QColor("white" if high_contrast else "#E4E3DE")
    bar.deleteLater()
    shown.deleteLater()
