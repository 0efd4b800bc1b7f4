"""How Go writes JSON, durations, times and their errors. Knows nothing of Ollama."""

from __future__ import annotations

import json
import re
import time
from typing import Any

_NS_PER_S = 1_000_000_000
_UNITS_NS = {"ns": 1, "us": 1_000, "µs": 1_000, "μs": 1_000, "ms": 1_000_000, "s": _NS_PER_S}
_UNITS_NS |= {"m": 60 * _NS_PER_S, "h": 3600 * _NS_PER_S}
_ESCAPES = {'"': '\\"', "\\": "\\\\"} | {chr(7 + at): f"\\{letter}" for at, letter in enumerate("abtnvfr")}
FOREVER_NS = (1 << 63) - 1
"""The longest ``time.Duration``: about 292 years."""


class GoError(ValueError):
    """What a Go function would have returned as its error; the text is Go's."""


def dumps(value: Any) -> bytes:
    """Write JSON as ``encoding/json`` does: compact, UTF-8, with ``<``, ``>``, ``&`` and line separators escaped."""
    text = json.dumps(value, separators=(",", ":"), ensure_ascii=False)
    for character in "<>&\u2028\u2029":
        if character in text:
            text = text.replace(character, f"\\u{ord(character):04x}")
    return text.encode("utf-8", "replace")


def loads(text: str) -> Any:
    """Read the first JSON value of ``text`` as ``json.NewDecoder(…).Decode`` does, and fail with its words."""
    stripped = text.lstrip(" \t\r\n")
    if not stripped:
        raise GoError("EOF")
    try:
        return json.JSONDecoder(parse_constant=_refuse_constant).raw_decode(stripped)[0]
    except ValueError:
        raise GoError(_Scanner(stripped).complaint()) from None


def _refuse_constant(name: str) -> Any:
    raise ValueError(name)


class _Scanner:
    """Find what ``encoding/json`` (scanner.go, Go 1.24) would say about a text that is not JSON."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0

    def complaint(self) -> str:
        try:
            self._value()
        except GoError as error:
            return str(error)
        return "unexpected EOF"

    def _peek(self) -> str:
        while self._at < len(self._text) and self._text[self._at] in " \t\r\n":
            self._at += 1
        return self._take(0)

    def _take(self, step: int = 1) -> str:
        if self._at >= len(self._text):
            raise GoError("unexpected EOF")
        character = self._text[self._at]
        self._at += step
        return character

    def _fail(self, character: str, where: str) -> GoError:
        shown = {"'": r"'\''", '"': "'\"'"}.get(character) or f"'{character}'"
        if not character.isprintable():
            shown = "'" + json.dumps(character)[1:-1] + "'"
        return GoError(f"invalid character {shown} {where}")

    def _value(self) -> None:
        character = self._peek()
        if character == "{":
            self._object()
        elif character == "[":
            self._array()
        elif character == '"':
            self._string()
        elif character == "-" or character.isdecimal():
            self._number()
        elif character in "tfn":
            self._literal({"t": "true", "f": "false", "n": "null"}[character])
        else:
            raise self._fail(character, "looking for beginning of value")

    def _object(self) -> None:
        self._take()
        first = True
        while True:
            character = self._peek()
            if first and character == "}":
                break
            if character != '"':
                raise self._fail(character, "looking for beginning of object key string")
            self._string()
            if (character := self._peek()) != ":":
                raise self._fail(character, "after object key")
            self._take()
            self._value()
            character = self._peek()
            if character == "}":
                break
            if character != ",":
                raise self._fail(character, "after object key:value pair")
            self._take()
            first = False
        self._take()

    def _array(self) -> None:
        self._take()
        if self._peek() == "]":
            self._take()
            return
        while True:
            self._value()
            character = self._peek()
            self._take()
            if character == "]":
                return
            if character != ",":
                raise self._fail(character, "after array element")

    def _string(self) -> None:
        self._take()
        while (character := self._take()) != '"':
            if ord(character) < 0x20:
                raise self._fail(character, "in string literal")
            if character == "\\":
                escaped = self._take()
                if escaped == "u":
                    for _ in range(4):
                        if (digit := self._take()) not in "0123456789abcdefABCDEF":
                            raise self._fail(digit, "in \\u hexadecimal character escape")
                elif escaped not in 'bfnrt\\/"':
                    raise self._fail(escaped, "in string escape code")

    def _number(self) -> None:
        if self._text[self._at] == "-":
            self._take()
            if not (character := self._take(0)).isdecimal():
                raise self._fail(character, "in numeric literal")
        match = re.compile(r"\d*(\.\d+)?([eE][+-]?\d+)?").match(self._text, self._at)
        self._at = match.end() if match else self._at

    def _literal(self, word: str) -> None:
        for expected in word:
            if (character := self._take()) != expected:
                raise self._fail(character, f"in literal {word} (expecting '{expected}')")


def parse_duration(text: str) -> int:
    """Read a ``time.ParseDuration`` text (``1h30m``, ``-1m``, ``1.5s``) into nanoseconds."""
    rest, sign = text, 1
    if rest[:1] in ("-", "+"):
        sign = -1 if rest[0] == "-" else 1
        rest = rest[1:]
    if rest == "0":
        return 0
    if not rest:
        raise GoError(f"time: invalid duration {quote(text)}")
    total = 0.0
    while rest:
        number = re.match(r"\d*\.?\d*", rest)
        digits = number.group() if number else ""
        if digits in ("", "."):
            raise GoError(f"time: invalid duration {quote(text)}")
        rest = rest[len(digits) :]
        unit_match = re.match(r"[^\d.]+", rest)
        if unit_match is None:
            raise GoError(f"time: missing unit in duration {quote(text)}")
        unit = unit_match.group()
        if unit not in _UNITS_NS:
            raise GoError(f"time: unknown unit {quote(unit)} in duration {quote(text)}")
        total += float(digits) * _UNITS_NS[unit]
        rest = rest[len(unit) :]
    return sign * int(total)


def format_duration(ns: int) -> str:
    """Write a duration as ``time.Duration.String`` does: ``109.894µs``, ``1.501972594s``, ``5m0s``."""
    sign, ns = ("-", -ns) if ns < 0 else ("", ns)
    if ns == 0:
        return "0s"
    for unit, size in (("ns", 1), ("µs", 1_000), ("ms", 1_000_000)):
        if ns < size * 1000:
            return f"{sign}{_decimal(ns, size)}{unit}"
    minutes, rest_ns = divmod(ns, 60 * _NS_PER_S)
    text = f"{_decimal(rest_ns, _NS_PER_S)}s"
    if minutes:
        text = f"{minutes % 60}m{text}"
    if minutes >= 60:
        text = f"{minutes // 60}h{text}"
    return sign + text


def _decimal(value: int, size: int) -> str:
    whole, fraction = divmod(value, size)
    digits = f"{fraction:0{len(str(size)) - 1}d}".rstrip("0") if fraction else ""
    return f"{whole}.{digits}" if digits else str(whole)


def quote(text: str) -> str:
    """Write a text as ``strconv.Quote`` does."""
    return '"' + "".join(_quoted(character) for character in text) + '"'


def _quoted(character: str) -> str:
    if character in _ESCAPES:
        return _ESCAPES[character]
    if character.isprintable():
        return character
    number = ord(character)
    if number < 0x20 or number == 0x7F:
        return f"\\x{number:02x}"
    return f"\\u{number:04x}" if number < 0x10000 else f"\\U{number:08x}"


def format_time(epoch_ns: int, *, utc: bool = False) -> str:
    """Write a time as ``time.RFC3339Nano``: trailing zeros of the fraction dropped, local offset unless ``utc``."""
    seconds, fraction = divmod(epoch_ns, _NS_PER_S)
    parts = time.gmtime(seconds) if utc else time.localtime(seconds)
    digits = f"{fraction:09d}".rstrip("0")
    text = time.strftime("%Y-%m-%dT%H:%M:%S", parts) + (f".{digits}" if digits else "")
    return text + ("Z" if utc else format_offset(parts))


def format_offset(parts: time.struct_time) -> str:
    """Write the offset of a broken-down time as RFC 3339 does: ``Z`` or ``+02:00``."""
    offset_s = parts.tm_gmtoff or 0
    if offset_s == 0:
        return "Z"
    sign = "+" if offset_s > 0 else "-"
    hours, rest_s = divmod(abs(offset_s), 3600)
    return f"{sign}{hours:02d}:{rest_s // 60:02d}"


def human_bytes(size_bytes: int) -> str:
    """Write a size as ``format.HumanBytes`` of Ollama does (format/bytes.go, 0.33): ``427 B``, ``100 MB``."""
    for unit, size in (("TB", 10**12), ("GB", 10**9), ("MB", 10**6), ("KB", 10**3)):
        if size_bytes >= size:
            value = size_bytes / size
            return f"{int(value)} {unit}" if value >= 10 or value == int(value) else f"{value:.1f} {unit}"
    return f"{size_bytes} B"
