"""Where an Ollama server listens and where it is reached, read by the rules of ``OLLAMA_HOST``.

The rules are Go's own, surprises included: without a scheme the port defaults to 11434, with ``http://`` to 80, and
``:8080`` binds every interface (envconfig/config.go ``Host``, 0.33). What Go lets pass but nothing can connect to
(an unknown scheme, a space in a host name) is refused here with a reason. Opens no connection and looks up no name.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from ipaddress import AddressValueError, IPv4Address, IPv6Address

from launcher.domain.names import GO_SPACES
from launcher.errors import InvalidInput, sentence

DEFAULT_HOST = "127.0.0.1"
DEFAULT_PORT = 11434
_SCHEME_PORTS = {"http": 80, "https": 443}
_HIGHEST_PORT = 65535
_PORT = re.compile(r"[+-]?[0-9]{1,10}", re.ASCII)
_ZONE = re.compile(r"[A-Za-z0-9._~-]+", re.ASCII)
_EXAMPLES = "Addresses look like 127.0.0.1:11434, http://server.lan:11434 or https://example.com/ollama."


class InvalidAddress(InvalidInput):
    """A text that cannot be the address of a server. ``reason`` says why, in one sentence."""

    def __init__(self, text: str, reason: str) -> None:
        shown = text if text.isprintable() and len(text) <= 80 else repr(text[:80])[1:-1]
        if "@" in shown:
            shown = "…" + shown[shown.rindex("@") :]  # what stands before it may be a password
        super().__init__(
            sentence("“{shown}” is not an address of a server. {reason}", shown=shown, reason=reason), hint=_EXAMPLES
        )
        self.text = text
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Address:
    """One address, both as a server binds it and as a client connects to it.

    ::

        Address.parse("0.0.0.0").bind                    "0.0.0.0:11434"
        Address.parse("0.0.0.0").base_url                "http://127.0.0.1:11434"
        Address.parse("http://box.lan/v1").base_url      "http://box.lan:80"
        Address.parse("127.0.0.1:99999").warning         "99999 is not a port; 11434 is used instead."
    """

    scheme: str
    host: str
    """Without brackets; empty means every interface."""
    port: int
    path: str
    """A prefix of every route: empty, or beginning with “/” and not ending with one."""
    warning: str = ""
    """One sentence when something was asked for that the server will not do; else empty."""

    @classmethod
    def parse(cls, text: str) -> Address:
        """Read ``OLLAMA_HOST`` or what a person typed; an empty text is the default. Raises InvalidAddress."""
        cleaned = text.strip(GO_SPACES).strip("\"'").strip(GO_SPACES)
        scheme, separator, rest = cleaned.partition("://")
        if not separator:
            scheme, rest = "http", cleaned
            if cleaned == "ollama.com":
                scheme, rest = "https", "ollama.com:443"
        elif scheme not in _SCHEME_PORTS:
            raise InvalidAddress(
                text, sentence("“{scheme}://” is not understood, only http:// and https:// are.", scheme=scheme)
            )
        default_port = _SCHEME_PORTS[scheme] if separator else DEFAULT_PORT

        host_and_port, _, path = rest.partition("/")
        split = _split_host_port(host_and_port)
        if split is None:
            host, port, warning = host_and_port or DEFAULT_HOST, default_port, ""
            literal = _ip_text(host_and_port.strip("[]"))
            if literal is not None:
                host = literal
        else:
            host = split[0]
            port, warning = _port(split[1], default_port)
        reason = "It must not contain a user name or password." if "@" in host_and_port else _refusal(host, path)
        if reason:
            raise InvalidAddress(text, reason)
        return cls(scheme, host, port, _prefix(path), warning)

    @property
    def bind(self) -> str:
        """What a child gets as ``OLLAMA_HOST``: it serves plain http without a prefix, whatever a client is told."""
        return f"{_bracketed(self.host)}:{self.port}"

    @property
    def connectable(self) -> Address:
        """The same server as a client reaches it: a bind address for every interface becomes loopback.

        Connecting to 0.0.0.0 works on Linux and fails on Windows (envconfig/config.go ``ConnectableHost``, 0.33).
        """
        ip = _ip(self.host)
        if not self.host or (isinstance(ip, IPv4Address) and ip.is_unspecified):
            return replace(self, host="127.0.0.1")
        if ip is not None and ip.is_unspecified:
            return replace(self, host="::1")
        return self

    @property
    def base_url(self) -> str:
        """The connectable URL, without a slash at the end."""
        target = self.connectable
        return f"{target.scheme}://{_bracketed(target.host)}:{target.port}{target.path}"

    @property
    def is_loopback(self) -> bool:
        """True when only this machine can be meant, taken as a bind address: false for 0.0.0.0.

        For “do I talk to this machine” ask ``address.connectable.is_loopback``.
        """
        name = self.host.lower().rstrip(".")
        if name == "localhost" or name.endswith(".localhost"):
            return True
        ip = _ip(self.host)
        return ip is not None and ip.is_loopback

    @property
    def exposed(self) -> bool:
        """True when a server bound here can be reached by more than this machine."""
        return not self.is_loopback

    def with_port(self, port: int) -> Address:
        """Return the same place on another port."""
        return replace(self, port=port, warning="")

    def __str__(self) -> str:
        return self.base_url


def _split_host_port(text: str) -> tuple[str, str] | None:
    """Split as Go's net.SplitHostPort does; None where that is an error (no port, stray brackets or colons)."""
    head, colon, port = text.rpartition(":")
    if not colon:
        return None
    if text.startswith("["):
        end = text.find("]")
        if end != len(head) - 1:
            return None
        host, rest = text[1:end], text[end + 1 :]
        if "[" in text[1:] or "]" in rest:
            return None
        return host, port
    if ":" in head or "[" in text or "]" in text:
        return None
    return head, port


def _port(text: str, default_port: int) -> tuple[int, str]:
    """Read a port as the server does: nonsense is not an error but the default, with a warning."""
    if _PORT.fullmatch(text) and 0 <= int(text) <= _HIGHEST_PORT:
        return int(text), ""
    named: str = sentence("“{text}” is not a port", text=text) if text else "There is no port after the “:”"
    return default_port, sentence("{named}; {default_port} is used instead.", named=named, default_port=default_port)


def _prefix(path: str) -> str:
    """Normalise the path; a trailing ``/v1``, which OpenAI-style settings carry, is not part of the prefix."""
    pieces = [piece for piece in path.split("/") if piece]
    if pieces and pieces[-1] == "v1":
        pieces.pop()
    return "".join(f"/{piece}" for piece in pieces)


def _refusal(host: str, path: str) -> str | None:
    """Say why nothing can connect there; None: something might."""
    if any(c.isspace() or not c.isprintable() for c in host + path):
        return "It must not contain spaces or invisible characters."
    if any(c in "?#\\" for c in host + path):
        return "It must not contain “?”, “#” or “\\”."
    if ":" in host or "%" in host:
        address, percent, zone = host.partition("%")
        if _ip(address) is None or ":" not in address or (percent and not _ZONE.fullmatch(zone)):
            return "The host name is not possible."
        return None
    labels = host.removesuffix(".").split(".") if host else []
    if not all(
        label and len(label.encode()) <= 63 and all(c.isalnum() or c in "-_" for c in label) for label in labels
    ):
        return "The host name is not possible."
    return None


def _ip(text: str) -> IPv4Address | IPv6Address | None:
    """Read an IP address without a zone, as Go's net.ParseIP does."""
    for kind in (IPv4Address, IPv6Address):
        try:
            return kind(text.partition("%")[0] if kind is IPv6Address else text)
        except AddressValueError:
            continue
    return None


def _ip_text(text: str) -> str | None:
    """Write an IP address in Go's canonical form; None when it is none, or has a zone."""
    ip = None if "%" in text else _ip(text)
    if isinstance(ip, IPv6Address) and ip.ipv4_mapped is not None:
        return str(ip.ipv4_mapped)
    return None if ip is None else str(ip)


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
