"""Colours can be told apart and read, the system's wish is followed, and the style sheet is whole."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from PySide6.QtCore import QSize, Qt
from PySide6.QtGui import QColor, QFont, QPalette
from PySide6.QtWidgets import QApplication, QLabel, QPushButton

from launcher.paths import resource
from launcher.ui.theme import (
    DARK,
    LIGHT,
    SHAPE_RATIO,
    TEXT_RATIO,
    Appearance,
    Role,
    SystemLook,
    TextKind,
    Theme,
    Tokens,
    contrast,
    drawn,
    palette_of,
    tokens_of,
)

THEMES = [pytest.param(LIGHT, id="light"), pytest.param(DARK, id="dark")]

GROUNDS = (Role.WINDOW, Role.SIDE, Role.CARD, Role.SELECTION, Role.HOVER)
TEXTS = (Role.TEXT, Role.TEXT_SECOND, Role.ACCENT, Role.OK, Role.WARN, Role.BAD, Role.FOREIGN)
SHAPES = (Role.BUSY, Role.IDLE)
EXEMPT = (Role.LINE, Role.TRACK, Role.SELECTION_LINE)
"""Tracks and lines tell nothing that is not told otherwise."""


def _high_contrast(window: str, text: str, highlight: str, on_highlight: str) -> QPalette:
    palette = QPalette(QColor(window))
    for role, color in (
        (QPalette.ColorRole.Window, window),
        (QPalette.ColorRole.Base, window),
        (QPalette.ColorRole.WindowText, text),
        (QPalette.ColorRole.Text, text),
        (QPalette.ColorRole.Highlight, highlight),
        (QPalette.ColorRole.HighlightedText, on_highlight),
    ):
        palette.setColor(role, QColor(color))
    return palette


# Windows 11's four contrast themes, as they come.
CONTRAST_THEMES = {
    "aquatic": ("#202020", "#FFFFFF", "#8EE3F0", "#263B50"),
    "desert": ("#FFFAEF", "#3D3D3D", "#903909", "#FFF5E3"),
    "dusk": ("#2D3236", "#FFFFFF", "#A1BFDE", "#212D3B"),
    "night sky": ("#000000", "#FFFFFF", "#D6B4FD", "#2B2B2B"),
}


@pytest.mark.parametrize("tokens", THEMES)
def test_every_role_has_a_colour_and_is_judged(tokens: Tokens) -> None:
    assert set(tokens) == set(Role)
    assert {*GROUNDS, *TEXTS, *SHAPES, *EXEMPT, Role.ON_ACCENT} == set(Role)


@pytest.mark.parametrize("tokens", THEMES)
@pytest.mark.parametrize("ground", GROUNDS, ids=lambda role: role.value)
@pytest.mark.parametrize("text", TEXTS, ids=lambda role: role.value)
def test_text_can_be_read(tokens: Tokens, text: Role, ground: Role) -> None:
    assert contrast(QColor(tokens[text]), QColor(tokens[ground])) >= TEXT_RATIO


@pytest.mark.parametrize("tokens", THEMES)
@pytest.mark.parametrize("ground", GROUNDS, ids=lambda role: role.value)
@pytest.mark.parametrize("shape", SHAPES, ids=lambda role: role.value)
def test_shapes_can_be_seen(tokens: Tokens, shape: Role, ground: Role) -> None:
    assert contrast(QColor(tokens[shape]), QColor(tokens[ground])) >= SHAPE_RATIO


@pytest.mark.parametrize("tokens", THEMES)
def test_the_primary_button_can_be_read(tokens: Tokens) -> None:
    assert contrast(QColor(tokens[Role.ON_ACCENT]), QColor(tokens[Role.ACCENT])) >= TEXT_RATIO


@pytest.mark.parametrize("colors", CONTRAST_THEMES.values(), ids=CONTRAST_THEMES)
def test_high_contrast_takes_the_systems_colours_and_no_others(colors: tuple[str, str, str, str]) -> None:
    tokens = tokens_of(_high_contrast(*colors))

    assert set(tokens) == set(Role)
    assert {color.name().upper() for color in tokens.values()} <= set(colors)
    for ground in GROUNDS:
        for text in (*TEXTS, *SHAPES, Role.SELECTION_LINE):
            assert contrast(tokens[text], tokens[ground]) >= TEXT_RATIO, (text, ground)
    assert contrast(tokens[Role.ON_ACCENT], tokens[Role.ACCENT]) >= TEXT_RATIO


def test_a_highlight_that_cannot_be_read_is_not_used() -> None:
    tokens = tokens_of(_high_contrast("#000000", "#FFFFFF", "#101010", "#000000"))

    assert (tokens[Role.ACCENT], tokens[Role.ON_ACCENT]) == (QColor("#FFFFFF"), QColor("#000000"))


def test_contrast_is_that_of_the_standard() -> None:
    assert contrast(QColor("black"), QColor("white")) == pytest.approx(21.0)
    # The usual example: #767676 is the lightest grey that can be read on white.
    assert contrast(QColor("#767676"), QColor("white")) == pytest.approx(4.54, abs=0.01)
    assert contrast(QColor("#767676"), QColor("#767676")) == 1.0


def test_the_choice_of_the_person_is_shown_at_once(theme: Theme, qapp: QApplication) -> None:
    changes: list[bool] = []
    theme.changed.connect(lambda: changes.append(theme.dark))

    theme.apply(Appearance.DARK)
    assert theme.color(Role.WINDOW) == QColor(DARK[Role.WINDOW])
    assert qapp.palette().window().color() == QColor(DARK[Role.WINDOW])
    assert DARK[Role.CARD].lower() in qapp.styleSheet()

    theme.apply(Appearance.LIGHT)
    assert qapp.palette().window().color() == QColor(LIGHT[Role.WINDOW])
    assert DARK[Role.CARD].lower() not in qapp.styleSheet()
    assert changes == [True, False]


def test_the_same_choice_again_changes_nothing(theme: Theme) -> None:
    changes: list[object] = []
    theme.changed.connect(lambda: changes.append(1))

    theme.apply(Appearance.LIGHT)
    theme.refresh()

    assert changes == []


@pytest.mark.parametrize(("ground", "dark"), [("#303030", True), ("#EFEFEF", False)])
def test_a_system_that_says_nothing_is_judged_by_its_palette(
    theme: Theme, qapp: QApplication, ground: str, dark: bool
) -> None:
    """Offscreen there is no colour scheme; what follows a real change of the system is tested with a desktop."""
    qapp.styleHints().unsetColorScheme()
    qapp.setPalette(QPalette(QColor(ground)))
    theme = Theme(qapp)

    theme.apply(Appearance.SYSTEM)

    assert theme.dark is dark


def test_the_systems_change_is_followed_only_when_it_is_asked(qapp: QApplication, theme: Theme) -> None:
    look = SystemLook(dark=False)
    following = Theme(qapp, system_look=lambda: look)
    following.apply(Appearance.SYSTEM)
    assert not following.dark

    look = SystemLook(dark=True)
    qapp.styleHints().colorSchemeChanged.emit(Qt.ColorScheme.Dark)
    assert following.dark

    following.apply(Appearance.LIGHT)
    assert not following.dark


def test_high_contrast_wins_over_the_choice_of_the_person(qapp: QApplication, theme: Theme) -> None:
    colors = CONTRAST_THEMES["night sky"]
    look = SystemLook(high_contrast=_high_contrast(*colors))
    contrasting = Theme(qapp, system_look=lambda: look)

    contrasting.apply(Appearance.LIGHT)

    assert contrasting.high_contrast
    assert contrasting.color(Role.WINDOW) == QColor(colors[0])
    assert qapp.palette().windowText().color() == QColor(colors[1])
    look = SystemLook()
    contrasting.refresh()
    assert contrasting.color(Role.WINDOW) == QColor(LIGHT[Role.WINDOW])


def test_texts_have_their_sizes(theme: Theme, qapp: QApplication) -> None:
    body = theme.font()
    assert body.pointSizeF() == qapp.font().pointSizeF()
    assert theme.font(TextKind.PAGE_TITLE).pointSizeF() == pytest.approx(body.pointSizeF() * 1.75)
    assert theme.font(TextKind.PAGE_TITLE).weight() == QFont.Weight.DemiBold
    assert theme.font(TextKind.CARD_TITLE).pointSizeF() == pytest.approx(body.pointSizeF() * 1.1)
    assert theme.font(TextKind.SECOND).pointSizeF() == pytest.approx(body.pointSizeF() * 0.9)


def test_a_bigger_system_font_makes_everything_bigger(theme: Theme, qapp: QApplication) -> None:
    label = QLabel("Models")
    label.setProperty("kind", "page-title")
    label.ensurePolished()
    before = label.fontMetrics().height()
    font = QFont(qapp.font())
    font.setPointSizeF(font.pointSizeF() * 2)

    qapp.setFont(font)
    theme.refresh()
    label.ensurePolished()

    assert label.fontMetrics().height() == pytest.approx(before * 2, rel=0.1)


def test_a_font_in_pixels_is_kept_in_pixels(theme: Theme, qapp: QApplication) -> None:
    font = QFont(qapp.font())
    font.setPixelSize(20)
    qapp.setFont(font)

    theme.refresh()

    assert theme.font(TextKind.PAGE_TITLE).pixelSize() == 35
    assert "font-size: 35px" in qapp.styleSheet()


def test_the_style_sheet_names_no_colour(qapp: QApplication) -> None:
    text = resource("qss/app.qss").read_text(encoding="utf-8")

    assert re.findall(r"#[0-9A-Fa-f]{3,8}\b|rgba?\(", text) == []


def test_no_other_module_names_a_colour_or_a_sheet() -> None:
    folder = Path(__file__).resolve().parents[2] / "launcher" / "ui"
    offences = [
        f"{path.name}: {found}"
        for path in folder.rglob("*.py")
        if path.name != "theme.py"
        for found in re.findall(
            r"[\"']#[0-9A-Fa-f]{6}[\"']|GlobalColor\.(?!transparent)\w+|setStyleSheet", path.read_text(encoding="utf-8")
        )
    ]
    assert offences == []


@pytest.mark.parametrize("path", sorted(resource("icons").glob("*.svg")), ids=lambda path: path.stem)
def test_every_icon_draws_something_of_its_own_size(path: Path, qapp: QApplication) -> None:
    image = drawn(path.read_bytes(), 40)

    assert image.size() == QSize(40, 40)
    inked = sum(1 for x in range(40) for y in range(40) if image.pixelColor(x, y).alpha() > 100)
    assert inked > 40


def test_icons_are_tinted_and_checked_ones_differ(theme: Theme) -> None:
    icon = theme.icon("server", Role.TEXT_SECOND, Role.ACCENT)
    off = icon.pixmap(QSize(20, 20), state=icon.State.Off).toImage()
    on = icon.pixmap(QSize(20, 20), state=icon.State.On).toImage()

    assert _ink(off) == QColor(LIGHT[Role.TEXT_SECOND])
    assert _ink(on) == QColor(LIGHT[Role.ACCENT])
    theme.apply(Appearance.DARK)
    assert _ink(theme.icon("server").pixmap(QSize(20, 20)).toImage()) == QColor(DARK[Role.TEXT_SECOND])


def _ink(image) -> QColor:
    """The most opaque pixel's colour."""
    pixels = [image.pixelColor(x, y) for x in range(image.width()) for y in range(image.height())]
    strongest = max(pixels, key=QColor.alpha)
    return QColor(strongest.red(), strongest.green(), strongest.blue())


def test_disabled_words_are_lighter_than_others(theme: Theme) -> None:
    palette = palette_of({role: QColor(value) for role, value in LIGHT.items()})

    assert palette.color(QPalette.ColorGroup.Disabled, QPalette.ColorRole.ButtonText) == QColor(LIGHT[Role.IDLE])
    assert palette.color(QPalette.ColorGroup.Active, QPalette.ColorRole.ButtonText) == QColor(LIGHT[Role.TEXT])


@pytest.mark.parametrize(
    ("appearance", "tokens"),
    [pytest.param(Appearance.LIGHT, LIGHT, id="light"), pytest.param(Appearance.DARK, DARK, id="dark")],
)
def test_a_primary_button_is_painted_in_the_accent(theme: Theme, appearance: Appearance, tokens: Tokens, qtbot) -> None:
    theme.apply(appearance)
    button = QPushButton("Download")
    qtbot.addWidget(button)
    button.setProperty("kind", "primary")
    button.resize(160, 40)

    image = button.grab().toImage()

    assert image.pixelColor(12, 20) == QColor(tokens[Role.ACCENT])


def test_the_application_stands_on_qts_own_style() -> None:
    """In a process of its own: there is one application to a process."""
    program = (
        "import sys\n"
        "from launcher.app.start import make_application\n"
        "app = make_application(['launcher'])\n"
        "sys.exit(0 if app.style().name() == 'fusion' else 1)\n"
    )
    environment = {**os.environ, "QT_STYLE_OVERRIDE": "windows"}
    run = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, timeout=60, check=False
    )

    assert run.returncode == 0, run.stderr
