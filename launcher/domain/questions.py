"""What a person may have to be asked before something is done: the facts of the question, without its words.

The window makes a dialog of it, the command line its own words or a refusal.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class DeleteModels:
    """May these models be deleted?"""

    names: tuple[str, ...]
    freed_at_most_bytes: int
    """What comes back on the disk at most; other models may share layers."""
    loaded: tuple[str, ...] = ()
    """Those of them that are in memory, and are unloaded first."""


@dataclass(frozen=True, slots=True)
class QuitWhileDownloading:
    """May the launcher end though these are being downloaded?"""

    names: tuple[str, ...]


Question = DeleteModels | QuitWhileDownloading
