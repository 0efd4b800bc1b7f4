"""A Python function as a tool: what a model is told about it, and the arguments it is then called with.

Name, types and defaults come from the signature, the words from a docstring in Google's style, schema and validation
from pydantic. Knows neither the server nor when a tool is called.
"""

from __future__ import annotations

import functools
import inspect
import json
import types
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, Union, get_args, get_origin

import docstring_parser
from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic.errors import PydanticUserError
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaWarningKind

from launcher.errors import InvalidInput

_GUESSED = (bool, int, float, str)
"""Of a parameter without an annotation, the type of its default; without a default it is a text."""

_NOISE = {"title", "default", "$defs", "discriminator"}
"""What says nothing to a model. A default, moreover, need not be its business."""


_LIMITS = {
    "minimum": "at least {}",
    "maximum": "at most {}",
    "exclusiveMinimum": "more than {}",
    "exclusiveMaximum": "less than {}",
    "multipleOf": "a multiple of {}",
    "minLength": "at least {} characters",
    "maxLength": "at most {} characters",
    "minItems": "at least {} items",
    "maxItems": "at most {} items",
    "pattern": "matching {}",
    "format": "{}",
}
"""What a schema says and the server does not pass on, in words for the description."""

_FORMATS = {
    "date-time": "such as 2026-01-31T12:00:00Z",
    "date": "such as 2026-01-31",
    "time": "such as 12:00:00Z",
    "duration": "such as PT1H30M",
}


class NotATool(InvalidInput):
    """A function that a model cannot call, and why."""

    def __init__(self, name: str, reason: str, *, detail: str = "", hint: str = "") -> None:
        super().__init__(f"The function {name} cannot be a tool: {reason}.", detail=detail, hint=hint)


class BadArguments(InvalidInput):
    """What a model wants a tool called with does not fit its parameters; ``problems`` has one text for each."""

    def __init__(self, tool: str, problems: Sequence[str]) -> None:
        super().__init__(
            f"The arguments for the tool {tool} do not fit: {'; '.join(problems)}.",
            hint="The model chose them: another one may do better, or clearer descriptions of the parameters.",
        )
        self.problems = tuple(problems)


@dataclass(frozen=True, slots=True)
class Tool:
    """A function, and what a model is told about it. Made by :meth:`of`."""

    name: str
    description: str
    parameters: Mapping[str, Any]
    """The JSON schema of its parameters."""
    function: Callable[..., Any]
    _arguments: TypeAdapter[dict[str, Any]] = field(repr=False, compare=False)

    @classmethod
    def of(cls, function: Callable[..., Any], *, name: str = "", description: str = "") -> Tool:
        """Make a tool of a function: also of a coroutine function, a bound method, a partial, an object with a call.

        ::

            def weather(city: str, days: Annotated[int, Field(ge=1, le=14)] = 1) -> str: ...

            Tool.of(weather).definition      what a request carries
            Tool.of(weather, name="forecast", description="Tell the weather of the next days.")

        Parameters may be whatever pydantic can validate, and are described by the section ``Args:`` of the docstring
        or by ``Field(description=…)``. One that may be None and has no default may be left out, and is None then. What
        a partial has bound is no longer a parameter. Raises NotATool.
        """
        name = name or _name(function)
        signature = _signature(function, name)
        documented = _Documented.read(_docstring(function))
        try:
            arguments = _adapter(signature)
            schema = arguments.json_schema(schema_generator=_Schemas)
        except (PydanticUserError, NameError, TypeError) as error:
            raise NotATool(
                name,
                "the type of a parameter cannot be told to a model",
                detail=str(error),
                hint="Use types that JSON has, or dataclasses and models made of them.",
            ) from error
        return cls(
            name=name,
            description=description or documented.description,
            parameters=_parameters(schema, signature, documented.parameters),
            function=function,
            _arguments=arguments,
        )

    @property
    def definition(self) -> dict[str, Any]:
        """The tool as a request carries it."""
        words = {"description": self.description} if self.description else {}
        return {"type": "function", "function": {"name": self.name, **words, "parameters": dict(self.parameters)}}

    def arguments(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Turn what a model sent into what the function takes; defaults are filled in. Raises BadArguments.

        Models are not exact: a number may come as text and a text as number, a list or object as its JSON, and null
        for what is to be left out.
        """
        try:
            return self._arguments.validate_python(dict(given))
        except ValidationError as error:
            problems = error
        mended = self._mended(given, problems)
        if mended != given:
            try:
                return self._arguments.validate_python(mended)
            except ValidationError as error:
                problems = error
        raise BadArguments(self.name, [_problem(found) for found in problems.errors(include_url=False)]) from problems

    def _mended(self, given: Mapping[str, Any], problems: ValidationError) -> dict[str, Any]:
        mended = dict(given)
        for name in {str(problem["loc"][0]) for problem in problems.errors(include_url=False) if problem["loc"]}:
            value = mended.get(name)
            if value is None and name not in self.parameters["required"]:
                mended.pop(name, None)
            elif isinstance(value, str) and value.lstrip().startswith(("{", "[")):
                try:
                    mended[name] = json.loads(value)
                except (ValueError, RecursionError):
                    continue
        return mended


@dataclass(frozen=True, slots=True)
class _Documented:
    """What a docstring says."""

    description: str = ""
    parameters: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def read(cls, docstring: str) -> _Documented:
        try:
            # The line end keeps it from taking the indentation of a first section for that of the whole.
            parsed = docstring_parser.parse("\n" + docstring, style=docstring_parser.DocstringStyle.GOOGLE)
        except docstring_parser.ParseError:
            # An odd section does not make the words before it worse.
            return cls(docstring.partition("\nArgs:")[0].strip())
        parameters = {found.arg_name: " ".join((found.description or "").split()) for found in parsed.params}
        return cls((parsed.description or "").strip(), parameters)


class _Schemas(GenerateJsonSchema):
    # The defaults are not told, whatever they are.
    ignored_warning_kinds: set[JsonSchemaWarningKind] = {"skipped-choice", "non-serializable-default"}  # noqa: RUF012 - pydantic declares it so


def _callee(function: Callable[..., Any]) -> Callable[..., Any]:
    """Find what carries the annotations and the docstring."""
    while isinstance(function, functools.partial):
        function = function.func
    return function if inspect.isroutine(function) else type(function).__call__


def _name(function: Callable[..., Any]) -> str:
    while isinstance(function, functools.partial):
        function = function.func
    name = str(getattr(function, "__name__", type(function).__name__))
    if name.isidentifier():
        return name
    raise NotATool(name, "it has no name", hint="Give it one: Tool.of(function, name=…).")


def _docstring(function: Callable[..., Any]) -> str:
    callee = _callee(function)
    if inspect.isroutine(callee) and callee.__name__ != "__call__":
        return inspect.getdoc(callee) or ""
    # Of an object; what getdoc() finds for a __call__ without words is that of "object".
    while isinstance(function, functools.partial):
        function = function.func
    return inspect.cleandoc(callee.__doc__ or type(function).__doc__ or "")


def _signature(function: Callable[..., Any], name: str) -> inspect.Signature:
    """Read the parameters that a model gives, by name only, each with a type that is resolved. Raises NotATool."""
    if inspect.isclass(function) or not callable(function):
        raise NotATool(name, "it is no function", hint="Use a function, a method or an object that can be called.")
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise NotATool(name, "it yields and does not return", hint="Return a list.")
    try:
        signature = inspect.signature(function)
        types_of = _types(function)
    except ValueError as error:
        raise NotATool(
            name, "Python does not know its parameters", detail=str(error), hint="Wrap it into a function of your own."
        ) from error
    except (NameError, TypeError) as error:
        raise NotATool(
            name,
            "a type in its signature is not known",
            detail=str(error),
            hint="Define that type at the top of the module of the function.",
        ) from error
    bound = function.keywords if isinstance(function, functools.partial) else {}
    parameters = []
    for parameter in signature.parameters.values():
        if parameter.name in bound:
            continue
        if parameter.kind in (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD):
            stars = "*" if parameter.kind is inspect.Parameter.VAR_POSITIONAL else "**"
            raise NotATool(
                name,
                f"{stars}{parameter.name} takes any number of values",
                hint="Give each parameter a name, or take a list.",
            )
        if parameter.kind is inspect.Parameter.POSITIONAL_ONLY:
            raise NotATool(
                name,
                f"{parameter.name} has no name for those who call it",
                hint="A model passes arguments by name: leave out the “/” of the signature.",
            )
        parameters.append(_typed(parameter, types_of.get(parameter.name, parameter.empty)))
    return inspect.Signature(parameters)


def _types(function: Callable[..., Any]) -> dict[str, Any]:
    """Resolve the types of the parameters, not that of the result: it may be known to type checkers only."""
    callee = inspect.unwrap(_callee(function))
    annotations = {name: kind for name, kind in inspect.get_annotations(callee).items() if name != "return"}
    return typing.get_type_hints(
        types.SimpleNamespace(__annotations__=annotations),
        globalns=getattr(callee, "__globals__", {}),
        include_extras=True,
    )


def _typed(parameter: inspect.Parameter, kind: Any) -> inspect.Parameter:
    default = parameter.default
    if kind is parameter.empty:
        kind = type(default) if type(default) in _GUESSED else Any if default is not parameter.empty else str
    if default is parameter.empty and _may_be_none(kind):
        default = None
    return parameter.replace(annotation=kind, default=default, kind=inspect.Parameter.KEYWORD_ONLY)


def _may_be_none(kind: Any) -> bool:
    if get_origin(kind) is Annotated:
        kind = get_args(kind)[0]
    return get_origin(kind) in (Union, types.UnionType) and types.NoneType in get_args(kind)


def _adapter(signature: inspect.Signature) -> TypeAdapter[dict[str, Any]]:
    """Validate arguments without the call: what the function itself raises must not look like a bad argument."""

    def collect(**arguments: Any) -> dict[str, Any]:
        return arguments

    collect.__signature__ = signature  # type: ignore[attr-defined]  # what inspect looks at first
    collect.__annotations__ = {name: parameter.annotation for name, parameter in signature.parameters.items()}
    of_call: Any = collect  # a function is a kind of type to pydantic, which checkers do not know
    return TypeAdapter(of_call, config=ConfigDict(coerce_numbers_to_str=True))


def _parameters(
    schema: Mapping[str, Any], signature: inspect.Signature, documented: Mapping[str, str]
) -> dict[str, Any]:
    definitions = schema.get("$defs", {})
    properties = {}
    for name, found in schema.get("properties", {}).items():
        flat = _flat(found, definitions, ())
        parameter = signature.parameters.get(name)
        if parameter is not None and parameter.default is None:
            # To leave it out says the same, and small models are confused by alternatives.
            flat = _without_null(flat)
        properties[name] = _with_words(flat, found.get("description") or documented.get(name))
    return {"type": "object", "properties": properties, "required": list(schema.get("required", ()))}


def _flat(schema: Any, definitions: Mapping[str, Any], within: tuple[str, ...]) -> Any:
    """Write a schema with what Ollama passes on to a model, at any depth.

    Of a property that is type, enum, items, properties, required, anyOf and description (api/types.go ``ToolProperty``,
    0.33); the rest is dropped there without a word, references, ``const`` and limits among it.
    """
    if not isinstance(schema, dict):
        return schema
    schema = {key: value for key, value in schema.items() if key not in _NOISE}
    if reference := schema.pop("$ref", None):
        name = str(reference).rpartition("/")[2]
        # A tree has no end: below the first node only the word "object" is told. It is validated all the same.
        target = {"type": "object"} if name in within else _flat(definitions[name], definitions, (*within, name))
        return {**target, **_flat(schema, definitions, within)}
    if "const" in schema:
        schema["enum"] = [schema.pop("const")]
    if schema.get("additionalProperties") is False:
        del schema["additionalProperties"]
    for several in ("oneOf", "allOf", "anyOf"):
        if several in schema:
            branches = [_flat(branch, definitions, within) for branch in schema.pop(several)]
            schema |= branches[0] if len(branches) == 1 else {"anyOf": branches}
    if "properties" in schema:
        schema["properties"] = {
            name: _with_words(_flat(inner, definitions, within)) for name, inner in schema["properties"].items()
        }
    for inner in ("items", "additionalProperties"):
        if inner in schema:
            schema[inner] = _flat(schema[inner], definitions, within)
    if "prefixItems" in schema:
        schema["prefixItems"] = [_flat(inner, definitions, within) for inner in schema["prefixItems"]]
    return _with_plain_types(schema)


def _with_words(schema: dict[str, Any], words: str | None = None) -> dict[str, Any]:
    """Describe a property, its limits included."""
    words = words or schema.get("description", "")
    limits = ", ".join(
        told.format(_FORMATS.get(schema[key], schema[key]) if key == "format" else schema[key])
        for key, told in _LIMITS.items()
        if key in schema
    )
    said = f"{words} ({limits})" if words and limits else words or limits
    return {**schema, "description": said} if said else schema


def _with_plain_types(schema: dict[str, Any]) -> dict[str, Any]:
    """Write ``anyOf`` types that say nothing else as one list of types, which servers of all ages read."""
    branches = schema.get("anyOf", ())
    if branches and all(branch.keys() == {"type"} and isinstance(branch["type"], str) for branch in branches):
        rest = {key: value for key, value in schema.items() if key != "anyOf"}
        return {"type": [branch["type"] for branch in branches], **rest}
    return schema


def _without_null(schema: dict[str, Any]) -> dict[str, Any]:
    kinds = schema.get("type")
    if isinstance(kinds, list):
        left = [kind for kind in kinds if kind != "null"]
        return {**schema, "type": left[0] if len(left) == 1 else left}
    branches: Iterable[dict[str, Any]] = schema.get("anyOf", ())
    left_over = [branch for branch in branches if branch != {"type": "null"}]
    if len(left_over) == 1:
        return {**left_over[0], **{key: value for key, value in schema.items() if key != "anyOf"}}
    return {**schema, "anyOf": left_over} if left_over else schema


def _problem(found: Mapping[str, Any]) -> str:
    """Say in words what does not fit."""
    place = ".".join(map(str, found["loc"]))
    said = {
        "missing_keyword_only_argument": "is missing",
        "unexpected_keyword_argument": "there is no such parameter",
    }.get(found["type"], found["msg"])
    return f"{place}: {said}" if place else str(said)
