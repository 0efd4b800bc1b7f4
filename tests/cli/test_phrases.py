"""What ``status`` says of a server."""

from __future__ import annotations

from launcher.cli.phrases import status_line, status_lines
from launcher.domain.models import Models
from launcher.domain.server import Owner, ServerState, ServerStatus
from launcher.ollama import NotRunning

UNREAD = Models(installed=None, loaded=None)
AWAY = "http://box:11434"


def test_a_server_that_is_away_is_told_of_once() -> None:
    """The headline and the reason are two modules' words for one fact."""
    why = NotRunning(AWAY)
    status = ServerStatus(
        ServerState.UNREACHABLE, Owner.REMOTE, AWAY, local=False, exposed=None, reason=why.title, hint="Check it."
    )
    assert status_lines(status, UNREAD, 0.0) == ["No Ollama server answers at http://box:11434.", "Check it."]
    assert status_line(status, UNREAD) == "No Ollama server answers at http://box:11434."
