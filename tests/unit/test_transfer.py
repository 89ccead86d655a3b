"""Files into a container and out of it: nothing is lost, and nothing piles up."""

from __future__ import annotations

import array
import asyncio
import contextlib
import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from interpreter_tools._container.files import (
    PIECE,
    Streamed,
    is_there,
    list_files,
    pieces_of,
    read_file,
    read_range,
    send_file,
    spread,
    sync,
)
from interpreter_tools._exceptions import ConfigurationError, ContainerLost, FileRefused
from interpreter_tools._protocol import Content, Fatal, Ready, Refused
from interpreter_tools._protocol.constants import Frame, Why
from interpreter_tools._session.host_files import HostFile
from interpreter_tools._session.staging import Staged
from interpreter_tools.testing.sandbox import Sandbox, settle
from interpreter_tools.testing.wire import UID

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Sequence

RANGE = 64 * PIECE  # what is asked for at once
FRAME = 65_536  # bytes of it in one frame, at most
END = Content(b"")


def zeros(size: int) -> list[Content]:
    """Contents, in frames."""
    return [Content(bytes(FRAME))] * (size // FRAME)


def reading(sandbox: Sandbox) -> contextlib.aclosing[AsyncGenerator[bytes]]:
    """A file that is being read."""
    return contextlib.aclosing(read_file(sandbox.channel, b"a", uid=UID))


async def taken(pieces: AsyncGenerator[bytes], sandbox: Sandbox, *said: Content | Refused) -> bytes:
    """The next piece, which the container says after it was asked."""
    task = asyncio.ensure_future(anext(pieces))
    await settle()
    sandbox.say(*said)
    return await task


def asked(sandbox: Sandbox) -> list[tuple[object, ...]]:
    """Offset and count of the ranges that the container was asked for."""
    return [request[2:4] for request in sandbox.heard() if request[0] == Frame.GET]


# -- in


class Pieces:
    """A source that comes piece by piece, as long as it does."""

    mode = 0o640

    def __init__(self, *pieces: bytes, error: Exception | None = None) -> None:
        self._pieces = list(pieces)
        self._error = error

    async def read_into(self, spaces: Sequence[memoryview], offset: int) -> int:
        """The next piece."""
        del offset
        if self._pieces:
            return spread(self._pieces.pop(0), spaces)
        if self._error is not None:
            raise self._error
        return 0


def contents(sandbox: Sandbox) -> bytes:
    """What came between the beginning and the end of a file."""
    first, *data, last = sandbox.heard()
    assert (first[0], last[0]) == (Frame.PUT, Frame.DONE)
    assert {request[0] for request in data} <= {Frame.DATA}
    return b"".join(request[1] for request in data if isinstance(request[1], bytes))


@pytest.mark.parametrize("size", [0, 1, FRAME - 1, FRAME, FRAME + 1, 4 * FRAME, 4 * FRAME + 1, 3_000_000])
async def test_a_file_of_this_machine_arrives(tmp_path: Path, size: int) -> None:
    """Of any size, and not a byte of it is another's."""
    data = os.urandom(size)
    (tmp_path / "a").write_bytes(data)
    sandbox, reported = Sandbox(), list[int]()
    file = HostFile.open(tmp_path / "a", report=reported.append)
    try:
        await send_file(sandbox.channel, b"a", file, uid=UID)
        assert b"".join([piece async for piece in pieces_of(file)]) == data
    finally:
        file.close()
    assert contents(sandbox) == data
    assert sum(reported) == 2 * size


async def test_a_file_that_cannot_be_read_at_once_is_read_all_the_same() -> None:
    """The kernel's own files know no reads that do not wait."""
    path = Path("/proc/version")
    file = HostFile.open(path, report=lambda _: None)
    try:
        assert b"".join([piece async for piece in pieces_of(file)]) == path.read_bytes()  # noqa: ASYNC240
    finally:
        file.close()


@pytest.mark.parametrize("size", [3, PIECE + 3])
async def test_a_file_that_waits_on_this_side_is_sent_again(size: int) -> None:
    """From memory and from the disk."""
    data = os.urandom(size)
    staged = await Staged.take(data)
    try:
        for _ in range(2):
            sandbox = Sandbox()
            await send_file(sandbox.channel, b"a", staged, uid=UID)
            assert contents(sandbox) == data
    finally:
        staged.close()


async def test_pieces_of_any_size_arrive_in_order() -> None:
    """Also while the transport holds on to what it was given."""
    sandbox = Sandbox()
    sandbox.transport.holding = True
    pieces = [b"a", bytes(FRAME) + b"b", b"c" * 7]
    await send_file(sandbox.channel, b"a", Pieces(*pieces), uid=UID)
    assert contents(sandbox) == b"".join(pieces)


async def test_a_source_that_fails_is_not_taken_for_a_file() -> None:
    """What was sent is dropped."""
    sandbox = Sandbox()
    with pytest.raises(ValueError, match="broken"):
        await send_file(sandbox.channel, b"a", Pieces(b"half", error=ValueError("broken")), uid=UID)
    assert [request[0] for request in sandbox.heard()] == [Frame.PUT, Frame.DATA, Frame.DROP]


async def test_pieces_that_are_no_bytes_are_named() -> None:
    """A text in the middle of an iterator, say; the container is told to drop the file."""

    async def texts() -> AsyncIterator[bytes]:
        yield array.array("i", [1, 2])  # pyright: ignore[reportReturnType]
        yield "text"  # pyright: ignore[reportReturnType]

    sandbox = Sandbox()
    with pytest.raises(ConfigurationError, match=r"data: 'array' .*\n.*encode"):
        await send_file(sandbox.channel, b"a", Streamed(texts(), 0o644), uid=UID)
    assert [request[0] for request in sandbox.heard()] == [Frame.PUT, Frame.DROP]


async def test_a_container_that_is_lost_in_the_middle_is_told_of() -> None:
    """As what it is, whatever state the conversation was in."""

    class Loses(Pieces):
        async def read_into(self, spaces: Sequence[memoryview], offset: int) -> int:
            sandbox.say(Fatal("no memory"))
            return await super().read_into(spaces, offset)

    sandbox = Sandbox()
    with pytest.raises(ContainerLost, match="no memory"):
        await send_file(sandbox.channel, b"a", Loses(b"a", b"b"), uid=UID)


# -- out


async def test_a_file_comes_in_large_pieces() -> None:
    """Small ones are put together; the last is what is left."""
    sandbox = Sandbox()
    async with reading(sandbox) as pieces:
        assert await taken(pieces, sandbox, *zeros(PIECE + FRAME)) == bytes(PIECE)
        assert await taken(pieces, sandbox, Content(b"last"), END) == bytes(FRAME) + b"last"
        assert [piece async for piece in pieces] == []
    assert asked(sandbox) == [(0, RANGE)]


async def test_a_large_file_is_asked_for_in_parts() -> None:
    """Until one is not as long as it could be."""
    sandbox = Sandbox()
    async with reading(sandbox) as pieces:
        size = 0
        while size < RANGE:
            size += len(await taken(pieces, sandbox, *zeros(PIECE)))
        task = asyncio.ensure_future(anext(pieces, None))
        await settle()
        sandbox.say(END)
        await settle()
        assert asked(sandbox) == [(0, RANGE), (RANGE, RANGE)]
        sandbox.say(END)
        assert await task is None


async def test_the_container_waits_for_who_reads() -> None:
    """4 MiB lie ready at most, and what a few reads bring on top."""
    sandbox = Sandbox()
    async with reading(sandbox) as pieces:
        await taken(pieces, sandbox, *zeros(PIECE))
        sandbox.say(*zeros(3 * PIECE))
        assert sandbox.transport.reading
        sandbox.say(*zeros(PIECE))
        assert not sandbox.transport.reading
        assert [len(await anext(pieces)) for _ in range(3)] == [PIECE] * 3
        assert not sandbox.transport.reading
        assert len(await anext(pieces)) == PIECE
        assert sandbox.transport.reading
        sandbox.say(END)


@pytest.mark.parametrize("paused", [False, True])
async def test_who_gives_up_leaves_the_container_to_others(*, paused: bool) -> None:
    """What is still on its way is waited for, and not kept."""
    sandbox = Sandbox()
    async with reading(sandbox) as pieces:
        await taken(pieces, sandbox, *zeros(PIECE))
        if paused:
            sandbox.say(*zeros(4 * PIECE))
        closing = asyncio.ensure_future(pieces.aclose())
        await settle()
        assert sandbox.transport.reading
        sandbox.say(*zeros(8 * PIECE))
        assert sandbox.transport.reading
        assert not closing.done()
        sandbox.say(END)
        await closing
    sandbox.heard()
    syncing = asyncio.ensure_future(sync(sandbox.channel))
    await settle()
    sandbox.say(Ready())
    await syncing


async def test_a_refusal_is_raised() -> None:
    """With the path and the reason."""
    sandbox = Sandbox()
    task = asyncio.ensure_future(read_range(sandbox.channel, b"a", uid=UID, offset=3, count=5))
    await settle()
    assert asked(sandbox) == [(3, 5)]
    sandbox.say(Refused(Why.GET, 2, b"a"))
    with pytest.raises(FileRefused, match="No such file"):
        await task


async def test_a_container_that_is_lost_does_not_end_the_file() -> None:
    """The loss is told, and what has come of the next piece is not handed out: no file is cut short in silence."""
    sandbox = Sandbox()
    async with reading(sandbox) as pieces:
        await taken(pieces, sandbox, *zeros(PIECE))
        sandbox.say(Content(b"half"))
        sandbox.channel.connection_lost(None)
        with pytest.raises(ContainerLost):
            await anext(pieces)


async def test_lost_container_is_told_by_every_request() -> None:
    """Also by one that follows a request which was given up: the state of the conversation is not what matters."""
    sandbox = Sandbox()
    channel = sandbox.channel
    channel.send(channel.free().list_files())
    channel.connection_lost(None)
    for request in (
        sync(channel),
        list_files(channel),
        is_there(channel, b"a", uid=UID),
        read_range(channel, b"a", uid=UID, offset=0, count=1),
        send_file(channel, b"a", Streamed(b"", 0o644), uid=UID),
    ):
        with pytest.raises(ContainerLost):
            await request
