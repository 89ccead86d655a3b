"""Work that ends with the client that waits for it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, TypeVar

from starlette.requests import ClientDisconnect

from interpreter_tools._background import beside

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from starlette.requests import Request

T = TypeVar("T")


async def unless_gone(request: Request, work: Coroutine[object, object, T]) -> T:
    """Return the result of a coroutine, which is cancelled when the client goes away before it ends.

    Read the body of the request before.

    Raises:
        ClientDisconnect: the client has gone away.
    """
    task = asyncio.create_task(work)

    async def watch() -> None:
        while (await request.receive())["type"] != "http.disconnect":
            pass
        task.cancel()

    try:
        async with beside(watch()):
            await asyncio.wait([task])
    finally:
        if not task.done():
            task.cancel()
            await asyncio.wait([task])
    if task.cancelled():
        raise ClientDisconnect
    return task.result()
