"""One line of the examination, and what there is to examine. Knows no single check."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Verdict(Enum):
    """How it is, from best to worst; UNKNOWN: it could not be found out."""

    OK = "ok"
    NOTE = "note"
    """Nothing is wrong, but it is good to know."""
    WARNING = "warning"
    FAILED = "failed"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Check:
    """One line of the examination."""

    id: str
    verdict: Verdict
    title: str
    """One sentence."""
    detail: str = ""
    """What else was found; empty when there is no more."""
    hint: str = ""
    """What to do about it; empty when there is nothing to do."""
    command: tuple[str, ...] = ()
    """The launcher's own command that does what the hint says, e.g. ``("start",)``."""


@dataclass(frozen=True, slots=True)
class Subject:
    """One thing that is examined."""

    id: str
    label: str
    elsewhere: bool
    """Whether it can be examined of a server on another computer."""


SUBJECTS = (
    Subject("engine", "Program", elsewhere=False),
    Subject("version", "Version", elsewhere=True),
    Subject("server", "Server", elsewhere=True),
    Subject("owner", "Owner", elsewhere=True),
    Subject("port", "Port", elsewhere=False),
    Subject("models", "Models folder", elsewhere=False),
    Subject("downloads", "Downloads", elsewhere=False),
    Subject("space", "Disk space", elsewhere=False),
    Subject("gpu", "Graphics card", elsewhere=True),
    Subject("proxy", "Proxy", elsewhere=True),
    Subject("exposure", "Network", elsewhere=False),
    Subject("key", "Key", elsewhere=False),
    Subject("state", "Launcher", elsewhere=True),
    Subject("variables", "Variables", elsewhere=False),
)
LABELS = {subject.id: subject.label for subject in SUBJECTS}


def hung(subject_id: str, limit_s: float) -> Check:
    """What is said of a check that did not come to an end."""
    return Check(
        subject_id,
        Verdict.UNKNOWN,
        f"This could not be found out within {limit_s:g} s.",
        hint="A drive or a program may not answer: look again later.",
    )


def broken(subject_id: str, detail: str) -> Check:
    """What is said of a check that could not be made."""
    return Check(subject_id, Verdict.UNKNOWN, "This could not be found out.", detail=detail)
