"""What a person may write for an option of a model."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from launcher.domain.options import (
    OPTIONS,
    REMOVED_OPTIONS,
    InvalidOption,
    read_option,
    read_options,
    split_option,
)


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        pytest.param("num_ctx", "8192", 8192, id="whole number"),
        pytest.param("seed", "-1", -1, id="negative"),
        pytest.param("temperature", "0.7", 0.7, id="number"),
        pytest.param("temperature", "1", 1.0, id="whole number where any is taken"),
        pytest.param("top_p", ".9", 0.9, id="number without its zero"),
        pytest.param("min_p", "1e-3", 0.001, id="exponent"),
        pytest.param("use_mmap", "T", True, id="switch on"),
        pytest.param("use_mmap", "false", False, id="switch off"),
        pytest.param("stop", " AYE ", " AYE ", id="text as it is"),
    ],
)
def test_values(name: str, text: str, value: object) -> None:
    read = read_option(name, text)
    assert (read, type(read)) == (value, type(value))


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        pytest.param("num_ctx", "8k", "must be a whole number, not “8k”", id="unit"),
        pytest.param("num_ctx", "8_192", "must be a whole number", id="what only Python reads"),
        pytest.param("num_ctx", "٣", "must be a whole number", id="digits of another script"),
        pytest.param("num_ctx", "9" * 30, "must be a whole number", id="more than Go can hold"),
        pytest.param("temperature", "nan", "must be a number", id="not a number"),
        pytest.param("temperature", "1e999", "must be a number", id="infinite"),
        pytest.param("use_mmap", "yes", "must be true or false", id="other words"),
        pytest.param("num_ctx", "", "must be a whole number", id="nothing"),
        pytest.param("mirostat", "1", "has no effect any more", id="removed"),
    ],
)
def test_what_an_option_cannot_be(name: str, text: str, words: str) -> None:
    with pytest.raises(InvalidOption, match=words):
        read_option(name, text)


def test_a_slip_of_the_pen_is_told_with_what_is_meant() -> None:
    with pytest.raises(InvalidOption, match="There is no option “num_ctxt”") as raised:
        read_option("num_ctxt", "1")
    assert raised.value.hint == "Is num_ctx meant?"


def test_the_last_counts_and_texts_gather() -> None:
    written = [("stop", "a"), ("seed", "1"), ("stop", "b"), ("seed", "2")]
    assert read_options(written) == {"stop": ["a", "b"], "seed": 2}


def test_an_option_as_it_is_typed() -> None:
    assert split_option("Num_Ctx=8192") == ("num_ctx", "8192")
    assert split_option("stop=a=b ") == ("stop", "a=b ")
    with pytest.raises(InvalidOption, match="“num_ctx” is no option"):
        split_option("num_ctx")


def test_none_is_both_there_and_removed() -> None:
    assert OPTIONS.keys().isdisjoint(REMOVED_OPTIONS)


@given(st.sampled_from(sorted(OPTIONS)), st.text())
def test_any_text_is_a_value_or_a_sentence(name: str, text: str) -> None:
    try:
        value = read_option(name, text)
    except InvalidOption:
        return
    assert not isinstance(value, float) or math.isfinite(value)
