"""Sizes, speeds and times as people read them.

Decimal units, as Ollama's own command line and the registry use them (format/bytes.go, 0.33): 4.7 GB is 4 700 000 000.
"""

from __future__ import annotations

_UNITS = ("B", "kB", "MB", "GB", "TB", "PB")


def format_bytes(size_bytes: float) -> str:
    """Two or three figures and a unit: ``0 B``, ``34 B``, ``2.4 kB``, ``397 MB``, ``4.7 GB``, ``12.3 GB``."""
    if size_bytes < 0:
        return "-" + format_bytes(-size_bytes)
    value = float(size_bytes)
    for power, unit in enumerate(_UNITS):
        # From GB on a tenth is 100 MB, which somebody who watches a download wants to see move.
        decimals = 0 if power == 0 else 1 if value < 9.95 or (power >= 3 and value < 99.95) else 0
        if round(value, decimals) < 1000 or unit == _UNITS[-1]:
            return f"{value:.{decimals}f} {unit}"
        value /= 1000
    raise AssertionError("unreachable: the last unit takes everything")


def format_rate(rate_bps: float) -> str:
    """A speed in bytes a second: ``12 MB/s``."""
    return format_bytes(rate_bps) + "/s"


def format_duration(duration_s: float) -> str:
    """The two biggest units: ``4 s``, ``3 min 20 s``, ``1 h 5 min``, ``2 d 3 h``. Parts of a second count as one."""
    seconds = max(int(duration_s + 0.999), 0)
    if seconds < 60:
        return f"{seconds} s"
    minutes, seconds = divmod(seconds, 60)
    if minutes < 60:
        return f"{minutes} min {seconds} s" if seconds else f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours < 24:
        return f"{hours} h {minutes} min" if minutes else f"{hours} h"
    days, hours = divmod(hours, 24)
    return f"{days} d {hours} h" if hours else f"{days} d"


def format_percent(permille: int) -> str:
    """``42.7 %``; never ``100.0 %`` for less than 1000."""
    return f"{permille // 10}.{permille % 10} %"
