"""What the command line says of a server and of models: values to sentences, pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from launcher.domain.models import LoadedModel, Models
from launcher.domain.server import ANSWERING, Owner, ServerState, ServerStatus
from launcher.domain.units import format_bytes, format_duration

SIMULATED = "This server is simulated: no real model runs on it."

_STATES = {
    ServerState.CHECKING: "It is not known yet whether Ollama runs at {address}.",
    ServerState.NOT_INSTALLED: "Ollama is not installed.",
    ServerState.STOPPED: "Ollama is not running at {address}.",
    ServerState.STARTING: "Ollama is starting at {address}.",
    ServerState.RUNNING: "Ollama is running at {address}{whose}.",
    ServerState.DEGRADED: "Ollama is running at {address}{whose}, but not well.",
    ServerState.STOPPING: "Ollama is stopping at {address}.",
    ServerState.BACKOFF: "Ollama ended by itself at {address} and will be started again.",
    ServerState.FAILED: "Ollama does not run at {address}: it failed.",
    ServerState.PORT_TAKEN: "The port of {address} is used by another program.",
    ServerState.UNREACHABLE: "No Ollama server answers at {address}.",
}

_OWNERS = {
    Owner.OURS: ", started by this launcher",
    Owner.SYSTEM_SERVICE: ", started by the system",
    Owner.USER_SERVICE: ", started by a service of yours",
    Owner.OFFICIAL_APP: ", started by the Ollama app",
    Owner.CONTAINER: ", in a container",
    Owner.OTHER_USER: ", started by another user",
    Owner.OTHER_PROGRAM: ", started by another program",
    Owner.REMOTE: ", on another computer",
    Owner.UNKNOWN: ", not started by this launcher",
}


def headline(status: ServerStatus) -> str:
    """One sentence: the state, the address and whose it is."""
    if status.state is ServerState.NOT_INSTALLED and status.reason:
        # Where one was named that is not there, others may well be installed.
        return status.reason
    whose = _OWNERS[status.owner] if status.owner is not None else ""
    return _STATES[status.state].format(address=status.address, whose=whose)


def status_lines(status: ServerStatus, models: Models, now_s: float) -> list[str]:
    """Everything that ``status`` tells a person."""
    lines = [headline(status)]
    if status.reason and status.reason != lines[0]:
        lines.append(status.reason)
    if status.hint:
        lines.append(status.hint)
    if status.simulated:
        lines.append(SIMULATED)
    facts: list[tuple[str, str]] = []
    if status.version:
        facts.append(("Version", status.version + (" (simulated)" if status.simulated else "")))
    if status.pid is not None:
        since_s = uptime_s(status, now_s)
        since = f", up for {format_duration(since_s)}" if since_s is not None else ""
        facts.append(("Process", f"{status.pid}{since}"))
    if status.exposed and status.state in ANSWERING:
        facts.append(("Network", "it can be reached from other computers"))
    if models.installed is not None:
        facts.append(("Models", f"{len(models.installed)} installed"))
    if models.loaded is not None:
        facts.append(("In memory", ", ".join(loaded_sentence(model) for model in models.loaded) or "nothing"))
    lines.extend(f"  {label:<10} {value}" for label, value in facts)
    return lines


def status_line(status: ServerStatus, models: Models) -> str:
    """State, version and models in one line, for one change of many."""
    parts = [headline(status)]
    if status.reason and status.reason != parts[0]:
        parts.append(status.reason)
    if status.version:
        parts.append(f"Version {status.version}{' (simulated)' if status.simulated else ''}.")
    if models.installed is not None:
        parts.append(f"{len(models.installed)} {'model' if len(models.installed) == 1 else 'models'} installed.")
    if models.loaded is not None:
        parts.append(f"In memory: {', '.join(loaded_sentence(model) for model in models.loaded) or 'nothing'}.")
    return " ".join(parts)


def status_json(status: ServerStatus, models: Models, now_s: float) -> dict[str, object]:
    """The members that ``status --json`` promises; unknown is None."""
    reason = status.reason or (SIMULATED if status.simulated else "")
    return {
        "state": status.state.value,
        "owner": status.owner.value if status.owner is not None else None,
        "address": status.address,
        "version": status.version,
        "pid": status.pid,
        "uptime_s": uptime_s(status, now_s),
        "exposed": status.exposed,
        "reason": reason or None,
        "models_installed": len(models.installed) if models.installed is not None else None,
        "models_loaded": [loaded_json(model) for model in models.loaded] if models.loaded is not None else None,
    }


def uptime_s(status: ServerStatus, now_s: float) -> float | None:
    """Whole tenths of seconds since the process was started."""
    return None if status.started_at is None else round(max(now_s - status.started_at, 0.0), 1)


def loaded_json(model: LoadedModel) -> dict[str, object]:
    return {
        "name": model.name,
        "size_bytes": model.size_bytes,
        "size_vram_bytes": model.size_vram_bytes,
        "context_length": model.context_length,
        "expires_at": when(model.expires_at),
    }


def loaded_sentence(model: LoadedModel) -> str:
    """``llama3.2:1b (1.3 GB, 100 % GPU)``."""
    return f"{model.name} ({format_bytes(model.size_bytes)}, {processor(model.size_bytes, model.size_vram_bytes)})"


def processor(size_bytes: int, size_vram_bytes: int) -> str:
    """Where a model runs, by the rule of ``ollama ps`` (cmd/cmd.go ListRunningHandler, 0.33)."""
    if size_bytes <= 0 or size_vram_bytes > size_bytes:
        return "place unknown"
    if size_vram_bytes <= 0:
        return "100 % CPU"
    if size_vram_bytes == size_bytes:
        return "100 % GPU"
    cpu = round((size_bytes - size_vram_bytes) * 100 / size_bytes)
    return f"{cpu} % CPU, {100 - cpu} % GPU"


def when(moment: datetime | None) -> str | None:
    return moment.isoformat() if moment is not None else None


def enumeration(words: Sequence[str]) -> str:
    return ", ".join(words) if words else "none"
