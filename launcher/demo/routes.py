"""What each route answers: the bodies, the statuses and the words of Ollama 0.33 (server/routes.go)."""

from __future__ import annotations

import asyncio
import re
import socket
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from launcher.demo.chat import answer_tokens, count_tokens, thought_tokens
from launcher.demo.download import Downloads
from launcher.demo.golang import FOREVER_NS, GoError, dumps, format_time, loads, parse_duration, quote
from launcher.demo.http import JSON_TYPE, TEXT_TYPE, ClientGone, Exchange, Request
from launcher.demo.pull import PullFailed, pull
from launcher.demo.registry import MANIFEST_MEDIA_TYPE, Registry
from launcher.demo.runners import Loaded, RunnerFailed, Runners, ServerBusy
from launcher.demo.script import Script
from launcher.demo.store import Installed, ModelsFolder, go_errno
from launcher.domain.names import InvalidModelName, ModelName

Route = Callable[[Exchange], Awaitable[None]]
_V2_PATH = re.compile(r"/v2/(?P<namespace>[^/]+)/(?P<model>[^/]+)/(?P<kind>manifests|blobs)/(?P<reference>[^/]+)")
_LARGEST_TIME_S = (1 << 63) / 1e9
_NO_IMAGES = "Multimodal data provided, but model does not support multimodal requests."
_GARBAGE = b"<html>this is not what you asked for"
_LOCAL_SUFFIXES = (".localhost", ".local", ".internal")

_MODEL_FIELDS = {"model": str, "name": str}
_FIELDS: Mapping[str, tuple[str, Mapping[str, type]]] = {
    "/api/show": ("ShowRequest", {**_MODEL_FIELDS, "verbose": bool, "system": str, "options": dict}),
    "/api/pull": ("PullRequest", {**_MODEL_FIELDS, "insecure": bool, "stream": bool}),
    "/api/delete": ("DeleteRequest", _MODEL_FIELDS),
    "/api/copy": ("CopyRequest", {"source": str, "destination": str}),
    "/api/generate": (
        "GenerateRequest",
        {"model": str, "prompt": str, "suffix": str, "system": str, "stream": bool, "raw": bool, "options": dict},
    ),
    "/api/chat": ("ChatRequest", {"model": str, "messages": list, "stream": bool, "options": dict, "tools": list}),
    "/api/embed": ("EmbedRequest", {"model": str, "truncate": bool, "options": dict}),
}
_GO_KINDS = {str: "string", bool: "bool", int: "number", float: "number", list: "array", dict: "object"}
_GO_TYPES = {str: "string", bool: "bool", dict: "map[string]interface {}", list: "[]interface {}"}
_GO_LISTS = {"messages": "[]api.Message", "tools": "api.Tools"}
_INFERENCE = ("/api/generate", "/api/chat", "/api/embed")
_INTEGER_OPTIONS = ("num_ctx", "num_batch", "num_gpu", "num_thread", "num_keep", "num_predict", "seed", "top_k")
_FLOAT_OPTIONS = ("temperature", "top_p", "min_p", "typical_p", "repeat_penalty")


class _Refused(Exception):
    """A request is answered with an error."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status
        self.text = text


class Routes:
    """All routes of one server."""

    def __init__(
        self,
        script: Script,
        folder: ModelsFolder,
        registry: Registry,
        downloads: Downloads,
        runners: Runners,
        *,
        no_prune: bool,
        guards_host: bool,
    ) -> None:
        self._script = script
        self._folder = folder
        self._registry = registry
        self._downloads = downloads
        self._runners = runners
        self._no_prune = no_prune
        self._guards_host = guards_host
        self._own_name = socket.gethostname().lower()
        self._pulls: set[asyncio.Task[None]] = set()
        self._table: dict[str, dict[str, Route]] = {
            "/": {"GET": self._root, "HEAD": self._root},
            "/api/version": {"GET": self._version, "HEAD": self._version},
            "/api/status": {"GET": self._status},
            "/api/tags": {"GET": self._tags, "HEAD": self._tags},
            "/api/ps": {"GET": self._ps},
            "/api/show": {"POST": self._show},
            "/api/pull": {"POST": self._pull},
            "/api/delete": {"DELETE": self._delete},
            "/api/copy": {"POST": self._copy},
            "/api/generate": {"POST": self._generate},
            "/api/chat": {"POST": self._chat},
            "/api/embed": {"POST": self._embed},
        }

    async def answer(self, exchange: Exchange) -> None:
        """Answer one request."""
        request = exchange.request
        try:
            if self._script.answers.delay_s:
                await asyncio.sleep(self._script.answers.delay_s)
            if not self._is_allowed(request):
                await exchange.answer(403, None, b"")
            elif request.path in self._script.answers.garbage:
                await exchange.answer(200, JSON_TYPE, _GARBAGE)
            elif request.path.startswith("/v2/"):
                await self._v2(exchange)
            elif (methods := self._table.get(request.path)) is None:
                await exchange.answer(404, "text/plain", b"404 page not found")
            elif (route := methods.get(request.method)) is None:
                allowed = [("Allow", ", ".join(methods))]
                await exchange.answer(405, "text/plain", b"405 method not allowed", allowed)
            else:
                await route(exchange)
        except _Refused as refused:
            await exchange.fail(refused.status, refused.text)
        except ServerBusy as busy:
            await exchange.fail(503, str(busy))
        except OSError as error:
            if exchange.has_begun or isinstance(error, ConnectionError):
                raise
            await exchange.fail(500, _worded(error))

    def _is_allowed(self, request: Request) -> bool:
        """Apply the guards that a server on loopback has (allowedHostsMiddleware, routes.go), and that of CORS."""
        origin = request.headers.get("origin", "")
        if origin and not re.fullmatch(
            r"(https?://(localhost|127\.0\.0\.1|0\.0\.0\.0)(:\d+)?|(app|file|tauri|vscode-webview|vscode-file)://.*)",
            origin,
        ):
            return False
        if not self._guards_host:
            return True
        host = request.headers.get("host", "")
        host = host[1:].partition("]")[0] if host.startswith("[") else host.partition(":")[0]
        is_address = re.fullmatch(
            r"(127|10)\..*|192\.168\..*|172\.(1[6-9]|2\d|3[01])\..*|0\.0\.0\.0|[0-9a-fA-F:]*", host
        )
        name = host.lower()
        return bool(is_address) or name in ("localhost", self._own_name) or name.endswith(_LOCAL_SUFFIXES)

    async def _root(self, exchange: Exchange) -> None:
        await exchange.answer(200, TEXT_TYPE, b"Ollama is running")

    async def _version(self, exchange: Exchange) -> None:
        await exchange.json(200, {"version": self._script.version})

    async def _status(self, exchange: Exchange) -> None:
        await exchange.json(200, {"cloud": {"disabled": False, "source": "none"}})

    async def _tags(self, exchange: Exchange) -> None:
        models = []
        for model in self._folder.installed():
            lengths = {name: model.config.get(name) for name in ("context_length", "embedding_length")}
            entry = {
                **_named(model),
                "modified_at": format_time(model.modified_ns),
                "size": model.size_bytes,
                "digest": model.digest,
                "details": {**_details(model), **{name: value for name, value in lengths.items() if value}},
            }
            models.append({**entry, **_optional("capabilities", model.capabilities)})
        await exchange.json(200, {"models": models})

    async def _ps(self, exchange: Exchange) -> None:
        models = [
            {
                **_named(one.model),
                "size": one.size_bytes,
                "digest": one.model.digest,
                "details": _details(one.model),
                "expires_at": _format_expiry(one),
                "size_vram": one.vram_bytes,
                "context_length": one.context_length,
            }
            for one in self._runners.loaded()
        ]
        await exchange.json(200, {"models": models})

    async def _show(self, exchange: Exchange) -> None:
        body = _members(exchange.request)
        text = body.get("model") or body.get("name") or ""
        if not text:
            raise _Refused(400, "model is required")
        name = _parse_name(text, _Refused(400, "invalid model name"))
        model = self._read(name, _Refused(404, f"model '{name.display}' not found"))
        await exchange.json(200, self._description(model))

    async def _pull(self, exchange: Exchange) -> None:
        body = _members(exchange.request)
        name = _parse_name(body.get("model") or body.get("name") or "", _Refused(400, "invalid model name"))
        streams = body.get("stream") is not False
        last: dict[str, Any] = {}
        left = exchange.request.left

        async def emit(event: dict[str, Any]) -> None:
            last.clear()
            last.update(event)
            if streams and not left.is_set():
                try:
                    await exchange.line(event)
                except ClientGone:
                    left.set()

        async def run() -> None:
            try:
                await pull(
                    self._downloads,
                    self._folder.existing(name),
                    left,
                    emit,
                    insecure=bool(body.get("insecure")),
                    no_prune=self._no_prune,
                )
            except PullFailed as error:
                await emit({"error": str(error)})
            except OSError as error:
                await emit({"error": _worded(error)})

        # A task of its own: what comes after the downloads goes on when the client has left.
        task = asyncio.create_task(run())
        self._pulls.add(task)
        task.add_done_callback(self._pulls.discard)
        await asyncio.shield(task)
        if streams:
            await exchange.end()
        elif "error" in last:
            await exchange.json(500, last, "application/json")
        else:
            await exchange.json(200, last, "application/json")

    async def _delete(self, exchange: Exchange) -> None:
        body = _members(exchange.request)
        text = body.get("model") or body.get("name") or ""
        if not text:
            raise _Refused(400, "model is required")
        name = _parse_name(text, _Refused(400, f"name {quote(text)} is invalid"))
        model = self._read(name, _Refused(404, f"model '{text}' not found"))
        self._folder.delete(model)
        await exchange.answer(200, None, b"")

    async def _copy(self, exchange: Exchange) -> None:
        body = _members(exchange.request)
        names = {}
        for end in ("source", "destination"):
            text = body.get(end) or ""
            try:
                names[end] = ModelName.parse_exact(text)
            except InvalidModelName:
                raise _Refused(400, f"{end} {quote(text)} is invalid") from None
        source, destination = (self._folder.existing(names[end]) for end in ("source", "destination"))
        try:
            if source != destination:  # nobody looks whether it exists else (CopyModel, server/images.go)
                self._folder.copy(source, destination)
        except FileNotFoundError:
            raise _Refused(404, f"model {quote(body.get('source') or '')} not found") from None
        await exchange.answer(200, None, b"")

    async def _generate(self, exchange: Exchange) -> None:
        body = _members(exchange.request)
        text = body.get("model") or ""
        missing = _Refused(404, f"model '{text}' not found")
        model = self._read(_parse_name(text, _Refused(400, "invalid model name") if text else missing), missing)
        prompt = body.get("prompt") or ""
        # Unloading comes before any question of what a model can do.
        if "embedding" in model.capabilities and (prompt or _keep_alive(body.get("keep_alive")) != 0):
            raise _Refused(400, f"{quote(text)} does not support generate")

        def line(content: str, thinking: str = "") -> dict[str, Any]:
            return {**_created(text), "response": content, **_optional("thinking", thinking), "done": False}

        final = {"context": list(range(count_tokens(prompt)))} if prompt and not body.get("raw") else {}
        await self._infer(exchange, body, model, prompt, line, final)

    async def _chat(self, exchange: Exchange) -> None:
        body = _members(exchange.request)
        text = body.get("model") or ""
        if not text:
            raise _Refused(400, "model is required")
        missing = _Refused(404, f"model '{text}' not found")
        model = self._read(_parse_name(text, _Refused(400, "invalid model name")), missing)
        if "embedding" in model.capabilities and (body.get("messages") or _keep_alive(body.get("keep_alive")) != 0):
            raise _Refused(400, f"{quote(text)} does not support chat")
        if body.get("tools") and "tools" not in model.capabilities:
            raise _Refused(400, f"{model.name.display} does not support tools")
        messages = [one for one in body.get("messages") or [] if isinstance(one, dict)]
        if "vision" not in model.capabilities and any(one.get("images") for one in messages):
            inner = {"error": {"code": 400, "message": _NO_IMAGES, "type": "invalid_request_error"}}
            await exchange.json(400, {"error": dumps(inner).decode()}, "application/json")
            return
        text_format = body.get("format")
        if text_format and text_format != "json" and not isinstance(text_format, dict):
            words = (
                f'invalid format: {quote(dumps(text_format).decode())}; expected "json" or a valid JSON Schema object'
            )
            await exchange.json(500, {"error": words}, "application/json")
            return
        prompt = " ".join(str(one.get("content") or "") for one in messages[-1:])

        def line(content: str, thinking: str = "") -> dict[str, Any]:
            message = {"role": "assistant", "content": content, **_optional("thinking", thinking)}
            return {**_created(text), "message": message, "done": False}

        await self._infer(exchange, body, model, prompt if messages else "", line, {}, bool(messages))

    async def _infer(
        self,
        exchange: Exchange,
        body: Mapping[str, Any],
        model: Installed,
        prompt: str,
        line: Callable[..., dict[str, Any]],
        final: Mapping[str, Any],
        has_prompt: bool | None = None,
    ) -> None:
        """Load, unload or answer, as the request asks for."""
        keep_alive_ns = _keep_alive(body.get("keep_alive"))
        options = _options(body)
        wants_text = bool(prompt) if has_prompt is None else has_prompt
        if not wants_text and keep_alive_ns == 0:
            self._runners.unload(model)
            await exchange.json(200, {**line(""), "done": True, "done_reason": "unload"})
            return
        thinks = "thinking" in model.capabilities
        if body.get("think") and not thinks:
            raise _Refused(400, f"{quote(str(body.get('model')))} does not support thinking")
        began_ns = time.monotonic_ns()
        try:
            async with self._runners.use(model, keep_alive_ns, options.get("num_ctx")) as loaded:
                load_ns = time.monotonic_ns() - began_ns
                if not wants_text:
                    await exchange.json(200, {**line(""), "done": True, "done_reason": "load"})
                    return
                thoughts = list(thought_tokens()) if thinks and body.get("think") is not False else []
                events = [line("", one) for one in thoughts]
                events += [line(one) for one in answer_tokens(prompt)]
                limit = options.get("num_predict", -1)
                ends_early = 0 <= limit < len(events)
                events = events[:limit] if ends_early else events
                await self._speak(exchange, body, loaded, events)
                speak_ns = time.monotonic_ns() - began_ns - load_ns
                last = {
                    **line(""),
                    "done": True,
                    "done_reason": "length" if ends_early else "stop",
                    **final,
                    "total_duration": load_ns + speak_ns,
                    "load_duration": load_ns,
                    "prompt_eval_count": count_tokens(prompt),
                    "prompt_eval_duration": 1_000_000 * count_tokens(prompt),
                    "eval_count": len(events),
                    "eval_duration": speak_ns,
                }
                if body.get("stream") is False:
                    await exchange.json(200, _joined(events, last))
                    return
                await exchange.line(last)
                await exchange.end()
        except RunnerFailed as error:
            if not exchange.has_begun:
                raise _Refused(500, str(error)) from None
            await exchange.line({"error": str(error)})
            await exchange.end()

    async def _speak(
        self, exchange: Exchange, body: Mapping[str, Any], loaded: Loaded, events: list[dict[str, Any]]
    ) -> None:
        for event in events:
            await asyncio.sleep(1 / self._script.tokens_per_s)
            if not loaded.is_alive:
                raise RunnerFailed("an error was encountered while running the model: unexpected EOF")
            if body.get("stream") is not False:
                await exchange.line({**event, **_created(str(body.get("model")))})

    async def _embed(self, exchange: Exchange) -> None:
        body = _members(exchange.request)
        text = body.get("model") or ""
        if not text:
            raise _Refused(404, "model '' not found")
        name = _parse_name(text, _Refused(400, "invalid model name"))
        given = body.get("input")
        texts = given if isinstance(given, list) else [] if given is None else [given]
        if not all(isinstance(one, str) for one in texts):
            raise _Refused(400, "invalid input type")
        model = self._read(name, _Refused(404, f"model {quote(text)} not found, try pulling it first"))
        inputs = [given] if isinstance(given, str) and given else given if isinstance(given, list) else []
        keep_alive_ns = _keep_alive(body.get("keep_alive"))
        began_ns = time.monotonic_ns()
        if not inputs and keep_alive_ns == 0:
            self._runners.unload(model)
            await exchange.json(200, {"model": text, "embeddings": []})
            return
        try:
            async with self._runners.use(model, keep_alive_ns, _options(body).get("num_ctx")):
                if not inputs:
                    await exchange.json(200, {"model": text, "embeddings": []})
                    return
        except RunnerFailed as error:
            raise _Refused(500, str(error)) from None
        if "embedding" not in model.capabilities:
            raise _Refused(501, "This server does not support embeddings. Start it with `--embeddings`")
        length = int(model.config.get("embedding_length") or 1024)
        value = round(length**-0.5, 8)
        took_ns = time.monotonic_ns() - began_ns
        reply = {
            "model": text,
            "embeddings": [[value if (len(str(one)) + at) % 2 else -value for at in range(length)] for one in inputs],
            "total_duration": took_ns,
            "load_duration": took_ns,
            "prompt_eval_count": sum(count_tokens(str(one)) for one in inputs),
        }
        await exchange.json(200, reply)

    async def _v2(self, exchange: Exchange) -> None:
        """Answer as the registry does: manifests whole, blobs by their size only."""
        found = _V2_PATH.fullmatch(exchange.request.path)
        fails = self._script.registry.fails
        if fails is not None:
            status = int(fails) if fails.isdecimal() else 503
            await exchange.answer(status, JSON_TYPE, self._script.registry.body.encode())
            return
        if exchange.request.method not in ("GET", "HEAD"):
            await exchange.answer(405, "text/plain", b"405 method not allowed", [("Allow", "GET, HEAD")])
            return
        if found is not None and found["kind"] == "manifests":
            model = self._registry.model_at(found["namespace"], found["model"], found["reference"])
            if model is not None:
                await exchange.answer(200, MANIFEST_MEDIA_TYPE, model.manifest)
                return
        if found is not None and found["kind"] == "blobs" and exchange.request.method == "HEAD":
            layer = self._registry.blob(found["reference"])
            if layer is not None:
                await exchange.head(200, "application/octet-stream", layer.size_bytes)
                return
        code = "MANIFEST_UNKNOWN" if found is not None and found["kind"] == "manifests" else "BLOB_UNKNOWN"
        await exchange.json(404, {"errors": [{"code": code, "message": "not known here"}]})

    def _read(self, name: ModelName, missing: _Refused) -> Installed:
        try:
            return self._folder.read(self._folder.existing(name))
        except FileNotFoundError:
            raise missing from None
        except GoError as error:
            raise _Refused(500, str(error)) from None

    def _description(self, model: Installed) -> dict[str, Any]:
        texts = {kind: self._folder.text_of(model, kind) for kind in ("template", "license", "system", "params")}
        template, system = "".join(texts["template"][:1]) or "{{ .Prompt }}", "".join(texts["system"][:1])
        parameters: dict[str, Any] = {}
        for one in texts["params"]:
            parameters.update(loads(one))
        license_text = "\n".join(texts["license"])
        blob = self._folder.blob_path(model.weights_digest)
        family = str(model.config.get("model_family") or "llama")
        simulated = model.config.get("simulated") or {}
        embedding_length = int(model.config.get("embedding_length") or 0)
        heads = int(simulated.get("head_count") or 1)
        info = {
            "general.architecture": family,
            "general.file_type": 1,
            "general.parameter_count": _parameter_count(str(model.config.get("model_type") or "")),
            f"{family}.attention.head_count": heads,
            f"{family}.attention.head_count_kv": max(1, heads // 4),
            f"{family}.block_count": int(simulated.get("block_count") or 0),
            f"{family}.context_length": int(model.config.get("context_length") or 0),
            f"{family}.embedding_length": embedding_length,
            **({f"{family}.pooling_type": 1} if "embedding" in model.capabilities else {}),
            "tokenizer.ggml.model": "llama",
            "tokenizer.ggml.scores": None,
            "tokenizer.ggml.tokens": None,
        }
        return {
            **_optional("license", license_text),
            "modelfile": _modelfile(model, blob, template, system, parameters, license_text),
            **_optional("parameters", _parameters(parameters)),
            **_optional("template", template),
            **_optional("system", system),
            "details": _details(model),
            "model_info": info,
            "tensors": [{"name": "token_embd.weight", "type": "F16", "shape": [embedding_length, 32000]}],
            **_optional("capabilities", model.capabilities),
            "modified_at": format_time(model.modified_ns),
        }


def _worded(error: OSError) -> str:
    return f"open {error.filename}: {go_errno(error)}" if error.filename else go_errno(error)


def _members(request: Request) -> dict[str, Any]:
    """Read the body as gin binds it; _Refused with Go's words where it does not fit."""
    struct, fields = _FIELDS[request.path]
    try:
        value = loads(request.body.decode("utf-8", "replace"))
    except GoError as error:
        raise _Refused(400, "missing request body" if str(error) == "EOF" else str(error)) from None
    if not isinstance(value, dict):
        if value is None:
            return {}
        raise _Refused(400, f"json: cannot unmarshal {_GO_KINDS[type(value)]} into Go value of type api.{struct}")
    for name, kind in fields.items():
        given = value.get(name)
        if given is not None and type(given) is not kind:
            where = f"Go struct field {struct}.{name} of type {_GO_LISTS.get(name, _GO_TYPES[kind])}"
            raise _Refused(400, f"json: cannot unmarshal {_GO_KINDS[type(given)]} into {where}")
        if isinstance(given, str):
            # Half a surrogate pair is no character: Go reads it as U+FFFD.
            value[name] = given.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if request.path in _INFERENCE:
        _keep_alive(value.get("keep_alive"))  # read with the body, before any model is looked for
    return value


def _parse_name(text: str, refused: _Refused) -> ModelName:
    try:
        return ModelName.parse(text)
    except InvalidModelName:
        raise refused from None


def _keep_alive(value: Any) -> int | None:
    """Read ``keep_alive`` into nanoseconds; None: not given (``Duration.UnmarshalJSON``, api/types.go)."""
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise _Refused(400, f"Unsupported type: '{_GO_TYPES[type(value)]}'")
    if isinstance(value, str):
        try:
            ns = parse_duration(value)
        except GoError as error:
            raise _Refused(400, str(error)) from None
    else:
        ns = FOREVER_NS if value < 0 or value > _LARGEST_TIME_S else int(value * 1e9)
    return FOREVER_NS if ns < 0 else ns


def _options(body: Mapping[str, Any]) -> dict[str, Any]:
    options = body.get("options") or {}
    for kind, names in (("integer", _INTEGER_OPTIONS), ("float32", _FLOAT_OPTIONS)):
        for name in names:
            value = options.get(name)
            if value is not None and (isinstance(value, bool) or not isinstance(value, int | float)):
                raise _Refused(500, f'option "{name}" must be of type {kind}')
    return {name: int(value) for name, value in options.items() if name in ("num_ctx", "num_predict")}


def _named(model: Installed) -> dict[str, Any]:
    return {"name": model.name.display, "model": model.name.display}


def _details(model: Installed) -> dict[str, Any]:
    return {
        "parent_model": "",
        "format": model.config.get("model_format") or "",
        "family": model.config.get("model_family") or "",
        "families": model.config.get("model_families"),
        "parameter_size": model.config.get("model_type") or "",
        "quantization_level": model.config.get("file_type") or "",
    }


def _optional(name: str, value: Any) -> dict[str, Any]:
    """Go's omitempty: a member that is empty is not there."""
    return {name: value} if value else {}


def _created(model: str) -> dict[str, Any]:
    return {"model": model, "created_at": format_time(time.time_ns(), utc=True)}


def _format_expiry(one: Loaded) -> str:
    if one.keep_alive_ns >= FOREVER_NS:
        # Go's time.Now().Add(longest duration): a date 292 years ahead.
        now_ns = time.time_ns()
        year = time.gmtime(now_ns // 1_000_000_000).tm_year
        return format_time(now_ns).replace(str(year), str(year + 292), 1)
    # Until the first request has ended nothing is set, and what would be is shown.
    return format_time(one.expires_ns or time.time_ns() + one.keep_alive_ns)


def _joined(events: list[dict[str, Any]], last: dict[str, Any]) -> dict[str, Any]:
    """Put a stream together as an answer that is not streamed has it."""
    if "response" in last:
        thinking = "".join(one.get("thinking", "") for one in events)
        return {**last, "response": "".join(one["response"] for one in events), **_optional("thinking", thinking)}
    thinking = "".join(one["message"].get("thinking", "") for one in events)
    content = "".join(one["message"]["content"] for one in events)
    return {**last, "message": {"role": "assistant", "content": content, **_optional("thinking", thinking)}}


def _parameter_count(text: str) -> int:
    found = re.fullmatch(r"([\d.]+)([KMB])", text)
    return int(float(found[1]) * {"K": 10**3, "M": 10**6, "B": 10**9}[found[2]]) if found else 0


def _parameters(parameters: Mapping[str, Any]) -> str:
    """Write the parameters as show does: the name padded to 30, the value in Go syntax, lists one value a line."""
    lines = []
    for name, value in parameters.items():
        several = value if isinstance(value, list) else [value]
        lines += [f"{name:<30} {quote(one) if isinstance(one, str) else one}" for one in several]
    return "\n".join(lines)


def _modelfile(
    model: Installed, blob: str, template: str, system: str, parameters: Mapping[str, Any], license_text: str
) -> str:
    lines = [
        '# Modelfile generated by "ollama show"',
        "# To build a new Modelfile based on this, replace FROM with:",
        f"# FROM {model.name.display}",
        "",
        f"FROM {blob}",
    ]
    if template:
        lines.append(f'TEMPLATE "{template}"' if "\n" in template or '"' in template else f"TEMPLATE {template}")
    if system:
        lines.append(f"SYSTEM {system}")
    for name, value in parameters.items():
        lines += [f"PARAMETER {name} {one}" for one in (value if isinstance(value, list) else [value])]
    if license_text:
        lines.append(f'LICENSE "{license_text}"')
    return "\n".join(lines) + "\n"
