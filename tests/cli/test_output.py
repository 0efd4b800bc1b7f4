"""What reaches a terminal: nothing in the words of a server may steer it."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from launcher.cli import output
from tests.cli.launched import Launched

TITLE_OF_WINDOW = "\x1b]0;owned\x07"
EVIL = f"a{TITLE_OF_WINDOW}\x9b2J\u202egpj.exe\u2066\x7f\rb"
"""A sequence that sets a title, C1's short form of one that clears the screen, and letters in another order."""


def steering(text: str) -> list[str]:
    bidi = "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
    return [sign for sign in text if (ord(sign) < 32 and sign not in "\n\t") or 127 <= ord(sign) < 160 or sign in bidi]


def test_words_for_people_steer_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    output.say(EVIL)
    output.remark(EVIL)
    output.complain_of(EVIL, EVIL)
    for line in output.table(["NAME"], [[EVIL]]):
        output.say(line)
    told = capsys.readouterr()
    assert steering(told.out + told.err) == []
    assert told.out.splitlines()[0] == "a\ufffd]0;owned\ufffd\ufffd2J\ufffdgpj.exe\ufffd\ufffd\ufffdb"
    assert told.err.splitlines()[1].startswith("Error: a\ufffd]0;")


def test_lines_and_tabs_stay_but_not_in_a_table(capsys: pytest.CaptureFixture[str]) -> None:
    output.say("one\r\n\ttwo")
    assert capsys.readouterr().out == "one\n\ttwo\n"
    assert output.table(["NAME"], [["a\nb\tc"]]) == ["NAME", "a\ufffdb\ufffdc"]


def test_every_character_that_steers_is_replaced_and_no_other(capsys: pytest.CaptureFixture[str]) -> None:
    every = "".join(map(chr, (*range(0xD800), *range(0xE000, 0x10000))))
    output.say(every)
    shown = capsys.readouterr().out[:-1]
    assert steering(shown) == []
    assert {sign for sign in every if sign not in shown} == set(steering(every))


def test_a_fact_is_exact_and_steers_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    output.fact({"name": EVIL, "other": "grün\n"})
    told = capsys.readouterr().out
    assert steering(told) == []
    assert "grün" in told
    assert json.loads(told) == {"name": EVIL, "other": "grün\n"}


class _Evil(BaseHTTPRequestHandler):
    """Answers as Ollama does, in words that steer a terminal."""

    def do_GET(self) -> None:
        model = {
            "name": EVIL,
            "model": EVIL,
            "size": 1,
            "details": {"parameter_size": EVIL, "quantization_level": EVIL},
        }
        self._answer({"version": EVIL, "models": [model]}, 200)

    def do_POST(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        self.rfile.read(length)
        if self.path == "/api/show":
            self._answer({"system": EVIL, "parameters": EVIL, "license": EVIL, "details": {"family": EVIL}}, 200)
        else:
            self._answer({"error": EVIL}, 500)

    def _answer(self, value: object, status: int) -> None:
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base's name
        """Tell nobody."""


@pytest.fixture
def evil_server() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), _Evil) as server:
        serving = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        serving.start()
        try:
            yield f"127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            serving.join()


@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param(("status",), id="status"),
        pytest.param(("models", "list"), id="list"),
        pytest.param(("models", "list", "--json"), id="list as JSON"),
        pytest.param(("models", "show", "x"), id="show"),
        pytest.param(("models", "load", "x"), id="an error"),
        pytest.param(("models", "pull", "x"), id="an error of a pull"),
        pytest.param(("models", "pull", "x", "--json"), id="an error of a pull as JSON"),
    ],
)
def test_a_server_cannot_steer_the_terminal(launched: Launched, evil_server: str, arguments: tuple[str, ...]) -> None:
    ended = launched.run(*arguments, "--host", evil_server)
    assert "owned" in ended.out + ended.err
    assert steering(ended.out + ended.err) == []
