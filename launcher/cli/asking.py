"""A question on a terminal that is answered with yes or no, while the loop goes on and Ctrl-C is heard."""

from __future__ import annotations

import asyncio
import os
import sys

from launcher.cli import output
from launcher.tasks import run_blocking

_LONGEST_LINE_BYTES = 4096


async def confirm(question: str, *, default: bool = True) -> bool:
    """Ask, and wait as long as a person takes; Enter alone is ``default``. Where nobody is there, the answer is no."""
    if not output.somebody_answers():
        return False
    output.ask(f"{question} [{'Y/n' if default else 'y/N'}] ")
    answer = await _line()
    # No line at all is Ctrl-D, or a terminal that is gone: nobody has agreed.
    words = ("y", "yes", "") if default else ("y", "yes")
    return answer is not None and answer.strip().lower() in words


async def _line() -> str | None:
    if sys.platform == "win32":
        # A thread: the loop cannot watch a console. Only the end of the program ends it, should nobody answer.
        return await run_blocking(sys.stdin.readline) or None
    loop = asyncio.get_running_loop()
    readable = asyncio.Event()
    fileno = sys.stdin.fileno()
    loop.add_reader(fileno, readable.set)
    try:
        await readable.wait()  # no timeout: a person is asked
    finally:
        loop.remove_reader(fileno)
    # A terminal gives a whole line, and no more than one.
    content = os.read(fileno, _LONGEST_LINE_BYTES)
    return content.decode(errors="replace") if content else None
