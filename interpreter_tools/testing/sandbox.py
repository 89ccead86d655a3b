"""A container without Docker: its channel is real, and the test plays its supervisor."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from interpreter_tools._container.channel import Channel
from interpreter_tools.testing.wire import UID, encode, make_idle, piece, requests

if TYPE_CHECKING:
    from interpreter_tools._container.boxes import Isolation
    from interpreter_tools._container.file_list import FileList
    from interpreter_tools._container.lease_end import LeaseEnd
    from interpreter_tools._protocol import Event, Reset


class ScriptedTransport(asyncio.Transport):
    """The other end of an attach stream, without a socket.

    Attributes:
        written: bytes that the channel has sent.
        reading: True while the channel takes bytes.
        aborted: True once the channel has given up the connection.
        high: bytes that may be queued; None before a limit was set.
        resumed: set when reading goes on after a pause.
        holding: True keeps written buffers until ``release``, as a transport does that does not copy.
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
        """Keep the limit."""
        self.high = high

    def get_write_buffer_size(self) -> int:
        """Return the bytes that wait for ``release``."""
        return sum(map(len, self._held))

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Keep the bytes; a held buffer is read only at ``release``."""
        assert not self.aborted
        self._held.append(data)
        if not self.holding:
            self.release()

    def release(self) -> None:
        """Move all held buffers to ``written``."""
        self.written += b"".join(self._held)
        self._held.clear()

    def pause_reading(self) -> None:
        """Stop reading; an error when it is stopped already."""
        assert self.reading
        self.reading = False

    def resume_reading(self) -> None:
        """Go on reading; an error when it was not stopped."""
        assert not self.reading
        self.reading = True
        self.resumed.set()

    def abort(self) -> None:
        """Give the connection up; an error the second time."""
        assert not self.aborted
        self.aborted = True


class Sandbox:
    """A lease whose supervisor is played by the test.

    Attributes:
        released: the end of the lease, once for each release.
        reset: the reset that follows a run; None when there is none.
    """

    def __init__(self, *, last: bool = True, booted: bool = True) -> None:
        self.channel = Channel()
        self.transport = ScriptedTransport()
        self.uid = UID
        self.image = "image:1"
        self.isolation: Isolation = "container"
        self.last = last
        self.ports: dict[int, int] = {}
        self.released: list[LeaseEnd] = []
        self.reset: Reset | None = None
        self.channel.connection_made(self.transport)
        if booted:
            make_idle(self.channel.connection)
            self.channel.quit(self.channel._greeting)

    def plan_reset(self) -> Reset | None:
        """Return the reset that the test chose."""
        return self.reset

    def ended(self, files: FileList) -> tuple[str, ...]:
        """Return the files that the run changed."""
        return files.names()

    def release(self, end: LeaseEnd) -> None:
        """Note the end of the lease."""
        self.released.append(end)

    def say(self, *events: Event) -> None:
        """Send events to the channel, in one piece of the stream."""
        self.say_bytes(encode(*events))

    def say_bytes(self, data: bytes) -> None:
        """Send bytes to the channel, which need not be valid frames."""
        self.channel.data_received(piece(data))

    def heard(self) -> list[tuple[object, ...]]:
        """Return the requests that the channel sent since the last call."""
        self.transport.release()
        said = requests(bytes(self.transport.written))
        self.transport.written.clear()
        return said


async def settle() -> None:
    """Let every task run until it waits for another event."""
    for _ in range(5):
        await asyncio.sleep(0)
