"""Who listens on a port, as far as the system tells.

Knows sockets and the process table, not Ollama. An ordinary user sees the sockets of everybody but the processes of
himself only: then the user who owns the socket is named (Linux), or nobody.
"""

from __future__ import annotations

import errno
import ipaddress
import os
import socket
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from launcher.domain.address import Address
from launcher.errors import sentence
from launcher.server import identity

_LISTEN = "0A"
_COMMAND_CHARACTERS = 200


@dataclass(frozen=True, slots=True)
class Holder:
    """Who listens on a port. Unknown is None."""

    port: int
    pid: int | None = None
    name: str | None = None
    user: str | None = None
    command: str | None = None

    def sentence(self) -> str:
        """Say it: ``Port 8080 is used by nginx (process 4711).``"""
        if self.pid is not None:
            return sentence(
                "Port {port} is used by {program} (process {pid}).",
                port=self.port,
                program=self.name or "a program",
                pid=self.pid,
            )
        if self.user is not None:
            return sentence("Port {port} is used by a program of the user {user}.", port=self.port, user=self.user)
        return sentence("Port {port} is used by another program.", port=self.port)


def port_holder(host: str, port: int) -> Holder | None:
    """Find who keeps ``host:port`` from being bound; None when nobody is found. Blocking."""
    if sys.platform == "linux":
        return _linux_holder(host, port)
    return _psutil_holder(host, port)


def bound_at(port: int) -> tuple[str, ...]:
    """List the addresses at which somebody listens on ``port``; empty where the system does not tell. Blocking."""
    if sys.platform == "linux":
        found = {listener for table in ("tcp", "tcp6") for listener, at, _, _ in _listeners(table) if at == port}
        return tuple(sorted(map(str, found)))
    import psutil

    try:
        entries = psutil.net_connections(kind="tcp")
    except psutil.Error:
        return ()
    listening = [entry.laddr for entry in entries if entry.status == psutil.CONN_LISTEN and len(entry.laddr) == 2]
    return tuple(sorted({str(local[0]) for local in listening if local[1] == port}))


def is_local_host(host: str) -> bool:
    """Tell whether a server could listen on this host: an address of this machine, a name for it, or all of them.

    Other names are not looked up: nobody starts a server under a name that only a name server knows.
    """
    bare = host.strip("[]").lower()
    if bare in ("", "localhost", socket.gethostname().lower()):
        return True
    try:
        address = ipaddress.ip_address(bare.partition("%")[0])
    except ValueError:
        return False
    if address.is_loopback or address.is_unspecified:
        return True
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind((str(address), 0))
        except OSError:
            return False
    return True


def is_same_place(bound: Address, asked: Address) -> bool:
    """Tell whether who asks at ``asked`` reaches a server that was told to listen at ``bound``, however it is spelt."""
    here = asked.connectable
    if bound.port != here.port or (here.scheme, here.path) != ("http", ""):
        return False
    bound_hosts, asked_hosts = _spellings(bound.host), _spellings(here.host)
    if bound_hosts & asked_hosts:
        return True
    if bound.connectable.host == bound.host:  # one interface only
        return False
    reaches_ipv6 = bound.host != "0.0.0.0"  # noqa: S104 - compared, not bound
    return is_local_host(here.host) and (reaches_ipv6 or any(":" not in host for host in asked_hosts))


def _spellings(host: str) -> set[str]:
    """Tell the loopback addresses that a name means; another host is only itself."""
    name = host.lower().rstrip(".")
    if name == "localhost" or name.endswith(".localhost"):
        return {"127.0.0.1", "::1"}
    return {name}


def is_port_bindable(host: str, port: int) -> bool:
    """Tell whether a server could listen there now, by trying it. Blocking, for a moment."""
    try:
        found = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except OSError:
        return False
    family, kind, protocol, _, address = found[0]
    with socket.socket(family, kind, protocol) as probe:
        if sys.platform != "win32":  # as Go does; on Windows it would mean sharing the port
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(address)
            probe.listen(1)
        except OSError as error:
            # An address that this machine lacks, or a privileged port, is not "taken": the start will say it better.
            return error.errno not in (errno.EADDRINUSE, getattr(errno, "WSAEADDRINUSE", errno.EADDRINUSE))
    return True


def _linux_holder(host: str, port: int) -> Holder | None:
    wanted = _addresses(host)
    for table in ("tcp", "tcp6"):
        for listener, listening_port, uid, inode in _listeners(table):
            if listening_port == port and _collides(wanted, listener):
                return _holder_of_inode(port, uid, inode)
    return None


def _listeners(table: str) -> list[tuple[ipaddress.IPv4Address | ipaddress.IPv6Address, int, int, str]]:
    """Read ``/proc/net/<table>`` (proc_net_tcp, Linux): listening sockets as address, port, user id, inode."""
    try:
        lines = Path("/proc/net", table).read_text(encoding="ascii").splitlines()[1:]
    except OSError:
        return []
    found = []
    for line in lines:
        fields = line.split()
        if len(fields) < 10 or fields[3] != _LISTEN:
            continue
        text, _, port = fields[1].rpartition(":")
        found.append((_proc_address(text), int(port, 16), int(fields[7]), fields[9]))
    return found


def _proc_address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    """Turn an address in words of the machine's byte order into one."""
    raw = bytes.fromhex(text)
    if sys.byteorder == "little":
        raw = b"".join(raw[place : place + 4][::-1] for place in range(0, len(raw), 4))
    return ipaddress.ip_address(raw)


def _addresses(host: str) -> list[ipaddress.IPv4Address | ipaddress.IPv6Address]:
    bare = host.strip("[]")
    if not bare:
        return [ipaddress.ip_address("::")]
    with suppress(ValueError):
        return [ipaddress.ip_address(bare.partition("%")[0])]
    try:
        found = socket.getaddrinfo(bare, None, type=socket.SOCK_STREAM)
    except OSError:
        return []
    return [ipaddress.ip_address(str(entry[4][0]).partition("%")[0]) for entry in found]


def _collides(
    wanted: list[ipaddress.IPv4Address | ipaddress.IPv6Address],
    listener: ipaddress.IPv4Address | ipaddress.IPv6Address,
) -> bool:
    if isinstance(listener, ipaddress.IPv6Address) and listener.ipv4_mapped is not None:
        listener = listener.ipv4_mapped
    for address in wanted:
        if address == listener:
            return True
        # "::" takes the IPv4 side too, unless it was told not to, which the table does not show.
        if listener.is_unspecified and (listener.version == 6 or address.version == 4):
            return True
        if address.is_unspecified and (address.version == 6 or listener.version == 4):
            return True
    return False


def _holder_of_inode(port: int, uid: int, inode: str) -> Holder:
    pid = _pid_of_inode(inode)
    user = _user_name(uid)
    if pid is None:
        return Holder(port, user=user)
    return Holder(
        port,
        pid=pid,
        name=_name_of(pid),
        user=user,
        command=" ".join(identity.command_of(pid))[:_COMMAND_CHARACTERS] or None,
    )


def _pid_of_inode(inode: str) -> int | None:
    wanted = f"socket:[{inode}]"
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        try:
            with os.scandir(f"/proc/{name}/fd") as entries:
                for entry in entries:
                    with suppress(OSError):
                        if os.readlink(entry.path) == wanted:
                            return int(name)
        except OSError:  # another user's, or gone
            continue
    return None


def _name_of(pid: int) -> str | None:
    try:
        return Path(f"/proc/{pid}/comm").read_text(encoding="utf-8", errors="replace").strip() or None
    except OSError:
        return None


def _user_name(uid: int) -> str | None:
    if sys.platform == "win32":
        return None
    import pwd

    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _psutil_holder(host: str, port: int) -> Holder | None:
    import psutil

    wanted = _addresses(host)
    pid = None
    try:
        for entry in psutil.net_connections(kind="tcp"):
            if entry.status == psutil.CONN_LISTEN and _is_at(entry.laddr, wanted, port):
                pid = entry.pid
                break
        else:
            return None
    except psutil.AccessDenied:  # macOS, as an ordinary user: only one's own processes can be asked
        pid = _own_listener(wanted, port)
        if pid is None:
            return None if is_port_bindable(host, port) else Holder(port)
    if pid is None:
        return Holder(port)
    try:
        process = psutil.Process(pid)
        with process.oneshot():
            name, user = process.name(), process.username()
            command = " ".join(process.cmdline())[:_COMMAND_CHARACTERS]
    except psutil.Error:
        return Holder(port, pid=pid)
    return Holder(port, pid=pid, name=name or None, user=user or None, command=command or None)


def _own_listener(wanted: list[ipaddress.IPv4Address | ipaddress.IPv6Address], port: int) -> int | None:
    import psutil

    for process in psutil.process_iter():
        with suppress(psutil.Error):
            for entry in process.net_connections(kind="tcp"):
                if entry.status == psutil.CONN_LISTEN and _is_at(entry.laddr, wanted, port):
                    return int(process.pid)
    return None


def _is_at(local: tuple[object, ...], wanted: list[ipaddress.IPv4Address | ipaddress.IPv6Address], port: int) -> bool:
    if len(local) < 2 or local[1] != port:
        return False
    with suppress(ValueError):
        return _collides(wanted, ipaddress.ip_address(str(local[0]).partition("%")[0]))
    return False
