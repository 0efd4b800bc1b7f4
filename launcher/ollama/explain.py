"""What the server's own words mean to a person. Pure: text in, sentences out; knows no connection and no exception.

The texts are those of the server (server/routes.go, server/images.go, server/download.go, llm/status.go, 0.33); most
were seen on 0.33.0-rc2. The order of the rows decides: the first that matches wins.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from enum import Enum

_LONGEST_SHOWN = 400
_LONGEST_SEARCHED = 8_000
"""Logs of a crashed runner come in an error text: what matters is at its ends, and a search of megabytes takes long."""


class Reason(Enum):
    """Why the server refused or gave up, as far as somebody may act on it."""

    NO_SUCH_MODEL = "no_such_model"
    """No such model on the server, or, in a pull, in the registry."""
    INVALID_NAME = "invalid_name"
    REGISTRY_UNREACHABLE = "registry_unreachable"
    REGISTRY_FAILED = "registry_failed"
    NOT_ALLOWED = "not_allowed"
    NO_SPACE = "no_space"
    DIGEST_MISMATCH = "digest_mismatch"
    RETRIES_EXCEEDED = "retries_exceeded"
    DAMAGED_PARTIAL = "damaged_partial"
    """What an earlier download left behind cannot be used: its files must go before another try can work."""
    OUT_OF_MEMORY = "out_of_memory"
    BUSY = "busy"
    NOT_CAPABLE = "not_capable"
    CONTEXT_TOO_LONG = "context_too_long"
    RUNNER_FAILED = "runner_failed"
    DAMAGED_MODEL = "damaged_model"
    """An installed model's file is not what it should be."""
    CANCELLED = "cancelled"
    """A pull joined one that was just being closed: it works at once, or a moment later."""
    BAD_REQUEST = "bad_request"
    """What was sent cannot be meant: an option of the wrong type, a file of the wrong kind. The same fails again."""
    TOO_OLD = "too_old"
    CLOUD_OFF = "cloud_off"
    CLOUD_UNREACHABLE = "cloud_unreachable"
    """The server cannot reach ollama.com, which runs the model, searches the web or knows the account."""
    HOST_GUARD = "host_guard"
    NO_SUCH_ROUTE = "no_such_route"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class Explanation:
    """A failure in words for people."""

    reason: Reason
    title: str
    hint: str


@dataclass(frozen=True, slots=True)
class _Row:
    pattern: str
    reason: Reason
    title: str
    hint: str


_KEPT = "What was downloaded is kept: pull again to go on."

_DAMAGED = _Row(
    # Only the whole text: "max retries exceeded: unexpected EOF" is a bad connection, not a bad file.
    r"\A(unexpected )?EOF\Z|-partial-\d+: no such file|\Ainvalid character .* looking for",
    Reason.DAMAGED_PARTIAL,
    "What an earlier download left behind is damaged.",
    "Restart Ollama from the launcher, which mends that; then pull again.",
)

_AFTER_A_STOP = "Try again; if it stays, choose a smaller model or context, and look into the server's log."

_OUT_OF_MEMORY = _Row(
    # llm/status.go lists these; compared without regard to case there, too.
    r"out.of.memory|out of device memory|cudaMalloc failed|hipMalloc failed|failed to allocate|allocation failed"
    r"|not enough memory|insufficient memory|erroroutofmemory|unable to load full model on GPU"
    r"|model requires .* but only .* available",
    Reason.OUT_OF_MEMORY,
    "There is not enough memory for this model.",
    "Unload other models, choose a smaller one, or a smaller context.",
)

_ROWS: tuple[_Row, ...] = (
    _Row(
        r"pull model manifest: file does not exist",
        Reason.NO_SUCH_MODEL,
        "The registry knows no such model.",
        "Check the spelling and the tag; https://ollama.com/library lists what there is.",
    ),
    _Row(
        # llama-server's own words, behind its end. Before those about a model that is not found: a path may say so.
        r"unknown model architecture",
        Reason.TOO_OLD,
        "This version of Ollama does not know this kind of model.",
        "Update Ollama.",
    ),
    _Row(
        r"invalid (file )?magic|exceeds file size|corrupted or incomplete|tensor .* data is not within the file bounds",
        Reason.DAMAGED_MODEL,
        "The file of this model is damaged.",
        "Remove the model and pull it again.",
    ),
    _OUT_OF_MEMORY,
    _Row(
        r"llama-server process has terminated",
        Reason.RUNNER_FAILED,
        "The program that runs the model has stopped.",
        _AFTER_A_STOP,
    ),
    _Row(
        r"\Acontext canceled\Z",
        Reason.CANCELLED,
        "The server had not yet closed an earlier download of the same.",
        "Pull again to go on.",
    ),
    _Row(
        # Of a push, or a copy from under the server's hands; the second is what Windows says (not seen).
        r"manifests[/\\].*(no such file or directory|cannot find the (file|path))",
        Reason.NO_SUCH_MODEL,
        "This model is not installed.",
        "Check the name: it must have the tag, and the host if it has one.",
    ),
    _Row(
        r"blobs[/\\]sha256-[0-9a-f]{64}: (no such file or directory|.*cannot find the (file|path))",
        Reason.DAMAGED_MODEL,
        "The server lacks a file of this model.",
        "Pull the model again; for a new one, upload its file first.",
    ),
    _Row(
        r"model .*not found|no such model",
        Reason.NO_SUCH_MODEL,
        "This model is not installed.",
        "Pull it first, or choose one of those that are installed.",
    ),
    _Row(
        r"invalid model name|^(name|source|destination) \".*\" is invalid|model is required",
        Reason.INVALID_NAME,
        "This cannot be the name of a model.",
        "Names look like llama3.2:1b, user/model:tag or hf.co/user/repository:Q4_K_M.",
    ),
    _Row(
        r"use either :local or :cloud",
        Reason.INVALID_NAME,
        "A name can end in :local or in :cloud, not in both.",
        "Leave one of them out.",
    ),
    _Row(
        # The second is what Windows says (not seen).
        r"no space left on device|not enough space on the disk",
        Reason.NO_SPACE,
        "The disk of the models folder is full.",
        f"Make room, for example by removing a model. {_KEPT}",
    ),
    _Row(
        # Of an upload; the next row is about downloads.
        r"digest mismatch, expected",
        Reason.BAD_REQUEST,
        "What has arrived is not what its digest says.",
        "Was the file changed in the meantime? Upload it again.",
    ),
    _Row(
        r"invalid digest format",
        Reason.BAD_REQUEST,
        "This cannot be the digest of a file.",
        "A digest is sha256: and 64 hex digits.",
    ),
    _Row(
        r"digest mismatch|size mismatch",
        Reason.DIGEST_MISMATCH,
        "What was downloaded is not what the registry announced.",
        # The first bad blob ends the check of all, and a later pull takes for good what is there (server/images.go,
        # 0.33).
        "Pull again: the bad part is fetched anew. The other parts were not checked: if the model is missing or does "
        "not work afterwards, remove it and pull once more.",
    ),
    _Row(
        r"max retries exceeded",
        Reason.RETRIES_EXCEEDED,
        "The connection to the registry broke too often.",
        f"Check the network. {_KEPT}",
    ),
    _Row(
        # With its port it is not the place where keys for pulls are made. Both seen on 0.33.0-rc2.
        r'"https://ollama\.com:443/|account unavailable',
        Reason.CLOUD_UNREACHABLE,
        "The server cannot reach ollama.com.",
        "Check that the computer of the server is online, or use a local model.",
    ),
    _Row(
        r"not currently signed in",
        Reason.NOT_ALLOWED,
        "This Ollama server is not signed in at ollama.com.",
        "Sign in with “ollama signin”.",
    ),
    _Row(
        r"error signing out",
        Reason.CLOUD_UNREACHABLE,
        "The server could not sign out at ollama.com.",
        "Check that the computer of the server is online, then try again.",
    ),
    _Row(
        r"proxyconnect",
        Reason.REGISTRY_UNREACHABLE,
        "The proxy that the server was told to use does not answer.",
        "Start the proxy, or start the server without HTTPS_PROXY.",
    ),
    _Row(
        r"first record does not look like a TLS handshake|server gave HTTP response to HTTPS client",
        Reason.REGISTRY_FAILED,
        "The registry speaks plain HTTP.",
        "If it is yours and the network is safe, allow the insecure connection (--insecure).",
    ),
    _Row(
        r"x509|certificate",
        Reason.REGISTRY_FAILED,
        "The certificate of the registry cannot be trusted.",
        "Check the date of this computer, and whether a proxy or virus scanner opens secure connections.",
    ),
    _Row(
        r"lookup .*(no such host|server misbehaving)",
        Reason.REGISTRY_UNREACHABLE,
        "The server cannot find the registry in the network.",
        f"Check that the computer is online, and the spelling of the host. {_KEPT}",
    ),
    _Row(
        r"dial tcp|i/o timeout|network is unreachable|connection (refused|reset)|no route to host|tls:",
        Reason.REGISTRY_UNREACHABLE,
        "The server cannot reach the registry.",
        f"Check the network and, behind a proxy, the server's HTTPS_PROXY. {_KEPT}",
    ),
    _Row(
        r"pull model manifest: 412",
        Reason.TOO_OLD,
        "This model needs a newer Ollama.",
        "Update Ollama, then pull again.",
    ),
    _Row(
        r"pull model manifest: (401|403)|unauthorized|realm host|id_ed25519",
        Reason.NOT_ALLOWED,
        "The registry gives no access to this model.",
        "Sign in with “ollama signin”, and check that you may use this model.",
    ),
    _Row(
        r"pull model manifest: 429",
        Reason.REGISTRY_FAILED,
        "The registry asks for a pause: there were too many requests.",
        "Try again in a few minutes.",
    ),
    _Row(
        # Of a push (server/upload.go, 0.33).
        r"\A(401|403): ",
        Reason.NOT_ALLOWED,
        "The registry does not let this server in.",
        "Sign in with “ollama signin”, and push to a name that begins with your own.",
    ),
    _Row(
        r"\A\d{3}: ",
        Reason.REGISTRY_FAILED,
        "The registry answered with an error.",
        "Try again later; if it stays, check the name.",
    ),
    _Row(
        r"pull model manifest: \d{3}",
        Reason.REGISTRY_FAILED,
        "The registry answered with an error.",
        "Try again later; if it stays, check the name.",
    ),
    _Row(
        r"requires MLX",
        Reason.NOT_CAPABLE,
        "This model runs only on a Mac with Apple silicon.",
        "Choose another variant of the model.",
    ),
    _Row(
        r"server busy|maximum pending requests exceeded",
        Reason.BUSY,
        "The server has too much to do at the moment.",
        "Try again in a moment, or raise OLLAMA_MAX_QUEUE.",
    ),
    _Row(
        r"exceed_context_size_error|exceeds the (available )?context|longer than the context length",
        Reason.CONTEXT_TOO_LONG,
        "The text is longer than the model's context.",
        "Shorten it, or load the model with a larger context.",
    ),
    _Row(
        r"raw mode does not support",
        Reason.BAD_REQUEST,
        "A raw prompt goes without template, system text and context.",
        "Leave them out, or do not ask for raw.",
    ),
    _Row(
        r"does not support embeddings",
        Reason.NOT_CAPABLE,
        "This model gives no embeddings.",
        "Choose a model that is made for them.",
    ),
    _Row(
        r"does not support (chat|generate|completion)",
        Reason.NOT_CAPABLE,
        "This model writes no text.",
        "Choose another model; this one may be made for embeddings or images.",
    ),
    _Row(
        r"does not support thinking",
        Reason.NOT_CAPABLE,
        "This model cannot think before it answers.",
        "Switch thinking off, or choose a model with this capability.",
    ),
    _Row(
        r"does not support tools",
        Reason.NOT_CAPABLE,
        "This model cannot use tools.",
        "Leave them out, or choose a model with this capability.",
    ),
    _Row(
        r"does not support (multimodal|vision|images?\b)|image input is not supported",
        Reason.NOT_CAPABLE,
        "This model cannot see images.",
        "Leave them out, or choose a model with this capability.",
    ),
    _Row(
        r"does not support insert",
        Reason.NOT_CAPABLE,
        "This model cannot fill in between two texts.",
        "Leave the suffix out, or choose a model with this capability.",
    ),
    _Row(
        r"does not support|not currently supported|cannot run this remote model",
        Reason.NOT_CAPABLE,
        "This model cannot do that.",
        "Choose a model with this capability.",
    ),
    _Row(
        r"llama-server binary not found|llama-quantize",
        Reason.RUNNER_FAILED,
        "The installation of Ollama is incomplete: a program that runs models is missing.",
        "Install Ollama again.",
    ),
    _Row(
        r"incompatible with your version of Ollama",
        Reason.TOO_OLD,
        "This model does not fit this version of Ollama.",
        "Update Ollama, or pull the model again.",
    ),
    _Row(
        r"model runner has unexpectedly stopped|error was encountered while running the model|has terminated"
        r"|timed out waiting for llama-server|error starting llama-server",
        Reason.RUNNER_FAILED,
        "The program that runs the model has stopped.",
        _AFTER_A_STOP,
    ),
    _Row(
        r"ollama cloud is disabled",
        Reason.CLOUD_OFF,
        "Models that run at ollama.com are switched off on this server.",
        "Choose a local model, or start the server without OLLAMA_NO_CLOUD.",
    ),
    _Row(
        r"unsupported quantization type|quantization is only supported|cannot quantize",
        Reason.BAD_REQUEST,
        "The model cannot be quantized like this.",
        "From F32, F16 or BF16 it can be made Q8_0, Q4_K_M or Q4_K_S.",
    ),
    _Row(
        r"not in GGUF format|unknown type|no files provided to convert",
        Reason.BAD_REQUEST,
        "This file is no model that Ollama can read.",
        "It takes files in GGUF format, and folders of safetensors.",
    ),
    _Row(
        r"neither 'from' or 'files' was specified",
        Reason.BAD_REQUEST,
        "It is not said what the model is to be made of.",
        "Name another model or files.",
    ),
    _Row(
        r"file path must be relative",
        Reason.BAD_REQUEST,
        "The name of a file must not lead to another folder.",
        "Use the bare name of the file.",
    ),
    _Row(
        r"only one adapter is currently supported",
        Reason.BAD_REQUEST,
        "A model can have one adapter only.",
        "Leave the others out.",
    ),
    _Row(
        r"template error|template: ",
        Reason.BAD_REQUEST,
        "The template of the model has a mistake.",
        "Details say where; “ollama show --template” shows templates that work.",
    ),
    _Row(
        r"option \".*\" must be of type",
        Reason.BAD_REQUEST,
        "An option has a value of the wrong kind.",
        "Details say which, and what it must be.",
    ),
    _Row(
        r"invalid format: ",
        Reason.BAD_REQUEST,
        "The wanted format is neither “json” nor a JSON schema.",
        "Use one of them, or leave it out.",
    ),
    _Row(
        r"invalid think value",
        Reason.BAD_REQUEST,
        "Thinking can be on, off, low, medium, high or max.",
        "Use one of them, or leave it out.",
    ),
    _Row(
        r"time: (invalid|missing|unknown)",
        Reason.BAD_REQUEST,
        "This is no length of time.",
        "Write 300, 10m or 1h30m; 0 is at once, and -1 is for ever.",
    ),
    _Row(
        # Of llama-server (tools/mtmd), not seen.
        r"(load|decode|process|invalid) image",
        Reason.BAD_REQUEST,
        "One of the images cannot be read.",
        "Use PNG, JPEG or WebP.",
    ),
    _Row(
        r"top_logprobs must be",
        Reason.BAD_REQUEST,
        "Likelihoods can be told of 0 to 20 tokens.",
        "Ask for fewer.",
    ),
    _Row(
        r"unknown (renderer|parser)",
        Reason.TOO_OLD,
        "This version of Ollama does not know how to talk to this model.",
        "Update Ollama.",
    ),
    _Row(
        r"json: cannot unmarshal|\Ainvalid character .* looking for|missing request body|\Aunexpected end of JSON",
        Reason.BAD_REQUEST,
        "The server does not understand what it was asked for.",
        "It may be older than this program: check its version.",
    ),
)


def explain_inline(text: str) -> Explanation:
    """Put the error line of a stream into words."""
    # Of a refusal, the same words are about the request: it was no JSON.
    return _explain(text, (_DAMAGED, *_ROWS))


def _explain(text: str, rows: tuple[_Row, ...] = _ROWS) -> Explanation:
    """Find the row; a text that none knows is shown as it is."""
    text = shortened(text)
    plain = unwrap(text)
    for row in rows:
        # Compiled at the first error, not at the start of every command: that would take 4 ms of it.
        if re.search(row.pattern, text, re.IGNORECASE) or re.search(row.pattern, plain, re.IGNORECASE):
            return Explanation(row.reason, row.title, row.hint)
    shown = _on_one_line(plain) or "nothing more"
    return Explanation(Reason.OTHER, f"Ollama reports an error: {shown}", "")


def explain_refusal(status: int, text: str) -> Explanation:
    """Put an answer with an error status into words; ``text`` is its error text or body, possibly empty."""
    if status == 403 and not text:
        # allowedHostsMiddleware and CORS answer without a body (server/routes.go, 0.33).
        return Explanation(
            Reason.HOST_GUARD,
            "The server refuses requests under this host name.",
            "Use its IP address, or let it listen on more than this computer (OLLAMA_HOST).",
        )
    if status in (404, 405) and text.lower().startswith((f"{status} page not found", f"{status} method not allowed")):
        return Explanation(
            Reason.NO_SUCH_ROUTE,
            "This server does not know what it was asked for.",
            "It may be too old, or something other than Ollama: check its version and the address.",
        )
    explanation = _explain(text)
    if explanation.reason is not Reason.OTHER:
        return explanation
    if status == 401:
        return Explanation(Reason.NOT_ALLOWED, "The server asks for a key or a sign-in.", "Set OLLAMA_API_KEY.")
    if status == 402:
        # As 429, passed on from ollama.com (not seen).
        return Explanation(Reason.NOT_ALLOWED, "The plan of this account does not cover that.", "See ollama.com.")
    if status == 429:
        return Explanation(Reason.BUSY, "There were too many requests.", "Try again in a few minutes.")
    if status == 503:
        return Explanation(Reason.BUSY, "The server is not ready for this request.", "Try again in a moment.")
    shown = _on_one_line(unwrap(shortened(text)))
    title = f"Ollama refused the request: {shown}" if shown else f"Ollama refused the request (status {status})."
    return Explanation(Reason.OTHER, title, "")


def unwrap(text: str) -> str:
    """Replace JSON that ends an error text by the message inside it, however deep.

    Registries and ``llama-server`` answer with JSON, which the server puts into its own error text as it is::

        500: {"errors": [{"code": "X", "message": "made to fail"}]}      ->  500: made to fail
    """
    for _ in range(5):
        start = text.find("{")
        if start < 0:
            break
        try:
            message = _message_in(json.loads(text[start:]))
        except (ValueError, RecursionError):
            break
        if message is None:
            break
        text = text[:start] + message
    return text.strip()


def _message_in(value: object) -> str | None:
    """Find the text that a JSON error object carries; None when it is none."""
    for _ in range(8):
        if isinstance(value, str):
            return value
        if isinstance(value, list) and value:
            value = value[0]
        elif isinstance(value, dict):
            value = next((value[key] for key in ("error", "message", "errors", "detail") if value.get(key)), None)
        else:
            return None
    return None


def shortened(text: str) -> str:
    """Keep both ends of a text that is too long to be looked at."""
    half = _LONGEST_SEARCHED // 2
    return text if len(text) <= _LONGEST_SEARCHED else f"{text[:half]} … {text[-half:]}"


def _on_one_line(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _LONGEST_SHOWN else line[:_LONGEST_SHOWN] + "…"
