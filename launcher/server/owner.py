"""Whose server it is that answers at a port: a service's, the Ollama app's, a container's, another user's.

Knows the process table and how Ollama is installed (scripts/install.sh, app/, 0.33), not what may be done about it.
What the system hides from us stays unknown. All blocking.
"""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

from launcher.domain.checks import Ownership
from launcher.domain.server import Owner
from launcher.server import identity
from launcher.server.port import Holder

_SERVICE_USER = "ollama"
_SERVICE = "ollama.service"
_UNIT = re.compile(r"/(?P<unit>[^/\n]+\.service)\b")
_CONTAINERS = re.compile(r"docker|containerd|libpod|kubepods|lxc|machine\.slice")
_CONTAINER_PROXIES = frozenset({"docker-proxy", "rootlessport", "slirp4netns", "pasta", "com.docker.backend"})
_USER_UNITS = "/user@"
_APP_NAMES = frozenset({"ollama app.exe", "ollama app"})


def ownership(holder: Holder | None) -> Ownership | None:
    """Tell whose the process is that holds a port; None where the system does not say who holds it."""
    if holder is None:
        return None
    pid = holder.pid
    if pid is None:
        if holder.user is None:
            return None
        pid = _server_of_user(holder.user)
        if pid is None:
            owner = Owner.SYSTEM_SERVICE if holder.user == _SERVICE_USER else Owner.OTHER_USER
            unit = _SERVICE if owner is Owner.SYSTEM_SERVICE else ""
            return Ownership(owner, unit, holder.user, same_user=False)
    if (holder.name or "").lower() in _CONTAINER_PROXIES:
        return Ownership(Owner.CONTAINER, pid=pid, same_user=False)
    same_user = holder.user is None or holder.user == _own_name()
    group = _control_group(pid)
    if _CONTAINERS.search(_control_group(os.getpid())):
        group = ""  # we are in a container ourselves: all that we see is
    parent = _name_of_parent(pid)
    owner, unit = by_signs(
        control_group=group,
        executable=identity.executable_of(pid) or "",
        parent=parent,
        other_root=_has_other_root(pid),
        other_user=not same_user,
    )
    return Ownership(owner, unit, holder.user, pid, same_user and owner is not Owner.CONTAINER)


def by_signs(
    *, control_group: str, executable: str, parent: str, other_root: bool, other_user: bool
) -> tuple[Owner, str]:
    """Decide from what a process shows: its control group, its program, who started it. Gives the unit, too."""
    if _CONTAINERS.search(control_group) or (other_root and "/snap/" not in executable):
        return Owner.CONTAINER, ""
    units = _UNIT.findall(control_group)
    if units:
        if _USER_UNITS not in control_group:
            return Owner.SYSTEM_SERVICE, units[-1]
        # Terminals and desktops are services of a user, too, and what is started by hand lives within them.
        if "ollama" in units[-1].lower():
            return Owner.USER_SERVICE, units[-1]
    if "Ollama.app/" in executable or parent.lower() in _APP_NAMES or parent == "Ollama":
        return Owner.OFFICIAL_APP, ""
    if executable.startswith("/snap/"):
        return Owner.SYSTEM_SERVICE, ""
    return (Owner.OTHER_USER if other_user else Owner.UNKNOWN), ""


def _server_of_user(user: str) -> int | None:
    """Find the one server of a user whose sockets are hidden from us, by what everybody may see."""
    found = []
    for process in identity.processes():
        if process.dead or not identity.serves_ollama(identity.command_of(process.pid)):
            continue
        if _user_of(process.pid) == user:
            found.append(process.pid)
    return found[0] if len(found) == 1 else None


def _control_group(pid: int) -> str:
    if sys.platform != "linux":
        return ""
    try:
        return Path(f"/proc/{pid}/cgroup").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _has_other_root(pid: int) -> bool:
    """Tell whether it lives in a file system of its own, as far as that may be seen."""
    if sys.platform != "linux":
        return False
    try:
        return os.readlink(f"/proc/{pid}/ns/mnt") != os.readlink("/proc/self/ns/mnt") and not os.path.samefile(
            f"/proc/{pid}/root", "/"
        )
    except OSError:
        return False


def _name_of_parent(pid: int) -> str:
    process = identity.read_process(pid)
    if process is None or process.parent <= 1:
        return ""
    return os.path.basename(identity.executable_of(process.parent) or "")


def _user_of(pid: int) -> str | None:
    if sys.platform != "linux":
        return None
    import pwd

    try:
        return pwd.getpwuid(os.stat(f"/proc/{pid}").st_uid).pw_name
    except (OSError, KeyError):
        return None


def _own_name() -> str | None:
    if sys.platform == "win32":
        import psutil

        return psutil.Process().username()  # as the holder of a port is told there
    import pwd

    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return str(os.geteuid())
