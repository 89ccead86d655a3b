"""Checkpoints of a process: the two exchanges of words that make one, and go back to one."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from interpreter_tools._context import words
from interpreter_tools._deadline import awake_timeout
from interpreter_tools._exceptions import CheckpointRefused, ContextDied

if TYPE_CHECKING:
    from collections.abc import Callable

    from interpreter_tools._context.interpreter import Interpreter
    from interpreter_tools._context.ring import Parked
    from interpreter_tools._exceptions import InterpreterToolsError

_PATIENCE = 60.0  # seconds for a checkpoint, or a rewind: both copy files


class ParkedEnded(Exception):
    """The end of a parked process, before a fork of it could go on; the process that ran still does."""


class _Exchange:
    """A task of a process whose output is dropped, and whose answers come from several of its connections."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.news = asyncio.Event()
        self.refused: words.NotParked | None = None
        self.died: InterpreterToolsError | None = None

    def output(self, stream: str, data: bytes) -> None:
        """Drop output."""

    def display(self, connection: int, piece: bytes) -> None:
        """Drop a display."""

    def said(self, said: words.Said) -> None:
        """Take what the runner says."""
        if isinstance(said, words.NotParked) and said.id == self.number:
            self.refused = said
            self.news.set()

    def joined(self, connection: int, said: words.Said) -> None:
        """Take what another process of the context says."""

    def ended(self, died: InterpreterToolsError) -> None:
        """Fail: the process has ended."""
        self.died = died
        self.news.set()

    def closing(self) -> None:
        """Do nothing: ``ended`` follows, and says why."""

    async def next(self, interpreter: Interpreter) -> None:
        """Wait for the next event.

        Raises:
            CheckpointRefused: the process refuses, and nothing has changed.
            ContextDied, ContainerLost: the process has ended, or does not answer and was killed.
        """
        try:
            async with awake_timeout(_PATIENCE):
                await self.news.wait()
        except TimeoutError:
            interpreter.kill()
            raise ContextDied("a checkpoint took longer than 60 s, so the process of the context was killed") from None
        self.news.clear()
        if self.died is not None:
            raise self.died
        if self.refused is not None:
            raise CheckpointRefused(self.refused.reason)


class Parking(_Exchange):
    """The making of a checkpoint: the process forks, and the fork parks.

    Attributes:
        parked: the connection of the parked process, and its number; None until it has spoken.
        saved: what the process says of the checkpoint; None until then.
    """

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.parked: tuple[int, int] | None = None
        self.saved: words.Saved | None = None

    def said(self, said: words.Said) -> None:
        """Take the answer of the process itself."""
        super().said(said)
        if isinstance(said, words.Saved) and said.id == self.number:
            self.saved = said
            self.news.set()

    def joined(self, connection: int, said: words.Said) -> None:
        """Take the first word of the parked process."""
        if isinstance(said, words.Parked) and said.id == self.number and self.parked is None:
            self.parked = connection, said.pid
            self.news.set()

    async def finish(self, interpreter: Interpreter) -> tuple[tuple[int, int], words.Saved]:
        """Wait until both have spoken.

        Raises:
            CheckpointRefused: the process refuses, and nothing has changed.
            ContextDied, ContainerLost: the process has ended.
        """
        while self.parked is None or self.saved is None:
            await self.next(interpreter)
        return self.parked, self.saved


class Waking(_Exchange):
    """The way back to a checkpoint: the parked process goes on in the place of the process, or a fork of it does.

    Args:
        number: the number of the exchange.
        parked: the parked process.
        arrival: hears of the copy that the process leaves.
    """

    def __init__(self, number: int, parked: Parked, arrival: Arrival) -> None:
        super().__init__(number)
        self._arrival = arrival
        self._parked = parked
        self._woken: int | None = None
        self._done = False

    def said(self, said: words.Said) -> None:
        """Take the answer of the process that goes on."""
        super().said(said)
        if isinstance(said, words.Rewound) and said.id == self.number:
            self._done = True
            self.news.set()

    def joined(self, connection: int, said: words.Said) -> None:
        """Take the first word of the process that goes on, or the refusal of the parked process."""
        if connection == self._parked.connection:
            super().said(said)
        if isinstance(said, words.Woken) and said.id == self.number and self._woken is None:
            self._woken = connection
            self.news.set()
        self._arrival.joined(connection, said)

    async def rise(self, interpreter: Interpreter) -> int:
        """Wait until a process can go on; return its connection.

        Raises:
            CheckpointRefused: no process could be made, and nothing has changed.
            ParkedEnded: the parked process has ended, and nothing has changed.
            ContextDied, ContainerLost: the process has ended.
        """
        while True:
            if self._parked.is_gone and self._woken in {None, self._parked.connection}:
                raise ParkedEnded
            if self._woken is not None:
                return self._woken
            await self.next(interpreter)

    async def restore(self, interpreter: Interpreter, *, others: list[int], diverges: bool) -> None:
        """Have the process that goes on bring its files back, and wait until they are what they were.

        Args:
            interpreter: the side run, which the process leads.
            others: the numbers of all parked processes.
            diverges: True gives the process random numbers of its own.

        Raises:
            ContextDied, ContainerLost: the process has ended, or the files could not be brought back.
        """
        how = {"parked": others, "diverges": diverges, "compares": interpreter.maps}
        await interpreter.tell(words.say("restore", id=self.number, **how))
        try:
            while not self._done:
                await self.next(interpreter)
        except CheckpointRefused as refused:
            interpreter.kill()
            await interpreter.over()
            raise ContextDied(f"the files of the checkpoint could not be brought back: {refused.what}") from refused


class Arrival:
    """The parking of a copy of a process that has gone on from a checkpoint, so that it can be gone back to again.

    Args:
        number: the number of the exchange that woke the process.
        parked: called with the connection and the number of the copy; with None where there is none.
    """

    def __init__(self, number: int, parked: Callable[[tuple[int, int] | None], None]) -> None:
        self._number = number
        self._parked = parked
        self._over = asyncio.Event()

    def joined(self, connection: int, said: words.Said) -> None:
        """Take the first word of the copy, or that of the process that could not make it."""
        if isinstance(said, words.Parked) and said.id == self._number:
            self._end((connection, said.pid) if said.pid else None)

    def ended(self, died: InterpreterToolsError) -> None:
        """Note that the process has ended: its copy was killed with it."""
        self.fail()

    def fail(self) -> None:
        """Note that there is no copy, and that none comes."""
        self._end(None)

    def _end(self, copy: tuple[int, int] | None) -> None:
        if not self._over.is_set():
            self._over.set()
            self._parked(copy)

    async def over(self, interpreter: Interpreter) -> None:
        """Wait until the copy is parked, or there is none."""
        try:
            async with awake_timeout(_PATIENCE):
                await self._over.wait()
        except TimeoutError:
            interpreter.kill()
            self.fail()
