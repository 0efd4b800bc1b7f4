"""A registry of models on loopback, for pulls by a real server; standard library only, the same bytes each time.

Speaks the registry protocol as far as ``ollama pull`` with ``insecure`` does (server/images.go, server/download.go,
0.33): manifests, sizes of blobs, a ``Location`` for the data, ranges of it. Data comes at ``rate_bps`` a connection,
which may be changed while downloads run. Knows nothing of the launcher.

::

    with LoopbackRegistry() as registry:
        registry.add("tiny", {"model": Blob(gguf)})
        registry.rate_bps = 5_000_000
        … ollama pull --insecure <registry.name_of("tiny")>
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import random
import re
import threading
import time
from collections import Counter
from collections.abc import Mapping
from functools import cached_property
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Self

_MANIFEST = re.compile(r"/v2/[\w.-]+/([\w.-]+)/manifests/([\w.-]+)")
_BLOB = re.compile(r"/v2/[\w.-]+/[\w.-]+/blobs/(sha256:[0-9a-f]{64})")
_DATA = re.compile(r"/data/(sha256:[0-9a-f]{64})")
_RANGE = re.compile(r"bytes=(\d+)-(\d+)?")
_MEDIA_TYPE = "application/vnd.docker.distribution.manifest.v2+json"
_LAYER_TYPE = "application/vnd.ollama.image."
_CONFIG_TYPE = "application/vnd.docker.container.image.v1+json"
_BLOCK_BYTES = 1 << 20
_STEP_BYTES = 1 << 18
_STEPS_PER_S = 20


class Blob:
    """Content with a digest: ``head``, then as many made-up bytes as ``size_bytes`` asks for."""

    def __init__(self, head: bytes, size_bytes: int | None = None, *, seed: int = 0) -> None:
        self.size_bytes = len(head) if size_bytes is None else size_bytes
        self._head = head
        self._block = random.Random(seed).randbytes(_BLOCK_BYTES) if self.size_bytes > len(head) else b""

    @cached_property
    def digest(self) -> str:
        found = hashlib.sha256()
        for offset in range(0, self.size_bytes, _BLOCK_BYTES):
            found.update(self.read(offset, _BLOCK_BYTES))
        return f"sha256:{found.hexdigest()}"

    def read(self, offset: int, count: int) -> bytes:
        """Give up to ``count`` bytes from ``offset`` on. Each block differs: one in a wrong place is noticed."""
        end = min(offset + count, self.size_bytes)
        pieces = [self._head[offset:end]]
        offset = max(offset, min(len(self._head), end))
        while offset < end:
            number, within = divmod(offset, _BLOCK_BYTES)
            block = number.to_bytes(8, "little") + self._block[8:]
            pieces.append(block[within : within + end - offset])
            offset += len(pieces[-1])
        return b"".join(pieces)


class LoopbackRegistry:
    """Serves what was added, from a thread of its own, for the length of a ``with``."""

    def __init__(self) -> None:
        self.rate_bps: float | None = None
        """Bytes a second of one connection; None: as fast as it goes."""
        self.served_bytes: Counter[str] = Counter()
        """Bytes of data handed out so far, by digest."""
        self.closing = threading.Event()
        self.blobs: dict[str, Blob] = {}
        self.manifests: dict[tuple[str, str], bytes] = {}
        self._server = _Server(self)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), name="registry", daemon=True)

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self._server.server_address[1]}"

    def name_of(self, model: str) -> str:
        """The name to pull, whole: ``127.0.0.1:<port>/library/<model>:latest``."""
        return f"{self.address}/library/{model}:latest"

    def add(self, model: str, layers: Mapping[str, Blob], config: Mapping[str, object] | None = None) -> int:
        """Offer a model with one layer for each kind (``model``, ``template``…); returns the size of the download."""
        settings = {"model_format": "gguf", "architecture": "amd64", "os": "linux", **(config or {})}
        config_blob = Blob(json.dumps(settings).encode())
        listed = [{"mediaType": _LAYER_TYPE + kind, **self._offer(blob)} for kind, blob in layers.items()]
        manifest = {
            "schemaVersion": 2,
            "mediaType": _MEDIA_TYPE,
            "config": {"mediaType": _CONFIG_TYPE, **self._offer(config_blob)},
            "layers": listed,
        }
        self.manifests[model, "latest"] = json.dumps(manifest).encode()
        return config_blob.size_bytes + sum(blob.size_bytes for blob in layers.values())

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.closing.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)

    def _offer(self, blob: Blob) -> dict[str, object]:
        self.blobs[blob.digest] = blob
        return {"digest": blob.digest, "size": blob.size_bytes}


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64  # a pull opens up to 16 connections at once

    def __init__(self, registry: LoopbackRegistry) -> None:
        self.registry = registry
        super().__init__(("127.0.0.1", 0), _Handler)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 # named by the base class
        """Say nothing: a test's output is its own."""

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        registry = self.server.registry
        if found := _MANIFEST.fullmatch(self.path):
            manifest = registry.manifests.get((found[1], found[2]))
            if manifest is None:
                self._fail("MANIFEST_UNKNOWN")
            else:
                self._answer(200, manifest, {"Content-Type": _MEDIA_TYPE})
        elif (found := _BLOB.fullmatch(self.path)) and (blob := registry.blobs.get(found[1])):
            if self.command == "HEAD":
                self._answer(200, b"", {"Content-Length": str(blob.size_bytes)})
            else:
                # 200 with a Location: one of the two ways to the data that the server understands.
                self._answer(200, b"", {"Location": f"/data/{found[1]}"})
        elif (found := _DATA.fullmatch(self.path)) and (blob := registry.blobs.get(found[1])):
            self._send_data(blob)
        else:
            self._fail("BLOB_UNKNOWN")

    def _answer(self, status: int, body: bytes, headers: Mapping[str, str]) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _fail(self, code: str) -> None:
        body = json.dumps({"errors": [{"code": code, "message": "not known here"}]}).encode()
        self._answer(404, body, {"Content-Type": "application/json"})

    def _send_data(self, blob: Blob) -> None:
        first, last, status = 0, blob.size_bytes - 1, 200
        if found := _RANGE.fullmatch(self.headers.get("Range") or ""):
            first, last, status = int(found[1]), min(int(found[2] or last), last), 206
        self.send_response(status)
        self.send_header("Content-Length", str(last - first + 1))
        self.send_header("Content-Range", f"bytes {first}-{last}/{blob.size_bytes}")
        self.end_headers()
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self._send_paced(blob, first, last + 1)

    def _send_paced(self, blob: Blob, offset: int, end: int) -> None:
        registry = self.server.registry
        due_s = time.monotonic()
        while offset < end and not registry.closing.is_set():
            rate_bps = registry.rate_bps
            step = min(_STEP_BYTES, end - offset, max(1024, int((rate_bps or 1e12) / _STEPS_PER_S)))
            chunk = blob.read(offset, step)
            self.wfile.write(chunk)
            registry.served_bytes[blob.digest] += len(chunk)
            offset += len(chunk)
            if rate_bps:
                due_s = max(due_s, time.monotonic() - 0.5) + step / rate_bps
                registry.closing.wait(max(0.0, due_s - time.monotonic()))
        if offset < end:
            self.close_connection = True
