"""httpx comes without its command line, and works."""

from __future__ import annotations

import subprocess
import sys

_WITHOUT = """
import sys
from launcher.ollama.net import httpx
assert "rich" not in sys.modules and "httpx._main" not in sys.modules, "the workaround does not work"
httpx.Client(transport=httpx.MockTransport(lambda request: httpx.Response(204))).get("http://x").raise_for_status()
"""
_WITH = "import httpx, sys; assert 'rich' in sys.modules, 'the workaround in launcher/ollama/net.py can go'"


def test_the_command_line_of_httpx_is_not_imported() -> None:
    subprocess.run([sys.executable, "-c", _WITHOUT], check=True, timeout=60)


def test_httpx_alone_still_imports_it() -> None:
    subprocess.run([sys.executable, "-c", _WITH], check=True, timeout=60)


_FIRST_REQUEST = """
import asyncio, sys
from launcher.ollama import Client
before = set(sys.modules)

async def ask():
    async with Client("127.0.0.1:1") as client:
        await client.is_running()

asyncio.run(ask())
late = {name.partition(".")[0] for name in set(sys.modules) - before}
assert not late & {"anyio", "httpcore", "h11", "ssl", "sniffio"}, late
"""


def test_the_first_request_imports_nothing_heavy() -> None:
    subprocess.run([sys.executable, "-c", _FIRST_REQUEST], check=True, timeout=60)
