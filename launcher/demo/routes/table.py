"""Which path is answered by whom, who may ask, and how a refusal is told (``GenerateRoutes``, routes.go, 0.33)."""

from __future__ import annotations

import asyncio
import re
import socket
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from urllib.parse import unquote

from launcher.demo.http import JSON_TYPE, TEXT_TYPE, Exchange, Request, Sink
from launcher.demo.routes.account import AccountRoutes
from launcher.demo.routes.embedding import EmbeddingRoutes
from launcher.demo.routes.inference import InferenceRoutes
from launcher.demo.routes.installed import InstalledRoutes
from launcher.demo.routes.openai import OpenAIRoutes
from launcher.demo.routes.refusing import answer_or_refuse
from launcher.demo.routes.transfers import TransferRoutes
from launcher.demo.routes.world import World

Route = Callable[[Exchange], Awaitable[None]]
_GARBAGE = b"<html>this is not what you asked for"
_LOCAL_SUFFIXES = (".localhost", ".local", ".internal")
_ALLOWED_ORIGIN = re.compile(
    r"(https?://(localhost|127\.0\.0\.1|0\.0\.0\.0)(:\d+)?|(app|file|tauri|vscode-webview|vscode-file)://.*)"
)
_ALLOWED_ADDRESS = re.compile(r"(127|10)\..*|192\.168\..*|172\.(1[6-9]|2\d|3[01])\..*|0\.0\.0\.0|[0-9a-fA-F:]*")


class Routes:
    """All routes of one server."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._script = world.script.answers
        self._own_name = socket.gethostname().lower()
        installed, account = InstalledRoutes(world), AccountRoutes(world)
        inference, embedding = InferenceRoutes(world, account), EmbeddingRoutes(world, account)
        openai = OpenAIRoutes(world, installed, inference, embedding)
        self._transfers = TransferRoutes(world)
        self._table: Mapping[str, Mapping[str, Route]] = {
            "/": {"GET": self._root, "HEAD": self._root},
            "/api/version": {"GET": self._version, "HEAD": self._version},
            "/api/status": {"GET": account.status},
            "/api/tags": {"GET": installed.tags, "HEAD": installed.tags},
            "/api/ps": {"GET": installed.ps},
            "/api/show": {"POST": installed.show},
            "/api/delete": {"DELETE": installed.delete},
            "/api/copy": {"POST": installed.copy},
            "/api/pull": {"POST": self._transfers.pull},
            "/api/push": {"POST": self._transfers.push},
            "/api/create": {"POST": partial(_create, world)},
            "/api/generate": {"POST": inference.generate},
            "/api/chat": {"POST": inference.chat},
            "/api/embed": {"POST": embedding.embed},
            "/api/embeddings": {"POST": embedding.embeddings},
            "/api/me": {"POST": account.me},
            "/api/signout": {"POST": account.sign_out},
            "/api/experimental/model-recommendations": {"GET": account.recommendations},
            "/api/experimental/web_search": {"POST": account.web_search},
            "/api/experimental/web_fetch": {"POST": account.web_fetch},
            "/v1/models": {"GET": openai.models},
            "/v1/chat/completions": {"POST": openai.chat},
            "/v1/completions": {"POST": openai.complete},
            "/v1/embeddings": {"POST": openai.embed},
        }
        self._with_parameter: Mapping[str, Mapping[str, Route]] = {
            "/api/blobs/": {"HEAD": self._transfers.blob_exists, "POST": self._transfers.upload_blob},
            "/api/user/keys/": {"DELETE": account.sign_out},
            "/v1/models/": {"GET": openai.model},
        }

    def sink_of(self, method: str, path: str) -> Sink | None:
        """Say where a body goes that does not fit the memory."""
        return self._transfers.sink_of(method, path)

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
            await self._transfers.v2(exchange)
        elif (methods := self._methods(request.path)) is None:
            await self._answer_nowhere(exchange)
        elif (route := methods.get(request.method)) is None:
            allowed = [("Allow", ", ".join(methods))]
            await exchange.answer(405, "text/plain", b"405 method not allowed", allowed)
        else:
            await answer_or_refuse(route, exchange)

    async def _answer_nowhere(self, exchange: Exchange) -> None:
        path, method = exchange.request.path.removesuffix("/"), exchange.request.method
        if path != exchange.request.path and method in self._table.get(path, {}):
            # gin's RedirectTrailingSlash; net/http words the body of what was a GET
            page = f'<a href="{path}">Moved Permanently</a>.\n\n'.encode() if method == "GET" else b""
            kind = "text/html; charset=utf-8" if method == "GET" else None
            await exchange.answer(301 if method == "GET" else 307, kind, page, [("Location", path)])
        else:
            await exchange.answer(404, "text/plain", b"404 page not found")

    def _methods(self, path: str) -> Mapping[str, Route] | None:
        found = self._table.get(path)
        if found is not None:
            return found
        for prefix, methods in self._with_parameter.items():
            parameter = unquote(path.removeprefix(prefix))
            if path.startswith(prefix) and parameter and "/" not in parameter:
                return methods
        return None

    def _is_allowed(self, request: Request) -> bool:
        """Apply the guards that a server on loopback has (allowedHostsMiddleware, routes.go), and that of CORS."""
        origin = request.headers.get("origin", "")
        if origin and not _ALLOWED_ORIGIN.fullmatch(origin):
            return False
        if not self._world.guards_host:
            return True
        host = request.headers.get("host", "")
        host = host[1:].partition("]")[0] if host.startswith("[") else host.partition(":")[0]
        name = host.lower()
        is_named = name in ("localhost", self._own_name) or name.endswith(_LOCAL_SUFFIXES)
        return is_named or _ALLOWED_ADDRESS.fullmatch(host) is not None

    async def _root(self, exchange: Exchange) -> None:
        await exchange.answer(200, TEXT_TYPE, b"Ollama is running")

    async def _version(self, exchange: Exchange) -> None:
        await exchange.json(200, {"version": self._world.script.version})


async def _create(world: World, exchange: Exchange) -> None:
    from launcher.demo.routes.building import create  # not needed by a start, nor by most runs

    await create(world, exchange)
