"""The output of runs as progress notifications, limited in number and size."""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING

import anyio

from interpreter_tools.tool._excerpt import excerpt

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from interpreter_tools._config.results import OutputChunk
    from interpreter_tools._context.cell import Cell
    from interpreter_tools._execution.execution import Execution

_INTERVAL = 0.1  # seconds between two notifications
_SIZE = 4096  # characters of one
_KEPT = 1 << 16  # characters that may wait; a program that is faster loses the middle of them


class Follower:
    """Reports a run's output: the first piece at once, then at most ten notifications a second.

    The follower has no task of its own: it waits for output until the notification that it holds back is due.

    Args:
        execution: the run.
        report: sends one notification: the number of bytes so far, and a text.
    """

    def __init__(self, execution: Execution | Cell, report: Callable[[float, str], Awaitable[None]]) -> None:
        self._execution = execution
        self._report = report
        self._bytes = 0
        self._waiting: list[str] = []
        self._length = 0
        self._due = 0.0

    async def follow(self) -> None:
        """Report the output until it ends."""
        while True:
            chunk: OutputChunk | None = None
            ended = False
            with anyio.CancelScope(deadline=self._due if self._waiting else inf):
                try:
                    chunk = await anext(self._execution)
                except StopAsyncIteration:
                    ended = True
            if chunk is not None:
                self._keep(chunk)
            if self._waiting and (ended or anyio.current_time() >= self._due):
                await self._send()
            if ended:
                return

    def _keep(self, chunk: OutputChunk) -> None:
        if chunk.stream == "display":
            return
        self._bytes += len(chunk.data)
        self._waiting.append(chunk.text)
        self._length += len(chunk.text)
        if self._length > _KEPT:
            text = excerpt("".join(self._waiting), _SIZE)
            self._waiting, self._length = [text], len(text)

    async def _send(self) -> None:
        text = excerpt("".join(self._waiting), _SIZE)
        self._waiting, self._length = [], 0
        self._due = anyio.current_time() + _INTERVAL
        await self._report(float(self._bytes), text)
