"""The route that makes a model of another one or of files: create."""

from __future__ import annotations

import re

from launcher.demo.creation import CreateFailed, Creation
from launcher.demo.http import Exchange
from launcher.demo.routes.binding import members
from launcher.demo.routes.progress import Progress
from launcher.demo.routes.world import Refused, World, worded
from launcher.domain.names import InvalidModelName, ModelName


async def create(world: World, exchange: Exchange) -> None:
    """Answer ``POST /api/create``."""
    body = members(exchange.request)
    for files in ("files", "draft_files", "adapters"):
        for path, digest in (body.get(files) or {}).items():
            if files != "adapters" and not _is_relative(path):
                raise Refused(400, "file path must be relative")
            if not digest:
                raise Refused(400, "invalid digest format")
    try:
        name = ModelName.parse_exact(body.get("model") or body.get("name") or "")
    except InvalidModelName:
        raise Refused(400, "invalid model name") from None
    progress = Progress(exchange, streams=body.get("stream") is not False)
    creation = Creation(world.downloads, body, progress.emit, exchange.request.left)
    try:
        await creation.make(world.folder.existing(name), no_prune=world.no_prune)
    except CreateFailed as error:
        await progress.fail(str(error), error.status)
    except OSError as error:
        await progress.fail(worded(error))
    else:
        await progress.succeed()


def _is_relative(path: str) -> bool:
    """Tell what ``fs.ValidPath`` of Go tells."""
    return path == "." or all(re.fullmatch(r"(?!\.{1,2}$).+", part, re.DOTALL) for part in path.split("/"))
