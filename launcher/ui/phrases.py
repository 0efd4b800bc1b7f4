"""What states are called and how they look: one row for each state of server, owner and download.

The only place with words for states. Tray, footer and pages look up the same row, so they cannot disagree. Nothing is
decided here; unknown facts are left out, never guessed. What domain and services have to say comes in English and is
put into the person's language here, by :func:`told`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from PySide6.QtCore import QCoreApplication

from launcher.domain.server import ANSWERING, Owner, ServerState, ServerStatus
from launcher.domain.transfer import Phase, Transfer
from launcher.errors import Sentence
from launcher.ui.shapes import StateShape
from launcher.ui.theme import Role
from launcher.ui.units import duration_text, rate_text, size_text

if TYPE_CHECKING:
    from launcher.domain.models import Models

_CONTEXT = "phrases"
_TOLD = "told"
SEPARATOR = " · "


def _tr(text: str) -> str:
    return QCoreApplication.translate(_CONTEXT, text)


def told(words: str) -> str:
    """What domain and services have to say (reasons, hints, failures), in the person's language."""
    if isinstance(words, Sentence):
        values = {name: told(value) if isinstance(value, str) else value for name, value in words.values.items()}
        return QCoreApplication.translate(_TOLD, words.pattern).format(**values)
    return QCoreApplication.translate(_TOLD, words) if words else ""


@dataclass(frozen=True, slots=True)
class Phrase:
    """How one snapshot of the server is told, everywhere."""

    title: str
    """The state in a few words: the headline of the state card."""
    line: str
    """What matters about it in one sentence; may be empty."""
    footer: str
    """State and what matters, on one short line."""
    short: str
    """The state alone, where there is no room for more."""
    tooltip: str
    """The tray's words: the footer's and, where there is one, the next step."""
    shape: StateShape
    role: Role
    exposed: bool = False
    """Show the shield: others in the network can reach the server."""


@dataclass(frozen=True, slots=True)
class PhasePhrase:
    """How a phase of a download is told. ``role`` colours its bar, ``text_role`` its words."""

    words: str
    role: Role
    text_role: Role
    moving: bool
    """True while bytes or checks go on, so that a bar without a known part may run to and fro."""


# --- the server -------------------------------------------------------------------------------------------------------


def server_phrase(status: ServerStatus | None, models: Models | None = None) -> Phrase:
    """The row for a snapshot; None, nobody has looked yet, is told as CHECKING."""
    if status is None:
        return _phrase(None, _tr("Looking for Ollama…"), "", StateShape.ARC, Role.IDLE)
    match status.state:
        case ServerState.CHECKING:
            return _phrase(status, _tr("Looking for Ollama…"), "", StateShape.ARC, Role.IDLE)
        case ServerState.NOT_INSTALLED:
            line = told(status.hint) or _tr("Get Ollama, or say in the settings where it is.")
            return _phrase(status, _tr("Ollama is not installed"), line, StateShape.TRIANGLE, Role.WARN)
        case ServerState.STOPPED:
            line = told(status.reason) or _tr("Start it to use your models.")
            return _phrase(status, _tr("Stopped"), line, StateShape.RING, Role.IDLE)
        case ServerState.STARTING:
            return _phrase(status, _tr("Starting…"), told(status.reason), StateShape.ARC, Role.BUSY)
        case ServerState.STOPPING:
            line = _tr("Downloads are kept and can go on later.")
            return _phrase(status, _tr("Stopping…"), line, StateShape.ARC, Role.BUSY)
        case ServerState.RUNNING:
            return _running(status, models)
        case ServerState.DEGRADED:
            line = told(status.reason) or _tr("Something is wrong with it.")
            return _phrase(status, _tr("Running, with a problem"), line, StateShape.EXCLAMATION_DISC, Role.WARN)
        case ServerState.BACKOFF:
            line = told(status.reason) or _tr("It is started again in a moment.")
            return _phrase(status, _tr("Ollama stopped by itself"), line, StateShape.ARC_TRIANGLE, Role.WARN)
        case ServerState.FAILED:
            line = told(status.reason) or _tr("The log says more.")
            return _phrase(status, _tr("Ollama does not run"), line, StateShape.CROSS_DISC, Role.BAD)
        case ServerState.PORT_TAKEN:
            port = _port(status.address)
            title = _tr("Port {port} is used by another program").format(port=port)
            return _phrase(status, title, told(status.reason), StateShape.CROSS_DISC, Role.BAD)
        case ServerState.UNREACHABLE:
            title = _tr("{host} does not answer").format(host=_host(status.address))
            return _phrase(status, title, told(status.reason), StateShape.BAR_RING, Role.BAD)


def _running(status: ServerStatus, models: Models | None) -> Phrase:
    loaded = loaded_words(models)
    count = len(models.loaded) if models is not None and models.loaded else 0
    ours = status.owner is Owner.OURS
    title = _tr("Running")
    line = loaded if ours else SEPARATOR.join(filter(None, (_sentence(owner_words(status.owner)), loaded)))
    if ours:
        shape, role = (StateShape.CHECK_DISC if count else StateShape.CHECK_RING), Role.OK
    else:
        shape, role = StateShape.LINK_DISC, Role.FOREIGN
    footer = SEPARATOR.join(filter(None, (title, loaded if ours or count else owner_words(status.owner))))
    return _phrase(status, title, line, shape, role, footer=footer)


def _phrase(
    status: ServerStatus | None, title: str, line: str, shape: StateShape, role: Role, *, footer: str = ""
) -> Phrase:
    mark = (_tr("Simulated"),) if status is not None and status.simulated else ()
    words = SEPARATOR.join((*mark, footer or title))
    short = SEPARATOR.join((*mark, title))
    exposed = status is not None and status.exposed is True and status.state in ANSWERING
    hint = told(status.hint) if status is not None else ""
    lines = [_tr("Ollama: {words}").format(words=words)]
    if not footer:
        lines.append(line)
    if hint and hint != line:
        lines.append(hint)
    if exposed and status is not None:
        lines.append(exposed_words(status))
    return Phrase(title, line, words, short, "\n".join(filter(None, lines)), shape, role, exposed)


def loaded_words(models: Models | None) -> str:
    """``2 models · 10.3 GB GPU``, ``no model loaded``; empty when it is not known."""
    if models is None or models.loaded is None:
        return ""
    if not models.loaded:
        return _tr("no model loaded")
    count = len(models.loaded)
    words = _tr("1 model") if count == 1 else _tr("{count} models").format(count=count)
    on_gpu_bytes = sum(model.size_vram_bytes for model in models.loaded)
    in_memory_bytes = sum(max(model.size_bytes - model.size_vram_bytes, 0) for model in models.loaded)
    parts = [words]
    if on_gpu_bytes:
        parts.append(_tr("{size} GPU").format(size=size_text(on_gpu_bytes)))
    if in_memory_bytes:
        parts.append(_tr("{size} memory").format(size=size_text(in_memory_bytes)))
    return SEPARATOR.join(parts)


def owner_words(owner: Owner | None) -> str:
    """``started by this launcher``; empty when there is no server."""
    match owner:
        case None:
            return ""
        case Owner.OURS:
            return _tr("started by this launcher")
        case Owner.SYSTEM_SERVICE:
            return _tr("started by the system")
        case Owner.USER_SERVICE:
            return _tr("started by a service of yours")
        case Owner.OFFICIAL_APP:
            return _tr("started by the Ollama app")
        case Owner.CONTAINER:
            return _tr("in a container")
        case Owner.OTHER_USER:
            return _tr("started by another user")
        case Owner.OTHER_PROGRAM:
            return _tr("another program")
        case Owner.REMOTE:
            return _tr("on another computer")
        case Owner.UNKNOWN:
            return _tr("not started by this launcher")


def exposed_words(status: ServerStatus) -> str:
    return _tr("Reachable from your network at {address}").format(address=address_words(status))


def address_words(status: ServerStatus) -> str:
    """``127.0.0.1:11434``: without ``http://``, which says nothing; other schemes stay."""
    return status.address.removeprefix("http://").rstrip("/")


def uptime_words(status: ServerStatus, now_s: float) -> str:
    """``2 h 14 min``; empty when the start is not known. ``now_s`` is seconds since the epoch."""
    return "" if status.started_at is None else duration_text(max(now_s - status.started_at, 0.0))


_NO_STARTER = (Owner.UNKNOWN, Owner.CONTAINER, Owner.REMOTE)
"""Owners whose words say where a server is, or who did not start it: ``ago`` does not follow them."""


def facts_line(status: ServerStatus, now_s: float) -> str:
    """``127.0.0.1:11434  ·  Ollama 0.33.0  ·  started by this launcher 2 h 14 min ago``; the time keeps together."""
    parts = [address_words(status)]
    if status.version:
        parts.append(version_words(status))
    uptime = uptime_words(status, now_s)
    owner = owner_words(status.owner) if status.state in ANSWERING else ""
    if owner and uptime and status.owner not in _NO_STARTER:
        parts.append(_tr("{owner} {duration}\u00a0ago").format(owner=owner, duration=_unbroken(uptime)))
    elif owner:
        parts.append(owner)
        if uptime and status.local:
            parts.append(_tr("running for {duration}").format(duration=_unbroken(uptime)))
    return "  ·  ".join(parts)


def _unbroken(words: str) -> str:
    """Words of which none goes to the next line alone: a lone ``s ago`` is no time."""
    return words.replace(" ", "\u00a0")


def version_words(status: ServerStatus) -> str:
    """``Ollama 0.33.0``; empty when it is not known."""
    return _tr("Ollama {version}").format(version=status.version) if status.version else ""


def _sentence(words: str) -> str:
    return words[:1].upper() + words[1:]


def _host(address: str) -> str:
    return urlsplit(address).hostname or address


def _port(address: str) -> str:
    parts = urlsplit(address)
    return str(parts.port or (443 if parts.scheme == "https" else 80))


# --- downloads --------------------------------------------------------------------------------------------------------


def phase_phrase(phase: Phase) -> PhasePhrase:
    match phase:
        case Phase.QUEUED:
            return PhasePhrase(_tr("Queued"), Role.IDLE, Role.TEXT_SECOND, moving=False)
        case Phase.CONNECTING:
            return PhasePhrase(_tr("Connecting"), Role.BUSY, Role.TEXT_SECOND, moving=True)
        case Phase.PULLING:
            return PhasePhrase(_tr("Downloading"), Role.BUSY, Role.TEXT_SECOND, moving=True)
        case Phase.STALLED:
            return PhasePhrase(_tr("Stalled"), Role.WARN, Role.WARN, moving=False)
        case Phase.VERIFYING:
            return PhasePhrase(_tr("Verifying"), Role.BUSY, Role.TEXT_SECOND, moving=True)
        case Phase.WRITING:
            return PhasePhrase(_tr("Finishing"), Role.BUSY, Role.TEXT_SECOND, moving=True)
        case Phase.PAUSED:
            return PhasePhrase(_tr("Paused"), Role.IDLE, Role.TEXT_SECOND, moving=False)
        case Phase.WAITING_NETWORK:
            return PhasePhrase(_tr("Waiting for the network"), Role.WARN, Role.WARN, moving=False)
        case Phase.WAITING_SPACE:
            return PhasePhrase(_tr("Waiting for space"), Role.WARN, Role.WARN, moving=False)
        case Phase.DONE:
            return PhasePhrase(_tr("Done"), Role.OK, Role.TEXT_SECOND, moving=False)
        case Phase.FAILED:
            return PhasePhrase(_tr("Failed"), Role.BAD, Role.BAD, moving=False)


def transfer_words(transfer: Transfer) -> str:
    """The phase in words and, where there is one, why: ``Failed: no such model``."""
    words = phase_phrase(transfer.phase).words
    return _tr("{phase}: {reason}").format(phase=words, reason=told(transfer.error)) if transfer.error else words


def amount_words(transfer: Transfer) -> str:
    """``1.2 of 2.0 GB``, ``2.0 GB`` before and after, ``1.2 GB of more than 2.0 GB`` while sizes are coming in.

    Nothing at the end of a download of which only a part was ever told.
    """
    if transfer.phase is Phase.DONE and transfer.total_is_so_far:
        return ""
    total = size_text(transfer.total_bytes) if transfer.total_bytes is not None else ""
    done = size_text(transfer.completed_bytes)
    if not total:
        return done if transfer.completed_bytes else ""
    if transfer.phase is Phase.DONE or not transfer.completed_bytes:
        return total
    if transfer.total_is_so_far:
        return _tr("{done} of more than {total}").format(done=done, total=total)
    number, _, unit = done.partition(" ")
    return _tr("{done} of {total}").format(done=number if total.endswith(f" {unit}") else done, total=total)


def pace_words(transfer: Transfer) -> str:
    """``48.2 MB/s · 16 s left``; ``∞`` where it runs and the time is not known; empty when nothing moves."""
    if transfer.phase is Phase.STALLED:
        return "∞"
    if transfer.phase is not Phase.PULLING:
        return ""
    parts = [rate_text(transfer.rate_bps)] if transfer.rate_bps is not None else []
    left = "∞" if transfer.eta_s is None else _tr("{duration} left").format(duration=duration_text(transfer.eta_s))
    return SEPARATOR.join((*parts, left))
