"""A side run: a program that runs beside others in one container, for as long as it likes."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Protocol

from interpreter_tools._container.telling import Telling
from interpreter_tools._exceptions import ExecutionClosed, InterpreterToolsError
from interpreter_tools._protocol import Credit, Delayed, Exited, Fallen, Message, Output, Refused, RunEvent, Told
from interpreter_tools._protocol.constants import OUTPUT_WINDOW

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from interpreter_tools._container.telling import Wire

_GRANT = OUTPUT_WINDOW // 2  # bytes taken of its output after which there is room for as many again
_MESSAGE_HEAD = 4  # bytes of the window that each message takes beside its own
_PIECE = 32768  # bytes of stdin in one frame


class SideListener(Protocol):
    """The receiver of what a side run says. The calls come from the event loop, in order, and must not block."""

    def output(self, event: Output) -> None:
        """Take bytes that the program wrote."""

    def message(self, connection: int, data: bytes) -> None:
        """Take a piece of a message; no bytes mean that the connection is over."""

    def ended(self, how: Exited | Refused | InterpreterToolsError) -> None:
        """Note the end: the program ended, it was refused, or the container is lost. Nothing comes after it."""


class SideRun:
    """A program beside the others of its container. It costs no task, and nothing while it is silent.

    ``pause`` stops the program at its next writes once 256 KiB wait, and no other program of the container.

    Attributes:
        number: its number on the wire.
        end: how it ended; None while it runs.
        telling: what may be told to its connections.
        fallen: called when its program has ended and other processes of it can take its place; see ``lead``.
        delayed: called with the answer to ``ask_delay``.
    """

    def __init__(self, channel: Wire, number: int, listener: SideListener) -> None:
        self.number = number
        self.end: Exited | Refused | InterpreterToolsError | None = None
        self._channel = channel
        self._listener = listener
        self._taken = 0  # bytes of output that the supervisor does not know of
        self._is_paused = False
        self.telling = Telling(channel, run=number)
        self.fallen: Callable[[Fallen], None] | None = None
        self.delayed: Callable[[float], None] | None = None
        self._stdin_open = True
        self._stdin_turn = asyncio.Lock()

    def __repr__(self) -> str:
        return f"<SideRun {self.number} {'running' if self.end is None else 'ended'}>"

    # -- what the channel says

    def receive(self, event: RunEvent) -> None:
        """Handle the next event; called by the channel."""
        if isinstance(event, Output):
            self._take(len(event.data))
            self._listener.output(event)
        elif isinstance(event, Message):
            self.telling.heard(event.connection, event.data)
            if event.data:
                self._take(len(event.data) + _MESSAGE_HEAD)
            self._listener.message(event.connection, event.data)
        elif isinstance(event, (Credit, Told)):
            self.telling.wake()
        elif isinstance(event, Fallen):
            if self.fallen is not None:
                self.fallen(event)
        elif isinstance(event, Delayed):
            if self.delayed is not None:
                self.delayed(event.time_us / 1e6)
        else:
            self._finish(event)

    def lost(self, error: InterpreterToolsError) -> None:
        """Note that the container is lost; called by the channel."""
        self._finish(error)

    def _finish(self, how: Exited | Refused | InterpreterToolsError) -> None:
        self.end = how
        self.telling.end()
        self._listener.ended(how)

    def _take(self, count: int) -> None:
        self._taken += count
        self._grant()

    def _grant(self) -> None:
        if self._taken >= _GRANT and not self._is_paused:
            self._channel.send(self._channel.connection.taken(self._taken, run=self.number))
            self._taken = 0

    # -- what its owner asks

    def pause(self) -> None:
        """Take no more than what is on its way: the program waits in its next writes. Does nothing the second time."""
        self._is_paused = True

    def resume(self) -> None:
        """Take output again. Does nothing when it is not paused."""
        self._is_paused = False
        self._grant()

    def lead(self, connection: int, spared: Sequence[int]) -> None:
        """Make the process of a connection the program of the run.

        Its end is the end of the run from now on. All other processes of the run are killed, but those of the spared
        connections. A connection that is over changes nothing. Where it is 0, the run has no program any more.
        """
        self._channel.send(self._channel.connection.lead(connection, spared, run=self.number))

    async def tell(self, connection: int, data: bytes) -> None:
        """Send a piece to a connection of the program; wait while too much is on its way to that connection.

        If ``tell`` is cancelled, nothing was sent.

        Args:
            connection: its number, as ``message`` gave it.
            data: 1 to 65,000 bytes.

        Raises:
            ExecutionClosed: the connection is over, or the program has ended.
            UsageError: there is no connection of that number, or the piece is too large.
        """
        await self.telling.tell(connection, data)

    async def send_stdin(self, data: bytes) -> None:
        """Send bytes to the program's stdin; wait for it to read. Later bytes never overtake earlier ones.

        If ``send_stdin`` is cancelled, a part of the bytes may have been sent.

        Raises:
            ExecutionClosed: stdin was closed, or the program has ended.
        """
        async with self._stdin_turn:
            view = memoryview(data)
            while view:
                wire = self._channel.connection
                while self.end is None and not wire.stdin_room_of(self.number):
                    await self.telling.wait()
                if self.end is not None or not self._stdin_open:
                    raise ExecutionClosed("the program has ended, or its stdin was closed")
                piece = view[: min(_PIECE, wire.stdin_room_of(self.number))]
                self._channel.send(wire.stdin(bytes(piece), run=self.number))
                view = view[len(piece) :]

    async def close_stdin(self) -> None:
        """End the program's stdin, behind the bytes that were sent. Does nothing the second time."""
        async with self._stdin_turn:
            if self._stdin_open and self.end is None:
                self._channel.send(self._channel.connection.stdin(b"", run=self.number))
            self._stdin_open = False

    def signal(self, number: int) -> None:
        """Send a signal to the program and its process group: SIGINT interrupts it. Does nothing after the end."""
        if self.end is None:
            self._channel.send(self._channel.connection.signal(number, run=self.number))

    def ask_delay(self) -> None:
        """Ask how long its processes have waited for a processor: ``delayed`` hears the seconds, of all together.

        The answer comes behind all that was said before it, and does not come after the end. Where the kernel does not
        count, it is 0.
        """
        if self.end is None:
            self._channel.send(self._channel.connection.delay(run=self.number))

    def kill(self) -> None:
        """Kill the program and all that it started; ``ended`` follows. Resumes it. Does nothing after the end."""
        if self.end is None:
            self.resume()
            self._channel.send(self._channel.connection.kill(run=self.number))
