"""How many tokens a text has, without its tokenizer: a likely number, one that no tokenizer goes below, one above none.

Pure. Only the model's own tokenizer knows the true number, and no route of the server tells it beforehand. The time
taken is bounded: of a text that is larger than any context only samples are looked at.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

_PIECES = re.compile(r"[A-Za-z]+|[0-9]+|[^\W\d_]+|[^\w\s]+|_+")
# Chinese, Japanese and Korean characters: no spaces between words.
_DENSE = re.compile(r"[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff\U00020000-\U0003ffff]+")
_LATIN = re.compile(r"[A-Za-z]+")
_DIGITS = re.compile(r"[0-9]+")
_SPACES = re.compile(r"\s+")
_MAKE_OF = 6_000
_ALIKE = 0.1

_LETTERS_A_TOKEN = 7
"""Of a word in Latin letters; English words have 4.7 letters on average, and are mostly one token."""
_OTHER_LETTERS_A_TOKEN = 3
"""Cyrillic, Greek, Arabic, Thai...: between 2 and 4 in the vocabularies of today."""
_DIGITS_A_TOKEN = 2
"""Some tokenizers take each alone, others three together."""
_SIGNS_A_TOKEN = 2
"""Of those that stand together, as in ``"}),``."""
_DENSE_CHARACTERS_A_TOKEN = 4
"""At the most: common words of several characters are one token each."""

_LOOKED_AT = 30_000
_COUNTED = 400_000
_SAMPLES = 3
_MESSAGE_TOKENS = 4
"""What templates put around a message: the role, and a mark at each end."""
IMAGE_TOKENS = 768
"""What the server itself reckons for an image (server/prompt.go, 0.33); models take from 64 to some thousand."""


@dataclass(frozen=True, slots=True)
class TokenCounts:
    """How many tokens went in and came out."""

    prompt: int
    answer: int
    estimated: bool
    """True: at least one of them is a guess, as the server told none."""


class Counted(Protocol):
    """An answer that may carry the server's own counts: of chat, of generate."""

    @property
    def prompt_eval_count(self) -> int | None: ...

    @property
    def eval_count(self) -> int | None: ...


def token_counts(
    answer: Counted | None, *, sent: str | Sequence[Mapping[str, Any] | object] = "", text: str = ""
) -> TokenCounts:
    """Take the server's counts from the last line of an answer; estimate those that it did not give.

    ``sent`` is the prompt or the messages, ``text`` the whole answer, as it was put together from a stream. ``answer``
    is None where the stream broke off before its last line.
    """
    prompt = answer.prompt_eval_count if answer is not None else None
    given = answer.eval_count if answer is not None else None
    return TokenCounts(
        prompt=prompt if prompt is not None else _estimate_sent(sent),
        answer=given if given is not None else estimate_tokens(text),
        estimated=prompt is None or given is None,
    )


def estimate_tokens(text: str) -> int:
    """Guess how many tokens a text has: within a third of what common vocabularies make of prose and code."""
    if len(text) <= _LOOKED_AT:
        return _estimate(text)
    size = _LOOKED_AT // _SAMPLES
    step = (len(text) - size) // (_SAMPLES - 1)
    looked_at = sum(_estimate(text[start : start + size]) for start in range(0, step * _SAMPLES, step))
    return round(looked_at * len(text) / (size * _SAMPLES))


def _estimate(text: str) -> int:
    tokens = 0
    for piece in _PIECES.findall(text):
        first = piece[0]
        length = len(piece)
        if "a" <= first <= "z" or "A" <= first <= "Z":
            tokens += 1 + (length - 1) // _LETTERS_A_TOKEN
        elif "0" <= first <= "9":
            tokens += 1 + (length - 1) // _DIGITS_A_TOKEN
        elif _DENSE.match(first):
            tokens += 1 + (length - 1) * 2 // 3
        elif first.isalpha():
            tokens += 1 + (length - 1) // _OTHER_LETTERS_A_TOKEN
        else:
            tokens += 1 + (length - 1) // _SIGNS_A_TOKEN
    # Line ends, with the indentation after them, are tokens of their own.
    return tokens + text.count("\n")


def fewest_tokens(text: str) -> int:
    """Say how many tokens a text has at least, whatever the vocabulary: each word is one, however long.

    Of a text larger than any context only the beginning is counted.
    """
    text = text[:_COUNTED]
    words = len(text.split())
    if text.isascii():
        return words
    dense = sum(map(len, _DENSE.findall(text)))
    return max(words, dense // _DENSE_CHARACTERS_A_TOKEN)


@dataclass(frozen=True, slots=True)
class Make:
    """What a text is made of, as shares of its characters: texts of one make have about as many tokens a letter."""

    letters: float
    digits: float
    dense: float
    spaces: float

    def alike(self, other: Make) -> bool:
        """Say whether a measure taken on one may be used for the other."""
        pairs = (
            (self.letters, other.letters),
            (self.digits, other.digits),
            (self.dense, other.dense),
            (self.spaces, other.spaces),
        )
        return all(abs(one - another) <= _ALIKE for one, another in pairs)


def make_of(text: str) -> Make:
    """Tell what a text is made of, from its beginning."""
    text = text[:_MAKE_OF]
    size = len(text) or 1

    def share(kind: re.Pattern[str]) -> float:
        return sum(map(len, kind.findall(text))) / size

    return Make(share(_LATIN), share(_DIGITS), share(_DENSE), share(_SPACES))


def most_tokens(text: str) -> int:
    """Say how many tokens a text has at the most: a vocabulary may fall back to bytes, and put a mark before each."""
    return 2 * (len(text) if text.isascii() else len(text.encode("utf-8", "replace")))


def _estimate_sent(sent: str | Sequence[Mapping[str, Any] | object]) -> int:
    if isinstance(sent, str):
        return estimate_tokens(sent)
    return sum(
        _MESSAGE_TOKENS
        + estimate_tokens(_text(_member(message, "content")))
        + IMAGE_TOKENS * len(_member(message, "images") or ())
        for message in sent
    )


def _member(message: Mapping[str, Any] | object, name: str) -> Any:
    return message.get(name) if isinstance(message, Mapping) else getattr(message, name, None)


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""
