"""A conversation with a model: its turns, what of it is sent, and how a file holds it.

An answer that was stopped or cut off stays in it and is marked: the model gets to see what it had said so far. Knows
neither files nor the server.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import Enum

from launcher.errors import InvalidInput

_FORMAT = 1
_BASE64 = "data:;base64,"


class InvalidConversation(InvalidInput):
    """A text that holds no conversation."""


class Role(Enum):
    """Who speaks."""

    USER = "user"
    ASSISTANT = "assistant"


class Ended(Enum):
    """How an answer ended."""

    WHOLE = "whole"
    STOPPED = "stopped"
    """By the person."""
    CUT = "cut"
    """By a failure, or because its length was bounded."""


@dataclass(frozen=True, slots=True)
class Turn:
    """What one of them said."""

    role: Role
    text: str
    thinking: str = ""
    images: tuple[str, ...] = ()
    """Base64."""
    ended: Ended = Ended.WHOLE


@dataclass(frozen=True, slots=True)
class Conversation:
    """All turns, oldest first, and what the model is told about itself before them."""

    model: str
    system: str = ""
    turns: tuple[Turn, ...] = ()

    def with_turn(self, turn: Turn) -> Conversation:
        return replace(self, turns=(*self.turns, turn))

    def without_last_turn(self) -> Conversation:
        return replace(self, turns=self.turns[:-1])

    def cleared(self) -> Conversation:
        """Forget what was said; model and system prompt stay."""
        return replace(self, turns=())

    def messages(self) -> list[dict[str, object]]:
        """What is sent, as the client takes it. Thoughts are not: models are trained without old ones.

        Pictures are marked as Base64. Where the client is given a text that is a path, too, it reads that file, and
        the text may be from a conversation that somebody else has written.
        """
        messages: list[dict[str, object]] = [{"role": "system", "content": self.system}] if self.system else []
        for turn in self.turns:
            message: dict[str, object] = {"role": turn.role.value, "content": turn.text}
            if turn.images:
                message["images"] = [f"{_BASE64}{image}" for image in turn.images]
            messages.append(message)
        return messages


def write_conversation(conversation: Conversation) -> str:
    """Write it as JSON, for people to read and for :func:`read_conversation`."""
    messages = []
    for turn in conversation.turns:
        message: dict[str, object] = {"role": turn.role.value, "content": turn.text}
        if turn.thinking:
            message["thinking"] = turn.thinking
        if turn.images:
            message["images"] = list(turn.images)
        if turn.ended is not Ended.WHOLE:
            message["ended"] = turn.ended.value
        messages.append(message)
    document = {
        "format": _FORMAT,
        "model": conversation.model,
        "system": conversation.system,
        "messages": messages,
    }
    return json.dumps(document, ensure_ascii=False, indent=2) + "\n"


def read_conversation(text: str) -> Conversation:
    """Read what :func:`write_conversation` wrote, or messages as ``/api/chat`` takes them. Raises InvalidConversation.

    A message of the role ``system`` becomes the system prompt; such of tools are not understood.
    """
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InvalidConversation("This is no conversation: it is not JSON.", detail=str(error)) from error
    if not isinstance(document, dict) or not isinstance(document.get("messages"), list):
        raise InvalidConversation("This is no conversation: it has no messages.")
    version = document.get("format", _FORMAT)
    if version != _FORMAT:
        raise InvalidConversation(
            "This conversation was written by another version of the launcher.", detail=f"format {version!r}"
        )
    conversation = Conversation(_text(document, "model"), _text(document, "system"))
    for number, message in enumerate(document["messages"], 1):
        if not isinstance(message, dict):
            raise InvalidConversation(f"Message {number} cannot be understood.")
        if message.get("role") == "system":
            conversation = replace(conversation, system=_text(message, "content"))
        else:
            conversation = conversation.with_turn(_turn(number, message))
    return conversation


def _turn(number: int, message: Mapping[str, object]) -> Turn:
    try:
        role = Role(message.get("role"))
    except ValueError as error:
        raise InvalidConversation(f"Message {number} is of nobody who takes part: {message.get('role')!r}.") from error
    images = message.get("images") or []
    if not isinstance(images, list) or not all(isinstance(image, str) for image in images):
        raise InvalidConversation(f"The pictures of message {number} cannot be understood.")
    try:
        ended = Ended(message.get("ended", Ended.WHOLE.value))
    except ValueError:
        ended = Ended.CUT
    return Turn(role, _text(message, "content"), _text(message, "thinking"), tuple(images), ended)


def _text(members: Mapping[str, object], name: str) -> str:
    value = members.get(name)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise InvalidConversation(f"“{name}” is not a text.")
    return value
