"""The client for programs without a loop: every method of :class:`Client`, waited for in a thread of its own.

No second copy: one descriptor, :class:`Awaited`, makes each method from the asynchronous one, over anyio's portal.
Knows how to wait, to hand out what streams and to end both; nothing of routes and answers.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import functools
import inspect
import os
import queue
import sys
import threading
import weakref
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Generator
from contextlib import ExitStack, aclosing, suppress
from types import MethodType, TracebackType
from typing import Any, Concatenate, Generic, ParamSpec, Self, TypeVar, cast, overload

from anyio.from_thread import start_blocking_portal

from launcher.domain.address import Address
from launcher.errors import InvalidInput
from launcher.ollama.client import Client
from launcher.ollama.tools.loop import run_tools, stream_tools

P = ParamSpec("P")
R = TypeVar("R")
Y = TypeVar("Y")

_AHEAD = 8
"""So many pieces are read before they are asked for: to wake the other thread for each would take longer."""

_END_S = 2.0
"""So long is waited for what was cancelled to close its connection."""

_WAKE_S = 0.1 if sys.platform == "win32" else None
"""There, Ctrl-C does not end the wait for a lock (CPython issue 80116): it is seen between two."""


class Awaited(Generic[P, R]):
    """A method of the asynchronous client, or a function whose first argument is one, as a method that waits.

    One that streams gives a generator, which is to be closed as such: leaving a ``for`` loop does it, and ``close()``.
    """

    __name__: str

    @overload
    def __init__(self, method: Callable[Concatenate[Client, P], Coroutine[Any, Any, R]]) -> None: ...
    @overload
    def __init__(
        self: Awaited[P, Generator[Y, None, None]], method: Callable[Concatenate[Client, P], AsyncGenerator[Y, None]]
    ) -> None: ...
    def __init__(self, method: Callable[..., Any]) -> None:
        self._method = method
        functools.update_wrapper(cast("Callable[..., Any]", self), method)

    def __call__(self, client: SyncClient, /, *args: P.args, **kwargs: P.kwargs) -> R:
        """Call it as a function of the class, ``SyncClient.tags(client)``: as any method can be."""
        return self.__get__(client, type(client))(*args, **kwargs)

    @overload
    def __get__(self, instance: None, owner: type) -> Self: ...
    @overload
    def __get__(self, instance: SyncClient, owner: type) -> Callable[P, R]: ...
    def __get__(self, instance: SyncClient | None, owner: type) -> Self | Callable[P, R]:
        if instance is None:
            return self
        method = functools.partial(self._method, instance._client)

        def call(*args: P.args, **kwargs: P.kwargs) -> R:
            instance._runner.check()
            if inspect.iscoroutinefunction(self._method):
                work: _Work[R] = _Work(instance._runner, lambda: method(*args, **kwargs))
                return work.result()
            return cast("R", _pieces(instance, method(*args, **kwargs)))

        return functools.update_wrapper(call, MethodType(self._method, instance._client))


def _made_like(original: Callable[Concatenate[Any, P], None]) -> Callable[[Any], Callable[Concatenate[Any, P], None]]:
    """Give a constructor the parameters of another, for people and for type checkers."""

    def decorate(constructor: Any) -> Callable[Concatenate[Any, P], None]:
        constructor.__signature__ = inspect.signature(original)
        constructor.__annotations__ = dict(original.__annotations__)
        return cast("Callable[Concatenate[Any, P], None]", constructor)

    return decorate


class SyncClient:
    """The same client as :class:`~launcher.ollama.client.Client`, for scripts: nothing is awaited.

    ::

        with SyncClient() as client:
            for model in client.tags().models:
                print(model.name)
            for piece in client.stream_chat("llama3.2:1b", [Message(role="user", content="Hello")]):
                print(piece.message.content, end="", flush=True)

    It takes the same arguments, and its methods take and raise the same. What streams is a generator: leaving the loop
    closes it, and closing it is the cancel. Ctrl-C cancels what is waited for, on the server too.

    The work is done by a loop in a thread of its own, which ends with ``close()``, with the program, and when nobody
    has the client any more. So it works in a thread in which a loop runs, as in a notebook, but that loop stands still
    meanwhile. It may be used from several threads at once. Callbacks are called in its own thread, where the client
    itself must not be called; functions given to ``run_tools`` have threads of their own, in which it may.
    """

    @_made_like(Client.__init__)
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._client = Client(*args, **kwargs)
        self._runner = _Runner(self._client)
        weakref.finalize(self, self._runner.close)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close all connections and end the thread. What still streams ends with an error. May be called twice."""
        self._runner.close()

    @property
    def address(self) -> Address:
        """The server's address, as it was given."""
        return self._client.address

    @property
    def base_url(self) -> str:
        """The URL that is connected to, without a slash at the end."""
        return self._client.base_url

    is_running = Awaited(Client.is_running)
    version = Awaited(Client.version)
    wait_until_ready = Awaited(Client.wait_until_ready)
    check_health = Awaited(Client.check_health)
    detect_model = Awaited(Client.detect_model)
    has_model = Awaited(Client.has_model)

    tags = Awaited(Client.tags)
    ps = Awaited(Client.ps)
    show = Awaited(Client.show)
    pull = Awaited(Client.pull)
    push = Awaited(Client.push)
    create = Awaited(Client.create)
    blob_exists = Awaited(Client.blob_exists)
    create_blob = Awaited(Client.create_blob)
    delete = Awaited(Client.delete)
    copy = Awaited(Client.copy)
    load = Awaited(Client.load)
    prewarm = Awaited(Client.prewarm)
    unload = Awaited(Client.unload)

    chat = Awaited(Client.chat)
    stream_chat = Awaited(Client.stream_chat)
    generate = Awaited(Client.generate)
    stream_generate = Awaited(Client.stream_generate)
    embed = Awaited(Client.embed)
    embeddings = Awaited(Client.embeddings)

    run_tools = Awaited(run_tools)
    stream_tools = Awaited(stream_tools)

    me = Awaited(Client.me)
    signout = Awaited(Client.signout)
    recommendations = Awaited(Client.recommendations)
    cloud_status = Awaited(Client.cloud_status)
    web_search = Awaited(Client.web_search)
    web_fetch = Awaited(Client.web_fetch)

    v1_models = Awaited(Client.v1_models)
    v1_model = Awaited(Client.v1_model)
    v1_chat = Awaited(Client.v1_chat)
    stream_v1_chat = Awaited(Client.stream_v1_chat)
    v1_embeddings = Awaited(Client.v1_embeddings)


class _Runner:
    """A thread with a loop, and what is at work there."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._closing = threading.Lock()
        self._closed = False
        self._process_id = os.getpid()
        self._works: set[_Work[Any]] = set()
        with ExitStack() as stack:
            self.portal = stack.enter_context(start_blocking_portal("asyncio"))
            self._thread_id = self.portal.call(threading.get_ident)
            self.loop = self.portal.call(_running_loop)
            self._end = stack.pop_all()

    @property
    def here(self) -> bool:
        """Whether the caller is in this thread, where waiting for it would last for ever."""
        return threading.get_ident() == self._thread_id

    @property
    def _forked(self) -> bool:
        return self._process_id != os.getpid()

    def check(self) -> None:
        """Raise InvalidInput where nothing can be waited for."""
        if self._closed:
            raise _closed()
        if self._forked:
            raise InvalidInput(
                "This client belongs to another process.",
                detail="a fork has only the thread that forked, and not that of the client",
                hint="Make the client after the fork.",
            )
        if self.here:
            raise InvalidInput(
                "A callback of a client must not wait for that client.",
                detail="it runs in the thread that would do the work",
                hint="Note what is to be done, and do it after the call that the callback belongs to.",
            )

    def close(self) -> None:
        """End all work, then the thread; return when both have ended."""
        if self._forked:
            # There is no thread to wait for; the portal must not wait for it either.
            with suppress(StopIteration):
                self.portal.stop().send(None)
            self._end.close()
            return
        if self.here:
            # The collector came by here.
            threading.Thread(target=self.close, name="closes-a-client", daemon=True).start()
            return
        with self._closing:
            if self._closed:
                return
            self._closed = True
            try:
                self.portal.call(self._end_all)
            finally:
                self._end.close()

    async def _end_all(self) -> None:
        tasks = [task for work in list(self._works) if (task := work.end()) is not None]
        if tasks:
            await asyncio.wait(tasks, timeout=_END_S)
        await self._client.aclose()

    async def run(self, work: _Work[R], coro: Callable[[], Awaitable[R]]) -> R:
        """Do one work, which can be ended while it lasts."""
        self._works.add(work)
        try:
            if self._closed:
                raise asyncio.CancelledError
            return await coro()
        finally:
            self._works.discard(work)


class _Work(Generic[R]):
    """Something that is awaited in the thread of a runner, and waited for in another."""

    def __init__(self, runner: _Runner, coro: Callable[[], Awaitable[R]]) -> None:
        self._runner = runner
        self._coro = coro
        self._task: asyncio.Task[Any] | None = None
        self._ended = threading.Event()
        self._cancelled = False
        try:
            self._future = runner.portal.start_task_soon(self._run)
        except BaseException:
            self.cancel()
            raise

    def result(self) -> R:
        """Wait for the end. Whatever ends the wait ends the work."""
        try:
            while True:
                try:
                    return self._future.result(_WAKE_S)
                except TimeoutError:
                    # Of the work itself, or only of this wait, at whose end the work may have ended, too.
                    if self._future.done():
                        return self._future.result()
        except concurrent.futures.CancelledError:
            raise _closed() from None
        except BaseException:
            self.cancel()
            raise

    def cancel(self) -> None:
        """End the work, and wait for a moment until it has cleaned up."""
        if self._ended.is_set():
            return
        try:
            self._runner.loop.call_soon_threadsafe(self.end)
        except RuntimeError:  # the loop has ended, and the work with it
            return
        if not self._runner.here:
            self._ended.wait(_END_S)

    def end(self) -> asyncio.Task[Any] | None:
        """End the work, and return its task if it has begun; for the thread of the loop."""
        self._cancelled = True
        # Not by anyio's scope: that cancels again at every await, and connections could not be closed in peace.
        if self._task is not None:
            self._task.cancel()
        return self._task

    async def _run(self) -> R:
        self._task = asyncio.current_task()
        try:
            if self._cancelled:
                raise asyncio.CancelledError
            return await self._runner.run(self, self._coro)
        finally:
            self._ended.set()


def _pieces(client: SyncClient, stream: AsyncGenerator[Y, None]) -> Generator[Y, None, None]:
    """Hand out what a stream gives. One task reads it from beginning to end, some pieces ahead.

    Holds the client, which would be closed if nobody had it any more.
    """
    runner = client._runner
    pieces: queue.SimpleQueue[tuple[Y] | None] = queue.SimpleQueue()
    room = asyncio.Semaphore(_AHEAD)

    async def read() -> None:
        try:
            async with aclosing(stream):
                async for piece in stream:
                    pieces.put((piece,))
                    await room.acquire()
        finally:
            pieces.put(None)

    runner.check()
    work = _Work(runner, read)
    try:
        while (piece := _next(pieces)) is not None:
            with suppress(RuntimeError):  # the loop has ended: these are the last pieces
                runner.loop.call_soon_threadsafe(room.release)
            yield piece[0]
        work.result()
    finally:
        work.cancel()


def _next(pieces: queue.SimpleQueue[tuple[Y] | None]) -> tuple[Y] | None:
    while True:
        try:
            return pieces.get(timeout=_WAKE_S)
        except queue.Empty:
            continue


async def _running_loop() -> asyncio.AbstractEventLoop:
    return asyncio.get_running_loop()


def _closed() -> InvalidInput:
    return InvalidInput("This client is closed.", hint="Make another, or stay in the with block for longer.")
