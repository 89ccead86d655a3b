"""One attempt to clean a session up, which several callers may wait for."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import anyio

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path


class Cleanup:
    """A task that ends a session: a caller who is cancelled does not leave it half done.

    Attributes:
        target: the directory of this machine that generated files go to; None means that none are kept.
        copying: the part that can be given up, as the session is whole until it is over: to bring those files here.
    """

    def __init__(self, work: Callable[[Cleanup], Awaitable[list[Path]]], target: Path | None) -> None:
        self.target = target
        self.copying = anyio.CancelScope()
        self._waiting = 0
        self._task = asyncio.create_task(self._run(work))
        self._task.add_done_callback(lambda task: task.cancelled() or task.exception())  # nobody may wait

    async def _run(self, work: Callable[[Cleanup], Awaitable[list[Path]]]) -> list[Path]:
        return await work(self)

    @property
    def is_mine(self) -> bool:
        """The task that asks is the one that does it."""
        return asyncio.current_task() is self._task

    @property
    def is_over(self) -> bool:
        """It has ended the session, or failed to."""
        return self._task.done()

    async def result(self) -> list[Path]:
        """What was copied. It is over when this returns; who is cancelled and the last to wait gives the copying up."""
        self._waiting += 1
        try:
            return await asyncio.shield(self._task)
        except asyncio.CancelledError:
            if self._waiting == 1:
                self.copying.cancel()
                with anyio.CancelScope(shield=True):
                    await asyncio.wait([self._task])
            raise
        finally:
            self._waiting -= 1

    async def over(self, *, within: float | None = None) -> None:
        """Waits until it is over, whatever becomes of it; after so many seconds, the copying is given up."""
        await asyncio.wait([self._task], timeout=within)
        if not self._task.done():
            self.copying.cancel()
            await asyncio.wait([self._task])
