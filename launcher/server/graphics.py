"""Which graphics cards there are: what a server found, by its log, and what the system shows without any library.

Whether a card is of use is for the server to find out; here nothing is loaded and no driver is asked. All blocking.
"""

from __future__ import annotations

import os
import platform
import re
import shlex
import sys
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path

from launcher.domain.checks import INTEL, ComputeDevice
from launcher.server.log import mask_secrets

_FOUND = 'msg="inference compute"'
_BEGIN = 'msg="server config"'
_READ_BYTES = 512 * 1024
"""The server says it within its first lines; the log is a new one at each start."""
_VENDORS = {"0x10de": "an NVIDIA card", "0x1002": "an AMD card", "0x8086": INTEL}
_MODEL = re.compile(r"^Model:\s*(?P<model>.+)$", re.MULTILINE)
_HIDING = (
    "CUDA_VISIBLE_DEVICES",
    "HIP_VISIBLE_DEVICES",
    "ROCR_VISIBLE_DEVICES",
    "GGML_VK_VISIBLE_DEVICES",
    "GPU_DEVICE_ORDINAL",
)
_CLASS_OF_CARDS = r"SYSTEM\CurrentControlSet\Control\Class\{4d36e968-e325-11ce-bfc1-08002be10318}"


def found_by_server(log: Path) -> tuple[ComputeDevice, ...] | None:
    """Read from its log what the server computes on; None where it does not say (yet)."""
    try:
        with log.open("rb") as file:
            lines = file.read(_READ_BYTES).decode(errors="replace").splitlines()
    except OSError:
        return None
    return devices(lines)


def devices(lines: Iterable[str]) -> tuple[ComputeDevice, ...] | None:
    """Read the lines of the last start among ``lines``; None where nothing is said."""
    found: list[ComputeDevice] = []
    for line in lines:
        if _BEGIN in line:
            found = []
        if _FOUND in line:
            fields = _fields(line)
            name = fields.get("description") or fields.get("name") or fields.get("id", "")
            found.append(ComputeDevice(fields.get("library", ""), mask_secrets(name), fields.get("total", "")))
    return tuple(found) or None


def _fields(line: str) -> Mapping[str, str]:
    try:
        words = shlex.split(line)
    except ValueError:
        return {}
    return dict(word.partition("=")[::2] for word in words if "=" in word)


def hidden_by(environ: Mapping[str, str]) -> tuple[str, ...]:
    """Name the variables that keep all cards of a kind from a server with this environment."""
    return tuple(f"{name}={environ[name]}" for name in _HIDING if environ.get(name, "").strip() == "-1")


def cards() -> tuple[str, ...]:
    """Name the cards that the system shows, as well as it can."""
    if sys.platform == "linux":
        return _linux_cards()
    if sys.platform == "darwin":
        return ("the graphics part of the Apple processor",) if platform.machine() == "arm64" else ()
    return _windows_cards()


def closed_device() -> str:
    """Name a device file of a card that exists and may not be opened by us; empty: there is none."""
    for pattern in ("dev/kfd", "dev/dri/renderD*", "dev/nvidia0"):
        for path in Path("/").glob(pattern):
            if not os.access(path, os.R_OK | os.W_OK):
                return str(path)
    return ""


def _linux_cards() -> tuple[str, ...]:
    named = []
    for path in sorted(Path("/proc/driver/nvidia/gpus").glob("*/information")):
        with suppress(OSError):
            found = _MODEL.search(path.read_text(encoding="utf-8", errors="replace"))
            named.append(found["model"].strip() if found else _VENDORS["0x10de"])
    for path in sorted(Path("/sys/class/drm").glob("card[0-9]*/device/vendor")):
        with suppress(OSError):
            vendor = path.read_text(encoding="ascii", errors="replace").strip()
            if vendor in _VENDORS and not (vendor == "0x10de" and named):
                named.append(_VENDORS[vendor])
    return tuple(dict.fromkeys(named))


def _windows_cards() -> tuple[str, ...]:
    if sys.platform != "win32":
        return ()
    import winreg

    named = []
    with suppress(OSError), winreg.OpenKey(winreg.HKEY_LOCAL_MACHINE, _CLASS_OF_CARDS) as kinds:
        for number in range(winreg.QueryInfoKey(kinds)[0]):
            with suppress(OSError), winreg.OpenKey(kinds, winreg.EnumKey(kinds, number)) as card:
                named.append(str(winreg.QueryValueEx(card, "DriverDesc")[0]))
    return tuple(dict.fromkeys(name for name in named if "Basic" not in name))
