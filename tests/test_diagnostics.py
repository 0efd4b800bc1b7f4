"""The launcher's log and the last resort: nothing secret in the file, nothing but one sentence for a person."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from launcher import diagnostics, paths
from launcher.errors import LauncherError
from tests.support.logfail import ExpectLog
from tests.support.nobody import AsNobody

SECRET = "s3cr3t-Value_42"


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(f"Authorization: Bearer {SECRET}", id="header"),
        pytest.param(f"authorization: {SECRET}", id="header without a scheme"),
        pytest.param(f"{{'Authorization': 'Basic {SECRET}'}}", id="dict"),
        pytest.param(f"[(b'Authorization', b'Bearer {SECRET}')]", id="raw headers"),
        pytest.param(f"sent bearer {SECRET}, got 401", id="bearer in a sentence"),
        pytest.param(f"OLLAMA_API_KEY={SECRET} ollama serve", id="variable"),
        pytest.param(f'{{"apiKey": "{SECRET}"}}', id="JSON"),
        pytest.param(f"api-key: {SECRET}", id="api-key"),
        pytest.param(f"http://127.0.0.1:1/api?a=1&token={SECRET}&b=2", id="query"),
        pytest.param(f"password = '{SECRET}'", id="password"),
        pytest.param(f"https://anna:{SECRET}@example.test/v2/", id="user and password of a URL"),
        pytest.param(f"https://anna:a@{SECRET}@example.test/v2/", id="password with an at sign"),
        pytest.param(f"socks5://{SECRET}@[::1]:9", id="token of a URL"),
        pytest.param(f"key sk-{SECRET}{SECRET} refused", id="a key by its form"),
    ],
)
def test_redact_hides_secrets(text: str) -> None:
    assert SECRET not in diagnostics.redact(text)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("pull llama3.2:1b from http://127.0.0.1:11434/api/pull", id="a URL"),
        pytest.param("authorization failed", id="a word"),
        pytest.param("mail anna@example.test", id="an address"),
        pytest.param('Traceback (most recent call last):\n  File "a.py", line 3, in <module>', id="a traceback"),
    ],
)
def test_redact_leaves_the_rest(text: str) -> None:
    assert diagnostics.redact(text) == text


def test_redact_keeps_what_stands_around_a_secret() -> None:
    assert (
        diagnostics.redact(f"GET https://a:{SECRET}@h/x?token={SECRET}&n=1")
        == "GET https://[hidden]@h/x?token=[hidden]&n=1"
    )


def test_redact_hides_the_api_key_wherever_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OLLAMA_API_KEY", SECRET)

    assert diagnostics.redact(f"odd: {SECRET}") == "odd: [hidden]"


def test_a_tiny_api_key_does_not_garble_the_log(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OLLAMA_API_KEY", "a")

    assert diagnostics.redact("a banana") == "a banana"


def test_the_log_is_private_and_without_secrets(expect_log: ExpectLog) -> None:
    path = diagnostics.setup_logging()
    log = logging.getLogger("launcher.anything")
    log.info("hello %s", f"api_key={SECRET}")
    expect_log("failed")
    try:
        int(f"Bearer {SECRET}")
    except ValueError:
        log.exception("failed")

    assert path == paths.log_dir() / diagnostics.LOG_NAME
    text = path.read_text(encoding="utf-8")
    assert "hello api_key=[hidden]" in text
    assert "base 10: 'Bearer [hidden]'" in text
    assert SECRET not in text
    if sys.platform != "win32":
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


@pytest.mark.skipif(sys.platform == "win32", reason="Linux and macOS only: Windows has no modes")
def test_a_log_that_others_can_read_is_closed_to_them() -> None:
    path = paths.ensure_dir(paths.log_dir()) / diagnostics.LOG_NAME
    path.write_text("old\n", encoding="utf-8")
    path.chmod(0o644)

    diagnostics.setup_logging()
    logging.getLogger().info("new")

    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert path.read_text(encoding="utf-8").startswith("old\n")


def test_the_log_is_rotated_and_stays_private(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(diagnostics, "_LOG_BYTES", 2000)
    path = diagnostics.setup_logging()
    assert path is not None
    for number in range(200):
        logging.getLogger().info("line %d", number)

    files = sorted(path.parent.iterdir())
    assert [file.name for file in files] == ["launcher.log", "launcher.log.1", "launcher.log.2", "launcher.log.3"]
    assert "line 199" in path.read_text(encoding="utf-8")
    assert all(file.stat().st_size <= 2000 for file in files)
    if sys.platform != "win32":
        assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}


@pytest.mark.skipif(sys.platform == "win32", reason="Linux and macOS only: Windows renames no open file")
def test_the_log_follows_when_another_process_rotates_it() -> None:
    path = diagnostics.setup_logging()
    assert path is not None
    logging.getLogger().info("before")
    path.rename(path.with_name("launcher.log.1"))
    logging.getLogger().info("after")

    assert "after" in path.read_text(encoding="utf-8")


def test_setting_up_twice_logs_once() -> None:
    diagnostics.setup_logging()
    path = diagnostics.setup_logging()
    assert path is not None
    logging.getLogger().info("only once")

    assert path.read_text(encoding="utf-8").count("only once") == 1


def test_requests_are_not_told() -> None:
    path = diagnostics.setup_logging()
    assert path is not None
    logging.getLogger("httpx").info("HTTP Request: GET http://127.0.0.1/")

    assert "HTTP Request" not in path.read_text(encoding="utf-8")


def test_the_console_gets_warnings_without_tracebacks(
    capsys: pytest.CaptureFixture[str], expect_log: ExpectLog
) -> None:
    diagnostics.setup_logging(console=True)
    expect_log("odd thing")
    logging.getLogger("launcher.x").info("quiet")
    try:
        int("inner")
    except ValueError:
        logging.getLogger("launcher.x").warning("odd thing token=%s", SECRET, exc_info=True)

    assert capsys.readouterr().err == "odd thing token=[hidden]\n"


def test_a_file_in_place_of_the_folder_is_said_and_survived(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    monkeypatch.setenv("LAUNCHER_STATE_DIR", str(tmp_path / "file"))

    assert diagnostics.setup_logging() is None
    logging.getLogger("launcher").info("goes on")

    said = capsys.readouterr().err
    assert said.startswith("The launcher keeps no log.")
    assert said.count("\n") == 1


@pytest.mark.parametrize(
    ("said", "written"),
    [
        pytest.param("\x1b]0;title\x07 \x9b31m", "\\x1b]0;title\\x07 \\x9b31m", id="escape sequences"),
        pytest.param("abc\u202ecba", "abc\\u202ecba", id="order of reading"),
        pytest.param("one\rtwo", "one\\rtwo", id="carriage return"),
        pytest.param("Größe 模型\t1", "Größe 模型\t1", id="letters stay"),
        pytest.param("one\n2026-01-01 ERROR two", "one\n  2026-01-01 ERROR two", id="no line of its own"),
    ],
)
def test_a_log_steers_no_terminal(said: str, written: str) -> None:
    path = diagnostics.setup_logging()
    assert path is not None
    logging.getLogger("launcher.x").info("it said %s", said)

    assert path.read_text(encoding="utf-8").endswith(f"it said {written}\n")


@pytest.mark.skipif(sys.platform != "linux", reason="knows other folders")
def test_without_a_home_there_is_no_log_and_no_word(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HOME", "LAUNCHER_STATE_DIR", "XDG_STATE_HOME"):
        monkeypatch.delenv(name, raising=False)

    assert diagnostics.setup_logging() is None
    assert capsys.readouterr().err == ""


def _set_up_in(folder: Path) -> Path | None:
    os.environ["LAUNCHER_STATE_DIR"] = str(folder)
    return diagnostics.setup_logging()


@pytest.mark.skipif(sys.platform == "win32", reason="Linux and macOS only: Windows has no modes")
def test_a_folder_that_cannot_be_written_is_survived(
    as_nobody: AsNobody, nobody_folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (nobody_folder / "logs").mkdir(mode=0o555)
    (nobody_folder / "logs").chmod(0o555)

    assert as_nobody(_set_up_in, nobody_folder) is None


class TestLastResort:
    @pytest.fixture(autouse=True)
    def _installed(self) -> None:
        self.path = diagnostics.setup_logging()
        diagnostics.install_last_resort_handlers()

    def _logged(self) -> str:
        assert self.path is not None
        return self.path.read_text(encoding="utf-8")

    def test_in_the_main_thread(self, capsys: pytest.CaptureFixture[str], expect_log: ExpectLog) -> None:
        expect_log("uncaught")
        try:
            int(f"token={SECRET}")
        except ValueError as error:
            sys.excepthook(type(error), error, error.__traceback__)

        said = capsys.readouterr().err
        assert said == f"Something unexpected went wrong in the launcher. The details are in {self.path}.\n"
        assert "base 10: 'token=[hidden]'" in self._logged()
        assert "Traceback" in self._logged()

    def test_in_a_thread(self, capsys: pytest.CaptureFixture[str], expect_log: ExpectLog) -> None:
        expect_log("uncaught in thread worker")
        thread = threading.Thread(target=lambda: 1 / 0, name="worker")
        thread.start()
        thread.join()

        assert capsys.readouterr().err.count("\n") == 1
        assert "ZeroDivisionError" in self._logged()

    def test_in_a_finalizer(self, capsys: pytest.CaptureFixture[str], expect_log: ExpectLog) -> None:
        class Bad:
            def __del__(self) -> None:
                raise ValueError("in a finalizer")

        expect_log("in a finalizer")
        Bad()
        gc.collect()

        assert capsys.readouterr().err.count("\n") == 1
        assert "ValueError: in a finalizer" in self._logged()

    def test_in_the_loop(self, capsys: pytest.CaptureFixture[str], expect_log: ExpectLog) -> None:
        async def main() -> None:
            loop = asyncio.get_running_loop()
            diagnostics.install_last_resort_handlers(loop)
            loop.call_soon(lambda: 1 / 0)
            await asyncio.sleep(0)

        expect_log("ZeroDivisionError")
        asyncio.run(main())

        assert capsys.readouterr().err.count("\n") == 1
        assert "ZeroDivisionError" in self._logged()

    def test_in_a_task_that_nobody_awaited(self, capsys: pytest.CaptureFixture[str], expect_log: ExpectLog) -> None:
        async def fail() -> None:
            raise ValueError("nobody awaits")

        async def main() -> None:
            diagnostics.install_last_resort_handlers(asyncio.get_running_loop())
            task = asyncio.ensure_future(fail())
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            del task
            gc.collect()

        expect_log("never retrieved")
        asyncio.run(main())

        assert capsys.readouterr().err.count("\n") == 1
        assert "ValueError: nobody awaits" in self._logged()

    def test_says_the_same_once_and_logs_it_always(
        self, capsys: pytest.CaptureFixture[str], expect_log: ExpectLog
    ) -> None:
        expect_log("uncaught")
        for number in range(3):
            error = ValueError(f"number {number}")
            sys.excepthook(type(error), error, None)

        assert capsys.readouterr().err.count("\n") == 1
        assert all(f"number {number}" in self._logged() for number in range(3))

    def test_a_known_error_is_said_in_its_own_words(
        self, capsys: pytest.CaptureFixture[str], expect_log: ExpectLog
    ) -> None:
        expect_log("uncaught")
        error = LauncherError("The disk is full.", hint="Make room.")
        sys.excepthook(type(error), error, None)

        assert capsys.readouterr().err == "The disk is full. Make room.\n"

    def test_ctrl_c_is_no_error(self, capsys: pytest.CaptureFixture[str]) -> None:
        sys.excepthook(KeyboardInterrupt, KeyboardInterrupt(), None)

        assert capsys.readouterr().err == ""


def test_a_program_that_fails_shows_one_sentence_and_exits_1(isolated_environment: Path) -> None:
    program = (
        "from launcher import diagnostics\n"
        "diagnostics.setup_logging(console=True)\n"
        "diagnostics.install_last_resort_handlers()\n"
        "raise ValueError('secret=abcdefgh')\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=False, env=dict(os.environ)
    )

    assert run.returncode == 1
    assert run.stderr.count("\n") == 1
    assert "Traceback" not in run.stderr
    log = (isolated_environment / "state" / "logs" / "launcher.log").read_text(encoding="utf-8")
    assert "ValueError: secret=[hidden]" in log
