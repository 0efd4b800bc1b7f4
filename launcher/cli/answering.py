"""What is asked of a model, and the hearing of its answer: the same for one question and for a conversation."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from launcher.cli import output
from launcher.cli.screen import Screen
from launcher.domain.conversation import Conversation, Ended, Role, Turn
from launcher.domain.options import OptionValue
from launcher.domain.units import format_duration

if TYPE_CHECKING:
    from launcher.ollama import ChatAnswer, Client, EmbedAnswer
    from launcher.ollama.notices import Notice
    from launcher.ollama.requests import Format, Think

_NS_A_S = 1e9


@dataclass(frozen=True, slots=True)
class Wishes:
    """How a model is to answer. None: as the server does it by itself."""

    format: Format | None = None
    think: Think | None = None
    options: Mapping[str, OptionValue] = field(default_factory=dict)
    keep_alive: int | str | None = None
    verbose: bool = False
    """Tell how long it took."""

    def members(self) -> dict[str, Any]:
        """What goes to the client besides model and messages."""
        return {
            "format": self.format,
            "think": self.think,
            "options": dict(self.options) or None,
            "keep_alive": self.keep_alive,
        }


class Hearing:
    """One answer while it comes, and what there is of it when it has ended, however that was."""

    def __init__(self) -> None:
        self._text: list[str] = []
        self._thought: list[str] = []
        self.last: ChatAnswer | None = None
        """The last piece, with the counts; None before it has come."""

    async def listen(self, client: Client, conversation: Conversation, wishes: Wishes, screen: Screen) -> None:
        """Ask, and show the answer as it comes. Cancelling stops it on the server."""
        screen.wait(f"Waiting for {conversation.model} …")
        pieces = client.stream_chat(conversation.model, conversation.messages(), **wishes.members())
        async with aclosing(pieces):
            async for piece in pieces:
                self._text.append(piece.message.content)
                self._thought.append(piece.message.thinking)
                screen.think(piece.message.thinking)
                screen.answer(piece.message.content)
                if piece.done:
                    self.last = piece

    def turn(self, ended: Ended) -> Turn:
        """What was heard, as a part of the conversation."""
        return Turn(Role.ASSISTANT, "".join(self._text), "".join(self._thought), ended=ended)


_FIRST_MEMBERS = ("model", "created_at", "message", "embeddings", "done", "done_reason")


def answer_json(answer: ChatAnswer | EmbedAnswer) -> dict[str, object]:
    """What the server answered, in its own words: members that it left out are not there."""
    members: dict[str, object] = answer.model_dump(mode="json", exclude_unset=True)
    return {name: members.pop(name) for name in _FIRST_MEMBERS if name in members} | members


def was_cut_short(answer: ChatAnswer | None) -> bool:
    """Whether the answer ended because it was long enough, and not because it was finished."""
    return answer is not None and answer.done_reason == "length"


CUT_SHORT = "The answer was cut off: it reached the length that num_predict or the context allows."


def tell_measures(answer: ChatAnswer | None) -> None:
    """Say how long the answer took and how fast it came, as far as the server tells."""
    if answer is None:
        return
    facts = []
    if answer.total_duration:
        facts.append(f"{_seconds(answer.total_duration)} in all")
    if answer.load_duration:
        facts.append(f"{_seconds(answer.load_duration)} of them to load the model")
    for what, count, duration_ns in (
        ("question", answer.prompt_eval_count, answer.prompt_eval_duration),
        ("answer", answer.eval_count, answer.eval_duration),
    ):
        if count:
            speed = f" at {count / duration_ns * _NS_A_S:.1f}/s" if duration_ns else ""
            facts.append(f"{what} {count} tokens{speed}")
    if facts:
        output.remark(f"({'; '.join(facts)})")


def _seconds(duration_ns: int) -> str:
    duration_s = duration_ns / _NS_A_S
    return format_duration(duration_s) if duration_s >= 60 else f"{duration_s:.2f} s"


class Notices:
    """What a client notices on the way to an answer: some must be told at once, some when the answer has ended."""

    def __init__(self) -> None:
        self._held: list[Notice] = []

    def take(self, notice: Notice) -> None:
        from launcher.ollama.notices import ConversationCut

        if isinstance(notice, ConversationCut):
            self._held.append(notice)
        else:
            _tell(notice)

    def tell_held(self) -> None:
        """Say what was kept for the end."""
        held, self._held = self._held, []
        for notice in held:
            _tell(notice)


def _tell(notice: Notice) -> None:
    from launcher.ollama import notices

    match notice:
        case notices.ConversationCut(model=model, context_tokens=context):
            size = f" of {context} tokens" if context else ""
            output.remark(
                f"Note: not all that was said fits into the context{size} of {model}: a part of it was left out. "
                "A larger one: --num-ctx."
            )
        case notices.Retrying(error=error, pause_s=pause_s):
            output.remark(f"{error.title} Trying again in {format_duration(pause_s)}.")
        case notices.SmallerContext(model=model, after=after):
            output.remark(f"There is too little memory: {model} goes on with a context of {after} tokens.")
        case notices.Unloading(model=model):
            output.remark(f"There is too little memory: {model} is unloaded.")
        case _:
            pass
