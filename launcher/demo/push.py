"""One push from its first line to its last, as ``PushModel`` (server/images.go, upload.go, 0.33) does it.

The registry is the one that is pulled from: what it has is not sent again, and what was pushed is there until the
server stops. Nothing leaves this machine.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from launcher.demo.download import Downloads
from launcher.demo.pull import registry_failure
from launcher.demo.store import Installed
from launcher.domain.names import DEFAULT_HOST, DEFAULT_NAMESPACE, ModelName

Emit = Callable[[dict[str, Any]], Awaitable[None]]


class PushFailed(Exception):
    """The push ended; the text is its last line."""


async def push(downloads: Downloads, name: ModelName, emit: Emit, *, insecure: bool) -> None:
    """Push a model, one event to ``emit`` a line."""
    folder, registry = downloads.folder, downloads.registry
    await emit({"status": "retrieving manifest"})
    try:
        model = folder.read(name)
    except FileNotFoundError as error:
        await emit({"status": "couldn't retrieve manifest"})
        raise PushFailed(f"open {error.filename}: no such file or directory") from None
    scheme = "http" if insecure else "https"
    for layer in model.layers:
        url = f"{scheme}://{name.host}/v2/{name.namespace}/{name.model}/blobs/{layer['digest']}"
        failure = registry_failure(downloads.script, name, "Head", url, insecure=insecure)
        if failure is not None:
            raise PushFailed(failure)
        await _upload(downloads, layer, emit, is_there=registry.blob(str(layer["digest"])) is not None)
    await emit({"status": "pushing manifest"})
    if name.host == DEFAULT_HOST and name.namespace == DEFAULT_NAMESPACE:
        raise PushFailed("unauthorized: access denied")  # the public library is nobody's but its makers'
    _accept(downloads, model)
    await emit({"status": "success"})


async def _upload(downloads: Downloads, layer: Mapping[str, Any], emit: Emit, *, is_there: bool) -> None:
    digest, total = str(layer["digest"]), int(layer["size"])
    line = {"status": f"pushing {digest[7:19]}", "digest": digest, "total": total}
    script = downloads.script
    loop = asyncio.get_running_loop()
    began_s = loop.time()
    while not is_there:
        completed = min(total, int((loop.time() - began_s) * script.rate_bytes_per_s))
        if completed >= total:
            break
        await emit({**line, **({"completed": completed} if completed else {})})
        await asyncio.sleep(script.line_interval_ms / 1000)
    await emit({**line, "completed": total})


def _accept(downloads: Downloads, model: Installed) -> None:
    with open(downloads.folder.manifest_path(model.name), "rb") as file:
        manifest = file.read()
    contents: dict[str, bytes] = {}
    for layer in model.layers:
        path = downloads.folder.blob_path(str(layer["digest"]))
        if not str(layer["mediaType"]).endswith((".model", ".projector", ".adapter")) and os.path.exists(path):
            with open(path, "rb") as file:
                contents[str(layer["digest"])] = file.read()
    downloads.registry.accept(model.name, manifest, model.layers, contents)
