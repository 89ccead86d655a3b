"""The files that a session is given: where they wait, and where they have gone."""

from __future__ import annotations

import base64
from abc import ABC, abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, cast

import anyio.to_thread

from interpreter_tools._config.model import as_bytes
from interpreter_tools._config.paths import check_path, shown_path
from interpreter_tools._container.files import Streamed, pieces_of, send_file, sync
from interpreter_tools._exceptions import ConfigurationError, FileRefused
from interpreter_tools._session.host_files import HostFile, Meter, size_of, walk
from interpreter_tools._session.reader import FileReader
from interpreter_tools._session.staging import Staged, Staging

if TYPE_CHECKING:
    import os
    from collections.abc import AsyncIterable, Iterable
    from contextlib import AbstractAsyncContextManager

    from interpreter_tools._container.channel import Channel
    from interpreter_tools._container.files import Source
    from interpreter_tools._session.host_files import Progress

_PERMISSIONS = 0o777


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

    @property
    def workspace(self) -> str:
        """Names the workspace, which several may share."""
        ...

    @property
    def baseline(self) -> set[bytes]:
        """The files that were put into it before a run."""
        ...

    async def restore_limits(self) -> None:
        """End the limits of its last run: files may take more memory than that run might."""
        ...


class SessionInputs(ABC):
    """Files on their way into a session. The session itself knows the containers that hold its files, and the turn.

    Cancelling an operation that waits for its turn leaves the session as it was.
    """

    def __init__(self) -> None:
        self._staging = Staging()  # files that no container has yet, or that every container to come gets

    # -- answered by the session

    @abstractmethod
    def _turn(self) -> AbstractAsyncContextManager[None]:
        """Take the turn: no other run or file operation of the session happens inside of the ``async with``."""

    @property
    @abstractmethod
    def _holder(self) -> Holder | None:
        """The container that a file is written into now; None while files are staged on this machine."""

    @property
    @abstractmethod
    def _keeps_inputs(self) -> bool:
        """True when files go into every container to come, and not only into the one that holds the workspace."""

    # -- in

    async def write_file(self, path: str, data: str | bytes | AsyncIterable[bytes], *, mode: int = 0o644) -> None:
        """Write a file, whole or piece by piece. Missing directories of its path are made.

        Before the first run, and in sessions whose runs have a workspace each, the file is staged on this machine until
        a run gets it. That run then raises ``FileRefused`` when the workspace refuses the file, and later runs do not
        get it.

        A file that a container has is overwritten in place, so that a large file needs no room for a second copy. If
        the call fails halfway or is cancelled, neither the old file nor a part of the new one is left.

        Args:
            path: relative to the workspace.
            data: the contents; a text is encoded as UTF-8, an async iterator is not held in memory.
            mode: the permissions, from 0 to 0o777.

        Raises:
            ConfigurationError: the data or the mode cannot be written.
            InvalidPath: the path does not lie beneath the workspace.
            FileRefused: the file cannot be written; the error says why: no space, or a directory is in its place.
            SessionClosed: the session was cleaned up.
        """
        checked = check_path(path)
        if not isinstance(mode, int) or not 0 <= mode <= _PERMISSIONS:  # pyright: ignore[reportUnnecessaryIsInstance]
            hint = "it is what chmod takes, such as 0o755; set-user-ID, set-group-ID and sticky bits have no use here"
            shown = oct(mode) if isinstance(mode, int) else mode  # pyright: ignore[reportUnnecessaryIsInstance]
            raise ConfigurationError("mode", shown, "is not between 0 and 0o777", hint=hint)
        if isinstance(data, FileReader) and data.is_of(self):
            hint = "copy it in a run, or await it first"
            raise ConfigurationError("data", data, "is read from the same session, which does one at a time", hint=hint)
        if not hasattr(data, "__aiter__"):
            data = as_bytes(cast("bytes", data), field="data")
        async with self._turn():
            await self._place(checked, Streamed(cast("bytes | AsyncIterable[bytes]", data), mode))

    async def _place(self, path: bytes, source: Source) -> None:
        self._staging.check(path)
        holder = self._holder
        if holder is None or self._keeps_inputs:
            self._staging.put(path, await Staged.take(pieces_of(source), mode=source.mode))
        else:
            await holder.restore_limits()
            await send_file(holder.channel, path, source, uid=holder.uid)
            await sync(holder.channel)
            self._arrived(holder, [path])

    async def _send_waiting(self, holder: Holder) -> None:
        """Write the staged files into a container. The caller has the turn.

        Raises:
            FileRefused: the container refused a file. The file is staged no longer, unless a container has had it
                before. Files before it have arrived, and files behind it stay staged.
        """
        waiting = self._staging.items()
        if not waiting:
            return
        try:
            for path, staged in waiting:
                await send_file(holder.channel, path, staged, uid=holder.uid)
            await sync(holder.channel)
        except FileRefused as refused:
            paths = [path for path, _ in waiting]
            bad = refused.path.encode("utf-8", "surrogateescape")
            if bad in paths:
                if not self._keeps_inputs:
                    self._arrived(holder, paths[: paths.index(bad)])
                if waiting[paths.index(bad)][1].fresh:
                    self._staging.discard(bad)
            raise
        self._arrived(holder, [path for path, _ in waiting])

    def _arrived(self, holder: Holder, paths: Iterable[bytes]) -> None:
        """Note the files that a container has now."""
        holder.baseline.update(paths)
        for path in paths:
            staged = self._staging.get(path)
            if staged is not None:
                staged.fresh = False
            if not self._keeps_inputs:
                self._staging.discard(path)

    async def copy_file_into_workspace(
        self, source: str | os.PathLike[str], target: str, *, progress: Progress | None = None
    ) -> None:
        """Copy a file of this machine into the workspace, with its execute permission.

        If the call fails halfway or is cancelled, neither an old file at the target nor a part of the new one is left.

        Args:
            source: the path of a regular file on this machine.
            target: relative to the workspace.
            progress: is called with the bytes copied so far and the bytes in all; None means that nobody is told.

        Raises:
            ConfigurationError: the source cannot be read, or is no regular file.
            InvalidPath: the target does not lie beneath the workspace.
            FileRefused: the target cannot be written; the error says why.
            SessionClosed: the session was cleaned up.
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
        """Copy the regular files below a directory of this machine; links and empty directories are left out.

        If the call fails or is cancelled, the files that are complete stay in the workspace.

        Args:
            source: a directory on this machine.
            target: a directory, relative to the workspace; ``"."`` is the workspace itself.
            progress: is called with the bytes copied so far and the bytes in all, over all files.

        Returns:
            The paths of the files in the workspace, sorted.

        Raises:
            ConfigurationError: the source is not a directory that can be read.
            InvalidPath: a target does not lie beneath the workspace.
            FileRefused: a file cannot be written; the error says why.
            SessionClosed: the session was cleaned up.
        """
        root = Path(source)
        found = await anyio.to_thread.run_sync(walk, root)
        paths = {file: check_path(f"{target}/{file.relative_to(root).as_posix()}") for file, _ in found}
        for path in paths.values():
            self._staging.check(path)
        meter = Meter(progress, sum(size for _, size in found))
        for file, path in paths.items():
            await self._copy_in(file, path, meter)
        return sorted(map(shown_path, paths.values()))

    async def add_file_from_base64(self, path: str, text: str) -> None:
        """Write a file whose contents are given in base64. Cancelling does what it does to ``write_file``.

        Args:
            path: relative to the workspace.
            text: base64; white space in it is ignored.

        Raises:
            ConfigurationError: the text is not base64.
            InvalidPath: the path does not lie beneath the workspace.
            FileRefused: the file cannot be written; the error says why.
        """
        if not isinstance(text, str):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise ConfigurationError(
                "text", type(text).__name__, "is not a text", hint="decode it: text.decode('ascii')"
            )
        try:
            data = base64.b64decode("".join(text.split()), validate=True)
        except ValueError as error:
            raise ConfigurationError("text", f"{text[:20]}...", f"is not base64: {error}") from None
        await self.write_file(path, data)
