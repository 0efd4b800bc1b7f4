"""What all answers share: their base, and the kinds of members that may be missing or null."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, TypeAdapter, ValidationError

FOREVER_YEARS = 100
"""A time so far ahead means for ever: the server says it as a date about 292 years away (seen on 0.33.0-rc2)."""


def no_text(value: object) -> object:
    return "" if value is None else value


def no_number(value: object) -> object:
    return 0 if value is None else value


def no_flag(value: object) -> object:
    return False if value is None else value


def no_items(value: object) -> object:
    return () if value is None else value


def no_members(value: object) -> object:
    return {} if value is None else value


_DATETIME = TypeAdapter(datetime, config=ConfigDict(defer_build=True))


def _moment(value: object) -> datetime | None:
    """Read RFC 3339 with nanoseconds; Go's zero time and what cannot be read are unknown."""
    if not isinstance(value, str):
        return None
    try:
        moment = _DATETIME.validate_python(value)
    except ValidationError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return None if moment.year <= 1 else moment


def _end(value: object) -> datetime | None:
    """Read a time at which something ends; for ever is None."""
    moment = _moment(value)
    return None if moment is None or moment.year >= datetime.now(UTC).year + FOREVER_YEARS else moment


Text = Annotated[str, BeforeValidator(no_text)]
Number = Annotated[int, BeforeValidator(no_number)]
Flag = Annotated[bool, BeforeValidator(no_flag)]
Texts = Annotated[tuple[str, ...], BeforeValidator(no_items)]
Members = Annotated[dict[str, Any], BeforeValidator(no_members)]
Moment = Annotated[datetime | None, BeforeValidator(_moment)]
End = Annotated[datetime | None, BeforeValidator(_end)]


class Wire(BaseModel):
    """What all answers share."""

    # Built at first use: a command needs two or three of them, and all take 10 ms.
    model_config = ConfigDict(frozen=True, extra="ignore", protected_namespaces=(), defer_build=True)
