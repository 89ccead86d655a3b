"""Files on their way into a container and out of it, piece by piece: nothing holds a whole one."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
from typing import TYPE_CHECKING, Protocol

import anyio

from interpreter_tools._config.paths import shown_path
from interpreter_tools._container.file_list import FileList
from interpreter_tools._exceptions import ConfigurationError, ContainerLost, FileRefused, InterpreterToolsError
from interpreter_tools._protocol import Content, DataFrames, Event, Files, Ready, Refused

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterable, Sequence

    from interpreter_tools._container.channel import Channel

PIECE = 1 << 20
"""Bytes of a file that are handed on at once."""

_WAITING = 4 * PIECE  # bytes of it that may wait for whoever reads it, before the container has to
_AT_ONCE = 64 * PIECE  # bytes of it that are asked for at once: who gives up meanwhile has to wait for them
_PATIENCE = 5.0  # seconds


class Source(Protocol):
    """What a file is made from; files that wait on this side can be sent more than once."""

    @property
    def mode(self) -> int:
        """Its permissions."""
        ...

    async def read_into(self, spaces: Sequence[memoryview], offset: int) -> int:
        """Reads contents into the spaces, from the first on; returns how many bytes, 0 at the end.

        Args:
            spaces: where they go.
            offset: how much of the file was read before; some sources come but once, and go on from there.
        """
        ...


def spread(data: bytes | memoryview, spaces: Sequence[memoryview]) -> int:
    """Copies data into the spaces, from the first on; returns how much had room."""
    at = 0
    for space in spaces:
        piece = data[at : at + len(space)]
        space[: len(piece)] = piece
        at += len(piece)
    return at


async def pieces_of(source: Source) -> AsyncGenerator[bytes]:
    """Its contents."""
    offset = 0
    while True:
        space = memoryview(bytearray(PIECE))
        count = await source.read_into([space], offset)
        if not count:
            return
        yield bytes(space[:count])
        offset += count


class Streamed:
    """Contents that come but once."""

    def __init__(self, data: bytes | AsyncIterable[bytes], mode: int) -> None:
        self._waiting = memoryview(data if isinstance(data, bytes) else b"")
        self._coming = None if isinstance(data, bytes) else aiter(data)
        self.mode = mode

    async def read_into(self, spaces: Sequence[memoryview], offset: int) -> int:
        """Reads on, until the end of what has come."""
        del offset
        while not self._waiting and self._coming is not None:
            piece = await anext(self._coming, None)
            if piece is None:
                break
            if not isinstance(piece, (bytes, bytearray, memoryview)):  # pyright: ignore[reportUnnecessaryIsInstance]
                raise ConfigurationError("data", type(piece).__name__, "is not bytes", hint="encode the text")
            self._waiting = memoryview(piece).cast("B")
        count = spread(self._waiting, spaces)
        self._waiting = self._waiting[count:]
        return count


def refusal(refused: Refused) -> FileRefused:
    """What a container says of a file, as an exception."""
    return FileRefused(shown_path(refused.subject), refused.errno, os.strerror(refused.errno))


async def send_file(channel: Channel, path: bytes, source: Source, *, uid: int) -> None:
    """Writes a file below the workspace; one whose source fails half way, or is given up, is removed again.

    How the container liked it is told by the next ``start`` or ``sync``.

    Raises:
        ContainerLost, ProtocolError: the container went away.
    """
    connection = channel.connection
    channel.send(connection.open_put(path, uid=uid, mode=source.mode))
    whole = False
    try:
        offset, frames = 0, DataFrames()
        while count := await source.read_into(frames.spaces, offset):
            if channel.error is not None:  # while the source made us wait
                raise channel.error
            channel.send(connection.put_data(frames, count))
            offset += count
            await asyncio.sleep(0)  # neither the source nor the container need have made us wait
            await channel.drain()
            if channel.holds_on:
                frames = DataFrames()
        whole = True
    finally:
        if channel.error is None:
            channel.send(connection.close_put(whole=whole))


class _Answer:
    """Listens until the last event of an answer has come.

    Attributes:
        channel: the container's.
        done: the answer is complete.
        given_up: nobody waits for the rest of it.
    """

    def __init__(self, channel: Channel) -> None:
        self.channel = channel
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.given_up = False

    def receive(self, event: Event) -> None:
        """Takes the next event of the answer."""
        if isinstance(event, Refused):
            self.end(refusal(event))

    def lost(self, error: InterpreterToolsError) -> None:
        """There will be no other."""
        self.end(error)

    def end(self, error: InterpreterToolsError | None = None) -> None:
        """The answer is complete."""
        if self.done.done():
            return
        if error is None:
            self.done.set_result(None)
        else:
            self.done.set_exception(error)

    @contextlib.asynccontextmanager
    async def asked(self, request: bytes) -> AsyncGenerator[None]:
        """Listens to the answer of a request; who gives up before its end waits for it, a little."""
        self.channel.listen(self)
        try:
            self.channel.send(request)
            yield
        finally:
            if not self.done.done():
                await self._give_up()
            self.done.exception()  # perhaps nobody else asks for it
            self.channel.quit(self)

    async def _give_up(self) -> None:
        self.given_up = True
        self.channel.resume()
        with anyio.move_on_after(_PATIENCE, shield=True):
            await asyncio.wait([self.done])
        if not self.done.done():  # it does not answer: who listens next would take this answer for its own
            self.channel.close(ContainerLost("the container did not answer"))

    async def ask(self, request: bytes) -> None:
        """Sends a request and waits for the end of its answer."""
        async with self.asked(request):
            await asyncio.shield(self.done)


class _Written(_Answer):
    """How the files that were sent were liked."""

    def receive(self, event: Event) -> None:
        if isinstance(event, Ready):
            self.end()
        else:
            super().receive(event)


class _Listing(_Answer):
    """The names of files."""

    def __init__(self, channel: Channel) -> None:
        super().__init__(channel)
        self.files = FileList()

    def receive(self, event: Event) -> None:
        if isinstance(event, Files):
            self.files.add(event)
        elif isinstance(event, Ready):
            self.end()


class _Range(_Answer):
    """A part of a file, taken as it comes."""

    def __init__(self, channel: Channel) -> None:
        super().__init__(channel)
        self._pieces: list[bytes] = []
        self._waiting = 0
        self._ready = asyncio.Event()

    def receive(self, event: Event) -> None:
        if not isinstance(event, Content):
            super().receive(event)
        elif not event.data:
            self.end()
        elif not self.given_up:
            self._pieces.append(event.data)
            self._waiting += len(event.data)
            if self._waiting >= PIECE:
                self._ready.set()
            if self._waiting >= _WAITING:
                self.channel.pause()

    def end(self, error: InterpreterToolsError | None = None) -> None:
        super().end(error)
        self._ready.set()

    async def take(self) -> bytes:
        """What has come: 1 MiB or more, less only at the end, and then nothing."""
        await self._ready.wait()
        piece = b"".join(self._pieces)
        self._pieces.clear()
        self._waiting = 0
        if not self.done.done():
            self._ready.clear()
            self.channel.resume()
        elif not piece:
            self.done.result()
        return piece


async def sync(channel: Channel) -> None:
    """Waits until every file that was sent is written.

    Raises:
        FileRefused: one of them could not be, the first.
        ContainerLost, ProtocolError: the container went away.
    """
    await _Written(channel).ask(channel.connection.sync())


async def list_files(channel: Channel) -> tuple[list[tuple[int, bytes]], bool]:
    """Every regular file below the workspace as (size in bytes, path), and whether there are more than are listed.

    Raises:
        ContainerLost, ProtocolError: the container went away.
    """
    listing = _Listing(channel)
    await listing.ask(channel.connection.list_files())
    return listing.files.entries, listing.files.partial


async def read_range(channel: Channel, path: bytes, *, uid: int, offset: int, count: int) -> bytes:
    """At most ``count`` bytes of a file; fewer only at its end.

    Raises:
        FileRefused: there is no such file, or it cannot be read.
        ContainerLost, ProtocolError: the container went away.
    """
    async with contextlib.aclosing(_pieces(channel, path, uid=uid, offset=offset, count=count)) as pieces:
        return b"".join([piece async for piece in pieces])


async def is_there(channel: Channel, path: bytes, *, uid: int) -> bool:
    """Something is there under that path, be it a file that can be read or not.

    Raises:
        ContainerLost, ProtocolError: the container went away.
    """
    try:
        await read_range(channel, path, uid=uid, offset=0, count=0)
    except FileRefused as refused:
        return refused.errno not in {errno.ENOENT, errno.ENOTDIR}
    return True


async def read_file(channel: Channel, path: bytes, *, uid: int) -> AsyncGenerator[bytes]:
    """The same of a whole file, piece by piece; while they are not taken the container waits."""
    offset = 0
    while True:
        before = offset
        async with contextlib.aclosing(_pieces(channel, path, uid=uid, offset=offset, count=_AT_ONCE)) as pieces:
            async for piece in pieces:
                yield piece
                offset += len(piece)
        if offset - before < _AT_ONCE:
            return


async def _pieces(channel: Channel, path: bytes, *, uid: int, offset: int, count: int) -> AsyncGenerator[bytes]:
    request = channel.connection.get(path, uid=uid, offset=offset, count=count)
    part = _Range(channel)
    async with part.asked(request):
        while piece := await part.take():
            yield piece
