"""What the shared fixtures make of bad tests, seen from outside: a run of pytest over one file."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.nobody import AsNobody, FailedAsNobody

ROOT = Path(__file__).resolve().parents[1]
HEAD = """
import asyncio, logging, os, subprocess, sys, time
import pytest
from tests.support.waiting import eventually
pytestmark = pytest.mark.anyio
"""


def outcome(folder: Path, body: str) -> tuple[int, str]:
    """Run pytest with our fixtures over one file; return its exit code and what it said."""
    (folder / "conftest.py").write_text((ROOT / "tests" / "conftest.py").read_text(encoding="utf-8"), encoding="utf-8")
    (folder / "test_it.py").write_text(HEAD + body, encoding="utf-8")
    # pyproject's own rules, but not its rootdir: the file lies elsewhere.
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-W", "error", "--rootdir", str(folder), "."],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    return run.returncode, run.stdout + run.stderr


CARELESS = """
async def test_leaves_a_task():
    test_leaves_a_task.kept = asyncio.create_task(asyncio.Event().wait(), name="stray")

async def test_leaves_a_timer():
    asyncio.get_running_loop().call_later(60, print)

def test_leaves_a_qt_timer(qapp):
    from PySide6.QtCore import QTimer
    test_leaves_a_qt_timer.kept = QTimer()
    test_leaves_a_qt_timer.kept.start(60000)

def test_leaves_a_child():
    test_leaves_a_child.kept = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)

def test_leaves_a_process_that_left_our_tree():
    grandchild = "import time; time.sleep(60)"
    child = f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {grandchild!r}], start_new_session=True)"
    subprocess.run([sys.executable, "-W", "ignore", "-c", child], check=True)

def test_logs_a_warning():
    logging.getLogger("launcher").warning("odd")

def test_announces_a_warning_that_stays_out(expect_log):
    expect_log("never said")

async def test_blocks_the_loop():
    time.sleep(0.2)
"""


@pytest.fixture(scope="module")
def complaints(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Run all careless tests once; give what was said of each when it ended."""
    code, said = outcome(tmp_path_factory.mktemp("careless"), CARELESS)
    assert code == 1, said
    _, *parts = re.split(r"_+ ERROR at teardown of (\w+) _+\n", said.partition("= short test summary")[0])
    return dict(zip(parts[::2], parts[1::2], strict=True))


@pytest.mark.parametrize(
    ("name", "complaint"),
    [
        ("test_leaves_a_task", "left in the loop:\ntask <Task pending name='stray'"),
        ("test_leaves_a_timer", "left in the loop:\ntimer <TimerHandle"),
        ("test_leaves_a_qt_timer", "left 1 active QTimer(s)"),
        ("test_leaves_a_child", "left running:\n"),
        ("test_leaves_a_process_that_left_our_tree", "left running:\n"),
        ("test_logs_a_warning", "logged without being expected:\nWARNING launcher: odd"),
        ("test_announces_a_warning_that_stays_out", "expected but never logged:\nnever said"),
        ("test_blocks_the_loop", "blocked the loop:\n"),
    ],
)
def test_a_careless_test_fails(complaints: dict[str, str], name: str, complaint: str) -> None:
    assert complaint in complaints[name]


def test_a_careful_test_passes(tmp_path: Path) -> None:
    code, said = outcome(
        tmp_path,
        """
async def test_tasks_and_timers_that_end():
    task = asyncio.create_task(asyncio.sleep(0))
    async with asyncio.timeout(60):
        await task

async def test_a_child_that_is_awaited():
    child = await asyncio.create_subprocess_exec(sys.executable, "-c", "")
    assert await child.wait() == 0

def test_a_warning_that_is_announced(expect_log):
    expect_log("as said")
    logging.getLogger("launcher").warning("as said")

@pytest.mark.blocks_loop("to see that it may")
async def test_blocks_on_purpose():
    time.sleep(0.2)

async def test_waits_for_what_comes(free_port):
    seen = []
    asyncio.get_running_loop().call_later(0.01, seen.append, free_port)
    await eventually(lambda: seen)

def test_isolated():
    assert "OLLAMA_HOST" not in os.environ
    assert os.environ["HOME"].startswith(os.environ["LAUNCHER_STATE_DIR"].removesuffix("state"))
""",
    )

    assert (code, "6 passed" in said) == (0, True), said


def _who_am_i() -> tuple[int, int, list[int]]:
    return os.geteuid(), os.getegid(), os.getgroups()


def _write(path: Path) -> None:
    path.write_text("x", encoding="utf-8")


def _raise_unpicklable() -> None:
    class Local(Exception):
        pass

    raise Local("from the fork")


@pytest.mark.skipif(sys.platform == "win32", reason="Linux and macOS only: no such users on Windows")
class TestAsNobody:
    def test_has_neither_ids_nor_groups_of_root(self, as_nobody: AsNobody) -> None:
        uid, gid, groups = as_nobody(_who_am_i)

        assert uid != 0
        assert gid != 0
        assert 0 not in groups

    def test_may_not_write_where_root_may(self, as_nobody: AsNobody, nobody_folder: Path) -> None:
        nobody_folder.chmod(0o755 if os.geteuid() == 0 else 0o555)
        with pytest.raises(PermissionError):
            as_nobody(_write, nobody_folder / "file")
        nobody_folder.chmod(0o777)

    def test_may_write_where_all_may(self, as_nobody: AsNobody, nobody_folder: Path) -> None:
        as_nobody(_write, nobody_folder / "file")

        assert (nobody_folder / "file").read_text(encoding="utf-8") == "x"

    def test_tells_an_error_that_cannot_be_carried_over(self, as_nobody: AsNobody) -> None:
        expected = FailedAsNobody if os.geteuid() == 0 else Exception
        with pytest.raises(expected, match="from the fork"):
            as_nobody(_raise_unpicklable)
