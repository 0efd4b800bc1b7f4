r"""What a run of the simulated server is told to do: sizes, speeds, faults. Read once, at start.

The environment variable ``LAUNCHER_DEMO_SCRIPT`` names a JSON file. Every member is optional; an unknown one, or one of
the wrong kind, stops the server with a sentence that names it.

*Sizes are those of the real thing*: ``scale`` multiplies them (weights, parts, byte counts of faults, free space) and
the server's own waits (stall, retry, load, prune age). Nothing else is scaled: rates, the line interval, and times
that are the world's and not the server's (``for_s``, ``after_s``, ``delay_s``) are taken as they stand.

::

    {
      "scale": 0.01,                 factor, 0 < scale <= 1; default 1
      "seed": 7,                     chooses where the real server is a race; default: by chance
      "version": "0.33.0",
      "line_interval_ms": 60,        between two lines of a download
      "rate_bytes_per_s": 30000000,  of one download, over all its parts
      "hash_bytes_per_s": 1700000000,
      "load_s": 1.5,                 scaled; default: by the size of the weights
      "tokens_per_s": 30,
      "gpu": {"name": "NVIDIA GeForce RTX 4070", "library": "CUDA", "total_bytes": 12000000000},   default: none
      "free_bytes": 200000000,       room for downloads, scaled; default: what the disk has, which is not looked at

      "start": {
        "silent_s": 6,               TCP accepts, HTTP does not answer
        "exit_code": 1,              end instead of serving, after silent_s
        "stderr": "Error: …\n"        printed before that end
      },
      "crash": {                     end by itself, runners left behind
        "after_s": 3,                counted from the first moment HTTP is served
        "exit_code": 2,              or
        "signal": "SIGSEGV",         default SIGKILL
        "stderr": "panic: …\n",
        "once": "/path/of/a/mark"    only if this file is not there yet; it is made
      },
      "stop": {
        "ignore": true,              SIGTERM and SIGINT do nothing
        "delay_s": 2                 … or take effect later
      },
      "answers": {
        "delay_s": 0.2,              before every answer
        "silent": {"after_s": 3, "for_s": 5},      nothing is answered or streamed meanwhile
        "garbage": ["/api/tags"],    routes that answer 200 with something that is not JSON
        "tokens": 5000,              how long each answer in words is; default: as long as its text
        "tools": "always",           once (default): a tool is called when the last message is a person's; always; never
        "faults": [ … ]              of the inference, see below
      },
      "account": {                   what the server says of its account at ollama.com
        "state": "signed_in",        offline (default: ollama.com cannot be reached), signed_out, signed_in
        "name": "…", "email": "…", "plan": "free"
      },
      "web": {                       what an account finds there
        "results": [{"title": "…", "url": "…", "content": "…"}],
        "pages": {"https://…": {"title": "…", "content": "…", "links": ["…"]}}
      },
      "registry": {
        "fails": "down",             down (connection refused), offline (no such host), proxy (HTTPS_PROXY is gone),
                                     a status such as 500, or 401
        "body": "…",                 of that status; the address of that proxy
        "insecure_only": true        hosts with a port speak plain http: refused without "insecure"
      },
      "models": {                    added to the built-in ones; any name the grammar allows
        "localhost:5005/library/big": {
          "size_bytes": 756461696,   the weights; or "layers": see registry.py
          "template": "…", "license": "…", "system": "…", "params": {…},
          "family": "llama", "parameter_size": "1M", "quantization": "F16", "context_length": 4096,
          "embedding_length": 64, "capabilities": ["completion"]
        }
      },
      "faults": [                    of the registry, on the weights of a model
        {"fault": "stall",    "at_bytes": 309000000, "for_s": 7},
        {"fault": "cut",      "after_bytes": 30000000, "for_s": 8},
        {"fault": "rollback", "after_bytes": 30000000, "times": 3},
        {"fault": "error",    "at_bytes": 1000000, "text": "…"},
        {"fault": "crash",    "at_bytes": 1000000},
        {"fault": "corrupt"}
      ]
    }

A fault may carry ``model`` (else it meets every model) and ``times``, how often it happens (0: without end).
``at_bytes`` counts what is there of the whole layer; ``after_bytes`` what one connection, that is one attempt at one
part, has delivered; ``for_s`` of a cut and a rollback counts from the first byte of the layer.

- *stall*: no more bytes for ``for_s``, or until the connection is opened anew (the server itself does that after 30 s,
  scaled). Once, unless ``times`` says otherwise.
- *cut*: the connection breaks in the middle; what came is kept (``unexpected EOF``). Without end by default.
- *rollback*: the connection ends early but cleanly; what came is thrown away (``EOF``). Without end by default.
- *error*: the pull ends with this text, its progress kept. Once by default.
- *crash*: as ``crash`` above. Once by default, and a crashed server has forgotten that it crashed.
- *corrupt*: the bytes are not those of the digest. Without end by default.

Faults of the inference carry ``model`` and ``times`` as well (1 by default), ``path`` (else they meet every route that
runs a model, those under ``/v1`` by the route of ``/api`` that stands behind them; *html* and *redirect* take any path)
and ``after_tokens``, how many lines of the answer come before::

    {"fault": "busy"}                                            503, before anything else
    {"fault": "html", "status": 502}                             a page of some proxy; 200 by default
    {"fault": "redirect", "location": "http://127.0.0.1:1/"}     307
    {"fault": "out_of_memory", "fits_num_ctx": 2048, "fits_alone": true, "times": 0}
    {"fault": "load_error", "text": "…"}                         the load fails with this text
    {"fault": "error", "after_tokens": 5, "text": "…"}           a line with an error, and the end
    {"fault": "cut", "after_tokens": 5}                          the connection breaks
    {"fault": "no_done", "after_tokens": 5}                      a clean end without the last line
    {"fault": "bad_utf8", "after_tokens": 5}                     a line that is not UTF-8, then the rest
    {"fault": "long_line", "after_tokens": 5, "bytes": 10000000}    a token of that size, then the rest
    {"fault": "stall", "after_tokens": 5, "for_s": 3}            silence, then the rest
    {"fault": "endless", "after_tokens": 5}                      tokens without end, as fast as they are read
    {"fault": "endless_line", "after_tokens": 5}                 … and without the end of the line

- *out_of_memory*: the load fails, unless the context is not longer than ``fits_num_ctx``, or, with ``fits_alone``,
  no other model is loaded. With ``"times": 0`` it is as a machine that is too small; without either of the two
  members nothing helps.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from launcher.errors import InvalidInput

if TYPE_CHECKING:
    from launcher.demo.script_rare import AccountScript, AnswerFaultScript, WebScript

SCRIPT_VARIABLE = "LAUNCHER_DEMO_SCRIPT"
DEFAULT_RATE_BYTES_PER_S = 30_000_000.0
FAULT_KINDS = ("stall", "cut", "rollback", "error", "crash", "corrupt")
TOOL_USES = ("once", "always", "never")


class InvalidScript(InvalidInput):
    """The script file cannot be used."""


@dataclass(frozen=True, slots=True)
class StartScript:
    """How the start goes."""

    silent_s: float = 0.0
    exit_code: int | None = None
    stderr: str = ""


@dataclass(frozen=True, slots=True)
class CrashScript:
    """How the server ends by itself."""

    after_s: float | None = None
    exit_code: int | None = None
    signal: str = "SIGKILL"
    stderr: str = ""
    once: str | None = None


@dataclass(frozen=True, slots=True)
class StopScript:
    """How the server takes SIGTERM and SIGINT."""

    ignore: bool = False
    delay_s: float = 0.0


@dataclass(frozen=True, slots=True)
class SilenceScript:
    """When nothing is answered, counted from the first moment HTTP is served."""

    after_s: float
    for_s: float


@dataclass(frozen=True, slots=True)
class AnswersScript:
    """What is wrong with the answers."""

    delay_s: float = 0.0
    silent: SilenceScript | None = None
    garbage: tuple[str, ...] = ()
    tokens: int = 0
    tools: str = "once"
    faults: tuple[AnswerFaultScript, ...] = ()


@dataclass(frozen=True, slots=True)
class RegistryScript:
    """What is wrong with the registry."""

    fails: str | None = None
    body: str = ""
    insecure_only: bool = False


@dataclass(frozen=True, slots=True)
class Gpu:
    """A graphics card to pretend."""

    name: str
    library: str
    total_bytes: int


@dataclass(frozen=True, slots=True)
class FaultScript:
    """One fault of the registry; byte counts are scaled already."""

    fault: str
    model: str | None = None
    at_bytes: int = 0
    after_bytes: int = 0
    for_s: float | None = None
    times: int = 0
    text: str = ""


@dataclass(frozen=True, slots=True)
class Script:
    """All a run is told; byte counts are scaled already, waits are scaled by :meth:`wait_s`."""

    scale: float = 1.0
    seed: int | None = None
    version: str = "0.33.0"
    line_interval_ms: float = 60.0
    rate_bytes_per_s: float = DEFAULT_RATE_BYTES_PER_S
    hash_bytes_per_s: float = 1_700_000_000.0
    load_s: float | None = None
    tokens_per_s: float = 30.0
    gpu: Gpu | None = None
    free_bytes: int | None = None
    start: StartScript = field(default_factory=StartScript)
    crash: CrashScript = field(default_factory=CrashScript)
    stop: StopScript = field(default_factory=StopScript)
    answers: AnswersScript = field(default_factory=AnswersScript)
    registry: RegistryScript = field(default_factory=RegistryScript)
    account: AccountScript | None = None
    web: WebScript | None = None
    models: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    faults: tuple[FaultScript, ...] = ()

    def size(self, real_bytes: float) -> int:
        """Scale a size of the real thing; what is something stays something."""
        return max(1, round(real_bytes * self.scale)) if real_bytes > 0 else 0

    def wait_s(self, real_s: float) -> float:
        """Scale a wait of the real server."""
        return real_s * self.scale
