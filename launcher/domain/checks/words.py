"""The English of numbers, as the sentences of checks need it."""

from __future__ import annotations

from collections.abc import Sized


def counted(number: int, noun: str) -> str:
    """Say how many: ``no models``, ``1 model``, ``2 models``."""
    return f"{number or 'no'} {noun}{'' if number == 1 else 's'}"


def are(things: Sized) -> str:
    return "is" if len(things) == 1 else "are"
