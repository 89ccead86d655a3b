"""A file of a workspace that code reads, piece by piece or whole."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

from interpreter_tools._config.paths import shown_path
from interpreter_tools._container.files import PIECE
from interpreter_tools._exceptions import FileRefused

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Generator

RANGE = 4 * PIECE
"""Bytes of a file that one request asks for."""


class FileReader:
    """A file of the workspace: ``async for`` yields its bytes piece by piece, ``await`` returns all of them.

    Each piece is read when the caller asks for it, so a run may come between two pieces and change the file. ``async
    for`` goes through the file once; each ``await`` reads it from its beginning. Cancelling either of them changes
    nothing. The reader belongs to the event loop of its session.

    Args:
        read: returns ``RANGE`` bytes of a file from an offset on; fewer only at its end.
        path: the file, relative to the workspace.
        limit: bytes after which the reader raises ``FileRefused``.
    """

    def __init__(self, read: Callable[[bytes, int], Awaitable[bytes]], path: bytes, *, limit: int) -> None:
        self._read = read
        self._path = path
        self._limit = limit
        self._offset = 0
        self._ended = False

    def __repr__(self) -> str:
        return f"<FileReader {shown_path(self._path)!r} [{self._offset} bytes read]>"

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        if self._ended:
            raise StopAsyncIteration
        data = await self._read(self._path, self._offset)
        self._offset += len(data)
        self._ended = len(data) < RANGE
        if self._offset > self._limit:
            raise too_large(self._path, self._limit)
        if not data:
            raise StopAsyncIteration
        return data

    def __await__(self) -> Generator[object, None, bytes]:
        return self._read_all().__await__()

    async def _read_all(self) -> bytes:
        again = FileReader(self._read, self._path, limit=self._limit)
        return b"".join([piece async for piece in again])


def too_large(path: bytes, limit: int) -> FileRefused:
    """Return the error for a file that is larger than the limit of its reader."""
    return FileRefused(shown_path(path), errno.EFBIG, f"it is larger than {limit} bytes")
