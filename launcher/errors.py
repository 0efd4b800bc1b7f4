"""What can go wrong, in words made for people.

Every error that may reach a person is a :class:`LauncherError`. Each package derives its own from it and
translates foreign exceptions where it meets them::

    LauncherError
     ├─ InvalidInput                 impossible name, address or setting: nothing was tried
     │   ├─ InvalidAddress           (domain.address)
     │   ├─ InvalidModelName         (domain.names)
     │   ├─ InvalidSetting           (domain.settings)
     │   └─ NotATool, BadArguments   (ollama.tools.schema)
     ├─ OllamaError                  (ollama.errors: its own tree is drawn there)
     ├─ TooManyRounds                (ollama.tools.steps)
     ├─ ExtraMissing                 (ollama.pydantic_ai)
     ├─ ServerError                  (server.errors: its own tree is drawn there)
     └─ StorageError                 a file or folder of ours cannot be read or written

Words that hold values are made by :func:`sentence`, here and wherever something is explained to a person.
"""

from __future__ import annotations

from collections.abc import Mapping


class Sentence(str):
    """Its own English text, with the pattern that it was made from and the values in it.

    So a window can tell it in another language, and whoever made it knows of none. Made by :func:`sentence`; words
    without values need it not, as their text is what is looked up.
    """

    __slots__ = ("pattern", "values")
    pattern: str
    values: Mapping[str, object]


def sentence(pattern: str, **values: object) -> Sentence:
    """Fill the ``{names}`` in ``pattern``. A value may be words for people itself."""
    made = Sentence(pattern.format(**values))
    made.pattern, made.values = pattern, values
    return made


class LauncherError(Exception):
    """One failure as a person should meet it.

    ``title`` is one sentence without jargon (what happened), ``hint`` says what to do about it (one sentence, may be
    empty), ``detail`` holds the technical words for the log and for the folded part of a message (may be empty).
    """

    def __init__(self, title: str, *, detail: str = "", hint: str = "") -> None:
        super().__init__(title)
        self.title = title
        self.detail = detail
        self.hint = hint

    def __str__(self) -> str:
        return self.title


class InvalidInput(LauncherError):
    """What was asked for cannot exist; nothing was tried."""


class StorageError(LauncherError):
    """A file or folder of the launcher itself cannot be read or written."""
