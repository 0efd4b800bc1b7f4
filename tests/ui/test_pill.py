from __future__ import annotations

import pytest
from PySide6.QtCore import QPoint, QSize
from PySide6.QtGui import QFontMetrics, QImage, QPainter

from launcher.ui.theme import SHAPE_RATIO, TEXT_RATIO, Appearance, Role, TextKind, Theme, contrast
from launcher.ui.widgets.pill import Pill, paint_pill, pill_ground, pill_size


@pytest.mark.parametrize("appearance", [Appearance.LIGHT, Appearance.DARK], ids=lambda each: each.value)
@pytest.mark.parametrize("role", [Role.OK, Role.BUSY], ids=lambda role: role.value)
def test_words_can_be_read_on_their_ground(theme: Theme, appearance: Appearance, role: Role) -> None:
    theme.apply(appearance)
    assert contrast(theme.color(role), pill_ground(theme, role)) >= TEXT_RATIO


def test_a_pill_without_words_is_not_there(theme: Theme) -> None:
    pill = Pill(theme)
    assert pill.isHidden()
    pill.show_words("Saved")
    assert not pill.isHidden()
    assert (pill.words, pill.accessibleName()) == ("Saved", "Saved")
    assert pill.sizeHint() == pill_size(QFontMetrics(theme.font(TextKind.SECOND)), "Saved")
    pill.show_words("")
    assert pill.isHidden()
    pill.deleteLater()


def test_on_what_is_selected_it_has_a_frame(theme: Theme) -> None:
    def drawn(*, framed: bool) -> QImage:
        image = QImage(QSize(60, 20), QImage.Format.Format_RGB32)
        image.fill(theme.color(Role.SELECTION))
        painter = QPainter(image)
        paint_pill(painter, image.rect(), "", theme, Role.OK, framed=framed)
        painter.end()
        return image

    edge = QPoint(30, 0)
    contrasts = [contrast(drawn(framed=each).pixelColor(edge), theme.color(Role.SELECTION)) for each in (False, True)]
    assert contrasts[0] < 1.2
    assert contrasts[1] > SHAPE_RATIO
