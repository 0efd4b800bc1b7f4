"""Why a pull ended early, as a transfer shows it: the client's error with what is particular to a download."""

from __future__ import annotations

from launcher.domain.names import DEFAULT_HOST, ModelName
from launcher.domain.transfer import Transfer, Trouble, failed
from launcher.errors import sentence
from launcher.ollama.errors import CutStream, InlineError, NotRunning, OllamaError, Reason, Refused, TimedOut

GO_ON = "What was downloaded is kept: run it again to go on."

# The server writes down how far each part is only when a stream is closed in order (server/download.go, 0.33).
_GO_ON_AFTER_A_CRASH = "Run it again to go on; if the server was killed, most of it may have to come again."

_OWN_REGISTRY = "Check the spelling, the tag, and that {host} has this model."

_TROUBLES = {
    Reason.NO_SUCH_MODEL: Trouble.NO_SUCH_MODEL,
    Reason.REGISTRY_UNREACHABLE: Trouble.NO_NETWORK,
    Reason.REGISTRY_FAILED: Trouble.NO_NETWORK,
    Reason.RETRIES_EXCEEDED: Trouble.NO_NETWORK,
    Reason.NO_SPACE: Trouble.NO_SPACE,
    Reason.DIGEST_MISMATCH: Trouble.DAMAGED,
    Reason.DAMAGED_PARTIAL: Trouble.DAMAGED,
}


def ended_by(error: OllamaError, transfer: Transfer) -> Transfer:
    """The transfer after its pull failed with ``error``."""
    if isinstance(error, InlineError | Refused):
        trouble = _TROUBLES.get(error.reason, Trouble.OTHER)
        hint = error.hint or GO_ON
        if trouble is Trouble.NO_SUCH_MODEL and (host := ModelName.parse(transfer.model).host) != DEFAULT_HOST:
            hint = sentence(_OWN_REGISTRY, host=host)
        return failed(transfer, trouble, error.title, hint, error.text)
    if isinstance(error, NotRunning | TimedOut) and not transfer.completed_bytes:
        # It never began: what is wrong is the server, and what to do is about the server.
        return failed(transfer, Trouble.NOT_REACHABLE, error.title, error.hint, error.detail)
    if isinstance(error, NotRunning | TimedOut | CutStream):
        return broken_off(transfer, error.detail)
    return failed(transfer, Trouble.OTHER, error.title, error.hint or GO_ON, error.detail)


def broken_off(transfer: Transfer, detail: str = "") -> Transfer:
    """The transfer after the server went away in the middle: in order, or not."""
    told = "The Ollama server broke off in the middle of the download."
    return failed(transfer, Trouble.BROKEN_OFF, told, _GO_ON_AFTER_A_CRASH, detail)
