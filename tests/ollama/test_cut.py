"""Conversations that the server cut without a word are found out; those that it did not are left in peace."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from launcher.ollama.cut import CutWatch, Sent
from tests.support.replay import RECORDINGS

WORDS = "the rain fell on the quiet streets of the old town while nobody looked "
CONTEXT = 4096


def recorded(name: str) -> Any:
    return json.loads((RECORDINGS / f"{name}.json").read_text(encoding="utf-8"))


def sent(*messages: Mapping[str, Any], **members: Any) -> Sent:
    made = Sent.of({"model": "m", "messages": list(messages), **members})
    assert made is not None
    return made


def user(text: str, **members: Any) -> dict[str, Any]:
    return {"role": "user", "content": text, **members}


def assistant(text: str, **members: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": text, **members}


class Talk:
    """A conversation with a model whose tokens are words and a half, and a few for each message."""

    def __init__(self, **members: Any) -> None:
        self.watch = CutWatch()
        self.messages: list[dict[str, Any]] = []
        self.members = members

    def turn(self, *messages: dict[str, Any], counted: int | None = None) -> bool:
        """Add messages; say whether the count is taken for a cut."""
        self.messages.extend(messages)
        request = sent(*self.messages, **self.members)
        count = self.count() if counted is None else counted
        expected = self.watch.expect(request)
        assert expected.at_least <= expected.likely
        missed = expected.is_missed_by(count)
        if not missed:
            self.watch.learn(request, count)
        return missed

    def count(self) -> int:
        return 20 + sum(5 + round(1.5 * len(message["content"].split())) for message in self.messages)


def test_the_recorded_overflow_is_found_at_once() -> None:
    exchange = recorded("errors/chat-context-overflow")
    # The recording says what was sent: 9000 times "word ".
    body = {**exchange["request"]["body"], "messages": [user("word " * 9000)]}
    counted = json.loads(exchange["response"]["body"])["prompt_eval_count"]
    made = Sent.of(body)
    assert made is not None
    expected = CutWatch().expect(made)
    assert expected.is_missed_by(counted)
    assert expected.is_missed_by(counted, CONTEXT)
    assert expected.likely > 4 * counted


CHATS = {chat["name"]: chat for chat in recorded("chat/long-chats")["chats"]}


@pytest.mark.parametrize("name", CHATS)
@pytest.mark.parametrize("known_context", [CONTEXT, None], ids=["context known", "context unknown"])
def test_recorded_conversations_are_told_apart(name: str, known_context: int | None) -> None:
    """A chat grows over its context turn by turn: nothing is said before that, and it is found soon after."""
    watch = CutWatch()
    silent_after_cut = 0
    found = False
    for turn in CHATS[name]["turns"]:
        if "prompt_eval_count" not in turn:
            continue
        request = sent(*CHATS[name]["messages"][: turn["messages"]])
        expected = watch.expect(request)
        missed = expected.is_missed_by(turn["prompt_eval_count"], known_context)
        if turn["fits"]:
            assert not missed
            assert expected.at_least <= turn["prompt_eval_count"] <= expected.at_most
        else:
            found = found or missed
            silent_after_cut += not found
        if not missed:
            watch.learn(request, turn["prompt_eval_count"])
    # The vocabulary of the recorded model is as poor as can be: a token and a half for each letter.
    assert found
    assert silent_after_cut <= 3


def test_a_conversation_may_grow_for_long() -> None:
    talk = Talk()
    for _ in range(60):
        assert not talk.turn(user(WORDS * 8))
        talk.messages.append(assistant(WORDS * 4))


def test_dropped_messages_are_noticed_in_the_same_turn_and_in_each_after_it() -> None:
    talk = Talk()
    for _ in range(10):
        assert not talk.turn(user(WORDS * 10))
        talk.messages.append(assistant(WORDS * 10))
    full = talk.count()
    assert talk.turn(user(WORDS * 10), counted=full - 300)
    assert talk.turn(assistant(WORDS), user(WORDS * 10), counted=full - 250)


def test_a_first_message_that_is_too_long_is_noticed() -> None:
    assert Talk().turn(user(WORDS * 1000), counted=CONTEXT // 2 + 2)


def test_rates_of_text_of_the_same_make_sharpen_the_bound() -> None:
    talk = Talk()
    assert not talk.turn(user(WORDS * 200), counted=14 * 200 * 3)
    long = sent(user(WORDS * 150))
    assert talk.watch.expect(long).at_least > 1.5 * CutWatch().expect(long).at_least
    other = sent(user("今日は天気がとても良い。" * 150))
    assert talk.watch.expect(other) == CutWatch().expect(other)


@pytest.mark.parametrize(
    "turns",
    [
        pytest.param([user("word " * 300, images=["aGk=" * 1000])], id="a small image"),
        pytest.param(
            [user("今日は天気がとても良いので散歩に行きましょう" * 60)], id="japanese, as few tokens as there may be"
        ),
        pytest.param([{"role": "system", "content": WORDS * 200}, user("hi")], id="a template without system prompts"),
        pytest.param([user("hi"), {"role": "tool", "content": WORDS * 200}], id="a template without tools"),
        pytest.param([user("| - | - |\n" * 300)], id="a table of blanks"),
        pytest.param([user("x" * 5000)], id="one word without end"),
        pytest.param(
            [user("hi"), assistant("", tool_calls=[{"function": {"arguments": {"a": WORDS * 99}}}])], id="calls"
        ),
        pytest.param([user("hi"), assistant("ok", thinking=WORDS * 300), user("and?")], id="thinking left out"),
        pytest.param([user("hi"), assistant(f"<think>{WORDS * 300}</think>ok"), user("and?")], id="<think> left out"),
        pytest.param([user("hi"), assistant(f"<think>{WORDS * 300}"), user("and?")], id="thinking that broke off"),
    ],
)
def test_no_alarm_for_what_has_few_tokens(turns: Sequence[Mapping[str, Any]]) -> None:
    words = sum(len(str(one["content"]).split()) for one in turns if one["role"] == "user")
    assert not CutWatch().expect(sent(*turns)).is_missed_by(max(20, words, 60 * 22 // 4))


def test_no_alarm_when_thoughts_go_with_the_next_question() -> None:
    """As templates do it: what was thought stays while tools are called, and is gone afterwards."""
    talk = Talk()
    thought = WORDS * 100
    turns = [user("hi"), assistant("", thinking=thought), {"role": "tool", "content": "4"}]
    assert not talk.turn(*turns, counted=talk.count() + 1400 * 2)
    assert not talk.turn(assistant("four"), user("and now?"), counted=80)


def test_no_alarm_when_tools_are_taken_away() -> None:
    watch = CutWatch()
    tools = [{"type": "function", "function": {"name": "add", "description": WORDS * 200}}]
    watch.learn(sent(user("hi"), tools=tools), 4000)
    assert not watch.expect(sent(user("hi"), assistant("ho"), user("hi"))).is_missed_by(60)
    assert watch.expect(sent(user("hi"), assistant("ho"), user("hi"), tools=tools)).is_missed_by(60)


def test_no_alarm_when_another_model_counts_less() -> None:
    watch = CutWatch()
    watch.learn(sent(user("hi"), model="wordy"), 4000)
    assert not watch.expect(sent(user("hi"), model="terse")).is_missed_by(60)


def test_no_alarm_where_all_surely_fits() -> None:
    expected = CutWatch().expect(sent(user("word " * 300)))
    assert expected.is_missed_by(100)
    assert not expected.is_missed_by(100, 128_000)


def test_short_conversations_are_not_judged() -> None:
    assert not CutWatch().expect(sent(user("word " * 150))).is_missed_by(1)


def test_what_the_server_would_refuse_is_not_judged() -> None:
    assert Sent.of({"model": "m", "messages": [user("x")], "truncate": False}) is None


def test_a_load_is_not_judged() -> None:
    assert Sent.of({"model": "m", "messages": []}) is None


def test_a_prompt_of_generate_counts_with_the_tokens_before_it() -> None:
    watch = CutWatch()
    made = Sent.of({"model": "m", "prompt": "word " * 1000, "context": list(range(500))})
    assert made is not None
    assert watch.expect(made).at_least == 1500


def test_what_was_cut_is_not_learned_from() -> None:
    talk = Talk()
    talk.turn(user(WORDS * 100))
    whole = talk.count()
    assert talk.turn(assistant(WORDS), user(WORDS * 100), counted=whole // 2)
    assert talk.watch.expect(sent(*talk.messages)).at_least > whole


def test_memory_is_bounded() -> None:
    watch = CutWatch()
    for n in range(1000):
        watch.learn(sent(user(f"{n}")), 10)
    assert len(watch._turns) <= 128


@given(
    st.lists(
        st.tuples(st.sampled_from(["user", "assistant", "system"]), st.text(max_size=400)), min_size=1, max_size=12
    ),
    st.floats(1.0, 2.0),
)
def test_whatever_is_counted_in_full_is_no_cut(talk: list[tuple[str, str]], rate: float) -> None:
    """A tokenizer that makes at least one token of a word, and at most two of a byte, is never accused."""
    watch = CutWatch()
    messages = [{"role": role, "content": text * 9} for role, text in talk]
    count = 10
    for n, message in enumerate(messages, 1):
        text = message["content"]
        count += 4 + round(min(2 * len(text.encode("utf-8", "replace")), rate * max(len(text.split()), len(text) / 3)))
        request = sent(*messages[:n])
        assert not watch.expect(request).is_missed_by(count)
        watch.learn(request, count)


@pytest.mark.parametrize("message", [{}, {"role": None, "content": None}, {"content": [{"text": "x"}]}, "no message"])
def test_strange_messages_do_no_harm(message: Any) -> None:
    made = Sent.of({"model": None, "messages": [message, user("x")], "tools": None})
    assert made is not None
    CutWatch().learn(made, 3)
