"""What a run of tools tells its caller: each call, how it ended, and what came of it all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, TypeAlias

from launcher.errors import LauncherError, sentence
from launcher.ollama.wire.inference import ChatAnswer, Message, ToolCall

Said: TypeAlias = Message | Mapping[str, Any]
"""A message of the caller's, as it was given, or one of ours."""


class ToolOutcome(Enum):
    """How a call of a tool ended."""

    RETURNED = "returned"
    RAISED = "raised"
    TIMED_OUT = "timed_out"
    BAD_ARGUMENTS = "bad_arguments"
    """They do not fit the parameters; the function was not called."""
    UNKNOWN_TOOL = "unknown_tool"
    """No tool of this name was offered."""


@dataclass(frozen=True, slots=True)
class ToolStarted:
    """A model wants a tool called."""

    round: int
    """Counted from 1."""
    call: ToolCall

    @property
    def name(self) -> str:
        """The tool, as the model names it."""
        return self.call.function.name


@dataclass(frozen=True, slots=True)
class ToolEnded:
    """A call has ended, well or not; either way the model is told."""

    round: int
    call: ToolCall
    outcome: ToolOutcome
    told: str
    """What the model is told: the result, or what went wrong."""
    value: object = None
    """What the function returned."""
    error: BaseException | None = None
    """What the function raised, or :class:`~launcher.ollama.tools.schema.BadArguments`."""
    took_s: float = 0.0
    left_out_bytes: int = 0
    """So much of the result was too long to be told."""

    @property
    def name(self) -> str:
        """The tool, as the model names it."""
        return self.call.function.name

    @property
    def message(self) -> Message:
        """The message that carries the result to the model."""
        return Message(role="tool", tool_name=self.name, tool_call_id=self.call.id, content=self.told)


@dataclass(frozen=True, slots=True)
class ToolRun:
    """The end of a run: the final answer, and how it came about."""

    answer: ChatAnswer
    """The last one, which asks for no tool. Its counts are its own, not those of all rounds."""
    messages: tuple[Said, ...]
    """The whole conversation: what was given, every call and result, and the final answer."""
    ended: tuple[ToolEnded, ...]
    """All calls, in their order."""


Step: TypeAlias = ToolStarted | ToolEnded


class TooManyRounds(LauncherError):
    """The model still asks for tools after the last round that it was allowed.

    ``messages`` is the conversation up to the last results: another run can go on from there. ``ended`` is what was
    called, ``wanted`` what the model would have called next.
    """

    def __init__(
        self, rounds: int, messages: Sequence[Said], ended: Sequence[ToolEnded], wanted: Sequence[ToolCall]
    ) -> None:
        names = ", ".join(dict.fromkeys(call.function.name for call in wanted))
        super().__init__(
            sentence("The model gave no answer within {rounds} rounds of tools.", rounds=rounds),
            detail=f"it asked for {names} again",
            hint="Allow more rounds, or look at what the tools told it.",
        )
        self.messages = tuple(messages)
        self.ended = tuple(ended)
        self.wanted = tuple(wanted)
