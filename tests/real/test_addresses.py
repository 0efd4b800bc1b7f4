"""OLLAMA_HOST as ``ollama serve`` reads it, beside :meth:`Address.parse`.

Each server runs in a network namespace of its own: it may bind any address and port there, reaches nobody and is
reached by nobody, and a name that it looks up stays inside.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from launcher.domain.address import Address, InvalidAddress
from tests.support.machine import Machine
from tests.support.waiting import wait_until

pytestmark = pytest.mark.real_ollama

_CONFIG = re.compile(r"\bOLLAMA_HOST:(?P<scheme>[^ ]*?)://(?P<authority>[^/ ]*)(?P<path>/[^ ]*)? OLLAMA_")
_LISTENING = re.compile(r'msg="Listening on (\S+) \(version')
_BIND_FAILED = re.compile(r"Error: listen tcp (\S+): bind: ")
_LOOKED_UP = re.compile(r"Error: listen tcp: lookup (.+?)(?: on \S+)?: ")

# The table of the documentation, and what people type.
SAME = [
    *("", "0.0.0.0", ":12345", "::1", "[::1]:777", "[::]", "::", "example.com", "http://1.2.3.4", "https://127.0.0.1"),
    *("https://127.0.0.1/ollama", "127.0.0.1:0", "127.0.0.1:99999", "127.0.0.1:abc", "127.0.0.1:", ":", ":/x"),
    *("127.0.0.1:-1", "127.0.0.1:+5000", "127.0.0.1:05000", "127.0.0.1: 80", "127.0.0.1:65535", "127.0.0.1:65536"),
    *("127.0.0.1:4294967376", "127.0.0.1:18446744073709551616", "127.0.0.1:1e3", "127.0.0.1:0x50", "127.0.0.1:5_000"),
    *("127.0.0.1:５０００", "127.0.0.1:5000?x=1", "127.0.0.1:5000#f", "127.0.0.1/path/", "/path", "[]:5000"),
    *("localhost", "localhost:5000", "LOCALHOST", " 127.0.0.1:5000 ", '"127.0.0.1:5000"', "'127.0.0.1:5000'"),
    *('" 127.0.0.1:5000 "', "\t127.0.0.1:5000\n", "http://", "https://", "http://:5000", "http://[::1]", "[::1]:"),
    *("[::1", "::1]", "[fe80::1%lo]:5000", "fe80::1%lo", "::ffff:1.2.3.4", "http:/127.0.0.1", "http:127.0.0.1"),
    *("http://http://127.0.0.1", "my_host:5000", "bücher.example", "ollama.com:443", "http://ollama.com"),
]
# Refused by us, and the server gets nowhere with them either.
NOWHERE = [
    *("127.0.0.1:5000:6000", "[::1]x", "user@127.0.0.1", "user:word@127.0.0.1:5000", "127.0.0.1\\x", "*", "*:5000"),
    *("a..b", "a b"),
]
# Refused by us though the server binds something: no client could use them as they are.
BOUND_ALL_THE_SAME = ["ftp://127.0.0.1:5000", "HTTP://127.0.0.1", "://127.0.0.1", "[]"]


@dataclass(frozen=True)
class Bound:
    """What a server made of OLLAMA_HOST."""

    log: str

    @property
    def warned(self) -> bool:
        return "invalid port, using default" in self.log

    @property
    def listens(self) -> str | None:
        found = _LISTENING.search(self.log)
        return None if found is None else found[1]


Serve = Callable[[str], Bound]


@pytest.fixture(scope="session")
def alone() -> list[str]:
    """The command that runs another in a network namespace of its own."""
    unshare = shutil.which("unshare")
    for words in (["-n"], ["-r", "-n"]):
        if unshare is not None and subprocess.run([unshare, *words, "true"], capture_output=True).returncode == 0:
            return [unshare, *words]
    pytest.skip("Linux, with the right to make network namespaces")


@pytest.fixture
def serve_alone(machine: Machine, alone: list[str], tmp_path: Path) -> Iterator[Serve]:
    log = tmp_path / "serve.log"

    def serve(host: str) -> Bound:
        with log.open("wb") as file:
            process = subprocess.Popen(
                [*alone, machine.environ["OLLAMA_LAUNCHER_OLLAMA"], "serve"],
                env={**machine.environ, "OLLAMA_HOST": host},
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
            )
        try:
            wait_until(lambda: _LISTENING.search(log.read_text()) or process.poll() is not None, message=repr(host))
        finally:
            process.kill()
            process.wait(5)
        return Bound(log.read_text())

    yield serve
    for process in machine.processes():
        with suppress(psutil.Error):
            process.kill()


@pytest.mark.parametrize("host", SAME, ids=ascii)
def test_the_server_binds_what_we_read(serve_alone: Serve, host: str) -> None:
    address = Address.parse(host)
    bound = serve_alone(host)
    assert bound.warned == bool(address.warning), bound.log
    if bound.listens is not None:
        config = _CONFIG.search(bound.log)
        assert config is not None, bound.log
        bare, _, port = config["authority"].rpartition(":")
        read = (config["scheme"], bare.strip("[]"), int(port), (config["path"] or "").rstrip("/"))
        assert read == (address.scheme, address.host, address.port, address.path)
    elif failed := _BIND_FAILED.search(bound.log):
        assert failed[1] == address.bind
    else:
        looked_up = _LOOKED_UP.search(bound.log)
        assert looked_up is not None, bound.log
        assert looked_up[1] == address.host

    # What a child of ours is given must lead to the same place, and says so without a warning.
    given = serve_alone(address.bind)
    assert not given.warned
    if address.port:
        assert given.listens == bound.listens, (bound.log, given.log)


@pytest.mark.parametrize("host", NOWHERE, ids=repr)
def test_what_we_refuse_gets_the_server_nowhere(serve_alone: Serve, host: str) -> None:
    with pytest.raises(InvalidAddress):
        Address.parse(host)
    assert serve_alone(host).listens is None


@pytest.mark.parametrize("host", BOUND_ALL_THE_SAME, ids=repr)
def test_what_we_refuse_on_purpose(serve_alone: Serve, host: str) -> None:
    with pytest.raises(InvalidAddress):
        Address.parse(host)
    assert serve_alone(host).listens is not None
