"""What the HTTP server and the routes expect of each other. Read by the type checker only, never by a start."""

from __future__ import annotations

from typing import Any, Protocol

from launcher.demo.http import JSON_TYPE, Request


class Sink(Protocol):
    """Where a body goes that is not kept in memory."""

    def write(self, data: bytes) -> None:
        """Take the next bytes."""

    def close(self) -> None:
        """Let go of what has been taken, whether all of it came or not."""


class Reply(Protocol):
    """What a route may do with its request: an ``Exchange``, or one that words the same answers differently."""

    @property
    def request(self) -> Request: ...

    @property
    def has_begun(self) -> bool: ...

    async def json(self, status: int, value: Any, content_type: str = JSON_TYPE) -> None: ...

    async def fail(self, status: int, text: str) -> None: ...

    async def line(self, value: Any) -> None: ...

    async def end(self) -> None: ...

    async def raw(self, data: bytes) -> None: ...

    def cut(self) -> None: ...
