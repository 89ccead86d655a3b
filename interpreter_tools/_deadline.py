"""Deadlines that do not count the time in which this process was stopped.

A process that was stopped (SIGSTOP, Ctrl-Z, a machine that slept) finds every ordinary deadline passed when it goes on,
though nobody had the time to answer. Here the time is counted in steps: a stop takes one step at most.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
from typing import TYPE_CHECKING

import anyio

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Generator

_FEWEST_STEPS = 4
_MOST_STEPS = 60


class AwakeTimer:
    """A call of a function after some seconds, as of ``call_later`` of the event loop.

    Args:
        seconds: the time until then, of at least four steps, and as a rule of a step for each second.
        callback: the function.
        args: its arguments.
    """

    def __init__(self, seconds: float, callback: Callable[..., object], *args: object) -> None:
        self._left = min(max(_FEWEST_STEPS, math.ceil(seconds)), _MOST_STEPS)
        self._step = seconds / self._left
        self._loop = asyncio.get_running_loop()
        self._callback = callback
        self._args = args
        self._handle = self._loop.call_later(self._step, self._count)

    def __repr__(self) -> str:
        return f"<AwakeTimer [{self._left} steps of {self._step:g} s]>"

    def _count(self) -> None:
        self._left -= 1
        if self._left > 0:
            self._handle = self._loop.call_later(self._step, self._count)
        else:
            self._callback(*self._args)

    def cancel(self) -> None:
        """Keep the function from being called. Idempotent."""
        self._handle.cancel()


@contextlib.asynccontextmanager
async def awake_timeout(seconds: float | None) -> AsyncGenerator[None]:
    """Cancel the block after some seconds, as ``asyncio.timeout`` does.

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
        timer = AwakeTimer(seconds, lambda: scope.reschedule(loop.time()))
        try:
            yield
        finally:
            timer.cancel()


@contextlib.contextmanager
def awake_limit(seconds: float | None, *, shield: bool = False) -> Generator[anyio.CancelScope]:
    """Cancel the block after some seconds and go on behind it, as ``anyio.move_on_after`` does.

    Args:
        seconds: None means no limit.
        shield: True when no cancellation from outside reaches the block.
    """
    with anyio.CancelScope(shield=shield) as scope:
        timer = None if seconds is None else AwakeTimer(seconds, scope.cancel)
        try:
            yield scope
        finally:
            if timer is not None:
                timer.cancel()
