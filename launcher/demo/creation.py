"""One create from its first line to its last, as ``CreateHandler`` (server/create.go, 0.33) does it.

Weights are not converted: a new type is a new size and a new declared digest, behind the head of the old file.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from launcher.demo.download import Downloads
from launcher.demo.gguf import Gguf, NotGguf, read_gguf
from launcher.demo.golang import GoError, dumps, loads
from launcher.demo.pull import PullFailed, pull
from launcher.demo.registry import CONFIG_MEDIA_TYPE, LAYER_MEDIA_TYPE, MANIFEST_MEDIA_TYPE
from launcher.demo.store import Installed, is_digest
from launcher.demo.templates import template_fault
from launcher.domain.names import InvalidModelName, ModelName

Emit = Callable[[dict[str, Any]], Awaitable[None]]
_BITS = {"F32": 32.0, "F16": 16.0, "BF16": 16.0, "Q8_0": 8.5, "Q4_K_S": 4.58, "Q4_K_M": 4.85}
_LARGEST_CONFIG_BYTES = 1 << 20
_CONVERTIBLE = ("F16", "BF16", "F32")
_NO_DIGEST = "0000000000000000000"
_CLOUD_HOST = "https://ollama.com:443"
_COPIED = ("renderer", "parser", "requires")
_INFO_TEXTS = {"model_family": "model_family", "base_name": "base_name"} | {
    "quantization_level": "file_type",
    "parameter_size": "model_type",
}


class CreateFailed(Exception):
    """The creation ended; the text is its last line, the status counts where nothing has been sent yet."""

    def __init__(self, text: str, status: int = 500) -> None:
        super().__init__(text)
        self.status = status


@dataclass(slots=True)
class _Layer:
    """One layer of the model to be."""

    kind: str
    """The last word of its media type."""
    digest: str
    size_bytes: int
    status: str
    source: str = ""
    """The model or file it comes from."""
    config: Mapping[str, Any] | None = None
    """What the configuration of a model says of these weights."""
    path: str = ""
    is_import: bool = False
    """Every import is written anew by llama-quantize, which checks it on the way."""

    @property
    def descriptor(self) -> dict[str, Any]:
        described = {"mediaType": LAYER_MEDIA_TYPE + self.kind, "digest": self.digest, "size": self.size_bytes}
        return {**described, "from": self.source} if self.source else described


class Creation:
    """What is made for one request."""

    def __init__(self, downloads: Downloads, wish: Mapping[str, Any], emit: Emit, left: asyncio.Event) -> None:
        self._downloads = downloads
        self._folder = downloads.folder
        self._script = downloads.script
        self._wish = wish
        self._emit = emit
        self._left = left
        self._config: dict[str, Any] = {}

    async def make(self, name: ModelName, *, no_prune: bool) -> None:
        """Make the model; CreateFailed with the server's words."""
        before = self._layers_of(name)
        layers = await self._base()
        if not self._config.get("remote_host") and self._wish.get("adapters") is not None:
            layers += await self._from_files(self._wish["adapters"], is_adapter=True)
        layers = [await self._converted(one) for one in layers]
        for one in layers:
            if one.kind == "model":
                self._config = {**(one.config or {}), **{k: v for k, v in self._config.items() if v}}
        self._apply_info()
        layers = self._with_texts(layers)
        for one in layers:
            await self._emit({"status": one.status})
        await self._emit({"status": "writing manifest"})
        config = dumps(self._config)
        digest, _ = self._folder.write_blob(config)
        manifest = {
            "schemaVersion": 2,
            "mediaType": MANIFEST_MEDIA_TYPE,
            "config": {"mediaType": CONFIG_MEDIA_TYPE, "digest": digest, "size": len(config)},
            "layers": [one.descriptor for one in layers],
        }
        self._folder.write_manifest(name, dumps(manifest))
        if not no_prune:
            self._folder.delete_unused(before)
        await self._emit({"status": "success"})

    def _layers_of(self, name: ModelName) -> set[str]:
        try:
            return {str(layer["digest"]) for layer in self._folder.read(name).layers}
        except (FileNotFoundError, GoError):
            return set()

    async def _base(self) -> list[_Layer]:
        self._config = {one: self._wish[one] for one in _COPIED if self._wish.get(one)}
        source = self._wish.get("from")
        if source:
            return await self._from_model(source)
        if self._wish.get("files") is None:
            raise CreateFailed("neither 'from' or 'files' was specified", 400)
        return await self._from_files(self._wish["files"], is_adapter=False)

    async def _from_model(self, text: str) -> list[_Layer]:
        try:
            name = ModelName.parse(text)
        except InvalidModelName:
            raise CreateFailed("invalid model name", 400) from None
        if name.cloud or self._wish.get("remote_host"):
            base = name.display.removesuffix("-cloud").removesuffix(":cloud")
            self._config |= {"remote_model": base, "remote_host": self._wish.get("remote_host") or _CLOUD_HOST}
            self._config |= {"architecture": "amd64", "os": "linux"}
            return []
        model = await self._installed(self._folder.existing(name))
        self._config = {**model.config, **self._config}
        layers = []
        for one in model.manifest.get("layers", []):
            digest, kind = str(one["digest"]), str(one["mediaType"]).rpartition(".")[2]
            self._folder.touch_blob(digest)
            status = f"using existing layer {digest}"
            path = self._folder.blob_path(digest)
            config = model.config if kind == "model" else None
            layers.append(_Layer(kind, digest, int(one["size"]), status, name.display, config, path))
        return layers

    async def _installed(self, name: ModelName) -> Installed:
        try:
            return self._folder.read(name)
        except FileNotFoundError:
            pass
        except GoError as error:
            raise CreateFailed(str(error)) from None
        try:
            await pull(self._downloads, name, self._left, self._emit, insecure=False, no_prune=True)
        except PullFailed as error:
            raise CreateFailed(str(error)) from None
        return self._folder.read(name)

    async def _from_files(self, files: Mapping[str, str], *, is_adapter: bool) -> list[_Layer]:
        kind = self._type_of(files)
        if kind == "safetensors":
            return [await self._from_safetensors(files, is_adapter=is_adapter)]
        if kind != "gguf":
            raise CreateFailed("unknown type", 400)
        if is_adapter and len(files) > 1:
            raise CreateFailed("only one adapter is currently supported", 400)
        layers = []
        for file_name in sorted(files):
            await self._emit({"status": "parsing GGUF"})
            layers.append(self._parse(files[file_name], file_name))
        return layers

    def _type_of(self, files: Mapping[str, str]) -> str:
        for file_name, digest in files.items():
            for ending in ("safetensors", "gguf"):
                if file_name.endswith(f".{ending}"):
                    return ending
            if is_digest(digest) and self._folder.blob_size(digest) is not None:
                with open(self._folder.blob_path(digest), "rb") as file:
                    if file.read(4) == b"GGUF":
                        return "gguf"
        return ""

    def _parse(self, digest: str, file_name: str) -> _Layer:
        if not is_digest(digest):
            raise CreateFailed("invalid digest format")
        path = self._folder.blob_path(digest)
        size = self._folder.blob_size(digest)
        if size is None:
            raise CreateFailed(f"open {path}: no such file or directory")
        known = self._downloads.registry.config_of(digest)
        status = f"using existing layer {digest}"
        if known is not None:
            return _Layer("model", digest, size, status, file_name, known, path, is_import=True)
        try:
            head = read_gguf(path)
        except NotGguf as error:
            raise CreateFailed(str(error), 400) from None
        config = _config_of(head, size)
        return _Layer(head.kind, digest, size, status, file_name, config, path, is_import=head.kind == "model")

    async def _from_safetensors(self, files: Mapping[str, str], *, is_adapter: bool) -> _Layer:
        await self._emit({"status": "converting adapter" if is_adapter else "converting model"})
        family, size = "llama", 0
        for file_name, digest in sorted(files.items()):
            blob_size = self._folder.blob_size(digest) if is_digest(digest) else None
            if blob_size is None:
                raise CreateFailed(f"open {self._folder.blob_path(digest)}: no such file or directory")
            if file_name.endswith(".safetensors"):
                size += blob_size
            elif file_name == "config.json":
                family = str(json.loads(_beginning(self._folder.blob_path(digest))).get("model_type") or family)
        config = _config_of(Gguf({"general.architecture": family, "general.file_type": 1}, size // 2), size)
        kind = "adapter" if is_adapter else "model"
        return _Layer(kind, _NO_DIGEST, size, "", "", config, is_import=True)

    async def _converted(self, layer: _Layer) -> _Layer:
        """Write a layer anew where it is imported or is to be of another type."""
        text = str(self._wish.get("quantize") or self._wish.get("quantization") or "").upper()
        if not text or layer.kind != "model" or layer.config is None:
            return await self._rewritten(layer, "") if layer.is_import else layer
        want = "Q4_K_M" if text == "Q4_K" else text
        if want not in _BITS:
            supported = "F32, F16, Q4_K_S, Q4_K_M, Q8_0"
            raise CreateFailed(f"unsupported quantization type {text} - supported types are {supported}")
        have = str(layer.config.get("file_type"))
        if have not in _CONVERTIBLE:
            raise CreateFailed("quantization is only supported for F16, BF16 and F32 models")
        if have == want:
            return await self._rewritten(layer, "") if layer.is_import else layer
        self._config.pop("file_type", None)
        return await self._rewritten(layer, want)

    async def _rewritten(self, layer: _Layer, want: str) -> _Layer:
        """Write weights anew, as ``llama-quantize`` does: checked only, or as another type."""
        config = dict(layer.config or {})
        have = str(config.get("file_type") or "F16")
        size = round(layer.size_bytes * _BITS[want] / _BITS[have]) if want else layer.size_bytes
        await self._work(layer.size_bytes, f"quantizing {have} model to {want}" if want else "validating GGUF model")
        await self._emit({"status": "verifying conversion"})
        head_bytes = int(config.get("simulated", {}).get("head_bytes") or 0)
        head = _beginning(layer.path, head_bytes) if head_bytes else b""
        size = max(size, len(head))
        source = f"simulated {want or have} of {layer.digest}, {size} bytes"
        digest = f"sha256:{hashlib.sha256(source.encode()).hexdigest()}"
        is_there = self._folder.touch_blob(digest)
        if not is_there:
            with self._folder.open_new_blob() as written:
                written.write(head)
                written.truncate(size)
            self._folder.adopt_blob(written.name, digest)
        config["file_type"] = want or have
        config["simulated"] = {**config.get("simulated", {}), "weights_bytes": size}
        status = f"{'using existing' if is_there else 'creating new'} layer {digest}"
        return _Layer(layer.kind, digest, size, status, "", config, self._folder.blob_path(digest))

    async def _work(self, size_bytes: int, status: str) -> None:
        loop = asyncio.get_running_loop()
        began_s = loop.time()
        interval_s = self._script.line_interval_ms / 1000
        while (left_s := size_bytes / self._script.hash_bytes_per_s - (loop.time() - began_s)) > 0:
            await asyncio.sleep(min(left_s, interval_s))
            done = min(size_bytes, int((loop.time() - began_s) * self._script.hash_bytes_per_s))
            if done < size_bytes:
                await self._emit({"status": status, "digest": _NO_DIGEST, "total": size_bytes, "completed": done})

    def _apply_info(self) -> None:
        info = self._wish.get("info") or {}
        for key, member in _INFO_TEXTS.items():
            value = info.get(key)
            if value is not None and not isinstance(value, str):
                raise CreateFailed(f'info field "{key}" must be a string', 400)
            if value:
                self._config[member] = value
        for key in ("context_length", "embedding_length"):
            value = info.get(key)
            if value is not None and (isinstance(value, bool) or not isinstance(value, int | float)):
                raise CreateFailed(f'info field "{key}" must be a number', 400)
            if value is not None and (value < 0 or int(value) != value):
                raise CreateFailed(f'info field "{key}" must be a non-negative integer', 400)
            if value:
                self._config[key] = int(value)
        extra = [one for one in info.get("capabilities") or [] if isinstance(one, str)]
        if extra:
            self._config["capabilities"] = list(dict.fromkeys([*self._config.get("capabilities", []), *extra]))

    def _with_texts(self, layers: list[_Layer]) -> list[_Layer]:
        wish = self._wish
        if wish.get("template"):
            fault = template_fault(wish["template"])
            if fault is not None:
                raise CreateFailed(f"template error: template: {fault}", 400)
            layers = [*_without(layers, "template"), self._written("template", wish["template"].encode())]
        if wish.get("system"):
            layers = [*_without(layers, "system"), self._written("system", wish["system"].encode())]
        for text in _licenses(wish.get("license")):
            layers = [*layers, self._written("license", text.encode())]
        parameters = dict(wish.get("parameters") or {})
        for one in layers:
            if one.kind == "params":
                with open(self._folder.blob_path(one.digest), encoding="utf-8") as file:
                    parameters = {**loads(file.read()), **parameters}
        if parameters:
            layers = [*_without(layers, "params"), self._written("params", dumps(_go_sorted(parameters)) + b"\n")]
        if wish.get("messages"):
            layers = [*_without(layers, "messages"), self._written("messages", dumps(wish["messages"]) + b"\n")]
        return layers

    def _written(self, kind: str, content: bytes) -> _Layer:
        digest, is_new = self._folder.write_blob(content)
        status = f"{'creating new' if is_new else 'using existing'} layer {digest}"
        return _Layer(kind, digest, len(content), status)


def _licenses(given: Any) -> list[str]:
    if given is None or isinstance(given, str):
        return [given] if given else []
    texts = given if isinstance(given, list) else [given]
    for one in [given] if not isinstance(given, list) else texts:
        if not isinstance(one, str):
            kind, target = _go_kind(one), "string" if isinstance(given, list) else "[]string"
            raise CreateFailed(f"json: cannot unmarshal {kind} into Go value of type {target}")
    return texts


def _go_kind(value: Any) -> str:
    if isinstance(value, bool):
        return "bool"
    return "object" if isinstance(value, dict) else "array" if isinstance(value, list) else "number"


def _without(layers: list[_Layer], kind: str) -> list[_Layer]:
    return [one for one in layers if one.kind != kind]


def _beginning(path: str, size_bytes: int = _LARGEST_CONFIG_BYTES) -> bytes:
    with open(path, "rb") as file:
        return file.read(size_bytes)


def _config_of(head: Gguf, size_bytes: int) -> dict[str, Any]:
    """Describe weights as the configuration of a model does, from the head of their file."""
    template = str(head.values.get("tokenizer.chat_template") or "")
    capabilities = ["embedding"] if head.number("pooling_type") else ["completion"]
    capabilities += [name for name, word in (("tools", "tools"), ("thinking", "<think>")) if word in template]
    return {
        "model_format": "gguf",
        "model_family": head.architecture,
        "model_families": [head.architecture],
        "model_type": _human_number(head.parameters),
        "file_type": head.file_type,
        "capabilities": capabilities,
        "context_length": head.number("context_length") or 4096,
        "embedding_length": head.number("embedding_length") or 1024,
        "architecture": "amd64",
        "os": "linux",
        "simulated": {
            "block_count": head.number("block_count"),
            "head_count": head.number("attention.head_count") or 1,
            "weights_bytes": size_bytes,
            "head_bytes": head.head_bytes,
        },
    }


def _human_number(count: int) -> str:
    """Write a number of parameters as ``format.HumanNumber`` of Ollama does (format/format.go, 0.33)."""
    for unit, size, digits in (("B", 10**9, 1), ("M", 10**6, 2)):
        if count >= size:
            return f"{count // size}{unit}" if count % size == 0 else f"{count / size:.{digits}f}{unit}"
    return f"{count / 1000:.0f}K" if count >= 1000 else str(count)


def _go_sorted(value: Any) -> Any:
    """Order members by name and write whole floats without a fraction, as ``encoding/json`` does with a map."""
    if isinstance(value, dict):
        return {name: _go_sorted(value[name]) for name in sorted(value)}
    if isinstance(value, list):
        return [_go_sorted(one) for one in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value
