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
    task = asyncio.current_task()
    assert task is not None
    gone = False

    async def watch() -> None:
        nonlocal gone
        while (await request.receive())["type"] != "http.disconnect":
            pass
        gone = True
        task.cancel()

    try:
        async with beside(watch()):
            return await work
    except asyncio.CancelledError:
        if gone and not task.uncancel():
            raise ClientDisconnect from None
        raise
