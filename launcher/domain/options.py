"""The options of a request and of a model: which there are, and what a person may write for each.

A server ignores what it does not know, so that a slip of the pen would change nothing and say nothing (api/types.go
Options, 0.33); here it is refused. Knows nothing of defaults: those are the server's and the model's.
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Iterable, Mapping
from enum import Enum
from types import MappingProxyType

from launcher.errors import InvalidInput

OptionValue = int | float | bool | str | list[str]


class OptionKind(Enum):
    """What the value of an option is; the value is how a person calls it."""

    INTEGER = "a whole number"
    NUMBER = "a number"
    SWITCH = "true or false"
    TEXTS = "a text"
    """May be given several times."""


class InvalidOption(InvalidInput):
    """An option that does not exist, or a value that it cannot have."""


OPTIONS: Mapping[str, OptionKind] = MappingProxyType(
    {
        "num_ctx": OptionKind.INTEGER,
        "num_batch": OptionKind.INTEGER,
        "num_gpu": OptionKind.INTEGER,
        "main_gpu": OptionKind.INTEGER,
        "use_mmap": OptionKind.SWITCH,
        "num_thread": OptionKind.INTEGER,
        "draft_num_predict": OptionKind.INTEGER,
        "num_keep": OptionKind.INTEGER,
        "seed": OptionKind.INTEGER,
        "num_predict": OptionKind.INTEGER,
        "top_k": OptionKind.INTEGER,
        "top_p": OptionKind.NUMBER,
        "min_p": OptionKind.NUMBER,
        "typical_p": OptionKind.NUMBER,
        "repeat_last_n": OptionKind.INTEGER,
        "temperature": OptionKind.NUMBER,
        "repeat_penalty": OptionKind.NUMBER,
        "presence_penalty": OptionKind.NUMBER,
        "frequency_penalty": OptionKind.NUMBER,
        "stop": OptionKind.TEXTS,
    }
)
REMOVED_OPTIONS = frozenset(
    {
        *("numa", "low_vram", "f16_kv", "logits_all", "vocab_only", "use_mlock", "tfs_z", "penalize_newline"),
        *("mirostat", "mirostat_tau", "mirostat_eta"),
    }
)
"""What older servers knew; found in many a Modelfile, and without effect."""

_INTEGER = re.compile(r"[+-]?[0-9]{1,18}")
_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]{1,3})?")
# As Go's strconv.ParseBool.
_SWITCH = {
    **dict.fromkeys(("1", "t", "T", "TRUE", "true", "True"), True),
    **dict.fromkeys(("0", "f", "F", "FALSE", "false", "False"), False),
}


def read_option(name: str, text: str) -> int | float | bool | str:
    """Read the value that is written for an option. Raises InvalidOption."""
    kind = OPTIONS.get(name)
    if kind is None:
        close = difflib.get_close_matches(name, OPTIONS, n=1)
        gone = name in REMOVED_OPTIONS
        raise InvalidOption(
            f"The option “{name}” has no effect any more." if gone else f"There is no option “{name}”.",
            hint="Leave it out." if gone else f"Is {close[0]} meant?" if close else f"Options: {', '.join(OPTIONS)}.",
        )
    if kind is OptionKind.TEXTS:
        return text
    value: int | float | bool | None = None
    if kind is OptionKind.INTEGER and _INTEGER.fullmatch(text):
        value = int(text)
    elif kind is OptionKind.NUMBER and _NUMBER.fullmatch(text):
        number = float(text)
        value = number if math.isfinite(number) else None
    elif kind is OptionKind.SWITCH:
        value = _SWITCH.get(text)
    if value is None:
        raise InvalidOption(f"The option “{name}” must be {kind.value}, not “{text}”.")
    return value


def split_option(written: str) -> tuple[str, str]:
    """Cut ``num_ctx=8192`` in two. Raises InvalidOption."""
    name, equals, text = written.partition("=")
    if not equals:
        raise InvalidOption(f"“{written}” is no option.", hint="One looks like num_ctx=8192.")
    return name.strip().lower(), text


def read_options(written: Iterable[tuple[str, str]]) -> dict[str, OptionValue]:
    """Read several: of a name that comes twice the last counts, or all where the option is a list.

    Raises InvalidOption.
    """
    options: dict[str, OptionValue] = {}
    texts: dict[str, list[str]] = {}
    for name, text in written:
        value = read_option(name, text)
        if OPTIONS[name] is OptionKind.TEXTS:
            texts.setdefault(name, []).append(text)
        else:
            options[name] = value
    return {**options, **texts}
