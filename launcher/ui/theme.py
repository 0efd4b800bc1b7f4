"""Colours, type sizes, the style sheet and tinted icons: the only module that names a colour.

Widgets ask by role, never by value, and repaint on :attr:`Theme.changed`. What is light and what is dark follows the
person's choice, by default the system's and its changes. A high-contrast system palette wins over all of it, and every
token is then taken from that palette; states stay apart by shape and words.

It knows no page and no state of the server.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from string import Template

from PySide6.QtCore import QBuffer, QByteArray, QObject, QSize, Qt, Signal
from PySide6.QtGui import (
    QColor,
    QFont,
    QIcon,
    QImage,
    QImageReader,
    QPalette,
    QPixmap,
)
from PySide6.QtWidgets import QApplication

from launcher.domain.appearance import Appearance as Appearance
from launcher.paths import resource


class Role(Enum):
    """What a colour is for. The value is the token's name in the style sheet."""

    WINDOW = "window"
    SIDE = "side"
    """Side bar and footer."""
    CARD = "card"
    """Cards, lists and fields."""
    LINE = "line"
    TEXT = "text"
    TEXT_SECOND = "text_second"
    ACCENT = "accent"
    ON_ACCENT = "on_accent"
    OK = "ok"
    WARN = "warn"
    BAD = "bad"
    BUSY = "busy"
    IDLE = "idle"
    """Colours shapes and bars, never text."""
    FOREIGN = "foreign"
    TRACK = "track"
    SELECTION = "selection"
    SELECTION_LINE = "selection_line"
    """Frame of what is selected: not seen where the ground tells it, all there is in high contrast."""
    HOVER = "hover"


class TextKind(Enum):
    """The sizes of type. The value is what a label's ``kind`` property holds, see the style sheet."""

    PAGE_TITLE = "page-title"
    CARD_TITLE = "card-title"
    BODY = "body"
    SECOND = "second"
    """Second lines and the footer: smaller, in second colour."""


@dataclass(frozen=True, slots=True)
class SystemLook:
    """What the desktop wishes now."""

    dark: bool = False
    high_contrast: QPalette | None = None
    """The palette of a high-contrast theme; None: none is wished."""
    reduced_motion: bool = False


Tokens = dict[Role, str]

LIGHT: Tokens = {
    Role.WINDOW: "#F5F5F3",
    Role.SIDE: "#ECECE9",
    Role.CARD: "#FFFFFF",
    Role.LINE: "#DEDDD8",
    Role.TEXT: "#1C1C1A",
    Role.TEXT_SECOND: "#62625C",
    Role.ACCENT: "#2F5FD0",
    Role.ON_ACCENT: "#FFFFFF",
    Role.OK: "#17744B",
    Role.WARN: "#9A5B00",
    Role.BAD: "#BC2F24",
    Role.BUSY: "#2F5FD0",
    Role.IDLE: "#83837C",
    Role.FOREIGN: "#0B7285",
    Role.TRACK: "#E4E3DE",
    Role.SELECTION: "#E6ECFA",
    Role.SELECTION_LINE: "#E6ECFA",
    Role.HOVER: "#F0F0ED",
}

DARK: Tokens = {
    Role.WINDOW: "#1B1B1D",
    Role.SIDE: "#161618",
    Role.CARD: "#242427",
    Role.LINE: "#37373B",
    Role.TEXT: "#EDEDEA",
    Role.TEXT_SECOND: "#A6A6A0",
    Role.ACCENT: "#7EA4FF",
    Role.ON_ACCENT: "#10182B",
    Role.OK: "#4CC38A",
    Role.WARN: "#F0B04B",
    Role.BAD: "#FF8275",
    Role.BUSY: "#7EA4FF",
    Role.IDLE: "#8C8C88",
    Role.FOREIGN: "#5CC8D8",
    Role.TRACK: "#38383C",
    Role.SELECTION: "#2B3552",
    Role.SELECTION_LINE: "#2B3552",
    Role.HOVER: "#2B2B2F",
}

TEXT_RATIO = 4.5
"""Least contrast of text on its ground (WCAG 2.1, 1.4.3)."""
SHAPE_RATIO = 3.0
"""Least contrast of shapes on their ground (WCAG 2.1, 1.4.11)."""

SPACING = (4, 8, 12, 16, 24)
RADIUS_CARD = 10
RADIUS_FIELD = 6

_SCALES = {TextKind.PAGE_TITLE: 1.75, TextKind.CARD_TITLE: 1.1, TextKind.BODY: 1.0, TextKind.SECOND: 0.9}
_SEMIBOLD = (TextKind.PAGE_TITLE, TextKind.CARD_TITLE)
_BLACK_AND_WHITE = 20.9
_ICON_SIZE = 20
_ICON_COLOR = b"currentColor"


def contrast(one: QColor, other: QColor) -> float:
    """The ratio of WCAG 2.1, 1 to 21."""
    lighter, darker = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def _luminance(color: QColor) -> float:
    def linear(part: float) -> float:
        return part / 12.92 if part <= 0.04045 else float(((part + 0.055) / 1.055) ** 2.4)

    return 0.2126 * linear(color.redF()) + 0.7152 * linear(color.greenF()) + 0.0722 * linear(color.blueF())


class Theme(QObject):
    """The look of one application: :meth:`apply` it once before the first widget is built.

    The application stands on Fusion, which looks the same everywhere and takes every colour.
    """

    changed = Signal()
    """Colours, sizes or motion differ from before: repaint, and ask for icons again."""

    def __init__(
        self,
        app: QApplication,
        parent: QObject | None = None,
        *,
        system_look: Callable[[], SystemLook] | None = None,
    ) -> None:
        """``system_look`` is asked at each :meth:`refresh`; by default it is what Qt knows of the desktop."""
        super().__init__(parent)
        self._app = app
        self._system_look = system_look or self._look_of_qt
        self._appearance = Appearance.SYSTEM
        self._first_palette = QPalette(app.palette())
        self._colors: dict[Role, QColor] = {}
        self._dark = False
        self._high_contrast = False
        self._reduced_motion = False
        self._sheet: Template | None = None
        self._shown: tuple[object, ...] = ()
        self._icons: dict[tuple[str, Role, Role | None], QIcon] = {}
        self._svgs: dict[str, bytes] = {}
        # Kept: without it PySide6 6.12 takes what accessibility() returns for deleted.
        self._hints = hints = app.styleHints()
        hints.colorSchemeChanged.connect(self.refresh)
        accessibility = getattr(hints, "accessibility", lambda: None)()
        # Qt 6.10 tells of contrast, Qt 6.12 of motion.
        for name in ("contrastPreferenceChanged", "motionPreferenceChanged"):
            signal = getattr(accessibility, name, None)
            if signal is not None:
                signal.connect(self.refresh)
        self._accessibility = accessibility

    @property
    def appearance(self) -> Appearance:
        return self._appearance

    @property
    def dark(self) -> bool:
        return self._dark

    @property
    def high_contrast(self) -> bool:
        return self._high_contrast

    @property
    def reduced_motion(self) -> bool:
        """True: nothing turns, slides or fades."""
        return self._reduced_motion

    def apply(self, appearance: Appearance) -> None:
        """Show what the person chose, from now on."""
        self._appearance = appearance
        hints = self._hints
        # So that title bars and the system's own dialogs go along; where the platform cannot, our colours still do.
        match appearance:
            case Appearance.SYSTEM:
                hints.unsetColorScheme()
            case Appearance.LIGHT:
                hints.setColorScheme(Qt.ColorScheme.Light)
            case Appearance.DARK:
                hints.setColorScheme(Qt.ColorScheme.Dark)
        self.refresh()

    def refresh(self) -> None:
        """Look again at what the system says; announce a change only if there is one."""
        look = self._system_look()
        dark = look.dark if self._appearance is Appearance.SYSTEM else self._appearance is Appearance.DARK
        shown = (look, dark, self._app.font().key())
        if shown == self._shown:
            return
        self._shown = shown
        self._dark, self._high_contrast = dark, look.high_contrast is not None
        self._reduced_motion = look.reduced_motion
        if look.high_contrast is not None:
            self._colors = tokens_of(look.high_contrast)
        else:
            self._colors = {role: QColor(value) for role, value in (DARK if dark else LIGHT).items()}
        self._icons.clear()
        self._app.setPalette(look.high_contrast or palette_of(self._colors))
        self._app.setStyleSheet(self._sheet_text())
        self.changed.emit()

    def color(self, role: Role) -> QColor:
        return self._colors[role]

    def font(self, kind: TextKind = TextKind.BODY) -> QFont:
        """The system's font in the size and weight of ``kind``: for painting; labels have their ``kind`` property."""
        font = QFont(self._app.font())
        if font.pixelSize() > 0:
            font.setPixelSize(round(font.pixelSize() * _SCALES[kind]))
        else:
            font.setPointSizeF(font.pointSizeF() * _SCALES[kind])
        if kind in _SEMIBOLD:
            font.setWeight(QFont.Weight.DemiBold)
        return font

    def icon(self, name: str, role: Role = Role.TEXT_SECOND, checked: Role | None = None) -> QIcon:
        """``resources/icons/<name>.svg`` in a colour, and in another for a checked button. Ask again when changed."""
        key = (name, role, checked)
        icon = self._icons.get(key)
        if icon is None:
            icon = QIcon()
            self._add_pixmaps(icon, name, self.color(role), QIcon.State.Off)
            self._add_pixmaps(icon, name, self.color(checked or role), QIcon.State.On)
            self._icons[key] = icon
        return icon

    def _add_pixmaps(self, icon: QIcon, name: str, color: QColor, state: QIcon.State) -> None:
        for ratio in sorted({1.0, self._app.devicePixelRatio()}):
            icon.addPixmap(self._pixmap(name, color, ratio), QIcon.Mode.Normal, state)

    def _pixmap(self, name: str, color: QColor, ratio: float) -> QPixmap:
        svg = self._svgs.get(name)
        if svg is None:
            svg = self._svgs[name] = resource(f"icons/{name}.svg").read_bytes()
        pixmap = QPixmap.fromImage(drawn(svg.replace(_ICON_COLOR, color.name().encode()), round(_ICON_SIZE * ratio)))
        pixmap.setDevicePixelRatio(ratio)
        return pixmap

    def _sheet_text(self) -> str:
        if self._sheet is None:
            self._sheet = Template(resource("qss/app.qss").read_text(encoding="utf-8"))
        values = {role.value: color.name() for role, color in self._colors.items()}
        for kind in TextKind:
            font = self.font(kind)
            size = f"{font.pixelSize()}px" if font.pixelSize() > 0 else f"{font.pointSizeF():.2f}pt"
            values["size_" + kind.value.replace("-", "_")] = size
        # In high contrast the ground of a bar is that of what it stands on: a frame tells how long it is.
        values["bar_frame"] = f"1px solid {self.color(Role.TEXT).name()}" if self._high_contrast else "none"
        # What a style sheet draws from a file cannot be tinted: the tick lies there twice, the arrow suits both.
        values["icons"] = resource("icons").as_posix()
        values["tick"] = "tick-light" if self.color(Role.ON_ACCENT).lightness() > 127 else "tick-dark"
        return self._sheet.substitute(values)

    def _look_of_qt(self) -> SystemLook:
        scheme, ground = self._hints.colorScheme(), self._first_palette.window().color()
        # Where the desktop has no word for it, its palette tells.
        dark = ground.lightness() < 128 if scheme is Qt.ColorScheme.Unknown else scheme is Qt.ColorScheme.Dark
        # From Qt 6.10 the platform tells of contrast (Windows' contrast themes, macOS, the desktop portal). Before,
        # only the palette is left: pure black and white, which no ordinary theme uses for text and ground.
        contrast_wish = getattr(self._accessibility, "contrastPreference", None)
        if contrast_wish is not None:
            high_contrast = contrast_wish() is Qt.ContrastPreference.HighContrast
        else:
            high_contrast = contrast(self._first_palette.windowText().color(), ground) > _BLACK_AND_WHITE
        # From Qt 6.12; an older Qt has no word for it, and its effect switches are off where nobody set them.
        motion_wish = getattr(self._accessibility, "motionPreference", None)
        reduced_motion = motion_wish is not None and motion_wish().name == "ReducedMotion"
        return SystemLook(dark, self._system_palette() if high_contrast else None, reduced_motion)

    def _system_palette(self) -> QPalette:
        # The platform's palette lies under ours: it shows when ours is taken away.
        self._app.setPalette(QPalette())
        return self._app.palette()


def palette_of(colors: dict[Role, QColor]) -> QPalette:
    """The palette that Fusion draws the rest with: dialogs, menus, fields, scroll bars."""
    palette = QPalette()
    card, text, second = colors[Role.CARD], colors[Role.TEXT], colors[Role.TEXT_SECOND]
    for role, color in (
        (QPalette.ColorRole.Window, colors[Role.WINDOW]),
        (QPalette.ColorRole.WindowText, text),
        (QPalette.ColorRole.Base, card),
        (QPalette.ColorRole.AlternateBase, colors[Role.WINDOW]),
        (QPalette.ColorRole.ToolTipBase, card),
        (QPalette.ColorRole.ToolTipText, text),
        (QPalette.ColorRole.PlaceholderText, second),
        (QPalette.ColorRole.Text, text),
        (QPalette.ColorRole.Button, card),
        (QPalette.ColorRole.ButtonText, text),
        (QPalette.ColorRole.BrightText, colors[Role.BAD]),
        (QPalette.ColorRole.Light, colors[Role.LINE]),
        (QPalette.ColorRole.Midlight, colors[Role.LINE]),
        (QPalette.ColorRole.Mid, colors[Role.LINE]),
        (QPalette.ColorRole.Dark, colors[Role.IDLE]),
        (QPalette.ColorRole.Shadow, colors[Role.LINE]),
        (QPalette.ColorRole.Highlight, colors[Role.ACCENT]),
        (QPalette.ColorRole.HighlightedText, colors[Role.ON_ACCENT]),
        (QPalette.ColorRole.Accent, colors[Role.ACCENT]),
        (QPalette.ColorRole.Link, colors[Role.ACCENT]),
        (QPalette.ColorRole.LinkVisited, colors[Role.ACCENT]),
    ):
        palette.setColor(role, color)
    for role in (QPalette.ColorRole.WindowText, QPalette.ColorRole.Text, QPalette.ColorRole.ButtonText):
        palette.setColor(QPalette.ColorGroup.Disabled, role, colors[Role.IDLE])
    return palette


def tokens_of(palette: QPalette) -> dict[Role, QColor]:
    """The tokens of a high-contrast system palette: its own colours and no others. States differ by shape and words."""
    window, text, base = palette.window().color(), palette.windowText().color(), palette.base().color()
    accent = palette.highlight().color()
    on_accent = palette.highlightedText().color()
    if min(contrast(accent, window), contrast(accent, base), contrast(accent, on_accent)) < TEXT_RATIO:
        accent, on_accent = text, window
    colors = dict.fromkeys(Role, text)
    colors.update(
        {
            Role.WINDOW: window,
            Role.SIDE: window,
            Role.CARD: base,
            Role.ACCENT: accent,
            Role.ON_ACCENT: on_accent,
            Role.BUSY: accent,
            Role.TRACK: base,
            # The ground stays, so that every text on it can be read: the frame says what is selected.
            Role.SELECTION: base,
            Role.SELECTION_LINE: accent,
            Role.HOVER: base,
        }
    )
    return colors


def drawn(svg: bytes, size: int) -> QImage:
    """Draw an SVG into a square of ``size`` device pixels.

    By Qt's image plug-in: importing QtSvg for it costs the first paint 4 ms more.
    """
    buffer = QBuffer()
    buffer.setData(QByteArray(svg))
    reader = QImageReader(buffer, QByteArray(b"svg"))
    reader.setScaledSize(QSize(size, size))
    return reader.read()
