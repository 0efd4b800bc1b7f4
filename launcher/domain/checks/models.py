"""Where the models are: the folder, what was not downloaded to its end, the room on the disk."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from launcher.domain.checks.check import Check, Verdict
from launcher.domain.checks.words import are, counted
from launcher.domain.server import ANSWERING, Owner, ServerStatus
from launcher.domain.units import format_bytes

SCARCE_BYTES = 5_000_000_000
"""Less than a common model needs."""
FULL_BYTES = 200_000_000
PRUNED_AFTER_S = 3600.0
"""A starting server removes unfinished downloads that are older (server/images.go, 0.33)."""
RUNS_WITHIN_S = 30.0
"""A download that has written so lately goes on: a stalled part is begun again after as long (server/download.go)."""


@dataclass(frozen=True, slots=True)
class ModelsFolder:
    """A models folder as it lies on the disk."""

    path: str | None
    """None: not known."""
    exists: bool = False
    is_folder: bool = False
    readable: bool = False
    writable: bool = False
    can_be_made: bool = False
    models: int | None = None
    """How many are in it; None: it may not be looked into."""
    users: tuple[str, ...] = ()
    """The live servers that use it, each in words."""
    trouble: str = ""
    """Why it is not known."""


def judge_models(folder: ModelsFolder, *, used_by_other: bool) -> Check:
    """``used_by_other``: the server that answers runs as another user, so that our rights do not matter."""
    path = folder.path
    if path is None:
        return Check(
            "models",
            Verdict.UNKNOWN,
            folder.trouble or "Where this server keeps its models is not known.",
            hint="Set HOME, or name the folder in OLLAMA_MODELS." if folder.trouble else "",
        )
    if len(folder.users) > 1:
        return Check(
            "models",
            Verdict.WARNING,
            f"{len(folder.users)} servers use the models folder {path}: they delete each other's files.",
            detail=", ".join(folder.users),
            hint="Stop all but one, or give each a folder of its own by OLLAMA_MODELS.",
        )
    used = f"used by {folder.users[0]}" if folder.users else ""
    count = "" if folder.models is None else f" holds {counted(folder.models, 'model')}"
    if used_by_other:
        return Check(
            "models",
            Verdict.OK,
            f"The server keeps its models in {path}, unless it was told otherwise where it is started.",
            detail=f"It{count}."
            if folder.exists and folder.readable and count
            else "Only its own user may look there.",
        )
    if not folder.exists:
        if folder.can_be_made:
            return Check("models", Verdict.OK, f"The models folder {path} is made when the server first starts.")
        return Check(
            "models",
            Verdict.FAILED,
            f"The models folder {path} does not exist and cannot be made.",
            hint="Connect its drive, or name another folder in OLLAMA_MODELS.",
        )
    if not folder.is_folder:
        return Check(
            "models",
            Verdict.FAILED,
            f"{path} is not a folder, so no models can be kept there.",
            hint="Name another folder in OLLAMA_MODELS.",
        )
    if not (folder.readable and folder.writable):
        return Check(
            "models",
            Verdict.FAILED,
            f"You may not {'write to' if folder.readable else 'look into'} the models folder {path}.",
            detail=used,
            hint="Give it to your user, or name another folder in OLLAMA_MODELS.",
        )
    return Check("models", Verdict.OK, f"The models folder {path}{count or ' is there'}.", detail=used)


@dataclass(frozen=True, slots=True)
class Unfinished:
    """What is on the disk of one download that has not come to its end."""

    digest: str
    completed_bytes: int
    total_bytes: int
    on_disk_bytes: int
    age_s: float
    """Since its newest file was written."""
    damaged: bool
    """It can never go on as it is."""


def judge_downloads(downloads: Sequence[Unfinished], status: ServerStatus) -> Check:
    if not downloads:
        return Check("downloads", Verdict.OK, "No download is unfinished.")
    running = status.state in ANSWERING and all(download.age_s < RUNS_WITHIN_S for download in downloads)
    held = sum(download.on_disk_bytes for download in downloads)
    completed = sum(download.completed_bytes for download in downloads)
    total = sum(download.total_bytes for download in downloads)
    title = f"{counted(len(downloads), 'unfinished download')} {_verb(downloads)} {format_bytes(held)} of the disk."
    detail = f"{format_bytes(completed)} of {format_bytes(total)} is there."
    if running:
        return Check(
            "downloads",
            Verdict.OK,
            f"{counted(len(downloads), 'file')} of models {are(downloads)} being downloaded.",
            detail,
        )
    damaged = [download for download in downloads if download.damaged]
    foreign = status.state in ANSWERING and status.owner is not Owner.OURS
    if damaged and status.state in ANSWERING:
        return Check(
            "downloads",
            Verdict.WARNING,
            title,
            detail=f"{detail} {counted(len(damaged), 'file')} of the server's own notes on them "
            f"{'is' if len(damaged) == 1 else 'are'} damaged, so that downloading it again ends with “EOF”.",
            hint="Stop the server and start it from the launcher, which puts that right."
            if foreign
            else "Restart the server, which puts that right",
            command=() if foreign else ("restart",),
        )
    if not foreign and all(download.age_s < PRUNED_AFTER_S for download in downloads):
        return Check("downloads", Verdict.NOTE, title, detail=detail, hint="Download the same model again to go on.")
    return Check(
        "downloads",
        Verdict.NOTE,
        title,
        detail=detail,
        hint="Download the same model again to go on. "
        "A server that is not started by the launcher removes what is older than an hour when it starts.",
    )


def _verb(downloads: Sequence[object]) -> str:
    return "holds" if len(downloads) == 1 else "hold"


def judge_space(path: str, free_bytes: int, total_bytes: int, needed_bytes: int) -> Check:
    """``needed_bytes``: what the unfinished downloads still need."""
    told = f"{format_bytes(free_bytes)} of {format_bytes(total_bytes)} is free"
    title = f"{told} where the models are."
    hint = "Remove models that you do not need"
    command = ("models", "rm", "NAME")
    if free_bytes < FULL_BYTES:
        return Check(
            "space", Verdict.FAILED, f"The disk of the models is full: {told}.", path, hint=hint, command=command
        )
    if free_bytes < needed_bytes:
        detail = f"{path}: the unfinished downloads need {format_bytes(needed_bytes)} more."
        return Check("space", Verdict.WARNING, title, detail, hint, command)
    if free_bytes < SCARCE_BYTES:
        return Check("space", Verdict.WARNING, title, f"{path}: many models are larger than that.", hint, command)
    return Check("space", Verdict.OK, title, path)
