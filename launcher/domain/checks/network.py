"""What a proxy named in the environment does to downloads and to the way to the server."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import ip_address, ip_network

from launcher.domain.address import Address
from launcher.domain.checks.check import Check, Verdict
from launcher.domain.server import ANSWERING, Owner, ServerStatus


@dataclass(frozen=True, slots=True)
class Proxy:
    """A proxy that the environment names."""

    variable: str
    shown: str
    """Its address, without credentials."""
    reachable: bool | None = None
    """None: not tried."""


@dataclass(frozen=True, slots=True)
class Proxies:
    """What the environment says of proxies."""

    http: Proxy | None = None
    https: Proxy | None = None
    every: Proxy | None = None
    """``ALL_PROXY``, which Ollama itself does not know."""
    exceptions: str = ""
    """``NO_PROXY``."""


def is_excepted(host: str, port: int, exceptions: str) -> bool:
    """Tell whether ``NO_PROXY`` keeps a host from the proxy, as Go reads it (x/net/http/httpproxy)."""
    host = host.lower().rstrip(".")
    for entry in exceptions.lower().split(","):
        entry = entry.strip()
        if entry == "*":
            return True
        if not entry:
            continue
        try:
            if ip_address(host) in ip_network(entry, strict=False):
                return True
            continue
        except ValueError:
            pass
        name, _, wanted = entry.rpartition(":") if entry.count(":") == 1 else (entry, "", "")
        if wanted and wanted != str(port):
            continue
        name = (name or entry).removeprefix("*").strip("[]")
        if host == name.removeprefix(".") and not name.startswith("."):
            return True
        if host.endswith(name if name.startswith(".") else f".{name}"):
            return True
    return False


def judge_proxy(proxies: Proxies, address: Address, status: ServerStatus) -> Check:
    named = [proxy for proxy in (proxies.http, proxies.https, proxies.every) if proxy is not None]
    if not named:
        return Check("proxy", Verdict.OK, "No proxy is set.")
    detail = ", ".join(
        f"{proxy.variable}={proxy.shown}{' (does not answer)' if proxy.reachable is False else ''}" for proxy in named
    )
    if proxies.exceptions:
        detail += f", NO_PROXY={proxies.exceptions}"
    target = address.connectable
    to_server = (proxies.https if target.scheme == "https" else proxies.http) or proxies.every
    caught = to_server is not None and not is_excepted(target.host, target.port, proxies.exceptions)
    if caught and to_server is not None and not target.is_loopback and status.state not in ANSWERING:
        return Check(
            "proxy",
            Verdict.FAILED,
            f"What is sent to {target.base_url} goes to the proxy of {to_server.variable}, and nothing comes back.",
            detail=detail,
            hint=f"Add {target.host} to NO_PROXY, if the server is in your own network.",
        )
    foreign = status.state in ANSWERING and status.owner is not Owner.OURS
    if proxies.https is not None and proxies.https.reachable is False:  # models come over https only
        return Check(
            "proxy",
            Verdict.WARNING,
            f"The proxy of {proxies.https.variable} does not answer, so that downloads through it fail.",
            detail=detail,
            hint="Start that proxy, or take the variable away and restart the server.",
        )
    if caught and to_server is not None and not target.is_loopback:
        return Check(
            "proxy",
            Verdict.NOTE,
            f"What is sent to {target.base_url} goes through the proxy of {to_server.variable}.",
            detail=detail,
            hint=f"Add {target.host} to NO_PROXY, if the server is in your own network.",
        )
    if caught and to_server is not None:
        return Check(
            "proxy",
            Verdict.NOTE,
            f"{to_server.variable} has no exception for this computer: programs other than the launcher may look for "
            "the server behind the proxy.",
            detail=detail,
            hint="Set NO_PROXY=localhost,127.0.0.1,::1 for them.",
        )
    if proxies.https is None:
        return Check(
            "proxy",
            Verdict.NOTE,
            "A proxy is set, but not for https, over which models are downloaded.",
            detail=detail,
            hint="Set HTTPS_PROXY where a proxy is needed.",
        )
    if foreign:
        return Check(
            "proxy",
            Verdict.NOTE,
            "A proxy is set here; the server that runs uses what was set where it was started.",
            detail=detail,
        )
    return Check("proxy", Verdict.OK, "Models are downloaded through a proxy.", detail=detail)
