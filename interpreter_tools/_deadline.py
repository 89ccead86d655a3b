"""Deadlines that do not count the time in which this process was stopped."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

_STEPS = 4


@contextlib.asynccontextmanager
async def awake_timeout(seconds: float | None) -> AsyncGenerator[None]:
    """Cancel the block after some seconds, as ``asyncio.timeout`` does.

    A process that was stopped (SIGSTOP, a machine that slept) finds every ordinary deadline passed when it goes on,
    though nobody had the time to answer. Here the time is counted in steps: a stop takes one step at most.

    Args:
        seconds: None means no limit.

    Raises:
        TimeoutError: the block took longer.
    """
    if seconds is None:
        yield
        return
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(None) as scope:
        left = _STEPS
        step = seconds / _STEPS

        def count() -> None:
            nonlocal left, timer
            left -= 1
            if left:
                timer = loop.call_later(step, count)
            else:
                scope.reschedule(loop.time())

        timer = loop.call_later(step, count)
        try:
            yield
        finally:
            timer.cancel()
