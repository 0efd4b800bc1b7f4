"""Guesses at tokens: near enough for a counter, and bounds that hold."""

from __future__ import annotations

import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from launcher.ollama import ChatAnswer, GenerateAnswer, Message, TokenCounts, estimate_tokens, token_counts
from launcher.ollama.tokens import fewest_tokens, make_of, most_tokens
from tests.support.replay import RECORDINGS

PROSE = "The quick brown fox jumps over the lazy dog, while 12 others look on and say nothing at all. "
CODE = 'def area(width: float, height: float) -> float:\n    """Say how large it is."""\n    return width * height\n\n'
# How many tokens twenty of each have in the vocabularies of Llama 3, Qwen 2 and Gemma 4: counted by llama.cpp, with its
# own copies of them (models/ggml-vocab-*.gguf).
COUNTED = [
    pytest.param(PROSE, (441, 461, 461), id="english"),
    pytest.param(CODE, (540, 540, 600), id="code"),
    pytest.param("今日は天気がとても良いので散歩に行きましょう。", (300, 240, 220), id="japanese"),
    pytest.param("我们今天一起去公园看花,然后去吃一顿好吃的晚饭吧。", (420, 320, 380), id="chinese"),
    pytest.param("Быстрая коричневая лиса прыгает через ленивую собаку. ", (481, 461, 321), id="russian"),
    pytest.param("الثعلب البني السريع يقفز فوق الكلب الكسول. ", (341, 342, 341), id="arabic"),
    pytest.param("วันนี้อากาศดีมากเราไปเดินเล่นกันเถอะ", (360, 360, 240), id="thai"),
    pytest.param("| a | - | 12 |\n", (160, 180, 200), id="table"),
]


@pytest.mark.parametrize(("text", "counted"), COUNTED)
def test_a_guess_is_near(text: str, counted: tuple[int, ...]) -> None:
    assert 0.65 * min(counted) <= estimate_tokens(text * 20) <= 1.5 * max(counted)


@pytest.mark.parametrize(("text", "counted"), COUNTED)
def test_bounds_hold(text: str, counted: tuple[int, ...]) -> None:
    assert fewest_tokens(text * 20) <= min(counted)
    assert max(counted) <= most_tokens(text * 20)


@given(st.text())
def test_bounds_and_guess_are_in_order(text: str) -> None:
    assert 0 <= fewest_tokens(text) <= most_tokens(text)
    assert estimate_tokens(text) >= 0


def test_no_text_is_no_token() -> None:
    assert (estimate_tokens(""), fewest_tokens(""), most_tokens("")) == (0, 0, 0)


def test_of_a_huge_text_samples_are_enough() -> None:
    part = PROSE * 1000
    began_s = time.process_time()
    assert estimate_tokens(part * 100) == pytest.approx(100 * estimate_tokens(part), rel=0.02)
    assert fewest_tokens(part * 100) <= 100 * fewest_tokens(part)
    assert time.process_time() - began_s < 1


@pytest.mark.parametrize(
    ("one", "other", "alike"),
    [
        pytest.param(PROSE, "And then the rain fell on the quiet streets of the town. ", True, id="prose"),
        pytest.param(PROSE, CODE, False, id="prose and code"),
        pytest.param(PROSE, "3.14159265358979 2.71828182845904 ", False, id="prose and numbers"),
        pytest.param(PROSE, "今日は天気が良い。", False, id="english and japanese"),
        pytest.param("", "", True, id="nothing"),
    ],
)
def test_make(one: str, other: str, alike: bool) -> None:
    assert make_of(one * 20).alike(make_of(other * 20)) is alike


def test_the_servers_counts_are_taken() -> None:
    content = json.loads((RECORDINGS / "chat" / "chat-not-streamed.json").read_text(encoding="utf-8"))
    answer = ChatAnswer.model_validate_json(content["response"]["body"])
    counts = token_counts(answer, sent="anything", text="anything")
    assert counts == TokenCounts(answer.prompt_eval_count or 0, answer.eval_count or 0, estimated=False)


def test_what_the_server_does_not_tell_is_estimated_and_said_so() -> None:
    sent = [Message(role="user", content=PROSE), {"role": "user", "content": PROSE, "images": [b"1"]}]
    counts = token_counts(GenerateAnswer(prompt_eval_count=None, eval_count=7), sent=sent, text="x")
    assert counts.estimated
    assert counts.answer == 7
    assert counts.prompt == pytest.approx(2 * 21 + 8 + 768, rel=0.1)


def test_a_stream_that_broke_off_has_no_counts_at_all() -> None:
    counts = token_counts(None, sent=PROSE, text="The quick brown")
    assert counts == TokenCounts(estimate_tokens(PROSE), 3, estimated=True)
