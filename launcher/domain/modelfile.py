"""The text of a Modelfile, by the rules of Ollama's own parser (parser/parser.go, 0.33).

A line is a comment, or a command and its value. A value in quotes ends with the line that ends with the same quotes,
so that it may have several lines, and quotes within. Knows nothing of files: what FROM and ADAPTER name is a model or
a path, which only the disk can tell.

Where that parser lets a slip through (no value, two spaces after PARAMETER, a character that is not printed), this one
either understands what was meant or names the line.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from launcher.domain.names import GO_SPACES
from launcher.domain.options import REMOVED_OPTIONS, InvalidOption, OptionValue, read_option, read_options
from launcher.errors import InvalidInput

COMMANDS = (
    *("FROM", "PARAMETER", "TEMPLATE", "SYSTEM", "ADAPTER", "LICENSE", "MESSAGE", "REQUIRES", "RENDERER", "PARSER"),
)
ROLES = ("system", "user", "assistant")

_QUOTES = ('"""', '"')
_NEWLINE = re.compile(r"\r\n|\n|\r")
_COMMAND = re.compile(r"([A-Za-z]+)(?:[ \t]+(.*))?", re.DOTALL)
_WORD = re.compile(r"([A-Za-z0-9_]+)(?:[ \t]+(.*))?", re.DOTALL)
# golang.org/x/mod/semver, with or without its v.
_VERSION = re.compile(
    r"v?(0|[1-9][0-9]*)(\.(0|[1-9][0-9]*)(\.(0|[1-9][0-9]*)(-[0-9A-Za-z-]+(\.[0-9A-Za-z-]+)*)?"
    r"(\+[0-9A-Za-z-]+(\.[0-9A-Za-z-]+)*)?)?)?"
)
_BYTE_ORDER_MARKS = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))


class InvalidModelfile(InvalidInput):
    """A Modelfile that cannot be understood; ``line`` is where, or None where it is about the whole."""

    def __init__(self, reason: str, *, line: int | None = None, hint: str = "") -> None:
        where = f"Line {line} of the Modelfile" if line is not None else "The Modelfile"
        super().__init__(f"{where} {reason}", hint=hint)
        self.line = line


@dataclass(frozen=True, slots=True)
class PresetMessage:
    """A turn that every conversation with the model begins with; ``role`` is one of ROLES."""

    role: str
    text: str


@dataclass(frozen=True, slots=True)
class Modelfile:
    """What a Modelfile says. None: it does not say."""

    sources: tuple[str, ...]
    """What FROM names, in order; one model, or one or more paths."""
    adapter: str | None = None
    template: str | None = None
    system: str | None = None
    licenses: tuple[str, ...] = ()
    parameters: dict[str, OptionValue] = field(default_factory=dict)
    messages: tuple[PresetMessage, ...] = ()
    requires: str | None = None
    """The oldest version of Ollama that can run it, without a v."""
    renderer: str | None = None
    parser: str | None = None
    removed: tuple[str, ...] = ()
    """Parameters that had an effect in older servers, and are left out."""


@dataclass(frozen=True, slots=True)
class _Command:
    name: str
    """In capitals."""
    value: str
    line: int


def decode_modelfile(content: bytes) -> str:
    """Read the bytes of a file: UTF-8, or UTF-16 with its mark. Raises InvalidModelfile."""
    encoding = "utf-8"
    for mark, marked in _BYTE_ORDER_MARKS:
        if content.startswith(mark):
            content, encoding = content[len(mark) :], marked
            break
    try:
        return content.decode(encoding)
    except UnicodeDecodeError as error:
        raise InvalidModelfile("is not text.", hint="A Modelfile is text in UTF-8; a model goes after FROM.") from error


def parse_modelfile(text: str) -> Modelfile:
    """Read a Modelfile. Raises InvalidModelfile."""
    values: dict[str, list[_Command]] = {name: [] for name in COMMANDS}
    for command in _commands(text):
        values[command.name].append(command)
    if not values["FROM"]:
        raise InvalidModelfile("has no FROM.", hint="It says what the new model is made from: FROM llama3.2.")
    if len(values["ADAPTER"]) > 1:
        raise InvalidModelfile("names a second ADAPTER.", line=values["ADAPTER"][1].line, hint="A model can have one.")

    def last(name: str) -> str | None:
        return values[name][-1].value if values[name] else None

    parameters, removed = _parameters(values["PARAMETER"])
    return Modelfile(
        sources=tuple(command.value for command in values["FROM"]),
        adapter=last("ADAPTER"),
        template=last("TEMPLATE"),
        system=last("SYSTEM"),
        licenses=tuple(command.value for command in values["LICENSE"]),
        parameters=parameters,
        messages=tuple(_message(command) for command in values["MESSAGE"]),
        requires=_requires(values["REQUIRES"][-1]) if values["REQUIRES"] else None,
        renderer=last("RENDERER"),
        parser=last("PARSER"),
        removed=removed,
    )


def _commands(text: str) -> Iterator[_Command]:
    lines = _lines(text)
    for number, line, ending in lines:
        stripped = line.lstrip(" \t")
        if not stripped or stripped.startswith("#"):
            continue
        found = _COMMAND.fullmatch(stripped)
        name = found[1].upper() if found is not None else ""
        if found is None or name not in COMMANDS:
            raise InvalidModelfile(
                f"is no command: “{_shown(stripped)}”.", line=number, hint=f"Commands: {', '.join(COMMANDS)}."
            )
        value = (found[2] or "") + ending
        prefix = ""
        if name in ("PARAMETER", "MESSAGE"):
            word = _WORD.fullmatch(value.lstrip(" \t"))
            if word is None or word[2] is None:
                example = "PARAMETER temperature 0.7" if name == "PARAMETER" else "MESSAGE user Hello"
                raise InvalidModelfile(f"says too little: {name}.", line=number, hint=f"It looks like this: {example}")
            prefix, value = word[1] + " ", word[2]
        unquoted = _unquoted(value)
        while unquoted is None:
            following = next(lines, None)
            if following is None:
                quotes = next(quotes for quotes in _QUOTES if value.lstrip(GO_SPACES).startswith(quotes))
                raise InvalidModelfile(
                    f"begins a text that has no end: {quotes} is missing.",
                    line=number,
                    hint=f"{quotes} ends a text where it stands at the end of a line.",
                )
            value += following[1] + following[2]
            unquoted = _unquoted(value)
        if not unquoted and name in ("FROM", "ADAPTER", "REQUIRES", "RENDERER", "PARSER"):
            raise InvalidModelfile(f"says too little: {name}.", line=number, hint="Nothing stands after it.")
        yield _Command(name, prefix + unquoted, number)


def _lines(text: str) -> Iterator[tuple[int, str, str]]:
    """Number, text and ending of each line. Only what ends a line for that parser does: a form feed does not."""
    begin, number = 0, 1
    for newline in _NEWLINE.finditer(text):
        yield number, text[begin : newline.start()], newline[0]
        begin, number = newline.end(), number + 1
    if begin < len(text):
        yield number, text[begin:], ""


def _unquoted(value: str) -> str | None:
    """Take the quotes off; None: they are open."""
    value = value.strip(GO_SPACES)
    for quotes in _QUOTES:
        if value.startswith(quotes):
            closed = len(value) >= 2 * len(quotes) and value.endswith(quotes)
            return value[len(quotes) : -len(quotes)] if closed else None
    return value


def _parameters(commands: list[_Command]) -> tuple[dict[str, OptionValue], tuple[str, ...]]:
    written: list[tuple[str, str]] = []
    removed: list[str] = []
    for command in commands:
        name, _, text = command.value.partition(" ")
        name = name.lower()
        if name in REMOVED_OPTIONS:
            removed.append(name)
            continue
        try:
            read_option(name, text)
        except InvalidOption as error:
            title = error.title[0].lower() + error.title[1:]
            raise InvalidModelfile(f"cannot be: {title}", line=command.line, hint=error.hint) from error
        written.append((name, text))
    return read_options(written), tuple(dict.fromkeys(removed))


def _message(command: _Command) -> PresetMessage:
    role, _, text = command.value.partition(" ")
    if role not in ROLES:
        raise InvalidModelfile(
            f"has a message of nobody: “{_shown(role)}”.", line=command.line, hint=f"Roles: {', '.join(ROLES)}."
        )
    return PresetMessage(role, text)


def _requires(command: _Command) -> str:
    if not _VERSION.fullmatch(command.value):
        raise InvalidModelfile(
            f"requires what is no version: “{_shown(command.value)}”.", line=command.line, hint="One looks like 0.14.0."
        )
    return command.value.removeprefix("v")


def _shown(text: str) -> str:
    return text if len(text) <= 60 else text[:57] + "…"
