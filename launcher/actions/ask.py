"""How an action asks a person: by a dialog in the window, by a prompt or a refusal on the command line."""

from __future__ import annotations

from typing import Protocol

from launcher.domain.questions import Question


class Ask(Protocol):
    """Asks and waits, as long as a person takes."""

    async def confirm(self, question: Question) -> bool:
        """Tell whether it may be done. Whoever does not answer has not agreed."""
        ...

    async def choose_program(self, start: str) -> str | None:
        """Let a person choose a program file; ``start`` is the one named so far. None: they did not."""
        ...


class Refuse:
    """Where nobody can be asked, the answer is no."""

    async def confirm(self, question: Question) -> bool:
        return False

    async def choose_program(self, start: str) -> str | None:
        return None
