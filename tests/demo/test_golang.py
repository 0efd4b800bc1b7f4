"""Go's texts, as the simulated server writes and reads them."""

from __future__ import annotations

import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from launcher.demo import golang
from launcher.demo.golang import GoError


@pytest.mark.parametrize(
    ("text", "words"),
    [
        pytest.param("", "EOF", id="empty"),
        pytest.param(" \n", "EOF", id="spaces"),
        pytest.param("{garbage", "invalid character 'g' looking for beginning of object key string", id="key"),
        pytest.param("hello", "invalid character 'h' looking for beginning of value", id="value"),
        pytest.param('{"a" 1}', "invalid character '1' after object key", id="after key"),
        pytest.param('{"a":1 "b"}', "invalid character '\"' after object key:value pair", id="after pair"),
        pytest.param('{"a":1,}', "invalid character '}' looking for beginning of object key string", id="comma"),
        pytest.param("[1 2]", "invalid character '2' after array element", id="array"),
        pytest.param("[1,]", "invalid character ']' looking for beginning of value", id="array comma"),
        pytest.param("trux", "invalid character 'x' in literal true (expecting 'e')", id="literal"),
        pytest.param("-x", "invalid character 'x' in numeric literal", id="number"),
        pytest.param('"a\nb"', "invalid character '\\n' in string literal", id="string"),
        pytest.param('"\\x"', "invalid character 'x' in string escape code", id="escape"),
        pytest.param('{"a":', "unexpected EOF", id="cut"),
        pytest.param('{"a":NaN}', "invalid character 'N' looking for beginning of value", id="NaN"),
    ],
)
def test_words_about_bad_json(text: str, words: str) -> None:
    with pytest.raises(GoError) as caught:
        golang.loads(text)
    assert str(caught.value) == words


@given(st.text(max_size=30) | st.text(alphabet='{}[]",:0123.eE+-tfn \\u', max_size=20))
def test_every_text_is_read_or_refused(text: str) -> None:
    with contextlib.suppress(GoError):
        golang.loads(text)


def test_only_the_first_value_is_read() -> None:
    assert golang.loads('{"N":0}\n{"N":1}') == {"N": 0}


def test_json_is_compact_and_escapes_as_go_does() -> None:
    written = golang.dumps({"a": "<b> & ü\u2028", "n": [1, None]})
    assert written == '{"a":"\\u003cb\\u003e \\u0026 ü\\u2028","n":[1,null]}'.encode()
    assert json.loads(written) == {"a": "<b> & ü\u2028", "n": [1, None]}


@pytest.mark.parametrize(
    ("text", "ns"),
    [
        pytest.param("5m", 300_000_000_000, id="minutes"),
        pytest.param("1h30m", 5_400_000_000_000, id="two units"),
        pytest.param("-1m", -60_000_000_000, id="negative"),
        pytest.param("1.5s", 1_500_000_000, id="fraction"),
        pytest.param("0", 0, id="zero"),
        pytest.param("300ms", 300_000_000, id="milliseconds"),
    ],
)
def test_durations_read(text: str, ns: int) -> None:
    assert golang.parse_duration(text) == ns


@pytest.mark.parametrize(
    ("ns", "text"),
    [
        pytest.param(0, "0s", id="zero"),
        pytest.param(109_894, "109.894µs", id="microseconds"),
        pytest.param(833_960_718, "833.960718ms", id="milliseconds"),
        pytest.param(1_501_972_594, "1.501972594s", id="seconds"),
        pytest.param(300_000_000_000, "5m0s", id="minutes"),
        pytest.param(3_661_000_000_000, "1h1m1s", id="hours"),
        pytest.param(32_000_000_000, "32s", id="whole"),
    ],
)
def test_durations_written(ns: int, text: str) -> None:
    assert golang.format_duration(ns) == text


@pytest.mark.parametrize(
    ("size", "text"),
    [
        pytest.param(427, "427 B", id="bytes"),
        pytest.param(236_704, "236 KB", id="kilobytes"),
        pytest.param(1_000_000, "1 MB", id="whole"),
        pytest.param(1_380_032, "1.4 MB", id="fraction"),
        pytest.param(100_000_000, "100 MB", id="part"),
        pytest.param(1_000_000_000, "1 GB", id="gigabyte"),
    ],
)
def test_sizes_written(size: int, text: str) -> None:
    assert golang.human_bytes(size) == text


def test_times_drop_trailing_zeros() -> None:
    assert golang.format_time(1_795_239_560_275_327_390, utc=True) == "2026-11-21T05:39:20.27532739Z"
    assert golang.format_time(1_795_239_560_000_000_000, utc=True) == "2026-11-21T05:39:20Z"
