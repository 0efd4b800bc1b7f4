"""Start the server for a script that needs one, by one function: what ``Client(on_unreachable=…)`` takes.

::

    from launcher.ollama import Client
    from launcher.server import auto_start

    async with Client(on_unreachable=auto_start) as client:
        print((await client.chat("llama3.2:1b", [{"role": "user", "content": "Hello"}])).text)

It is the launcher's own server, with its record, lock and log: a window opened later shows and stops it, and it lives
on when the script ends. All rules of :mod:`launcher.server.control` hold, so that there is never a second server.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import partial

from launcher.domain.address import Address
from launcher.domain.server import ServerStatus
from launcher.ollama import Client
from launcher.server.control import Progress, ServerControl, Timing
from launcher.server.find import find_binary
from launcher.server.launch import usual_places


def _silent(_: str) -> None:
    """Tell nobody."""


async def auto_start(
    address: Address,
    *,
    binary: str = "",
    environ: Mapping[str, str] | None = None,
    progress: Progress = _silent,
    timing: Timing | None = None,
) -> ServerStatus:
    """Make an Ollama answer at an address of this machine, and wait until it does.

    One that answers, whoever has started it, is used; one that is being started is waited for. ``binary`` names the
    program, else it is looked for; ``environ`` is what the server inherits. For other than the defaults use
    :func:`functools.partial`. Raises NotOffered for an address of another machine, NotInstalled, PortTaken,
    ModelsFolderInUse, StartFailed, StoppedMeanwhile, LockBusy and StorageError.
    """
    environ = os.environ if environ is None else environ
    async with Client(address) as client:
        control = ServerControl(
            client=client,
            address=address,
            places=usual_places(),
            find=partial(find_binary, binary, environ),
            environ=environ,
            chosen=True,
            timing=timing,
        )
        return await control.start(progress)
