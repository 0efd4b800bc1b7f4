"""The routes that a real server answers with the help of ollama.com: status, me, signout, recommendations, web.

Nothing is asked for outside: the script says whether there is an account, and what the web holds.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from launcher.demo.golang import GoError, loads
from launcher.demo.http import Exchange
from launcher.demo.routes.world import Refused, World
from launcher.demo.script_rare import AccountScript, WebScript

_WEB_RESULTS = 5
_SIGNIN_URL = "https://ollama.com/connect?name=simulated&key=c2ltdWxhdGVk"
# server/model_recommendations.go, 0.33: what a server knows that has never been online.
_RECOMMENDATIONS: tuple[Mapping[str, Any], ...] = (
    {
        "model": "kimi-k2.6:cloud",
        "description": "State-of-the-art coding, long-horizon execution, and multimodal agent swarm capability",
        "context_length": 262_144,
        "max_output_tokens": 262_144,
    },
    {
        "model": "glm-5.1:cloud",
        "description": "Reasoning and code generation",
        "context_length": 202_752,
        "max_output_tokens": 131_072,
    },
    {
        "model": "qwen3.5:cloud",
        "description": "Reasoning, coding, and agentic tool use with vision",
        "context_length": 262_144,
        "max_output_tokens": 32_768,
    },
    {
        "model": "minimax-m2.7:cloud",
        "description": "Fast, efficient coding and real-world productivity",
        "context_length": 204_800,
        "max_output_tokens": 128_000,
    },
    {
        "model": "gemma4",
        "description": "Reasoning and code generation locally",
        "vram_bytes": 12_000_000_000,
    },
    {
        "model": "qwen3.5",
        "description": "Reasoning, coding, and visual understanding locally",
        "vram_bytes": 14_000_000_000,
    },
)


class AccountRoutes:
    """Whose server it is, and what only an account may ask for."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._script = world.script.account or AccountScript()
        self._web = world.script.web or WebScript()
        self._state = self._script.state

    async def status(self, exchange: Exchange) -> None:
        disabled = self._world.no_cloud
        await exchange.json(200, {"cloud": {"disabled": disabled, "source": "env" if disabled else "none"}})

    async def recommendations(self, exchange: Exchange) -> None:
        await exchange.json(200, {"recommendations": _RECOMMENDATIONS})

    async def me(self, exchange: Exchange) -> None:
        if self._state == "offline":
            raise Refused(503, "account unavailable")
        self._check_signed_in()
        account = self._script
        await exchange.json(
            200,
            {
                "id": "00000000-0000-4000-8000-000000000000",
                "email": account.email,
                "name": account.name,
                "plan": account.plan,
            },
        )

    async def sign_out(self, exchange: Exchange) -> None:
        if self._state == "offline":
            raise Refused(500, "there was an error signing out")
        if self._state == "signed_out":
            raise Refused(401, "you are not currently signed in")
        self._state = "signed_out"
        await exchange.json(200, None)

    async def web_search(self, exchange: Exchange) -> None:
        body = self._web_request(exchange, "/api/web_search", "web search is unavailable")
        wanted = body.get("max_results")
        limit = wanted if isinstance(wanted, int) and wanted > 0 else _WEB_RESULTS
        await exchange.json(200, {"results": self._web.results[:limit]})

    async def web_fetch(self, exchange: Exchange) -> None:
        body = self._web_request(exchange, "/api/web_fetch", "web fetch is unavailable")
        page = self._web.pages.get(str(body.get("url")))
        if page is None:
            raise Refused(404, "not found")
        await exchange.json(200, page)

    def refuse_cloud(self, path: str) -> Refused:
        """Say why a model of the cloud cannot be run."""
        try:
            self._check_cloud(path, "remote model is unavailable")
        except Refused as refused:
            return refused
        return Refused(404, "model not found")

    def _web_request(self, exchange: Exchange, path: str, operation: str) -> Mapping[str, Any]:
        text = exchange.request.body.decode("utf-8", "replace")
        if not text.strip():
            raise Refused(400, "missing request body")
        self._check_cloud(path, operation)
        try:
            body = loads(text)
        except GoError as error:
            raise Refused(400, str(error)) from None
        return body if isinstance(body, dict) else {}

    def _check_cloud(self, path: str, operation: str) -> None:
        if self._world.no_cloud:
            raise Refused(403, f"ollama cloud is disabled: {operation}")
        if self._state == "offline":
            url = f"https://ollama.com:443{path}?ts={int(time.time())}"
            raise Refused(502, f'Post "{url}": dial tcp: lookup ollama.com: no such host')
        self._check_signed_in()

    def _check_signed_in(self) -> None:
        if self._state == "signed_out":
            raise Refused(401, "unauthorized", signin_url=_SIGNIN_URL)
