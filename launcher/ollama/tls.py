"""The one TLS context of the process: system-independent trust, made once because making it takes 20 to 40 ms.

A program that must not wait calls :func:`trusted` in a thread before the first client for an https address is made.
That thread may outlive whoever asked for it, but not the interpreter: OpenSSL cleans up when the process ends, and a
thread that still reads certificates then is a crash (seen with Python 3.11 and OpenSSL 3: one in fifteen short runs).
"""

from __future__ import annotations

import atexit
import functools
import ssl
import threading

from launcher.ollama.net import httpx

_making = threading.Lock()
_MADE_WITHIN_S = 5.0


def trusted() -> ssl.SSLContext:
    """Return the context that verifies certificates and host names. Made by one thread, and before the end."""
    with _making:
        return _trusted()


@functools.cache
def _trusted() -> ssl.SSLContext:
    # Waits for the thread that makes it, and lets no other begin.
    atexit.register(_making.acquire, timeout=_MADE_WITHIN_S)
    return httpx.create_ssl_context()


@functools.cache
def trusting_nobody() -> ssl.SSLContext:
    """Return a context for clients that never use TLS.

    httpx wants one even for http and would spend those milliseconds on it. This one has no certificate authorities: if
    it were used after all, every connection would fail.
    """
    return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
