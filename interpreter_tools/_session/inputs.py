"""The files that a session is given: where they wait, and where they have gone."""

from __future__ import annotations

import base64
from abc import ABC, abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, cast

import anyio.to_thread

from interpreter_tools._config.model import as_bytes
from interpreter_tools._config.paths import check_path, shown_path
from interpreter_tools._container.files import Streamed, is_there, pieces_of, send_file, sync
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
        """What was put into it."""
        ...

    async def restore_limits(self) -> None:
        """Ends the limits of its last run: files may take more memory than that run was given."""
        ...


class SessionInputs(ABC):
    """What goes into a session; the session itself says where its files are, and whose turn it is."""

    def __init__(self) -> None:
        self._staging = Staging()  # what was written, until a container has it, or for every container to come
        self._given: set[tuple[str, bytes]] = set()  # what the caller has put into which workspace

    # -- what the session says

    @abstractmethod
    def _turn(self) -> AbstractAsyncContextManager[None]:
        """Nothing else happens in the session meanwhile."""

    @property
    @abstractmethod
    def _holder(self) -> Holder | None:
        """What a file is written into now; None while it waits on this side."""

    @property
    @abstractmethod
    def _keeps_inputs(self) -> bool:
        """What is written goes into every container to come, and not only into the one that holds the workspace."""

    # -- in

    async def write_file(self, path: str, data: str | bytes | AsyncIterable[bytes], *, mode: int = 0o644) -> None:
        """Writes a file, whole or piece by piece; directories on the way are made.

        Before the first run, and in sessions whose runs have a workspace each, it waits on this side for the run: that
        one tells then what the workspace refuses, and the file that it names is there for none of the next runs.

        A file that a container has is written over in its place, so that a large one needs no room for a second. If
        that fails half way, or is given up, neither the old nor a part of the new one is left.

        Args:
            path: relative to the workspace.
            data: its contents; a text is encoded as UTF-8, an async iterator is not held in memory.
            mode: its permissions, of those up to 0o777.

        Raises:
            ConfigurationError: the data or the mode cannot be written.
            InvalidPath: the path does not lie beneath the workspace.
            FileRefused: it cannot be written, and why: no space, or something else is there.
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
        """Writes what waits on this side into a container. The caller has the turn.

        Raises:
            FileRefused: the first that was refused. It waits no longer, unless a container has had it before; those
                before it have arrived, and those behind it wait on.
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
        """Takes note of what a container has now."""
        holder.baseline.update(paths)
        self._note_given(holder, paths)
        for path in paths:
            staged = self._staging.get(path)
            if staged is not None:
                staged.fresh = False
            if not self._keeps_inputs:
                self._staging.discard(path)

    def _note_given(self, holder: Holder, paths: Iterable[bytes]) -> None:
        """Takes note of the caller's own files; those that wait for every run are known anyway."""
        if not self._keeps_inputs:
            self._given.update((holder.workspace, path) for path in paths)

    async def _check_code(self, path: bytes | None, holder: Holder | None) -> None:
        """Makes sure that a run's code takes the place of no file that the caller has put into the workspace.

        Args:
            path: where the code goes; None where it goes nowhere.
            holder: what holds the workspace that the run will see; None while nothing does.

        Raises:
            ConfigurationError: it would.
        """
        if path is None:
            return
        if path not in self._staging:
            if holder is None or (holder.workspace, path) not in self._given:
                return
            if not await is_there(holder.channel, path, uid=holder.uid):
                self._given.discard((holder.workspace, path))
                return
        name = shown_path(path)
        reason = "is where the code would be written, and holds a file that was put into the workspace"
        hint = f"give that file another name, or run it: run_app=RunApp(entry_file={name!r})"
        raise ConfigurationError("code", name, reason, hint=hint)

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
            FileRefused: the target cannot be written, and why; ``write_file`` says what becomes of one that is there.
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
        for path in paths.values():
            self._staging.check(path)
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
        if not isinstance(text, str):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise ConfigurationError(
                "text", type(text).__name__, "is not a text", hint="decode it: text.decode('ascii')"
            )
        try:
            data = base64.b64decode("".join(text.split()), validate=True)
        except ValueError as error:
            raise ConfigurationError("text", f"{text[:20]}...", f"is not base64: {error}") from None
        await self.write_file(path, data)
