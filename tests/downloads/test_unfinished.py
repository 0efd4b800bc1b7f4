"""What is left unfinished is remembered by name, whatever the file holds."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from launcher.domain.transfer import Phase, Transfer, Trouble
from launcher.downloads.unfinished import Unfinished, UnfinishedFile, unfinished_names
from tests.support.logfail import ExpectLog
from tests.support.waiting import eventually

pytestmark = pytest.mark.anyio


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "downloads.json"


def some(*names: str) -> tuple[Transfer, ...]:
    return tuple(Transfer(name, Phase.PULLING) for name in names)


def test_all_but_what_is_done_or_nowhere_is_unfinished() -> None:
    transfers = [Transfer(phase.value, phase) for phase in Phase]
    transfers.append(Transfer("nobody-has-it", Phase.FAILED, trouble=Trouble.NO_SUCH_MODEL))
    assert unfinished_names(transfers) == tuple(phase.value for phase in Phase if phase is not Phase.DONE)


def test_each_server_has_names_of_its_own(path: Path) -> None:
    file = UnfinishedFile(path)
    file.write("local", ["llama3.2:1b"])
    file.write("http://box:11434", ["qwen3:8b", "gemma3:4b"])
    assert file.read("local") == ("llama3.2:1b",)
    assert file.read("http://box:11434") == ("qwen3:8b", "gemma3:4b")
    file.write("local", [])
    assert json.loads(path.read_text()) == {"http://box:11434": ["qwen3:8b", "gemma3:4b"]}
    assert [each.name for each in path.parent.iterdir()] == [path.name]


@pytest.mark.parametrize(
    ("content", "names", "told"),
    [
        pytest.param(None, (), False, id="no file"),
        pytest.param("{", (), True, id="broken"),
        pytest.param("[1]", (), False, id="a list"),
        pytest.param('{"local": "x"}', (), False, id="no list"),
        pytest.param('{"local": ["a:1b", 3, "no name!", "", "a:1b"]}', ("a:1b",), False, id="some are names"),
        pytest.param("\0\x80".encode("latin-1").decode("latin-1"), (), True, id="bytes"),
    ],
)
def test_what_is_no_name_is_left_out(
    path: Path, content: str | None, names: tuple[str, ...], told: bool, expect_log: ExpectLog
) -> None:
    if told:
        expect_log("cannot be read")
    if content is not None:
        path.write_text(content, encoding="latin-1")
    assert UnfinishedFile(path).read("local") == names


def test_a_file_that_cannot_be_written_costs_only_the_names(tmp_path: Path, expect_log: ExpectLog) -> None:
    expect_log("not kept")
    UnfinishedFile(tmp_path / "nowhere" / "downloads.json").write("local", ["a:1b"])


async def test_a_change_is_written_down_at_once(path: Path) -> None:
    file = UnfinishedFile(path)
    file.write("local", ["old:1b"])
    unfinished = Unfinished(file, "local")
    unfinished.changed(some("too-early:1b"))
    assert await unfinished.read() == ("old:1b",)
    run = asyncio.create_task(unfinished.run())
    unfinished.changed(some("old:1b", "new:1b"))
    await eventually(lambda: file.read("local") == ("old:1b", "new:1b"))
    unfinished.changed(())
    await eventually(lambda: file.read("local") == ())
    run.cancel()
    with pytest.raises(asyncio.CancelledError):
        await run
