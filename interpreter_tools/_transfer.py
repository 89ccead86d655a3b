"""Files on their way into a container and out of it, piece by piece: nothing holds a whole one."""

from __future__ import annotations

import asyncio
import contextlib
import os
from typing import TYPE_CHECKING, Protocol, Self

import anyio

from interpreter_tools._exceptions import ContainerLost, FileRefused, InterpreterToolsError
from interpreter_tools._file_list import FileList
from interpreter_tools._protocol import Content, Event, Files, Ready, Refused
from interpreter_tools._protocol._constants import MAX_PAYLOAD
from interpreter_tools._workspace import shown_path

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from interpreter_tools._channel import Channel

PIECE = 1 << 20
"""Bytes of a file that are handed on at once."""

_PATIENCE = 5.0  # seconds


class Ahead:
    """An async iterator whose next item is fetched while the last one is used."""

    def __init__(self, source: AsyncIterator[bytes]) -> None:
        self._source = source
        self._next: asyncio.Future[bytes] | None = None

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        fetching, self._next = self._next or self._fetch(), None
        try:
            item = await fetching
        except BaseException:
            self._next = fetching
            raise
        self._next = self._fetch()
        return item

    def _fetch(self) -> asyncio.Future[bytes]:
        async def fetch() -> bytes:
            return await anext(self._source)

        return asyncio.ensure_future(fetch())

    async def aclose(self) -> None:
        """Fetches no more."""
        fetching, self._next = self._next, None
        if fetching is not None:
            fetching.cancel()
            await asyncio.wait([fetching])
            if not fetching.cancelled():
                fetching.exception()  # what came too late interests nobody


class Source(Protocol):
    """What a file is made from; files that wait on this side can be sent more than once."""

    @property
    def mode(self) -> int:
        """Its permissions."""
        ...

    def pieces(self) -> AsyncIterator[bytes]:
        """Its contents."""
        ...


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
        async with contextlib.aclosing(Ahead(source.pieces())) as pieces:
            async for piece in pieces:
                for at in range(0, len(piece), MAX_PAYLOAD):
                    channel.send(connection.put_data(memoryview(piece)[at : at + MAX_PAYLOAD]))
                    await channel.drain()
        whole = True
    finally:
        channel.send(connection.close_put(whole=whole))


class _Answer:
    """Listens until the last event of an answer has come."""

    def __init__(self) -> None:
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

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

    async def ask(self, channel: Channel, request: bytes) -> None:
        """Sends a request and waits for the end of its answer; a caller who is cancelled waits for it too, a little."""
        channel.listen(self)
        try:
            channel.send(request)
            await asyncio.shield(self.done)
        except asyncio.CancelledError:
            with anyio.move_on_after(_PATIENCE, shield=True):
                await asyncio.wait([self.done])
            if not self.done.done():  # it does not answer: who listens next would take this answer for its own
                channel.close(ContainerLost("the container did not answer"))
            self.done.exception()  # nobody else asks for it
            raise
        finally:
            channel.quit(self)


class _Written(_Answer):
    """How the files that were sent were liked."""

    def receive(self, event: Event) -> None:
        if isinstance(event, Ready):
            self.end()
        else:
            super().receive(event)


class _Listing(_Answer):
    """The names of files."""

    def __init__(self) -> None:
        super().__init__()
        self.files = FileList()

    def receive(self, event: Event) -> None:
        if isinstance(event, Files):
            self.files.add(event)
        elif isinstance(event, Ready):
            self.end()


class _Range(_Answer):
    """A part of a file."""

    def __init__(self) -> None:
        super().__init__()
        self.pieces: list[bytes] = []

    def receive(self, event: Event) -> None:
        if isinstance(event, Content):
            if event.data:
                self.pieces.append(event.data)
            else:
                self.end()
        else:
            super().receive(event)


async def sync(channel: Channel) -> None:
    """Waits until every file that was sent is written.

    Raises:
        FileRefused: one of them could not be, the first.
        ContainerLost, ProtocolError: the container went away.
    """
    await _Written().ask(channel, channel.connection.sync())


async def list_files(channel: Channel) -> tuple[list[tuple[int, bytes]], bool]:
    """Every regular file below the workspace as (size in bytes, path), and whether there are more than are listed.

    Raises:
        ContainerLost, ProtocolError: the container went away.
    """
    listing = _Listing()
    await listing.ask(channel, channel.connection.list_files())
    return listing.files.entries, listing.files.partial


async def read_range(channel: Channel, path: bytes, *, uid: int, offset: int, count: int) -> bytes:
    """At most ``count`` bytes of a file; fewer only at its end.

    Raises:
        FileRefused: there is no such file, or it cannot be read.
        ContainerLost, ProtocolError: the container went away.
    """
    answer = _Range()
    await answer.ask(channel, channel.connection.get(path, uid=uid, offset=offset, count=count))
    return b"".join(answer.pieces)
