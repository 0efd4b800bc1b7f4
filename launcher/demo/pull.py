"""One pull from its first line to its last, as ``PullModel`` (server/images.go, 0.33) does it."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Awaitable, Callable
from typing import Any

from launcher.demo import log
from launcher.demo.download import BlobDownload, DownloadFailed, Downloads
from launcher.demo.golang import GoError
from launcher.demo.registry import Layer, Model
from launcher.demo.script import Script
from launcher.domain.names import DEFAULT_HOST, ModelName

Emit = Callable[[dict[str, Any]], Awaitable[None]]
_PROXY = "127.0.0.1:3999"


class PullFailed(Exception):
    """The pull ended; the text is its last line."""


async def pull(
    downloads: Downloads, name: ModelName, left: asyncio.Event, emit: Emit, *, insecure: bool, no_prune: bool
) -> None:
    """Pull a model, one event to ``emit`` a line.

    ``left`` set means that the client is gone: it ends a download, but no longer what comes after the downloads.
    """
    folder = downloads.folder
    before: set[str] = set()
    try:
        before = {str(layer["digest"]) for layer in folder.read(name).layers}
    except FileNotFoundError:
        pass
    except GoError as error:
        log.slog("WARN", "images.go:1008", "pulling model with bad existing manifest", name=name.display, error=error)
    await emit({"status": "pulling manifest"})
    try:
        model = _look_up(downloads, name, insecure=insecure)
    except PullFailed as error:
        raise PullFailed(f"pull model manifest: {error}") from None

    fresh = [layer for layer in model.layers if await _fetch(downloads, name, layer, left, emit)]
    await emit({"status": "verifying sha256 digest"})
    await _verify(downloads, name, fresh)
    await emit({"status": "writing manifest"})
    folder.write_manifest(name, model.manifest)
    unused = before - {layer.digest for layer in model.layers}
    if unused and not no_prune:
        await emit({"status": "removing unused layers"})
        folder.delete_unused(unused)
    await emit({"status": "success"})


def _look_up(downloads: Downloads, name: ModelName, *, insecure: bool) -> Model:
    scheme = "http" if insecure else "https"
    url = f"{scheme}://{name.host}/v2/{name.namespace}/{name.model}/manifests/{name.tag}"
    failure = registry_failure(downloads.script, name, "Get", url, insecure=insecure)
    if failure is not None:
        raise PullFailed(failure)
    model = downloads.registry.model(name)
    if model is None:
        raise PullFailed("file does not exist")
    return model


def registry_failure(script: Script, name: ModelName, method: str, url: str, *, insecure: bool) -> str | None:
    """Word what the script wants to go wrong with every request to the registry; None: nothing."""
    faults = script.registry
    if faults.fails == "401":
        return f'realm host "" does not match original host "{name.host}"'
    if faults.fails is not None and faults.fails.isdecimal():
        return f"{faults.fails}: {faults.body}"
    failure = None
    if faults.fails == "offline":
        failure = f"dial tcp: lookup {name.host.split(':')[0]}: no such host"
    elif faults.fails == "down":
        port = name.host.partition(":")[2] or ("80" if insecure else "443")
        failure = f"dial tcp 127.0.0.1:{port}: connect: connection refused"
    elif faults.fails == "proxy":
        failure = f"proxyconnect tcp: dial tcp {faults.body or _PROXY}: connect: connection refused"
    elif faults.insecure_only and not insecure and name.host != DEFAULT_HOST:
        failure = "tls: first record does not look like a TLS handshake"
    if failure is None:
        return None
    text = f'{method} "{url}": {failure}'
    log.slog("INFO", "images.go:1314", f"request failed: {text}")
    return text


async def _fetch(downloads: Downloads, name: ModelName, layer: Layer, left: asyncio.Event, emit: Emit) -> bool:
    """Have a layer on disk; False when it was there already."""
    status = f"pulling {layer.digest[7:19]}"
    size = downloads.folder.blob_size(layer.digest)
    if size is not None:
        await emit({"status": status, "digest": layer.digest, "total": size, "completed": size})
        return False

    async def show(download: BlobDownload) -> None:
        line: dict[str, Any] = {"status": status, "digest": layer.digest}
        # omitempty: what is 0 is not there
        if download.total_bytes:
            line["total"] = download.total_bytes
        if download.completed_bytes:
            line["completed"] = download.completed_bytes
        await emit(line)

    try:
        await downloads.join(name, layer).wait(left, show)
    except DownloadFailed as error:
        raise PullFailed(str(error)) from None
    return True


async def _verify(downloads: Downloads, name: ModelName, fresh: list[Layer]) -> None:
    faults = downloads.registry.faults
    for layer in fresh:
        await asyncio.sleep(layer.size_bytes / downloads.script.hash_bytes_per_s)
        got = layer.digest
        if layer.content is not None:
            got = downloads.folder.hash_blob(layer.digest)
        else:
            for fault in list(faults.of(name, "corrupt")):
                faults.spend(fault)
                got = f"sha256:{hashlib.sha256(json.dumps([layer.digest, 'wrong']).encode()).hexdigest()}"
        if got != layer.digest:
            downloads.folder.remove_blob(layer.digest)
            raise PullFailed(f"digest mismatch, file must be downloaded again: want {layer.digest}, got {got}")
