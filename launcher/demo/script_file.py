"""Reading the script of a run: each member is looked at, and what nobody asked for is an error.

What the members mean is told in ``script.py``.
"""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from launcher.demo.script import (
    DEFAULT_RATE_BYTES_PER_S,
    FAULT_KINDS,
    SCRIPT_VARIABLE,
    TOOL_USES,
    AnswersScript,
    CrashScript,
    FaultScript,
    Gpu,
    InvalidScript,
    RegistryScript,
    Script,
    SilenceScript,
    StartScript,
    StopScript,
)

if TYPE_CHECKING:
    from launcher.demo.script_rare import AccountScript, AnswerFaultScript, WebScript

_T = TypeVar("_T")
_ONCE_BY_DEFAULT = ("stall", "error", "crash")


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
        account=top.part("account", _account),
        web=top.part("web", _web),
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

    def one_of(self, name: str, known: tuple[str, ...]) -> str:
        value = self.text(name, known[0])
        if value not in known:
            raise self._wrong(name, f"one of {', '.join(known)}")
        return value

    def objects(self, name: str) -> tuple[Mapping[str, Any], ...]:
        value = self._take(name)
        if value is None:
            return ()
        if not isinstance(value, list) or not all(isinstance(one, dict) for one in value):
            raise self._wrong(name, "a list of objects")
        return tuple(value)

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
        tokens=int(members.number("tokens", 0)),
        tools=members.one_of("tools", TOOL_USES),
        faults=tuple(_answer_fault(one) for one in members.members("faults")),
    )


def _answer_fault(members: _Members) -> AnswerFaultScript:
    from launcher.demo.script_rare import ANSWER_FAULT_KINDS, AnswerFaultScript

    kind = members.text("fault", "")
    if kind not in ANSWER_FAULT_KINDS:
        raise InvalidScript(f"fault must be one of {', '.join(ANSWER_FAULT_KINDS)}, not {kind!r}.")
    times = members.optional_integer("times")
    fault = AnswerFaultScript(
        fault=kind,
        model=members.optional_text("model"),
        path=members.optional_text("path"),
        times=1 if times is None else times,
        after_tokens=int(members.number("after_tokens", 0)),
        text=members.text("text", "an error was encountered while running the model"),
        status=int(members.number("status", 200)),
        location=members.text("location", ""),
        size_bytes=int(members.number("bytes", 10_000_000)),
        for_s=members.number("for_s", 3.0),
        fits_num_ctx=int(members.number("fits_num_ctx", 0)),
        fits_alone=members.boolean("fits_alone"),
    )
    members.end()
    return fault


def _account(members: _Members) -> AccountScript:
    from launcher.demo.script_rare import ACCOUNT_STATES, AccountScript

    plain = AccountScript()
    return AccountScript(
        state=members.one_of("state", ACCOUNT_STATES),
        name=members.text("name", plain.name),
        email=members.text("email", plain.email),
        plan=members.text("plan", plain.plan),
    )


def _web(members: _Members) -> WebScript:
    from launcher.demo.script_rare import WebScript

    return WebScript(results=members.objects("results"), pages=members.mapping("pages"))


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
