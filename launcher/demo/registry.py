"""The registry that the simulated server pulls from: which models there are, of which layers, and what goes wrong.

A model in the script may give ``layers`` instead of ``size_bytes``, in the order of its manifest::

    "layers": [{"type": "model", "size_bytes": 756461696}, {"type": "template", "text": "{{ .Prompt }}"}]

``type`` is the last word of the media type (model, projector, adapter, template, license, params, system, messages).
A layer with a text is true content with a true digest and is never scaled; one with a size is weights. Models with the
same word in ``weights`` (default: the model's name) and the same sizes share them.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from launcher.demo.golang import dumps
from launcher.demo.script import FaultScript, InvalidScript, Script
from launcher.domain.names import InvalidModelName, ModelName

MANIFEST_MEDIA_TYPE = "application/vnd.docker.distribution.manifest.v2+json"
CONFIG_MEDIA_TYPE = "application/vnd.docker.container.image.v1+json"
LAYER_MEDIA_TYPE = "application/vnd.ollama.image."
_WEIGHT_TYPES = ("model", "projector", "adapter")
_DEFAULT_TEMPLATE = "{{ if .System }}<|system|>\n{{ .System }}\n{{ end }}<|user|>\n{{ .Prompt }}\n<|assistant|>\n"
_DEFAULT_LICENSE = "A simulated model: it has no weights, and this licence licenses nothing.\n"

_LLAMA = {
    "family": "llama",
    "context_length": 131072,
    "template": _DEFAULT_TEMPLATE,
    "params": {"stop": ["<|user|>"], "temperature": 0.8},
}
BUILT_IN: Mapping[str, Mapping[str, Any]] = {
    "llama3.2:1b": {
        **_LLAMA,
        "size_bytes": 1_321_082_688,
        "parameter_size": "1.2B",
        "quantization": "Q8_0",
        "embedding_length": 2048,
        "block_count": 16,
        "capabilities": ["completion", "tools"],
    },
    "llama3.2:latest": {
        **_LLAMA,
        "size_bytes": 2_019_377_376,
        "parameter_size": "3.2B",
        "quantization": "Q4_K_M",
        "embedding_length": 3072,
        "block_count": 28,
        "capabilities": ["completion", "tools"],
    },
    "qwen3:8b": {
        "family": "qwen3",
        "size_bytes": 5_225_374_304,
        "parameter_size": "8.2B",
        "quantization": "Q4_K_M",
        "context_length": 40960,
        "embedding_length": 4096,
        "block_count": 36,
        "template": _DEFAULT_TEMPLATE,
        "params": {"stop": ["<|user|>"], "temperature": 0.6, "top_k": 20, "top_p": 0.95},
        "capabilities": ["completion", "tools", "thinking"],
    },
    "gemma3:4b": {
        "family": "gemma3",
        "size_bytes": 3_338_792_448,
        "parameter_size": "4.3B",
        "quantization": "Q4_K_M",
        "context_length": 131072,
        "embedding_length": 2560,
        "block_count": 34,
        "template": _DEFAULT_TEMPLATE,
        "params": {"stop": ["<|user|>"], "temperature": 1.0, "top_k": 64},
        "capabilities": ["completion", "vision"],
    },
    "nomic-embed-text:latest": {
        "family": "nomic-bert",
        "size_bytes": 274_290_656,
        "parameter_size": "137M",
        "quantization": "F16",
        "context_length": 2048,
        "embedding_length": 768,
        "block_count": 12,
        "params": {"num_ctx": 8192},
        "capabilities": ["embedding"],
    },
}
# One manifest under two names, as in the public registry.
_ALIASES = {"llama3.2:3b": "llama3.2:latest", "qwen3:latest": "qwen3:8b", "gemma3:latest": "gemma3:4b"}


@dataclass(frozen=True, slots=True)
class Layer:
    """One blob of a model."""

    media_type: str
    digest: str
    """``sha256:`` and 64 hex digits: of the content where there is one, else declared."""
    size_bytes: int
    content: bytes | None
    """None: weights, which have a size only."""


@dataclass(frozen=True, slots=True)
class Model:
    """One entry of the registry."""

    name: ModelName
    manifest: bytes
    layers: tuple[Layer, ...]
    """In the order of the manifest, the configuration last: the order of a pull."""


class Registry:
    """Every model that can be pulled, by its whole name, and every blob by its digest."""

    def __init__(self, script: Script) -> None:
        self._models: dict[str, Model] = {}
        self._blobs: dict[str, Layer] = {}
        self.faults = Faults(script)
        aliases = {alias: {**BUILT_IN[name], "weights": name} for alias, name in _ALIASES.items()}
        described: dict[str, Mapping[str, Any]] = {**BUILT_IN, **aliases, **script.models}
        for text, description in described.items():
            try:
                name = ModelName.parse(text)
            except InvalidModelName as error:
                raise InvalidScript(f"{text!r} in models is not the name of a model.") from error
            model = _build(name, _Description(text, description), script)
            self._models[name.key] = model
            self._blobs.update((layer.digest, layer) for layer in model.layers)

    def model(self, name: ModelName) -> Model | None:
        """Find a model by its whole name; None is the registry's 404."""
        return self._models.get(name.key)

    def model_at(self, namespace: str, model: str, tag: str) -> Model | None:
        """Find a model by the path of its manifest, whatever its host: all hosts are this one."""
        found = [
            one
            for one in self._models.values()
            if (one.name.namespace, one.name.model, one.name.tag) == (namespace, model, tag)
        ]
        return found[0] if found else None

    def blob(self, digest: str) -> Layer | None:
        """Find a blob by its digest."""
        return self._blobs.get(digest)

    def config_of(self, digest: str) -> Mapping[str, Any] | None:
        """Give what the configuration of a model says of its weights; None where these are no weights of ours."""
        layer = self._blobs.get(digest)
        if layer is None or layer.content is not None:
            return None
        for model in self._models.values():
            if model.layers[0].digest == digest and model.layers[-1].content is not None:
                config: Mapping[str, Any] = json.loads(model.layers[-1].content)
                return config
        return None

    def accept(
        self, name: ModelName, manifest: bytes, layers: Iterable[Mapping[str, Any]], contents: Mapping[str, bytes]
    ) -> None:
        """Take a model that was pushed; what is not in ``contents`` is weights, of which only the size is kept."""
        taken = []
        for one in layers:
            digest = str(one["digest"])
            taken.append(Layer(str(one["mediaType"]), digest, int(one["size"]), contents.get(digest)))
        self._models[name.key] = Model(name, manifest, tuple(taken))
        self._blobs.update((layer.digest, layer) for layer in taken)


class Faults:
    """What is still to go wrong. One object for the life of the server: a fault that has happened counts."""

    def __init__(self, script: Script) -> None:
        self._left: list[_Armed] = [_Armed(fault, _name_key(fault.model)) for fault in script.faults]

    def of(self, name: ModelName, kind: str) -> Iterator[FaultScript]:
        """List the faults of a kind that a model may still meet."""
        key = name.key
        for armed in self._left:
            if armed.fault.fault == kind and armed.key in (None, key) and not armed.spent:
                yield armed.fault

    def spend(self, fault: FaultScript) -> None:
        """Count that a fault has happened once."""
        for armed in self._left:
            if armed.fault is fault:
                armed.happened += 1


@dataclass(slots=True)
class _Armed:
    fault: FaultScript
    key: str | None
    happened: int = 0

    @property
    def spent(self) -> bool:
        return bool(self.fault.times) and self.happened >= self.fault.times


def _name_key(text: str | None) -> str | None:
    if text is None:
        return None
    try:
        return ModelName.parse(text).key
    except InvalidModelName as error:
        raise InvalidScript(f"{text!r} in faults is not the name of a model.") from error


class _Description:
    """The members of one model's description, checked one by one."""

    def __init__(self, name: str, members: Mapping[str, Any]) -> None:
        self._name = name
        self._members = members
        unknown = set(members) - _KNOWN_MEMBERS
        if unknown:
            raise InvalidScript(f"the model {name} has no member {min(unknown)!r}.")

    def get(self, member: str, kind: type | tuple[type, ...], default: Any) -> Any:
        value = self._members.get(member, default)
        if value is not default and (not isinstance(value, kind) or isinstance(value, bool)):
            raise InvalidScript(f"{member} of the model {self._name} is of the wrong kind.")
        return value


_KNOWN_MEMBERS = {
    *("size_bytes", "layers", "template", "license", "system", "params", "family", "parameter_size", "quantization"),
    *("context_length", "embedding_length", "block_count", "capabilities", "weights"),
}


def _build(name: ModelName, description: _Description, script: Script) -> Model:
    layers = list(_layers(name, description, script))
    weights = sum(layer.size_bytes for layer in layers if layer.content is None)
    config = _text_layer(CONFIG_MEDIA_TYPE, dumps(_config(description, layers, weights)))
    manifest = {
        "schemaVersion": 2,
        "mediaType": MANIFEST_MEDIA_TYPE,
        "config": _descriptor(config),
        "layers": [_descriptor(layer) for layer in layers],
    }
    return Model(name, dumps(manifest), (*layers, config))


def _layers(name: ModelName, description: _Description, script: Script) -> Iterator[Layer]:
    given = description.get("layers", list, None)
    seed = description.get("weights", str, name.display)
    if given is None:
        yield _weights(seed, "model", description.get("size_bytes", int, 100_000_000), script, 0)
        capabilities = description.get("capabilities", list, ["completion"])
        template = description.get("template", str, "{{ .Prompt }}" if "embedding" in capabilities else "")
        texts = {
            "template": template or _DEFAULT_TEMPLATE,
            "license": description.get("license", str, _DEFAULT_LICENSE),
            "system": description.get("system", str, ""),
        }
        for kind, text in texts.items():
            if text:
                yield _text_layer(LAYER_MEDIA_TYPE + kind, text.encode())
        params = description.get("params", dict, {})
        if params:
            yield _text_layer(LAYER_MEDIA_TYPE + "params", dumps(params))
        return
    for index, one in enumerate(given):
        if not isinstance(one, dict) or not isinstance(one.get("type"), str):
            raise InvalidScript(f"each layer of the model {name.display} needs a type.")
        kind, text = one["type"], one.get("text")
        if isinstance(text, str):
            yield _text_layer(LAYER_MEDIA_TYPE + kind, text.encode())
        elif isinstance(one.get("size_bytes"), int):
            yield _weights(seed, kind, one["size_bytes"], script, index)
        else:
            raise InvalidScript(f"each layer of the model {name.display} needs a text or size_bytes.")


def _weights(seed: str, kind: str, size_bytes: int, script: Script, index: int) -> Layer:
    size = script.size(size_bytes)
    # Of a namespace of its own: a blob of nothing must never pass for one of the public registry.
    digest = hashlib.sha256(f"simulated weights of {seed}, layer {index}, {size} bytes".encode()).hexdigest()
    return Layer(LAYER_MEDIA_TYPE + kind, f"sha256:{digest}", size, None)


def _text_layer(media_type: str, content: bytes) -> Layer:
    return Layer(media_type, f"sha256:{hashlib.sha256(content).hexdigest()}", len(content), content)


def _descriptor(layer: Layer) -> dict[str, Any]:
    return {"mediaType": layer.media_type, "digest": layer.digest, "size": layer.size_bytes}


def _config(description: _Description, layers: list[Layer], weights_bytes: int) -> dict[str, Any]:
    family = description.get("family", str, "llama")
    embedding_length = description.get("embedding_length", int, 1024)
    return {
        "model_format": "gguf",
        "model_family": family,
        "model_families": [family],
        "model_type": description.get("parameter_size", str, "1M"),
        "file_type": description.get("quantization", str, "F16"),
        "capabilities": description.get("capabilities", list, ["completion"]),
        "context_length": description.get("context_length", int, 4096),
        "embedding_length": embedding_length,
        "architecture": "amd64",
        "os": "linux",
        "rootfs": {"type": "layers", "diff_ids": [layer.digest for layer in layers]},
        # What a real server reads in the weights; ours have none.
        "simulated": {
            "block_count": description.get("block_count", int, 16),
            "head_count": max(1, embedding_length // 64),
            "weights_bytes": weights_bytes,
        },
    }
