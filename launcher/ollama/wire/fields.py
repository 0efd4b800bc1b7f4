"""What all answers share: their base, and the kinds of members that may be missing or null."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, GetCoreSchemaHandler, TypeAdapter, ValidationError
from pydantic_core import CoreSchema, core_schema

FOREVER_YEARS = 100
"""A time so far ahead means for ever: the server says it as a date about 292 years away (seen on 0.33.0-rc2)."""


TOLD, NULL = "told", "null"
"""What the place of a problem has in it where a member fits neither its type nor null."""

_GO_ZERO = datetime(2, 1, 1, tzinfo=UTC)
"""Go's zero time is in the year 1."""

_DATETIME = TypeAdapter(datetime, config=ConfigDict(defer_build=True))


class NullIs:
    """Say what null becomes. All else is read as the type says, without a detour through Python: lines of a stream are
    read by the thousand.

    ::

        Annotated[tuple[str, ...], NullIs(tuple)]        null is ()
    """

    __slots__ = ("_make",)

    def __init__(self, make: Callable[[], object]) -> None:
        self._make = make

    def __get_pydantic_core_schema__(self, source: object, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Try the type, then null."""
        null: CoreSchema = core_schema.no_info_plain_validator_function(lambda _: self._make())
        null = core_schema.chain_schema([core_schema.none_schema(), null])
        return core_schema.union_schema([(handler(source), TOLD), (null, NULL)], mode="left_to_right")


class _AnyMoment:
    """Read a moment in the usual shape fast, and in any other by :func:`_moment`."""

    def __get_pydantic_core_schema__(self, source: object, handler: GetCoreSchemaHandler) -> CoreSchema:
        usual = core_schema.datetime_schema(strict=True, tz_constraint="aware", gt=_GO_ZERO)
        return core_schema.union_schema(
            [usual, core_schema.no_info_plain_validator_function(_moment)], mode="left_to_right"
        )


def _moment(value: object) -> datetime | None:
    """Read RFC 3339 with nanoseconds; Go's zero time and what cannot be read are unknown."""
    if not isinstance(value, str):
        return value if isinstance(value, datetime) else None
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


Text = Annotated[str, NullIs(str)]
Number = Annotated[int, NullIs(int)]
Flag = Annotated[bool, NullIs(bool)]
Texts = Annotated[tuple[str, ...], NullIs(tuple)]
Members = Annotated[dict[str, Any], NullIs(dict)]
Moment = Annotated[datetime | None, _AnyMoment()]
End = Annotated[datetime | None, BeforeValidator(_end)]


class Wire(BaseModel):
    """What all answers share."""

    # Built at first use: a command needs two or three of them, and all take 10 ms.
    model_config = ConfigDict(frozen=True, extra="ignore", protected_namespaces=(), defer_build=True)
