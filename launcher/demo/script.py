r"""What a run of the simulated server is told to do: sizes, speeds, faults. Read once, at start.

The environment variable ``LAUNCHER_DEMO_SCRIPT`` names a JSON file. Every member is optional; an unknown one, or one of
the wrong kind, stops the server with a sentence that names it.

*Sizes are those of the real thing*: ``scale`` multiplies them (weights, parts, byte counts of faults, free space) and
the server's own waits (stall, retry, load, prune age). Nothing else is scaled: rates, the line interval, and times
that are the world's and not the server's (``for_s``, ``after_s``, ``delay_s``) are taken as they stand.

::

    {
      "scale": 0.01,                 factor, 0 < scale <= 1; default 1
      "seed": 7,                     chooses where the real server is a race; default: by chance
      "version": "0.33.0",
      "line_interval_ms": 60,        between two lines of a download
      "rate_bytes_per_s": 30000000,  of one download, over all its parts
      "hash_bytes_per_s": 1700000000,
      "load_s": 1.5,                 scaled; default: by the size of the weights
      "tokens_per_s": 30,
      "gpu": {"name": "NVIDIA GeForce RTX 4070", "library": "CUDA", "total_bytes": 12000000000},   default: none
      "free_bytes": 200000000,       room for downloads, scaled; default: what the disk has, which is not looked at

      "start": {
        "silent_s": 6,               TCP accepts, HTTP does not answer
        "exit_code": 1,              end instead of serving, after silent_s
        "stderr": "Error: …\n"        printed before that end
      },
      "crash": {                     end by itself, runners left behind
        "after_s": 3,                counted from the first moment HTTP is served
        "exit_code": 2,              or
        "signal": "SIGSEGV",         default SIGKILL
        "stderr": "panic: …\n",
        "once": "/path/of/a/mark"    only if this file is not there yet; it is made
      },
      "stop": {
        "ignore": true,              SIGTERM and SIGINT do nothing
        "delay_s": 2                 … or take effect later
      },
      "answers": {
        "delay_s": 0.2,              before every answer
        "silent": {"after_s": 3, "for_s": 5},      nothing is answered or streamed meanwhile
        "garbage": ["/api/tags"]     routes that answer 200 with something that is not JSON
      },
      "registry": {
        "fails": "down",             down (connection refused), offline (no such host), proxy (HTTPS_PROXY is gone),
                                     a status such as 500, or 401
        "body": "…",                 of that status; the address of that proxy
        "insecure_only": true        hosts with a port speak plain http: refused without "insecure"
      },
      "models": {                    added to the built-in ones; any name the grammar allows
        "localhost:5005/library/big": {
          "size_bytes": 756461696,   the weights; or "layers": see registry.py
          "template": "…", "license": "…", "system": "…", "params": {…},
          "family": "llama", "parameter_size": "1M", "quantization": "F16", "context_length": 4096,
          "embedding_length": 64, "capabilities": ["completion"]
        }
      },
      "faults": [                    of the registry, on the weights of a model
        {"fault": "stall",    "at_bytes": 309000000, "for_s": 7},
        {"fault": "cut",      "after_bytes": 30000000, "for_s": 8},
        {"fault": "rollback", "after_bytes": 30000000, "times": 3},
        {"fault": "error",    "at_bytes": 1000000, "text": "…"},
        {"fault": "crash",    "at_bytes": 1000000},
        {"fault": "corrupt"}
      ]
    }

A fault may carry ``model`` (else it meets every model) and ``times``, how often it happens (0: without end).
``at_bytes`` counts what is there of the whole layer; ``after_bytes`` what one connection, that is one attempt at one
part, has delivered; ``for_s`` of a cut and a rollback counts from the first byte of the layer.

- *stall*: no more bytes for ``for_s``, or until the connection is opened anew (the server itself does that after 30 s,
  scaled). Once, unless ``times`` says otherwise.
- *cut*: the connection breaks in the middle; what came is kept (``unexpected EOF``). Without end by default.
- *rollback*: the connection ends early but cleanly; what came is thrown away (``EOF``). Without end by default.
- *error*: the pull ends with this text, its progress kept. Once by default.
- *crash*: as ``crash`` above. Once by default, and a crashed server has forgotten that it crashed.
- *corrupt*: the bytes are not those of the digest. Without end by default.
"""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from launcher.errors import InvalidInput

SCRIPT_VARIABLE = "LAUNCHER_DEMO_SCRIPT"
DEFAULT_RATE_BYTES_PER_S = 30_000_000.0
FAULT_KINDS = ("stall", "cut", "rollback", "error", "crash", "corrupt")
_T = TypeVar("_T")
_ONCE_BY_DEFAULT = ("stall", "error", "crash")


class InvalidScript(InvalidInput):
    """The script file cannot be used."""


@dataclass(frozen=True, slots=True)
class StartScript:
    """How the start goes."""

    silent_s: float = 0.0
    exit_code: int | None = None
    stderr: str = ""


@dataclass(frozen=True, slots=True)
class CrashScript:
    """How the server ends by itself."""

    after_s: float | None = None
    exit_code: int | None = None
    signal: str = "SIGKILL"
    stderr: str = ""
    once: str | None = None


@dataclass(frozen=True, slots=True)
class StopScript:
    """How the server takes SIGTERM and SIGINT."""

    ignore: bool = False
    delay_s: float = 0.0


@dataclass(frozen=True, slots=True)
class SilenceScript:
    """When nothing is answered, counted from the first moment HTTP is served."""

    after_s: float
    for_s: float


@dataclass(frozen=True, slots=True)
class AnswersScript:
    """What is wrong with the answers."""

    delay_s: float = 0.0
    silent: SilenceScript | None = None
    garbage: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class RegistryScript:
    """What is wrong with the registry."""

    fails: str | None = None
    body: str = ""
    insecure_only: bool = False


@dataclass(frozen=True, slots=True)
class Gpu:
    """A graphics card to pretend."""

    name: str
    library: str
    total_bytes: int


@dataclass(frozen=True, slots=True)
class FaultScript:
    """One fault of the registry; byte counts are scaled already."""

    fault: str
    model: str | None = None
    at_bytes: int = 0
    after_bytes: int = 0
    for_s: float | None = None
    times: int = 0
    text: str = ""


@dataclass(frozen=True, slots=True)
class Script:
    """All a run is told; byte counts are scaled already, waits are scaled by :meth:`wait_s`."""

    scale: float = 1.0
    seed: int | None = None
    version: str = "0.33.0"
    line_interval_ms: float = 60.0
    rate_bytes_per_s: float = DEFAULT_RATE_BYTES_PER_S
    hash_bytes_per_s: float = 1_700_000_000.0
    load_s: float | None = None
    tokens_per_s: float = 30.0
    gpu: Gpu | None = None
    free_bytes: int | None = None
    start: StartScript = field(default_factory=StartScript)
    crash: CrashScript = field(default_factory=CrashScript)
    stop: StopScript = field(default_factory=StopScript)
    answers: AnswersScript = field(default_factory=AnswersScript)
    registry: RegistryScript = field(default_factory=RegistryScript)
    models: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    faults: tuple[FaultScript, ...] = ()

    def size(self, real_bytes: float) -> int:
        """Scale a size of the real thing; what is something stays something."""
        return max(1, round(real_bytes * self.scale)) if real_bytes > 0 else 0

    def wait_s(self, real_s: float) -> float:
        """Scale a wait of the real server."""
        return real_s * self.scale


def load_script(environ: Mapping[str, str]) -> Script:
    """Read the script that the environment names; without one, a plain run at full size."""
    path = environ.get(SCRIPT_VARIABLE, "")
    if not path:
        return Script()
    try:
        with open(path, encoding="utf-8") as file:
            text = file.read()
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidScript(f"The script {path} cannot be read.", detail=str(error)) from error
    try:
        return parse_script(json.loads(text))
    except json.JSONDecodeError as error:
        raise InvalidScript(f"The script {path} is not JSON: {error}.") from error
    except InvalidScript as error:
        raise InvalidScript(f"The script {path} cannot be used: {error.title}") from error


def parse_script(value: object) -> Script:
    """Check a script and turn it into values."""
    top = _Members(value, "the script")
    scale = top.number("scale", 1.0)
    if not 0 < scale <= 1:
        raise InvalidScript("scale must be above 0 and not above 1.")
    rate = top.number("rate_bytes_per_s", DEFAULT_RATE_BYTES_PER_S)
    interval_ms = top.number("line_interval_ms", 60.0)
    hash_rate = top.number("hash_bytes_per_s", 1_700_000_000.0)
    tokens_per_s = top.number("tokens_per_s", 30.0)
    for name, number in (
        ("rate_bytes_per_s", rate),
        ("line_interval_ms", interval_ms),
        ("hash_bytes_per_s", hash_rate),
        ("tokens_per_s", tokens_per_s),
    ):
        if number <= 0:
            raise InvalidScript(f"{name} must be above 0.")
    sized = Script(scale=scale)
    free = top.optional_number("free_bytes")
    script = Script(
        scale=scale,
        seed=top.optional_integer("seed"),
        version=top.text("version", "0.33.0"),
        line_interval_ms=interval_ms,
        rate_bytes_per_s=rate,
        hash_bytes_per_s=hash_rate,
        load_s=top.optional_number("load_s"),
        tokens_per_s=tokens_per_s,
        gpu=top.part("gpu", _gpu),
        free_bytes=None if free is None else sized.size(free),
        start=top.part("start", _start) or StartScript(),
        crash=top.part("crash", _crash) or CrashScript(),
        stop=top.part("stop", _stop) or StopScript(),
        answers=top.part("answers", _answers) or AnswersScript(),
        registry=top.part("registry", _registry) or RegistryScript(),
        models=top.mapping("models"),
        faults=tuple(_fault(one, sized) for one in top.members("faults")),
    )
    top.end()
    return script


class _Members:
    """The members of one JSON object, each asked for once; what nobody asked for is an error."""

    def __init__(self, value: object, where: str) -> None:
        if not isinstance(value, dict):
            raise InvalidScript(f"{where} must be an object.")
        self._left: dict[str, Any] = dict(value)
        self._where = where

    def _take(self, name: str) -> Any:
        return self._left.pop(name, None)

    def _wrong(self, name: str, kind: str) -> InvalidScript:
        return InvalidScript(f"{name} in {self._where} must be {kind}.")

    def optional_number(self, name: str) -> float | None:
        value = self._take(name)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int | float) or value < 0:
            raise self._wrong(name, "a number, 0 or above")
        return float(value)

    def number(self, name: str, default: float) -> float:
        value = self.optional_number(name)
        return default if value is None else value

    def optional_integer(self, name: str) -> int | None:
        value = self._take(name)
        if value is not None and (isinstance(value, bool) or not isinstance(value, int)):
            raise self._wrong(name, "a whole number")
        return value

    def optional_text(self, name: str) -> str | None:
        value = self._take(name)
        if value is not None and not isinstance(value, str):
            raise self._wrong(name, "a text")
        return value

    def text(self, name: str, default: str) -> str:
        value = self.optional_text(name)
        return default if value is None else value

    def boolean(self, name: str) -> bool:
        value = self._take(name)
        if value is not None and not isinstance(value, bool):
            raise self._wrong(name, "true or false")
        return bool(value)

    def texts(self, name: str) -> tuple[str, ...]:
        value = self._take(name)
        if value is None:
            return ()
        if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
            raise self._wrong(name, "a list of texts")
        return tuple(value)

    def mapping(self, name: str) -> Mapping[str, Mapping[str, Any]]:
        value = self._take(name)
        if value is None:
            return {}
        if not isinstance(value, dict) or not all(isinstance(one, dict) for one in value.values()):
            raise self._wrong(name, "an object of objects")
        return value

    def members(self, name: str) -> list[_Members]:
        value = self._take(name)
        if value is None:
            return []
        if not isinstance(value, list):
            raise self._wrong(name, "a list")
        return [_Members(one, f"{name}[{index}]") for index, one in enumerate(value)]

    def part(self, name: str, parse: Callable[[_Members], _T]) -> _T | None:
        value = self._take(name)
        if value is None:
            return None
        members = _Members(value, name)
        parsed = parse(members)
        members.end()
        return parsed

    def end(self) -> None:
        if self._left:
            raise InvalidScript(f"{self._where} has no member {min(self._left)!r}.")


def _gpu(members: _Members) -> Gpu:
    return Gpu(
        name=members.text("name", "Simulated GPU"),
        library=members.text("library", "CUDA"),
        total_bytes=int(members.number("total_bytes", 12_000_000_000)),
    )


def _start(members: _Members) -> StartScript:
    return StartScript(
        silent_s=members.number("silent_s", 0.0),
        exit_code=members.optional_integer("exit_code"),
        stderr=members.text("stderr", ""),
    )


def _crash(members: _Members) -> CrashScript:
    name = members.text("signal", "SIGKILL")
    if name not in signal.Signals.__members__ and sys.platform != "win32":
        raise InvalidScript("signal in crash must be the name of a signal.")
    return CrashScript(
        after_s=members.optional_number("after_s"),
        exit_code=members.optional_integer("exit_code"),
        signal=name,
        stderr=members.text("stderr", ""),
        once=members.optional_text("once"),
    )


def _stop(members: _Members) -> StopScript:
    return StopScript(ignore=members.boolean("ignore"), delay_s=members.number("delay_s", 0.0))


def _answers(members: _Members) -> AnswersScript:
    return AnswersScript(
        delay_s=members.number("delay_s", 0.0),
        silent=members.part("silent", _silence),
        garbage=members.texts("garbage"),
    )


def _silence(members: _Members) -> SilenceScript:
    return SilenceScript(after_s=members.number("after_s", 0.0), for_s=members.number("for_s", 0.0))


def _registry(members: _Members) -> RegistryScript:
    fails = members.optional_text("fails")
    if (
        fails is not None
        and fails not in ("down", "offline", "proxy")
        and not (fails.isdecimal() and 400 <= int(fails) <= 599)
    ):
        raise InvalidScript("fails in registry must be down, offline, proxy or a status from 400 to 599.")
    return RegistryScript(fails=fails, body=members.text("body", ""), insecure_only=members.boolean("insecure_only"))


def _fault(members: _Members, sized: Script) -> FaultScript:
    kind = members.text("fault", "")
    if kind not in FAULT_KINDS:
        raise InvalidScript(f"fault must be one of {', '.join(FAULT_KINDS)}, not {kind!r}.")
    times = members.optional_integer("times")
    fault = FaultScript(
        fault=kind,
        model=members.optional_text("model"),
        at_bytes=sized.size(members.number("at_bytes", 0)),
        after_bytes=sized.size(members.number("after_bytes", 0)),
        for_s=members.optional_number("for_s"),
        times=times if times is not None else int(kind in _ONCE_BY_DEFAULT),
        text=members.text("text", "the registry made an error"),
    )
    members.end()
    return fault
