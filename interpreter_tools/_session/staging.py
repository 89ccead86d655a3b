"""Files that wait on this side: to be written into the next container, or kept of one that is gone."""

from __future__ import annotations

import errno
import tempfile
from collections import Counter
from typing import IO, TYPE_CHECKING

import anyio.to_thread

from interpreter_tools._config.paths import shown_path
from interpreter_tools._container.files import PIECE, spread
from interpreter_tools._exceptions import FileRefused

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, Sequence

_IN_MEMORY = PIECE  # bytes; what is larger goes to a file without a name, which ends with us


class Staged:
    """One file, in memory or on disk.

    Attributes:
        size: bytes.
        mode: its permissions.
        fresh: no container has it as yet.
    """

    def __init__(self, *, mode: int) -> None:
        self.mode = mode
        self.size = 0
        self.fresh = True
        self._memory = bytearray()
        self._disk: IO[bytes] | None = None

    @classmethod
    async def take(cls, data: bytes | AsyncIterable[bytes], *, mode: int = 0o644) -> Staged:
        """Return a staged file with the contents."""
        staged = cls(mode=mode)
        try:
            if isinstance(data, bytes):
                await staged._add(data)
            else:
                async for piece in data:
                    await staged._add(piece)
        except BaseException:
            staged.close()
            raise
        return staged

    async def _add(self, piece: bytes) -> None:
        self.size += len(piece)
        if self._disk is None and self.size <= _IN_MEMORY:
            self._memory += piece
            return
        await anyio.to_thread.run_sync(self._spill, piece)

    def _spill(self, piece: bytes) -> None:
        if self._disk is None:
            self._disk = tempfile.TemporaryFile()  # noqa: SIM115 - it lives as long as we do
            self._disk.write(self._memory)
            self._memory.clear()
        self._disk.write(piece)

    async def read(self, offset: int, count: int) -> bytes:
        """At most so many bytes from there on."""
        if self._disk is None:
            return bytes(self._memory[offset : offset + count])
        return await anyio.to_thread.run_sync(self._read_disk, offset, count)

    def _read_disk(self, offset: int, count: int) -> bytes:
        assert self._disk is not None
        self._disk.seek(offset)
        return self._disk.read(count)

    async def read_into(self, spaces: Sequence[memoryview], offset: int) -> int:
        """Read the contents from an offset on."""
        return spread(await self.read(offset, sum(map(len, spaces))), spaces)

    def close(self) -> None:
        """Drop the contents."""
        self._memory.clear()
        if self._disk is not None:
            self._disk.close()


class Staging:
    """Files by path; a newer one replaces an older one of the same path."""

    def __init__(self) -> None:
        self._files: dict[bytes, Staged] = {}
        self._directories: Counter[bytes] = Counter()  # how many files lie beneath each

    def __len__(self) -> int:
        return len(self._files)

    def __contains__(self, path: bytes) -> bool:
        return path in self._files

    def get(self, path: bytes) -> Staged | None:
        """Return the file at a path."""
        return self._files.get(path)

    def items(self) -> list[tuple[bytes, Staged]]:
        """Return every file, in the order in which they came."""
        return list(self._files.items())

    def check(self, path: bytes) -> None:
        """Refuse a file that cannot lie beside the others.

        Raises:
            FileRefused: it would have to be in one of them, or one of them in it.
        """
        for parent in _parents(path):
            if parent in self._files:
                reason = f"{shown_path(parent)!r} was written as a file, and cannot be a directory as well"
                raise FileRefused(shown_path(path), errno.ENOTDIR, reason)
        if self._directories[path]:
            other = next(file for file in self._files if file.startswith(path + b"/"))
            raise FileRefused(shown_path(path), errno.EISDIR, f"it is a directory: {shown_path(other)!r} was written")

    def put(self, path: bytes, staged: Staged) -> None:
        """Keep a file."""
        self.discard(path)
        self._files[path] = staged
        self._directories.update(_parents(path))

    def discard(self, path: bytes) -> None:
        """Forget a file."""
        old = self._files.pop(path, None)
        if old is None:
            return
        old.close()
        for parent in _parents(path):
            self._directories[parent] -= 1
            if not self._directories[parent]:
                del self._directories[parent]

    def clear(self) -> None:
        """Forget every file."""
        for path in list(self._files):
            self.discard(path)


def _parents(path: bytes) -> list[bytes]:
    """Return the directories that a file lies in."""
    return [path[:at] for at, byte in enumerate(path) if byte == 0x2F]
