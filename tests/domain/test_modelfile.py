"""Modelfiles, against Ollama's own parser written down a second time, character by character."""

from __future__ import annotations

import codecs

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from launcher.domain.modelfile import (
    COMMANDS,
    InvalidModelfile,
    Modelfile,
    PresetMessage,
    decode_modelfile,
    parse_modelfile,
)
from launcher.domain.names import GO_SPACES

FULL = '''\
# A pirate.
FROM ./tiny.gguf
from ./projector.gguf

ADAPTER ./lora
PARAMETER temperature 0.2
PARAMETER stop "AYE "
  PARAMETER stop """he said "stop\""""
PARAMETER num_ctx 4096
PARAMETER mirostat 1
TEMPLATE """{{ .System }}
# not a comment
{{ .Prompt }}"""
SYSTEM You are a "pirate".
LICENSE """MIT
"""
LICENSE second
MESSAGE user Who are you?
MESSAGE assistant """A pirate.
Aye."""
REQUIRES v0.14.0
RENDERER qwen3
PARSER qwen3
'''


def test_everything_at_once() -> None:
    assert parse_modelfile(FULL) == Modelfile(
        sources=("./tiny.gguf", "./projector.gguf"),
        adapter="./lora",
        template="{{ .System }}\n# not a comment\n{{ .Prompt }}",
        system='You are a "pirate".',
        licenses=("MIT\n", "second"),
        parameters={"temperature": 0.2, "stop": ["AYE ", 'he said "stop"'], "num_ctx": 4096},
        messages=(PresetMessage("user", "Who are you?"), PresetMessage("assistant", "A pirate.\nAye.")),
        requires="0.14.0",
        renderer="qwen3",
        parser="qwen3",
        removed=("mirostat",),
    )


@pytest.mark.parametrize(
    ("text", "system"),
    [
        pytest.param("SYSTEM plain # text", "plain # text", id="no comment within a line"),
        pytest.param('SYSTEM "a "b" c"', 'a "b" c', id="quotes within quotes"),
        pytest.param('SYSTEM "one\ntwo"', "one\ntwo", id="single quotes over lines"),
        pytest.param('SYSTEM """one\r\ntwo"""\r\n', "one\r\ntwo", id="Windows"),
        pytest.param('SYSTEM """\n"""', "\n", id="only a line"),
        pytest.param('SYSTEM """"""', "", id="nothing in quotes"),
        pytest.param('SYSTEM """a""" b\n"""', 'a""" b\n', id="quotes end a text at the end of a line only"),
        pytest.param('SYSTEM """ends """  \t\nLICENSE x', "ends ", id="spaces after the quotes"),
        pytest.param("SYSTEM first\nSYSTEM second", "second", id="the last counts"),
        pytest.param("sYsTeM x", "x", id="any case"),
        pytest.param("\t SYSTEM \t x", "x", id="spaces before and between"),
        pytest.param("SYSTEM a\x0cb\u2028c", "a\x0cb\u2028c", id="what ends a line elsewhere"),
    ],
)
def test_values(text: str, system: str) -> None:
    assert parse_modelfile(f"FROM x\n{text}").system == system


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        pytest.param("", None, "has no FROM", id="empty"),
        pytest.param("# only this\n", None, "has no FROM", id="only a comment"),
        pytest.param("FROM x\nFORM y", 2, "is no command: “FORM y”", id="no command"),
        pytest.param("FROM x\n\nDRAFT y", 3, "is no command", id="command of another version"),
        pytest.param("FROM", 1, "says too little: FROM", id="from nothing"),
        pytest.param('FROM ""', 1, "says too little: FROM", id="from an empty text"),
        pytest.param("FROM x\nPARAMETER temperature", 2, "says too little: PARAMETER", id="parameter without a value"),
        pytest.param("FROM x\nPARAMETER num_ctx 8k", 2, "cannot be: the option “num_ctx” must be", id="value"),
        pytest.param("FROM x\nPARAMETER wings 2", 2, "there is no option “wings”", id="parameter"),
        pytest.param("FROM x\nMESSAGE tool hello", 2, "a message of nobody: “tool”", id="role"),
        pytest.param('FROM x\nSYSTEM """a\nb\n', 2, 'begins a text that has no end: """ is missing', id="open text"),
        pytest.param('FROM x\n\nSYSTEM "a', 3, 'no end: " is missing', id="open quotes"),
        pytest.param("FROM x\nREQUIRES new", 2, "requires what is no version: “new”", id="version"),
        pytest.param("FROM x\nADAPTER a\nADAPTER b", 3, "names a second ADAPTER", id="two adapters"),
        pytest.param("FROM x\r\nFORM y", 2, "is no command", id="lines of Windows count once"),
    ],
)
def test_what_is_wrong_and_where(text: str, line: int | None, words: str) -> None:
    with pytest.raises(InvalidModelfile, match=words) as raised:
        parse_modelfile(text)
    assert raised.value.line == line
    assert raised.value.title.startswith(f"Line {line} of the Modelfile " if line else "The Modelfile ")


@pytest.mark.parametrize(
    "content",
    [
        pytest.param("FROM é".encode(), id="utf-8"),
        pytest.param(codecs.BOM_UTF8 + "FROM é".encode(), id="utf-8 with a mark"),
        pytest.param(codecs.BOM_UTF16_LE + "FROM é".encode("utf-16-le"), id="utf-16 as Windows writes it"),
        pytest.param(codecs.BOM_UTF16_BE + "FROM é".encode("utf-16-be"), id="utf-16, the other end first"),
    ],
)
def test_encodings(content: bytes) -> None:
    assert decode_modelfile(content) == "FROM é"


def test_a_model_is_no_modelfile() -> None:
    with pytest.raises(InvalidModelfile, match="is not text"):
        decode_modelfile(b"GGUF\x03\x00\xff\xfe")


def oracle(text: str) -> list[tuple[str, str]] | None:
    """Commands as parser.go's states find them; None where it reports an error."""
    commands: list[tuple[str, str]] = []
    state, buffer, name, role = "nil", "", "", ""
    for sign in text:
        space, newline = sign in " \t", sign in "\r\n"
        if state == "nil":
            state, buffer = ("comment", "") if sign == "#" else ("nil", "") if space or newline else ("name", sign)
        elif state == "comment":
            state = "nil" if newline else "comment"
        elif state == "name":
            if sign.isascii() and sign.isalpha():
                buffer += sign
            elif not space or buffer.upper() not in COMMANDS:
                return None
            else:
                name = buffer.upper()
                state = {"PARAMETER": "parameter", "MESSAGE": "message"}.get(name, "value")
                buffer = ""
        elif state in ("parameter", "message"):
            if sign.isascii() and (sign.isalnum() or sign == "_"):
                buffer += sign
            elif not space or (state == "message" and buffer not in ("system", "user", "assistant")):
                return None
            else:
                role, state, buffer = buffer + " ", "value", ""
        elif not newline or (value := unquoted(buffer)) is None:
            buffer += sign
        else:
            commands.append((name, role + value))
            state, role = "nil", ""
    if state == "value":
        value = unquoted(buffer)
        if value is None:
            return None
        commands.append((name, role + value))
    return commands if state in ("nil", "comment", "value") else None


def unquoted(text: str) -> str | None:
    text = text.strip(GO_SPACES)
    if text[:3] == '"""':
        return text[3:-3] if len(text) >= 6 and text[-3:] == '"""' else None
    if text[:1] == '"':
        return text[1:-1] if len(text) >= 2 and text[-1] == '"' else None
    return text


pieces = st.sampled_from(
    [
        *["FROM ", "SYSTEM ", "TEMPLATE ", "LICENSE ", "PARAMETER stop ", "MESSAGE user ", "MESSAGE assistant "],
        *["# ", "\n", "\r\n", "\r", " ", "\t", '"', '"""', "x", "é", "FROM x\n", "SYSTEM", "PARAMETER ", "BAD "],
    ]
)


@given(st.lists(pieces, max_size=12).map("".join))
@example('FROM x\nSYSTEM "a" b\nc"\nLICENSE "d"')
@example('FROM x\nMESSAGE user """\r\n"""')
def test_it_reads_what_the_server_reads(text: str) -> None:
    expected = oracle(text)
    try:
        parsed = parse_modelfile(text)
    except InvalidModelfile:
        # What is stricter here: no FROM at all, and a FROM of nothing.
        assert expected is None or not any(name == "FROM" for name, _ in expected) or ("FROM", "") in expected
        return
    if expected is None:
        # What is more lenient here: several spaces after PARAMETER and MESSAGE.
        assert "PARAMETER  " in text or "MESSAGE  " in text or "PARAMETER \t" in text
        return
    assert parsed.sources == tuple(value for name, value in expected if name == "FROM")
    assert parsed.system == next((value for name, value in reversed(expected) if name == "SYSTEM"), None)
    assert parsed.licenses == tuple(value for name, value in expected if name == "LICENSE")
    assert parsed.parameters.get("stop", []) == [
        value.partition(" ")[2] for name, value in expected if name == "PARAMETER"
    ]
    assert [f"{turn.role} {turn.text}" for turn in parsed.messages] == [
        value for name, value in expected if name == "MESSAGE"
    ]


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)


@given(system=texts, template=texts, stops=st.lists(texts, max_size=3))
def test_what_is_quoted_comes_back(system: str, template: str, stops: list[str]) -> None:
    written = [f'SYSTEM """{system}"""', f'TEMPLATE """{template}"""', *(f'PARAMETER stop """{s}"""' for s in stops)]
    parsed = parse_modelfile("\n".join(["FROM x", *written]))
    if any('"""' in text for text in (system, template, *stops)):
        return
    assert (parsed.system, parsed.template, parsed.parameters.get("stop", [])) == (system, template, stops)


@given(st.text())
def test_any_text_is_a_modelfile_or_a_sentence(text: str) -> None:
    try:
        parse_modelfile(text)
    except InvalidModelfile:
        return
