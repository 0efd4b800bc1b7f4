"""What a client does when a call fails for a reason that it was allowed to remove; then the call is made again.

=================  ==============================  =====================================================================
what is wrong      allowed by                      what is done
=================  ==============================  =====================================================================
nothing runs       ``Client(on_unreachable=…)``    it is awaited, once for all calls that wait
model missing      ``Client(pull_missing=…)``      it is pulled, once for all calls that wait; never one of ollama.com's
server busy (503)  always, ``Client(backoff=…)``   a pause that grows, a few times
out of memory      ``recover=``, off by default    what this client loaded is unloaded; then a smaller context; then,
                                                   after asking, others are unloaded
=================  ==============================  =====================================================================

Each step is told by ``Client(tell=…)`` before it is made. Of a stream all this happens before its first line only:
what has been handed out cannot be taken back. Knows no route and no bytes: the client is asked to do things.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import aclosing, suppress
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

from launcher.domain.address import Address
from launcher.domain.names import InvalidModelName, ModelName
from launcher.errors import InvalidInput
from launcher.ollama.cut import CutWatch, Sent
from launcher.ollama.detect import Installed, detect_model, model_key
from launcher.ollama.errors import InlineError, ModelNotFound, NotRunning, OllamaError, Reason, Refused
from launcher.ollama.notices import (
    ConversationCut,
    Notice,
    PullingModel,
    Retrying,
    SmallerContext,
    StartingServer,
    Tell,
    Unloading,
)
from launcher.ollama.together import Together
from launcher.ollama.wire.models import RunningModel
from launcher.ollama.wire.progress import Progress

OnUnreachable = Callable[[Address], Awaitable[object]]
"""Makes a server answer at the address; ``launcher.server.auto_start`` is one. What it raises, the call raises."""

PullMissing = bool | Callable[[str], Awaitable[bool]]
"""Whether a missing model may be pulled: always, or when asked with its name."""

Ask = Callable[[tuple[str, ...]], Awaitable[bool]]
"""Whether these models, which this client did not load, may be unloaded."""

_LOOK_S = 2.0
_GONE_POLL_S = 0.05
_USUAL_CONTEXT = 8192
"""One step above what the server goes down to by itself when nobody names a context: 4096 (server/sched.go, 0.33)."""
_LEAST_DEFAULT_CONTEXT = 2048
"""Where none was named and the server does not tell; newer versions have at least 4096 (server/routes.go, 0.33)."""
_LOAD_OPTIONS = ("num_ctx", "num_batch", "num_gpu", "main_gpu", "use_mmap", "num_thread", "draft_num_predict")
"""Another value than the last loads the model again (api/types.go ``Runner``, 0.33)."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Backoff:
    """How often a busy server is asked again, and how long is waited before.

    ::

        Backoff()                  after about 0.4, 0.8, 1.5, 3 and 6 s
        Backoff(tries=0)           never
    """

    tries: int = 5
    first_s: float = 0.5
    longest_s: float = 8.0

    def pause_s(self, attempt: int) -> float:
        """How long to wait before a repetition, from 1; by chance up to half shorter, so that not all come at once."""
        pause_s = min(self.longest_s, self.first_s * 2.0 ** min(attempt - 1, 30))
        return pause_s * random.uniform(0.5, 1.0)  # noqa: S311 - spreads retries, keeps no secret


@dataclass(frozen=True, slots=True)
class Recovery:
    """What may be done when there is too little memory for a model.

    ::

        Recovery()                                 unload what this client loaded; then halve the context, down to 2048
        Recovery(contexts=(16384, 8192))           only these contexts
        Recovery(unload=False, ask=may_i)          a smaller context; then others, if may_i(names) returns True
    """

    unload: bool = True
    """Whether models may be unloaded that this client has loaded: in calls with ``recover=``, or by ``prewarm()``. One
    that was in memory before is not among them."""
    contexts: tuple[int, ...] | None = None
    """The contexts to try, in tokens; those not below the present one are left out. None: half, and half again."""
    least_context: int = 2048
    ask: Ask | None = None
    """None: models that this client did not load stay."""
    gone_s: float = 30.0
    """How long is waited for unloaded models to be gone."""

    def __post_init__(self) -> None:
        if self.least_context < 1 or any(context < 1 for context in self.contexts or ()):
            raise InvalidInput("A context has at least one token.")

    def next_context(self, now: int | None) -> int | None:
        """Return the context to try after one that was too large; None: there is none, or not known."""
        if self.contexts is not None:
            fitting = (context for context in self.contexts if context >= self.least_context)
            return max((context for context in fitting if now is None or context < now), default=None)
        return max(now // 2, self.least_context) if now is not None and now > self.least_context else None


class Server(Installed, Protocol):
    """What is asked of a client: one that rescues nothing itself."""

    @property
    def address(self) -> Address: ...

    async def unload(self, name: str) -> object: ...

    def pull(self, name: str) -> AsyncGenerator[Progress, None]: ...


@dataclass(slots=True)
class _Memory:
    """What one client remembers of models, by their keys."""

    ours: set[str] = field(default_factory=set)
    """Those that this client has loaded."""
    kept: dict[str, dict[str, object]] = field(default_factory=dict)
    """The options that they were loaded with on purpose."""
    caps: dict[str, int] = field(default_factory=dict)
    """The context that they fit into the memory with."""


class Rescue:
    """The rescues of one client, and what it has to remember for them."""

    def __init__(
        self,
        server: Server,
        *,
        default_model: str = "",
        on_unreachable: OnUnreachable | None = None,
        pull_missing: PullMissing = False,
        recover: Recovery | bool = False,
        backoff: Backoff | None = None,
        patient: bool = True,
        tell: Tell | None = None,
    ) -> None:
        self._server = server
        self._default_model = default_model
        self._on_unreachable = on_unreachable
        self._pull_missing = pull_missing
        self._recover = recover
        self.backoff = backoff or (Backoff() if patient else Backoff(tries=0))
        self._tell = tell
        self._starts: Together[None] = Together()
        self._pulls: Together[bool] = Together()
        self._watch = CutWatch()
        self._detected = ""
        self.memory = _Memory()

    @property
    def may_start(self) -> bool:
        """Whether a server that does not run is started."""
        return self._on_unreachable is not None

    def tell(self, notice: Notice) -> None:
        """Tell whoever wants to know; what they raise is the caller's."""
        if self._tell is not None:
            self._tell(notice)

    def begin(
        self,
        path: str,
        body: Mapping[str, object],
        recover: Recovery | bool | None = None,
        *,
        on_purpose: bool = False,
        look_before: bool = False,
    ) -> Trial:
        """Take a call to a model in hand.

        ``on_purpose``: it is made to load the model. ``look_before``: also without ``recover`` find out first whether
        it is in memory already, so that it is known who has loaded it.
        """
        chosen = self._recover if recover is None else recover
        recovery = Recovery() if chosen is True else (chosen or None)
        return Trial(
            self, path, dict(body), recovery, on_purpose=on_purpose, look_before=look_before or recovery is not None
        )

    def unloaded(self, model: str) -> None:
        """Forget that this client loaded a model."""
        self.memory.ours.discard(model_key(model))

    # Nothing runs

    async def reaching(self, call: Callable[[], Awaitable[T]]) -> T:
        """Make a call that needs no model; if nothing runs, start it once and call again."""
        try:
            return await call()
        except NotRunning:
            if not await self.start():
                raise
        return await call()

    async def start(self) -> bool:
        """Have a server started, as far as that is allowed; who comes meanwhile waits for the same start."""
        start = self._on_unreachable
        if start is None:
            return False

        async def started() -> None:
            self.tell(StartingServer(self._server.address.base_url))
            await start(self._server.address)
            # Nothing of before is in its memory.
            self.memory.ours.clear()

        await self._starts.do("server", started)
        return True

    # The model

    async def model(self, missing: str = "") -> str:
        """Choose the model of calls that name none: one for all of them, until it turns out to be ``missing``."""
        if self._default_model:
            return self._default_model
        if not self._detected or self._detected == missing:
            self._detected = await self.reaching(lambda: detect_model(self._server))
        return self._detected

    async def pull(self, model: str, missing: ModelNotFound) -> bool:
        """Pull a missing model, as far as that is allowed; who misses the same meanwhile waits for the same pull."""
        may = self._pull_missing
        try:
            name = ModelName.parse(model)
        except InvalidModelName:
            return False
        if may is False or name.cloud:
            return False

        async def pulled() -> bool:
            if callable(may) and not await may(name.display):
                return False
            async with aclosing(self._server.pull(name.display)) as lines:
                async for line in lines:
                    self.tell(PullingModel(name.display, line))
            return True

        try:
            return await self._pulls.do(name.key, pulled)
        except OllamaError as error:
            raise error from missing

    # Memory

    async def loaded(self) -> tuple[RunningModel, ...] | None:
        """Tell what is in memory; None when that cannot be had now."""
        try:
            async with asyncio.timeout(_LOOK_S):
                models = (await self._server.ps()).models
        except (OllamaError, TimeoutError):
            return None
        # What has left is not ours when somebody else loads it again.
        self.memory.ours &= {model_key(model.name) for model in models}
        return models

    async def named_context(self, model: str) -> int | None:
        """Tell the context that the model itself names, else the one it was trained with; None: not known."""
        try:
            async with asyncio.timeout(_LOOK_S):
                shown = await self._server.show(model)
        except (OllamaError, TimeoutError):
            return None
        for line in shown.parameters.splitlines():
            name, _, value = line.strip().partition(" ")
            if name == "num_ctx" and value.strip().isdecimal():
                return int(value)
        # The server chooses by the memory, and goes down by itself before it gives up.
        return min(shown.context_length, _USUAL_CONTEXT) if shown.context_length else None

    async def unload_others(self, model: str, recovery: Recovery, *, ours: bool) -> bool:
        """Unload what this client has loaded besides a model, or what others have; say whether there was anything."""
        memory = self.memory
        names = {
            key: one.name
            for one in await self.loaded() or ()
            if (key := model_key(one.name)) != model_key(model) and (key in memory.ours) is ours
        }
        if not names or (not ours and (recovery.ask is None or not await recovery.ask(tuple(names.values())))):
            return False
        for key, name in names.items():
            self.tell(Unloading(name, ours))
            memory.ours.discard(key)
            with suppress(OllamaError):
                await self._server.unload(name)
        with suppress(TimeoutError):
            async with asyncio.timeout(recovery.gone_s):
                # No event tells of it.
                while not names.keys().isdisjoint(model_key(one.name) for one in await self.loaded() or ()):  # noqa: ASYNC110
                    await asyncio.sleep(_GONE_POLL_S)
        return True

    # The length of a conversation

    async def look_for_cut(self, body: Mapping[str, Any], counted: int | None) -> None:
        """Compare what the server has counted with what was sent, and tell when a part was left out."""
        if not counted or self._tell is None:
            return
        sent = Sent.of(body)
        if sent is None:
            return
        expected = self._watch.expect(sent)
        if not expected.is_missed_by(counted):
            self._watch.learn(sent, counted, expected)
            return
        key = model_key(sent.model)
        loaded = [one.context_length for one in await self.loaded() or () if model_key(one.name) == key]
        options = body.get("options")
        named = options.get("num_ctx") if isinstance(options, Mapping) else None
        context = (loaded[0] if loaded else 0) or (named if isinstance(named, int) else None)
        if expected.is_missed_by(counted, context or _LEAST_DEFAULT_CONTEXT):
            self.tell(ConversationCut(sent.model, expected.likely, counted, context))


class Trial:
    """One call to a model until it works or nothing more may be done. Made by :meth:`Rescue.begin`.

    ::

        trial = rescue.begin(path, body, recover)
        while True:
            try:
                answer = await send(await trial.prepared())
            except OllamaError as error:
                if not await trial.mend(error):
                    raise
            else:
                trial.loaded()
                await trial.ended(answer)
                return answer
    """

    def __init__(
        self,
        rescue: Rescue,
        path: str,
        body: dict[str, object],
        recovery: Recovery | None,
        *,
        on_purpose: bool,
        look_before: bool,
    ) -> None:
        self._rescue = rescue
        self._body = body
        self._recovery = recovery
        self._on_purpose = on_purpose
        self._look = look_before
        # The routes of OpenAI's kind take no options.
        self._takes_options = path.startswith("/api/")
        self._watched = path in ("/api/chat", "/api/generate")
        self._is_prepared = False
        self.is_loaded = False
        self._was_loaded: bool | None = None
        self._chosen_for_caller = False
        self._started = False
        self._pulled = False
        self._busy = 0
        self._no_memory: OllamaError | None = None
        self._stage = 0
        self._wanted_context: int | None = None
        self._shrunk = False

    @property
    def model(self) -> str:
        """The model that is called; empty before the first :meth:`prepared`."""
        model = self._body.get("model")
        return model if isinstance(model, str) else ""

    async def prepared(self) -> Mapping[str, object]:
        """Return what is to be sent now. Raises NoModelInstalled."""
        if not self._is_prepared:
            if not self.model:
                self._chosen_for_caller = await self._choose()
            if self._takes_options:
                self._use_kept_options()
                self._wanted_context = self._context
            self._is_prepared = True
        if self._was_loaded is None and self._look:
            await self._look_before()
        return self._body

    async def mend(self, error: OllamaError) -> bool:
        """Remove what made the call fail, as far as that is allowed; say whether it is worth another try."""
        if isinstance(error, NotRunning):
            if self._started:
                return False
            self._started = True
            self._was_loaded = None
            return await self._rescue.start()
        if isinstance(error, ModelNotFound):
            if self._pulled:
                return False
            self._pulled = True
            if self._chosen_for_caller and await self._choose(missing=self.model):
                # It has been removed since it was chosen, which nobody wants undone.
                return True
            return await self._rescue.pull(self.model, error)
        if not isinstance(error, Refused | InlineError):
            return False
        if isinstance(error, Refused) and error.status == 503 and error.reason is Reason.BUSY:
            return await self._pause(error)
        if self._recovery is None:
            return False
        if error.reason is Reason.OUT_OF_MEMORY:
            self._no_memory = self._no_memory or error
            if await self._make_room(self._recovery):
                return True
        elif not (self._shrunk and error.reason is Reason.CONTEXT_TOO_LONG):
            return False
        if self._no_memory is not None and self._no_memory is not error:
            # Nothing helped: what the caller asked for fails as it first did.
            raise self._no_memory from error
        return False

    def loaded(self) -> None:
        """Note that the model has begun to answer: it is in memory."""
        self.is_loaded = True
        memory = self._rescue.memory
        key = model_key(self.model)
        if self._was_loaded is False:
            memory.ours.add(key)
        options = self._options
        if self._on_purpose:
            memory.kept[key] = {name: options[name] for name in _LOAD_OPTIONS if options.get(name) is not None}
        if self._shrunk and self._context is not None:
            memory.caps[key] = self._context
            memory.kept.setdefault(key, {})["num_ctx"] = self._context

    async def ended(self, answer: object) -> None:
        """Look at the last line of an answer, or at the whole of it."""
        if self._watched:
            await self._rescue.look_for_cut(self._body, getattr(answer, "prompt_eval_count", None))

    # --- what is sent -----------------------------------------------------------------------------------------

    @property
    def _options(self) -> Mapping[str, object]:
        options = self._body.get("options")
        return options if isinstance(options, Mapping) else {}

    @property
    def _context(self) -> int | None:
        context = self._options.get("num_ctx")
        return context if isinstance(context, int) else None

    @_context.setter
    def _context(self, context: int | None) -> None:
        options = {**self._options, "num_ctx": context}
        self._body["options"] = {name: value for name, value in options.items() if value is not None}

    async def _choose(self, missing: str = "") -> bool:
        """Take the model of calls that name none; say whether that is another one than before."""
        before = self.model
        self._body["model"] = await self._rescue.model(missing)
        return self.model != before

    def _use_kept_options(self) -> None:
        memory = self._rescue.memory
        key = model_key(self.model)
        if not self._on_purpose:
            kept = memory.kept.get(key)
            if kept:
                self._body["options"] = {**kept, **self._options}
        cap = memory.caps.get(key)
        if cap is not None and self._recovery is not None and (self._context or 0) > cap:
            self._context = cap

    async def _look_before(self) -> None:
        key = model_key(self.model)
        if key in self._rescue.memory.ours:
            return
        loaded = await self._rescue.loaded()
        # What cannot be known is not ours.
        self._was_loaded = loaded is None or any(model_key(one.name) == key for one in loaded)

    # --- what helps -------------------------------------------------------------------------------------------

    async def _pause(self, error: OllamaError) -> bool:
        backoff = self._rescue.backoff
        if self._busy >= backoff.tries:
            return False
        self._busy += 1
        pause_s = backoff.pause_s(self._busy)
        self._rescue.tell(Retrying(error, self._busy, pause_s))
        await asyncio.sleep(pause_s)
        return True

    async def _make_room(self, recovery: Recovery) -> bool:
        """Take the next step that is left; say whether it changed anything."""
        while True:
            match self._stage:
                case 0:
                    self._stage = 1
                    if recovery.unload and await self._rescue.unload_others(self.model, recovery, ours=True):
                        return True
                case 1 | 3:
                    if self._takes_options and await self._shrink(recovery):
                        return True
                    self._stage += 1
                case 2:
                    self._stage = 3
                    if await self._rescue.unload_others(self.model, recovery, ours=False):
                        # There is more room now: again with what was asked for.
                        if self._shrunk:
                            self._shrunk = False
                            self._context = self._wanted_context
                        return True
                case _:
                    return False

    async def _shrink(self, recovery: Recovery) -> bool:
        before = self._context
        now = before if before is not None else await self._rescue.named_context(self.model)
        if now is None and recovery.contexts is None:
            now = _USUAL_CONTEXT
        after = recovery.next_context(now)
        # Another call may have found out meanwhile what fits.
        cap = self._rescue.memory.caps.get(model_key(self.model))
        if cap is not None and after is not None and cap < after:
            after = cap
        if after is None:
            return False
        self._rescue.tell(SmallerContext(self.model, before, after))
        self._shrunk = True
        self._context = after
        return True
