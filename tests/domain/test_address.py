"""Addresses, against what envconfig/config.go ``Host`` (0.33) makes of the same texts."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from launcher.domain.address import Address, InvalidAddress


@pytest.mark.parametrize(
    ("text", "bind", "url"),
    [
        pytest.param("", "127.0.0.1:11434", "http://127.0.0.1:11434", id="empty"),
        pytest.param("  '\" 1.2.3.4 \"' ", "1.2.3.4:11434", "http://1.2.3.4:11434", id="spaces and quotes"),
        pytest.param("0.0.0.0", "0.0.0.0:11434", "http://127.0.0.1:11434", id="every IPv4 interface"),
        pytest.param("[::]", "[::]:11434", "http://[::1]:11434", id="every interface"),
        pytest.param("0:0:0:0:0:0:0:0", "[::]:11434", "http://[::1]:11434", id="every interface, written out"),
        pytest.param(":12345", ":12345", "http://127.0.0.1:12345", id="only a port binds everything"),
        pytest.param("::1", "[::1]:11434", "http://[::1]:11434", id="bare IPv6"),
        pytest.param("[::1]", "[::1]:11434", "http://[::1]:11434", id="IPv6 in brackets"),
        pytest.param("[::1", "[::1]:11434", "http://[::1]:11434", id="IPv6 with half its brackets"),
        pytest.param("[::1]:777", "[::1]:777", "http://[::1]:777", id="IPv6 and port"),
        pytest.param("::ffff:1.2.3.4", "1.2.3.4:11434", "http://1.2.3.4:11434", id="IPv4 in IPv6"),
        pytest.param("fe80::1%eth0", "[fe80::1%eth0]:11434", "http://[fe80::1%eth0]:11434", id="zone"),
        pytest.param("example.com", "example.com:11434", "http://example.com:11434", id="name"),
        pytest.param("example.com.", "example.com.:11434", "http://example.com.:11434", id="rooted name"),
        pytest.param("my_box:8080", "my_box:8080", "http://my_box:8080", id="underscore"),
        pytest.param("http://1.2.3.4", "1.2.3.4:80", "http://1.2.3.4:80", id="http means port 80"),
        pytest.param("https://1.2.3.4", "1.2.3.4:443", "https://1.2.3.4:443", id="https means port 443"),
        pytest.param("https://x/ollama", "x:443", "https://x:443/ollama", id="path"),
        pytest.param("x/a/b/", "x:11434", "http://x:11434/a/b", id="deep path"),
        pytest.param("http://x:1/v1", "x:1", "http://x:1", id="v1"),
        pytest.param("http://x:1/v1/", "x:1", "http://x:1", id="v1 and slash"),
        pytest.param("http://x:1/ollama/v1", "x:1", "http://x:1/ollama", id="v1 behind a path"),
        pytest.param("http://x:1/v1/y", "x:1", "http://x:1/v1/y", id="v1 that is not at the end"),
        pytest.param("ollama.com", "ollama.com:443", "https://ollama.com:443", id="ollama.com"),
        pytest.param("ollama.com/x", "ollama.com:11434", "http://ollama.com:11434/x", id="not only ollama.com"),
        pytest.param("127.0.0.1:0", "127.0.0.1:0", "http://127.0.0.1:0", id="port 0"),
        pytest.param("127.0.0.1:080", "127.0.0.1:80", "http://127.0.0.1:80", id="leading zero"),
        pytest.param("127.0.0.1:+80", "127.0.0.1:80", "http://127.0.0.1:80", id="sign"),
        pytest.param("[1.2.3.4]:80", "1.2.3.4:80", "http://1.2.3.4:80", id="IPv4 in brackets"),
    ],
)
def test_read_as_go_does(text: str, bind: str, url: str) -> None:
    address = Address.parse(text)
    assert (address.bind, address.base_url, address.warning) == (bind, url, "")
    assert str(address) == url


@pytest.mark.parametrize(
    ("text", "bind"),
    [
        pytest.param("127.0.0.1:99999", "127.0.0.1:11434", id="too high"),
        pytest.param("127.0.0.1:-1", "127.0.0.1:11434", id="negative"),
        pytest.param("127.0.0.1:99999999999999999999", "127.0.0.1:11434", id="beyond all numbers"),
        pytest.param("127.0.0.1:١", "127.0.0.1:11434", id="digits that are not ASCII"),
        pytest.param("127.0.0.1:1_0", "127.0.0.1:11434", id="what only Python takes for a number"),
        pytest.param(":abc", ":11434", id="no number"),
        pytest.param("x:", "x:11434", id="no port"),
        pytest.param("http://x:http", "x:80", id="default of the scheme"),
    ],
)
def test_an_impossible_port_is_the_default_with_a_warning(text: str, bind: str) -> None:
    address = Address.parse(text)
    assert address.bind == bind
    assert address.warning.endswith(f"{address.port} is used instead.")
    assert not address.with_port(1).warning


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("ftp://x", id="scheme"),
        pytest.param("HTTP://x", id="scheme in capitals, which Go does not know"),
        pytest.param("not a host", id="spaces"),
        pytest.param("x\0y", id="invisible"),
        pytest.param("\x1cx", id="a separator that Go does not trim"),
        pytest.param("http://x/a b", id="space in the path"),
        pytest.param("http://x/?a=1", id="query"),
        pytest.param("x#y", id="fragment"),
        pytest.param("x\\y", id="backslash"),
        pytest.param("a..b", id="empty label"),
        pytest.param("x" * 64, id="long label"),
        pytest.param("1:2:3", id="too many colons"),
        pytest.param("[x]", id="brackets"),
        pytest.param("[a:b]:3", id="brackets around no address"),
        pytest.param("[::1]x:3", id="text behind brackets"),
        pytest.param("[fe80::1%eth0]", id="zone in brackets without a port, which Go breaks"),
        pytest.param("x%y", id="zone of a name"),
        pytest.param("fe80::1%é", id="impossible zone"),
    ],
)
def test_what_nothing_can_connect_to_is_refused(text: str) -> None:
    with pytest.raises(InvalidAddress) as caught:
        Address.parse(text)
    assert caught.value.reason in caught.value.title
    assert caught.value.title.isprintable()


@pytest.mark.parametrize("text", ["user:secret@x", "https://user:secret@x/y", "secret@x:1"])
def test_a_password_is_refused_and_not_repeated(text: str) -> None:
    with pytest.raises(InvalidAddress) as caught:
        Address.parse(text)
    assert "secret" not in caught.value.title


@pytest.mark.parametrize(
    ("text", "loopback", "connects_to_loopback"),
    [
        ("127.0.0.1", True, True),
        ("127.9.9.9:1", True, True),
        ("[::1]:1", True, True),
        ("::ffff:127.0.0.1", True, True),
        ("localhost", True, True),
        ("LOCALHOST.", True, True),
        ("box.localhost", True, True),
        ("0.0.0.0", False, True),
        ("[::]", False, True),
        (":1", False, True),
        ("192.168.1.2", False, False),
        ("localhost.example.com", False, False),
        ("127.0.0.1.example.com", False, False),
    ],
)
def test_who_can_reach_it(text: str, loopback: bool, connects_to_loopback: bool) -> None:
    address = Address.parse(text)
    assert address.is_loopback is loopback
    assert address.exposed is not loopback
    assert address.connectable.is_loopback is connects_to_loopback


pieces = st.sampled_from(
    [
        *["http://", "https://", "://", ":", "/", "//", "[", "]", "%", ".", "-", "@", " ", "'", '"', "?", "é", "\n"],
        *["localhost", "127.0.0.1", "::1", "::", "0.0.0.0", "x", "v1", "80", "0", "99999", "fe80::1", "eth0"],
    ]
)


@given(st.one_of(st.lists(pieces, max_size=8).map("".join), st.text(max_size=20)))
@example("[::1]]:1")
@example("[[::1]:1")
def test_any_text_is_an_address_or_refused(text: str) -> None:
    try:
        address = Address.parse(text)
    except InvalidAddress:
        return
    assert 0 <= address.port <= 65535
    # What a child gets is read as what was meant, and the URL leads to the same place.
    again = Address.parse(address.bind)
    assert (again.host, again.port, again.warning) == (address.host, address.port, "")
    assert Address.parse(address.base_url).base_url == address.base_url
    assert address.connectable.connectable == address.connectable
