"""Sizes, speeds, times and counts as the person's locale writes them.

The figures are those of :mod:`launcher.domain.units`; here they only get the locale's separators and translated words.
"""

from __future__ import annotations

from PySide6.QtCore import QCoreApplication, QLocale

from launcher.domain.units import format_bytes


def size_text(size_bytes: float) -> str:
    """``4.7 GB``, or ``4,7 GB`` where a comma is the decimal sign."""
    number, unit = format_bytes(size_bytes).split(" ")
    return f"{number.replace('.', QLocale().decimalPoint())} {unit}"


def rate_text(rate_bps: float) -> str:
    """``12 MB/s``."""
    return QCoreApplication.translate("units", "{size}/s").format(size=size_text(rate_bps))


def count_text(count: int) -> str:
    """``131,072``."""
    return QLocale().toString(count)


def percent_text(permille: int) -> str:
    """``62 %``: whole per cents, rounded down, so that 100 % means done."""
    return QCoreApplication.translate("units", "{number} %").format(number=count_text(permille // 10))


def duration_text(duration_s: float) -> str:
    """The two biggest units: ``4 s``, ``3 min 20 s``, ``1 h 5 min``, ``2 d 3 h``. Parts of a second count as one."""
    seconds = max(int(duration_s + 0.999), 0)
    days, seconds = divmod(seconds, 86_400)
    hours, seconds = divmod(seconds, 3_600)
    minutes, seconds = divmod(seconds, 60)
    translate = QCoreApplication.translate
    parts = (
        (days, translate("units", "{number} d")),
        (hours, translate("units", "{number} h")),
        (minutes, translate("units", "{number} min")),
        (seconds, translate("units", "{number} s")),
    )
    first = next((index for index, (number, _) in enumerate(parts) if number), len(parts) - 1)
    shown = [pattern.format(number=count_text(number)) for number, pattern in parts[first : first + 2] if number]
    return " ".join(shown) or parts[-1][1].format(number=count_text(0))
