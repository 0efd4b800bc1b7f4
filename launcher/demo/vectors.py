"""Embeddings without a model: texts that share words lie near each other, and the same text is the same vector."""

from __future__ import annotations

import hashlib
import math
import re

_PLACES_PER_WORD = 16


def embedding_of(text: str, length: int, dimensions: int = 0) -> list[float]:
    """Give a vector of length 1; with ``dimensions``, only its first ones, of length 1 again."""
    values = [1.0 / (1 + at) for at in range(length)]  # what all texts share
    for word in re.findall(r"\w+", text.lower()):
        seed = hashlib.sha512(word.encode()).digest()
        for at in range(_PLACES_PER_WORD):
            number = int.from_bytes(seed[4 * at : 4 * at + 4], "big")
            values[number % length] += 1.0 if number & (1 << 31) else -1.0
    if 0 < dimensions < length:
        values = values[:dimensions]
    norm = math.sqrt(sum(one * one for one in values)) or 1.0
    return [round(one / norm, 8) for one in values]
