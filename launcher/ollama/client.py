"""One method for each thing an Ollama server can do.

Knows the routes, the bodies they take and the answers they give; not how bytes travel (``transport.py``).
"""

from __future__ import annotations

import asyncio
import copy
import functools
import os
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from io import StringIO
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Self, TypeVar
from urllib.parse import quote

from launcher.domain.address import Address
from launcher.errors import InvalidInput
from launcher.ollama.config import Limits, Timeouts
from launcher.ollama.errors import CutStream, InlineError, NotRunning, OllamaError, ProtocolBroken, Refused, TimedOut
from launcher.ollama.tls import trusted
from launcher.ollama.transport import Answer, Transport
from launcher.ollama.wire.fields import Wire
from launcher.ollama.wire.models import LoadAnswer, Running, ShownModel, Tags, VersionAnswer
from launcher.ollama.wire.progress import Progress

if TYPE_CHECKING:
    import httpx

    from launcher.ollama.blobs import BlobProgress
    from launcher.ollama.check import HealthRecord
    from launcher.ollama.notices import Tell
    from launcher.ollama.requests import Body, Format, Image, Options, Think, ToolLike
    from launcher.ollama.rescue import Backoff, OnUnreachable, PullMissing, Recovery, Rescue
    from launcher.ollama.wire.account import Account, CloudStatus, Recommendations, WebPage, WebSearchAnswer
    from launcher.ollama.wire.inference import ChatAnswer, EmbedAnswer, EmbeddingAnswer, GenerateAnswer, Message
    from launcher.ollama.wire.openai import V1ChatAnswer, V1ChatChunk, V1Embeddings, V1Model, V1Models

_PROBE_S = 2.0
_WEB = "https://ollama.com"
"""Who searches and fetches for whoever has a key, as the official client has it (``ollama`` 0.6)."""
_WEB_S = 60.0
_MAX_PARTIAL_CHARS = 16 * 1024 * 1024
"""Of a text that breaks off so much is kept; it bounds the memory that an answer without end takes."""

T = TypeVar("T")
W = TypeVar("W", bound=Wire)
Piece = TypeVar("Piece", "ChatAnswer", "GenerateAnswer", "V1ChatChunk")


@dataclass(frozen=True, slots=True)
class ServerVersion:
    """Which server answers."""

    version: str
    """Such as ``0.33.0``; a developer's build says ``0.0.0``."""
    simulated: bool
    """True for the launcher's own simulated server."""


class Client:
    """An asynchronous client of one Ollama server.

    ::

        async with Client() as client:                       # OLLAMA_HOST, else http://127.0.0.1:11434
            for model in (await client.tags()).models:
                print(model.name, model.size)
            async with aclosing(client.pull("llama3.2:1b")) as lines:
                async for line in lines:
                    print(line.status, line.completed, line.total)

    ``host`` is read as ``OLLAMA_HOST`` is; a bind address such as 0.0.0.0 and a trailing ``/v1`` are fine. All calls
    raise :class:`~launcher.ollama.errors.OllamaError`, and InvalidInput for what cannot be sent. Those that wait for a
    whole answer take ``timeout_s`` for all that is done for it; those that stream take ``silence_s`` for the time
    between two pieces. Idempotent calls are tried again up to ``retries`` times when the connection fails or a gateway
    is unwell; probes that want the truth at once use ``retries=0``, which also means that a busy server is not asked
    again. ``trust_env`` says whether proxies and certificates named in the environment count; by default they do,
    except within this machine. ``api_key`` (default ``OLLAMA_API_KEY``) goes along only over https, or within this
    machine where no proxy may be on the way. ``transport`` is any httpx transport, for tests.

    A call that names no model gets ``default_model``, else what :meth:`detect_model` finds. What may be done for a call
    that fails, and then makes it again: ``on_unreachable`` is awaited with the address when nothing runs there
    (``launcher.server.auto_start`` starts it), by all calls but the probes and :meth:`unload`; ``pull_missing`` pulls a
    missing model, or asks with its name whether to; ``recover`` makes room when there is too little memory; ``backoff``
    says how often a busy server is asked again. ``tell`` gets each such step, and the warning that a conversation was
    cut; what it raises ends the call. See :mod:`launcher.ollama.rescue`.

    Leave it by ``async with`` or ``aclose()``: both close all connections on every path.
    """

    def __init__(
        self,
        host: str | Address | None = None,
        *,
        timeouts: Timeouts | None = None,
        limits: Limits | None = None,
        retries: int = 2,
        headers: Mapping[str, str] | None = None,
        api_key: str | None = None,
        trust_env: bool | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
        default_model: str = "",
        on_unreachable: OnUnreachable | None = None,
        pull_missing: PullMissing = False,
        recover: Recovery | bool = False,
        backoff: Backoff | None = None,
        tell: Tell | None = None,
    ) -> None:
        if host is None:
            host = os.environ.get("OLLAMA_HOST", "")
        self._address = Address.parse(host) if isinstance(host, str) else host
        local = self._address.connectable.is_loopback
        self._default_model = default_model
        self._on_unreachable = on_unreachable
        self._rescue_options: dict[str, Any] = {
            "default_model": default_model,
            "on_unreachable": on_unreachable,
            "pull_missing": pull_missing,
            "recover": recover,
            "backoff": backoff,
            "patient": retries > 0,
            "tell": tell,
        }
        self._made_rescue: Rescue | None = None
        self._last_tags: tuple[bytes, Tags] | None = None
        make = functools.partial(
            Transport, timeouts=timeouts or Timeouts(), limits=limits or Limits(), retries=retries, transport=transport
        )
        self._transport = make(
            self._address,
            headers=_headers(self._address, headers or {}, api_key, direct=local and trust_env is not True),
            trust_env=not local if trust_env is None else trust_env,
        )
        self._web_key = _web_key(self._address, api_key)
        self._web_transport: Transport | None = None
        self._make_web_transport = functools.partial(
            make,
            Address.parse(_WEB),
            headers={"Authorization": f"Bearer {self._web_key}"},
            trust_env=True if trust_env is None else trust_env,
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close all connections. What still streams ends with an error."""
        try:
            await self._transport.aclose()
        finally:
            if self._web_transport is not None:
                await self._web_transport.aclose()

    @property
    def address(self) -> Address:
        """The server's address, as it was given."""
        return self._address

    @property
    def base_url(self) -> str:
        """The URL that is connected to, without a slash at the end."""
        return self._address.base_url

    # State

    async def is_running(self, *, timeout_s: float = _PROBE_S) -> bool:
        """Say whether an Ollama answers; never raises OllamaError and never tries twice."""
        try:
            answer = await self._transport.call("GET", "/", timeout_s=timeout_s)
        except OllamaError:
            return False
        return answer.body.strip() == b"Ollama is running"

    async def version(self, *, timeout_s: float | None = None, retries: int | None = None) -> ServerVersion:
        """Ask for the version: whoever answers this is ready. Raises ProtocolBroken when it is not Ollama."""
        try:
            answer = await self._transport.call(
                "GET", "/api/version", timeout_s=timeout_s, idempotent=True, retries=retries
            )
        except Refused as error:
            if error.status not in (404, 405):
                raise
            # Every Ollama has this route.
            raise ProtocolBroken(
                f"What answers at {self.base_url} does not answer as Ollama does.", detail=error.detail
            ) from error
        version = self._transport.parsed(answer, VersionAnswer).version
        if not version:
            raise ProtocolBroken(
                f"What answers at {self.base_url} does not answer as Ollama does.",
                detail=f"/api/version without a version: {answer.body[:200]!r}",
            )
        return ServerVersion(version, answer.simulated)

    async def wait_until_ready(self, timeout_s: float, *, interval_s: float = 0.05) -> ServerVersion:
        """Ask for the version again and again until it is answered.

        Raises the last failure when the time is up, and at once when what answers is not Ollama.
        """
        deadline_s = time.monotonic() + timeout_s
        while True:
            left_s = deadline_s - time.monotonic()
            try:
                return await self.version(timeout_s=max(interval_s, min(_PROBE_S, left_s)), retries=0)
            except (NotRunning, TimedOut, CutStream, Refused) as error:
                unwell = not isinstance(error, Refused) or error.status >= 500
                if not unwell or deadline_s - time.monotonic() <= interval_s:
                    raise
            await asyncio.sleep(interval_s)

    async def check_health(self, *, timeout_s: float = 5.0) -> HealthRecord:
        """Look whether a conversation could begin, within ``timeout_s`` for everything; never raises.

        What is wrong is a sentence in the record. Nothing is started, pulled or loaded for it.
        """
        from launcher.ollama.check import check_health

        return await check_health(self._alone(), self._default_model, timeout_s=timeout_s)

    async def detect_model(self, *, timeout_s: float | None = None) -> str:
        """Choose a model to talk to: the default one if it is installed, else a loaded one, else an installed one.

        Models that only make embeddings or images do not count, nor do those that run at ollama.com unless one is the
        default. Raises NoModelInstalled.
        """
        from launcher.ollama.detect import detect_model

        async with self._within(timeout_s):
            return await detect_model(self, self._default_model)

    async def has_model(self, name: str, *, timeout_s: float | None = None) -> bool:
        """Say whether a model is installed; the tag may be left out, and case does not count."""
        from launcher.ollama.detect import has_model

        async with self._within(timeout_s):
            return await has_model(self, name)

    # Models

    async def tags(self, *, timeout_s: float | None = None) -> Tags:
        """List the installed models, newest first."""
        answer = await self._get("/api/tags", timeout_s)
        # Whoever watches asks every few seconds, and mostly nothing has changed: reading 1,000 models takes 7 ms.
        if self._last_tags is None or self._last_tags[0] != answer.body:
            self._last_tags = (answer.body, self._transport.parsed(answer, Tags))
        return self._last_tags[1]

    async def ps(self, *, timeout_s: float | None = None) -> Running:
        """List the loaded models. One that is still loading is not among them."""
        return self._transport.parsed(await self._get("/api/ps", timeout_s), Running)

    async def show(self, name: str, *, verbose: bool = False, timeout_s: float | None = None) -> ShownModel:
        """Describe an installed model; ``verbose`` adds vocabulary and other long arrays. Raises ModelNotFound."""
        body: dict[str, object] = {"model": name}
        if verbose:
            body["verbose"] = True
        answer = await self._call("POST", "/api/show", body, timeout_s=timeout_s, idempotent=True)
        return self._transport.parsed(answer, ShownModel)

    def pull(
        self, name: str, insecure: bool = False, *, silence_s: float | None = None
    ) -> AsyncGenerator[Progress, None]:
        """Download a model, or go on with a download; yields the server's lines, the last has status ``success``.

        Closing the generator is the cancel: the connection is closed, the server keeps what it has. Leaving a loop
        early does not close it at once; use ``contextlib.aclosing``. ``insecure`` means http to the registry.
        ``silence_s`` bounds the time between two lines; by default nothing does, since the server verifies a big
        download for minutes without a word. Raises InlineError, CutStream and what any call raises.
        """
        body: dict[str, object] = {"model": name, "stream": True}
        if insecure:
            body["insecure"] = True
        return self._progress("/api/pull", body, silence_s)

    def push(
        self, name: str, insecure: bool = False, *, silence_s: float | None = None
    ) -> AsyncGenerator[Progress, None]:
        """Upload a model to the registry of its name; yields the server's lines, the last has status ``success``.

        The name tells where to: ``user/model:tag`` at ollama.com, where the server must be signed in, or
        ``host/user/model:tag``. Closing the generator is the cancel; all else as in :meth:`pull`.
        """
        body: dict[str, object] = {"model": name, "stream": True}
        if insecure:
            body["insecure"] = True
        return self._progress("/api/push", body, silence_s)

    def create(
        self,
        model: str,
        *,
        from_: str | None = None,
        files: Mapping[str, str] | None = None,
        adapters: Mapping[str, str] | None = None,
        quantize: str | None = None,
        template: str | None = None,
        system: str | None = None,
        license: str | Sequence[str] | None = None,  # noqa: A002 - the server's name for it
        parameters: Options | Mapping[str, Any] | None = None,
        messages: Sequence[Message | Mapping[str, Any]] | None = None,
        renderer: str | None = None,
        parser: str | None = None,
        requires: str | None = None,
        draft_files: Mapping[str, str] | None = None,
        draft_quantize: str | None = None,
        remote_host: str | None = None,
        info: Mapping[str, Any] | None = None,
        silence_s: float | None = None,
    ) -> AsyncGenerator[Progress, None]:
        """Make a model of another one or of files; yields the server's lines, the last has status ``success``.

        ::

            client.create("pirate", from_="llama3.2:1b", system="You are a pirate.", parameters={"temperature": 1.2})
            client.create("mine", files={"mine.gguf": digest}, quantize="q4_K_M")      # after create_blob()

        ``from_`` is pulled first if it is not installed. ``files`` and ``adapters`` map names, without folders above
        them, to digests of blobs that the server has: :meth:`create_blob`. ``quantize`` is one of F32, F16, BF16, Q8_0,
        Q4_K_S and Q4_K_M. ``requires`` is the oldest version of Ollama that can run it. A model of that name is
        replaced; parameters that the server does not know are taken without a word. The server may be silent for
        minutes. Closing the generator is the cancel. Raises InlineError, CutStream and what any call raises.
        """
        from launcher.ollama.requests import create_body

        body = create_body(
            {"model": model, "stream": True, "from": from_, "files": files, "adapters": adapters, "quantize": quantize}
            | {"template": template, "system": system, "parameters": parameters}
            | {"license": license if license is None or isinstance(license, str) else list(license)}
            | {"renderer": renderer, "parser": parser, "requires": requires, "remote_host": remote_host, "info": info}
            | {"draft_files": draft_files, "draft_quantize": draft_quantize},
            messages,
        )
        return self._progress("/api/create", body, silence_s)

    async def blob_exists(self, digest: str, *, timeout_s: float | None = None) -> bool:
        """Say whether the server has a blob, by its digest (``sha256:`` and 64 hex digits). Raises Refused."""
        try:
            await self._call("HEAD", _blob_path(digest), timeout_s=timeout_s, idempotent=True)
        except Refused as error:
            if error.status == 404:
                return False
            if error.status == 400:
                # The answer to HEAD has no body; to POST the server says this (server/routes.go, 0.33).
                raise Refused(400, "invalid digest format") from error
            raise
        return True

    async def create_blob(
        self, path: str | os.PathLike[str], *, digest: str | None = None, timeout_s: float | None = None
    ) -> AsyncGenerator[BlobProgress, None]:
        """Give the server a file, for :meth:`create`; yields how far that is, at most ten times a second.

        ::

            async with aclosing(client.create_blob("mine.gguf")) as steps:
                async for step in steps:
                    print(step.completed_bytes, step.total_bytes)
            digest = step.digest

        The file is read twice, in pieces: for its digest, unless that is known, and to send it, unless the server has
        it. The last step has all bytes and the digest. ``timeout_s`` bounds the sending. Closing the generator stops
        all of it. Raises InvalidInput when the file cannot be read, and what any call raises.
        """
        from launcher.ollama.blobs import BlobProgress, Counter, counted, digest_of, pieces_of, size_of

        total_bytes = await asyncio.to_thread(size_of, path)
        if digest is None:
            counter = Counter()
            hashing = asyncio.create_task(digest_of(path, counter))
            async with aclosing(counted(hashing, counter)) as counts:
                async for count in counts:
                    yield BlobProgress(count, total_bytes, "")
            digest = hashing.result()
        if not await self.blob_exists(digest):
            counter = Counter()
            async with aclosing(pieces_of(path, total_bytes, counter)) as pieces:
                upload = self._transport.upload(_blob_path(digest), pieces, total_bytes, timeout_s=timeout_s)
                sending = asyncio.create_task(upload)
                async with aclosing(counted(sending, counter)) as counts:
                    async for count in counts:
                        yield BlobProgress(count, total_bytes, digest)
                sending.result()
        yield BlobProgress(total_bytes, total_bytes, digest)

    async def delete(self, name: str, *, timeout_s: float | None = None) -> None:
        """Remove a model from the disk. One that is loaded stays in memory and can then not be unloaded by name.

        Raises ModelNotFound.
        """
        await self._call("DELETE", "/api/delete", {"model": name}, timeout_s=timeout_s)

    async def copy(self, source: str, destination: str, *, timeout_s: float | None = None) -> None:
        """Give a model a second name, without a second copy of its data; a model of that name is replaced.

        Raises ModelNotFound. Names must not have spaces around them here.
        """
        body = {"source": source, "destination": destination}
        await self._call("POST", "/api/copy", body, timeout_s=timeout_s)

    async def load(
        self,
        name: str,
        keep_alive: float | str | None = None,
        options: Mapping[str, object] | None = None,
        *,
        recover: Recovery | bool | None = None,
        timeout_s: float | None = None,
    ) -> LoadAnswer:
        """Load a model into memory and wait for it, however long that takes; cancelling stops the load.

        ``keep_alive`` is seconds or Go's words (``"10m"``); negative keeps it for ever, None leaves it to the server.
        Later calls of this client that do not say otherwise use the same ``options``, since others would load it
        again. ``recover`` as in :meth:`chat`. Raises ModelNotFound.
        """
        return await self._load(name, keep_alive, options, recover, timeout_s, look_before=False)

    async def prewarm(
        self,
        model: str = "",
        keep_alive: float | str | None = None,
        num_ctx: int | None = None,
        *,
        recover: Recovery | bool | None = None,
        timeout_s: float | None = None,
    ) -> LoadAnswer:
        """Load the model of a conversation before it begins, with its context in tokens: as :meth:`load` does.

        Without a name it is the one that later calls without a name get. If it was not in memory before, ``recover=``
        of later calls may unload it, as one that this client has loaded.
        """
        options = None if num_ctx is None else {"num_ctx": num_ctx}
        return await self._load(model, keep_alive, options, recover, timeout_s, look_before=True)

    async def _load(
        self,
        name: str,
        keep_alive: float | str | None,
        options: Mapping[str, object] | None,
        recover: Recovery | bool | None,
        timeout_s: float | None,
        *,
        look_before: bool,
    ) -> LoadAnswer:
        from launcher.ollama.wire.inference import EmbedAnswer

        body = _without_none({"model": name, "keep_alive": keep_alive, "options": options})
        load = functools.partial(
            self._infer, recover=recover, timeout_s=timeout_s, on_purpose=True, look_before=look_before
        )
        try:
            return await load("/api/generate", {**body, "stream": False}, LoadAnswer)
        except Refused as error:
            if error.status != 400 or "does not support generate" not in error.text:
                raise
            # Models made for embeddings are loaded by an empty list of texts.
            await load("/api/embed", {**body, "input": []}, EmbedAnswer)
            return LoadAnswer(model=name, done=True, done_reason="load")

    async def unload(self, name: str, *, timeout_s: float | None = None) -> LoadAnswer:
        """Take a model out of memory as soon as its requests are done. Returns at once: :meth:`ps` tells when.

        Raises ModelNotFound.
        """
        body: dict[str, object] = {"model": name, "keep_alive": 0, "stream": False}
        answer = await self._transport.call("POST", "/api/generate", body, timeout_s=timeout_s)
        if self._made_rescue is not None:
            self._made_rescue.unloaded(name)
        return self._transport.parsed(answer, LoadAnswer)

    # Inference

    async def chat(
        self,
        model: str = "",
        messages: Sequence[Message | Mapping[str, Any]] = (),
        *,
        tools: Sequence[ToolLike] = (),
        format: Format | None = None,  # noqa: A002 - the server's name for it
        options: Options | Mapping[str, Any] | None = None,
        think: Think | None = None,
        keep_alive: float | str | None = None,
        logprobs: bool | None = None,
        top_logprobs: int | None = None,
        truncate: bool | None = None,
        shift: bool | None = None,
        recover: Recovery | bool | None = None,
        timeout_s: float | None = None,
    ) -> ChatAnswer:
        """Answer a conversation as a whole; cancelling stops the answer on the server.

        ::

            answer = await client.chat("llama3.2:1b", [Message(role="user", content="Why is the sky blue?")])
            print(answer.message.content)

        What is None is left to the server. ``format`` is ``"json"``, a JSON schema or a pydantic model; ``think`` a
        bool or a level; ``keep_alive`` seconds or Go's words (``"10m"``); ``truncate=False`` refuses a conversation
        that is too long, which the server else cuts without a word; ``shift=False`` ends the answer where the context
        is full. No messages load the model. The server may be silent for minutes while it loads: without
        ``timeout_s`` only the connection is bounded. ``recover`` says what may be done when there is too little memory
        for the model (True: :class:`.Recovery` as it is; None: as the client was made). Raises ModelNotFound and what
        any call raises.
        """
        from launcher.ollama.requests import chat_body
        from launcher.ollama.wire.inference import ChatAnswer

        body = chat_body(
            {"model": model, "options": options, "think": think, "keep_alive": keep_alive, "logprobs": logprobs}
            | {"top_logprobs": top_logprobs, "truncate": truncate, "shift": shift, "stream": False},
            messages,
            tools,
            format,
        )
        return await self._infer("/api/chat", body, ChatAnswer, recover=recover, timeout_s=timeout_s)

    def stream_chat(
        self,
        model: str = "",
        messages: Sequence[Message | Mapping[str, Any]] = (),
        *,
        tools: Sequence[ToolLike] = (),
        format: Format | None = None,  # noqa: A002 - the server's name for it
        options: Options | Mapping[str, Any] | None = None,
        think: Think | None = None,
        keep_alive: float | str | None = None,
        logprobs: bool | None = None,
        top_logprobs: int | None = None,
        truncate: bool | None = None,
        shift: bool | None = None,
        recover: Recovery | bool | None = None,
        silence_s: float | None = None,
    ) -> AsyncGenerator[ChatAnswer, None]:
        """Answer a conversation piece by piece, as :meth:`chat` does it as a whole.

        ::

            async with aclosing(client.stream_chat("llama3.2:1b", messages)) as pieces:
                async for piece in pieces:
                    print(piece.message.content, end="", flush=True)

        The last piece has ``done`` and the counts; calls of tools may come in any. Closing the generator is the
        cancel: the connection is closed and the server stops. Leaving a loop early does not close it at once; use
        ``contextlib.aclosing``. ``silence_s`` bounds the time between two pieces and before the first. Raises what
        :meth:`chat` raises, and CutStream and InlineError with the text so far in ``partial``.
        """
        from launcher.ollama.requests import chat_body
        from launcher.ollama.wire.inference import ChatAnswer

        body = chat_body(
            {"model": model, "options": options, "think": think, "keep_alive": keep_alive, "logprobs": logprobs}
            | {"top_logprobs": top_logprobs, "truncate": truncate, "shift": shift, "stream": True},
            messages,
            tools,
            format,
        )
        return self._infer_stream("/api/chat", body, ChatAnswer, _done, recover=recover, silence_s=silence_s)

    async def generate(
        self,
        model: str = "",
        prompt: str = "",
        *,
        suffix: str | None = None,
        system: str | None = None,
        template: str | None = None,
        context: Sequence[int] | None = None,
        raw: bool | None = None,
        images: Sequence[Image] = (),
        format: Format | None = None,  # noqa: A002 - the server's name for it
        options: Options | Mapping[str, Any] | None = None,
        think: Think | None = None,
        keep_alive: float | str | None = None,
        logprobs: bool | None = None,
        top_logprobs: int | None = None,
        truncate: bool | None = None,
        shift: bool | None = None,
        recover: Recovery | bool | None = None,
        timeout_s: float | None = None,
    ) -> GenerateAnswer:
        """Go on from a prompt, as a whole; cancelling stops it on the server.

        ``suffix`` asks for what stands between it and the prompt; ``raw`` sends the prompt without the model's
        template; ``context`` is that of an earlier answer. No prompt loads the model. All else as in :meth:`chat`.
        """
        from launcher.ollama.requests import generate_body
        from launcher.ollama.wire.inference import GenerateAnswer

        body = generate_body(
            {"model": model, "prompt": prompt, "suffix": suffix, "system": system, "template": template}
            | {"context": context, "raw": raw, "options": options, "think": think, "keep_alive": keep_alive}
            | {
                "logprobs": logprobs,
                "top_logprobs": top_logprobs,
                "truncate": truncate,
                "shift": shift,
                "stream": False,
            },
            images,
            format,
        )
        return await self._infer("/api/generate", body, GenerateAnswer, recover=recover, timeout_s=timeout_s)

    def stream_generate(
        self,
        model: str = "",
        prompt: str = "",
        *,
        suffix: str | None = None,
        system: str | None = None,
        template: str | None = None,
        context: Sequence[int] | None = None,
        raw: bool | None = None,
        images: Sequence[Image] = (),
        format: Format | None = None,  # noqa: A002 - the server's name for it
        options: Options | Mapping[str, Any] | None = None,
        think: Think | None = None,
        keep_alive: float | str | None = None,
        logprobs: bool | None = None,
        top_logprobs: int | None = None,
        truncate: bool | None = None,
        shift: bool | None = None,
        recover: Recovery | bool | None = None,
        silence_s: float | None = None,
    ) -> AsyncGenerator[GenerateAnswer, None]:
        """Go on from a prompt piece by piece: :meth:`generate`, in the manner of :meth:`stream_chat`."""
        from launcher.ollama.requests import generate_body
        from launcher.ollama.wire.inference import GenerateAnswer

        body = generate_body(
            {"model": model, "prompt": prompt, "suffix": suffix, "system": system, "template": template}
            | {"context": context, "raw": raw, "options": options, "think": think, "keep_alive": keep_alive}
            | {
                "logprobs": logprobs,
                "top_logprobs": top_logprobs,
                "truncate": truncate,
                "shift": shift,
                "stream": True,
            },
            images,
            format,
        )
        return self._infer_stream("/api/generate", body, GenerateAnswer, _done, recover=recover, silence_s=silence_s)

    async def embed(
        self,
        model: str = "",
        input: str | Sequence[str] = "",  # noqa: A002 - the server's name for it
        *,
        truncate: bool | None = None,
        dimensions: int | None = None,
        keep_alive: float | str | None = None,
        options: Options | Mapping[str, Any] | None = None,
        recover: Recovery | bool | None = None,
        timeout_s: float | None = None,
    ) -> EmbedAnswer:
        """Turn a text, or each of several, into a vector of length 1; nothing to turn loads the model.

        ``truncate=False`` refuses texts that are too long; ``dimensions`` shortens the vectors. An answer may have
        64 MiB, which is some 5000 vectors of 1024 numbers. Raises ModelNotFound, and Refused with
        ``Reason.NOT_CAPABLE`` for a model that gives none.
        """
        from launcher.ollama.wire.inference import EmbedAnswer

        texts = input if isinstance(input, str) else list(input)
        members: dict[str, object] = {"model": model, "input": texts, "truncate": truncate}
        members |= {"dimensions": dimensions, "keep_alive": keep_alive, "options": options}
        return await self._infer(
            "/api/embed", _without_none(members), EmbedAnswer, recover=recover, timeout_s=timeout_s
        )

    async def embeddings(
        self,
        model: str = "",
        prompt: str = "",
        *,
        keep_alive: float | str | None = None,
        options: Options | Mapping[str, Any] | None = None,
        timeout_s: float | None = None,
    ) -> EmbeddingAnswer:
        """Turn one text into a vector by the older route, for old servers; :meth:`embed` is the better one."""
        from launcher.ollama.wire.inference import EmbeddingAnswer

        body = _without_none({"model": model, "prompt": prompt, "keep_alive": keep_alive, "options": options})
        return await self._infer("/api/embeddings", body, EmbeddingAnswer, timeout_s=timeout_s)

    # The account, and the web

    async def me(self, *, timeout_s: float | None = None) -> Account:
        """Say whose account at ollama.com the server uses. Raises NotSignedIn, which tells where to sign in.

        The server asks ollama.com: Refused with status 503 when it cannot.
        """
        from launcher.ollama.wire.account import Account

        return self._transport.parsed(await self._call("POST", "/api/me", timeout_s=timeout_s), Account)

    async def signout(self, *, timeout_s: float | None = None) -> None:
        """Take the server's key off its account. Raises Refused when it is on none."""
        await self._call("POST", "/api/signout", timeout_s=timeout_s)

    async def cloud_status(self, *, timeout_s: float | None = None) -> CloudStatus:
        """Say whether models at ollama.com are switched off on this server."""
        from launcher.ollama.wire.account import StatusAnswer

        return self._transport.parsed(await self._get("/api/status", timeout_s), StatusAnswer).cloud

    async def recommendations(self, *, timeout_s: float | None = None) -> Recommendations:
        """List the models that ollama.com recommends; without a network, those that the server recommends itself."""
        from launcher.ollama.wire.account import Recommendations

        answer = await self._get("/api/experimental/model-recommendations", timeout_s)
        return self._transport.parsed(answer, Recommendations)

    async def web_search(
        self, query: str, max_results: int | None = None, *, timeout_s: float | None = None
    ) -> WebSearchAnswer:
        """Search the web with the help of ollama.com.

        With a key for ollama.com, by asking it directly; without one, by the server, which must be signed in. The key
        is that of ``OLLAMA_API_KEY``, or the client's own where its server is on this machine or is ollama.com: a key
        for somebody else's server stays there. Raises NotSignedIn and what any call raises.
        """
        from launcher.ollama.wire.account import WebSearchAnswer

        return await self._web("web_search", {"query": query, "max_results": max_results}, WebSearchAnswer, timeout_s)

    async def web_fetch(self, url: str, *, timeout_s: float | None = None) -> WebPage:
        """Fetch a page of the web as text, with the help of ollama.com; asked as in :meth:`web_search`."""
        from launcher.ollama.wire.account import WebPage

        return await self._web("web_fetch", {"url": url}, WebPage, timeout_s)

    async def _web(self, route: str, body: Mapping[str, object], kind: type[W], timeout_s: float | None) -> W:
        # Pages of slow sites take longer than anything that is asked of the server itself.
        bound_s = _WEB_S if timeout_s is None else timeout_s
        if self._web_key:
            if self._web_transport is None:
                await asyncio.to_thread(trusted)
            # Another call may have made it meanwhile: a second one would be closed by nobody.
            web = self._web_transport = self._web_transport or self._make_web_transport()
            answer = await web.call_slowly("POST", f"/api/{route}", _without_none(body), timeout_s=bound_s)
            return web.parsed(answer, kind)
        path = f"/api/experimental/{route}"
        call = functools.partial(self._transport.call_slowly, "POST", path, _without_none(body), timeout_s=bound_s)
        answer = await self._reached(call, timeout_s)
        return self._transport.parsed(answer, kind)

    # The routes of OpenAI

    async def v1_models(self, *, timeout_s: float | None = None) -> V1Models:
        """List the installed models as OpenAI would."""
        from launcher.ollama.wire.openai import V1Models

        return self._transport.parsed(await self._get("/v1/models", timeout_s), V1Models)

    async def v1_model(self, name: str, *, timeout_s: float | None = None) -> V1Model:
        """Describe an installed model as OpenAI would.

        Raises ModelNotFound, and Refused with ``Reason.NO_SUCH_ROUTE`` for a name with a slash, which the server does
        not understand here (seen on 0.33.0-rc2).
        """
        from launcher.ollama.wire.openai import V1Model

        return self._transport.parsed(await self._get(f"/v1/models/{quote(name, safe=':')}", timeout_s), V1Model)

    async def v1_chat(
        self,
        model: str = "",
        messages: Sequence[Message | Mapping[str, Any]] = (),
        *,
        tools: Sequence[ToolLike] = (),
        response_format: Format | None = None,
        max_tokens: int | None = None,
        seed: int | None = None,
        stop: str | Sequence[str] | None = None,
        temperature: float | None = None,
        top_p: float | None = None,
        frequency_penalty: float | None = None,
        presence_penalty: float | None = None,
        reasoning_effort: Literal["high", "medium", "low", "max", "none"] | None = None,
        logprobs: bool | None = None,
        top_logprobs: int | None = None,
        timeout_s: float | None = None,
    ) -> V1ChatAnswer:
        """Answer a conversation as a whole by the route of OpenAI; :meth:`chat` can more.

        Neither context nor keep-alive can be set here. A :class:`Message` becomes what OpenAI would have, mappings go
        as they are. ``response_format`` is as the ``format`` of :meth:`chat`, or OpenAI's own object.
        """
        from launcher.ollama.requests import v1_chat_body
        from launcher.ollama.wire.openai import V1ChatAnswer

        body = v1_chat_body(
            {"model": model, "max_tokens": max_tokens, "seed": seed, "stop": stop, "temperature": temperature}
            | {"top_p": top_p, "frequency_penalty": frequency_penalty, "presence_penalty": presence_penalty}
            | {"reasoning_effort": reasoning_effort, "logprobs": logprobs, "top_logprobs": top_logprobs},
            messages,
            tools,
            response_format,
        )
        return await self._infer("/v1/chat/completions", body, V1ChatAnswer, timeout_s=timeout_s)

    def stream_v1_chat(
        self,
        model: str = "",
        messages: Sequence[Message | Mapping[str, Any]] = (),
        *,
        tools: Sequence[ToolLike] = (),
        response_format: Format | None = None,
        max_tokens: int | None = None,
        seed: int | None = None,
        stop: str | Sequence[str] | None = None,
        temperature: float | None = None,
        top_p: float | None = None,
        frequency_penalty: float | None = None,
        presence_penalty: float | None = None,
        reasoning_effort: Literal["high", "medium", "low", "max", "none"] | None = None,
        logprobs: bool | None = None,
        top_logprobs: int | None = None,
        include_usage: bool | None = None,
        silence_s: float | None = None,
    ) -> AsyncGenerator[V1ChatChunk, None]:
        """Answer a conversation piece by piece by the route of OpenAI; all else as in :meth:`stream_chat`.

        ``include_usage`` asks for one more piece at the end, without text and with the counts.
        """
        from launcher.ollama.requests import v1_chat_body
        from launcher.ollama.wire.openai import V1ChatChunk

        usage = None if include_usage is None else {"include_usage": include_usage}
        body = v1_chat_body(
            {"model": model, "max_tokens": max_tokens, "seed": seed, "stop": stop, "temperature": temperature}
            | {"top_p": top_p, "frequency_penalty": frequency_penalty, "presence_penalty": presence_penalty}
            | {"reasoning_effort": reasoning_effort, "logprobs": logprobs, "top_logprobs": top_logprobs}
            | {"stream": True, "stream_options": usage},
            messages,
            tools,
            response_format,
        )
        return self._infer_stream("/v1/chat/completions", body, V1ChatChunk, _never, silence_s=silence_s)

    async def v1_embeddings(
        self,
        model: str = "",
        input: str | Sequence[str] = "",  # noqa: A002 - the name OpenAI gives it
        *,
        dimensions: int | None = None,
        timeout_s: float | None = None,
    ) -> V1Embeddings:
        """Turn a text, or each of several, into a vector by the route of OpenAI."""
        from launcher.ollama.wire.openai import V1Embeddings

        texts = input if isinstance(input, str) else list(input)
        body = _without_none({"model": model, "input": texts, "dimensions": dimensions})
        return await self._infer("/v1/embeddings", body, V1Embeddings, timeout_s=timeout_s)

    # What all of them use

    async def _infer(
        self,
        path: str,
        body: Body,
        kind: type[W],
        *,
        timeout_s: float | None,
        recover: Recovery | bool | None = None,
        on_purpose: bool = False,
        look_before: bool = False,
    ) -> W:
        """Make one call to a model and wait for its whole answer. Every one goes through here."""
        trial = self._rescue.begin(path, await _made(body), recover, on_purpose=on_purpose, look_before=look_before)
        # Around all that is done for it. A second limit inside could run out at the same moment.
        async with self._within(timeout_s):
            while True:
                try:
                    sent = await self._transport.call_slowly("POST", path, await trial.prepared())
                except OllamaError as error:
                    if not await trial.mend(error):
                        raise
                else:
                    break
            answer = self._transport.parsed(sent, kind)
            trial.loaded()
            await trial.ended(answer)
            return answer

    async def _infer_stream(
        self,
        path: str,
        body: Body,
        kind: type[Piece],
        ended: Callable[[Piece], bool],
        *,
        silence_s: float | None,
        recover: Recovery | bool | None = None,
    ) -> AsyncGenerator[Piece, None]:
        """Make one call to a model and hand out its answer as it comes. Every one goes through here."""
        said, thought, room_chars = StringIO(), StringIO(), _MAX_PARTIAL_CHARS
        trial = self._rescue.begin(path, await _made(body), recover)
        events = path.startswith("/v1/")
        while True:
            pieces = self._transport.stream(
                path, await trial.prepared(), kind, ended, read_timeout_s=silence_s, events=events
            )
            try:
                async with aclosing(pieces):
                    async for piece in pieces:
                        if not trial.is_loaded:
                            trial.loaded()
                        if room_chars > 0:
                            room_chars -= said.write(piece.text) + thought.write(piece.thought)
                        if ended(piece):
                            await trial.ended(piece)
                        yield piece
                    return
            except OllamaError as error:
                if isinstance(error, CutStream | InlineError):
                    error.partial, error.partial_thought = said.getvalue(), thought.getvalue()
                # What was handed out cannot be taken back.
                if trial.is_loaded or not await trial.mend(error):
                    raise

    @asynccontextmanager
    async def _within(self, timeout_s: float | None) -> AsyncGenerator[None, None]:
        """Bound all that is done for one call. Raises TimedOut."""
        try:
            async with asyncio.timeout(timeout_s) as limit:
                yield
        except TimeoutError as error:
            if not limit.expired():
                raise
            raise TimedOut(self.base_url, detail=f"not done within {timeout_s:g} s") from error

    @property
    def _rescue(self) -> Rescue:
        if self._made_rescue is None:
            from launcher.ollama.rescue import Rescue

            self._made_rescue = Rescue(self._alone(), **self._rescue_options)
        return self._made_rescue

    def _alone(self) -> Client:
        """Return the same client without any rescue: what is asked on the way to one must not need one."""
        alone = copy.copy(self)
        alone._on_unreachable = None
        alone._rescue_options = {}
        alone._made_rescue = None
        return alone

    async def _get(self, path: str, timeout_s: float | None) -> Answer:
        return await self._call("GET", path, timeout_s=timeout_s, idempotent=True)

    async def _call(
        self,
        method: str,
        path: str,
        body: Mapping[str, object] | None = None,
        *,
        timeout_s: float | None,
        idempotent: bool = False,
    ) -> Answer:
        """Make a short call that has a server started, where that is allowed."""
        call = functools.partial(self._transport.call, method, path, body, timeout_s=timeout_s, idempotent=idempotent)
        return await self._reached(call, timeout_s)

    async def _reached(self, call: Callable[[], Awaitable[T]], timeout_s: float | None) -> T:
        """Make a call that needs no model; where nothing runs, have a server started, if that is allowed."""
        if self._on_unreachable is None:
            return await call()
        # Around the start and both tries.
        async with self._within(timeout_s):
            return await self._rescue.reaching(call)

    def _progress(self, path: str, body: Body, silence_s: float | None) -> AsyncGenerator[Progress, None]:
        def stream() -> AsyncGenerator[Progress, None]:
            return self._transport.stream(path, body, Progress, _succeeded, read_timeout_s=silence_s)

        return stream() if self._on_unreachable is None else self._started_progress(stream)

    async def _started_progress(
        self, stream: Callable[[], AsyncGenerator[Progress, None]]
    ) -> AsyncGenerator[Progress, None]:
        """Hand out a stream, and have a server started where none runs."""
        started = False
        while True:
            try:
                async with aclosing(stream()) as lines:
                    async for line in lines:
                        yield line
                    return
            except NotRunning:
                # Nothing has come then.
                if started or not await self._rescue.start():
                    raise
                started = True


def _succeeded(line: Progress) -> bool:
    return line.status == "success"


def _without_none(members: Mapping[str, object]) -> dict[str, object]:
    return {key: value for key, value in members.items() if value is not None}


def _done(answer: ChatAnswer | GenerateAnswer) -> bool:
    return answer.done


def _never(piece: object) -> bool:
    return False


def _blob_path(digest: str) -> str:
    return f"/api/blobs/{quote(digest, safe=':')}"


async def _made(body: Body) -> Mapping[str, object]:
    return await asyncio.to_thread(body) if callable(body) else body


def _headers(address: Address, headers: Mapping[str, str], api_key: str | None, *, direct: bool) -> dict[str, str]:
    """Add the key where it may go; refuse a key that was given for a way on which others could read it.

    ``direct``: the way stays within this machine; through a proxy it would not.
    """
    safe = address.scheme == "https" or direct
    if not safe and any(name.lower() == "authorization" for name in headers):
        raise InvalidInput(
            f"A key must not be sent to {address.base_url}: others could read it on the way.",
            hint="Use an https address.",
        )
    key = os.environ.get("OLLAMA_API_KEY", "") if api_key is None else api_key
    key = key.strip()
    return {"Authorization": f"Bearer {key}", **headers} if key and safe else dict(headers)


def _web_key(address: Address, api_key: str | None) -> str:
    """Return the key for ollama.com; empty for none. A server on this machine asks for none itself."""
    if api_key is None:
        return os.environ.get("OLLAMA_API_KEY", "").strip()
    ours = address.connectable.is_loopback or address.host == "ollama.com"
    return api_key.strip() if ours else ""
