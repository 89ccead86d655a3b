"""A container without Docker: its channel is real, and the test is its supervisor."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from interpreter_tools._container.channel import Channel
from interpreter_tools.testing.wire import UID, encode, make_idle, piece, requests

if TYPE_CHECKING:
    from interpreter_tools._container.lease_end import LeaseEnd
    from interpreter_tools._protocol import Event, Reset


class ScriptedTransport(asyncio.Transport):
    """The other end of an attach stream, without a socket.

    Attributes:
        written: what the channel has sent.
        reading: the channel takes what is said.
        aborted: the channel has given up.
        high: bytes that may be queued.
        resumed: reading has gone on after a pause.
        holding: what is written stays where it is until ``release``, as with a transport that does not copy.
    """

    def __init__(self) -> None:
        super().__init__()
        self.written = bytearray()
        self.reading = True
        self.aborted = False
        self.high: int | None = None
        self.holding = False
        self._held: list[bytes | bytearray | memoryview] = []
        self.resumed = asyncio.Event()

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Keeps the limit."""
        self.high = high

    def get_write_buffer_size(self) -> int:
        """How much has not left."""
        return sum(map(len, self._held))

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Keeps the bytes; what it holds on to is looked at only when somebody asks for it."""
        assert not self.aborted
        self._held.append(data)
        if not self.holding:
            self.release()

    def release(self) -> None:
        """Lets everything go."""
        self.written += b"".join(self._held)
        self._held.clear()

    def pause_reading(self) -> None:
        """Once, until reading is resumed."""
        assert self.reading
        self.reading = False

    def resume_reading(self) -> None:
        """Once, after it was paused."""
        assert not self.reading
        self.reading = True
        self.resumed.set()

    def abort(self) -> None:
        """Once."""
        assert not self.aborted
        self.aborted = True


class Sandbox:
    """A lease whose supervisor says what the test says.

    Attributes:
        released: how it was given back, each time that it was.
        reset: what follows a run by itself.
    """

    def __init__(self, *, last: bool = True, booted: bool = True) -> None:
        self.channel = Channel()
        self.transport = ScriptedTransport()
        self.uid = UID
        self.image = "image:1"
        self.last = last
        self.ports: dict[int, int] = {}
        self.released: list[LeaseEnd] = []
        self.reset: Reset | None = None
        self.channel.connection_made(self.transport)
        if booted:
            make_idle(self.channel.connection)
            self.channel.quit(self.channel._greeting)

    def plan_reset(self) -> Reset | None:
        """As the test said."""
        return self.reset

    def ended(self, files: tuple[str, ...]) -> tuple[str, ...]:
        """What the run has changed."""
        return files

    def release(self, end: LeaseEnd) -> None:
        """Keeps how it was given back."""
        self.released.append(end)

    def say(self, *events: Event) -> None:
        """Sends the events, in one piece of the stream."""
        self.say_bytes(encode(*events))

    def say_bytes(self, data: bytes) -> None:
        """Sends bytes that may mean nothing."""
        self.channel.data_received(piece(data))

    def heard(self) -> list[tuple[object, ...]]:
        """What was sent to the supervisor since the last time."""
        self.transport.release()
        said = requests(bytes(self.transport.written))
        self.transport.written.clear()
        return said


async def settle() -> None:
    """Lets every task run until it waits for something else."""
    for _ in range(5):
        await asyncio.sleep(0)
