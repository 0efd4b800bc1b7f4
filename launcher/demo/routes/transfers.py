"""The routes between this server and others: pull, push, blobs that a client uploads, and the registry's own."""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING, Any

from launcher.demo.http import JSON_TYPE, Exchange
from launcher.demo.pull import PullFailed, pull
from launcher.demo.push import PushFailed, push
from launcher.demo.registry import MANIFEST_MEDIA_TYPE
from launcher.demo.routes.binding import members
from launcher.demo.routes.progress import Progress
from launcher.demo.routes.world import Refused, World, parse_name, worded
from launcher.demo.store import is_digest
from launcher.demo.upload import Upload
from launcher.domain.names import DEFAULT_HOST, DEFAULT_NAMESPACE, DEFAULT_TAG, InvalidModelName, ModelName

if TYPE_CHECKING:
    from launcher.demo.reply import Sink

_BLOBS = "/api/blobs/"
_MISSING = "!MISSING!"
_V2_PATH = re.compile(r"/v2/(?P<namespace>[^/]+)/(?P<model>[^/]+)/(?P<kind>manifests|blobs)/(?P<reference>[^/]+)")


class TransferRoutes:
    """What comes and what goes."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._pulls: set[asyncio.Task[None]] = set()

    async def pull(self, exchange: Exchange) -> None:
        body = members(exchange.request)
        name = parse_name(body.get("model") or body.get("name") or "", Refused(400, "invalid model name"))
        progress = Progress(exchange, streams=body.get("stream") is not False)
        failures: list[str] = []

        async def run() -> None:
            world = self._world
            name_here, left, insecure = world.folder.existing(name), exchange.request.left, bool(body.get("insecure"))
            try:
                await pull(world.downloads, name_here, left, progress.emit, insecure=insecure, no_prune=world.no_prune)
            except PullFailed as error:
                failures.append(str(error))
            except OSError as error:
                failures.append(worded(error))

        # A task of its own: what comes after the downloads goes on when the client has left.
        task = asyncio.create_task(run())
        self._pulls.add(task)
        task.add_done_callback(self._pulls.discard)
        await asyncio.shield(task)
        await (progress.fail(failures[0]) if failures else progress.succeed())

    async def push(self, exchange: Exchange) -> None:
        body = members(exchange.request)
        text = body.get("model") or body.get("name") or ""
        if not text:
            raise Refused(400, "model is required")
        progress = Progress(exchange, streams=body.get("stream") is not False)
        try:
            name = ModelName.parse_exact(text)
        except InvalidModelName:
            await progress.emit({"status": "retrieving manifest"})
            await progress.emit({"status": "couldn't retrieve manifest"})
            await progress.fail(f"unqualified name: {_spelled_out(text)}")
            return
        try:
            name = self._world.folder.existing(name)
            await push(self._world.downloads, name, progress.emit, insecure=bool(body.get("insecure")))
        except PushFailed as error:
            await progress.fail(str(error))
        except OSError as error:
            await progress.fail(worded(error))
        else:
            await progress.succeed()

    def sink_of(self, path: str) -> Sink:
        """Give a place on the disk for an uploaded blob: it may be larger than the memory."""
        digest = path.removeprefix(_BLOBS)
        is_wanted = is_digest(digest) and self._world.folder.blob_size(digest) is None
        return Upload(self._world.folder, is_wanted=is_wanted)

    async def blob_exists(self, exchange: Exchange) -> None:
        digest = exchange.request.path.removeprefix(_BLOBS)
        if not is_digest(digest):
            raise Refused(400, "invalid digest format")
        if self._world.folder.blob_size(digest) is None:
            raise Refused(404, f'blob "{digest}" not found')
        await exchange.answer(200, None, b"")

    async def upload_blob(self, exchange: Exchange) -> None:
        digest = exchange.request.path.removeprefix(_BLOBS)
        upload = exchange.request.sink
        if not is_digest(digest) or not isinstance(upload, Upload):
            raise Refused(400, "invalid digest format")
        if not upload.is_wanted:
            await exchange.answer(200, None, b"")
            return
        got = upload.keep()  # under its own digest, whatever was asked for (CreateBlobHandler, routes.go)
        if got != digest:
            raise Refused(400, f'digest mismatch, expected "{digest}", got "{got}"')
        await exchange.answer(201, None, b"")

    async def v2(self, exchange: Exchange) -> None:
        """Answer as the registry does: manifests whole, blobs by their size only."""
        registry, script = self._world.registry, self._world.script.registry
        found = _V2_PATH.fullmatch(exchange.request.path)
        if script.fails is not None:
            status = int(script.fails) if script.fails.isdecimal() else 503
            await exchange.answer(status, JSON_TYPE, script.body.encode())
            return
        if exchange.request.method not in ("GET", "HEAD"):
            await exchange.answer(405, "text/plain", b"405 method not allowed", [("Allow", "GET, HEAD")])
            return
        if found is not None and found["kind"] == "manifests":
            model = registry.model_at(found["namespace"], found["model"], found["reference"])
            if model is not None:
                await exchange.answer(200, MANIFEST_MEDIA_TYPE, model.manifest)
                return
        if found is not None and found["kind"] == "blobs" and exchange.request.method == "HEAD":
            layer = registry.blob(found["reference"])
            if layer is not None:
                await exchange.head(200, "application/octet-stream", layer.size_bytes)
                return
        code = "MANIFEST_UNKNOWN" if found is not None and found["kind"] == "manifests" else "BLOB_UNKNOWN"
        errors: list[dict[str, Any]] = [{"code": code, "message": "not known here"}]
        await exchange.json(404, {"errors": errors})


def _spelled_out(text: str) -> str:
    """Write a name that is none as Go does: with the defaults, and marks where a part is missing (types/model)."""
    rest, tag = text, ""
    if text.rfind(":") > text.rfind("/"):
        rest, _, tag = text.rpartition(":")
        rest, tag = rest or _MISSING, tag or _MISSING
    parts = rest.split("/", 2) if rest.count("/") < 2 else rest.rsplit("/", 2)
    parts = [one or _MISSING for one in parts] if len(parts) > 1 else parts
    host, namespace, model = [*(DEFAULT_HOST, DEFAULT_NAMESPACE)[: 3 - len(parts)], *parts]
    return f"{host.rpartition('://')[2]}/{namespace}/{model}:{tag or DEFAULT_TAG}"
