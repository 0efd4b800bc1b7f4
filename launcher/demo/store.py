"""The models folder: blobs, manifests, and what is cleaned away at start. Layout as Ollama 0.33 keeps it."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import IO, Any

from launcher.demo import log
from launcher.demo.golang import GoError, loads
from launcher.domain.names import InvalidModelName, ModelName

_DIGEST_NAME = re.compile(r"sha256-[0-9a-fA-F]{64}")
_DIGEST = re.compile(r"sha256[:-][0-9a-fA-F]{64}")
_PRUNE_AGE_S = 3600.0
_MARK = "simulated"


class UnusableFolder(Exception):
    """The folder cannot be used; the text is the one the server ends with."""


@dataclass(frozen=True, slots=True)
class Installed:
    """One manifest in the folder, read whole."""

    name: ModelName
    digest: str
    """64 hex digits, of the manifest's bytes."""
    modified_ns: int
    manifest: Mapping[str, Any]
    config: Mapping[str, Any]

    @property
    def layers(self) -> list[Mapping[str, Any]]:
        """All descriptors, the configuration last."""
        return [*self.manifest.get("layers", []), self.manifest["config"]]

    @property
    def size_bytes(self) -> int:
        return sum(int(layer["size"]) for layer in self.layers)

    @property
    def capabilities(self) -> list[str]:
        return list(self.config.get("capabilities") or [])

    @property
    def weights_bytes(self) -> int:
        return int(self.config.get("simulated", {}).get("weights_bytes", self.size_bytes))

    @property
    def weights_digest(self) -> str:
        return next(
            (str(one["digest"]) for one in self.layers if str(one.get("mediaType")).endswith(".model")),
            str(self.manifest["config"]["digest"]),
        )


class ModelsFolder:
    """One models folder. Nothing is kept in memory: another process may change it at any moment."""

    def __init__(self, root: str) -> None:
        self.root = root
        self.blobs = os.path.join(root, "blobs")
        self._manifests = os.path.join(root, "manifests")

    def create(self) -> None:
        """Make the folder, or fail with what the server says of a folder it cannot use."""
        mark = os.path.join(self.root, _MARK)
        if os.path.isdir(self._manifests) and os.listdir(self._manifests) and not os.path.exists(mark):
            raise UnusableFolder(
                f"{self.root} holds the models of a real Ollama: "
                "name another folder in OLLAMA_MODELS for the simulated server"
            )
        missing = self.blobs
        try:
            while not os.path.isdir(parent := os.path.dirname(missing)) and parent != missing:
                if os.path.exists(parent):
                    raise NotADirectoryError(20, "Not a directory", parent)
                missing = parent
            os.makedirs(self.blobs, mode=0o755, exist_ok=True)
            with open(mark, "a", encoding="utf-8"):
                pass
        except OSError as error:
            shown = error.filename or missing
            raise UnusableFolder(f"mkdir {shown}: {go_errno(error)}: ensure path elements are traversable") from error

    def blob_path(self, digest: str) -> str:
        """Name the file of a blob; ``digest`` begins with ``sha256:``."""
        return os.path.join(self.blobs, digest.replace(":", "-"))

    def blob_size(self, digest: str) -> int | None:
        """Tell the size of a finished blob; None when there is none."""
        try:
            return os.stat(self.blob_path(digest)).st_size
        except FileNotFoundError:
            return None

    def hash_blob(self, digest: str) -> str:
        """Compute the digest of what is really in a blob."""
        with open(self.blob_path(digest), "rb") as file:
            return f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"

    def write_blob(self, content: bytes) -> tuple[str, bool]:
        """Make a blob of a content; give its digest, and whether it is new."""
        digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
        if self.touch_blob(digest):
            return digest, False
        with open(self.blob_path(digest), "wb") as file:
            file.write(content)
        return digest, True

    def touch_blob(self, digest: str) -> bool:
        """Make a blob look new, so that no start cleans it away; False when there is none."""
        try:
            os.utime(self.blob_path(digest))
        except FileNotFoundError:
            return False
        return True

    def open_new_blob(self) -> IO[bytes]:
        """Open a file for a blob whose digest is not known yet; no two have the same name."""
        # Not tempfile, which brings in all compressors, nor random: 8 ms of every start.
        return open(os.path.join(self.blobs, f"sha256-{os.urandom(5).hex()}"), "xb")

    def adopt_blob(self, path: str, digest: str) -> None:
        """Make a finished file the blob of its digest."""
        os.replace(path, self.blob_path(digest))
        os.chmod(self.blob_path(digest), 0o644)

    def remove_blob(self, digest: str) -> None:
        """Remove a blob that is not what it should be."""
        os.remove(self.blob_path(digest))

    def manifest_path(self, name: ModelName) -> str:
        """Name the file of a manifest."""
        return os.path.join(self._manifests, name.host, name.namespace, name.model, name.tag)

    def names(self) -> Iterator[ModelName]:
        """List every name that has a manifest file, readable or not."""
        for folder, _, files in os.walk(self._manifests):
            parts = os.path.relpath(folder, self._manifests).split(os.sep)
            if len(parts) != 3:
                continue
            for tag in files:
                with contextlib.suppress(InvalidModelName):
                    yield ModelName.parse_exact(f"{'/'.join(parts)}:{tag}")

    def existing(self, name: ModelName) -> ModelName:
        """Give each part of a name the spelling of an installed one: case does not matter (``getExistingName``)."""
        parts = [name.host, name.namespace, name.model, name.tag]
        for one in self.names():
            spelled = (one.host, one.namespace, one.model, one.tag)
            parts = [new if new.lower() == old.lower() else old for old, new in zip(parts, spelled, strict=True)]
        return ModelName(*parts)

    def read(self, name: ModelName) -> Installed:
        """Read one model; FileNotFoundError when there is none, GoError when its manifest is broken."""
        path = self.manifest_path(name)
        with open(path, "rb") as file:
            raw = file.read()
        manifest = loads(raw.decode("utf-8", "replace"))
        if not _is_manifest(manifest):
            raise GoError("unexpected EOF")
        config: dict[str, Any] = {}
        with contextlib.suppress(OSError, ValueError), open(self.blob_path(manifest["config"]["digest"]), "rb") as file:
            config = json.loads(file.read())
        return Installed(name, hashlib.sha256(raw).hexdigest(), os.stat(path).st_mtime_ns, manifest, config)

    def installed(self) -> list[Installed]:
        """List the readable models, newest first; a broken one is logged and left out."""
        found = []
        for name in self.names():
            try:
                found.append(self.read(name))
            except FileNotFoundError:
                continue
            except GoError as error:
                log.slog("WARN", "manifest.go:218", "bad manifest", name=name.full, error=error)
        return sorted(found, key=lambda one: one.modified_ns, reverse=True)

    def text_of(self, model: Installed, kind: str) -> list[str]:
        """Read the layers of a kind (template, license, params, system) as texts."""
        texts = []
        for layer in model.layers:
            if str(layer.get("mediaType")).endswith(f".{kind}"):
                with contextlib.suppress(OSError), open(self.blob_path(str(layer["digest"])), encoding="utf-8") as file:
                    texts.append(file.read())
        return texts

    def write_manifest(self, name: ModelName, manifest: bytes) -> None:
        """Install a model: the last step of a pull, in place as the real one does it."""
        path = self.manifest_path(name)
        os.makedirs(os.path.dirname(path), mode=0o755, exist_ok=True)
        with open(path, "wb") as file:
            file.write(manifest)

    def copy(self, source: ModelName, destination: ModelName) -> None:
        """Give a model a second name; FileNotFoundError when there is no source."""
        with open(self.manifest_path(source), "rb") as file:
            manifest = file.read()
        self.write_manifest(destination, manifest)

    def delete(self, model: Installed) -> None:
        """Remove a name, and the blobs that only it used."""
        path = self.manifest_path(model.name)
        os.remove(path)
        folder = os.path.dirname(path)
        while folder != self._manifests and not os.listdir(folder):
            os.rmdir(folder)
            folder = os.path.dirname(folder)
        self.delete_unused(str(layer["digest"]) for layer in model.layers)

    def delete_unused(self, digests: Iterable[str]) -> list[str]:
        """Remove those of ``digests`` that no manifest uses, and tell which went."""
        used = {str(layer["digest"]) for model in self.installed() for layer in model.layers}
        gone = sorted(set(digests) - used)
        for digest in gone:
            with contextlib.suppress(FileNotFoundError):
                os.remove(self.blob_path(digest))
        return gone

    def prune(self, scale: float) -> None:
        """Clean up as a start does (``PruneLayers``, images.go): what is old and invalid, what is old and unused."""
        for name in self.names():
            try:
                self.read(name)
            except GoError as error:
                message = "corrupt manifests detected, skipping prune operation.  Re-pull or delete to clear"
                log.slog("WARN", "routes.go:1965", message, error=f"{name.full} {error}")
                return
            except FileNotFoundError:
                continue
        old: list[str] = []
        for entry in os.scandir(self.blobs):
            if entry.is_dir() or time.time() - entry.stat().st_mtime < _PRUNE_AGE_S * scale:
                continue
            if _DIGEST_NAME.fullmatch(entry.name):
                old.append(entry.name.replace("-", ":"))
            else:
                os.remove(entry.path)  # a partial download, and not counted in the lines below
        log.slog("INFO", "images.go:919", f"total blobs: {len(old)}")
        log.slog("INFO", "images.go:926", f"total unused blobs removed: {len(self.delete_unused(old))}")


def _is_manifest(value: Any) -> bool:
    if not isinstance(value, dict) or not isinstance(value.get("layers"), list):
        return False
    return all(
        isinstance(one, dict) and isinstance(one.get("digest"), str) and isinstance(one.get("size"), int)
        for one in [*value["layers"], value.get("config")]
    )


def is_digest(text: str) -> bool:
    """Tell whether a text is a digest as ``BlobsPath`` (manifest/paths.go) takes it."""
    return _DIGEST.fullmatch(text) is not None


def go_errno(error: OSError) -> str:
    """Word an error of the operating system as Go does: in lower case."""
    return os.strerror(error.errno).lower() if error.errno else str(error)
