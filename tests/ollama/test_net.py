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
