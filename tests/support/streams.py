"""Leave a stream of httpx in the middle, with nothing left over."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress

import httpx

_READ_OUT_S = 2.0


async def leave(response: httpx.Response, pieces: AsyncIterator[object]) -> None:
    """Close the connection, then read on until httpx's generators have ended.

    There are several, one in another, and none closes the next: the collector would, at some time, in tasks of nobody.
    """
    await response.aclose()
    with suppress(httpx.HTTPError, httpx.StreamError, TimeoutError):
        async with asyncio.timeout(_READ_OUT_S):
            async for _ in pieces:
                pass
