"""The server's log is rotated, cut while it is written, followed through both, and shown without secrets."""

from __future__ import annotations

import asyncio
import os
import random
import stat
import sys
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from launcher.errors import StorageError
from launcher.server.log import LogTail, cap, follow, follow_in_batches, last_lines, mask_secrets, rotate
from tests.support.processes import Family, until

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.blocks_loop("starting a process waits for a processor, up to 200 ms on a busy machine"),
]


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "server.log"


def _append(path: Path, text: str) -> None:
    with path.open("a", encoding="utf-8") as file:
        file.write(text)


# --- rotate and cap ---------------------------------------------------------------------------------------------------


def test_rotation_keeps_five(log: Path) -> None:
    for run in range(8):
        rotate(log)
        log.write_text(f"run {run}")
    assert {path.name: path.read_text() for path in log.parent.iterdir()} == {
        "server.log": "run 7",
        "server-1.log": "run 6",
        "server-2.log": "run 5",
        "server-3.log": "run 4",
        "server-4.log": "run 3",
        "server-5.log": "run 2",
    }


def test_an_empty_or_missing_log_is_not_rotated(log: Path) -> None:
    rotate(log)
    log.touch()
    rotate(log)
    assert [path.name for path in log.parent.iterdir()] == ["server.log"]


def test_a_gap_in_the_rotation_does_not_hurt(log: Path) -> None:
    log.write_text("new")
    log.with_name("server-3.log").write_text("old")
    rotate(log)
    assert sorted(path.name for path in log.parent.iterdir()) == ["server-1.log", "server-4.log"]


def test_a_rotation_that_fails_is_a_sentence(log: Path) -> None:
    log.write_text("x")
    (log.with_name("server-1.log") / "full").mkdir(parents=True)
    (log.with_name("server-2.log") / "full").mkdir(parents=True)
    (log.with_name("server-5.log") / "full").mkdir(parents=True)
    with pytest.raises(StorageError) as caught:
        rotate(log)
    assert caught.value.hint
    assert log.read_text() == "x"


def test_a_small_log_is_not_cut(log: Path) -> None:
    assert not cap(log, 10)
    log.write_text("0123456789")
    assert not cap(log, 10)
    assert log.read_text() == "0123456789"


def test_a_large_log_is_copied_and_cut_in_place(log: Path) -> None:
    log.write_text("first\n" * 100)
    log.with_name("server-1.log").write_text("older")
    inode = log.stat().st_ino
    assert cap(log, 10)
    assert (log.stat().st_ino, log.stat().st_size) == (inode, 0)
    assert log.with_name("server-1.log").read_text() == "first\n" * 100
    assert log.with_name("server-2.log").read_text() == "older"
    assert not log.with_name("server-0.log").exists()


@pytest.mark.skipif(sys.platform == "win32", reason="modes are POSIX")
def test_the_copy_is_private(log: Path) -> None:
    log.write_text("x" * 100)
    before = os.umask(0)
    try:
        cap(log, 10)
    finally:
        os.umask(before)
    assert stat.S_IMODE(log.with_name("server-1.log").stat().st_mode) == 0o600


def test_a_copy_that_fails_cuts_nothing(log: Path) -> None:
    log.write_text("x" * 100)
    (log.with_name("server-0.log")).mkdir()
    with pytest.raises(StorageError):
        cap(log, 10)
    assert log.read_text() == "x" * 100


async def test_a_writer_goes_on_after_a_cut(family: Family, tmp_path: Path) -> None:
    source = """
import time
for number in range(100_000):
    print(f"line {number:06d}", flush=True)
    time.sleep(0.0005)
"""
    log = tmp_path / "server.log"
    child = await family.spawn([sys.executable, "-I", "-S", "-c", source], log)
    for _ in range(4):
        await until(lambda: log.stat().st_size > 1200)
        assert cap(log, 1000)
    await until(lambda: log.stat().st_size > 100)
    os.kill(child.pid, 9)
    await child.wait()
    kept = [log.with_name(f"server-{number}.log") for number in (4, 3, 2, 1)] + [log]
    numbers = [int(line.split()[1]) for path in kept for line in path.read_text().splitlines()]
    assert numbers == sorted(set(numbers)), "in order, none twice"
    assert b"\0" not in log.read_bytes(), "the writer appends, it does not leave a hole"
    # At each cut a line may be lost that was written in the last microseconds.
    assert len(numbers) >= numbers[-1] + 1 - 4 * 3


# --- last lines -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "count", "lines"),
    [
        pytest.param("", 3, [], id="empty"),
        pytest.param("a\nb\nc\nd\n", 2, ["c", "d"], id="some"),
        pytest.param("a\nb", 5, ["a", "b"], id="fewer, without an end"),
        pytest.param("a\r\nb\r\n", 5, ["a", "b"], id="of Windows"),
        pytest.param("a\n\n\n", 2, ["", ""], id="empty lines"),
        pytest.param("a\nb\n", 0, [], id="none"),
        pytest.param("x" * 200_000 + "\nend\n", 1, ["end"], id="after a long one"),
    ],
)
def test_the_last_lines(log: Path, content: str, count: int, lines: list[str]) -> None:
    log.write_text(content, newline="")
    assert last_lines(log, count) == lines


def test_the_last_lines_of_no_file(log: Path) -> None:
    assert last_lines(log, 5) == []


def test_the_last_lines_of_a_folder_are_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(StorageError):
        last_lines(tmp_path, 5)


def test_what_is_no_text_is_shown_as_such(log: Path) -> None:
    log.write_bytes(b"caf\xc3\xa9 \xff\n")
    assert last_lines(log, 1) == ["café �"]


def test_a_huge_line_is_read_in_part_only(log: Path) -> None:
    log.write_bytes(b"x" * 12_000_000)
    (line,) = last_lines(log, 10)
    assert len(line) < 20_000
    assert line.endswith("…")


@given(lines=st.lists(st.text(alphabet="ab é", max_size=30), max_size=40), count=st.integers(1, 50))
def test_the_last_lines_are_the_last(tmp_path_factory: pytest.TempPathFactory, lines: list[str], count: int) -> None:
    log = tmp_path_factory.mktemp("log") / "server.log"
    log.write_text("".join(line + "\n" for line in lines))
    assert last_lines(log, count) == lines[-count:]


# --- follow -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def tail(log: Path) -> LogTail:
    return LogTail(log)


def test_lines_come_when_they_are_complete(log: Path, tail: LogTail) -> None:
    assert tail.read_lines() == []
    _append(log, "one\ntw")
    assert tail.read_lines() == ["one"]
    _append(log, "o\n")
    assert tail.read_lines() == ["two"]
    assert tail.read_lines() == []
    _append(log, "three")
    assert tail.read_lines() == []
    assert tail.flush() == ["three"]
    tail.close()


def test_from_the_end_only_new_lines_come(log: Path) -> None:
    _append(log, "old\n")
    tail = LogTail(log, from_end=True)
    assert tail.read_lines() == []
    _append(log, "new\n")
    assert tail.read_lines() == ["new"]
    tail.close()


def test_a_file_that_comes_later_is_read_from_its_begin(log: Path) -> None:
    tail = LogTail(log, from_end=True)
    assert tail.read_lines() == []
    _append(log, "first\n")
    assert tail.read_lines() == ["first"]
    tail.close()


def test_a_cut_is_survived(log: Path, tail: LogTail) -> None:
    _append(log, "one\ntwo\n")
    assert tail.read_lines() == ["one", "two"]
    os.truncate(log, 0)
    _append(log, "three\n")
    assert tail.read_lines() == ["three"]
    tail.close()


def test_a_cut_is_seen_though_the_file_has_grown_past_it(log: Path, tail: LogTail) -> None:
    _append(log, "one\n")
    assert tail.read_lines() == ["one"]
    os.truncate(log, 0)
    _append(log, "two\nthree\nfour\n")
    assert tail.read_lines() == ["two", "three", "four"]
    tail.close()


def test_a_replacement_is_survived_and_the_old_file_read_to_its_end(log: Path, tail: LogTail) -> None:
    _append(log, "one\n")
    assert tail.read_lines() == ["one"]
    _append(log, "two\nthree")
    rotate(log)
    assert tail.read_lines() == ["two"]
    assert tail.read_lines() == []
    log.write_text("four\n")
    assert tail.read_lines() == ["three", "four"]
    tail.close()


def test_a_long_line_is_cut_and_the_next_is_whole(log: Path, tail: LogTail) -> None:
    _append(log, "x" * 3_000_000 + "\nnext\n")
    lines = []
    while found := tail.read_lines():
        lines += found
    assert [len(line) < 20_000 for line in lines] == [True, True]
    assert lines[0].endswith("…")
    assert lines[1] == "next"
    tail.close()


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_no_line_is_lost_or_told_twice(tmp_path_factory: pytest.TempPathFactory, seed: int) -> None:
    chance = random.Random(seed)
    log = tmp_path_factory.mktemp("log") / "server.log"
    tail = LogTail(log)
    written: list[str] = []
    heard: list[str] = []
    pending = ""
    for number in range(60):
        line = f"{number} {'y' * chance.randrange(0, 200)}"
        whole = pending + line + "\n"
        place = chance.randrange(len(whole) + 1)
        _append(log, whole[:place])
        written.append(line)
        pending = whole[place:]
        if chance.random() < 0.5:
            heard += tail.read_lines()
        event = chance.random()
        if event < 0.2:
            _append(log, pending)
            pending = ""
            heard += tail.read_lines()
            if event < 0.1:
                os.truncate(log, 0)
            else:
                rotate(log)
    _append(log, pending)
    for _ in range(3):
        heard += tail.read_lines()
    tail.close()
    assert heard == written


async def _take(lines: AsyncIterator[str], count: int) -> list[str]:
    async with asyncio.timeout(20):
        return [await anext(lines) for _ in range(count)]


async def test_following_begins_with_the_last_lines(log: Path) -> None:
    _append(log, "one\ntwo\nthree\n")
    async with aclosing(follow(log, lines=2, poll_s=0.01)) as lines:
        assert await _take(lines, 2) == ["two", "three"]
        _append(log, "four\n")
        assert await _take(lines, 1) == ["four"]


async def test_following_in_batches_tells_that_nothing_came(log: Path) -> None:
    _append(log, "one\ntwo\n")
    async with aclosing(follow_in_batches(log, lines=5, poll_s=0.01)) as batches:
        assert [await anext(batches), await anext(batches)] == [["one", "two"], []]
        _append(log, "three\nfour\n")
        assert await anext(batches) == ["three", "four"]


async def test_following_a_log_that_is_still_to_come(log: Path) -> None:
    async with aclosing(follow(log, poll_s=0.01)) as lines:
        first = asyncio.ensure_future(anext(lines))
        await asyncio.sleep(0.03)
        assert not first.done()
        _append(log, "hello\n")
        async with asyncio.timeout(20):
            assert await first == "hello"


async def test_following_through_a_cut_and_a_rotation(log: Path) -> None:
    async with aclosing(follow(log, poll_s=0.01)) as lines:
        heard = asyncio.ensure_future(_take(lines, 4))
        await asyncio.sleep(0.03)
        _append(log, "one\n")
        await asyncio.sleep(0.1)
        cap(log, 1)
        _append(log, "two\n")
        await asyncio.sleep(0.1)
        rotate(log)
        _append(log, "three\nfour\n")
        assert await heard == ["one", "two", "three", "four"]


async def test_what_is_followed_has_no_secrets(log: Path) -> None:
    _append(log, "HTTPS_PROXY:http://me:secret@proxy:3128 X\n")
    async with aclosing(follow(log, lines=1)) as lines:
        assert await _take(lines, 1) == ["HTTPS_PROXY:http://***@proxy:3128 X"]


# --- secrets ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "masked"),
    [
        pytest.param("nothing to hide", "nothing to hide", id="nothing"),
        pytest.param("http://me:pw@proxy:3128", "http://***@proxy:3128", id="user and password"),
        pytest.param("socks5h://me@proxy", "socks5h://***@proxy", id="user"),
        pytest.param("http://me:p@ss@proxy:1", "http://***@proxy:1", id="at sign in the password"),
        pytest.param('proxy="http://a:b@c" x', 'proxy="http://***@c" x', id="in quotes"),
        pytest.param(
            "map[HTTPS_PROXY:http://me:pa/ss@proxy:3128 HTTP_PROXY: NO_PROXY:a@b]",
            "map[HTTPS_PROXY:http://***@proxy:3128 HTTP_PROXY: NO_PROXY:a@b]",
            id="slash in the password",
        ),
        pytest.param("https_proxy=me:pw@proxy:3128", "https_proxy=***@proxy:3128", id="without a scheme"),
        pytest.param("GET http://h/a@b", "GET http://h/a@b", id="at sign in the path"),
        pytest.param("user@example.com", "user@example.com", id="mail address"),
        pytest.param("Authorization: Bearer abc.def-123", "Authorization: Bearer ***", id="bearer"),
        pytest.param("authorization: basic YWJjOmRlZg==", "authorization: basic ***", id="basic"),
        pytest.param(
            "https://r2/x?X-Amz-Signature=abc123&X-Amz-Date=5&X-Amz-Credential=AK/1",
            "https://r2/x?X-Amz-Signature=***&X-Amz-Date=5&X-Amz-Credential=***",
            id="signed download",
        ),
        pytest.param("https://h/?token=abc&n=1", "https://h/?token=***&n=1", id="token"),
        pytest.param("OLLAMA_API_KEY:abc OLLAMA_HOST:x", "OLLAMA_API_KEY:*** OLLAMA_HOST:x", id="key"),
        pytest.param("authorization=tok12345678", "authorization=***", id="bare"),
        pytest.param("a bearer of news", "a bearer of news", id="another word"),
        pytest.param("basic idea", "basic idea", id="a word"),
        pytest.param("prompt eval: 5 tokens", "prompt eval: 5 tokens", id="tokens"),
    ],
)
def test_secrets_are_masked(line: str, masked: str) -> None:
    assert mask_secrets(line) == masked


@given(st.text(max_size=300))
def test_masking_twice_changes_nothing_more(line: str) -> None:
    assert mask_secrets(mask_secrets(line)) == mask_secrets(line)


def test_masking_a_long_line_is_quick() -> None:
    # A pattern that tries each place anew would take minutes.
    for line in ("http://" * 20_000, "a" * 200_000, "HTTP_PROXY:" * 20_000, "bearer " * 30_000):
        mask_secrets(line)
