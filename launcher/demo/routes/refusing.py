"""How what a route refuses is told to the client."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, TypeVar

from launcher.demo.routes.world import Refused, worded
from launcher.demo.runners import ServerBusy

if TYPE_CHECKING:
    from launcher.demo.reply import Reply

_R = TypeVar("_R", bound="Reply")


async def answer_or_refuse(route: Callable[[_R], Awaitable[None]], reply: _R) -> None:
    """Let a route answer, and tell why where it does not."""
    try:
        await route(reply)
    except Refused as refused:
        await reply.json(refused.status, {"error": refused.text, **refused.members}, refused.content_type)
    except ServerBusy as busy:
        await reply.fail(503, str(busy))
    except OSError as error:
        if reply.has_begun or isinstance(error, ConnectionError):
            raise
        await reply.fail(500, worded(error))
