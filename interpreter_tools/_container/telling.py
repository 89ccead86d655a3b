"""Words of the client to the connections of one run."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Protocol

from interpreter_tools._exceptions import ExecutionClosed, UsageError
from interpreter_tools._protocol.constants import MESSAGE_SIZE

if TYPE_CHECKING:
    from interpreter_tools._protocol import Connection


class Wire(Protocol):
    """The stream of a container, as far as this needs it."""

    connection: Connection

    def send(self, data: bytes) -> None:
        """Queue bytes for the supervisor."""


class Telling:
    """The connections of one run that may be told something.

    Attributes:
        ended: True once the run has ended: nothing is sent any more.
    """

    def __init__(self, wire: Wire, *, run: int = 0) -> None:
        self.ended = False
        self._wire = wire
        self._run = run
        self._open: set[int] = set()  # connections that have said something and are not over
        self._waiters: set[asyncio.Future[None]] = set()

    def heard(self, connection: int, data: bytes) -> None:
        """Note a piece of a message; one without bytes ends its connection."""
        if data:
            self._open.add(connection)
        else:
            self._open.discard(connection)
            self.wake()

    def wake(self) -> None:
        """Let those look again who wait for room: some may have come."""
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)

    def end(self) -> None:
        """End the telling; whoever waits is told. Does nothing the second time."""
        self.ended = True
        self._open.clear()
        self.wake()

    async def wait(self) -> None:
        """Wait for the next ``wake``."""
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters.add(waiter)
        try:
            await waiter
        finally:
            self._waiters.discard(waiter)

    async def tell(self, connection: int, data: bytes) -> None:
        """Send a piece to a connection of the run; wait while too much is on its way to that connection.

        If ``tell`` is cancelled, nothing was sent.

        Args:
            connection: its number, as the message had it.
            data: 1 to 65,000 bytes.

        Raises:
            ExecutionClosed: the connection is over, or the program has ended.
            UsageError: the piece is empty or too large.
        """
        if not 0 < len(data) <= MESSAGE_SIZE:
            raise UsageError(f"a piece has 1 to {MESSAGE_SIZE} bytes, not {len(data)}")
        wire = self._wire.connection
        while connection in self._open and not wire.tells(connection, len(data), run=self._run):
            await self.wait()
        if connection not in self._open:
            raise ExecutionClosed("the program has closed this connection, or has ended")
        self._wire.send(wire.tell(connection, data, run=self._run))
