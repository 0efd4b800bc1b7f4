"""One look at a server for a program's own health page: a record that says all, and never an exception.

Nothing is started, pulled or loaded for it.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal, Protocol

from launcher.errors import LauncherError
from launcher.ollama.detect import Installed, detect_model
from launcher.ollama.errors import TimedOut

if TYPE_CHECKING:
    from launcher.ollama.client import ServerVersion

ProviderType = Literal["ollama", "ollama-simulated"]


@dataclass(frozen=True, slots=True)
class HealthRecord:
    """What was found at one moment."""

    connected: bool
    """An Ollama has answered."""
    model_detected: bool
    model_id: str | None
    """The model that a call without a name would talk to."""
    base_url: str
    provider_type: ProviderType
    """``ollama-simulated`` for the launcher's own simulated server."""
    error: str | None
    """One sentence for people: why it is not connected, or has no model; None when all is well."""
    checked_at: datetime
    """In UTC."""
    latency_ms: float | None
    """Until the version was answered; None where it was not."""

    @property
    def ok(self) -> bool:
        """A conversation can begin."""
        return self.connected and self.model_detected


class Checked(Installed, Protocol):
    """What is asked of a client."""

    @property
    def base_url(self) -> str: ...

    async def version(self, *, timeout_s: float | None = None, retries: int | None = None) -> ServerVersion: ...


async def check_health(server: Checked, default_model: str = "", *, timeout_s: float = 5.0) -> HealthRecord:
    """Look at version and models, within ``timeout_s`` for everything. Whatever is wrong is in the record."""
    checked_at = datetime.now(UTC)
    began_s = time.monotonic()
    provider: ProviderType = "ollama"
    latency_ms: float | None = None
    model: str | None = None
    error: str | None = None
    try:
        async with asyncio.timeout(timeout_s):
            version = await server.version(timeout_s=timeout_s, retries=0)
            latency_ms = (time.monotonic() - began_s) * 1000
            if version.simulated:
                provider = "ollama-simulated"
            model = await detect_model(server, default_model)
    except TimeoutError:
        error = TimedOut(server.base_url).title
    except LauncherError as failure:
        error = failure.title
    return HealthRecord(
        connected=latency_ms is not None,
        model_detected=model is not None,
        model_id=model,
        base_url=server.base_url,
        provider_type=provider,
        error=error,
        checked_at=checked_at,
        latency_ms=latency_ms,
    )
