"""Who holds a port is named as far as the system tells."""

from __future__ import annotations

import errno
import os
import socket
import sys
from collections.abc import Iterator
from contextlib import ExitStack

import psutil
import pytest

from launcher.server.port import Holder, bound_at, is_port_bindable, port_holder

pytestmark = pytest.mark.anyio

_linux = pytest.mark.skipif(sys.platform != "linux", reason="reads Linux's socket table")


@pytest.fixture
def sockets() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def _listen(sockets: ExitStack, host: str, port: int = 0) -> int:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = sockets.enter_context(socket.socket(family))
    try:
        listener.bind((host, port))
    except OSError as error:
        if error.errno in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT) and family == socket.AF_INET6:
            pytest.xfail("this machine has no IPv6")
        raise
    listener.listen()
    return int(listener.getsockname()[1])


@_linux
@pytest.mark.parametrize(
    ("listening", "asked"),
    [
        pytest.param("127.0.0.1", "127.0.0.1", id="same"),
        pytest.param("127.0.0.1", "localhost", id="by name"),
        pytest.param("127.0.0.1", "0.0.0.0", id="wish for all"),
        pytest.param("127.0.0.1", "", id="wish for all, empty"),
        pytest.param("0.0.0.0", "127.0.0.1", id="held on all"),
        pytest.param("::1", "::1", id="IPv6"),
        pytest.param("::1", "[::1]", id="IPv6 in brackets"),
        pytest.param("::", "127.0.0.1", id="held on all, IPv6"),
    ],
)
def test_we_are_found_ourselves(sockets: ExitStack, listening: str, asked: str) -> None:
    port = _listen(sockets, listening)
    holder = port_holder(asked, port)
    assert holder is not None
    assert holder.pid == os.getpid()
    assert holder.name
    assert holder.user
    assert holder.command
    assert " ".join(psutil.Process().cmdline()).startswith(holder.command)
    assert holder.sentence() == f"Port {port} is used by {holder.name} (process {os.getpid()})."


@pytest.mark.parametrize("asked", ["127.0.0.1", "0.0.0.0", "::1", "256.1.1.1.1"])
def test_a_free_port_has_no_holder(free_port: int, asked: str) -> None:
    assert port_holder(asked, free_port) is None


@_linux
def test_the_addresses_that_are_listened_at(sockets: ExitStack, free_port: int) -> None:
    assert bound_at(free_port) == ()
    port = _listen(sockets, "127.0.0.1")
    _listen(sockets, "127.0.0.2", port)
    assert bound_at(port) == ("127.0.0.1", "127.0.0.2")


@_linux
def test_another_address_of_this_computer_is_no_obstacle(sockets: ExitStack) -> None:
    port = _listen(sockets, "127.0.0.2")
    assert port_holder("127.0.0.1", port) is None
    assert port_holder("127.0.0.2", port) is not None


@_linux
def test_a_connection_is_no_listener(sockets: ExitStack) -> None:
    port = _listen(sockets, "127.0.0.1")
    client = sockets.enter_context(socket.create_connection(("127.0.0.1", port)))
    assert port_holder("127.0.0.1", client.getsockname()[1]) is None


@pytest.mark.parametrize(
    ("holder", "sentence"),
    [
        pytest.param(Holder(80, 7, "nginx", "root", "nginx -g"), "Port 80 is used by nginx (process 7).", id="all"),
        pytest.param(Holder(80, 7), "Port 80 is used by a program (process 7).", id="no name"),
        pytest.param(Holder(80, user="root"), "Port 80 is used by a program of the user root.", id="user only"),
        pytest.param(Holder(80), "Port 80 is used by another program.", id="nothing"),
    ],
)
def test_a_holder_is_a_sentence(holder: Holder, sentence: str) -> None:
    assert holder.sentence() == sentence


def test_a_port_is_tried(sockets: ExitStack, free_port: int) -> None:
    assert is_port_bindable("127.0.0.1", free_port)
    port = _listen(sockets, "127.0.0.1")
    assert not is_port_bindable("127.0.0.1", port)
    assert is_port_bindable("192.0.2.1", port), "not ours is not taken"
    assert not is_port_bindable("256.1.1.1.1", port)
