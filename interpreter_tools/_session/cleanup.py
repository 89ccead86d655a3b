"""One attempt to clean a session up, which several callers may wait for."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import anyio

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path


class Cleanup:
    """A task that ends a session: a cancelled caller does not leave it half done.

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
    def is_over(self) -> bool:
        """True when the clean-up has ended the session, or has failed."""
        return self._task.done()

    async def result(self) -> list[Path]:
        """Wait for the clean-up and return the copies. If the last waiter is cancelled, the copying is given up."""
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
        """Wait until the clean-up is over, with any result; give the copying up after ``within`` seconds."""
        await asyncio.wait([self._task], timeout=within)
        if not self._task.done():
            self.copying.cancel()
            await asyncio.wait([self._task])
