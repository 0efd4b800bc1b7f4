"""The routes of installed models: tags, ps, show, delete, copy."""

from __future__ import annotations

import time
from typing import Any

from launcher.demo.golang import FOREVER_NS, format_time, quote
from launcher.demo.http import Exchange
from launcher.demo.routes.binding import members
from launcher.demo.routes.description import describe, details, optional, parent
from launcher.demo.routes.world import Refused, World, parse_name
from launcher.demo.runners import Loaded
from launcher.demo.store import Installed
from launcher.domain.names import InvalidModelName, ModelName


class InstalledRoutes:
    """What is there, what is loaded, what a model is."""

    def __init__(self, world: World) -> None:
        self._world = world

    async def tags(self, exchange: Exchange) -> None:
        await exchange.json(200, {"models": self.listed()})

    def listed(self) -> list[dict[str, Any]]:
        """Describe each installed model as tags does, newest first."""
        models = []
        for model in self._world.folder.installed():
            lengths = {name: model.config.get(name) for name in ("context_length", "embedding_length")}
            entry = {
                **_named(model),
                **optional("remote_model", model.config.get("remote_model")),
                **optional("remote_host", model.config.get("remote_host")),
                "modified_at": format_time(model.modified_ns),
                "size": model.size_bytes,
                "digest": model.digest,
                "details": {
                    **details(model, parent(model)),
                    **{name: value for name, value in lengths.items() if value},
                },
            }
            models.append({**entry, **optional("capabilities", model.capabilities)})
        return models

    async def ps(self, exchange: Exchange) -> None:
        models = [
            {
                **_named(one.model),
                "size": one.size_bytes,
                "digest": one.model.digest,
                "details": details(one.model),
                "expires_at": _format_expiry(one),
                "size_vram": one.vram_bytes,
                "context_length": one.context_length,
            }
            for one in self._world.runners.loaded()
        ]
        await exchange.json(200, {"models": models})

    async def show(self, exchange: Exchange) -> None:
        body = members(exchange.request)
        await exchange.json(200, self.shown(body.get("model") or body.get("name") or ""))

    def shown(self, text: str) -> dict[str, Any]:
        """Describe one model as show does."""
        if not text:
            raise Refused(400, "model is required")
        name = parse_name(text, Refused(400, "invalid model name"))
        model = self._world.read(name, Refused(404, f"model '{name.display}' not found"))
        if model.config.get("remote_host") and self._world.no_cloud:
            raise Refused(403, "ollama cloud is disabled: remote model details are unavailable")
        return describe(self._world.folder, model)

    async def delete(self, exchange: Exchange) -> None:
        body = members(exchange.request)
        text = body.get("model") or body.get("name") or ""
        if not text:
            raise Refused(400, "model is required")
        name = parse_name(text, Refused(400, f"name {quote(text)} is invalid"))
        model = self._world.read(name, Refused(404, f"model '{text}' not found"))
        self._world.folder.delete(model)
        await exchange.answer(200, None, b"")

    async def copy(self, exchange: Exchange) -> None:
        body = members(exchange.request)
        names = {}
        for end in ("source", "destination"):
            text = body.get(end) or ""
            try:
                names[end] = ModelName.parse_exact(text)
            except InvalidModelName:
                raise Refused(400, f"{end} {quote(text)} is invalid") from None
        folder = self._world.folder
        source, destination = (folder.existing(names[end]) for end in ("source", "destination"))
        try:
            if source != destination:  # nobody looks whether it exists else (CopyModel, server/images.go)
                folder.copy(source, destination)
        except FileNotFoundError:
            raise Refused(404, f"model {quote(body.get('source') or '')} not found") from None
        await exchange.answer(200, None, b"")


def _named(model: Installed) -> dict[str, Any]:
    return {"name": model.name.display, "model": model.name.display}


def _format_expiry(one: Loaded) -> str:
    if one.keep_alive_ns >= FOREVER_NS:
        # Go's time.Now().Add(longest duration): a date 292 years ahead.
        now_ns = time.time_ns()
        year = time.gmtime(now_ns // 1_000_000_000).tm_year
        return format_time(now_ns).replace(str(year), str(year + 292), 1)
    # Until the first request has ended nothing is set, and what would be is shown.
    return format_time(one.expires_ns or time.time_ns() + one.keep_alive_ns)
