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
    """The turns of a session: one caller at a time has it, in the order of the calls."""

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
        """Wait for the turn; return False when it did not come within ``within`` seconds."""
        with anyio.move_on_after(within):
            await self._lock.acquire()
            return True
        return False

    def end(self) -> None:
        """Give the turn to the next caller."""
        self._lock.release()

    @contextmanager
    def interruptible(self, error: Callable[[], InterpreterToolsError]) -> Generator[None]:
        """Let ``interrupt`` end a wait of the caller that has the turn, by raising an error in it."""
        with anyio.CancelScope() as scope:
            self._scope = scope
            try:
                yield
            finally:
                self._scope = None
        if scope.cancel_called:
            raise error() from None

    def interrupt(self) -> None:
        """End the interruptible wait of the caller that has the turn."""
        if self._scope is not None:
            self._scope.cancel()
