"""What is found of the installed Ollama and of the version that answers."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from launcher.domain.checks.check import Check, Verdict
from launcher.domain.server import ANSWERING, Owner, ServerStatus

MADE_FOR = (0, 33)
"""The Ollama that the launcher was tried with."""
_INSTALL = "Install Ollama from https://ollama.com/download, or name its program in the settings."
_NUMBERS = re.compile(r"v?(\d+)\.(\d+)(?:\.(\d+))?")


@dataclass(frozen=True, slots=True)
class Engine:
    """The ``ollama`` program that would be started."""

    path: str | None
    found_in: str = ""
    """In words: ``PATH``, ``the setting``."""
    version: str | None = None
    error: str = ""
    """One sentence: why the one that was named cannot be used."""
    hint: str = ""


def judge_engine(engine: Engine, status: ServerStatus) -> Check:
    if engine.error:
        return Check("engine", Verdict.FAILED, engine.error, hint=engine.hint)
    if engine.path is None:
        if status.state in ANSWERING:
            return Check(
                "engine",
                Verdict.NOTE,
                "No ollama program was found here, so that none can be started; one from elsewhere answers.",
                hint=_INSTALL,
            )
        return Check("engine", Verdict.FAILED, "Ollama is not installed.", hint=_INSTALL)
    if engine.version is None:
        return Check(
            "engine",
            Verdict.WARNING,
            f"The program {engine.path} does not tell its version, as Ollama does.",
            detail=f"found in {engine.found_in}",
            hint=f"Try “{engine.path} --version” in a terminal; where that fails, install Ollama again.",
        )
    return Check(
        "engine",
        Verdict.OK,
        f"Ollama {engine.version} is installed: {engine.path}.",
        detail=f"found in {engine.found_in}",
    )


def judge_version(status: ServerStatus, installed: str | None) -> Check | None:
    """Compare what answers with what is installed (None: not known, or of no meaning)."""
    version = status.version
    if version is None:
        return None
    if status.simulated:
        return Check("version", Verdict.NOTE, f"The server that answers is simulated, as Ollama {version}.")
    told = f"The server is Ollama {version}"
    numbers = _numbers(version)
    if numbers is None or not any(numbers):
        return Check("version", Verdict.NOTE, f"{told}, a build of one's own.")
    if installed is not None and installed != version and status.local:
        ours = status.owner is Owner.OURS
        return Check(
            "version",
            Verdict.WARNING if ours else Verdict.NOTE,
            f"{told}, but {installed} is installed.",
            detail="Its helper programs may have been replaced while it runs." if ours else "",
            hint="Restart it" if ours else "Restart it the way it was started, if it is to be the installed one.",
            command=("restart",) if ours else (),
        )
    if numbers[:2] < MADE_FOR:
        return Check(
            "version",
            Verdict.NOTE,
            f"{told}, older than {_dotted(MADE_FOR)}, which the launcher was made for.",
            hint="Update Ollama if something does not work: https://ollama.com/download.",
        )
    return Check("version", Verdict.OK, f"{told}.")


def _numbers(version: str) -> tuple[int, ...] | None:
    found = _NUMBERS.match(version)
    return None if found is None else tuple(int(part or 0) for part in found.groups())


def _dotted(numbers: Sequence[int]) -> str:
    return ".".join(map(str, numbers))
