"""What a client tells while a call takes longer, or does more, than was asked: one small value for each thing.

::

    def tell(notice: Notice) -> None:
        match notice:
            case PullingModel(model, progress):
                print(model, progress.completed, progress.total)
            case SmallerContext(model, _, after):
                print(f"{model} goes on with a context of {after}")

    Client(pull_missing=True, tell=tell)

``tell`` is called on the event loop and should return at once. What it raises is not swallowed: it ends the call for
which it was called, as an error of that call's own.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from launcher.ollama.errors import OllamaError
    from launcher.ollama.wire.progress import Progress


@dataclass(frozen=True, slots=True)
class StartingServer:
    """Nothing runs at the address: ``on_unreachable`` is called now."""

    address: str
    """The base URL."""


@dataclass(frozen=True, slots=True)
class PullingModel:
    """A model that is missing is downloaded first; told once for each line of the server."""

    model: str
    progress: Progress


@dataclass(frozen=True, slots=True)
class Retrying:
    """The server was too busy; the call is made again after a pause."""

    error: OllamaError
    attempt: int
    """1 for the first repetition."""
    pause_s: float


@dataclass(frozen=True, slots=True)
class Unloading:
    """There is too little memory: this model is taken out of it."""

    model: str
    ours: bool
    """True: this client had loaded it. False: it is somebody else's, and ``ask`` was answered with yes."""


@dataclass(frozen=True, slots=True)
class SmallerContext:
    """There is too little memory: the model is loaded with a smaller context, in tokens."""

    model: str
    before: int | None
    """None: what the server chose by itself."""
    after: int


@dataclass(frozen=True, slots=True)
class ConversationCut:
    """The server has left out a part of what was sent, without a word, since it did not fit into the context.

    Found out by counting: see :mod:`launcher.ollama.cut`.
    """

    model: str
    expected_tokens: int
    """About as many as what was sent has; an estimate."""
    counted_tokens: int
    """What the server has read of it."""
    context_tokens: int | None
    """The context of the model as it is loaded; None: not known."""


Notice = StartingServer | PullingModel | Retrying | Unloading | SmallerContext | ConversationCut
Tell = Callable[[Notice], None]
