"""Which path is answered by whom, who may ask, and how a refusal is told (``GenerateRoutes``, routes.go, 0.33)."""

from __future__ import annotations

import asyncio
import re
import socket
from collections.abc import Awaitable, Callable, Mapping
from functools import cached_property, partial
from typing import TYPE_CHECKING
from urllib.parse import unquote

from launcher.demo.http import JSON_TYPE, TEXT_TYPE, Exchange, Request
from launcher.demo.routes.refusing import answer_or_refuse
from launcher.demo.routes.world import World

if TYPE_CHECKING:
    from launcher.demo.reply import Sink
    from launcher.demo.routes.account import AccountRoutes
    from launcher.demo.routes.embedding import EmbeddingRoutes
    from launcher.demo.routes.inference import InferenceRoutes
    from launcher.demo.routes.installed import InstalledRoutes
    from launcher.demo.routes.openai import OpenAIRoutes
    from launcher.demo.routes.transfers import TransferRoutes

Route = Callable[[Exchange], Awaitable[None]]
_BLOBS = "/api/blobs/"
_GARBAGE = b"<html>this is not what you asked for"
_LOCAL_SUFFIXES = (".localhost", ".local", ".internal")
# Texts, which are compiled when they are first needed: it would be 1 ms of every start.
_ALLOWED_ORIGIN = (
    r"(https?://(localhost|127\.0\.0\.1|0\.0\.0\.0)(:\d+)?|(app|file|tauri|vscode-webview|vscode-file)://.*)"
)
_ALLOWED_ADDRESS = r"(127|10)\..*|192\.168\..*|172\.(1[6-9]|2\d|3[01])\..*|0\.0\.0\.0|[0-9a-fA-F:]*"


class _Groups:
    """The routes by what they have in common. Their modules are read when the first request comes, not at a start."""

    def __init__(self, world: World) -> None:
        self._world = world

    async def root(self, exchange: Exchange) -> None:
        await exchange.answer(200, TEXT_TYPE, b"Ollama is running")

    async def version(self, exchange: Exchange) -> None:
        await exchange.json(200, {"version": self._world.script.version})

    @cached_property
    def installed(self) -> InstalledRoutes:
        from launcher.demo.routes.installed import InstalledRoutes

        return InstalledRoutes(self._world)

    @cached_property
    def transfers(self) -> TransferRoutes:
        from launcher.demo.routes.transfers import TransferRoutes

        return TransferRoutes(self._world)

    @cached_property
    def account(self) -> AccountRoutes:
        from launcher.demo.routes.account import AccountRoutes

        return AccountRoutes(self._world)

    @cached_property
    def inference(self) -> InferenceRoutes:
        from launcher.demo.routes.inference import InferenceRoutes

        return InferenceRoutes(self._world, self.account)

    @cached_property
    def embedding(self) -> EmbeddingRoutes:
        from launcher.demo.routes.embedding import EmbeddingRoutes

        return EmbeddingRoutes(self._world, self.account)

    @cached_property
    def openai(self) -> OpenAIRoutes:
        from launcher.demo.routes.openai import OpenAIRoutes

        return OpenAIRoutes(self._world, self.installed, self.inference, self.embedding)

    @cached_property
    def create(self) -> Route:
        from launcher.demo.routes.building import create

        return partial(create, self._world)


# A path that ends in a slash takes one further part.
_TABLE: Mapping[str, Mapping[str, Callable[[_Groups], Route]]] = {
    "/": {"GET": lambda groups: groups.root, "HEAD": lambda groups: groups.root},
    "/api/version": {"GET": lambda groups: groups.version, "HEAD": lambda groups: groups.version},
    "/api/tags": {"GET": lambda groups: groups.installed.tags, "HEAD": lambda groups: groups.installed.tags},
    "/api/ps": {"GET": lambda groups: groups.installed.ps},
    "/api/show": {"POST": lambda groups: groups.installed.show},
    "/api/delete": {"DELETE": lambda groups: groups.installed.delete},
    "/api/copy": {"POST": lambda groups: groups.installed.copy},
    "/api/pull": {"POST": lambda groups: groups.transfers.pull},
    "/api/push": {"POST": lambda groups: groups.transfers.push},
    _BLOBS: {
        "HEAD": lambda groups: groups.transfers.blob_exists,
        "POST": lambda groups: groups.transfers.upload_blob,
    },
    "/api/create": {"POST": lambda groups: groups.create},
    "/api/generate": {"POST": lambda groups: groups.inference.generate},
    "/api/chat": {"POST": lambda groups: groups.inference.chat},
    "/api/embed": {"POST": lambda groups: groups.embedding.embed},
    "/api/embeddings": {"POST": lambda groups: groups.embedding.embeddings},
    "/api/status": {"GET": lambda groups: groups.account.status},
    "/api/me": {"POST": lambda groups: groups.account.me},
    "/api/signout": {"POST": lambda groups: groups.account.sign_out},
    "/api/user/keys/": {"DELETE": lambda groups: groups.account.sign_out},
    "/api/experimental/model-recommendations": {"GET": lambda groups: groups.account.recommendations},
    "/api/experimental/web_search": {"POST": lambda groups: groups.account.web_search},
    "/api/experimental/web_fetch": {"POST": lambda groups: groups.account.web_fetch},
    "/v1/models": {"GET": lambda groups: groups.openai.models},
    "/v1/models/": {"GET": lambda groups: groups.openai.model},
    "/v1/chat/completions": {"POST": lambda groups: groups.openai.chat},
    "/v1/completions": {"POST": lambda groups: groups.openai.complete},
    "/v1/embeddings": {"POST": lambda groups: groups.openai.embed},
}


class Routes:
    """All routes of one server."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._script = world.script.answers
        self._own_name = socket.gethostname().lower()
        self._groups = _Groups(world)

    def sink_of(self, method: str, path: str) -> Sink | None:
        """Say where a body goes that does not fit the memory."""
        return self._groups.transfers.sink_of(path) if method == "POST" and path.startswith(_BLOBS) else None

    async def answer(self, exchange: Exchange) -> None:
        """Answer one request."""
        request = exchange.request
        if self._script.delay_s:
            await asyncio.sleep(self._script.delay_s)
        if not self._is_allowed(request):
            await exchange.answer(403, None, b"")
        elif request.path in self._script.garbage:
            await exchange.answer(200, JSON_TYPE, _GARBAGE)
        elif await self._world.faults.answers_instead(exchange):
            return
        elif request.path.startswith("/v2/"):
            await self._groups.transfers.v2(exchange)
        elif (methods := _methods(request.path)) is None:
            await self._answer_nowhere(exchange)
        elif (find := methods.get(request.method)) is None:
            allowed = [("Allow", ", ".join(methods))]
            await exchange.answer(405, "text/plain", b"405 method not allowed", allowed)
        else:
            await answer_or_refuse(find(self._groups), exchange)

    async def _answer_nowhere(self, exchange: Exchange) -> None:
        path, method = exchange.request.path.removesuffix("/"), exchange.request.method
        if path != exchange.request.path and method in _TABLE.get(path, {}):
            # gin's RedirectTrailingSlash; net/http words the body of what was a GET
            page = f'<a href="{path}">Moved Permanently</a>.\n\n'.encode() if method == "GET" else b""
            kind = "text/html; charset=utf-8" if method == "GET" else None
            await exchange.answer(301 if method == "GET" else 307, kind, page, [("Location", path)])
        else:
            await exchange.answer(404, "text/plain", b"404 page not found")

    def _is_allowed(self, request: Request) -> bool:
        """Apply the guards that a server on loopback has (allowedHostsMiddleware, routes.go), and that of CORS."""
        origin = request.headers.get("origin", "")
        if origin and not re.fullmatch(_ALLOWED_ORIGIN, origin):
            return False
        if not self._world.guards_host:
            return True
        host = request.headers.get("host", "")
        host = host[1:].partition("]")[0] if host.startswith("[") else host.partition(":")[0]
        name = host.lower()
        is_named = name in ("localhost", self._own_name) or name.endswith(_LOCAL_SUFFIXES)
        return is_named or re.fullmatch(_ALLOWED_ADDRESS, host) is not None


def _methods(path: str) -> Mapping[str, Callable[[_Groups], Route]] | None:
    prefix = path[: path.rfind("/") + 1]
    part = unquote(path.removeprefix(prefix))
    if len(prefix) > 1 and prefix in _TABLE:
        return _TABLE[prefix] if part and "/" not in part else None
    return _TABLE.get(path)
