"""Light or dark. Apart from the other settings, because the first paint needs only this one."""

from __future__ import annotations

from enum import Enum


class Appearance(Enum):
    """Light or dark: as the system has it, or as the person wants it."""

    SYSTEM = "system"
    LIGHT = "light"
    DARK = "dark"
