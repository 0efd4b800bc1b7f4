"""The scripts as a person starts them, in a small checkout whose app only repeats its arguments."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import bootstrap as support

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="shell scripts of POSIX")

bootstrap = support.load()
REPEATER = """#!/bin/sh
for argument; do printf '<%s>\\n' "$argument"; done
exit "${EXIT_CODE:-0}"
"""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """Everything the set-up reads, and no environment yet; the path has a space in it."""
    root = tmp_path / "a checkout"
    shutil.copytree(support.ROOT / "packaging", root / "packaging")
    shutil.copy(support.ROOT / "pyproject.toml", root)
    return root


@pytest.fixture
def finished_checkout(checkout: Path) -> Path:
    """A checkout after a successful set-up, as far as the scripts can see."""
    venv = checkout / ".venv"
    (venv / "bin").mkdir(parents=True)
    (venv / "bin" / "python").symlink_to(sys.executable)
    app = venv / "bin" / "ollama-launcher"
    app.write_text(REPEATER, encoding="utf-8")
    app.chmod(0o755)
    bootstrap.write_stamp(venv, bootstrap.expected_stamp(checkout, venv, bootstrap.FOR_APP))
    return checkout


def start(
    root: Path, *arguments: str, script: str = "run.sh", display: str = ":0", **variables: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(root / "packaging" / script), *arguments],
        env={**os.environ, "DISPLAY": display, "WAYLAND_DISPLAY": "", "QT_QPA_PLATFORM": "", **variables},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


def test_arguments_reach_the_app_as_they_are(finished_checkout: Path) -> None:
    run = start(finished_checkout, "models", "show", "a b", "", "*", "--json", "--yes")
    assert run.stdout.splitlines() == ["<models>", "<show>", "<a b>", "<>", "<*>", "<--json>", "<--yes>"]


def test_a_finished_set_up_adds_no_word_and_no_file(finished_checkout: Path) -> None:
    before = sorted(finished_checkout.rglob("*"))
    run = start(finished_checkout, "status")
    assert (run.returncode, run.stdout, run.stderr) == (0, "<status>\n", "")
    assert sorted(finished_checkout.rglob("*")) == before


def test_a_link_to_the_script_works(finished_checkout: Path, tmp_path: Path) -> None:
    link = tmp_path / "launcher"
    link.symlink_to(finished_checkout / "packaging" / "run.sh")
    run = subprocess.run([str(link), "status"], capture_output=True, text=True, timeout=60, check=False)
    assert (run.returncode, run.stdout) == (0, "<status>\n")


def test_the_exit_code_is_the_apps(finished_checkout: Path) -> None:
    assert start(finished_checkout, "status", EXIT_CODE="3").returncode == 3


def test_without_a_display_the_app_is_started_after_one_sentence(finished_checkout: Path) -> None:
    run = start(finished_checkout, "--demo", display="")
    assert run.stdout == "<--demo>\n"
    assert run.stderr == bootstrap.no_display_sentence({}, "linux") + "\n"


def test_the_command_line_needs_no_display(finished_checkout: Path) -> None:
    assert start(finished_checkout, "status", display="").stderr == ""


def test_the_first_set_up_without_network_ends_in_a_sentence(checkout: Path) -> None:
    run = start(checkout, "status", PIP_NO_INDEX="1", PIP_FIND_LINKS="")
    assert run.returncode == 1
    assert "The Python packages could not be installed" in run.stderr
    assert run.stderr.splitlines()[-1].startswith("The first set-up needs the network.")
    assert "Traceback" not in run.stderr
    assert run.stdout == ""
    # What is left must pass neither for a finished environment nor for one to go on in.
    assert not bootstrap.is_finished(checkout, checkout / ".venv", bootstrap.FOR_APP)
    assert not bootstrap.can_be_updated(checkout, checkout / ".venv", None)


def test_a_wrong_python_is_refused(checkout: Path) -> None:
    run = start(checkout, "--python", "2.7", script="test.sh")
    assert run.returncode == 1
    assert run.stderr.splitlines()[0] == "'2.7' is not a Python this program runs on."


def test_a_checkout_that_cannot_be_written_to_ends_in_a_sentence(checkout: Path) -> None:
    (checkout / ".venv.lock").mkdir()  # stands for any refusal of the file system, which root would not meet
    run = start(checkout, "status")
    assert run.returncode == 1
    assert run.stderr.startswith("The set-up cannot go on: ")
    assert len(run.stderr.splitlines()) == 1


def test_an_unknown_command_shows_the_usage(checkout: Path) -> None:
    run = start(checkout, "fly", script="python.sh")
    assert run.returncode == 2
    assert run.stderr.startswith("usage:")


def test_a_second_set_up_waits_for_the_first(checkout: Path) -> None:
    path = checkout / ".venv.lock"
    code = f"import sys; sys.path.insert(0, {str(checkout / 'packaging')!r})\nimport bootstrap, pathlib\n"
    code += f"with bootstrap.one_at_a_time(pathlib.Path({str(path)!r})): print('in')"
    with bootstrap.one_at_a_time(path):
        second = subprocess.Popen(
            [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        assert second.stderr is not None
        assert second.stderr.readline() == "Another set-up is under way; waiting for it.\n"
        assert second.poll() is None
    out, _ = second.communicate(timeout=30)
    assert out == "in\n"


def test_a_check_that_is_stopped_from_outside_cleans_up(checkout: Path) -> None:
    check = (
        "import time\ntry:\n print('at work', flush=True)\n time.sleep(60)\nfinally:\n print('cleaned up', flush=True)"
    )
    code = f"""import sys; sys.path.insert(0, {str(checkout / "packaging")!r})
import bootstrap, signal
signal.signal(signal.SIGTERM, bootstrap.stop)
try:
    bootstrap.attend([sys.executable, "-c", {check!r}])
except KeyboardInterrupt:
    print("stopped", flush=True)
"""
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "at work\n"
    process.terminate()
    out, _ = process.communicate(timeout=30)
    assert out.splitlines() == ["cleaned up", "stopped"]
