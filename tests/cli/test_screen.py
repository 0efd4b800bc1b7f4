"""How an answer is drawn: what is printed for good, and that nothing of it is lost."""

from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from launcher.cli.screen import Growing, PlainScreen, finished_blocks, rendered_markdown


@pytest.mark.parametrize(
    ("text", "finished"),
    [
        pytest.param("", "", id="nothing"),
        pytest.param("one\n\n", "", id="what follows may belong to it"),
        pytest.param("one\n\ntwo", "one\n\n", id="paragraph"),
        pytest.param("one\n\ntwo\n\nthree", "one\n\ntwo\n\n", id="two paragraphs"),
        pytest.param("- a\n\n  more of a", "", id="indented"),
        pytest.param("```\na\n\nb", "", id="open fence"),
        pytest.param("```\na\n\nb\n```\n\nc", "```\na\n\nb\n```\n\n", id="closed fence"),
        pytest.param("````\n```\n\nb\n```\n\nc", "", id="fence in a fence"),
        pytest.param("```py\n``` x\n\nb", "", id="what does not close a fence"),
        pytest.param("~~~\n```\n\nb", "", id="fence of another kind"),
    ],
)
def test_what_is_finished(text: str, finished: str) -> None:
    assert text[: finished_blocks(text)] == finished


pieces = st.lists(
    st.sampled_from(["a", " ", "\n", "\n\n", "```", "~~~", "- x", "    ", "\r", "\r\n", "# h", "\x1b", "é"]),
    max_size=20,
)


@given(pieces)
def test_every_piece_is_shown_once_and_in_order(given_pieces: list[str]) -> None:
    growing = Growing(in_blocks=True)
    shown = []
    for piece in given_pieces:
        growing.add(piece)
        shown.append(growing.finished())
    shown.append(growing.rest())
    # At the very end half of a line's end says nothing more.
    whole = "".join(given_pieces).replace("\r\n", "\n").removesuffix("\r")
    assert "".join(shown) == whole.replace("\r", "\ufffd").replace("\x1b", "\ufffd")


@given(pieces)
def test_what_was_finished_stays_finished(given_pieces: list[str]) -> None:
    text, before = "", 0
    for piece in given_pieces:
        text += piece.replace("\r", "")
        after = finished_blocks(text)
        assert after >= before
        before = after


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        pytest.param("Roses are red,\nviolets blue.", "Roses are red,\nviolets blue.", id="lines"),
        pytest.param("a <b>bold</b> word", "a <b>bold</b> word", id="html in a line"),
        pytest.param("<div>\nx\n</div>", "<div>\nx\n</div>", id="html block"),
        pytest.param("![cat](http://x.org/cat.png)", "![cat](http://x.org/cat.png)", id="picture"),
        pytest.param("[here](http://x.org)", "here (http://x.org)", id="link"),
        pytest.param("[1]: http://x.org", "[1]: http://x.org", id="definition of a link"),
        pytest.param("- [a b]: http://x.org\n> [c]: y", "• [a b]: http://x.org\n\n▌ [c]: y", id="definitions within"),
        pytest.param("```\n[1]: x\n```\n[2]: y", "[1]: x\n\n\n[2]: y", id="what looks like one in code"),
        pytest.param("**bold** and `code`", "bold and code", id="styles"),
        pytest.param("[red]x[/red]", "[red]x[/red]", id="what rich itself would read"),
        pytest.param("```py\nx = 1\n```", "x = 1", id="code"),
    ],
)
def test_markdown_loses_nothing(text: str, shown: str) -> None:
    assert drawn(text) == shown


def test_no_terminal_gets_a_link_that_hides_where_it_leads() -> None:
    assert "\x1b]8" not in drawn("[bank](http://evil.org)", terminal=True)


def drawn(text: str, *, terminal: bool = False) -> str:
    from rich.console import Console

    told = io.StringIO()
    Console(file=told, width=60, force_terminal=terminal, emoji=False, markup=False).print(rendered_markdown(text))
    return "\n".join(line.strip() for line in told.getvalue().splitlines()).strip("\n")


def test_plain_text_comes_as_it_is_and_ends_its_line(capsys: pytest.CaptureFixture[str]) -> None:
    screen = PlainScreen()
    for piece in ("one", "\r", "\n", "", "two\x1b[2J"):
        screen.answer(piece)
    screen.close()
    screen.close()
    assert capsys.readouterr().out == "one\ntwo\ufffd[2J\n"


@pytest.mark.parametrize(("pieces", "shown"), [(["a\n"], "a\n"), (["a\r"], "a\n"), ([], "")], ids=["n", "r", "nothing"])
def test_the_end_of_plain_text(capsys: pytest.CaptureFixture[str], pieces: list[str], shown: str) -> None:
    screen = PlainScreen()
    for piece in pieces:
        screen.answer(piece)
    screen.close()
    assert capsys.readouterr().out == shown
