"""Every recorded exchange, sent again byte by byte, becomes a value or an error of ours."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import aclosing
from typing import Any

import pytest

from launcher.ollama import (
    Client,
    CutStream,
    InlineError,
    LoadAnswer,
    ModelNotFound,
    OllamaError,
    Progress,
    Reason,
    Refused,
    Running,
    ServerVersion,
    ShownModel,
    Tags,
)
from tests.support.replay import Recording, ReplayServer, load, names

pytestmark = pytest.mark.anyio

# Grows shorter with each route that the client learns; a new recording must be covered or be named here.
NOT_YET_COVERED = {
    "api/embed",
    "api/embeddings-legacy",
    "api/recommendations",
    "api/root-head",
    "api/status",
    "api/v1-chat",
    "api/v1-chat-stream",
    "api/v1-embeddings",
    "api/v1-model",
    "api/v1-models",
    "api/v1-models-empty",
    "chat/chat",
    "chat/chat-format-json",
    "chat/chat-format-schema",
    "chat/chat-logprobs",
    "chat/chat-not-streamed",
    "chat/closed-by-client",
    "chat/generate",
    "chat/load-other-context",
    "chat/server-terminated",
    "create/blob-head",
    "create/blob-head-after",
    "create/blob-post",
    "create/blob-post-again",
    "create/from-gguf",
    "create/from-gguf-quantize",
    "create/from-gguf-quantize-mid",
    "create/from-model",
    "errors/blob-bad-digest",
    "errors/blob-head-missing",
    "errors/blob-post-mismatch",
    "errors/chat-bad-format",
    "errors/chat-bad-keep-alive",
    "errors/chat-bad-option",
    "errors/chat-bad-role",
    "errors/chat-context-overflow",
    "errors/chat-huge-context",
    "errors/chat-image-unsupported",
    "errors/chat-missing",
    "errors/chat-runner-killed",
    "errors/chat-runner-missing",
    "errors/chat-think-unsupported",
    "errors/chat-tools-unsupported",
    "errors/chat-with-embedding-model",
    "errors/cloud-chat",
    "errors/create-bad-file-name",
    "errors/create-bad-name",
    "errors/create-bad-parameter",
    "errors/create-bad-quantize",
    "errors/create-bad-template",
    "errors/create-missing-from",
    "errors/create-not-gguf",
    "errors/create-nothing",
    "errors/create-unknown-blob",
    "errors/embed-empty",
    "errors/embed-missing",
    "errors/embed-not-an-embedding-model",
    "errors/generate-context-overflow-no-truncate",
    "errors/generate-missing",
    "errors/me",
    "errors/push-missing",
    "errors/server-busy",
    "errors/unknown-path",
    "errors/v1-chat-missing",
    "errors/v1-model-missing",
    "errors/web-search",
    "errors/wrong-type",
}

# What each refused or failed call becomes. All other covered exchanges succeed.
FAILURES: dict[str, tuple[type[OllamaError], Reason | None]] = {
    "api/copy-bad-destination": (Refused, Reason.INVALID_NAME),
    "errors/bad-json": (Refused, Reason.OTHER),
    "errors/copy-missing": (ModelNotFound, Reason.NO_SUCH_MODEL),
    "errors/delete-missing": (ModelNotFound, Reason.NO_SUCH_MODEL),
    "errors/host-guard": (Refused, Reason.HOST_GUARD),
    "errors/no-body": (Refused, Reason.OTHER),
    "errors/origin-guard": (Refused, Reason.HOST_GUARD),
    "errors/pull-bad-name": (Refused, Reason.INVALID_NAME),
    "errors/pull-cloud": (InlineError, Reason.REGISTRY_UNREACHABLE),
    "errors/pull-empty-name": (Refused, Reason.INVALID_NAME),
    "errors/pull-missing": (InlineError, Reason.NO_SUCH_MODEL),
    "errors/pull-no-registry": (InlineError, Reason.REGISTRY_UNREACHABLE),
    "errors/pull-not-insecure": (InlineError, Reason.REGISTRY_FAILED),
    "errors/pull-proxy-gone": (InlineError, Reason.REGISTRY_UNREACHABLE),
    "errors/pull-registry-401": (InlineError, Reason.NOT_ALLOWED),
    "errors/pull-registry-500": (InlineError, Reason.REGISTRY_FAILED),
    "errors/pull-registry-down": (InlineError, Reason.REGISTRY_UNREACHABLE),
    "errors/show-missing": (ModelNotFound, Reason.NO_SUCH_MODEL),
    "errors/unload-after-delete": (ModelNotFound, Reason.NO_SUCH_MODEL),
    "errors/wrong-method": (Refused, Reason.NO_SUCH_ROUTE),
    "pull/big-disk-full": (InlineError, Reason.NO_SPACE),
    "pull/big-empty-sidecar": (InlineError, Reason.DAMAGED_PARTIAL),
    "pull/big-garbage-sidecar": (InlineError, Reason.DAMAGED_PARTIAL),
    "pull/big-missing-sidecar": (InlineError, Reason.DAMAGED_PARTIAL),
    "pull/big-retries-exceeded": (InlineError, Reason.RETRIES_EXCEEDED),
    "pull/big-server-killed": (CutStream, None),
    "pull/big-server-terminated": (CutStream, None),
    "pull/mid-digest-mismatch": (InlineError, Reason.DIGEST_MISMATCH),
}

Call = Callable[[Client], Awaitable[object]]


def call_of(recording: Recording) -> Call | None:
    """Name the method that makes such a request; None: there is none yet."""
    body: dict[str, Any] = recording.request_body or {}
    model = str(body.get("model", ""))
    match recording.method, recording.path:
        case "GET", "/":
            return lambda client: client.is_running()
        case "GET", "/api/version":
            return lambda client: client.version()
        case "GET", "/api/tags":
            return lambda client: client.tags()
        case "GET", "/api/ps":
            return lambda client: client.ps()
        case "POST", "/api/show":
            return lambda client: client.show(model, verbose=bool(body.get("verbose")))
        case _, "/api/pull":
            limit = len(recording.lines) if recording.end == "closed by client" else None
            return lambda client: pulled(client, model, bool(body.get("insecure")), limit)
        case "DELETE", "/api/delete":
            return lambda client: client.delete(model)
        case "POST", "/api/copy":
            return lambda client: client.copy(body["source"], body["destination"])
        case "POST", "/api/generate" if set(body) == {"model", "keep_alive"}:
            if body["keep_alive"] == 0:
                return lambda client: client.unload(model)
            return lambda client: client.load(model, keep_alive=body["keep_alive"])
    return None


async def pulled(client: Client, name: str, insecure: bool, limit: int | None = None) -> list[Progress]:
    lines: list[Progress] = []
    async with aclosing(client.pull(name, insecure)) as stream:
        async for line in stream:
            lines.append(line)
            if len(lines) == limit:
                break
    return lines


ALL = names()


def test_the_list_of_what_is_not_covered_is_true() -> None:
    assert {name for name in ALL if call_of(load(name)) is None} == NOT_YET_COVERED
    assert set(FAILURES) <= set(ALL) - NOT_YET_COVERED


@pytest.mark.parametrize("name", [name for name in ALL if name not in NOT_YET_COVERED])
async def test_exchange_becomes_a_value_or_an_error(name: str) -> None:
    recording = load(name)
    call = call_of(recording)
    assert call is not None
    kind, reason = FAILURES.get(name, (None, None))
    async with ReplayServer(recording) as server, Client(server.address) as client:
        if kind is None:
            assert_fits(recording, await call(client))
        else:
            with pytest.raises(OllamaError) as caught:
                await call(client)
            assert type(caught.value) is kind
            assert getattr(caught.value, "reason", None) is reason
            assert caught.value.title.endswith((".", "key")) or ":" in caught.value.title
        if recording.end == "closed by client":
            await server.wait_closed()
    [request] = server.requests
    if request.method == recording.method and recording.request_body is not None:
        sent = {key: value for key, value in request.json.items() if key != "stream"}
        recorded = {key: value for key, value in recording.request_body.items() if key != "stream"}
        assert sent == recorded
        assert request.path == recording.path


def assert_fits(recording: Recording, value: object) -> None:
    match recording.path:
        case "/":
            assert value is True
        case "/api/version":
            assert value == ServerVersion("0.33.0-rc2", simulated=False)
        case "/api/tags":
            assert isinstance(value, Tags)
            assert all(len(model.digest) == 64 and model.name and model.modified_at for model in value.models)
            assert len(value.models) == (recording.body or "").count('"modified_at"')
        case "/api/ps":
            assert isinstance(value, Running)
            assert all(model.size > 0 and model.context_length > 0 for model in value.models)
            assert len(value.models) == (recording.body or "").count('"expires_at"')
            if recording.name == "api/ps-pinned":
                assert value.models[0].expires_at is None
        case "/api/show":
            assert isinstance(value, ShownModel)
            assert value.architecture == "llama"
            assert value.context_length == 4096
            assert value.tensors
            assert value.capabilities
        case "/api/pull":
            assert isinstance(value, list)
            assert len(value) == max(1, len(recording.lines))
            assert recording.end == "closed by client" or value[-1].status == "success"
        case "/api/generate":
            assert isinstance(value, LoadAnswer)
            assert value.done
            assert value.done_reason == ("unload" if recording.request_body["keep_alive"] == 0 else "load")
        case _:
            assert value is None
