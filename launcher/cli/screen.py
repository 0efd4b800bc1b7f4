"""How an answer is shown while it comes: as Markdown on a terminal, as plain text elsewhere.

On a terminal a block that is complete (a paragraph, a list, a code block) is printed for good; only the one that still
grows is drawn again. What Markdown would swallow (HTML, pictures, the addresses of references) is shown as it was
written; only its marks, the language of a code block and the title of a link are not.
What was thought is dim, and is shown on a terminal only.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Protocol

from launcher.cli import output

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
    from rich.live import Live
    from rich.markdown import Markdown

_PAINT_EVERY_S = 0.06
_PAINTING_SHARE = 4
"""A block that takes long to draw is drawn so much more rarely: a code block of 16 kB takes 140 ms."""
_LONGEST_BLOCK = 32_000
"""In characters. What is longer is no text for people, and is shown as it is from then on."""
_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})(.*)")
_REFERENCE = re.compile(r"((?:[ >]|[-*+] |[0-9]+[.)] )*)(\[[^\]\n]+\]:)")
"""The definition of a link, which is drawn nowhere, and belongs to a text that is printed already."""
_KEPT_FREE_LINES = 2
"""Of the screen, so that what grows can be drawn again without scrolling."""


class Screen(Protocol):
    """Where one answer is shown."""

    def wait(self, what: str) -> None:
        """Say what is waited for, until the first words come."""
        ...

    def think(self, text: str) -> None:
        """Show the next words of a thought."""
        ...

    def answer(self, text: str) -> None:
        """Show the next words of the answer."""
        ...

    def close(self) -> None:
        """End the answer; what is said after it begins on a line of its own. May be called twice."""
        ...


def open_screen() -> Screen:
    """Choose by what standard output is."""
    return MarkdownScreen() if output.on_terminal() else PlainScreen()


class PlainScreen:
    """Text as it comes, for pipes and files."""

    def __init__(self) -> None:
        self._held = ""
        self._begun = False
        self._in_line = False

    def wait(self, what: str) -> None:
        """Nobody looks."""

    def think(self, text: str) -> None:
        """Thoughts are no part of the answer."""

    def answer(self, text: str) -> None:
        text = self._held + text
        # The other half of a line's end may be in the next piece.
        self._held = "\r" if text.endswith("\r") else ""
        text = text.removesuffix("\r")
        if text:
            self._begun, self._in_line = True, not text.endswith("\n")
            output.flow(text)

    def close(self) -> None:
        held, self._held = self._held, ""
        in_line, self._in_line = self._in_line, False
        if in_line or held:
            output.flow(("\n" if held else "") + ("\n" if in_line and not held else ""))


class MarkdownScreen:
    """Markdown that is drawn as it grows."""

    def __init__(self) -> None:
        # Imported for a terminal only: it costs as much as all else together.
        from rich.console import Console

        self._console = Console(highlight=False, emoji=False, markup=False)
        self._live: Live | None = None
        self._waiting = ""
        self._thought = Growing(in_blocks=False)
        self._said = Growing(in_blocks=True)
        self._printed = False
        self._plain: PlainScreen | None = None
        self._paint_every_s = _PAINT_EVERY_S
        self._painter: asyncio.TimerHandle | None = None
        self._broken: output.OutputGone | output.OutputFailed | None = None

    def wait(self, what: str) -> None:
        self._waiting = output.harmless(what)
        self._paint_soon()

    def think(self, text: str) -> None:
        if text:
            self._thought.add(text)
            self._changed()

    def answer(self, text: str) -> None:
        if not text:
            return
        if self._plain is not None:
            self._plain.answer(text)
            return
        if not self._said.begun:
            if not text.strip():
                return  # models begin with empty lines
            self._print_thought()
            text = text.lstrip("\n")
        self._said.add(text)
        self._changed()
        if len(self._said.open) > _LONGEST_BLOCK:
            self._draw_no_more()

    def close(self) -> None:
        self._waiting = ""
        self._stop_drawing()
        if self._plain is not None:
            self._plain.close()
            return
        with output.told_when_broken():
            self._print_thought()
            self._print(self._said.rest())

    def _stop_drawing(self) -> None:
        if self._painter is not None:
            self._painter.cancel()
            self._painter = None
        live, self._live = self._live, None
        if live is not None:
            with output.told_when_broken():
                live.update("")
                live.stop()

    def _draw_no_more(self) -> None:
        self._stop_drawing()
        self._plain = PlainScreen()
        if self._printed:
            self._plain.answer("\n")
        self._plain.answer(self._said.rest())

    def _changed(self) -> None:
        if self._broken is not None:
            raise self._broken
        self._waiting = ""
        self._paint_soon()

    def _paint_soon(self) -> None:
        if self._painter is None:
            self._painter = asyncio.get_running_loop().call_later(self._paint_every_s, self._paint)

    def _paint(self) -> None:
        self._painter = None
        began_s = time.perf_counter()
        try:
            with output.told_when_broken():
                live = self._opened()
                if not self._said.begun:
                    self._print_finished_thought()
                self._print(self._said.finished())
                live.update(self._tail(), refresh=True)
        except (output.OutputGone, output.OutputFailed) as broken:
            self._broken = broken
        self._paint_every_s = max(_PAINT_EVERY_S, (time.perf_counter() - began_s) * _PAINTING_SHARE)

    def _opened(self) -> Live:
        if self._live is None:
            from rich.live import Live

            self._live = Live(console=self._console, auto_refresh=False, transient=True, vertical_overflow="crop")
            self._live.start()
        return self._live

    def _tail(self) -> RenderableType:
        from rich.text import Text

        if self._waiting:
            return Text(self._waiting, style="dim")
        if self._said.begun:
            return _LastLines(rendered_markdown(self._said.open), first_apart=self._printed)
        return _LastLines(Text(self._thought.open, style="dim italic"), first_apart=False)

    def _print_finished_thought(self) -> None:
        self._print_dim(self._thought.finished())

    def _print_thought(self) -> None:
        self._print_dim(self._thought.rest().rstrip("\n"))

    def _print_dim(self, text: str) -> None:
        from rich.text import Text

        if text:
            self._console.print(Text(text.rstrip("\n"), style="dim italic"))
            self._printed = True

    def _print(self, text: str) -> None:
        if text.strip():
            if self._printed:
                self._console.print()
            self._printed = True
            self._console.print(rendered_markdown(text))


class Growing:
    """A text that comes in pieces, and how far it can be printed for good."""

    def __init__(self, *, in_blocks: bool) -> None:
        self._in_blocks = in_blocks
        self._held = ""
        self.open = ""
        """What is not printed yet."""
        self.begun = False

    def add(self, text: str) -> None:
        text = self._held + text
        # The other half of a line's end may be in the next piece.
        self._held = "\r" if text.endswith("\r") else ""
        self.open += output.harmless(text.removesuffix("\r"))
        self.begun = True

    def finished(self) -> str:
        """Take what will not change any more: whole blocks of Markdown, else whole lines."""
        end = finished_blocks(self.open) if self._in_blocks else self.open.rfind("\n") + 1
        done, self.open = self.open[:end], self.open[end:]
        return done

    def rest(self) -> str:
        """Take all that is left."""
        done, self.open, self._held = self.open, "", ""
        return done


def finished_blocks(text: str) -> int:
    """How long the beginning of a Markdown text is that later text cannot change: whole blocks outside of fences.

    A block is ended by an empty line and a line after it that is not indented, which would belong to a list before.
    """
    end = position = 0
    after_empty = False
    for line, in_code in _lines(text):
        if not in_code and after_empty and line[0] not in " \t\n":
            end = position
        after_empty = not in_code and not line.strip()
        position += len(line)
    return end


def _lines(text: str) -> Iterator[tuple[str, bool]]:
    """Each line with its end, and whether it is within a fence of code; the one that opens it is not."""
    fence = ""
    for line in text.splitlines(keepends=True):
        yield line, bool(fence)
        found = _FENCE.match(line)
        if found is None:
            continue
        marks, rest = found[1], found[2].strip()
        if not fence:
            fence = marks
        elif marks[0] == fence[0] and len(marks) >= len(fence) and not rest:
            fence = ""


def rendered_markdown(text: str) -> Markdown:
    """Make Markdown of it that keeps lines as they are, and shows HTML and pictures as they were written."""
    from rich.markdown import Markdown

    text = "".join(line if in_code else _shown_definition(line) for line, in_code in _lines(text))
    # No links that a terminal makes clickable: what is shown is where it leads.
    markdown = Markdown(text, code_theme="ansi_dark", hyperlinks=False)
    for token in markdown.parsed:
        if token.type == "html_block":
            token.type = "code_block"
        for child in token.children or ():
            if child.type == "softbreak":
                child.type = "hardbreak"
            elif child.type == "html_inline":
                child.type = "text"
            elif child.type == "image":
                child.type, child.tag = "text", ""
                child.content, child.children = f"![{child.content}]({child.attrs.get('src', '')})", None
    return markdown


def _shown_definition(line: str) -> str:
    found = _REFERENCE.match(line)
    return line if found is None else f"{found[1]}\\{line[found.end(1) :]}"


class _LastLines:
    """As much of the end as fits on the screen."""

    def __init__(self, inner: RenderableType, *, first_apart: bool) -> None:
        self._inner = inner
        self._first_apart = first_apart

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        from rich.segment import Segment

        lines = console.render_lines(self._inner, options.update(height=None), pad=False)
        if self._first_apart:
            yield Segment.line()
        for line in lines[-max(console.height - _KEPT_FREE_LINES, 1) :]:
            yield from line
            yield Segment.line()
