"""Ollama's HTTP API for Python: a typed, asynchronous client. A public interface, usable without the rest.

::

    from launcher.ollama import Client

    async with Client() as client:
        print((await client.version()).version)

``SyncClient`` is the same for scripts, without ``await``; ``run_tools`` lets a model call functions;
``launcher.ollama.pydantic_ai`` makes models for Pydantic AI.

Knows the server only by what it answers: nothing here starts, stops or looks for one.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from launcher.domain.address import Address, InvalidAddress
from launcher.domain.names import InvalidModelName, ModelName
from launcher.ollama.client import Client, ServerVersion
from launcher.ollama.config import Limits, Timeouts
from launcher.ollama.errors import (
    CutStream,
    InlineError,
    ModelNotFound,
    NoModelInstalled,
    NotRunning,
    NotSignedIn,
    OllamaError,
    ProtocolBroken,
    Reason,
    Refused,
    RegistryFailed,
    TimedOut,
)
from launcher.ollama.registry import Layer, Manifest, Registry
from launcher.ollama.wire.models import (
    LoadAnswer,
    ModelDetails,
    ModelInfo,
    Running,
    RunningModel,
    ShownModel,
    Tags,
    Tensor,
)
from launcher.ollama.wire.progress import Progress

if TYPE_CHECKING:
    from launcher.ollama.blobs import BlobProgress, digest_of
    from launcher.ollama.check import HealthRecord
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
    from launcher.ollama.requests import Format, Image, Options, Think, ToolLike
    from launcher.ollama.rescue import Backoff, Recovery
    from launcher.ollama.sync import SyncClient
    from launcher.ollama.tokens import TokenCounts, estimate_tokens, token_counts
    from launcher.ollama.tools.loop import run_tools, stream_tools
    from launcher.ollama.tools.schema import BadArguments, NotATool, Tool
    from launcher.ollama.tools.steps import ToolEnded, ToolOutcome, ToolRun, ToolStarted, TooManyRounds
    from launcher.ollama.wire.account import (
        Account,
        CloudStatus,
        Recommendation,
        Recommendations,
        WebPage,
        WebResult,
        WebSearchAnswer,
    )
    from launcher.ollama.wire.inference import (
        ChatAnswer,
        EmbedAnswer,
        EmbeddingAnswer,
        GenerateAnswer,
        Message,
        TokenLogprob,
        ToolCall,
        ToolCallFunction,
    )
    from launcher.ollama.wire.openai import (
        V1ChatAnswer,
        V1ChatChunk,
        V1Choice,
        V1Delta,
        V1Embedding,
        V1Embeddings,
        V1Function,
        V1Message,
        V1Model,
        V1Models,
        V1ToolCall,
        V1Usage,
    )

__all__ = [
    "Account",
    "Address",
    "Backoff",
    "BadArguments",
    "BlobProgress",
    "ChatAnswer",
    "Client",
    "CloudStatus",
    "ConversationCut",
    "CutStream",
    "EmbedAnswer",
    "EmbeddingAnswer",
    "Format",
    "GenerateAnswer",
    "HealthRecord",
    "Image",
    "InlineError",
    "InvalidAddress",
    "InvalidModelName",
    "Layer",
    "Limits",
    "LoadAnswer",
    "Manifest",
    "Message",
    "ModelDetails",
    "ModelInfo",
    "ModelName",
    "ModelNotFound",
    "NoModelInstalled",
    "NotATool",
    "NotRunning",
    "NotSignedIn",
    "Notice",
    "OllamaError",
    "Options",
    "Progress",
    "ProtocolBroken",
    "PullingModel",
    "Reason",
    "Recommendation",
    "Recommendations",
    "Recovery",
    "Refused",
    "Registry",
    "RegistryFailed",
    "Retrying",
    "Running",
    "RunningModel",
    "ServerVersion",
    "ShownModel",
    "SmallerContext",
    "StartingServer",
    "SyncClient",
    "Tags",
    "Tell",
    "Tensor",
    "Think",
    "TimedOut",
    "Timeouts",
    "TokenCounts",
    "TokenLogprob",
    "TooManyRounds",
    "Tool",
    "ToolCall",
    "ToolCallFunction",
    "ToolEnded",
    "ToolLike",
    "ToolOutcome",
    "ToolRun",
    "ToolStarted",
    "Unloading",
    "V1ChatAnswer",
    "V1ChatChunk",
    "V1Choice",
    "V1Delta",
    "V1Embedding",
    "V1Embeddings",
    "V1Function",
    "V1Message",
    "V1Model",
    "V1Models",
    "V1ToolCall",
    "V1Usage",
    "WebPage",
    "WebResult",
    "WebSearchAnswer",
    "digest_of",
    "estimate_tokens",
    "run_tools",
    "stream_tools",
    "token_counts",
]

# What most programs do not need, or not at once, is imported when it is first used: it would take as long as all else.
_LATER = {
    "launcher.ollama.blobs": [
        "BlobProgress",
        "digest_of",
    ],
    "launcher.ollama.check": [
        "HealthRecord",
    ],
    "launcher.ollama.notices": [
        "ConversationCut",
        "Notice",
        "PullingModel",
        "Retrying",
        "SmallerContext",
        "StartingServer",
        "Tell",
        "Unloading",
    ],
    "launcher.ollama.requests": [
        "Format",
        "Image",
        "Options",
        "Think",
        "ToolLike",
    ],
    "launcher.ollama.rescue": [
        "Backoff",
        "Recovery",
    ],
    "launcher.ollama.sync": [
        "SyncClient",
    ],
    "launcher.ollama.tokens": [
        "TokenCounts",
        "estimate_tokens",
        "token_counts",
    ],
    "launcher.ollama.tools.loop": [
        "run_tools",
        "stream_tools",
    ],
    "launcher.ollama.tools.schema": [
        "BadArguments",
        "NotATool",
        "Tool",
    ],
    "launcher.ollama.tools.steps": [
        "TooManyRounds",
        "ToolEnded",
        "ToolOutcome",
        "ToolRun",
        "ToolStarted",
    ],
    "launcher.ollama.wire.account": [
        "Account",
        "CloudStatus",
        "Recommendation",
        "Recommendations",
        "WebPage",
        "WebResult",
        "WebSearchAnswer",
    ],
    "launcher.ollama.wire.inference": [
        "ChatAnswer",
        "EmbedAnswer",
        "EmbeddingAnswer",
        "GenerateAnswer",
        "Message",
        "TokenLogprob",
        "ToolCall",
        "ToolCallFunction",
    ],
    "launcher.ollama.wire.openai": [
        "V1ChatAnswer",
        "V1ChatChunk",
        "V1Choice",
        "V1Delta",
        "V1Embedding",
        "V1Embeddings",
        "V1Function",
        "V1Message",
        "V1Model",
        "V1Models",
        "V1ToolCall",
        "V1Usage",
    ],
}


def __getattr__(name: str) -> Any:
    for module, names in _LATER.items():
        if name in names:
            value = getattr(importlib.import_module(module), name)
            globals()[name] = value
            return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
