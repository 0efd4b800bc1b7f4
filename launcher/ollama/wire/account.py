"""The server's account at ollama.com, what ollama.com recommends, and the web as it shows it."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from launcher.ollama.wire.fields import Flag, NullIs, Number, Text, Texts, Wire


class Account(Wire):
    """``/api/me``: whose key the server has. It belongs to the user who runs the server, not to the one who asks."""

    id: Text = ""
    email: Text = ""
    name: Text = ""
    bio: Text = ""
    avatarurl: Text = ""
    firstname: Text = ""
    lastname: Text = ""
    plan: Text = ""
    """``free`` and others."""


class Recommendation(Wire):
    """One model that ollama.com recommends, or that the server knows without it."""

    model: Text = ""
    description: Text = ""
    context_length: Number = 0
    """Tokens; 0 when not told, as all figures here."""
    max_output_tokens: Number = 0
    vram_bytes: Number = 0
    required_plan: Text = ""
    """The plan that it needs at ollama.com."""


class Recommendations(Wire):
    """``/api/experimental/model-recommendations``: answered from a cache, offline from a list within the server."""

    recommendations: Annotated[tuple[Recommendation, ...], NullIs(tuple)] = ()


class CloudStatus(Wire):
    """Whether models at ollama.com are switched off on this server, and by what."""

    disabled: Flag = False
    source: Text = ""
    """``none``, ``env``, ``config`` or ``both``."""


class StatusAnswer(Wire):
    """``/api/status``."""

    cloud: Annotated[CloudStatus, NullIs(CloudStatus)] = Field(default_factory=CloudStatus)


class WebResult(Wire):
    """One page that a search has found."""

    title: Text = ""
    url: Text = ""
    content: Text = ""


class WebSearchAnswer(Wire):
    """``web_search``: what was found, best first."""

    results: Annotated[tuple[WebResult, ...], NullIs(tuple)] = ()


class WebPage(Wire):
    """``web_fetch``: one page as text, and where it leads."""

    title: Text = ""
    content: Text = ""
    links: Texts = ()
