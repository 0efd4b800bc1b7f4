"""The routes that let a model speak: generate and chat, which also load and unload it (server/routes.go, 0.33)."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from launcher.demo import log
from launcher.demo.chat import Question, Token, answer, count_tokens, logprob_of
from launcher.demo.faults import IN_AN_ANSWER
from launcher.demo.golang import dumps, loads, quote
from launcher.demo.http import JSON_TYPE, ClientGone
from launcher.demo.prompt import PromptTooLong, Room, count_images, count_messages
from launcher.demo.routes.account import AccountRoutes
from launcher.demo.routes.binding import keep_alive_ns, members, options
from launcher.demo.routes.lines import ChatForm, Form, GenerateForm
from launcher.demo.routes.world import Refused, World, parse_name
from launcher.demo.runners import Loaded, RunnerFailed, ServerBusy
from launcher.demo.script_rare import AnswerFaultScript
from launcher.demo.store import Installed
from launcher.demo.templates import template_fault

if TYPE_CHECKING:
    from launcher.demo.reply import Reply

_NO_IMAGES = "Multimodal data provided, but model does not support multimodal requests."
_DEFAULT_KEEP = 4
_PLAIN_JSON = "application/json"


@dataclass(frozen=True, slots=True)
class _Wish:
    """One request, as far as both routes have it in common."""

    path: str
    body: Mapping[str, Any]
    model: Installed
    form: Form
    messages: Sequence[Mapping[str, Any]]
    """What the model is to read; empty: it is only to be loaded or unloaded."""
    context: Sequence[int] | None = None
    """Of generate: what was said before, as tokens."""

    @property
    def streams(self) -> bool:
        return self.body.get("stream") is not False

    @property
    def thinks(self) -> bool:
        return "thinking" in self.model.capabilities and self.body.get("think") is not False


class InferenceRoutes:
    """Models that answer."""

    def __init__(self, world: World, account: AccountRoutes) -> None:
        self._world = world
        self._account = account
        self._script = world.script

    async def generate(self, reply: Reply) -> None:
        body = members(reply.request)
        text = body.get("model") or ""
        missing = Refused(404, f"model '{text}' not found")
        model = self._model(body, Refused(400, "invalid model name") if text else missing, "/api/generate")
        prompt = body.get("prompt") or ""
        form = GenerateForm(text)
        if not prompt and keep_alive_ns(body.get("keep_alive")) == 0:
            await self._unload(reply, model, form)
            return
        if body.get("raw") and (body.get("template") or body.get("system") or body.get("context")):
            raise Refused(400, "raw mode does not support template, system, or context")
        if "embedding" in model.capabilities:
            raise Refused(400, f"{quote(text)} does not support generate")
        self._check(model, "insert", body.get("suffix"))
        messages: list[Mapping[str, Any]] = []
        if prompt:
            system = body.get("system") or "".join(self._world.folder.text_of(model, "system")[:1])
            if system and not body.get("raw"):
                messages.append({"role": "system", "content": system})
            messages.append({"role": "user", "content": prompt, "images": body.get("images") or []})
        wish = _Wish("/api/generate", body, model, form, messages, body.get("context") or [])
        await self._infer(reply, wish)

    async def chat(self, reply: Reply) -> None:
        body = members(reply.request)
        text = body.get("model") or ""
        if not text:
            raise Refused(400, "model is required")
        model = self._model(body, Refused(400, "invalid model name"), "/api/chat")
        messages = body.get("messages") or []
        form = ChatForm(text)
        if not messages and keep_alive_ns(body.get("keep_alive")) == 0:
            await self._unload(reply, model, form)
            return
        if "embedding" in model.capabilities:
            raise Refused(400, f"{quote(text)} does not support chat")
        self._check(model, "tools", body.get("tools"))
        if messages:
            folder = self._world.folder
            before = [message for one in folder.text_of(model, "messages") for message in loads(one)]
            system = "".join(folder.text_of(model, "system")[:1])
            if system and messages[0].get("role") != "system":
                before.insert(0, {"role": "system", "content": system})
            messages = [*before, *messages]
        await self._infer(reply, _Wish("/api/chat", body, model, form, messages))

    def _model(self, body: Mapping[str, Any], invalid: Refused, path: str) -> Installed:
        top = body.get("top_logprobs") or 0
        if not 0 <= top <= 20:
            raise Refused(400, "top_logprobs must be between 0 and 20")
        text = body.get("model") or ""
        name = parse_name(text, invalid)
        if name.cloud:
            raise self._account.refuse_cloud(path)
        model = self._world.read(name, Refused(404, f"model '{text}' not found"))
        if model.config.get("remote_host"):
            raise self._account.refuse_cloud(path)
        return model

    def _check(self, model: Installed, capability: str, wanted: Any) -> None:
        if wanted and capability not in model.capabilities:
            raise Refused(400, f"{model.name.full} does not support {capability}")

    async def _unload(self, reply: Reply, model: Installed, form: Form) -> None:
        self._world.runners.unload(model)
        await reply.json(200, {**form.line(Token()), "done": True, "done_reason": "unload"})

    async def _infer(self, reply: Reply, wish: _Wish) -> None:
        """Load, and answer where there is something to answer."""
        body, model = wish.body, wish.model
        if body.get("think") and "thinking" not in model.capabilities:
            raise Refused(400, f"{quote(str(body.get('model')))} does not support thinking")
        given = {**self._parameters(model), **options(body.get("options") or {})}
        if self._world.faults.take(("busy",), wish.path, model.name) is not None:
            raise ServerBusy
        began_ns = time.monotonic_ns()
        try:
            runners = self._world.runners
            async with runners.use(model, keep_alive_ns(body.get("keep_alive")), given.get("num_ctx")) as loaded:
                load_ns = time.monotonic_ns() - began_ns
                if not wish.messages:
                    await reply.json(200, {**wish.form.line(Token()), "done": True, "done_reason": "load"})
                    return
                prompt_tokens = self._read_prompt(wish, given, loaded)
                await self._speak(reply, wish, given, loaded, prompt_tokens, load_ns)
        except RunnerFailed as error:
            if not reply.has_begun:
                raise Refused(500, str(error)) from None
            await reply.line({"error": str(error)})
            await reply.end()

    def _parameters(self, model: Installed) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for one in self._world.folder.text_of(model, "params"):
            found.update(loads(one))
        return options(found)

    def _read_prompt(self, wish: _Wish, given: Mapping[str, Any], loaded: Loaded) -> int:
        """Look at what a runner looks at, and give how many tokens of it there are."""
        content_type = _PLAIN_JSON if wish.streams else JSON_TYPE
        if "vision" not in wish.model.capabilities and count_images(wish.messages):
            inner = {"error": {"code": 400, "message": _NO_IMAGES, "type": "invalid_request_error"}}
            raise Refused(400, dumps(inner).decode(), content_type)
        form = wish.body.get("format")
        is_none = form is None or (isinstance(form, str) and not form)
        if not is_none and form != "json" and not isinstance(form, dict):
            shown = quote(dumps(form).decode())
            expected = 'expected "json" or a valid JSON Schema object'
            raise Refused(500, f"invalid format: {shown}; {expected}", content_type)
        fault = template_fault(wish.body.get("template") or "")
        if fault is not None:
            raise Refused(500, f"template: {fault}")
        body = wish.body
        room = Room(
            loaded.context_length,
            int(given.get("num_keep", _DEFAULT_KEEP)),
            truncate=body.get("truncate") is not False,
            shift=body.get("shift") is not False,
        )
        try:
            if wish.context is None:
                return room.fit_messages(wish.messages)
            plain = count_tokens(str(body.get("prompt"))) if body.get("raw") else count_messages(wish.messages)
            return room.fit(plain + len(wish.context))
        except PromptTooLong as error:
            raise Refused(400, str(error)) from None

    def _limit(self, wish: _Wish, given: Mapping[str, Any], loaded: Loaded, prompt_tokens: int) -> int:
        """Give how many tokens may be said."""
        limit = int(given.get("num_predict", -1))
        limit = limit if limit > 0 else 10 * loaded.context_length
        if wish.body.get("shift") is False:
            limit = min(limit, max(1, loaded.context_length - prompt_tokens))
        return limit

    async def _speak(
        self,
        reply: Reply,
        wish: _Wish,
        given: Mapping[str, Any],
        loaded: Loaded,
        prompt_tokens: int,
        load_ns: int,
    ) -> None:
        began_ns = time.monotonic_ns()
        tokens = _until(list(answer(self._question(wish))), given.get("stop") or [])
        limit = self._limit(wish, given, loaded, prompt_tokens)
        ends_early = limit < len(tokens)
        tokens = tokens[:limit]
        fault = self._world.faults.take(IN_AN_ANSWER, wish.path, wish.model.name)
        said = _Said(wish)
        try:
            if not await self._say(reply, wish, loaded, tokens, fault, said):
                return
            said.reason = "length" if ends_early else "stop"
        finally:
            # Also where the client has left, which cancels this.
            name = wish.model.name.display
            log.slog("INFO", "sched.go:430", "generation stopped", model=name, tokens=said.count, reason=said.reason)
        speak_ns = time.monotonic_ns() - began_ns
        last = {
            "done": True,
            "done_reason": said.reason,
            **self._context_after(wish, prompt_tokens, said.count),
            "total_duration": load_ns + speak_ns,
            "load_duration": load_ns,
            "prompt_eval_count": prompt_tokens,
            "prompt_eval_duration": 1_000_000 * prompt_tokens,
            "eval_count": said.count,
            "eval_duration": speak_ns,
        }
        if wish.streams:
            await reply.line({**wish.form.line(Token()), **last})
            await reply.end()
            return
        probabilities = {"logprobs": said.logprobs} if said.logprobs else {}
        await reply.json(200, {**wish.form.joined(tokens), **last, **probabilities})

    async def _say(
        self,
        reply: Reply,
        wish: _Wish,
        loaded: Loaded,
        tokens: Sequence[Token],
        fault: AnswerFaultScript | None,
        said: _Said,
    ) -> bool:
        """Say the tokens at the pace of the script; False where a fault has ended the answer."""
        loop = asyncio.get_running_loop()
        due_s = loop.time()
        for at, token in enumerate(tokens):
            if fault is not None and at == fault.after_tokens:
                if not await self._strike(reply, wish, fault):
                    return False
                due_s = loop.time()
            due_s += 1 / self._script.tokens_per_s
            # Never without a step of the loop: it is the one that notices a client that has left.
            await asyncio.sleep(max(0.0, due_s - loop.time()))
            if not loaded.is_alive:
                raise RunnerFailed("an error was encountered while running the model: unexpected EOF")
            said.count += 1
            probabilities = said.add_logprobs(token)
            if wish.streams:
                await reply.line({**wish.form.line(token), **probabilities})
        return fault is None or fault.after_tokens < len(tokens) or await self._strike(reply, wish, fault)

    async def _strike(self, reply: Reply, wish: _Wish, fault: AnswerFaultScript) -> bool:
        """Let a fault happen; False where it has ended the answer."""
        if fault.fault == "error":
            raise RunnerFailed(fault.text)
        if fault.fault == "cut":
            reply.cut()
            raise ClientGone
        if fault.fault == "no_done":
            await (reply.end() if reply.has_begun else reply.raw(b""))
            return False
        if fault.fault == "stall":
            await asyncio.sleep(fault.for_s)
        elif fault.fault == "bad_utf8":
            await reply.raw(b'{"model":"\xff\xfe","done":false}\n')
        elif fault.fault == "long_line":
            await reply.line(wish.form.line(Token("x" * fault.size_bytes)))
        while fault.fault == "endless":
            await reply.line(wish.form.line(Token(" on")))
            await asyncio.sleep(0)
        if fault.fault == "endless_line":
            await reply.raw(b'{"model":"')
        while fault.fault == "endless_line":
            await reply.raw(b"on and on " * 1000)
            await asyncio.sleep(0)
        return True

    def _question(self, wish: _Wish) -> Question:
        body, last = wish.body, wish.messages[-1]
        content = str(last.get("content") or "")
        role = str(last.get("role") or "")
        if not content and role != "tool":
            # Several parts of one message come one after the other; the words may not be the last of them.
            content = next((str(one["content"]) for one in reversed(wish.messages) if one.get("content")), "")
        return Question(
            content,
            role,
            images=count_images(wish.messages),
            tools=[one for one in body.get("tools") or [] if one],
            tool_use=self._script.answers.tools,
            tool_name=str(last.get("tool_name") or ""),
            form=body.get("format"),
            thinks=wish.thinks,
            length=self._script.answers.tokens,
        )

    def _context_after(self, wish: _Wish, prompt_tokens: int, said: int) -> dict[str, Any]:
        if wish.context is None or wish.body.get("raw"):
            return {}
        fresh = range(len(wish.context), prompt_tokens + said)
        return {"context": [*wish.context, *fresh]}


class _Said:
    """How far an answer has come."""

    def __init__(self, wish: _Wish) -> None:
        self.count = 0
        self.reason = "cut short"
        self.logprobs: list[dict[str, Any]] = []
        self._wanted = bool(wish.body.get("logprobs"))
        self._alternatives = int(wish.body.get("top_logprobs") or 0)

    def add_logprobs(self, token: Token) -> dict[str, Any]:
        """Give what a line says of the probability of its token, where that is wanted."""
        if not self._wanted or token.tool_call is not None:
            return {}
        fresh = [logprob_of(token.text or token.thinking, self.count, self._alternatives)]
        self.logprobs += fresh
        return {"logprobs": fresh}


def _until(tokens: list[Token], stops: Sequence[str]) -> list[Token]:
    """End an answer before the first of the texts that stop it."""
    text = "".join(one.text for one in tokens)
    found = [at for at in (text.find(one) for one in stops if one) if at >= 0]
    if not found:
        return tokens
    left = min(found)
    kept = []
    for one in tokens:
        if one.text:
            one, left = Token(one.text[:left]), left - len(one.text)
        kept.append(one)
        if left <= 0 and one.text:
            break
    return kept
