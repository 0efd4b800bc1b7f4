"""Downloads of models: a list of transfers that run side by side, each one pull of the server.

Knows the HTTP client and no other service: where the sizes come from, when to let go of the server and who shows the
list is handed in.
"""

from __future__ import annotations

from launcher.downloads.service import Downloads

__all__ = ["Downloads"]
