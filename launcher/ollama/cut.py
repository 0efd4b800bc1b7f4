"""Find out that the server has left out a part of a conversation, since it tells nobody.

A chat that is longer than the model's context loses its oldest messages, and one message that is too long loses its
middle; the answer looks like any other. Only ``prompt_eval_count`` gives it away: it is far below what was sent. What
was sent can only be estimated, and a wrong alarm is worse than a missed one, so that each estimate here is a lower
bound:

- A conversation that goes on from one that was counted before has at least those tokens again, and one for each new
  word: the best measure there is, whatever the vocabulary. What a model has thought may be gone since, by the
  template, and is taken off.
- A text without such a past has at least one token a word. Of that the system prompt, tools, their results and images
  count nothing, as a template may leave them out or make few tokens of them.
- Where this model has read text of the same make before, what it took for it, less a good part, may be more.

What is counted as cut is never learned from. Pure: no request is made here, and nothing is kept but counts.
"""

from __future__ import annotations

import json
import re
from collections import OrderedDict, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from launcher.ollama.tokens import IMAGE_TOKENS, Make, estimate_tokens, fewest_tokens, make_of, most_tokens

_LEAST_TOKENS = 200
"""No model is loaded with a context below that to any purpose; below it, templates weigh more than text."""
_SLACK_TOKENS = 64
_SLACK = 0.015
"""Of the lower bound: what templates and borders between messages may change from one turn to the next."""
_RATE_KEPT = 0.6
"""Of a measured rate: text of the same make still differs."""
_RATE_FROM_TOKENS = 100
_FIRST_RATE_FROM_TOKENS = 1200
"""Without an earlier turn to compare with, the rate includes what the template adds."""
_RATES = 8
_TURNS = 128
_TEMPLATE_TOKENS = 2000
"""More than what any template adds by itself, its own system prompt included."""
_LARGEST_IMAGE_TOKENS = 8192
_LONGEST_MEASURED = 400_000

_THOUGHT = re.compile(r"<think>.*?(</think>|\Z)", re.DOTALL)
_SURE_ROLES = ("user", "assistant")
"""What every template shows."""


@dataclass(frozen=True, slots=True)
class Expectation:
    """How many tokens something sent has."""

    likely: int
    at_least: int
    at_most: int

    def is_missed_by(self, counted: int, context_tokens: int | None = None) -> bool:
        """Say whether so small a count can only mean that a part was left out.

        ``context_tokens`` is the context of the model as it is loaded: what surely fits into it was not cut.
        """
        if self.at_least < _LEAST_TOKENS or (context_tokens is not None and self.at_most <= context_tokens):
            return False
        return counted < self.at_least - max(_SLACK_TOKENS, self.at_least * _SLACK)


@dataclass(frozen=True, slots=True)
class _Part:
    """One message, or the prompt."""

    text: str
    thought_tokens: int
    sure: bool
    images: int
    further: str
    """What else of it becomes a part of the prompt, as JSON."""


@dataclass(frozen=True, slots=True)
class Sent:
    """What of a request makes its prompt."""

    model: str
    parts: tuple[_Part, ...]
    marks: tuple[int, ...]
    """One a part; equal where everything up to it, and what else shapes the prompt, is equal."""
    around: str
    """Tools and the like, as JSON."""
    known_tokens: int = 0
    """Tokens that were sent as such."""

    @classmethod
    def of(cls, body: Mapping[str, Any]) -> Sent | None:
        """Read a request to chat or generate; None when nothing of it can be cut silently."""
        if body.get("truncate") is False:
            return None
        if "messages" in body:
            messages = [message for message in body["messages"] or () if isinstance(message, Mapping)]
        else:
            messages = [{"role": "user", "content": body.get("prompt"), "images": body.get("images")}]
        if not messages:
            return None
        tools = body.get("tools")
        around = _json(tools) if tools else ""
        model = str(body.get("model", ""))
        mark = hash((model, around, str(body.get("think")), body.get("system"), body.get("template"), body.get("raw")))
        marks = []
        parts = []
        for message in messages:
            part = _part(message)
            mark = hash((mark, message.get("role"), part.text, part.further, tuple(message.get("images") or ())))
            marks.append(mark)
            parts.append(part)
        context = body.get("context")
        return cls(model, tuple(parts), tuple(marks), around, len(context) if isinstance(context, Sequence) else 0)


def _part(message: Mapping[str, Any]) -> _Part:
    text = message.get("content")
    text = text if isinstance(text, str) else ""
    thought = message.get("thinking")
    thoughts = [thought] if isinstance(thought, str) else []
    if message.get("role") == "assistant" and "<think>" in text:
        thoughts += (found[0] for found in _THOUGHT.finditer(text))
        text = _THOUGHT.sub("", text)
    calls = message.get("tool_calls")
    return _Part(
        text=text,
        # Twice the estimate, as it is taken off.
        thought_tokens=2 * sum(map(estimate_tokens, thoughts)),
        sure=message.get("role") in _SURE_ROLES,
        images=len(message.get("images") or ()),
        further=_json(calls) if calls else "",
    )


def _json(value: object) -> str:
    return json.dumps(value, default=str)


@dataclass(frozen=True, slots=True)
class _Turn:
    counted: int
    at_least: int
    """The count, or what was to be expected, if that is a little more: small losses add up."""
    thought_tokens: int


@dataclass(frozen=True, slots=True)
class _Rate:
    """What a model took for a text, in counted tokens for an estimated one."""

    make: Make
    rate: float


class CutWatch:
    """Compare what the server counts with what was sent, and remember what it counted.

    ::

        sent = Sent.of(body)
        expected = watch.expect(sent)
        if expected.is_missed_by(answer.prompt_eval_count, context_tokens):
            ...                                            a part was left out
        else:
            watch.learn(sent, answer.prompt_eval_count, expected)
    """

    def __init__(self) -> None:
        self._turns: OrderedDict[int, _Turn] = OrderedDict()
        self._rates: dict[str, deque[_Rate]] = {}

    def expect(self, sent: Sent) -> Expectation:
        """Say how many tokens the server should count."""
        past, added = self._past(sent)
        text = _joined(added)
        guess = estimate_tokens(text)
        rate = self._rate(sent.model, text) if guess >= _RATE_FROM_TOKENS else None
        fewest = sum(fewest_tokens(part.text) for part in added if part.sure)
        if rate is not None:
            fewest = max(fewest, round(guess * rate * _RATE_KEPT))
        likely = round(guess * (rate or 1.0)) + sum(IMAGE_TOKENS * part.images for part in added)
        most = sum(
            most_tokens(part.text) + most_tokens(part.further) + part.thought_tokens + 64 for part in added
        ) + sum(_LARGEST_IMAGE_TOKENS * part.images for part in added)
        if past is not None:
            at_least = max(0, past.at_least - past.thought_tokens) + fewest
            return Expectation(max(at_least, past.counted + likely), at_least, past.counted + most)
        at_least = sent.known_tokens + fewest
        return Expectation(
            max(at_least, sent.known_tokens + likely),
            at_least,
            sent.known_tokens + most + most_tokens(sent.around) + _TEMPLATE_TOKENS,
        )

    def learn(self, sent: Sent, counted: int, expected: Expectation | None = None) -> None:
        """Remember the count of something that was not cut, or not so that it could be told."""
        at_least = max(counted, (expected or self.expect(sent)).at_least)
        past, added = self._past(sent)
        text = _joined(added)
        guess = estimate_tokens(text)
        plain = len(text) < _LONGEST_MEASURED and all(
            part.sure and not (part.images or part.further or part.thought_tokens) for part in added
        )
        if past is None:
            plain = plain and not sent.around and not sent.known_tokens and guess >= _FIRST_RATE_FROM_TOKENS
        if plain and guess >= _RATE_FROM_TOKENS:
            new = counted - (past.counted if past is not None else 0)
            rates = self._rates.setdefault(sent.model, deque(maxlen=_RATES))
            rates.append(_Rate(make_of(text), new / guess))
        self._turns[sent.marks[-1]] = _Turn(counted, at_least, sum(part.thought_tokens for part in sent.parts))
        self._turns.move_to_end(sent.marks[-1])
        while len(self._turns) > _TURNS:
            self._turns.popitem(last=False)

    def _past(self, sent: Sent) -> tuple[_Turn | None, Sequence[_Part]]:
        """Find the longest beginning of a conversation that was counted, and what is new after it."""
        for index in range(len(sent.marks) - 1, -1, -1):
            turn = self._turns.get(sent.marks[index])
            if turn is not None:
                self._turns.move_to_end(sent.marks[index])
                return turn, sent.parts[index + 1 :]
        return None, sent.parts

    def _rate(self, model: str, text: str) -> float | None:
        rates = self._rates.get(model)
        if not rates:
            return None
        make = make_of(text)
        return min((one.rate for one in rates if one.make.alike(make)), default=None)


def _joined(parts: Sequence[_Part]) -> str:
    text = " ".join(part.text for part in parts if part.sure)
    return text[:_LONGEST_MEASURED]
