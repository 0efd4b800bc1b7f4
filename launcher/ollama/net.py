"""httpx, imported in one place, without its command line and with all that it would import later."""

from __future__ import annotations

import importlib
import sys
from contextlib import suppress

_COMMAND_LINE = "httpx._main"

if "httpx" not in sys.modules:
    # WORKAROUND httpx 0.28: its __init__ imports its own command line, and with it rich and pygments, wherever they are
    # installed: 40 of the 110 ms that the import takes. A module that is None cannot be imported, which httpx is
    # prepared for. tests/ollama/test_net.py fails when this is no longer needed.
    sys.modules[_COMMAND_LINE] = None  # type: ignore[assignment]  # None is how Python says "not importable"
    try:
        import httpx
    finally:
        del sys.modules[_COMMAND_LINE]
else:
    import httpx

# What the first client and the first request would import, on the loop, which would stand still for 30 ms. The import
# of this package can be made in a thread.
for _later in ("httpcore", "anyio._backends._asyncio"):
    with suppress(ImportError):
        importlib.import_module(_later)

__all__ = ["httpx"]
