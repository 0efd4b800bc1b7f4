"""Models for Pydantic AI, on an Ollama server. Needs the extra ``pydantic-ai``.

::

    agent = Agent(create_model(), system_prompt="Be short.")        # the default host, and a model that is there
    agent = Agent(create_model("qwen3:8b", "http://box:11434"))

Chooses model, address and key, and looks whether they work; how an agent talks to them is Pydantic AI's.
"""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from launcher.domain.address import Address
from launcher.errors import LauncherError
from launcher.ollama.client import Client
from launcher.ollama.sync import SyncClient
from launcher.tasks import run_blocking

if TYPE_CHECKING:
    from pydantic_ai.models.openai import OpenAIChatModel
    from pydantic_ai.settings import ModelSettings

_CHECK_S = 10.0
_NO_KEY = "none"
"""OpenAI's client wants one, and would take that of the environment for an empty one."""


class ExtraMissing(LauncherError):
    """Something that only this needs is not installed."""

    def __init__(self, detail: str) -> None:
        super().__init__(
            "Pydantic AI is not installed.", detail=detail, hint='Run: pip install "ollama-launcher[pydantic-ai]"'
        )


def create_model(
    model: str | None = None,
    host: str | Address | None = None,
    *,
    check: bool = True,
    api_key: str | None = None,
    settings: ModelSettings | None = None,
    timeout_s: float = _CHECK_S,
) -> OpenAIChatModel:
    """Make a model for an agent: as :func:`create_model_async` does, for programs that await nothing."""
    with SyncClient(host, api_key=api_key) as client:
        if model is None:
            model = client.detect_model(timeout_s=timeout_s)
        elif check:
            client.show(model, timeout_s=timeout_s)
        return _made(model, client.address, api_key, settings)


async def create_model_async(
    model: str | None = None,
    host: str | Address | None = None,
    *,
    check: bool = True,
    api_key: str | None = None,
    settings: ModelSettings | None = None,
    timeout_s: float = _CHECK_S,
) -> OpenAIChatModel:
    """Make a model for an agent.

    Without a name it is the one that :meth:`Client.detect_model` finds. ``host`` is read as :class:`Client` reads it; a
    ``/v1`` at its end is left out or added as is needed. ``check`` asks the server for the model now, and not in the
    middle of a conversation; without it a model that is named is not asked for. ``settings`` are the agent's defaults
    for each request.

    Raises ExtraMissing; NotRunning, ModelNotFound and NoModelInstalled when it is checked.
    """
    async with Client(host, api_key=api_key) as client:
        if model is None:
            model = await client.detect_model(timeout_s=timeout_s)
        elif check:
            await client.show(model, timeout_s=timeout_s)
        return await run_blocking(_made, model, client.address, api_key, settings)


def _made(model: str, address: Address, api_key: str | None, settings: ModelSettings | None) -> OpenAIChatModel:
    """Make the model; imports a lot at first, and so is not for the loop."""
    try:
        import openai
        from pydantic_ai.models.openai import OpenAIChatModel
        from pydantic_ai.providers.ollama import OllamaProvider
    except ImportError as error:
        raise ExtraMissing(str(error)) from error
    made: type[OpenAIChatModel] = OpenAIChatModel
    with suppress(ImportError):  # the first versions of Pydantic AI lack it
        from pydantic_ai.models.ollama import OllamaModel

        # It knows that cloud models do not keep to a schema.
        made = OllamaModel
    url = f"{address.base_url}/v1"
    key = _key(address, api_key)
    if address.connectable.is_loopback and _goes_through_a_proxy(url):
        # No proxy can reach this machine by the name that it has for itself.
        direct = openai.DefaultAsyncHttpxClient(trust_env=False)
        own = openai.AsyncOpenAI(base_url=url, api_key=key, http_client=direct)
        return made(model, provider=OllamaProvider(openai_client=own), settings=settings)
    return made(model, provider=OllamaProvider(base_url=url, api_key=key), settings=settings)


def _key(address: Address, api_key: str | None) -> str:
    """Choose the key that may go there: as with :class:`Client`, none where others could read it on the way."""
    if address.scheme != "https" and not address.connectable.is_loopback:
        return _NO_KEY
    key = os.environ.get("OLLAMA_API_KEY", "") if api_key is None else api_key
    return key.strip() or _NO_KEY


def _goes_through_a_proxy(url: str) -> bool:
    parts = urlsplit(url)
    proxies = getproxies()
    return bool(proxies.get(parts.scheme) or proxies.get("all")) and not proxy_bypass(parts.hostname or "")
