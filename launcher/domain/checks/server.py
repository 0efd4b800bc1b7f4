"""How the server does: whether it answers, whose it is, its port, and who may reach it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import ip_address

from launcher.domain.checks.check import Check, Verdict
from launcher.domain.server import ANSWERING, Owner, ServerState, ServerStatus

SLOW_MS = 500.0


def judge_server(status: ServerStatus, latency_ms: float | None) -> Check:
    """``latency_ms``: how long the answer to ``/api/version`` took; None where there was none."""
    address = status.address
    match status.state:
        case ServerState.RUNNING:
            taken = "" if latency_ms is None else f" within {latency_ms:.0f} ms"
            if latency_ms is not None and latency_ms > SLOW_MS:
                return Check(
                    "server",
                    Verdict.NOTE,
                    f"Ollama answers at {address}, but slowly:{taken}.",
                    hint="The computer or the network may be busy: look again later.",
                )
            return Check("server", Verdict.OK, f"Ollama answers at {address}{taken}.")
        case ServerState.DEGRADED:
            ours = status.owner is Owner.OURS
            return Check(
                "server",
                Verdict.FAILED,
                f"Ollama is there at {address} but does not answer.",
                detail=status.reason,
                hint="It may be very busy. If it stays like this, restart it" + ("" if ours else "."),
                command=("restart",) if ours else (),
            )
        case ServerState.STARTING | ServerState.STOPPING:
            return Check("server", Verdict.NOTE, status.reason or f"Ollama is {status.state.value} at {address}.")
        case ServerState.STOPPED:
            return Check(
                "server",
                Verdict.WARNING,
                f"Ollama is not running at {address}.",
                detail=status.reason,
                hint=status.hint or "Start it",
                command=() if status.hint else ("start",),
            )
        case ServerState.NOT_INSTALLED:
            return Check("server", Verdict.WARNING, f"Ollama is not running at {address}.", hint="Install it first.")
        case ServerState.FAILED | ServerState.BACKOFF:
            return Check(
                "server",
                Verdict.FAILED,
                f"Ollama does not run at {address}: {status.reason or 'it has ended by itself.'}",
                hint=status.hint or "See what it wrote",
                command=() if status.hint else ("logs",),
            )
        case ServerState.PORT_TAKEN:
            return Check(
                "server", Verdict.FAILED, f"Something else than Ollama answers at {address}.", detail=status.reason
            )
        case ServerState.UNREACHABLE:
            return Check(
                "server",
                Verdict.FAILED,
                status.reason or f"No Ollama answers at {address}.",
                hint=status.hint
                or "Check the address, and whether Ollama runs there and listens to other computers (OLLAMA_HOST).",
            )
        case ServerState.CHECKING:
            return Check("server", Verdict.UNKNOWN, f"Whether Ollama runs at {address} could not be found out.")


@dataclass(frozen=True, slots=True)
class Ownership:
    """Whose server it is, as the process table tells it."""

    owner: Owner
    unit: str = ""
    """The name of the service, e.g. ``ollama.service``."""
    user: str | None = None
    pid: int | None = None
    same_user: bool = True
    """Whether it runs as the user that asks."""


_NOT_OURS = {
    Owner.SYSTEM_SERVICE: (
        "The server is a service of the system{unit}{user}.",
        "The launcher uses it and leaves it alone. To stop it: sudo systemctl stop {name}",
    ),
    Owner.USER_SERVICE: (
        "The server is a service of yours{unit}.",
        "The launcher uses it and leaves it alone. To stop it: systemctl --user stop {name}",
    ),
    Owner.OFFICIAL_APP: (
        "The server belongs to the Ollama app.",
        "The launcher uses it and leaves it alone. To stop it, quit that app.",
    ),
    Owner.CONTAINER: (
        "The server runs in a container.",
        "The launcher uses it and leaves it alone. To stop it, stop the container, e.g. docker stop ollama",
    ),
    Owner.OTHER_USER: (
        "The server was started by another user{user}.",
        "The launcher uses it and leaves it alone.",
    ),
    Owner.REMOTE: (
        "The server is on another computer, so that it cannot be started or stopped from here.",
        "",
    ),
}


def judge_owner(status: ServerStatus, ownership: Ownership | None) -> Check | None:
    """Say whose it is and what can be done with it; ``ownership`` None: the process table does not tell."""
    if status.state not in ANSWERING and status.owner is not Owner.OURS:
        return None
    process = _process(status.pid if ownership is None else ownership.pid or status.pid)
    if status.owner is Owner.OURS:
        return Check(
            "owner",
            Verdict.OK,
            f"The launcher has started the server{process}.",
            detail="It can be stopped and restarted from here.",
        )
    owner = Owner.REMOTE if not status.local else ownership.owner if ownership is not None else Owner.UNKNOWN
    title, hint = _NOT_OURS.get(
        owner,
        (
            "The server was not started by the launcher.",
            "The launcher uses it and leaves it alone. To stop it, end it the way it was started.",
        ),
    )
    unit = ownership.unit if ownership is not None else ""
    parts = {
        "unit": f" ({unit})" if unit else "",
        "user": f" ({ownership.user})" if ownership is not None and ownership.user else "",
        "name": unit.removesuffix(".service") or "ollama",
    }
    return Check("owner", Verdict.NOTE, title.format(**parts), detail=process.strip(" ()"), hint=hint.format(**parts))


def _process(pid: int | None) -> str:
    return "" if pid is None else f" (process {pid})"


def judge_port(status: ServerStatus, port: int, holder: str, *, may_bind_low: bool = True, warning: str = "") -> Check:
    """``holder`` says in one sentence who listens there; empty: nobody does.

    ``warning`` says what of the wished address the server will not do.
    """
    if warning:
        return Check("port", Verdict.WARNING, warning, hint="Use an address like 127.0.0.1:11434.")
    if port == 0:
        return Check(
            "port",
            Verdict.FAILED,
            "Port 0 is no place: nobody could know where the server is.",
            hint="Use an address like 127.0.0.1:11434.",
        )
    if status.state is ServerState.PORT_TAKEN:
        return Check(
            "port",
            Verdict.FAILED,
            holder or status.reason or f"Port {port} is used by another program.",
            hint="Stop that program, or let Ollama use another port",
            command=("start", "--host", f"127.0.0.1:{port + 1 if port < 65535 else port - 1}"),
        )
    if status.state in ANSWERING or status.state in (ServerState.STARTING, ServerState.STOPPING):
        return Check("port", Verdict.OK, f"Port {port} is used by the server itself.")
    if holder:
        return Check("port", Verdict.WARNING, holder, hint="Look again: who it is was not yet clear.")
    if port < 1024 and not may_bind_low:
        return Check(
            "port",
            Verdict.WARNING,
            f"Port {port} is free, but the system may allow it to administrators only.",
            hint="Use a port above 1023; without a port in an http:// address it is 80.",
        )
    return Check("port", Verdict.OK, f"Port {port} is free.")


def judge_exposure(status: ServerStatus, bound: Sequence[str], *, origins: str, would_be: bool) -> Check | None:
    """Say who can reach the server. ``bound``: the addresses that it listens at, where they are known.

    ``would_be``: whether a server that is started now would be reached; ``origins``: OLLAMA_ORIGINS of such a one.
    """
    there = status.state in ANSWERING
    open_to_all = [address for address in bound if not _is_loopback(address)]
    exposed = bool(open_to_all) if bound and there else status.exposed
    any_site = "*" in [origin.strip() for origin in origins.split(",")]
    sites = "Any website may use it, as OLLAMA_ORIGINS says." if any_site else ""
    where = f"It listens at {', '.join(dict.fromkeys(bound))}." if bound and there else ""
    detail = " ".join(part for part in (where, sites) if part)
    if exposed if there else would_be:
        title = "The server can be reached from other computers, and asks nobody for a password."
        if not there:
            title = (
                "A server that is started now could be reached from other computers, and asks nobody for a password."
            )
        return Check(
            "exposure",
            Verdict.WARNING,
            title,
            detail=detail,
            hint="If that is not meant, let it listen at 127.0.0.1 only (the address of the settings, or OLLAMA_HOST), "
            "or close its port to others in a firewall.",
        )
    if there and exposed is None:
        return Check(
            "exposure", Verdict.UNKNOWN, "Whether other computers can reach the server is not known.", detail=detail
        )
    if any_site:
        return Check(
            "exposure",
            Verdict.WARNING,
            "Any website that is open in a browser here may use the server.",
            detail="OLLAMA_ORIGINS is *",
            hint="Name the websites that may, or take OLLAMA_ORIGINS away.",
        )
    return Check("exposure", Verdict.OK, "Only this computer can reach the server.", detail=detail)


def _is_loopback(address: str) -> bool:
    try:
        ip = ip_address(address.partition("%")[0])
    except ValueError:
        return False
    return (getattr(ip, "ipv4_mapped", None) or ip).is_loopback
