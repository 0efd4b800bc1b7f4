"""Every recorded exchange, sent again byte by byte, becomes a value or an error of ours."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import unquote

import pytest

from launcher.ollama import (
    BlobProgress,
    Client,
    CloudStatus,
    CutStream,
    InlineError,
    LoadAnswer,
    ModelNotFound,
    OllamaError,
    Reason,
    Refused,
    Running,
    ServerVersion,
    ShownModel,
    Tags,
)
from launcher.ollama.rescue import Backoff
from launcher.ollama.wire.fields import Wire
from tests.support.replay import Recording, ReplayServer, load, names

pytestmark = pytest.mark.anyio

T = TypeVar("T")

# What each refused or failed call becomes. All other covered exchanges succeed.
FAILURES: dict[str, tuple[type[OllamaError], Reason | None]] = {
    "api/copy-bad-destination": (Refused, Reason.INVALID_NAME),
    "api/v1-model": (Refused, Reason.NO_SUCH_ROUTE),
    "chat/server-terminated": (CutStream, None),
    "errors/bad-json": (Refused, Reason.BAD_REQUEST),
    "errors/blob-bad-digest": (Refused, Reason.BAD_REQUEST),
    "errors/blob-post-mismatch": (Refused, Reason.BAD_REQUEST),
    "errors/chat-bad-format": (Refused, Reason.BAD_REQUEST),
    "errors/chat-bad-keep-alive": (Refused, Reason.BAD_REQUEST),
    "errors/chat-bad-option": (Refused, Reason.BAD_REQUEST),
    "errors/chat-image-unsupported": (Refused, Reason.NOT_CAPABLE),
    "errors/chat-missing": (ModelNotFound, Reason.NO_SUCH_MODEL),
    "errors/chat-runner-killed": (InlineError, Reason.RUNNER_FAILED),
    "errors/chat-runner-missing": (Refused, Reason.RUNNER_FAILED),
    "errors/chat-think-unsupported": (Refused, Reason.NOT_CAPABLE),
    "errors/chat-tools-unsupported": (Refused, Reason.NOT_CAPABLE),
    "errors/chat-with-embedding-model": (Refused, Reason.NOT_CAPABLE),
    "errors/cloud-chat": (Refused, Reason.CLOUD_UNREACHABLE),
    "errors/copy-missing": (ModelNotFound, Reason.NO_SUCH_MODEL),
    "errors/create-bad-file-name": (Refused, Reason.BAD_REQUEST),
    "errors/create-bad-name": (Refused, Reason.INVALID_NAME),
    "errors/create-bad-quantize": (InlineError, Reason.BAD_REQUEST),
    "errors/create-bad-template": (Refused, Reason.BAD_REQUEST),
    "errors/create-missing-from": (InlineError, Reason.REGISTRY_UNREACHABLE),
    "errors/create-not-gguf": (InlineError, Reason.BAD_REQUEST),
    "errors/create-nothing": (Refused, Reason.BAD_REQUEST),
    "errors/create-unknown-blob": (InlineError, Reason.DAMAGED_MODEL),
    "errors/delete-missing": (ModelNotFound, Reason.NO_SUCH_MODEL),
    "errors/embed-missing": (ModelNotFound, Reason.NO_SUCH_MODEL),
    "errors/embed-not-an-embedding-model": (Refused, Reason.NOT_CAPABLE),
    "errors/generate-context-overflow-no-truncate": (Refused, Reason.CONTEXT_TOO_LONG),
    "errors/generate-missing": (ModelNotFound, Reason.NO_SUCH_MODEL),
    "errors/host-guard": (Refused, Reason.HOST_GUARD),
    "errors/me": (Refused, Reason.CLOUD_UNREACHABLE),
    "errors/no-body": (Refused, Reason.BAD_REQUEST),
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
    "errors/push-missing": (InlineError, Reason.NO_SUCH_MODEL),
    "errors/server-busy": (Refused, Reason.BUSY),
    "errors/show-missing": (ModelNotFound, Reason.NO_SUCH_MODEL),
    "errors/unknown-path": (Refused, Reason.NO_SUCH_ROUTE),
    "errors/unload-after-delete": (ModelNotFound, Reason.NO_SUCH_MODEL),
    "errors/v1-chat-missing": (ModelNotFound, Reason.NO_SUCH_MODEL),
    "errors/v1-model-missing": (ModelNotFound, Reason.NO_SUCH_MODEL),
    "errors/web-search": (Refused, Reason.CLOUD_UNREACHABLE),
    "errors/wrong-method": (Refused, Reason.NO_SUCH_ROUTE),
    "errors/wrong-type": (Refused, Reason.BAD_REQUEST),
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


def call_of(recording: Recording) -> Call:
    """Name the method that makes such a request. A recording that none makes fails: cover it here."""
    body: dict[str, Any] = dict(recording.request_body or {})
    given = {key: value for key, value in body.items() if key not in ("model", "stream", "from", "stream_options")}
    model = body.get("model", "")
    limit = len(recording.lines) if recording.end == "closed by client" else None
    whole = body.get("stream") is False
    match recording.method, recording.path.split("/sha256:")[0]:
        case "GET", "/":
            return lambda client: client.is_running()
        case "HEAD", "/" | "/api/blobs":
            return lambda client: client.blob_exists(recording.path.rpartition("/")[2])
        case "POST", "/api/blobs":
            return lambda client: sent(client, recording.path.rpartition("/")[2])
        case "GET", "/api/version":
            return lambda client: client.version()
        case "GET", "/api/tags":
            return lambda client: client.tags()
        case "GET", "/api/ps":
            return lambda client: client.ps()
        case "GET", "/api/status" | "/api/nothing":
            return lambda client: client.cloud_status()
        case "GET", "/api/experimental/model-recommendations":
            return lambda client: client.recommendations()
        case "POST", "/api/show":
            return lambda client: client.show(model, verbose=bool(body.get("verbose")))
        case _, "/api/pull":
            return lambda client: collected(client.pull(model, bool(body.get("insecure"))), limit)
        case "POST", "/api/push":
            return lambda client: collected(client.push(model))
        case "POST", "/api/create":
            return lambda client: collected(client.create(model, from_=body.get("from"), **given))
        case "DELETE", "/api/delete":
            return lambda client: client.delete(model)
        case "POST", "/api/copy":
            return lambda client: client.copy(body["source"], body["destination"])
        case "POST", "/api/generate" if set(body) == {"model", "keep_alive"}:
            if body["keep_alive"] == 0:
                return lambda client: client.unload(model)
            return lambda client: client.load(model, keep_alive=body["keep_alive"])
        case "POST", "/api/generate":
            if whole:
                return lambda client: client.generate(model, **given)
            return lambda client: collected(client.stream_generate(model, **given), limit)
        case "POST", "/api/chat":
            if whole:
                return lambda client: client.chat(model, **given)
            return lambda client: collected(client.stream_chat(model, **given), limit)
        case "POST", "/api/embed":
            return lambda client: client.embed(model, **given)
        case "POST", "/api/embeddings":
            return lambda client: client.embeddings(model, **given)
        case "POST", "/api/me":
            return lambda client: client.me()
        case "POST", "/api/experimental/web_search":
            return lambda client: client.web_search(**given)
        case "GET", "/v1/models":
            return lambda client: client.v1_models()
        case "GET", path if path.startswith("/v1/models/"):
            return lambda client: client.v1_model(unquote(path.removeprefix("/v1/models/")))
        case "POST", "/v1/chat/completions" if body.get("stream"):
            return lambda client: collected(client.stream_v1_chat(model, include_usage=True, **given))
        case "POST", "/v1/chat/completions":
            return lambda client: client.v1_chat(model, **given)
        case "POST", "/v1/embeddings":
            return lambda client: client.v1_embeddings(model, **given)
    raise AssertionError(f"no method makes {recording.name}: {recording.method} {recording.path}")


async def collected(stream: AsyncGenerator[T, None], limit: int | None = None) -> list[T]:
    values: list[T] = []
    async with aclosing(stream):
        async for value in stream:
            values.append(value)
            if len(values) == limit:
                break
    return values


async def sent(client: Client, digest: str) -> list[BlobProgress]:
    """Send a file of some bytes; what they are the server that replays does not look at."""
    return await collected(client.create_blob(__file__, digest=digest))


NEVER_AGAIN = Backoff(tries=0)
NO_BLOB = load("errors/blob-head-missing")


@pytest.mark.parametrize("name", names())
async def test_exchange_becomes_a_value_or_an_error(name: str) -> None:
    recording = load(name)
    call = call_of(recording)
    kind, reason = FAILURES.get(name, (None, None))
    recordings = [recording]
    if (recording.method, recording.path.startswith("/api/blobs/")) == ("POST", True):
        # Whether the server has it is asked first.
        recordings.append(replace(NO_BLOB, path=recording.path))
    async with ReplayServer(*recordings) as server, Client(server.address, api_key="", retries=0) as client:
        if kind is None:
            assert_fits(recording, await call(client))
        else:
            with pytest.raises(OllamaError) as caught:
                await call(client)
            assert type(caught.value) is kind
            assert getattr(caught.value, "reason", None) is reason
            assert caught.value.title.endswith(".")
            assert caught.value.hint.endswith((".", ").")) or reason is None
            assert not set("{}[]") & set(caught.value.title)
            if isinstance(caught.value, CutStream | InlineError):
                assert caught.value.partial == said(recording)
        if recording.end == "closed by client":
            await server.wait_closed()
    assert len(server.requests) == len(recordings)
    request = server.requests[-1]
    if request.method == recording.method and recording.request_body is not None:
        whole = {key: value for key, value in request.json.items() if key != "stream"}
        recorded = {key: value for key, value in recording.request_body.items() if key != "stream"}
        assert whole == recorded
        assert request.path == recording.path


def test_failures_are_of_recordings() -> None:
    assert set(FAILURES) <= set(names())


def said(recording: Recording) -> str:
    """Put together the text of a recorded stream."""
    lines = [json.loads(line) for _, line in recording.lines if line.startswith("{")]
    return "".join(line.get("response", "") or line.get("message", {}).get("content", "") for line in lines)


def assert_told(value: object, told: Any) -> None:
    """Compare with the recorded JSON, member by member: none is unknown, none is lost."""
    if isinstance(value, Wire):
        for key, inner in told.items():
            assert_told(getattr(value, key), inner)
    elif isinstance(value, datetime):
        assert value.isoformat()[:19] == told[:19]
    elif isinstance(value, tuple):
        assert len(value) == len(told or ())
        for one, other in zip(value, told or (), strict=True):
            assert_told(one, other)
    elif told is None or (isinstance(told, str) and told.startswith("2319-")):  # for ever
        assert not value
    else:
        assert value == told


def assert_fits(recording: Recording, value: object) -> None:
    if isinstance(value, Wire) and not isinstance(value, LoadAnswer | CloudStatus):
        assert_told(value, json.loads(recording.body or ""))
    match recording.path.split("/sha256:")[0]:
        case "/" if recording.method == "HEAD":
            assert value is True
        case "/":
            assert value is True
        case "/api/blobs" if recording.method == "HEAD":
            assert value is (recording.status == 200)
        case "/api/blobs":
            assert isinstance(value, list)
            size = Path(__file__).stat().st_size
            assert value[-1] == BlobProgress(size, size, recording.path.rpartition("/")[2])
        case "/api/version":
            assert value == ServerVersion("0.33.0-rc2", simulated=False)
        case "/api/status":
            assert value == CloudStatus(disabled=False, source="none")
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
        case "/api/pull" | "/api/create":
            assert isinstance(value, list)
            assert len(value) == max(1, len(recording.lines))
            assert recording.end == "closed by client" or value[-1].status == "success"
        case "/api/generate" if isinstance(value, LoadAnswer):
            assert value.done
            assert value.done_reason == ("unload" if recording.request_body["keep_alive"] == 0 else "load")
        case "/api/generate" | "/api/chat" if isinstance(value, list):
            told = [json.loads(line) for _, line in recording.lines] or [json.loads(recording.body or "")]
            assert len(value) == len(told)
            for one, other in zip(value, told, strict=True):
                assert_told(one, other)
            assert recording.end == "closed by client" or value[-1].done
        case "/v1/chat/completions" if isinstance(value, list):
            lines = [line.removeprefix("data: ") for _, line in recording.lines if line]
            assert lines.pop() == "[DONE]"
            for one, line in zip(value, lines, strict=True):
                assert_told(one, json.loads(line))
            assert value[-1].usage is not None
        case "/api/delete" | "/api/copy":
            assert value is None
        case _:
            assert isinstance(value, Wire)
