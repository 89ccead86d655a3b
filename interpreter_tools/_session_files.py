"""The files of a session: in the containers that hold them, or on this side while there is none."""

from __future__ import annotations

import base64
import contextlib
import errno
import os
from abc import ABC, abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import anyio
import anyio.to_thread

from interpreter_tools._exceptions import ConfigurationError, FileRefused
from interpreter_tools._host_files import HostFile, Meter, below, size_of, walk
from interpreter_tools._limits import parse_size
from interpreter_tools._staging import Staged, Staging
from interpreter_tools._transfer import PIECE, Streamed, list_files, pieces_of, read_file, read_range, send_file, sync
from interpreter_tools._workspace import check_path, shown_path

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Generator, Sequence
    from contextlib import AbstractAsyncContextManager

    from interpreter_tools._channel import Channel
    from interpreter_tools._exceptions import ContainerLost
    from interpreter_tools._host_files import Progress
    from interpreter_tools._transfer import Source

_RANGE = 4 * PIECE  # bytes of a file that are asked for at once
_READ_WHOLE = 256 << 20  # bytes that are read into memory at most


class Holder(Protocol):
    """A container that holds a workspace."""

    @property
    def channel(self) -> Channel:
        """Its stream."""
        ...

    @property
    def uid(self) -> int:
        """The user that the files belong to."""
        ...


class FileReader:
    """A file of the workspace: ``async for`` yields its bytes piece by piece, ``await`` returns all of them.

    Each piece is asked for when it is wanted, so a run may come between two of them, and what it changes is seen.
    """

    def __init__(self, files: SessionFiles, path: bytes, *, limit: int) -> None:
        self._files = files
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
        data = await self._files.read_piece(self._path, self._offset)
        self._offset += len(data)
        self._ended = len(data) < _RANGE
        if self._offset > self._limit:
            raise _too_large(self._path, self._limit)
        if not data:
            raise StopAsyncIteration
        return data

    def __await__(self) -> Generator[object, None, bytes]:
        return self._read_all().__await__()

    async def _read_all(self) -> bytes:
        return b"".join([piece async for piece in self])


class SessionFiles(ABC):
    """What a session does with files; the session itself says where they are and whose turn it is."""

    def __init__(self) -> None:
        self._staging = Staging()  # what was written, until a container has it, or for every container to come
        self._kept = Staging()  # what the last run left in a container that was given back
        self._generated: set[str] = set()

    # -- what the session says

    @abstractmethod
    def _turn(self) -> AbstractAsyncContextManager[None]:
        """Nothing else happens in the session meanwhile."""

    @property
    @abstractmethod
    def _holders(self) -> Sequence[Holder]:
        """What holds files now; a file is looked for in the first one first."""

    @abstractmethod
    async def _holder_of(self, path: bytes) -> Holder | None:
        """The one that holds a file, or tells that it does not; None where nothing holds files now."""

    @property
    @abstractmethod
    def _target(self) -> Holder | None:
        """The one that a file is written into."""

    @property
    @abstractmethod
    def _lost(self) -> ContainerLost | None:
        """What there is to say of files that are gone with their container; None where all are there."""

    @property
    @abstractmethod
    def _keeps_inputs(self) -> bool:
        """What is written goes into every container to come, and not only into the one that holds the workspace."""

    @property
    @abstractmethod
    def _size_limit(self) -> int:
        """Bytes that a workspace can hold."""

    # -- in

    async def write_file(self, path: str, data: bytes | AsyncIterable[bytes], *, mode: int = 0o644) -> None:
        """Writes a file, whole or piece by piece; directories on the way are made.

        Before the first run, and in sessions whose runs have a workspace each, it waits on this side for the run.

        Args:
            path: relative to the workspace.
            data: its contents; an async iterator is not held in memory.
            mode: its permissions.

        Raises:
            InvalidPath: the path does not lie beneath the workspace.
            FileRefused: it cannot be written, and why: no space, or something else is there.
        """
        checked = check_path(path)
        if isinstance(data, str) or not (
            isinstance(data, (bytes, bytearray, memoryview)) or hasattr(data, "__aiter__")
        ):
            raise ConfigurationError("data", type(data).__name__, "is not bytes", hint="encode the text")
        if isinstance(data, (bytes, bytearray, memoryview)):
            data = bytes(data)
        async with self._turn():
            await self._place(checked, Streamed(data, mode))

    async def _place(self, path: bytes, source: Source) -> None:
        holder = self._target
        if holder is None or self._keeps_inputs:
            self._staging.put(path, await Staged.take(pieces_of(source), mode=source.mode))
        else:
            await send_file(holder.channel, path, source, uid=holder.uid)
            await sync(holder.channel)

    async def copy_file_into_workspace(
        self, source: str | os.PathLike[str], target: str, *, progress: Progress | None = None
    ) -> None:
        """Copies a file of this machine, whose execute permission goes with it.

        Args:
            source: on this machine.
            target: relative to the workspace.
            progress: is told how far it has come.

        Raises:
            ConfigurationError: the source cannot be read, or is no regular file.
            InvalidPath: the target does not lie beneath the workspace.
            FileRefused: the target cannot be written, and why.
        """
        path = check_path(target)
        size = await anyio.to_thread.run_sync(size_of, Path(source))
        await self._copy_in(Path(source), path, Meter(progress, size))

    async def _copy_in(self, source: Path, path: bytes, meter: Meter) -> None:
        file = await anyio.to_thread.run_sync(lambda: HostFile.open(source, report=meter.add))
        try:
            async with self._turn():
                await self._place(path, file)
        finally:
            file.close()

    async def copy_directory_into_workspace(
        self, source: str | os.PathLike[str], target: str = ".", *, progress: Progress | None = None
    ) -> list[str]:
        """Copies the regular files of a tree of this machine; links in it are left out, empty directories too.

        Args:
            source: a directory on this machine.
            target: a directory, relative to the workspace; ``"."`` is the workspace itself.
            progress: is told how far it has come, over all files.

        Returns:
            The files' paths in the workspace, sorted.

        Raises:
            ConfigurationError: the source is not a directory that can be read.
            InvalidPath: a target does not lie beneath the workspace.
            FileRefused: a file cannot be written, and why.
        """
        root = Path(source)
        found = await anyio.to_thread.run_sync(walk, root)
        paths = {file: check_path(f"{target}/{file.relative_to(root).as_posix()}") for file, _ in found}
        meter = Meter(progress, sum(size for _, size in found))
        for file, path in paths.items():
            await self._copy_in(file, path, meter)
        return sorted(map(shown_path, paths.values()))

    async def add_file_from_base64(self, path: str, text: str) -> None:
        """Writes a file whose contents are given in base64.

        Raises:
            ConfigurationError: the text is not base64.
            InvalidPath: the path does not lie beneath the workspace.
            FileRefused: the file cannot be written, and why.
        """
        try:
            data = base64.b64decode("".join(text.split()), validate=True)
        except ValueError as error:
            raise ConfigurationError("text", f"{text[:20]}...", f"is not base64: {error}") from None
        await self.write_file(path, data)

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
            return await source.read(offset, _RANGE)
        return await read_range(source.channel, path, uid=source.uid, offset=offset, count=_RANGE)

    async def _read_whole(self, path: bytes) -> AsyncGenerator[bytes]:
        """All of it, piece by piece; the caller has the turn."""
        source = await self._find(path)
        whole = pieces_of(source) if isinstance(source, Staged) else read_file(source.channel, path, uid=source.uid)
        left = self._size_limit
        async with contextlib.aclosing(whole) as pieces:
            async for piece in pieces:
                left -= len(piece)
                if left < 0:
                    raise _too_large(path, self._size_limit)
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
            FileRefused: there is no such file, it cannot be read, or is larger than the workspace can be.
            OSError: the target cannot be written.
        """
        checked = check_path(path)
        async with self._turn():
            size = (await self._list()).get(checked)
        await self._copy_out(checked, Path(target), Meter(progress, size))

    async def _copy_out(self, path: bytes, target: Path, meter: Meter) -> None:
        partial = target.with_name(f".{target.name[:200]}.part")
        try:
            async with (
                self._turn(),
                contextlib.aclosing(self._read_whole(path)) as pieces,
                await anyio.open_file(partial, "wb") as file,
            ):
                async for piece in pieces:
                    await file.write(piece)
                    meter.add(len(piece))
            await anyio.Path(partial).replace(target)
        except BaseException:
            with anyio.CancelScope(shield=True):
                await anyio.Path(partial).unlink(missing_ok=True)
            raise

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
            FileRefused: a file cannot be read, or all together are larger than the workspace can be.
            OSError: the target cannot be written.
        """
        prefix = b"" if directory == "." else check_path(directory) + b"/"
        async with self._turn():
            sizes = {path: size for path, size in (await self._list()).items() if path.startswith(prefix)}
        return await self._copy_all(sizes, prefix, Path(target), progress)

    async def _copy_all(
        self, sizes: dict[bytes, int], prefix: bytes, root: Path, progress: Progress | None = None
    ) -> list[Path]:
        most = self._size_limit * max(1, len(self._holders))
        if sum(sizes.values()) > most:  # holes are sent as zeros, and would fill this machine's disk
            raise FileRefused(shown_path(prefix) or ".", errno.EFBIG, f"together larger than {most} bytes")
        targets = {path: root / below(path[len(prefix) :]) for path in sizes}
        meter = Meter(progress, sum(sizes.values()))
        for path, target in targets.items():
            await anyio.Path(target.parent).mkdir(parents=True, exist_ok=True)
            await self._copy_out(path, target, meter)
        return list(targets.values())


def _too_large(path: bytes, limit: int) -> FileRefused:
    return FileRefused(shown_path(path), errno.EFBIG, f"it is larger than {limit} bytes")
