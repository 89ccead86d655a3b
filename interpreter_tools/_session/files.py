"""The files of a session: in the containers that hold them, or staged on this machine while there is none."""

from __future__ import annotations

import base64
import contextlib
import errno
import os
from abc import abstractmethod
from typing import TYPE_CHECKING

import anyio

from interpreter_tools._config.limits import parse_size
from interpreter_tools._config.paths import WORKSPACE, check_path, shown_path
from interpreter_tools._container.files import list_files, pieces_of, read_file, read_range
from interpreter_tools._exceptions import FileRefused
from interpreter_tools._session.host_files import Meter, arriving, below, host_file, host_path
from interpreter_tools._session.inputs import SessionInputs
from interpreter_tools._session.reader import RANGE, FileReader, too_large
from interpreter_tools._session.staging import Staged, Staging

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Sequence
    from pathlib import Path

    from interpreter_tools._exceptions import ContainerLost
    from interpreter_tools._session.host_files import Progress
    from interpreter_tools._session.inputs import Holder

_READ_WHOLE = 256 << 20  # bytes that are read into memory at most


class SessionFiles(SessionInputs):
    """File operations of a session. The session itself knows the containers that hold the files, and the turn.

    Cancelling an operation that waits for its turn leaves the session as it was.
    """

    def __init__(self) -> None:
        super().__init__()
        self._kept = Staging()  # files of the last run, whose container went back to its pool
        self._generated: set[str] = set()

    @property
    @abstractmethod
    def _holders(self) -> Sequence[Holder]:
        """The containers that hold files now, in lookup order."""

    @abstractmethod
    async def _holder_of(self, path: bytes) -> Holder | None:
        """Return the container to ask for a file; None when no container holds files now."""

    @property
    @abstractmethod
    def _lost(self) -> ContainerLost | None:
        """The error for files that went away with their container; None when no file is lost."""

    @property
    @abstractmethod
    def _size_limit(self) -> int:
        """Bytes that a workspace can hold."""

    # -- out

    async def read_piece(self, path: bytes, offset: int) -> bytes:
        """Return up to 4 MiB of a file; fewer only at its end. Cancelling changes nothing.

        Args:
            path: the file, relative to the workspace.
            offset: bytes before the piece.

        Raises:
            FileRefused: there is no such file, or it cannot be read.
            ContainerLost: there is no such file, and files went away with their container.
        """
        async with self._turn():
            return await self._read(path, offset)

    async def _read(self, path: bytes, offset: int) -> bytes:
        """Return up to 4 MiB of a file. The caller has the turn."""
        source = await self._find(path)
        if isinstance(source, Staged):
            return await source.read(offset, RANGE)
        return await read_range(source.channel, path, uid=source.uid, offset=offset, count=RANGE)

    async def _read_whole(self, path: bytes) -> AsyncGenerator[bytes]:
        """Yield a whole file, piece by piece. The caller has the turn."""
        source = await self._find(path)
        whole = pieces_of(source) if isinstance(source, Staged) else read_file(source.channel, path, uid=source.uid)
        left = self._size_limit
        async with contextlib.aclosing(whole) as pieces:
            async for piece in pieces:
                left -= len(piece)
                if left < 0:
                    raise too_large(path, self._size_limit)
                yield piece

    async def _find(self, path: bytes) -> Staged | Holder:
        """Return the staged file of a path, or the container that holds it."""
        staged = self._staging.get(path)
        if staged is not None and staged.fresh:
            return staged
        source = await self._holder_of(path) or self._kept.get(path) or staged
        if source is None:
            raise FileRefused(shown_path(path), errno.ENOENT, os.strerror(errno.ENOENT))
        return source

    def read_file(self, path: str, *, limit: str | int | None = None) -> FileReader:
        """Return a reader of a file: ``async for`` yields it piece by piece, ``await`` returns all bytes.

        Args:
            path: relative to the workspace.
            limit: bytes, or a text such as ``"2g"``, after which the reader raises ``FileRefused``; None means the size
                of the workspace.

        Raises:
            InvalidPath: the path does not lie beneath the workspace.
        """
        most = self._size_limit if limit is None else parse_size(limit, field="limit")
        return FileReader(self, check_path(path), limit=most)

    async def read_file_binary(self, path: str) -> bytes:
        """Return the bytes of a file, at most 256 MiB; ``read_file`` reads larger files. Cancelling changes nothing.

        Args:
            path: relative to the workspace.

        Raises:
            InvalidPath: the path does not lie beneath the workspace.
            FileRefused: there is no such file, it cannot be read, or it is larger.
            ContainerLost: there is no such file, and files went away with their container.
        """
        return await self.read_file(path, limit=_READ_WHOLE)

    async def read_file_base64(self, path: str) -> str:
        """Return the bytes of a file, at most 256 MiB, in base64 (ASCII). Cancelling changes nothing.

        Raises:
            InvalidPath: the path does not lie beneath the workspace.
            FileRefused: there is no such file, it cannot be read, or it is larger.
        """
        return base64.b64encode(await self.read_file_binary(path)).decode("ascii")

    async def list_workspace_files(self, *, only_generated: bool = False) -> list[str]:
        """Return the paths of the workspace's regular files, relative to it and sorted; at most 100,000.

        Cancelling changes nothing.

        Args:
            only_generated: return only the files that runs of the session made or changed.

        Raises:
            ContainerLost: files went away with their container. The next run raises it as well; the run after that
                begins with an empty workspace.
        """
        async with self._turn():
            names = [shown_path(path) for path in await self._list()]
        return sorted(name for name in names if not only_generated or name in self._generated)

    async def _list(self) -> dict[bytes, int]:
        """Return the sizes of all files in bytes, by path. The caller has the turn."""
        if self._lost is not None:
            raise self._lost
        sizes = {path: staged.size for path, staged in self._kept.items()}
        for holder in reversed(self._holders):
            entries, _ = await list_files(holder.channel)
            sizes |= {path: size for size, path in entries}
        for path, staged in self._staging.items():
            if staged.fresh or path not in sizes:
                sizes[path] = staged.size
        return sizes

    async def copy_file_from_workspace(
        self, path: str, target: str | os.PathLike[str], *, progress: Progress | None = None
    ) -> None:
        """Copy a file to this machine, between two runs. An existing target is replaced once the copy is complete.

        If the call fails or is cancelled, the target stays as it was and no part of the copy is left.

        Args:
            path: relative to the workspace.
            target: a path on this machine.
            progress: is called with the bytes copied so far and the bytes in all; None means that nobody is told.

        Raises:
            ConfigurationError: the target is not the path of a file.
            FileRefused: there is no such file, it cannot be read, or it is larger than the workspace can be.
            OSError: the target cannot be written.
        """
        checked, file = check_path(path), host_file(target, field="target")
        async with self._turn():
            size = (await self._list()).get(checked)
        await self._copy_out(checked, file, Meter(progress, size))

    async def _copy_out(self, path: bytes, target: Path, meter: Meter) -> None:
        async with arriving(target) as file, self._turn(), contextlib.aclosing(self._read_whole(path)) as pieces:
            async for piece in pieces:
                await file.write(piece)
                meter.add(len(piece))

    async def copy_directory_from_workspace(
        self, target: str | os.PathLike[str], directory: str = ".", *, progress: Progress | None = None
    ) -> list[Path]:
        """Copy the regular files beneath a directory of the workspace to this machine.

        No archive is unpacked on this machine: each file is read by its name. A name that this machine cannot hold, or
        that would lead out of the target, is refused before anything is written. If the call fails or is cancelled, the
        files that are complete stay.

        Args:
            target: a directory on this machine; it is made when it does not exist.
            directory: relative to the workspace; ``"."`` is the workspace itself.
            progress: is called with the bytes copied so far and the bytes in all, over all files.

        Returns:
            The paths of the files that were written.

        Raises:
            ConfigurationError: the target is no path.
            FileRefused: there is no such directory, a file in it cannot be read, or all together are larger than the
                workspace can be.
            OSError: the target cannot be written.
        """
        root = host_path(target, field="target")
        whole = directory in {".", WORKSPACE, f"{WORKSPACE}/"}
        prefix = b"" if whole else check_path(directory) + b"/"
        async with self._turn():
            sizes = {path: size for path, size in (await self._list()).items() if path.startswith(prefix)}
            if prefix and not sizes:
                await self._check_directory(prefix[:-1])
        return await self._copy_all(sizes, prefix, root, progress)

    async def _check_directory(self, path: bytes) -> None:
        """Refuse a path beneath which no file lies, unless it is an empty directory. The caller has the turn."""
        source = await self._find(path)
        try:
            if not isinstance(source, Staged):
                await read_range(source.channel, path, uid=source.uid, offset=0, count=0)
        except FileRefused as refused:
            if refused.errno == errno.EISDIR:
                return
            raise
        raise FileRefused(shown_path(path), errno.ENOTDIR, os.strerror(errno.ENOTDIR))

    async def _copy_all(
        self, sizes: dict[bytes, int], prefix: bytes, root: Path, progress: Progress | None = None
    ) -> list[Path]:
        most = self._size_limit * max(1, len(self._holders))
        if sum(sizes.values()) > most:  # holes in files are sent as zeros, and would fill this machine's disk
            raise FileRefused(shown_path(prefix) or ".", errno.EFBIG, f"together larger than {most} bytes")
        targets = {path: root / below(path[len(prefix) :]) for path in sizes}
        meter = Meter(progress, sum(sizes.values()))
        await anyio.Path(root).mkdir(parents=True, exist_ok=True)
        for path, target in targets.items():
            await anyio.Path(target.parent).mkdir(parents=True, exist_ok=True)
            await self._copy_out(path, target, meter)
        return list(targets.values())
