"""The routes of embeddings: embed, and embeddings as it was before."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from launcher.demo.chat import count_tokens
from launcher.demo.routes.account import AccountRoutes
from launcher.demo.routes.binding import keep_alive_ns, members, options
from launcher.demo.routes.world import Refused, World, parse_name
from launcher.demo.runners import RunnerFailed, ServerBusy
from launcher.demo.store import Installed
from launcher.demo.vectors import embedding_of

if TYPE_CHECKING:
    from launcher.demo.reply import Reply

_NO_EMBEDDINGS = "This server does not support embeddings. Start it with `--embeddings`"


class EmbeddingRoutes:
    """Vectors of texts."""

    def __init__(self, world: World, account: AccountRoutes) -> None:
        self._world = world
        self._account = account

    async def embed(self, exchange: Reply) -> None:
        body = members(exchange.request)
        text = body.get("model") or ""
        if not text:
            raise Refused(404, "model '' not found")
        name = parse_name(text, Refused(400, "invalid model name"))
        if name.cloud:
            raise self._account.refuse_cloud("/api/embed")
        given = body.get("input")
        texts = given if isinstance(given, list) else [] if given in (None, "") else [given]
        if not all(isinstance(one, str) for one in texts):
            raise Refused(400, "invalid input type")
        model = self._world.read(name, Refused(404, f'model "{text}" not found, try pulling it first'))
        began_ns = time.monotonic_ns()
        if self._world.faults.take(("busy",), "/api/embed", model.name) is not None:
            raise ServerBusy
        if not texts and keep_alive_ns(body.get("keep_alive")) == 0:
            self._world.runners.unload(model)
            await exchange.json(200, {"model": text, "embeddings": []})
            return
        context = await self._load(model, body)
        loaded_ns = time.monotonic_ns()
        if not texts:
            await exchange.json(200, {"model": text, "embeddings": []})
            return
        if "embedding" not in model.capabilities:
            raise Refused(501, _NO_EMBEDDINGS)
        counts = [count_tokens(one) for one in texts]
        if body.get("truncate") is False and max(counts) > context:
            raise Refused(400, "the input length exceeds the context length")
        length = int(model.config.get("embedding_length") or 1024)
        dimensions = int(body.get("dimensions") or 0)
        reply = {
            "model": text,
            "embeddings": [embedding_of(one, length, dimensions) for one in texts],
            "total_duration": time.monotonic_ns() - began_ns,
            "load_duration": loaded_ns - began_ns,
            "prompt_eval_count": sum(min(one, context) for one in counts),
        }
        await exchange.json(200, reply)

    async def embeddings(self, exchange: Reply) -> None:
        """Answer as embed did before it took several texts."""
        body = members(exchange.request)
        text = body.get("model") or ""
        name = parse_name(text, Refused(400, "invalid model name" if text else "model is required"))
        model = self._world.read(name, Refused(404, f'model "{text}" not found, try pulling it first'))
        await self._load(model, body)
        prompt = body.get("prompt") or ""
        if prompt and "embedding" not in model.capabilities:
            raise Refused(500, _NO_EMBEDDINGS)
        length = int(model.config.get("embedding_length") or 1024)
        await exchange.json(200, {"embedding": embedding_of(prompt, length) if prompt else []})

    async def _load(self, model: Installed, body: dict[str, Any]) -> int:
        """Have a model in memory for a moment, and give its context length."""
        context = options(body.get("options") or {}).get("num_ctx")
        try:
            async with self._world.runners.use(model, keep_alive_ns(body.get("keep_alive")), context) as loaded:
                return loaded.context_length
        except RunnerFailed as error:
            raise Refused(500, str(error)) from None
