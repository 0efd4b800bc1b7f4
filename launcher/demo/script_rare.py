"""What few runs are told: faults of the inference, an account, the web. Apart, for every value type takes of a start.

What the members mean is told in ``script.py``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

ACCOUNT_STATES = ("offline", "signed_out", "signed_in")
ANSWER_FAULT_KINDS = (
    *(
        "busy",
        "html",
        "redirect",
        "out_of_memory",
        "load_error",
        "error",
        "cut",
        "no_done",
        "bad_utf8",
        "long_line",
        "stall",
    ),
    *("endless", "endless_line"),
)


@dataclass(frozen=True, slots=True)
class AnswerFaultScript:
    """One fault of the inference."""

    fault: str
    model: str | None = None
    path: str | None = None
    times: int = 1
    after_tokens: int = 0
    text: str = ""
    status: int = 200
    location: str = ""
    size_bytes: int = 0
    for_s: float = 0.0
    fits_num_ctx: int = 0
    fits_alone: bool = False


@dataclass(frozen=True, slots=True)
class AccountScript:
    """The account of the server at ollama.com."""

    state: str = "offline"
    name: str = "ada"
    email: str = "ada@example.com"
    plan: str = "free"


@dataclass(frozen=True, slots=True)
class WebScript:
    """What the web holds."""

    results: tuple[Mapping[str, Any], ...] = ()
    pages: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
