"""The routes of OpenAI, each of which is one of ours in other words (middleware/openai.go, openai/openai.go, 0.33).

As in the real server a request is turned into one of ``/api`` and its answer is turned back line by line, with what
that does to errors: one in the middle of a stream becomes an empty chunk, and ``[DONE]`` never comes.
"""

from __future__ import annotations

import base64
import os
import struct
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from launcher.demo.golang import dumps
from launcher.demo.http import JSON_TYPE, Exchange, Request
from launcher.demo.routes.binding import members
from launcher.demo.routes.embedding import EmbeddingRoutes
from launcher.demo.routes.inference import InferenceRoutes
from launcher.demo.routes.installed import InstalledRoutes
from launcher.demo.routes.openai_chunks import ChatChunks, Chunks, CompletionChunks
from launcher.demo.routes.openai_requests import Unfit, chat_request, generate_request
from launcher.demo.routes.refusing import answer_or_refuse
from launcher.demo.routes.world import Refused, World
from launcher.domain.names import ModelName

if TYPE_CHECKING:
    from launcher.demo.reply import Reply

_PLAIN_JSON = "application/json"
_STREAM_TYPE = "text/event-stream"
_TYPES = {400: "invalid_request_error", 404: "not_found_error"}
_MODELS = "/v1/models/"


class OpenAIRoutes:
    """What programs made for OpenAI ask for."""

    def __init__(
        self, world: World, installed: InstalledRoutes, inference: InferenceRoutes, embedding: EmbeddingRoutes
    ) -> None:
        self._world = world
        self._installed = installed
        self._inference = inference
        self._embedding = embedding

    async def models(self, exchange: Exchange) -> None:
        models = self._world.folder.installed()
        found = [_model(one.name.display, one.modified_ns, one.name.namespace) for one in models]
        await _send(exchange, 200, {"object": "list", "data": found or None})

    async def model(self, exchange: Exchange) -> None:
        text = unquote(exchange.request.path.removeprefix(_MODELS))
        try:
            self._installed.shown(text)
            name = ModelName.parse(text)
        except Refused as refused:
            await _send(exchange, refused.status, _error(refused.status, refused.text))
            return
        model = self._world.folder.read(self._world.folder.existing(name))
        await _send(exchange, 200, _model(text, model.modified_ns, name.namespace))

    async def chat(self, exchange: Exchange) -> None:
        body = await _read(exchange)
        if body is None:
            return
        if not body.get("messages"):
            await exchange.json(400, _error(400, "[] is too short - 'messages'"))
            return
        identity = f"chatcmpl-{_number()}"
        usage = bool((body.get("stream_options") or {}).get("include_usage"))
        await self._ask(exchange, "/api/chat", chat_request, body, ChatChunks(identity, usage=usage))

    async def complete(self, exchange: Exchange) -> None:
        body = await _read(exchange)
        if body is None:
            return
        identity = f"cmpl-{_number()}"
        usage = bool((body.get("stream_options") or {}).get("include_usage"))
        await self._ask(exchange, "/api/generate", generate_request, body, CompletionChunks(identity, usage=usage))

    async def _ask(
        self,
        exchange: Exchange,
        path: str,
        convert: Callable[[Mapping[str, Any]], dict[str, Any]],
        body: Mapping[str, Any],
        chunks: Chunks,
    ) -> None:
        try:
            wish = convert(body)
        except Unfit as error:
            await exchange.json(400, _error(400, str(error)))
            return
        route = self._inference.chat if path == "/api/chat" else self._inference.generate
        await _through(exchange, path, wish, route, chunks)

    async def embed(self, exchange: Exchange) -> None:
        body = await _read(exchange)
        if body is None:
            return
        encoding = str(body.get("encoding_format") or "float").lower()
        if encoding not in ("float", "base64"):
            shown = f"Invalid value for 'encoding_format' = {body['encoding_format']}."
            await exchange.json(400, _error(400, f"{shown} Supported values: ['float', 'base64']."))
            return
        given = body.get("input")
        if given is None or given == []:
            await exchange.json(400, _error(400, "invalid input"))
            return
        model = str(body.get("model") or "")
        wish = {"model": model, "input": [""] if given == "" else given}
        wish |= {"dimensions": body["dimensions"]} if body.get("dimensions") else {}
        await _through(exchange, "/api/embed", wish, self._embedding.embed, _Embeddings(model, encoding))


async def _read(exchange: Exchange) -> dict[str, Any] | None:
    """Read the body; None where it did not fit and that has been said."""
    try:
        return members(exchange.request)
    except Refused as refused:
        await exchange.json(refused.status, _error(refused.status, refused.text))
        return None


async def _through(
    exchange: Exchange,
    path: str,
    body: Mapping[str, Any],
    route: Callable[[Reply], Awaitable[None]],
    chunks: Chunks,
) -> None:
    """Let a route of ``/api`` answer, in the words of OpenAI."""
    request = replace(exchange.request, target=path, body=dumps(body))
    await answer_or_refuse(route, _Translated(exchange, request, chunks))


class _Translated:
    """An exchange whose answer is told in the words of OpenAI."""

    def __init__(self, exchange: Exchange, request: Request, chunks: Chunks) -> None:
        self.request = request
        self._exchange = exchange
        self._chunks = chunks

    @property
    def has_begun(self) -> bool:
        return self._exchange.has_begun

    async def json(self, status: int, value: Any, content_type: str = JSON_TYPE) -> None:
        if status == 200 and self._chunks.streams(self.request):
            await self.line(value)  # a model that is loaded only
            await self.end()
        elif status == 200:
            await _send(self._exchange, 200, self._chunks.whole(value))
        else:
            await _send(self._exchange, status, _error(status, str(value.get("error"))))

    async def fail(self, status: int, text: str) -> None:
        await self.json(status, {"error": text})

    async def line(self, value: Any) -> None:
        for chunk in self._chunks.of(value):
            await self.raw(b"data: " + dumps(chunk) + b"\n\n")
        if value.get("done"):
            await self.raw(b"data: [DONE]\n\n")

    async def raw(self, data: bytes) -> None:
        if not self.has_begun:
            await self._exchange.begin_stream(_STREAM_TYPE)
        await self._exchange.raw(data)

    async def end(self) -> None:
        await self._exchange.end()

    def cut(self) -> None:
        self._exchange.cut()


class _Embeddings:
    """The answer of ``/v1/embeddings``."""

    def __init__(self, model: str, encoding: str) -> None:
        self._model = model
        self._encoding = encoding

    def streams(self, request: Request) -> bool:
        return False

    def of(self, line: Mapping[str, Any]) -> list[dict[str, Any]]:
        return []

    def whole(self, value: Mapping[str, Any]) -> dict[str, Any]:
        entries = []
        for at, vector in enumerate(value["embeddings"]):
            shown: Any = vector
            if self._encoding == "base64":
                shown = base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()
            entries.append({"object": "embedding", "embedding": shown, "index": at})
        count = int(value.get("prompt_eval_count") or 0)
        usage = {"prompt_tokens": count, "total_tokens": count}
        return {"object": "list", "data": entries, "model": self._model, "usage": usage}


def _number() -> int:
    return int.from_bytes(os.urandom(2), "big") % 999


def _model(name: str, modified_ns: int, owner: str) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": modified_ns // 1_000_000_000, "owned_by": owner}


def _error(status: int, text: str) -> dict[str, Any]:
    return {"error": {"message": text, "type": _TYPES.get(status, "api_error"), "param": None, "code": None}}


async def _send(exchange: Exchange, status: int, value: Any) -> None:
    """Answer as ``json.Encoder`` of Go does: with a line's end."""
    await exchange.answer(status, _PLAIN_JSON, dumps(value) + b"\n")
