"""The server as a process: find, start, signal, watch and explain it, without knowing its HTTP API.

The lower half knows one thing each and decides nothing::

    errors.py         what can go wrong, in words made for people
    find.py           where the ollama binary is, and its version
    identity.py       whether a process is the one that was recorded
    record.py         server.json and server.lock: what two launchers at once agree on
    spawn.py          start a child that outlives us, and hear of its end
    signals.py        end a process group that was checked, and sweep what a dead server left
    log.py            the file that the server writes: rotate, cut, follow, mask
    port.py           who holds a port
    models_folder.py  which folder the models are in, and who else uses it
    explain.py        why a server ended, from its exit and its last lines

A script that only needs a server takes ``launcher.server.auto_start``.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from launcher.server.autostart import auto_start

__all__ = ["auto_start"]


def __getattr__(name: str) -> Any:
    # Later: whoever wants only the errors, as the command line does, need not wait for all of it.
    if name in __all__:
        return importlib.import_module("launcher.server.autostart").auto_start
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
