"""Errors: nothing of httpx escapes, and the server's words become sentences."""

from __future__ import annotations

import inspect
import json

import httpx
import pytest
from pydantic import BaseModel, ValidationError

from launcher.domain.address import Address
from launcher.errors import LauncherError
from launcher.ollama import CutStream, InlineError, ModelNotFound, NotRunning, ProtocolBroken, Reason, Refused, TimedOut
from launcher.ollama import errors as tree
from launcher.ollama.errors import START_IT, OllamaError, refusal
from launcher.ollama.explain import unwrap
from launcher.ollama.lines import TooLong
from launcher.ollama.transport import translated
from tests.support.replay import RECORDINGS

LOCAL = Address.parse("")
REMOTE = Address.parse("box.lan")


def exceptions_of_httpx() -> list[type[Exception]]:
    return [kind for _, kind in inspect.getmembers(httpx, inspect.isclass) if issubclass(kind, Exception)]


def made(kind: type[Exception]) -> Exception:
    request = httpx.Request("GET", "http://x")
    if kind is httpx.HTTPStatusError:
        return httpx.HTTPStatusError("x", request=request, response=httpx.Response(500, request=request))
    if issubclass(kind, httpx.RequestError):
        return kind("x", request=request)
    try:
        return kind("x")
    except TypeError:
        return kind()


@pytest.mark.parametrize("kind", exceptions_of_httpx(), ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("streaming", [False, True], ids=["call", "stream"])
def test_no_exception_of_httpx_escapes(kind: type[Exception], streaming: bool) -> None:
    with pytest.raises(OllamaError) as caught, translated(LOCAL, streaming=streaming):
        raise made(kind)
    assert caught.value.title
    assert kind.__name__ in caught.value.detail
    assert isinstance(caught.value.__cause__, kind)


def test_there_are_exceptions_of_httpx() -> None:
    assert len(exceptions_of_httpx()) > 20


@pytest.mark.parametrize(
    ("error", "streaming", "kind"),
    [
        pytest.param(httpx.ConnectError("All connection attempts failed"), False, NotRunning, id="refused"),
        pytest.param(httpx.ConnectError("[Errno -2] Name or service not known"), False, NotRunning, id="no such host"),
        pytest.param(httpx.ProxyError("502"), False, NotRunning, id="proxy"),
        pytest.param(httpx.ConnectTimeout("x"), False, TimedOut, id="connect timeout"),
        pytest.param(httpx.ReadTimeout("x"), True, TimedOut, id="read timeout"),
        pytest.param(httpx.PoolTimeout("x"), False, TimedOut, id="no connection free"),
        pytest.param(TimeoutError(), False, TimedOut, id="whole call"),
        pytest.param(httpx.ReadError("x"), False, CutStream, id="reset"),
        pytest.param(httpx.ReadError("x"), True, CutStream, id="reset in a stream"),
        pytest.param(httpx.RemoteProtocolError("Server disconnected"), False, CutStream, id="gone"),
        pytest.param(httpx.RemoteProtocolError("illegal status line"), False, ProtocolBroken, id="no HTTP"),
        pytest.param(httpx.RemoteProtocolError("bad chunk"), True, CutStream, id="no HTTP in a stream"),
        pytest.param(httpx.DecodingError("gzip"), True, ProtocolBroken, id="compression"),
        pytest.param(httpx.ConnectError("[SSL: CERTIFICATE_VERIFY_FAILED] x"), False, ProtocolBroken, id="certificate"),
        pytest.param(httpx.ConnectError("[SSL: WRONG_VERSION_NUMBER] x"), False, ProtocolBroken, id="no TLS"),
        pytest.param(TooLong("a line"), True, ProtocolBroken, id="too long"),
    ],
)
def test_told_apart(error: Exception, streaming: bool, kind: type[OllamaError]) -> None:
    with pytest.raises(OllamaError) as caught, translated(REMOTE, streaming=streaming):
        raise error
    assert type(caught.value) is kind
    assert caught.value.hint


def test_hints_differ_for_this_machine_and_others() -> None:
    hints = []
    for address in (LOCAL, REMOTE):
        with pytest.raises(NotRunning) as caught, translated(address):
            raise httpx.ConnectError("refused")
        hints.append(caught.value.hint)
    assert hints[0] == START_IT
    assert "ollama-launcher start" not in hints[1]


def test_validation_names_the_member() -> None:
    class Thing(BaseModel):
        size: int

    with pytest.raises(ProtocolBroken) as caught, translated(LOCAL):
        Thing.model_validate_json(b'{"size":"big"}')
    assert "size" in caught.value.detail
    assert isinstance(caught.value.__cause__, ValidationError)


def test_our_errors_and_foreign_ones_pass() -> None:
    for error in (LauncherError("x"), KeyError("x"), Refused(500, "x")):
        with pytest.raises(type(error)) as caught, translated(LOCAL):
            raise error
        assert caught.value is error


def test_the_tree_is_drawn() -> None:
    classes = [kind for _, kind in inspect.getmembers(tree, inspect.isclass) if kind.__module__ == tree.__name__]
    drawing = tree.__doc__ or ""
    assert all(kind.__name__ in drawing for kind in classes)
    assert {kind.__name__ for kind in classes} <= set(tree.__all__)


# Words


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        pytest.param("model 'x' not found", "model 'x' not found", id="no JSON"),
        pytest.param('{"error":"no"}', "no", id="an error"),
        pytest.param('{"error":{"code":400,"message":"no"}}', "no", id="an object"),
        pytest.param('500: {"errors":[{"code":"X","message":"no"}]}', "500: no", id="of a registry"),
        pytest.param('a: {"error":"b: {\\"message\\":\\"c\\"}"}', "a: b: c", id="nested"),
        pytest.param('{"detail":"no"}', "no", id="detail"),
        pytest.param("{{ .Prompt }}", "{{ .Prompt }}", id="a template"),
        pytest.param('{"a":1}', '{"a":1}', id="no message in it"),
        pytest.param('{"error":"a"} b', '{"error":"a"} b', id="not at the end"),
        pytest.param('{"error":{}}', '{"error":{}}', id="empty"),
        pytest.param("", "", id="nothing"),
        pytest.param('{"error":' * 20_000, '{"error":' * 20_000, id="deep and broken"),
        pytest.param('{"error":' * 20_000 + "1" + "}" * 20_000, None, id="deep"),
    ],
)
def test_unwrap(text: str, plain: str | None) -> None:
    assert unwrap(text) == (text if plain is None else plain)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("EOF", Reason.DAMAGED_PARTIAL),
        ("unexpected EOF", Reason.DAMAGED_PARTIAL),
        ("remove /m/blobs/sha256-12-partial-2: no such file or directory", Reason.DAMAGED_PARTIAL),
        ("invalid character 'g' looking for beginning of object key string", Reason.DAMAGED_PARTIAL),
        ("max retries exceeded: EOF", Reason.RETRIES_EXCEEDED),
        ("max retries exceeded: unexpected EOF", Reason.RETRIES_EXCEEDED),
        ("pull model manifest: file does not exist", Reason.NO_SUCH_MODEL),
        ("write /m/blobs/sha256-12-partial: no space left on device", Reason.NO_SPACE),
        ("There is not enough space on the disk.", Reason.NO_SPACE),
        ("digest mismatch, file must be downloaded again: want sha256:a, got sha256:b", Reason.DIGEST_MISMATCH),
        ('pull model manifest: 412: {"error":"newer"}', Reason.TOO_OLD),
        ("pull model manifest: 401: no", Reason.NOT_ALLOWED),
        ("pull model manifest: 429: slow down", Reason.REGISTRY_FAILED),
        ("pull model manifest: 503: no", Reason.REGISTRY_FAILED),
        ('pull model manifest: Get "https://r/v2": dial tcp 1.2.3.4:443: i/o timeout', Reason.REGISTRY_UNREACHABLE),
        ('pull model manifest: Get "https://r/v2": x509: certificate has expired', Reason.REGISTRY_FAILED),
        ("this model requires MLX support, but the MLX runtime is not available", Reason.NOT_CAPABLE),
        ("open /home/user/.ollama/id_ed25519: no such file or directory", Reason.NOT_ALLOWED),
        ("an error was encountered while running the model: unexpected EOF", Reason.RUNNER_FAILED),
        ("context canceled", Reason.CANCELLED),
        ("context canceled by somebody", Reason.OTHER),
        ("llama-server process has terminated: exit status 1: model file not found", Reason.RUNNER_FAILED),
        ("llama-server process has terminated: cudaMalloc failed: out of memory", Reason.OUT_OF_MEMORY),
        ("llama-server process has terminated: unknown model architecture: 'future'", Reason.TOO_OLD),
        ("llama-server process has terminated: gguf_init_from_file: invalid magic characters", Reason.DAMAGED_MODEL),
        ("llama-server process has terminated: invalid file magic, model not found", Reason.DAMAGED_MODEL),
        ("llama runner: tensor 'a' of size 12 exceeds file size", Reason.DAMAGED_MODEL),
        ("model 'x' not found", Reason.NO_SUCH_MODEL),
        ("something new", Reason.OTHER),
    ],
)
def test_words_of_a_stream(text: str, reason: Reason) -> None:
    error = InlineError(text)
    assert error.reason is reason
    assert error.text == error.detail == text
    assert error.title.endswith(".") or text in error.title


# Seen on 0.33.0-rc2, unless they begin with what other systems or ollama.com say.
@pytest.mark.parametrize(
    ("status", "text", "reason", "title"),
    [
        (400, '"m" does not support generate', Reason.NOT_CAPABLE, "This model writes no text."),
        (400, '"m" does not support thinking', Reason.NOT_CAPABLE, "This model cannot think before it answers."),
        (400, "m:latest does not support tools", Reason.NOT_CAPABLE, "This model cannot use tools."),
        (400, "m:latest does not support vision", Reason.NOT_CAPABLE, "This model cannot see images."),
        (400, "m:latest does not support insert", Reason.NOT_CAPABLE, "This model cannot fill in between two texts."),
        (400, "m does not support dancing", Reason.NOT_CAPABLE, "This model cannot do that."),
        (
            400,
            '{"error":{"code":400,"message":"… but model does not support multimodal requests."}}',
            Reason.NOT_CAPABLE,
            "This model cannot see images.",
        ),
        (501, "This server does not support embeddings.", Reason.NOT_CAPABLE, "This model gives no embeddings."),
        (500, "This server does not support embeddings.", Reason.NOT_CAPABLE, "This model gives no embeddings."),
        (400, "raw mode does not support template, system, or context", Reason.BAD_REQUEST, None),
        (400, "top_logprobs must be between 0 and 20", Reason.BAD_REQUEST, None),
        (400, 'invalid think value: "huge" (must be "high", …)', Reason.BAD_REQUEST, None),
        (400, 'time: missing unit in duration "10"', Reason.BAD_REQUEST, "This is no length of time."),
        (500, 'option "num_ctx" must be of type integer', Reason.BAD_REQUEST, None),
        (500, 'invalid format: "yaml"; expected "json" or a valid JSON Schema object', Reason.BAD_REQUEST, None),
        (400, "Failed to load image or audio file", Reason.BAD_REQUEST, "One of the images cannot be read."),
        (400, "the input length exceeds the context length", Reason.CONTEXT_TOO_LONG, None),
        (500, 'unknown renderer "new"', Reason.TOO_OLD, None),
        (500, "quantization is only supported for F16, BF16 and F32 models", Reason.BAD_REQUEST, None),
        (400, "only one adapter is currently supported", Reason.BAD_REQUEST, None),
        (400, "invalid digest format", Reason.BAD_REQUEST, "This cannot be the digest of a file."),
        (400, 'digest mismatch, expected "sha256:a", got "sha256:b"', Reason.BAD_REQUEST, None),
        (503, "server busy, please try again.  maximum pending requests exceeded", Reason.BUSY, None),
        (503, "account unavailable", Reason.CLOUD_UNREACHABLE, "The server cannot reach ollama.com."),
        (502, 'Post "https://ollama.com:443/api/chat?ts=1": dial tcp: i/o timeout', Reason.CLOUD_UNREACHABLE, None),
        (401, "you are not currently signed in", Reason.NOT_ALLOWED, None),
        (401, "unauthorized", Reason.NOT_ALLOWED, None),
        (402, "upgrade your plan", Reason.NOT_ALLOWED, None),
        (429, "slow down", Reason.BUSY, "There were too many requests."),
        (403, "ollama cloud is disabled: remote model is unavailable", Reason.CLOUD_OFF, None),
        (500, "llama-server reported out-of-memory during startup", Reason.OUT_OF_MEMORY, None),
    ],
)
def test_words_of_a_refusal(status: int, text: str, reason: Reason, title: str | None) -> None:
    error = refusal(status, text)
    assert error.reason is reason
    assert title is None or error.title == title
    assert error.hint
    assert "{" not in error.title


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("401: unauthorized", Reason.NOT_ALLOWED),
        ("501: <!DOCTYPE HTML>… this method does not support that", Reason.REGISTRY_FAILED),
        ("open /m/manifests/r/library/nope/latest: no such file or directory", Reason.NO_SUCH_MODEL),
        ("open C:\\m\\manifests\\nope: The system cannot find the path specified.", Reason.NO_SUCH_MODEL),
        (f"open /m/blobs/sha256-{'1' * 64}: no such file or directory", Reason.DAMAGED_MODEL),
        ("supplied file was not in GGUF format", Reason.BAD_REQUEST),
        ("unsupported quantization type Q9 - supported types are F32", Reason.BAD_REQUEST),
        ('Head "https://h:1/v2/": tls: first record does not look like a TLS handshake', Reason.REGISTRY_FAILED),
    ],
)
def test_words_of_a_push_and_a_create(text: str, reason: Reason) -> None:
    error = InlineError(text)
    assert error.reason is reason
    assert error.hint


def test_an_unknown_text_is_shown_shortened_and_on_one_line() -> None:
    error = InlineError("a\nb " + "c" * 10_000)
    assert "a b ccc" in error.title
    assert len(error.title) < 500
    assert len(error.detail) < 10_000


def recorded_error_texts() -> list[tuple[str, int, str]]:
    found = []
    for path in sorted(RECORDINGS.glob("*/*.json")):
        response = json.loads(path.read_text(encoding="utf-8")).get("response", {})
        for text in [response.get("body") or "", *(line for _, line in response.get("lines", ()))]:
            value = json.loads(text) if text.startswith("{") else {}
            if "error" in value and not isinstance(value["error"], dict):
                found.append((f"{path.parent.name}/{path.stem}", response["status"], value["error"]))
    return found


@pytest.mark.parametrize(
    ("status", "text"), [pytest.param(status, text, id=name) for name, status, text in recorded_error_texts()]
)
def test_every_recorded_error_has_a_sentence_without_json(status: int, text: str) -> None:
    error = InlineError(text) if status == 200 else refusal(status, text)
    assert "{" not in error.title
    assert error.title[0].isupper()
    assert error.hint
    assert error.reason is not Reason.OTHER
    assert isinstance(error, ModelNotFound) == (status == 404)
