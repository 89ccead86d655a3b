"""The files of a session: in the containers that hold them, or on this side while there is none."""

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
    """What a session does with files; the session itself says where they are and whose turn it is."""

    def __init__(self) -> None:
        super().__init__()
        self._kept = Staging()  # what the last run left in a container that was given back
        self._generated: set[str] = set()

    @property
    @abstractmethod
    def _holders(self) -> Sequence[Holder]:
        """What holds files now; a file is looked for in the first one first."""

    @abstractmethod
    async def _holder_of(self, path: bytes) -> Holder | None:
        """The one that holds a file, or tells that it does not; None where nothing holds files now."""

    @property
    @abstractmethod
    def _lost(self) -> ContainerLost | None:
        """What there is to say of files that are gone with their container; None where all are there."""

    @property
    @abstractmethod
    def _size_limit(self) -> int:
        """Bytes that a workspace can hold."""

    # -- out

    async def read_piece(self, path: bytes, offset: int) -> bytes:
        """Up to 4 MiB of a file; fewer only at its end.

        Raises:
            FileRefused: there is no such file, or it cannot be read.
            ContainerLost: there is none, and files are gone with their container.
        """
        async with self._turn():
            return await self._read(path, offset)

    async def _read(self, path: bytes, offset: int) -> bytes:
        """The same; the caller has the turn."""
        source = await self._find(path)
        if isinstance(source, Staged):
            return await source.read(offset, RANGE)
        return await read_range(source.channel, path, uid=source.uid, offset=offset, count=RANGE)

    async def _read_whole(self, path: bytes) -> AsyncGenerator[bytes]:
        """All of it, piece by piece; the caller has the turn."""
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
        """Where a file is: on this side, or in what holds it if anything does."""
        staged = self._staging.get(path)
        if staged is not None and staged.fresh:
            return staged
        source = await self._holder_of(path) or self._kept.get(path) or staged
        if source is None:
            raise FileRefused(shown_path(path), errno.ENOENT, os.strerror(errno.ENOENT))
        return source

    def read_file(self, path: str, *, limit: str | int | None = None) -> FileReader:
        """A file: ``async for`` takes it piece by piece, ``await`` all at once.

        Args:
            path: relative to the workspace.
            limit: bytes after which ``FileRefused`` is raised; None means what a workspace can hold.

        Raises:
            InvalidPath: the path does not lie beneath the workspace.
        """
        most = self._size_limit if limit is None else parse_size(limit, field="limit")
        return FileReader(self, check_path(path), limit=most)

    async def read_file_binary(self, path: str) -> bytes:
        """A file's bytes, at most 256 MiB; ``read_file`` reads larger ones.

        Raises:
            InvalidPath: the path does not lie beneath the workspace.
            FileRefused: there is no such file, it cannot be read, or is larger.
        """
        return await self.read_file(path, limit=_READ_WHOLE)

    async def read_file_base64(self, path: str) -> str:
        """The same in base64."""
        return base64.b64encode(await self.read_file_binary(path)).decode("ascii")

    async def list_workspace_files(self, *, only_generated: bool = False) -> list[str]:
        """The regular files of the workspace, sorted; at most 100,000.

        Args:
            only_generated: those that the session's runs have made or changed.

        Raises:
            ContainerLost: files are gone with their container; the next run tells it too, and then it is over.
        """
        async with self._turn():
            names = [shown_path(path) for path in await self._list()]
        return sorted(name for name in names if not only_generated or name in self._generated)

    async def _list(self) -> dict[bytes, int]:
        """Sizes in bytes by path. The caller has the turn."""
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
        """Copies a file to this machine, between two runs. A target that is there is replaced, once the copy is whole.

        Args:
            path: relative to the workspace.
            target: on this machine.
            progress: is told how far it has come.

        Raises:
            ConfigurationError: the target is not the path of a file.
            FileRefused: there is no such file, it cannot be read, or is larger than the workspace can be.
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
        """Copies the regular files beneath a directory of the workspace to this machine.

        Nothing is unpacked here: each file is asked for by its name, and a name that this machine cannot hold, or that
        would lead elsewhere, is refused before anything is written.

        Args:
            target: a directory on this machine; it is made when it is not there.
            directory: relative to the workspace; ``"."`` is the workspace itself.
            progress: is told how far it has come, over all files.

        Returns:
            What was written.

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
        """Makes sure that what holds no files is an empty directory. The caller has the turn."""
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
        if sum(sizes.values()) > most:  # holes are sent as zeros, and would fill this machine's disk
            raise FileRefused(shown_path(prefix) or ".", errno.EFBIG, f"together larger than {most} bytes")
        targets = {path: root / below(path[len(prefix) :]) for path in sizes}
        meter = Meter(progress, sum(sizes.values()))
        await anyio.Path(root).mkdir(parents=True, exist_ok=True)
        for path, target in targets.items():
            await anyio.Path(target.parent).mkdir(parents=True, exist_ok=True)
            await self._copy_out(path, target, meter)
        return list(targets.values())
