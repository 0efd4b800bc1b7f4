"""What holds for every command: codes, streams, signals, and what is imported."""

from __future__ import annotations

import contextlib
import importlib
import io
import logging
import os
import signal
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from launcher import __version__
from launcher.cli.main import main
from tests.cli.launched import ROOT, Launched
from tests.support.nobody import AsNobody


def python(source: str, *, environment: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", source],
        cwd=ROOT,
        env={**os.environ, **(environment or {})},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


NO_DISPLAY = {"QT_QPA_PLATFORM": None, "DISPLAY": None, "WAYLAND_DISPLAY": None}


def test_without_a_command_and_a_display_there_are_state_and_help(launched: Launched) -> None:
    ended = launched.run(changes=NO_DISPLAY)
    assert ended.code == 0
    assert launched.base_url in ended.out
    assert "Usage: ollama-launcher" in ended.out
    for command in ("status", "start", "stop", "restart", "logs", "models", "demo"):
        assert f"  {command} " in ended.out


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere there is always a display")
def test_a_window_that_cannot_be_shown_is_a_sentence(launched: Launched) -> None:
    ended = launched.run("--demo", changes=NO_DISPLAY)
    assert (ended.code, ended.out, "no display" in ended.err) == (1, "", True)


@pytest.mark.parametrize(
    ("arguments", "wished"),
    [
        pytest.param([], {}, id="nothing"),
        pytest.param(["--host", "box:1", "--hidden"], {"host": "box:1", "hidden": True}, id="host"),
        pytest.param(["--demo"], {"demo": True}, id="demo"),
        pytest.param(["--pull", "qwen3:8b", "--pull", "x"], {"pulls": ["qwen3:8b", "x:latest"]}, id="pulls"),
    ],
)
def test_without_a_command_the_window_is_opened(arguments: list[str], wished: dict[str, object]) -> None:
    asked: list[dict[str, object]] = []

    def open_window(**options: object) -> int:
        asked.append(options)
        return 7

    assert main(arguments, open_window) == 7
    assert asked == [{"host": None, "demo": False, "hidden": False, "pulls": [], **wished}]


@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param(["--demo", "status"], id="option of the window with a command"),
        pytest.param(["--pull", "a b"], id="impossible name"),
    ],
)
def test_what_no_window_can_do_is_wrong_usage(arguments: list[str]) -> None:
    assert main(arguments, lambda **_: pytest.fail("a window was opened")) == 2


def test_version(launched: Launched) -> None:
    assert launched.run("--version").out == f"ollama-launcher {__version__}\n"


@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param(("nonsense",), id="command"),
        pytest.param(("status", "--nonsense"), id="option"),
        pytest.param(("models",), id="group alone"),
        pytest.param(("logs", "-n", "-1"), id="number"),
        pytest.param(("models", "cp", "one"), id="too few"),
    ],
)
def test_wrong_usage_is_2(launched: Launched, arguments: tuple[str, ...]) -> None:
    assert launched.run(*arguments).code == 2


@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param(("--help",), id="root"),
        pytest.param(("models", "--help"), id="group"),
        pytest.param(("models", "pull", "-h"), id="command"),
        pytest.param(("demo", "serve", "--help"), id="demo"),
    ],
)
def test_help(launched: Launched, arguments: tuple[str, ...]) -> None:
    ended = launched.run(*arguments)
    assert (ended.code, "Usage: ollama-launcher" in ended.out) == (0, True)
    assert not launched.state_dir.exists()


def test_no_command_imports_qt_and_help_imports_little() -> None:
    ended = python(
        "import sys\n"
        "from launcher.cli.main import main\n"
        "main(['--help'])\n"
        "heavy = {'httpx', 'pydantic', 'psutil', 'rich', 'launcher.core'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
        "main(['status'])\n"
        "main(['models', 'pull', 'x'])\n"
        "chats = {'launcher.cli.editor', 'launcher.cli.conversation', 'prompt_toolkit', 'launcher.ollama.notices'}\n"
        "assert not chats & set(sys.modules), chats & set(sys.modules)\n"
        "main(['chat', '--model', 'x', 'hello'])\n"
        "main(['embed', '--model', 'x', 'hello'])\n"
        "main(['models', 'push', 'me/x'])\n"
        "main(['models', 'create', 'x', '--from', 'y'])\n"
        "assert 'prompt_toolkit' not in sys.modules\n"
        "assert 'launcher.core' in sys.modules\n"
        "assert not [name for name in sys.modules if name.startswith(('PySide', 'shiboken', 'qasync'))]\n"
        "assert 'rich' not in sys.modules\n"
    )
    assert ended.returncode == 0, ended.stderr


def test_a_reader_that_has_gone_is_no_fault(launched: Launched) -> None:
    read_end, write_end = os.pipe()
    os.close(read_end)
    try:
        ended = subprocess.run(
            [sys.executable, "-m", "launcher", "status"],
            cwd=ROOT,
            env=launched.environment,
            stdin=subprocess.DEVNULL,
            stdout=write_end,
            stderr=subprocess.PIPE,
            timeout=30,
            check=False,
        )
    finally:
        os.close(write_end)
    assert (ended.returncode, ended.stderr) == (141, b"")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has a full device")
def test_output_that_cannot_be_written_is_a_sentence(launched: Launched) -> None:
    with open("/dev/full", "wb") as full:
        ended = subprocess.run(
            [sys.executable, "-m", "launcher", "status"],
            cwd=ROOT,
            env=launched.environment,
            stdin=subprocess.DEVNULL,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=30,
            check=False,
        )
    assert (ended.returncode, ended.stderr.startswith("Error: The output cannot be written: ")) == (1, True)
    assert "No space" in ended.stderr.splitlines()[0]


def test_closed_streams_are_no_fault(launched: Launched) -> None:
    ended = subprocess.run(
        ["/bin/sh", "-c", 'exec "$0" -m launcher status <&- >&- 2>&-', sys.executable],
        cwd=ROOT,
        env=launched.environment,
        timeout=30,
        check=False,
    )
    assert ended.returncode == 3


def test_a_poor_encoding_breaks_nothing(launched: Launched) -> None:
    poor = {"PYTHONIOENCODING": "ascii", "LC_ALL": "C"}
    assert launched.run("models", "--help", changes=poor).code == 0
    assert launched.run("models", "pull", "ü", changes=poor).code == 2
    assert launched.run("models", "list", changes=poor).code == 3


def test_a_fault_of_ours_is_a_sentence_and_a_log(tmp_path: Path) -> None:
    ended = python(
        "import sys, launcher.cli.server as server\n"
        "async def broken(session):\n"
        "    raise KeyError('OLLAMA_API_KEY=very-secret-indeed')\n"
        "server.show_status = broken\n"
        "from launcher.cli.main import main\n"
        "sys.exit(main(['status']))\n",
        environment={"LAUNCHER_STATE_DIR": str(tmp_path)},
    )
    log = tmp_path / "logs" / "launcher.log"
    assert ended.returncode == 1
    assert (ended.stdout, "Traceback" in ended.stderr, len(ended.stderr.splitlines())) == ("", False, 1)
    assert str(log) in ended.stderr
    assert "Traceback" in log.read_text()
    assert "very-secret-indeed" not in log.read_text()
    if sys.platform != "win32":
        assert stat.S_IMODE(log.stat().st_mode) == 0o600


@pytest.mark.skipif(sys.platform == "win32", reason="signals of another kind")
def test_the_second_interrupt_ends_at_once() -> None:
    process = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import asyncio, sys\n"
            "from launcher.cli.run import run\n"
            "async def stubborn():\n"
            "    print('begun', flush=True)\n"
            "    try:\n"
            "        await asyncio.sleep(60)\n"
            "    finally:\n"
            "        print('cleaning', flush=True)\n"
            "        await asyncio.sleep(60)\n"
            "    return 0\n"
            "sys.exit(run(stubborn))\n",
        ],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    with process, contextlib.closing(process.stdout) as told:
        assert told.readline() == "begun\n"
        process.send_signal(signal.SIGINT)
        assert told.readline() == "cleaning\n"
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == 130


@pytest.mark.skipif(sys.platform == "win32", reason="signals of another kind")
@pytest.mark.parametrize(("number", "code"), [(signal.SIGHUP, 7), (signal.SIGINT, 130)], ids=["nohup", "background"])
def test_signals_that_were_ignored_at_the_start(number: int, code: int) -> None:
    ended = python(
        "import asyncio, os, signal, sys\n"
        f"signal.signal({number:d}, signal.SIG_IGN)\n"
        "from launcher.cli.run import run\n"
        "async def signalled():\n"
        f"    os.kill(os.getpid(), {number:d})\n"
        "    await asyncio.sleep(0.2)\n"
        "    return 7\n"
        "sys.exit(run(signalled))\n"
    )
    assert ended.returncode == code, ended.stderr


def _import_all_that(*commands: list[str], environment: dict[str, str]) -> None:
    """Import what the commands do: a fork as nobody may not be able to."""
    told = python(
        "import sys\n"
        "known = set(sys.modules)\n"
        "from launcher.cli.main import main\n"
        f"for command in {commands!r}:\n"
        "    main(command)\n"
        "print('modules', *(set(sys.modules) - known))\n",
        environment=environment,
    )
    for name in told.stdout.splitlines()[-1].split()[1:]:
        importlib.import_module(name)


def _command_as_nobody(arguments: list[str], environment: dict[str, str]) -> tuple[int, str, str]:
    from launcher.cli.main import main

    out, err = io.StringIO(), io.StringIO()
    # Who is not root is no fork: what a command changes in its process is put back.
    with pytest.MonkeyPatch.context() as changed, contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        for name, value in environment.items():
            changed.setenv(name, value)
        changed.setattr(sys, "excepthook", sys.excepthook)
        changed.setattr(sys, "unraisablehook", sys.unraisablehook)
        changed.setattr(threading, "excepthook", threading.excepthook)
        changed.setattr(logging.getLogger(), "handlers", list(logging.getLogger().handlers))
        code = main(arguments)
    return code, out.getvalue(), err.getvalue()


@pytest.mark.skipif(sys.platform == "win32", reason="no such user")
def test_folders_that_cannot_be_written(
    as_nobody: AsNobody, nobody_folder: Path, tmp_path: Path, free_port: int
) -> None:
    closed = nobody_folder / "closed"
    (closed / "config").mkdir(parents=True)
    (closed / "config" / "settings.json").write_text('{"on_quit": "leave"}')
    for folder in (closed / "config", closed):
        folder.chmod(0o555)
    ollama = nobody_folder / "ollama"
    ollama.write_text("#!/bin/sh\nexit 0\n")
    ollama.chmod(0o755)
    environment = {
        "HOME": str(nobody_folder),
        "OLLAMA_HOST": f"127.0.0.1:{free_port}",
        "OLLAMA_LAUNCHER_OLLAMA": str(ollama),
        "LAUNCHER_CONFIG_DIR": str(closed / "config"),
        "LAUNCHER_STATE_DIR": str(closed / "state"),
    }
    _import_all_that(["status"], ["start"], environment={**environment, "LAUNCHER_STATE_DIR": str(tmp_path)})
    code, out, err = as_nobody(_command_as_nobody, ["status"], environment)
    assert (code, "is not running" in out) == (3, True)
    assert str(closed) in err
    code, out, err = as_nobody(_command_as_nobody, ["start"], environment)
    assert (code, out) == (1, "")
    assert "Error: " in err
    assert str(closed / "state") in err
