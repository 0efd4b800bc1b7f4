"""Requests and answers over HTTP: pools, timeouts, retries, limits, and httpx's exceptions turned into ours.

The only module that talks to httpx's client. Knows how Ollama answers (JSON, lines of JSON, errors), but no route.
"""

from __future__ import annotations

import asyncio
import functools
import json
import random
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Mapping
from contextlib import AbstractContextManager, aclosing, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from pydantic import BaseModel, ValidationError

from launcher.domain.address import Address
from launcher.errors import InvalidInput
from launcher.ollama.config import Limits, Timeouts, user_agent
from launcher.ollama.errors import (
    CutStream,
    InlineError,
    NotRunning,
    OllamaError,
    ProtocolBroken,
    Refused,
    TimedOut,
    refusal,
)
from launcher.ollama.lines import LineSplitter, TooLong
from launcher.ollama.net import httpx
from launcher.ollama.tls import trusted, trusting_nobody
from launcher.ollama.wire.fields import NULL, TOLD, Wire

if TYPE_CHECKING:
    from launcher.ollama.requests import Body

MAX_BODY_BYTES = 64 * 1024 * 1024
"""The largest single answer accepted: a verbose ``/api/show`` with a big vocabulary has some 10 MB."""

MAX_ERROR_BYTES = 64 * 1024
SIMULATED_HEADER = "Ollama-Simulated"

_FIRST_RETRY_S = 0.1
_READ_OUT_S = 0.5
_LEFT_OVER_BYTES = 1024 * 1024
"""More than any buffer between the socket and us holds when a connection is closed."""
_DONE = b"[DONE]"
_RETRIED_STATUSES = frozenset({502, 503, 504})

W = TypeVar("W", bound=Wire)


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer with a good status."""

    body: bytes
    simulated: bool


class Transport:
    """The connections to one server, in two pools: short calls, and streams that may last for hours."""

    def __init__(
        self,
        address: Address,
        *,
        timeouts: Timeouts,
        limits: Limits,
        retries: int,
        headers: Mapping[str, str],
        trust_env: bool,
        transport: httpx.AsyncBaseTransport | None,
    ) -> None:
        self._address = address
        self._base_url = address.base_url
        self._timeouts = timeouts
        self._retries = retries
        # Go's server never compresses, and a stream that is compressed by a proxy comes in blocks, not lines.
        headers = {"User-Agent": user_agent(), "Accept-Encoding": "identity", **headers}

        def pool(connections: int) -> httpx.AsyncClient:
            return httpx.AsyncClient(
                headers=headers,
                # A redirect would take the key and the request to somebody else.
                follow_redirects=False,
                limits=httpx.Limits(
                    max_connections=connections,
                    max_keepalive_connections=connections,
                    keepalive_expiry=limits.idle_s,
                ),
                verify=trusted() if address.scheme == "https" else trusting_nobody(),
                trust_env=trust_env,
                transport=transport,
            )

        self._control = pool(limits.control)
        self._streams = pool(limits.streams)
        self._headers = self._control.headers
        self._json_headers = httpx.Headers({**self._headers, "Content-Type": "application/json"})

    async def aclose(self) -> None:
        """Close all connections, running streams included."""
        try:
            await self._streams.aclose()
        finally:
            await self._control.aclose()

    async def call(
        self,
        method: str,
        path: str,
        body: Mapping[str, object] | None = None,
        *,
        timeout_s: float | None = None,
        idempotent: bool = False,
        retries: int | None = None,
    ) -> Answer:
        """Make one short call, again if it is idempotent and fails in a way that may pass."""
        left = (self._retries if retries is None else retries) if idempotent else 0
        deadline_s = time.monotonic() + (self._timeouts.total_s if timeout_s is None else timeout_s)
        pause_s = _FIRST_RETRY_S
        while True:
            try:
                return await self._once(self._control, method, path, body, self._bounded(timeout_s), deadline_s)
            except OllamaError as error:
                # Nobody listens on this machine: another try would only delay the truth.
                local_refusal = isinstance(error, NotRunning) and self._address.connectable.is_loopback
                passing = isinstance(error, NotRunning | CutStream) or (
                    isinstance(error, Refused) and error.status in _RETRIED_STATUSES
                )
                if left <= 0 or local_refusal or not passing or time.monotonic() + pause_s >= deadline_s:
                    raise
            left -= 1
            await asyncio.sleep(pause_s * random.uniform(0.75, 1.25))  # noqa: S311 - spreads retries, keeps no secret
            pause_s *= 2

    async def call_slowly(
        self, method: str, path: str, body: Mapping[str, object], *, timeout_s: float | None = None
    ) -> Answer:
        """Make one call during which the server may be silent for minutes. Only the connection is bounded.

        The server bounds the rest itself (OLLAMA_LOAD_TIMEOUT); ``timeout_s`` bounds the whole here.
        """
        deadline_s = None if timeout_s is None else time.monotonic() + timeout_s
        return await self._once(self._streams, method, path, body, self._patient(timeout_s), deadline_s)

    async def upload(
        self, path: str, pieces: AsyncIterator[bytes], size_bytes: int, *, timeout_s: float | None = None
    ) -> None:
        """POST so many bytes as they come. The server may be silent for as long as it takes."""
        deadline_s = None if timeout_s is None else time.monotonic() + timeout_s
        # Without a length it would go in chunks, and nobody on the way would know how much comes.
        headers = {"Content-Length": str(size_bytes), "Content-Type": "application/octet-stream"}
        request = self._request(
            "POST", path, pieces, self._patient(timeout_s), httpx.Headers({**self._headers, **headers})
        )
        await self._send(self._streams, request, deadline_s)

    async def stream(
        self,
        path: str,
        body: Body,
        kind: type[W],
        ended: Callable[[W], bool],
        *,
        read_timeout_s: float | None = None,
        events: bool = False,
    ) -> AsyncGenerator[W, None]:
        """POST and hand out one value a line, until the one that ends the stream.

        ``events``: the lines are server-sent events, and the end is ``[DONE]``. Raises CutStream when the connection
        ends before, InlineError for a line with an error. Closing the generator closes the connection, which is how a
        request is cancelled.
        """
        parse = kind.model_validate_json
        splitter = LineSplitter()
        content = await _encoded(body)
        with self._translated():
            request = self._request("POST", path, content, self._patient(read_timeout_s))
            response = await self._streams.send(request, stream=True)
            async with aclosing(response):
                await self._check(response)
                with self._translated(streaming=True):
                    async with _chunks(response) as chunks:
                        async for chunk in chunks:
                            for line in splitter.feed(chunk):
                                if events:
                                    line = _event(line)
                                    if line == _DONE:
                                        await _read_out(chunks)
                                        return
                                    if not line:
                                        continue
                                if b'"error"' in line:
                                    _raise_inline(line)
                                value = parse(line)
                                yield value
                                if ended(value):
                                    await _read_out(chunks)
                                    return
                    line = _event(splitter.rest()) if events else splitter.rest()
                    if events and line == _DONE:
                        return
                    if line:
                        _raise_inline(line)
                        value = parse(line)
                        yield value
                        if ended(value):
                            return
        raise CutStream("the stream ended without its last line")

    def parsed(self, answer: Answer, kind: type[W]) -> W:
        """Read a whole answer. Raises ProtocolBroken."""
        with self._translated():
            return kind.model_validate_json(answer.body)

    async def _once(
        self,
        pool: httpx.AsyncClient,
        method: str,
        path: str,
        body: Mapping[str, object] | None,
        timeout: httpx.Timeout,
        deadline_s: float | None,
    ) -> Answer:
        request = self._request(method, path, await _encoded(body), timeout)
        return await self._send(pool, request, deadline_s)

    async def _send(self, pool: httpx.AsyncClient, request: httpx.Request, deadline_s: float | None) -> Answer:
        left_s = None if deadline_s is None else max(0.0, deadline_s - time.monotonic())
        with self._translated():
            async with asyncio.timeout(left_s):
                response = await pool.send(request, stream=True)
                async with aclosing(response):
                    await self._check(response)
                    content = await read_body(response, MAX_BODY_BYTES)
                    return Answer(content, response.headers.get(SIMULATED_HEADER) == "1")

    def _request(
        self,
        method: str,
        path: str,
        content: bytes | AsyncIterator[bytes] | None,
        timeout: httpx.Timeout,
        headers: httpx.Headers | None = None,
    ) -> httpx.Request:
        """Make a request as httpx's client would, without its parsing and merging what is always the same."""
        if self._control.is_closed:
            raise InvalidInput("This client is closed.", hint="Make another, or use it before it is closed.")
        if headers is None:
            headers = self._headers if content is None else self._json_headers
        with self._translated():
            url = _url(self._base_url + path)
            return httpx.Request(
                method, url, headers=headers, content=content, extensions={"timeout": timeout.as_dict()}
            )

    async def _check(self, response: httpx.Response) -> None:
        """Raise what an answer's status means."""
        status = response.status_code
        if status < 300:
            return
        if status < 400:
            # Only the place, without what may be secret in a query.
            place = response.headers.get("Location", "").partition("?")[0]
            raise ProtocolBroken(
                f"{self._base_url} sends us to another address: {place or 'it does not say where'}.",
                detail=f"HTTP {status}, Location: {place}",
                hint="If that is where Ollama is, use that address.",
            )
        # Whether or not the answer itself may take for ever: the reason comes at once, or not at all.
        body = await read_body(response, MAX_ERROR_BYTES, cut_after_s=self._timeouts.read_s)
        raise refusal(status, error_text(body), _signin_url(body))

    def _bounded(self, timeout_s: float | None) -> httpx.Timeout:
        times = self._timeouts
        most_s = float("inf") if timeout_s is None else timeout_s
        return httpx.Timeout(
            connect=min(times.connect_s, most_s),
            read=min(times.read_s, most_s),
            write=min(times.write_s, most_s),
            pool=min(times.pool_s, most_s),
        )

    def _patient(self, read_timeout_s: float | None) -> httpx.Timeout:
        times = self._timeouts
        return httpx.Timeout(connect=times.connect_s, read=read_timeout_s, write=times.write_s, pool=times.pool_s)

    def _translated(self, *, streaming: bool = False) -> AbstractContextManager[None]:
        return translated(self._address, streaming=streaming)


@functools.lru_cache(maxsize=64)
def _url(text: str) -> httpx.URL:
    return httpx.URL(text)


@contextmanager
def translated(address: Address, *, streaming: bool = False) -> Iterator[None]:
    """Turn what httpx, pydantic and timeouts raise into :class:`OllamaError`, most specific first.

    ``streaming``: an answer has begun, so that a broken connection is a cut stream and not a broken protocol.
    """
    url = address.base_url
    try:
        yield
    except (httpx.TimeoutException, TimeoutError) as error:
        raise TimedOut(url, detail=_detail(error)) from error
    except (httpx.ConnectError, httpx.ProxyError) as error:
        if "CERTIFICATE_VERIFY_FAILED" in str(error):
            raise ProtocolBroken(
                f"The certificate of {url} cannot be trusted.",
                detail=_detail(error),
                hint="Check the address and the date of this computer.",
            ) from error
        if "[SSL" in str(error):
            raise ProtocolBroken(
                f"{url} does not speak https.", detail=_detail(error), hint="Try the address with http:// instead."
            ) from error
        raise NotRunning(url, detail=_detail(error), local=address.connectable.is_loopback) from error
    except UnicodeError as error:
        # A host name such as "xn--", which is found nowhere: httpx lets through what its idna says (0.28).
        raise NotRunning(url, detail=_detail(error), local=False) from error
    except (httpx.NetworkError, httpx.StreamError) as error:
        raise CutStream(_detail(error)) from error
    except httpx.RemoteProtocolError as error:
        # "Server disconnected" and "peer closed connection": the other side went away. The rest is no HTTP at all.
        if streaming or "disconnected" in str(error) or "closed connection" in str(error):
            raise CutStream(_detail(error)) from error
        raise ProtocolBroken(f"What answers at {url} does not speak HTTP.", detail=_detail(error)) from error
    except (httpx.HTTPError, httpx.InvalidURL, httpx.CookieConflict) as error:
        raise ProtocolBroken(f"The exchange with {url} went wrong.", detail=_detail(error)) from error
    except TooLong as error:
        raise ProtocolBroken(f"The answer from {url} is too long to be Ollama's.", detail=str(error)) from error
    except ValidationError as error:
        raise ProtocolBroken(
            f"What answers at {url} does not answer as Ollama does.", detail=_first_problem(error)
        ) from error


async def read_body(response: httpx.Response, limit_bytes: int, *, cut_after_s: float | None = None) -> bytes:
    """Read a body, of no more than ``limit_bytes``; raises TooLong.

    ``cut_after_s``: of one that is longer, or not whole after so long, the beginning is enough.
    """
    pieces: list[bytes] = []
    left_bytes = limit_bytes
    cut = cut_after_s is not None
    async with _chunks(response) as chunks:
        try:
            async with asyncio.timeout(cut_after_s) as limit:
                async for piece in chunks:
                    if len(piece) > left_bytes and not cut:
                        raise TooLong(f"a body of more than {limit_bytes} bytes")
                    pieces.append(piece[:left_bytes])
                    left_bytes -= len(pieces[-1])
                    if left_bytes == 0 and cut:
                        break
        except httpx.TimeoutException:
            if not cut:
                raise
        except TimeoutError:
            if not limit.expired():
                raise
    return b"".join(pieces)


def error_text(body: bytes) -> str:
    """Read the error text of a body: ``{"error": …}`` of either shape, else the body itself."""
    text = body.decode("utf-8", "replace").strip()
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return text
    return _inline_text(value) or text


def _signin_url(body: bytes) -> str:
    """Find the address at which the server can be signed in; only one that a browser may be sent to."""
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return ""
    url = value.get("signin_url") if isinstance(value, dict) else None
    return url if isinstance(url, str) and url.startswith("https://") else ""


def _inline_text(value: object) -> str | None:
    error = value.get("error") if isinstance(value, dict) else None
    if isinstance(error, dict):
        error = error.get("message") or json.dumps(error)
    return error if isinstance(error, str) and error else None


async def _encoded(body: Body | None) -> bytes | None:
    """Write a body as JSON; one with images in a thread, as that takes longer than the loop may stand still."""
    if body is None:
        return None
    if callable(body):
        return await asyncio.to_thread(lambda: _json(body()))
    messages = body.get("messages")
    heavy = "images" in body or (isinstance(messages, list) and any("images" in message for message in messages))
    return await asyncio.to_thread(_json, body) if heavy else _json(body)


def _json(body: Mapping[str, object]) -> bytes:
    try:
        text = json.dumps(body, ensure_ascii=False, separators=(",", ":"), allow_nan=False, default=_known)
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidInput("This cannot be sent to Ollama: it is no JSON.", detail=str(error)) from error
    # Half a character, such as a text cut at the wrong place has at its end, is none.
    return text.encode("utf-8", "replace")


def _known(value: object) -> object:
    """Turn mappings that are no dict, and models, into what JSON has."""
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json", by_alias=True, exclude_none=True)
    raise TypeError(f"{type(value).__name__} is no JSON")


@asynccontextmanager
async def _chunks(response: httpx.Response) -> AsyncGenerator[AsyncIterator[bytes], None]:
    """Iterate over a body; on leaving, close the connection and end httpx's generators.

    There are five, one in another, and none closes the next: left in the middle, the collector would close them in
    tasks that nobody owns. Reading on after the close makes each of them end by itself. Transports for tests may not
    know what a close is: the reading is bounded.
    """
    # Nothing to decode is the rule; not going through httpx's decoder and counter saves 6 % of the time a line takes.
    # Answers that have been read already come from transports for tests.
    plain = "Content-Encoding" not in response.headers and not response.is_stream_consumed
    chunks = (
        aiter(response.stream)
        if plain and isinstance(response.stream, httpx.AsyncByteStream)
        else response.aiter_bytes()
    )
    try:
        yield chunks
    finally:
        await response.aclose()
        left_bytes = _LEFT_OVER_BYTES
        with suppress(httpx.HTTPError, httpx.StreamError, TimeoutError):
            async with asyncio.timeout(_READ_OUT_S):
                async for chunk in chunks:
                    left_bytes -= len(chunk)
                    if left_bytes < 0:
                        break


async def _read_out(chunks: AsyncIterator[bytes]) -> None:
    """Read the end of a stream whose last line has come, so that its connection can be used again."""
    with suppress(TimeoutError, httpx.HTTPError):
        async with asyncio.timeout(_READ_OUT_S):
            async for _ in chunks:
                pass


def _event(line: bytes) -> bytes:
    """Return what a line of server-sent events carries; nothing for comments and names. What is none stays as it is."""
    line = line.strip()
    if line.startswith(b"data:"):
        return line[5:].lstrip()
    return b"" if line.startswith((b":", b"event:", b"id:", b"retry:")) else line


def _raise_inline(line: bytes) -> None:
    """Raise InlineError if the line carries an error; a line that is no JSON is left to the parser."""
    try:
        text = _inline_text(json.loads(line))
    except (ValueError, RecursionError):
        return
    if text is not None:
        raise InlineError(text)


def _detail(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__


def _first_problem(error: ValidationError) -> str:
    """Say what did not fit and what was there instead, shortened."""
    problem = error.errors(include_url=False, include_context=False)[0]
    place = ".".join(str(part) for part in problem["loc"] if part not in (TOLD, NULL))
    found = problem["input"]
    shown = found[:200].decode("utf-8", "replace") if isinstance(found, bytes) else repr(found)[:200]
    return f"{problem['msg']}{' at ' + place if place else ''}; found: {shown}"
