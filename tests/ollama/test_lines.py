"""Lines, however their bytes are cut."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from launcher.ollama.lines import LineSplitter, TooLong

texts = st.lists(st.sampled_from([b"a", b"\n", b" ", b"\r", b'{"x":1}', b"\xff"]), max_size=12).map(b"".join)


@given(st.lists(texts, max_size=8))
def test_the_cuts_do_not_matter(chunks: list[bytes]) -> None:
    splitter = LineSplitter()
    lines = [line for chunk in chunks for line in splitter.feed(chunk)]
    if rest := splitter.rest():
        lines.append(rest)
    assert [line.removesuffix(b"\n") for line in lines] == [
        line for line in b"".join(chunks).split(b"\n") if line.strip()
    ]


@given(st.lists(texts, max_size=8), st.integers(1, 10))
def test_no_line_is_longer_than_the_limit(chunks: list[bytes], limit_bytes: int) -> None:
    splitter = LineSplitter(limit_bytes)
    longest = max((len(line) for line in b"".join(chunks).split(b"\n")), default=0)
    try:
        for chunk in chunks:
            for line in splitter.feed(chunk):
                assert len(line.removesuffix(b"\n")) <= limit_bytes
    except TooLong:
        assert longest > limit_bytes
    else:
        assert longest <= limit_bytes


def test_an_endless_line_is_refused_before_it_is_kept() -> None:
    splitter = LineSplitter(100)
    splitter.feed(b"x" * 100)
    with pytest.raises(TooLong, match="more than 100 bytes"):
        splitter.feed(b"x")


def test_the_rest_is_given_once() -> None:
    splitter = LineSplitter()
    splitter.feed(b"a\nb")
    assert (splitter.rest(), splitter.rest()) == (b"b", b"")
