"""Streams of status lines, as pull, push and create have them (streamResponse, waitForStream, routes.go, 0.33)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from launcher.demo.http import ClientGone, Exchange

Emit = Callable[[dict[str, Any]], Awaitable[None]]
_PLAIN_JSON = "application/json"


class Progress:
    """The lines of one request: sent as they come, or only the last of them where the client wants no stream."""

    def __init__(self, exchange: Exchange, *, streams: bool) -> None:
        self._exchange = exchange
        self._streams = streams
        self._last: dict[str, Any] = {}

    async def emit(self, event: dict[str, Any]) -> None:
        """Tell one status; nothing happens when the client has left."""
        self._last = dict(event)
        left = self._exchange.request.left
        if self._streams and not left.is_set():
            try:
                await self._exchange.line(event)
            except ClientGone:
                left.set()

    async def succeed(self) -> None:
        """End after the last status."""
        if self._streams:
            await self._exchange.end()
        else:
            await self._exchange.json(200, self._last, _PLAIN_JSON)

    async def fail(self, text: str, status: int = 500) -> None:
        """End with an error: with its status where nothing has been sent, else as a last line."""
        if self._exchange.has_begun:
            await self.emit({"error": text})
            await self._exchange.end()
        else:
            await self._exchange.json(status, {"error": text}, _PLAIN_JSON)
