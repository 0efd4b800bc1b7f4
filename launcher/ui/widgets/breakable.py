"""Long names on narrow ground: where a label may break them."""

from __future__ import annotations

import re

_MAY_BREAK = "\u200b"
_LONGEST = 24
_PLACES = re.compile(rf"([/\\:._-])(?=\S)|(\S{{{_LONGEST}}})(?=\S)")


def breakable(text: str) -> str:
    """Allow a line break after each sign that joins words, and in words that have none. Looks the same otherwise.

    For labels only: what is copied, compared or read out stays as it was.
    """
    return _PLACES.sub(lambda found: found[0] + _MAY_BREAK, text)
