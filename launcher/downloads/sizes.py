"""What a download will be in all, from the registry's manifest."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable

from launcher.domain.names import ModelName
from launcher.domain.transfer import PlannedLayer
from launcher.ollama import Client
from launcher.tasks import run_blocking

Sizes = Callable[[ModelName, bool], Awaitable[Iterable[PlannedLayer]]]
"""Tells the layers of a model; the flag is ``insecure``. May raise LauncherError: then nobody knows."""


def registry_sizes(client: Client) -> Sizes:
    """Ask the registry that the client's server pulls from."""

    async def sizes(name: ModelName, insecure: bool) -> Iterable[PlannedLayer]:
        # Only who downloads pays for the import.
        from launcher.ollama.registry import Registry
        from launcher.ollama.tls import trusted

        await run_blocking(trusted)  # made on the loop, it would stand still for as long as 200 ms
        manifest = await Registry(client).manifest(name, insecure)
        return [PlannedLayer(layer.digest, layer.size_bytes) for layer in manifest.layers]

    return sizes
