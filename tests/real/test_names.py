"""The grammar of model names against the server itself: what it accepts is accepted, what it refuses is refused."""

from __future__ import annotations

import http.client
import json
import random
from collections.abc import Callable, Iterator
from contextlib import closing

import pytest

from launcher.domain.names import InvalidModelName, ModelName
from tests.real.conftest import Serve
from tests.support.machine import Machine

pytestmark = pytest.mark.real_ollama

SEED = 20261121
COUNT = 300

PIECES = [
    *("a", "Z", "7", "_", "-", ".", "tiny", "llama3.2", "user", "hf.co", "latest", "8b", "Q4_K_M"),
    *("/", "//", ":", "::", "://", "http://", "https://", "@", "@sha256:ab", "cloud", "local", "-cloud", ":cloud"),
    *(":local", ":CLOUD", ":Local", ":latest", " ", "\t", "\n", "\u00a0", "\u200b", "\u2003", "\u3000", "\ufeff"),
    *("\x1c", "\x1f", "\x00", "\x7f", "\x85", "é", "ß", "ı", "K", "模型", "🦙", "e\u0301", "\u202e", "ſ"),
    *("%2F", "%", "?", "#", "\\", "'", '"', "<", "&", "..", "../", "~", "+", "=", ",", ";", "*", "|", "$"),
]

# Limits and oddities that chance would not find.
CHOSEN = [
    *("", " ", "/", ":", "a", "a:", ":a", "a:b:c", "a/b", "a/b/c", "a/b/c/d", "a//b", "/a", "a/", "a/b/", "//a"),
    *("x" * 80, "x" * 81, "a:" + "x" * 80, "a:" + "x" * 81, "n" * 80 + "/a", "n" * 81 + "/a"),
    *("h" * 350 + "/n/a", "h" * 351 + "/n/a", "é" * 40, "a:é"),
    *("localhost:5000/x", "localhost:5000/library/x", "localhost:5000/library/x:y", "[::1]:5000/library/x"),
    *("http://h/n/a", "https://h/n/a:t", "://h/n/a", "http:///n/a", "http://n/a", "http://a", "ftp://h/n/a", "h://"),
    *("a@sha256:" + "0" * 64, "a:b@sha256:" + "0" * 64, "sha256:" + "0" * 64, "n.n/a", "n-n/a", "-n/a", "_n/a"),
    *("-a", ".a", "_a", "a-", "a.", "a:-b", "a:.b", "a:_b", "-h/n/a", ".h/n/a", "_h/n/a", "h-/n/a", "h:/n/a"),
    *("a:cloud", "a-cloud", "a:8b-cloud", "a:8b:cloud", "a:cloud:cloud", "a:local", "a:local:cloud", "a:cloud:local"),
    *("a:-cloud", ":cloud", ":local", "-cloud", "a: cloud", "a:cloud ", "a:8b-CLOUD", "a:Cloud", "a/b:cloud"),
    *("a:8b-cloud:cloud", "a:local-cloud", "a:cloud-cloud", "a::cloud", "a:b:c:cloud", "a/cloud", "cloud", "local"),
    *("a:x/-cloud", "h:5-cloud/n/a", "a:cloud/b", "h:1/n/a:cloud", "h:1/n/a-cloud", "a:-local", "a:b-local"),
    *(" a ", "\ta\n", "\u2003a\u3000", "\u200ba", "a\u200b", "\ufeffa", "\x1ca", "a\x1f", "\x85a\xa0", "a b", "a\x00"),
]


def made_up() -> list[str]:
    source = random.Random(SEED)
    names = ["".join(source.choices(PIECES, k=source.randint(1, 7))) for _ in range(COUNT)]
    # Whole names with one thing wrong, or right after all.
    for _ in range(COUNT):
        name = list(source.choice(["tiny", "user/tiny:8b", "hf.co/user/tiny:Q4", "tiny:8b-cloud", "h:5/n/m"]))
        name.insert(source.randint(0, len(name)), source.choice(PIECES))
        names.append("".join(name))
    return names


Ask = Callable[[str, object], tuple[int, str]]


@pytest.fixture
def ask(machine: Machine, serve: Serve) -> Iterator[Ask]:
    """Post something to the server; gives the status and the error text."""
    serve(machine.port)
    with closing(http.client.HTTPConnection("127.0.0.1", machine.port, timeout=10)) as connection:

        def ask(path: str, body: object) -> tuple[int, str]:
            connection.request("POST", path, json.dumps(body))
            answer = connection.getresponse()
            content = answer.read()
            return answer.status, json.loads(content).get("error", "") if content else ""

        yield ask


NAMES = [pytest.param(CHOSEN, id="chosen"), pytest.param(made_up(), id="made-up")]


@pytest.mark.parametrize("names", NAMES)
def test_the_parser_accepts_what_the_server_accepts(ask: Ask, names: list[str]) -> None:
    differences = {}
    accepted = 0
    for name in names:
        status, text = ask("/api/show", {"model": name})
        # A host may have 350 bytes, which hardly any file system allows: the grammar has accepted it all the same.
        assert status in (400, 403, 404) or "file name too long" in text, (name, status, text)
        accepted += status != 400
        if is_accepted(ModelName.parse, name) != (status != 400):
            differences[name] = (status, text)
    assert differences == {}
    assert len(names) // 10 < accepted < len(names) * 9 // 10  # both kinds were really asked


@pytest.mark.parametrize("names", NAMES)
def test_the_exact_parser_accepts_what_copy_accepts(ask: Ask, names: list[str]) -> None:
    differences = {}
    for name in names:
        status, text = ask("/api/copy", {"source": name, "destination": "other"})
        assert status in (400, 404) or "file name too long" in text, (name, status, text)
        if is_accepted(ModelName.parse_exact, name) != (status != 400):
            differences[name] = (status, text)
    assert differences == {}


@pytest.mark.parametrize("names", NAMES)
def test_the_parser_means_what_the_server_looks_for(ask: Ask, names: list[str]) -> None:
    """A name that is not there is repeated in the answer as the server understood it."""
    differences = {}
    for name in names:
        status, text = ask("/api/show", {"model": name})
        if status == 404 and text != f"model '{ModelName.parse(name).display}' not found":
            differences[name] = (text, ModelName.parse(name).display)
    assert differences == {}


def is_accepted(parse: Callable[[str], ModelName], name: str) -> bool:
    try:
        parse(name)
    except InvalidModelName:
        return False
    return True
