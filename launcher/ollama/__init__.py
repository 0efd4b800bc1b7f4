"""Ollama's HTTP API for Python: a typed, asynchronous client. A public interface, usable without the rest.

::

    from launcher.ollama import Client

    async with Client() as client:
        print((await client.version()).version)

Knows the server only by what it answers: nothing here starts, stops or looks for one.
"""

from __future__ import annotations

from launcher.domain.address import Address, InvalidAddress
from launcher.domain.names import InvalidModelName, ModelName
from launcher.ollama.client import Client, ServerVersion
from launcher.ollama.config import Limits, Timeouts
from launcher.ollama.errors import (
    CutStream,
    InlineError,
    ModelNotFound,
    NotRunning,
    OllamaError,
    ProtocolBroken,
    Reason,
    Refused,
    RegistryFailed,
    TimedOut,
)
from launcher.ollama.registry import Layer, Manifest, Registry
from launcher.ollama.requests import Format, Image, Options, Think
from launcher.ollama.wire.inference import (
    ChatAnswer,
    EmbedAnswer,
    EmbeddingAnswer,
    GenerateAnswer,
    LoadAnswer,
    Message,
    TokenLogprob,
    ToolCall,
    ToolCallFunction,
)
from launcher.ollama.wire.models import ModelDetails, ModelInfo, Running, RunningModel, ShownModel, Tags, Tensor
from launcher.ollama.wire.progress import Progress

__all__ = [
    "Address",
    "ChatAnswer",
    "Client",
    "CutStream",
    "EmbedAnswer",
    "EmbeddingAnswer",
    "Format",
    "GenerateAnswer",
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
    "NotRunning",
    "OllamaError",
    "Options",
    "Progress",
    "ProtocolBroken",
    "Reason",
    "Refused",
    "Registry",
    "RegistryFailed",
    "Running",
    "RunningModel",
    "ServerVersion",
    "ShownModel",
    "Tags",
    "Tensor",
    "Think",
    "TimedOut",
    "Timeouts",
    "TokenLogprob",
    "ToolCall",
    "ToolCallFunction",
]
