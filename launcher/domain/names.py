"""The names of language models, by the rules of the server: what it accepts is accepted, what it refuses is refused.

The grammar is ``[scheme://][host/][namespace/]model[:tag]`` (types/model/name.go, 0.33); a host needs all three
parts. Most routes read ``:cloud``, ``-cloud`` and ``:local`` at the end as the source of a model, not as its tag
(internal/modelref/modelref.go, 0.33). Knows nothing of what exists: a possible name may name nothing.
"""

from __future__ import annotations

import string
from dataclasses import dataclass

from launcher.errors import InvalidInput, sentence

DEFAULT_HOST = "registry.ollama.ai"
DEFAULT_NAMESPACE = "library"
DEFAULT_TAG = "latest"

# What Go's strings.TrimSpace removes. str.strip() would also take U+001C to U+001F, which the server refuses.
GO_SPACES = "\t\n\v\f\r \x85\xa0\u1680" + "".join(map(chr, range(0x2000, 0x200B))) + "\u2028\u2029\u202f\u205f\u3000"

_FIRST = frozenset(string.ascii_letters + string.digits + "_")
_EXAMPLES = "Names look like llama3.2:1b, user/model:tag or hf.co/user/repository:Q4_K_M."
_SHOWN_CHARACTERS = 60


@dataclass(frozen=True, slots=True)
class _Part:
    """What one part of a name may hold."""

    called: str
    further: frozenset[str]
    """Characters allowed after the first one; the first is a letter, a digit or ``_``."""
    longest_bytes: int


_HOST = _Part("host", _FIRST | frozenset("-.:"), 350)
_NAMESPACE = _Part("namespace", _FIRST | frozenset("-"), 80)
_MODEL = _Part("model", _FIRST | frozenset("-."), 80)
_TAG = _Part("tag", _FIRST | frozenset("-."), 80)


class InvalidModelName(InvalidInput):
    """A text that the server would refuse as a name. ``reason`` says why, in one sentence."""

    def __init__(self, text: str, reason: str) -> None:
        super().__init__(
            sentence("{name} cannot be the name of a model. {reason}", name=_quoted(text), reason=reason),
            hint=_EXAMPLES,
        )
        self.text = text
        self.reason = reason


@dataclass(frozen=True, slots=True)
class ModelName:
    """A whole name: what was left out is filled with the server's defaults. Spelling is kept, the scheme is not.

    ::

        ModelName.parse("qwen3").display                 "qwen3:latest"
        ModelName.parse(" user/m:8b ").full              "registry.ollama.ai/user/m:8b"
        ModelName.parse("gpt-oss:20b:cloud").display     "gpt-oss:20b-cloud"
        ModelName.parse_exact("backup:local").tag        "local"
    """

    host: str
    namespace: str
    model: str
    tag: str

    @classmethod
    def parse(cls, text: str) -> ModelName:
        """Read a name as pull, delete, show, chat and generate do: spaces trimmed, source suffix understood.

        Raises InvalidModelName.
        """
        trimmed = text.strip(GO_SPACES)
        if not trimmed:
            raise InvalidModelName(text, "A name must not be empty.")
        base, source = _cut_source(trimmed)
        if source is not None and _cut_source(base)[1] is not None:
            raise InvalidModelName(text, "Use one of :local and :cloud, once.")
        if source == "cloud":
            base += "-cloud" if base.rfind(":") > base.rfind("/") else ":cloud"
        return _parse_exact(base, text)

    @classmethod
    def parse_exact(cls, text: str) -> ModelName:
        """Read a name as copy and create do: no spaces allowed, ``local`` and ``cloud`` are tags like any other.

        Raises InvalidModelName.
        """
        return _parse_exact(text, text)

    @property
    def display(self) -> str:
        """The shortest form that keeps the tag, as the server lists it."""
        if self.host.lower() != DEFAULT_HOST:
            return self.full
        if self.namespace.lower() != DEFAULT_NAMESPACE:
            return f"{self.namespace}/{self.model}:{self.tag}"
        return f"{self.model}:{self.tag}"

    @property
    def full(self) -> str:
        """All four parts."""
        return f"{self.host}/{self.namespace}/{self.model}:{self.tag}"

    @property
    def key(self) -> str:
        """Equal for names that the server takes for the same model: it compares without regard to case."""
        return self.full.lower()

    @property
    def cloud(self) -> bool:
        """True for a model that runs at ollama.com, as far as a name can tell."""
        tag = self.tag.lower()
        return tag == "cloud" or tag.endswith("-cloud")

    def __str__(self) -> str:
        return self.display


def _cut_source(text: str) -> tuple[str, str | None]:
    """Cut the source off the end: (rest, "cloud", "local" or None). Of ``:8b-cloud`` the rest keeps ``:8b``."""
    before, colon, raw_suffix = text.rpartition(":")
    if not colon:
        return text, None
    raw_suffix = raw_suffix.strip(GO_SPACES)
    suffix = raw_suffix.lower()
    if suffix in ("cloud", "local"):
        return before, suffix
    if suffix.endswith("-cloud") and "/" not in suffix:
        return f"{before}:{raw_suffix[: -len('-cloud')]}", "cloud"
    return text, None


def _parse_exact(text: str, shown: str) -> ModelName:
    rest, host, namespace, tag = text, DEFAULT_HOST, DEFAULT_NAMESPACE, DEFAULT_TAG
    if rest.rfind(":") > rest.rfind("/"):
        rest, _, tag = rest.rpartition(":")
        if not tag:
            raise InvalidModelName(shown, "There is nothing after the last “:”.")
    rest, slash, model = rest.rpartition("/")
    if slash and rest:
        rest, slash, namespace = rest.rpartition("/")
        if slash and rest:
            # An empty host behind a scheme is filled like a missing one.
            host = (rest.partition("://")[2] or DEFAULT_HOST) if "://" in rest else rest
    if slash and not rest:
        raise InvalidModelName(shown, "There is nothing before the first “/”.")
    for part, value in ((_HOST, host), (_NAMESPACE, namespace), (_MODEL, model), (_TAG, tag)):
        reason = _refusal(part, value)
        if reason:
            raise InvalidModelName(shown, reason)
    return ModelName(host, namespace, model, tag)


def _refusal(part: _Part, value: str) -> str | None:
    """Say why the server refuses this part; None: it does not."""
    if not value:
        return sentence("The {part} is missing.", part=part.called)
    if "@" in value:
        return "“@” and a digest cannot be part of a name."
    if part is _HOST and "/" in value:
        return "A name has at most three parts: host/namespace/model."
    if part is _NAMESPACE and ":" in value:
        return "A name with a host needs all three parts: host/namespace/model."
    if value[0] not in _FIRST:
        return sentence(
            "The {part} must begin with a letter from a to z, a digit or “_”, not with {sign}.",
            part=part.called,
            sign=_quoted(value[0]),
        )
    for character in value[1:]:
        if character not in part.further:
            return sentence("The {part} must not contain {sign}.", part=part.called, sign=_quoted(character))
    if len(value) > part.longest_bytes:
        return sentence("The {part} is longer than {most} characters.", part=part.called, most=part.longest_bytes)
    return None


def _quoted(text: str) -> str:
    """Show foreign text inside a sentence: short, and with nothing in it that a terminal would obey."""
    shown = "".join(c if c.isprintable() else f"\\u{ord(c):04x}" for c in text[:_SHOWN_CHARACTERS])
    return f"“{shown}…”" if len(text) > _SHOWN_CHARACTERS else f"“{shown}”"
