"""The one TLS context of the process: system-independent trust, made once because making it takes 20 to 40 ms.

A program that must not wait calls :func:`trusted` in a thread before the first client for an https address is made.
"""

from __future__ import annotations

import functools
import ssl

from launcher.ollama.net import httpx


@functools.cache
def trusted() -> ssl.SSLContext:
    """Return the context that verifies certificates and host names."""
    return httpx.create_ssl_context()


@functools.cache
def trusting_nobody() -> ssl.SSLContext:
    """Return a context for clients that never use TLS.

    httpx wants one even for http and would spend those milliseconds on it. This one has no certificate authorities: if
    it were used after all, every connection would fail.
    """
    return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
