"""What a registry says about a model before it is pulled: its layers and their sizes.

By the registry protocol (server/images.go ``pullModelManifest``, 0.33): ``GET /v2/<namespace>/<model>/manifests/<tag>``
at the host that the name names. Nothing depends on an answer: without one a download just knows less. No key is sent.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from launcher.domain.address import Address, InvalidAddress
from launcher.domain.names import ModelName
from launcher.ollama.client import Client
from launcher.ollama.config import user_agent
from launcher.ollama.errors import CutStream, ModelNotFound, NotRunning, ProtocolBroken, RegistryFailed, TimedOut
from launcher.ollama.net import httpx
from launcher.ollama.tls import trusted, trusting_nobody
from launcher.ollama.transport import error_text, read_body, translated
from launcher.ollama.wire.fields import NullIs, Number, Text, Wire

ACCEPT = "application/vnd.docker.distribution.manifest.v2+json"
TIMEOUT_S = 6.0
MAX_MANIFEST_BYTES = 4 * 1024 * 1024
"""Models of safetensors have some thousand layers of 200 bytes each."""

_MAX_REDIRECTS = 3


@dataclass(frozen=True, slots=True)
class Layer:
    """One blob of a model."""

    digest: str
    """With its prefix: ``sha256:`` and 64 hex digits, as lines of a pull name it."""
    size_bytes: int
    media_type: str


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a pull will fetch, in its order: the layers, then the config."""

    layers: tuple[Layer, ...]
    digest: str
    """64 hex digits of the manifest itself; equal to ``ModelInfo.digest`` of an installed copy that is up to date."""

    @property
    def total_bytes(self) -> int:
        """The size of the download on an empty disk: a digest that occurs twice is fetched once."""
        return sum({layer.digest: layer.size_bytes for layer in self.layers}.values())


class _WireLayer(Wire):
    media_type: Text = Field(default="", alias="mediaType")
    digest: Text = ""
    size: Number = 0


class _WireManifest(Wire):
    config: _WireLayer | None = None
    layers: Annotated[tuple[_WireLayer, ...], NullIs(tuple)] = ()


class Registry:
    """Look-ups for one client's server.

    A simulated server on this machine (it says so in each answer) has its own registry: that one is asked, never the
    world. ``transport`` makes an httpx transport, for tests.
    """

    def __init__(
        self,
        client: Client,
        *,
        timeout_s: float = TIMEOUT_S,
        transport: Callable[[], httpx.AsyncBaseTransport] | None = None,
    ) -> None:
        self._client = client
        self._timeout_s = timeout_s
        self._transport = transport

    async def manifest(self, name: ModelName, insecure: bool = False) -> Manifest:
        """Ask for the layers of a model; ``insecure`` means plain http, as in a pull.

        Raises ModelNotFound when the registry knows no such model, RegistryFailed when it cannot be asked, and what
        any call raises when the server itself does not answer.
        """
        simulated = (await self._client.version(timeout_s=self._timeout_s)).simulated
        local = self._client.address.connectable
        if simulated and local.is_loopback:
            return await self._ask(local, name)
        return await self._ask(_registry_address(name, insecure), name)

    async def _ask(self, address: Address, name: ModelName) -> Manifest:
        url = f"{address.base_url}/v2/{name.namespace}/{name.model}/manifests/{name.tag}"
        async with httpx.AsyncClient(
            headers={"User-Agent": user_agent(), "Accept": ACCEPT, "Accept-Encoding": "identity"},
            follow_redirects=False,  # _get follows those that are safe
            timeout=self._timeout_s,
            trust_env=not address.is_loopback,
            verify=trusted() if address.scheme == "https" else trusting_nobody(),
            transport=None if self._transport is None else self._transport(),
        ) as http:
            try:
                with translated(address):
                    async with asyncio.timeout(self._timeout_s):
                        return _manifest(await _get(http, httpx.URL(url), address.host))
            except (NotRunning, TimedOut, CutStream, ProtocolBroken) as error:
                raise RegistryFailed(address.host, detail=error.detail) from error


async def _get(http: httpx.AsyncClient, url: httpx.URL, registry: str) -> bytes:
    """GET, and follow redirects from https to https: hf.co answers under another name."""
    for _ in range(_MAX_REDIRECTS + 1):
        async with http.stream("GET", url) as response:
            body = await read_body(response, MAX_MANIFEST_BYTES)
            status = response.status_code
            if status == 404:
                # The server's own words for it (server/images.go, 0.33).
                raise ModelNotFound(status, "pull model manifest: file does not exist")
            if status >= 400:
                raise RegistryFailed(registry, detail=f"HTTP {status}: {error_text(body)}")
            if status < 300:
                return body
            target = url.join(response.headers.get("Location", ""))
        if url.scheme != "https" or target.scheme != "https":
            break
        url = target
    raise RegistryFailed(registry, detail=f"it redirects too often, or out of https: {target}")


def _manifest(body: bytes) -> Manifest:
    wire = _WireManifest.model_validate_json(body)
    blobs = [*wire.layers, *([] if wire.config is None else [wire.config])]
    layers = tuple(Layer(blob.digest, blob.size, blob.media_type) for blob in blobs if blob.digest and blob.size >= 0)
    if not layers:
        raise ProtocolBroken("This is not a manifest.", detail=body[:200].decode("utf-8", "replace"))
    return Manifest(layers, hashlib.sha256(body).hexdigest())


def _registry_address(name: ModelName, insecure: bool) -> Address:
    try:
        return Address.parse(f"{'http' if insecure else 'https'}://{name.host}")
    except InvalidAddress as error:
        raise RegistryFailed(name.host, detail=error.title) from error
