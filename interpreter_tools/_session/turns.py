"""Turns of a session: runs and file transfers, one after another."""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from typing import TYPE_CHECKING

import anyio

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from interpreter_tools._exceptions import InterpreterToolsError


class Turns:
    """Who has a session for themselves, in the order in which they asked."""

    def __init__(self) -> None:
        self._lock = asyncio.Lock()
        self._scope: anyio.CancelScope | None = None

    def __repr__(self) -> str:
        return f"<Turns [{'busy' if self.busy else 'free'}]>"

    @property
    def busy(self) -> bool:
        """Somebody has the turn."""
        return self._lock.locked()

    async def take(self, *, within: float | None = None) -> bool:
        """Waits for the turn; False when it did not come within so many seconds."""
        with anyio.move_on_after(within):
            await self._lock.acquire()
            return True
        return False

    def end(self) -> None:
        """Gives the turn to the next."""
        self._lock.release()

    @contextmanager
    def interruptible(self, error: Callable[[], InterpreterToolsError]) -> Generator[None]:
        """What whoever has the turn waits for; ``interrupt`` ends it, and the error is raised."""
        with anyio.CancelScope() as scope:
            self._scope = scope
            try:
                yield
            finally:
                self._scope = None
        if scope.cancel_called:
            raise error() from None

    def interrupt(self) -> None:
        """Ends what whoever has the turn waits for."""
        if self._scope is not None:
            self._scope.cancel()
