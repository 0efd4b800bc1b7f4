"""What the servers of this folder have in common: a free loopback port, a task for each connection, an end in order."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from contextlib import suppress
from types import TracebackType
from typing import Self

_BOUND_S = 30.0


class Listening(ABC):
    """Listens while its block lasts, in the loop of the test."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()
        self._closed = asyncio.Event()

    @abstractmethod
    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection to its end."""

    @property
    def address(self) -> str:
        host, port = self._server.sockets[0].getsockname()[:2]
        return f"http://{host}:{port}"

    @property
    def closed(self) -> bool:
        """True when a client has closed a connection that was still written to or read from."""
        return self._closed.is_set()

    async def wait_closed(self) -> None:
        """Wait until :attr:`closed`."""
        await asyncio.wait_for(self._closed.wait(), _BOUND_S)

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            with suppress(asyncio.CancelledError):  # only __aexit__ cancels
                try:
                    await self.serve(reader, writer)
                except (ConnectionError, asyncio.IncompleteReadError):
                    self._closed.set()
        finally:
            self._tasks.discard(task)
            if not writer.is_closing():
                writer.transport.abort()
