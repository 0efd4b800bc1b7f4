"""What can be set: the values, their declaration, and how they follow from what a file holds.

The table is the only place that knows a setting's key, kind, default and words; storage, command line and window
read it. Nothing here knows where the file is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from enum import Enum
from typing import Any, TypeVar

from launcher.domain.address import Address
from launcher.domain.appearance import Appearance as Appearance
from launcher.domain.names import ModelName
from launcher.errors import InvalidInput, sentence

E = TypeVar("E", bound=Enum)


class InvalidSetting(InvalidInput):
    """A setting that does not exist, or a value that it cannot have."""


class OnStart(Enum):
    """What a window that opens does about the server."""

    START = "start"
    """Start it, where an Ollama is installed and none runs."""
    WATCH = "watch"


class OnQuit(Enum):
    """What becomes of a server that we started when the launcher ends."""

    STOP = "stop"
    LEAVE = "leave"


@dataclass(frozen=True, slots=True)
class Settings:
    """All settings, always complete: what a file does not say has its default."""

    ollama_binary: str = ""
    """Path of the ``ollama`` program; empty: look for it."""
    address: str = ""
    """Where the server listens, as OLLAMA_HOST spells it; empty: what OLLAMA_HOST says, else the default."""
    on_start: OnStart = OnStart.START
    on_quit: OnQuit = OnQuit.STOP
    default_model: str = ""
    """Name of a model; empty: none was chosen."""
    appearance: Appearance = Appearance.SYSTEM
    close_to_tray: bool = False
    """Closing the window leaves the launcher in the tray, where there is one."""


@dataclass(frozen=True, slots=True)
class Notice:
    """Something that a person should be told once, and that stopped nothing."""

    title: str
    hint: str = ""
    detail: str = ""


class Kind(Enum):
    """What a value is, which decides how it is edited."""

    PROGRAM = "program"
    """The path of an executable file; empty: none is named."""
    ADDRESS = "address"
    MODEL = "model"
    """The name of a language model; empty: none."""
    CHOICE = "choice"
    SWITCH = "switch"


class Group(Enum):
    """What a setting is about; the value is the title that such settings stand under."""

    OLLAMA = "Ollama"
    MODELS = "Models"
    WINDOW = "Window"


@dataclass(frozen=True, slots=True)
class Choice:
    """One of a closed set, and what it is called."""

    value: Enum
    label: str


@dataclass(frozen=True, slots=True)
class Variable:
    """A variable of the environment that has a say."""

    name: str
    wins: bool
    """True: it counts whatever is set. False: it counts where nothing is set."""


@dataclass(frozen=True, slots=True)
class Declaration:
    """One row of the table. ``read`` makes the value of what JSON holds, or raises InvalidInput."""

    key: str
    default: object
    label: str
    help: str
    read: Callable[[object], object]
    kind: Kind
    group: Group
    choices: tuple[Choice, ...] = ()
    variable: Variable | None = None
    restarts: bool = False
    """A server that runs does not obey it before it is started again."""


def _text(raw: object) -> str:
    if not isinstance(raw, str):
        raise InvalidSetting("must be a text")
    if "\0" in raw or "\n" in raw:
        raise InvalidSetting("must be one line of text")
    return raw.strip()


def _address(raw: object) -> str:
    text = _text(raw)
    if text:
        Address.parse(text)
    return text


def _model_name(raw: object) -> str:
    text = _text(raw)
    return ModelName.parse(text).display if text else ""


def _choice(kind: type[E]) -> Callable[[object], E]:
    """Make what reads one of a closed set, from a member or from what is written for it."""

    def read(raw: object) -> E:
        if isinstance(raw, kind):
            return raw
        for choice in kind:
            if raw == choice.value:
                return choice
        raise InvalidSetting("must be one of: " + ", ".join(str(choice.value) for choice in kind))

    return read


def _switch(raw: object) -> bool:
    if isinstance(raw, bool):
        return raw
    raise InvalidSetting("must be true or false")


DECLARATIONS: tuple[Declaration, ...] = (
    Declaration(
        key="ollama_binary",
        default="",
        label="Ollama program",
        help="Path of the ollama program. Empty: the launcher looks for it.",
        read=_text,
        kind=Kind.PROGRAM,
        group=Group.OLLAMA,
        variable=Variable("OLLAMA_LAUNCHER_OLLAMA", wins=True),
        restarts=True,
    ),
    Declaration(
        key="address",
        default="",
        label="Address",
        help="Where the server listens, for example 127.0.0.1:11434. Empty: OLLAMA_HOST, else the default.",
        read=_address,
        kind=Kind.ADDRESS,
        group=Group.OLLAMA,
        variable=Variable("OLLAMA_HOST", wins=False),
        restarts=True,
    ),
    Declaration(
        key="on_start",
        default=OnStart.START,
        label="When the launcher starts",
        help="Start the server if an Ollama is installed, or only watch.",
        read=_choice(OnStart),
        kind=Kind.CHOICE,
        group=Group.OLLAMA,
        choices=(Choice(OnStart.START, "Start Ollama"), Choice(OnStart.WATCH, "Only watch")),
    ),
    Declaration(
        key="on_quit",
        default=OnQuit.STOP,
        label="When the launcher ends",
        help="What becomes of a server that the launcher started: stop it, or leave it running.",
        read=_choice(OnQuit),
        kind=Kind.CHOICE,
        group=Group.OLLAMA,
        choices=(Choice(OnQuit.STOP, "Stop Ollama"), Choice(OnQuit.LEAVE, "Leave it running")),
    ),
    Declaration(
        key="default_model",
        default="",
        label="Default model",
        help="The model that the Server page offers to load, that is selected in the list, and that chat talks to.",
        read=_model_name,
        kind=Kind.MODEL,
        group=Group.MODELS,
    ),
    Declaration(
        key="appearance",
        default=Appearance.SYSTEM,
        label="Appearance",
        help="Light or dark, or as the system has it.",
        read=_choice(Appearance),
        kind=Kind.CHOICE,
        group=Group.WINDOW,
        choices=(
            Choice(Appearance.SYSTEM, "As the system has it"),
            Choice(Appearance.LIGHT, "Light"),
            Choice(Appearance.DARK, "Dark"),
        ),
    ),
    Declaration(
        key="close_to_tray",
        default=False,
        label="Keep running in the tray",
        help="Closing the window leaves the launcher in the tray, where there is one.",
        read=_switch,
        kind=Kind.SWITCH,
        group=Group.WINDOW,
    ),
)

_BY_KEY = {declaration.key: declaration for declaration in DECLARATIONS}

# A tray cannot be relied on but where every desktop has one, and there people are used to it.
_SYSTEMS_WITH_TRAY = ("win32", "darwin")


def default_settings(system: str) -> Settings:
    """What holds where nothing was set; ``system`` is spelled as ``sys.platform``."""
    return Settings(close_to_tray=system in _SYSTEMS_WITH_TRAY)


def read_setting(key: str, raw: object) -> object:
    """The value of one setting; raises InvalidSetting that names it."""
    declaration = _BY_KEY.get(key)
    if declaration is None:
        raise InvalidSetting(
            sentence("There is no setting “{key}”.", key=key), hint="Settings are: " + ", ".join(_BY_KEY) + "."
        )
    try:
        return declaration.read(raw)
    except InvalidInput as error:
        raise InvalidSetting(
            sentence(
                "The setting “{key}” cannot be {shown}: {title}.",
                key=key,
                shown=_shown(raw),
                title=error.title.rstrip("."),
            ),
            hint=error.hint,
            detail=error.detail,
        ) from error


def read_settings(raw: Mapping[str, object]) -> tuple[Settings, tuple[Notice, ...]]:
    """Take what can be taken; every value that cannot has its default instead, and a notice."""
    values: dict[str, Any] = {}
    notices: list[Notice] = []
    for declaration in DECLARATIONS:
        if declaration.key not in raw:
            continue
        try:
            values[declaration.key] = read_setting(declaration.key, raw[declaration.key])
        except InvalidSetting as error:
            notices.append(Notice(error.title, hint="The default is used instead.", detail=error.hint))
    return Settings(**values), tuple(notices)


def written_setting(value: object) -> object:
    """A setting's value as JSON holds it."""
    return value.value if isinstance(value, Enum) else value


def written_settings(settings: Settings) -> dict[str, object]:
    return {field.name: written_setting(getattr(settings, field.name)) for field in fields(settings)}


def _shown(raw: object) -> str:
    text = repr(raw)
    return text if len(text) <= 60 else text[:57] + "..."
