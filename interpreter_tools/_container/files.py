"""File transfers into a container and out of it, piece by piece: no whole file is held in memory."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
from typing import TYPE_CHECKING, Protocol

from interpreter_tools._config.paths import shown_path
from interpreter_tools._container.file_list import FileList
from interpreter_tools._exceptions import ConfigurationError, FileRefused
from interpreter_tools._protocol import Content, DataFrames, Files, Refused

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterable, Sequence

    from interpreter_tools._container.channel import Channel

PIECE = 1 << 20
"""Bytes of a file in one piece."""

_AT_ONCE = 64 * PIECE  # bytes of it that are asked for at once: who gives up meanwhile has to wait for them

_HINTS = {
    errno.ELOOP: "it is a symbolic link, and none is followed: name the file that it points to",
    errno.ENOTDIR: "a part of the path is a file or a symbolic link, and no directory",
    errno.ENXIO: "it is a pipe, a socket or a device, and no file",
    errno.EACCES: "its mode, or that of a directory above it, forbids it: a program can change that with chmod",
}


class Contents(Protocol):
    """The contents of a file to send. Staged files can be sent more than once."""

    @property
    def mode(self) -> int:
        """The permissions of the file."""
        ...

    async def read_into(self, spaces: Sequence[memoryview], offset: int) -> int:
        """Read contents into the spaces, in order; return the number of bytes, 0 at the end.

        Args:
            spaces: the buffers for the contents.
            offset: bytes of the file that were read before; a source that can be read only once goes on from there.
        """
        ...


def spread(data: bytes | memoryview, spaces: Sequence[memoryview]) -> int:
    """Copy data into the spaces, from the first on; return how many bytes had room."""
    at = 0
    for space in spaces:
        piece = data[at : at + len(space)]
        space[: len(piece)] = piece
        at += len(piece)
    return at


async def pieces_of(source: Contents) -> AsyncGenerator[bytes]:
    """Yield the contents of a source."""
    offset = 0
    while True:
        space = memoryview(bytearray(PIECE))
        count = await source.read_into([space], offset)
        if not count:
            return
        yield bytes(space[:count])
        offset += count


class Streamed:
    """Contents that can be read only once."""

    def __init__(self, data: bytes | AsyncIterable[bytes], mode: int) -> None:
        self._waiting = memoryview(data if isinstance(data, bytes) else b"")
        self._coming = None if isinstance(data, bytes) else aiter(data)
        self.mode = mode

    async def read_into(self, spaces: Sequence[memoryview], offset: int) -> int:
        """Read on from the place where the last call ended."""
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
    """Return a container's refusal of a file as an exception."""
    hint = _HINTS.get(refused.errno, "")
    return FileRefused(shown_path(refused.subject), refused.errno, os.strerror(refused.errno), hint=hint)


async def send_file(channel: Channel, path: bytes, source: Contents, *, uid: int) -> None:
    """Write a file below the workspace. A file whose source fails half way, or is given up, is removed again.

    Errors are reported by the next ``start`` or ``sync``.

    Raises:
        ContainerLost, ProtocolError: the container went away, or takes nothing any more.
        ContainerBusy: another request or a run is under way.
    """
    connection = channel.free()
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


async def sync(channel: Channel) -> None:
    """Wait until every file that was sent is written.

    Raises:
        FileRefused: one of them could not be written; the first one is named.
        ContainerLost, ProtocolError: the container went away, or does not answer.
    """
    answer = await channel.ask(channel.free().sync())
    if isinstance(answer, Refused):
        raise refusal(answer)


async def list_files(channel: Channel) -> tuple[list[tuple[int, bytes]], bool]:
    """Return every regular file below the workspace as (size in bytes, path), and whether there are more of them.

    Raises:
        ContainerLost, ProtocolError: the container went away, or does not answer.
    """
    files = FileList()
    async with contextlib.aclosing(channel.converse(channel.free().list_files())) as answer:
        async for event in answer:
            if isinstance(event, Files):
                files.add(event)
    return files.entries, files.partial


async def read_range(channel: Channel, path: bytes, *, uid: int, offset: int, count: int) -> bytes:
    """Return at most ``count`` bytes of a file; fewer only at its end.

    Raises:
        FileRefused: there is no such file, or it cannot be read.
        ContainerLost, ProtocolError: the container went away, or does not answer.
    """
    async with contextlib.aclosing(_pieces(channel, path, uid=uid, offset=offset, count=count)) as pieces:
        return b"".join([piece async for piece in pieces])


async def is_there(channel: Channel, path: bytes, *, uid: int) -> bool:
    """Return whether something has that path, be it a file that can be read or not.

    Raises:
        ContainerLost, ProtocolError: the container went away, or does not answer.
    """
    try:
        await read_range(channel, path, uid=uid, offset=0, count=0)
    except FileRefused as refused:
        return refused.errno not in {errno.ENOENT, errno.ENOTDIR}
    return True


async def read_file(channel: Channel, path: bytes, *, uid: int) -> AsyncGenerator[bytes]:
    """Yield a whole file, piece by piece. The container waits while they are not taken."""
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
    """Yield a part of a file in pieces of 1 MiB or a little more; only the last one is smaller."""
    request = channel.free().get(path, uid=uid, offset=offset, count=count)
    parts: list[bytes] = []
    size = 0
    async with contextlib.aclosing(channel.converse(request)) as answer:
        async for event in answer:
            if isinstance(event, Refused):
                raise refusal(event)
            if isinstance(event, Content):
                parts.append(event.data)
                size += len(event.data)
            if size >= PIECE:
                yield b"".join(parts)
                parts.clear()
                size = 0
    if size:
        yield b"".join(parts)
