"""What can go wrong between the launcher and an Ollama server, told apart.

::

    OllamaError (LauncherError)
     ├─ NotRunning         nothing accepts connections there, or the host cannot be found
     ├─ TimedOut           somebody is there, but no answer came in time
     ├─ Refused            an answer with an error status; ``status``, ``text``
     │   ├─ ModelNotFound  404, and it is about a model
     │   └─ NotSignedIn    401, and the server says where to sign in; ``signin_url``
     ├─ ProtocolBroken     the answer is not Ollama's: HTML, no JSON, bad UTF-8, an endless line, a redirect
     ├─ InlineError        a stream that began well carries an error line; ``text``, ``partial``
     ├─ CutStream          the connection ended before the answer did; ``partial``
     ├─ NoModelInstalled   no model was named, and none is there that could be taken
     └─ RegistryFailed     not the server but a registry, asked by ourselves, gave no use of an answer

``text`` is the server's own text, unshortened; ``title`` and ``hint`` are made for people from it, with JSON inside
it unwrapped; ``reason`` is what a program may act on. Knows nothing of httpx: ``transport.py`` translates.
"""

from __future__ import annotations

from launcher.errors import LauncherError, sentence
from launcher.ollama.explain import Reason, explain_inline, explain_refusal, shortened

__all__ = [
    "START_IT",
    "CutStream",
    "InlineError",
    "ModelNotFound",
    "NoModelInstalled",
    "NotRunning",
    "NotSignedIn",
    "OllamaError",
    "ProtocolBroken",
    "Reason",
    "Refused",
    "RegistryFailed",
    "TimedOut",
    "refusal",
]


START_IT = "Start Ollama, then try again."
"""The hint where nothing runs on this machine: how to start it, only the one who shows it can say."""


class OllamaError(LauncherError):
    """Any failure of a call to an Ollama server."""


class NotRunning(OllamaError):
    """Nothing accepts connections at the address, or its host cannot be found."""

    def __init__(self, address: str, *, detail: str = "", local: bool = True) -> None:
        hint = START_IT if local else "Check the address, and that Ollama runs there and may be reached from here."
        super().__init__(sentence("No Ollama server answers at {address}.", address=address), detail=detail, hint=hint)
        self.address = address


class TimedOut(OllamaError):
    """Somebody is there, or may be, but no answer came in time."""

    def __init__(self, address: str, *, detail: str = "") -> None:
        super().__init__(
            sentence("The Ollama server at {address} did not answer in time.", address=address),
            detail=detail,
            hint="It may be starting or very busy: try again in a moment.",
        )
        self.address = address


class Refused(OllamaError):
    """The server answered with an error status. ``text`` is its error text, or its whole body if that is no JSON."""

    def __init__(self, status: int, text: str) -> None:
        explanation = explain_refusal(status, text)
        super().__init__(explanation.title, detail=f"HTTP {status}: {shortened(text)}", hint=explanation.hint)
        self.status = status
        self.text = text
        self.reason = explanation.reason


class ModelNotFound(Refused):
    """The server has no model of this name."""


class NotSignedIn(Refused):
    """The server has no account at ollama.com, or its key is not known there. Whoever opens ``signin_url`` signs it in.

    The address carries the server's public key and the name of its machine, nothing secret.
    """

    def __init__(self, status: int, text: str, signin_url: str) -> None:
        super().__init__(status, text)
        self.title = "This Ollama server is not signed in at ollama.com."
        self.hint = sentence("Open {signin_url} in a browser, then try again.", signin_url=signin_url)
        self.reason = Reason.NOT_ALLOWED
        self.signin_url = signin_url


class ProtocolBroken(OllamaError):
    """What answers does not speak as Ollama does."""

    def __init__(self, title: str, *, detail: str = "", hint: str = "") -> None:
        super().__init__(
            title,
            detail=detail,
            hint=hint or "Check the address: another program, or a proxy, may be answering there.",
        )


class InlineError(OllamaError):
    """A stream that began with status 200 carries an error line. ``text`` is the server's own.

    ``partial`` is the text of an answer as far as it had come, ``partial_thought`` what the model had thought.
    """

    def __init__(self, text: str) -> None:
        explanation = explain_inline(text)
        super().__init__(explanation.title, detail=shortened(text), hint=explanation.hint)
        self.text = text
        self.reason = explanation.reason
        self.partial = ""
        self.partial_thought = ""


class CutStream(OllamaError):
    """The connection ended before the answer did; what came before it has been handed out.

    ``partial`` is the text of an answer as far as it had come, ``partial_thought`` what the model had thought.
    """

    def __init__(self, detail: str = "") -> None:
        super().__init__(
            "The connection to Ollama broke off in the middle of an answer.",
            detail=detail,
            hint="The server may have been stopped: look whether it runs, and try again.",
        )
        self.partial = ""
        self.partial_thought = ""


class NoModelInstalled(OllamaError):
    """No model was named, and none is there that could be taken. ``any_installed``: there are others, unfit to chat."""

    def __init__(self, *, any_installed: bool) -> None:
        title = "No model is installed." if not any_installed else "None of the installed models can chat by itself."
        super().__init__(title, hint="Pull one first, for example llama3.2:1b, or name the model to use.")
        self.any_installed = any_installed


class RegistryFailed(OllamaError):
    """A registry that we asked ourselves does not answer, refuses, or answers nonsense."""

    def __init__(self, registry: str, *, detail: str = "") -> None:
        super().__init__(
            sentence("The registry {registry} does not tell what this model consists of.", registry=registry),
            detail=detail,
            hint="The download works without it; only its size is not known beforehand.",
        )


def refusal(status: int, text: str, signin_url: str = "") -> Refused:
    """Make the right kind of refusal."""
    if status == 401 and signin_url:
        return NotSignedIn(status, text, signin_url)
    error = Refused(status, text)
    if status == 404 and error.reason is Reason.NO_SUCH_MODEL:
        return ModelNotFound(status, text)
    return error
