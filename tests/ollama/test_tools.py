"""What a model is told about a function, and what the function is then called with."""

# ruff: noqa: D413, D417
# Docstrings are what is read here, in all the ways in which people write them.

from __future__ import annotations

import enum
import functools
import json
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date, datetime
from typing import TYPE_CHECKING, Annotated, Any, Literal, Optional, get_type_hints

import httpx
import ollama
import pytest
from pydantic import BaseModel, Field

from launcher.errors import InvalidInput
from launcher.ollama import Client
from launcher.ollama.tools.schema import BadArguments, NotATool, Tool

if TYPE_CHECKING:
    from decimal import Decimal


class Unit(enum.Enum):
    CELSIUS = "celsius"
    KELVIN = "kelvin"


@dataclass
class Place:
    latitude: float
    longitude: float = 0.0


class Node(BaseModel):
    """A node of a tree."""

    title: str
    children: list[Node] = []


class Span(BaseModel):
    begin: date
    days: int = Field(description="Its length.", ge=1)


class Circle(BaseModel):
    kind: Literal["circle"]
    radius: float


class Square(BaseModel):
    kind: Literal["square"]
    side: float


def plain(city: str, days: int, exact: bool, scale: float) -> str:
    """Tell the weather.

    It may rain.

    Args:
        city (str): Where,
            in English.
        days: How many days.
        exact: Whether to
            the minute.
        scale: How much.

    Returns:
        str: The weather.
    """
    return f"{city} {days} {exact} {scale}"


def without_a_docstring(city: str, names: list[str], extra: dict[str, int]) -> None: ...


def one_may_be_left_out(city: str, days: Optional[int]) -> None:  # noqa: UP045 - what people write
    """Tell the weather.

    Args:
        city: Where.
        days: How many.
    """


def not_annotated(city, days):  # type: ignore[no-untyped-def]
    """Tell the weather."""


def nothing() -> str:
    """Tell the time."""
    return "late"


def only_sections(city: str) -> None:
    """
    Args:
        city: Where.
    """


@pytest.mark.parametrize(
    "function",
    [plain, without_a_docstring, one_may_be_left_out, not_annotated, nothing, only_sections],
    ids=lambda function: function.__name__,
)
def test_plain_functions_are_told_as_by_the_official_package(function: Callable[..., Any]) -> None:
    # It does not resolve them itself.
    function.__annotations__ = get_type_hints(function)
    official = ollama._utils.convert_function_to_tool(function).model_dump(exclude_none=True)["function"]
    ours = Tool.of(function).definition["function"]
    assert ours["name"] == official["name"]
    assert ours.get("description", "") == official.get("description", "").strip()
    assert ours["parameters"]["required"] == official["parameters"].get("required", [])
    theirs = official["parameters"].get("properties", {})
    assert list(ours["parameters"]["properties"]) == list(theirs)
    for name, told in ours["parameters"]["properties"].items():
        assert told["type"] == theirs[name]["type"], name
        assert told.get("description", "") == theirs[name].get("description", ""), name


def test_the_whole_of_a_tool() -> None:
    assert Tool.of(plain).definition == {
        "type": "function",
        "function": {
            "name": "plain",
            "description": "Tell the weather.\n\nIt may rain.",
            "parameters": {
                "type": "object",
                "properties": {
                    "city": {"type": "string", "description": "Where, in English."},
                    "days": {"type": "integer", "description": "How many days."},
                    "exact": {"type": "boolean", "description": "Whether to the minute."},
                    "scale": {"type": "number", "description": "How much."},
                },
                "required": ["city", "days", "exact", "scale"],
            },
        },
    }


def test_name_and_words_may_be_given() -> None:
    tool = Tool.of(lambda city: city, name="weather", description="Tell it.")
    assert (tool.name, tool.description) == ("weather", "Tell it.")


def of_type(kind: Any, default: Any = ...) -> Callable[..., Any]:
    """Make a function with one parameter of a type."""

    def function(value: Any) -> None: ...

    function.__annotations__ = {"value": kind}
    if default is not ...:
        function.__defaults__ = (default,)
    return function


POINT = {
    "type": "object",
    "properties": {"latitude": {"type": "number"}, "longitude": {"type": "number"}},
    "required": ["latitude"],
}


@pytest.mark.parametrize(
    ("kind", "told"),
    [
        pytest.param(Literal["a", "b"], {"type": "string", "enum": ["a", "b"]}, id="Literal"),
        pytest.param(Literal["a"], {"type": "string", "enum": ["a"]}, id="Literal of one"),
        pytest.param(Unit, {"type": "string", "enum": ["celsius", "kelvin"]}, id="Enum"),
        pytest.param(list[str], {"type": "array", "items": {"type": "string"}}, id="list"),
        pytest.param(list[Place], {"type": "array", "items": POINT}, id="list of dataclasses"),
        pytest.param(dict[str, int], {"type": "object", "additionalProperties": {"type": "integer"}}, id="dict"),
        pytest.param(int | str, {"type": ["integer", "string"]}, id="union"),
        pytest.param(int | None, {"type": "integer"}, id="may be None"),
        pytest.param(Place, POINT, id="dataclass"),
        pytest.param(Place | None, POINT, id="dataclass that may be None"),
        pytest.param(
            Annotated[int, Field(gt=0, description="How many.")],
            {"type": "integer", "exclusiveMinimum": 0, "description": "How many. (more than 0)"},
            id="Annotated",
        ),
        pytest.param(
            Annotated[float, Field(ge=0, le=1)] | None,
            {"type": "number", "minimum": 0, "maximum": 1, "description": "at least 0, at most 1"},
            id="limits without words",
        ),
        pytest.param(
            datetime,
            {"type": "string", "format": "date-time", "description": "such as 2026-01-31T12:00:00Z"},
            id="datetime",
        ),
        pytest.param(
            Span,
            {
                "type": "object",
                "properties": {
                    "begin": {"type": "string", "format": "date", "description": "such as 2026-01-31"},
                    "days": {"type": "integer", "minimum": 1, "description": "Its length. (at least 1)"},
                },
                "required": ["begin", "days"],
            },
            id="limits within",
        ),
        pytest.param(
            Node,
            {
                "type": "object",
                "description": "A node of a tree.",
                "properties": {"title": {"type": "string"}, "children": {"type": "array", "items": {"type": "object"}}},
                "required": ["title"],
            },
            id="model that contains itself",
        ),
        pytest.param(
            Annotated[Circle | Square, Field(discriminator="kind")],
            {
                "anyOf": [
                    {
                        "type": "object",
                        "properties": {"kind": {"type": "string", "enum": ["circle"]}, "radius": {"type": "number"}},
                        "required": ["kind", "radius"],
                    },
                    {
                        "type": "object",
                        "properties": {"kind": {"type": "string", "enum": ["square"]}, "side": {"type": "number"}},
                        "required": ["kind", "side"],
                    },
                ]
            },
            id="one of two models",
        ),
    ],
)
def test_a_type_is_told_with_what_the_server_passes_on(kind: Any, told: dict[str, Any]) -> None:
    parameters = Tool.of(of_type(kind), name="f").parameters
    assert parameters["properties"] == {"value": told}
    assert "$defs" not in parameters


def test_what_has_a_default_is_not_required_and_the_default_not_told() -> None:
    def function(city: str, days: int = 3, *, key: str = "secret", stop: object = object()) -> None: ...

    parameters = Tool.of(function).parameters
    assert parameters["required"] == ["city"]
    assert parameters["properties"]["key"] == {"type": "string"}
    assert "secret" not in repr(parameters)


def test_null_stays_where_it_means_something_else_than_nothing() -> None:
    tool = Tool.of(of_type(int | None, 5), name="f")
    assert tool.parameters["properties"]["value"] == {"type": ["integer", "null"]}
    assert tool.arguments({}) == {"value": 5}
    assert tool.arguments({"value": None}) == {"value": None}


def test_a_type_that_is_not_annotated_is_guessed_from_the_default() -> None:
    def function(text, number=3, share=0.5, flag=False, anything=None):  # type: ignore[no-untyped-def]
        ...

    told = Tool.of(function).parameters["properties"]
    assert [told[name].get("type") for name in told] == ["string", "integer", "number", "boolean", None]


def test_the_description_of_a_parameter_wins_over_that_of_its_type() -> None:
    def function(first: Node, second: Node, third: Annotated[Node, Field(description="By the field.")]) -> None:
        """Do it.

        Args:
            second: By the docstring.
            third: By the docstring.
        """

    told = Tool.of(function).parameters["properties"]
    words = [told[name]["description"] for name in told]
    assert words == ["A node of a tree.", "By the docstring.", "By the field."]


def test_an_odd_docstring_still_gives_its_first_words() -> None:
    def function(city: str) -> None:
        """Tell the weather.

        Args:
        """  # noqa: D414

    assert Tool.of(function).description == "Tell the weather."


class Station:
    """A weather station."""

    def __init__(self, name: str) -> None:
        self.name = name

    def measure(self, what: str) -> str:
        """Measure something.

        Args:
            what: The thing.
        """
        return f"{self.name}: {what}"

    def __call__(self, what: str, times: int = 1) -> str:
        return f"{self.name}: {what} {times}"


async def over_there(what: str) -> str:
    """Measure it elsewhere."""
    return what


def keyed(what: str, key: str, times: int = 1) -> str:
    """Measure it with a key."""
    return f"{what} {key} {times}"


@functools.lru_cache
def cached(what: str) -> str:
    """Measure it once."""
    return what


@functools.wraps(keyed)
def wrapper(*args: Any, **arguments: Any) -> str:
    return keyed(*args, **arguments)


@pytest.mark.parametrize(
    ("function", "name", "description", "parameters"),
    [
        pytest.param(Station("Bern").measure, "measure", "Measure something.", ["what"], id="bound method"),
        pytest.param(Station("Bern"), "Station", "A weather station.", ["what", "times"], id="object"),
        pytest.param(over_there, "over_there", "Measure it elsewhere.", ["what"], id="coroutine function"),
        pytest.param(
            functools.partial(keyed, key="secret"), "keyed", "Measure it with a key.", ["what", "times"], id="partial"
        ),
        pytest.param(functools.partial(keyed, "rain"), "keyed", "Measure it with a key.", ["key", "times"], id="bound"),
        pytest.param(cached, "cached", "Measure it once.", ["what"], id="lru_cache"),
        pytest.param(wrapper, "keyed", "Measure it with a key.", ["what", "key", "times"], id="wrapped"),
    ],
)
def test_all_kinds_of_functions_become_tools(
    function: Callable[..., Any], name: str, description: str, parameters: list[str]
) -> None:
    tool = Tool.of(function)
    assert (tool.name, tool.description, list(tool.parameters["properties"])) == (name, description, parameters)


def test_a_result_type_that_only_checkers_know_does_no_harm() -> None:
    def function(city: str) -> Decimal:
        raise NotImplementedError

    assert list(Tool.of(function).parameters["properties"]) == ["city"]


def any_number(*cities: str) -> None: ...


def any_names(**cities: str) -> None: ...


def by_position(city: str, /) -> None: ...


def unknown_type(city: Decimal) -> None: ...


def not_for_json(city: Iterator[Callable[[], None]]) -> None: ...


def yields(city: str) -> Iterator[str]:
    yield city


@pytest.mark.parametrize(
    ("function", "reason"),
    [
        pytest.param(any_number, "*cities takes any number of values", id="*args"),
        pytest.param(any_names, "**cities takes any number of values", id="**kwargs"),
        pytest.param(by_position, "city has no name for those who call it", id="positional only"),
        pytest.param(math.sqrt, "x has no name for those who call it", id="built-in"),
        pytest.param(unknown_type, "a type in its signature is not known", id="unknown type"),
        pytest.param(not_for_json, "the type of a parameter cannot be told to a model", id="no JSON"),
        pytest.param(of_type(Station), "the type of a parameter cannot be told to a model", id="any class"),
        pytest.param(lambda city: city, "it has no name", id="lambda"),
        pytest.param(Station, "it is no function", id="class"),
        pytest.param(3, "it is no function", id="number"),
        pytest.param(yields, "it yields and does not return", id="generator"),
    ],
)
def test_what_cannot_be_a_tool_is_refused_with_a_sentence(function: Any, reason: str) -> None:
    with pytest.raises(NotATool) as caught:
        Tool.of(function)
    assert isinstance(caught.value, InvalidInput)
    assert reason in caught.value.title
    assert caught.value.title.endswith(".")
    assert caught.value.hint


def everything(
    city: str,
    unit: Unit,
    place: Place,
    days: int = 3,
    names: list[str] | None = None,
    exact: bool = False,
) -> None: ...


NEEDED = {"city": "Bern", "unit": "kelvin", "place": {"latitude": 1.5}}
DEFAULTS = {"days": 3, "names": None, "exact": False}


@pytest.mark.parametrize(
    ("given", "taken"),
    [
        pytest.param({}, {}, id="as they are"),
        pytest.param({"days": "5"}, {"days": 5}, id="number as text"),
        pytest.param({"city": 3012}, {"city": "3012"}, id="text as number"),
        pytest.param({"exact": "true"}, {"exact": True}, id="flag as text"),
        pytest.param({"names": ["a"]}, {"names": ["a"]}, id="list"),
        pytest.param({"names": '["a", "b"]'}, {"names": ["a", "b"]}, id="list as JSON"),
        pytest.param({"place": '{"latitude": "2"}'}, {"place": Place(2.0)}, id="object as JSON"),
        pytest.param({"days": None}, {}, id="null for left out"),
    ],
)
def test_models_need_not_be_exact(given: dict[str, Any], taken: dict[str, Any]) -> None:
    expected = {"city": "Bern", "unit": Unit.KELVIN, "place": Place(1.5), **DEFAULTS, **taken}
    assert Tool.of(everything).arguments({**NEEDED, **given}) == expected


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        pytest.param({"days": "many"}, "days: Input should be a valid integer", id="no number"),
        pytest.param({"unit": "inch"}, "unit: Input should be 'celsius' or 'kelvin'", id="not in the list"),
        pytest.param({"place": {}}, "place.latitude: Field required", id="within"),
        pytest.param({"city": None}, "city: Input should be a valid string", id="null for what is needed"),
        pytest.param({"mood": "good"}, "mood: there is no such parameter", id="unknown"),
        pytest.param({"names": "[1, "}, "names: Input should be a valid list", id="broken JSON"),
    ],
)
def test_what_does_not_fit_is_told_in_words(given: dict[str, Any], problem: str) -> None:
    with pytest.raises(BadArguments) as caught:
        Tool.of(everything).arguments({**NEEDED, **given})
    assert caught.value.problems[0].startswith(problem)
    assert "pydantic" not in str(caught.value)


def test_all_that_is_missing_is_named() -> None:
    with pytest.raises(BadArguments) as caught:
        Tool.of(everything).arguments({})
    assert caught.value.problems == ("city: is missing", "unit: is missing", "place: is missing")


def test_a_field_as_default_gives_its_default() -> None:
    def function(days: int = Field(3, description="How many.", ge=1)) -> None: ...

    tool = Tool.of(function)
    assert tool.arguments({}) == {"days": 3}
    assert tool.parameters == {
        "type": "object",
        "properties": {"days": {"type": "integer", "minimum": 1, "description": "How many. (at least 1)"}},
        "required": [],
    }


def test_a_parameter_named_like_one_of_ours_is_a_parameter() -> None:
    def function(self: str, cls: str, title: str, default: int = 1) -> None: ...

    assert Tool.of(function).arguments({"self": "a", "cls": "b", "title": "c"}) == {
        "self": "a",
        "cls": "b",
        "title": "c",
        "default": 1,
    }


@pytest.mark.anyio
async def test_a_function_may_be_passed_to_a_chat() -> None:
    asked: list[Any] = []

    def handler(request: httpx.Request) -> httpx.Response:
        asked.append(json.loads(request.content)["tools"])
        return httpx.Response(200, json={"message": {"content": ""}, "done": True})

    async with Client("http://127.0.0.1:1", transport=httpx.MockTransport(handler)) as client:
        await client.chat("m", [{"role": "user", "content": "Hi"}], tools=[nothing, Tool.of(plain)])
        with pytest.raises(NotATool):
            await client.chat("m", tools=[3])  # type: ignore[list-item]
    assert asked == [[Tool.of(nothing).definition, Tool.of(plain).definition]]
