"""A caller that leaves takes its work along: what it waited for frees its place in the queue."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from fastapi import Request

from server.problems import CallerGone

T = TypeVar("T")


async def unless_gone(request: Request, answering: Coroutine[Any, Any, T]) -> T:
    """The result of `answering`, which is cancelled when the caller disconnects. Raises CallerGone then.

    The body of `request` must have been read: what comes after it can only be the end.
    """
    work = asyncio.ensure_future(answering)
    gone = asyncio.ensure_future(_disconnected(request))
    try:
        await asyncio.wait({work, gone}, return_when=asyncio.FIRST_COMPLETED)
        if work.done():
            return work.result()
        raise CallerGone("the caller left before the answer was there")
    finally:
        work.cancel()
        gone.cancel()
        await asyncio.gather(work, gone, return_exceptions=True)


async def _disconnected(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
