"""The bytes on their way to a program's stdin, within the window that the supervisor grants."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING

from interpreter_tools._exceptions import ExecutionClosed
from interpreter_tools._protocol.constants import MAX_PAYLOAD

if TYPE_CHECKING:
    from interpreter_tools._container.channel import Channel


class Stdin:
    """The stdin of one run: a queue of bytes that wait until the program has read earlier ones.

    Args:
        channel: the channel of the program's container.
        initial: the whole of stdin; None leaves it open.
        keep: True when the START may be refused and repeated, so that sent bytes must be kept.
    """

    def __init__(self, channel: Channel, initial: bytes | None, *, keep: bool = False) -> None:
        self._channel = channel
        self._pending: deque[memoryview] = deque()
        self._senders: deque[tuple[int, asyncio.Future[None]]] = deque()
        self._queued = 0  # bytes ever given to us
        self._sent = 0
        self._kept: list[memoryview] | None = [] if keep else None  # sent, but perhaps to no program
        self._closing = False
        self._ended = False
        if initial is not None:
            self._queue(initial)
            self._closing = True
            self._ended = not initial  # it was started without stdin

    def _queue(self, data: bytes) -> None:
        if data:
            self._pending.append(memoryview(data))
            self._queued += len(data)

    def pump(self) -> None:
        """Send the bytes that the window has room for."""
        connection = self._channel.connection
        while self._pending and connection.stdin_room:
            head = self._pending[0]
            piece = bytes(head[: min(connection.stdin_room, MAX_PAYLOAD)])
            self._channel.send(connection.stdin(piece))
            self._sent += len(piece)
            if self._kept is not None:
                self._kept.append(memoryview(piece))
            if len(piece) == len(head):
                self._pending.popleft()
            else:
                self._pending[0] = head[len(piece) :]
        if self._closing and not self._pending and not self._ended:
            self._ended = True
            self._channel.send(connection.stdin(b""))
        while self._senders and self._senders[0][0] <= self._sent:
            _, sender = self._senders.popleft()
            if not sender.done():
                sender.set_result(None)

    def credited(self) -> None:
        """Send more after credit: the program reads, so it has started."""
        self._kept = None
        self.pump()

    def restart(self, channel: Channel) -> None:
        """Replay stdin from its beginning in another container, after a START that was refused."""
        self._channel = channel
        kept, self._kept = self._kept or [], []
        self._pending.extendleft(reversed(kept))
        self._sent -= sum(map(len, kept))
        self._ended = self._closing and not self._queued
        self.pump()

    async def send(self, data: bytes) -> None:
        """Queue bytes, and wait until they are on their way; later bytes never overtake earlier ones.

        Raises:
            ExecutionClosed: stdin was closed, or the program has ended.
        """
        if self._closing:
            raise ExecutionClosed("stdin is closed", hint="leave the option stdin out, and call close_stdin last")
        self._queue(data)
        sender: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._senders.append((self._queued, sender))
        self.pump()
        await sender

    def close(self) -> None:
        """Send end of file after the bytes that still wait."""
        self._closing = True
        self.pump()

    def abandon(self) -> None:
        """Drop the bytes that wait, and fail their senders: the program has ended."""
        self._closing = self._ended = True
        self._pending.clear()
        while self._senders:
            _, sender = self._senders.popleft()
            if not sender.done():
                sender.set_exception(ExecutionClosed("the program ended before it read all of its stdin"))
