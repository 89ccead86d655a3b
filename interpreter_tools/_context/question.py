"""A question to a context between its cells: what may follow, and what a name is."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from interpreter_tools._context import words
from interpreter_tools._deadline import awake_timeout

if TYPE_CHECKING:
    from interpreter_tools._context.interpreter import Interpreter
    from interpreter_tools._exceptions import InterpreterToolsError

_PATIENCE = 1.0  # seconds that an interrupted answer may still take


class Question:
    """A question that waits for its answer; what the process prints meanwhile is dropped.

    Args:
        number: the number that the answer repeats.
    """

    def __init__(self, number: int) -> None:
        self.number = number
        self._answer: asyncio.Future[words.Said | None] = asyncio.get_running_loop().create_future()

    def __repr__(self) -> str:
        return f"<Question {self.number} [{'answered' if self._answer.done() else 'open'}]>"

    def output(self, stream: str, data: bytes) -> None:
        """Drop output."""

    def display(self, connection: int, piece: bytes) -> None:
        """Drop a display."""

    def said(self, said: words.Said) -> None:
        """Take the answer."""
        if isinstance(said, words.Answer) and said.id == self.number and not self._answer.done():
            self._answer.set_result(said)

    def ended(self, died: InterpreterToolsError) -> None:
        """Fail: the process has ended."""
        if not self._answer.done():
            self._answer.set_exception(died)

    def closing(self) -> None:
        """Do nothing: ``ended`` follows, and says why."""

    async def answer(self, interpreter: Interpreter, *, within: float) -> words.Said | None:
        """Wait for the answer; None where it does not come. A process that stays silent is interrupted, then killed.

        Args:
            interpreter: the process.
            within: seconds.

        Raises:
            ContextDied, ContainerLost: the process ended before.
        """
        try:
            async with awake_timeout(within):
                return await asyncio.shield(self._answer)
        except TimeoutError:
            interpreter.interrupt(self.number)
        try:
            async with awake_timeout(_PATIENCE):
                return await asyncio.shield(self._answer)
        except TimeoutError:
            interpreter.end_program()
            return None
