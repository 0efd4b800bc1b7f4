"""Names of models, against the server's grammar written down a second time, in another way."""

from __future__ import annotations

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from launcher.domain.names import GO_SPACES, InvalidModelName, ModelName

# types/model/name.go, 0.33, as one pattern for each number of slashes. ASCII only.
_W = "[A-Za-z0-9_]"
_MODEL = rf"(?P<model>{_W}[A-Za-z0-9_.-]{{0,79}})"
_TAG = rf"(?::(?P<tag>{_W}[A-Za-z0-9_.-]{{0,79}}))?"
_NAMESPACE = rf"(?P<namespace>{_W}[A-Za-z0-9_-]{{0,79}})"
_HOST = rf"(?P<host>(?:{_W}[A-Za-z0-9_.:-]{{0,349}})?)"
_SCHEME = r"(?:(?:(?!://).)*://)"
_FORMS = [
    re.compile(form, re.DOTALL)
    for form in (
        rf"{_MODEL}{_TAG}",
        rf"{_NAMESPACE}/{_MODEL}{_TAG}",
        rf"{_SCHEME}{_HOST}/{_NAMESPACE}/{_MODEL}{_TAG}",
        rf"(?P<host>{_W}[A-Za-z0-9_.:-]{{0,349}})/{_NAMESPACE}/{_MODEL}{_TAG}",
    )
]


def oracle(text: str) -> tuple[str, str, str, str] | None:
    for form in _FORMS:
        if found := form.fullmatch(text):
            parts = found.groupdict()
            return (
                parts.get("host") or "registry.ollama.ai",
                parts.get("namespace") or "library",
                parts["model"],
                parts.get("tag") or "latest",
            )
    return None


def parsed(text: str) -> tuple[str, str, str, str] | None:
    try:
        name = ModelName.parse_exact(text)
    except InvalidModelName:
        return None
    return name.host, name.namespace, name.model, name.tag


pieces = st.sampled_from(
    [
        *["a", "Z", "9", "_", "-", ".", ":", "/", "//", "://", "http://", "@", " ", "\t", "é", "\0", "ſ", "١"],
        *["library", "localhost:5000", "hf.co", "latest", "cloud", "local", "x" * 79, "x" * 80, "h" * 349, "h" * 350],
    ]
)


@given(st.lists(pieces, max_size=9).map("".join))
@example("http:///library/x")
@example("a://b://c/n/m")
@example("h" * 350 + "/n/m")
@example("h" * 351 + "/n/m")
@example("a" * 80 + "/" + "b" * 80 + ":" + "c" * 80)
def test_the_server_and_we_agree(text: str) -> None:
    assert parsed(text) == oracle(text)


@given(st.text(max_size=30))
def test_any_text_is_a_name_or_refused(text: str) -> None:
    assert parsed(text) == oracle(text)


@given(st.lists(pieces, max_size=9).map("".join))
def test_what_is_shown_means_the_same(text: str) -> None:
    try:
        name = ModelName.parse_exact(text)
    except InvalidModelName:
        return
    assert ModelName.parse_exact(name.full) == name
    assert ModelName.parse_exact(name.display) == name or name.display != name.full
    assert ModelName.parse_exact(name.display).key == name.key


@given(st.lists(pieces, max_size=6).map("".join))
def test_reading_what_was_understood_changes_nothing(text: str) -> None:
    try:
        name = ModelName.parse(text)
    except InvalidModelName:
        return
    if name.tag.lower() != "local":
        assert ModelName.parse(name.display).key == name.key


@pytest.mark.parametrize(
    ("text", "full"),
    [
        pytest.param("x", "registry.ollama.ai/library/x:latest", id="model"),
        pytest.param("x:7b", "registry.ollama.ai/library/x:7b", id="tag"),
        pytest.param("user/x", "registry.ollama.ai/user/x:latest", id="namespace"),
        pytest.param("localhost:5000/library/x", "localhost:5000/library/x:latest", id="host with port"),
        pytest.param("hf.co/user/repo:Q4_K_M", "hf.co/user/repo:Q4_K_M", id="hugging face"),
        pytest.param("https://h/n/m:t", "h/n/m:t", id="scheme is dropped"),
        pytest.param("http:///n/m", "registry.ollama.ai/n/m:latest", id="empty host behind a scheme"),
        pytest.param(" \t\u00a0x\u2028\n", "registry.ollama.ai/library/x:latest", id="spaces around"),
        pytest.param("m:local", "registry.ollama.ai/library/m:latest", id="local"),
        pytest.param("m:8b:local", "registry.ollama.ai/library/m:8b", id="tag and local"),
        pytest.param("m:cloud", "registry.ollama.ai/library/m:cloud", id="cloud"),
        pytest.param("m:8b:cloud", "registry.ollama.ai/library/m:8b-cloud", id="tag and cloud"),
        pytest.param("m:8b-cloud", "registry.ollama.ai/library/m:8b-cloud", id="legacy cloud"),
        pytest.param("m:8b:CLOUD", "registry.ollama.ai/library/m:8b-cloud", id="cloud without regard to case"),
        pytest.param("m: 8b-cloud", "registry.ollama.ai/library/m:8b-cloud", id="space before a legacy cloud tag"),
        pytest.param("h/n/m:cloud", "h/n/m:cloud", id="cloud of a host"),
        pytest.param("LLaMA:Latest", "registry.ollama.ai/library/LLaMA:Latest", id="case is kept"),
    ],
)
def test_accepted(text: str, full: str) -> None:
    assert ModelName.parse(text).full == full


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        pytest.param("", "A name must not be empty.", id="empty"),
        pytest.param(" \n", "A name must not be empty.", id="spaces"),
        pytest.param("\x1cx", "The model must begin with", id="a separator that Go does not trim"),
        pytest.param("localhost:5000/x", "A name with a host needs all three parts", id="host without namespace"),
        pytest.param("a/b/c/d", "A name has at most three parts", id="four parts"),
        pytest.param("x:", "There is nothing after the last “:”.", id="empty tag"),
        pytest.param(":x", "The model is missing.", id="only a tag"),
        pytest.param("/x", "There is nothing before the first “/”.", id="empty namespace"),
        pytest.param("a/", "The model is missing.", id="empty model"),
        pytest.param("h//m", "The namespace is missing.", id="empty middle"),
        pytest.param("x:a:b", "The model must not contain “:”.", id="two tags"),
        pytest.param("x@sha256:" + "0" * 64, "“@” and a digest", id="digest"),
        pytest.param("a.b/x", "The namespace must not contain “.”.", id="dot in namespace"),
        pytest.param("-x", "The model must begin with", id="begins with a dash"),
        pytest.param("x y", "The model must not contain “ ”.", id="space inside"),
        pytest.param("x\0", "The model must not contain “\\u0000”.", id="invisible"),
        pytest.param("é", "The model must begin with", id="not ASCII"),
        pytest.param("x" * 81, "The model is longer than 80 characters.", id="long model"),
        pytest.param("h" * 351 + "/n/m", "The host is longer than 350 characters.", id="long host"),
        pytest.param("x:local:cloud", "Use one of :local and :cloud, once.", id="two sources"),
        pytest.param("x:cloud:cloud", "Use one of :local and :cloud, once.", id="cloud twice"),
        pytest.param("x:7b-cloud:local", "Use one of :local and :cloud, once.", id="legacy cloud and local"),
        pytest.param("x::cloud", "The tag must begin with", id="empty tag and cloud"),
    ],
)
def test_refused_with_a_reason(text: str, reason: str) -> None:
    with pytest.raises(InvalidModelName) as caught:
        ModelName.parse(text)
    assert caught.value.reason.startswith(reason)
    assert caught.value.reason in caught.value.title
    assert len(caught.value.title) < 250


def test_copies_take_names_literally() -> None:
    assert ModelName.parse_exact("x:local").tag == "local"
    with pytest.raises(InvalidModelName):
        ModelName.parse_exact(" x")


@pytest.mark.parametrize(
    ("text", "display"),
    [
        pytest.param("x", "x:latest", id="with its tag"),
        pytest.param("registry.ollama.ai/library/x:1", "x:1", id="defaults are dropped"),
        pytest.param("Registry.Ollama.AI/Library/x:1", "x:1", id="without regard to case"),
        pytest.param("user/x", "user/x:latest", id="namespace"),
        pytest.param("127.0.0.1:5000/library/x", "127.0.0.1:5000/library/x:latest", id="host keeps its namespace"),
    ],
)
def test_shown_as_the_server_lists_it(text: str, display: str) -> None:
    name = ModelName.parse(text)
    assert name.display == str(name) == display


def test_equal_whatever_the_case() -> None:
    assert ModelName.parse("User/X").key == ModelName.parse("user/x:LATEST").key
    assert ModelName.parse("x").key != ModelName.parse("y").key


@pytest.mark.parametrize(
    ("text", "cloud"), [("x:cloud", True), ("x:8b-Cloud", True), ("x:clouds", False), ("x-cloud", False)]
)
def test_cloud(text: str, cloud: bool) -> None:
    assert ModelName.parse(text).cloud is cloud


def test_spaces_are_those_of_go() -> None:
    assert {c for c in map(chr, range(0x10000)) if c.isspace()} - set(GO_SPACES) == set("\x1c\x1d\x1e\x1f")
    assert all(c.isspace() for c in GO_SPACES)
