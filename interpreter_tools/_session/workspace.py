"""The workspace of a session: where its files are, and how they get there."""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import time
import weakref
from typing import TYPE_CHECKING

from interpreter_tools._config.paths import WORKSPACE, shown_path
from interpreter_tools._container.files import list_files, pieces_of, read_file, read_range, send_file, sync
from interpreter_tools._docker.users import give_back_uid, take_uid
from interpreter_tools._exceptions import FileRefused
from interpreter_tools._languages.manifests import MOST_BYTES
from interpreter_tools._session.containers import SessionContainers
from interpreter_tools._session.reader import RANGE, too_large
from interpreter_tools._session.staging import Staged, Staging

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterable

    from interpreter_tools._config.model import SessionConfig
    from interpreter_tools._container.files import Contents
    from interpreter_tools._runtime.runtime import Runtime
    from interpreter_tools._session.record import Record

_LOG = logging.getLogger("interpreter_tools")
_MOST_KEPT = 64 << 20  # bytes of all files together that are kept of a run in a pool


class Workspace:
    """The files of a session: in its containers, or staged on this machine while no container has them.

    Only the caller that has the session's turn may call a method of the workspace. Nothing here waits for the turn.

    Attributes:
        config: the configuration of the session's containers.
        containers: the containers of the session, with those that hold its files.
        uid: the user that the files belong to, where the container does not have a user of its own.
        residents: names of the contexts whose processes live in the containers: their files cannot move to another one.
        begins_empty: True in a session each of whose runs begins with the files that callers gave, and nothing else.
        arrived: when a file of a caller last came into a container, by the monotonic clock.
    """

    def __init__(self, session_id: str, config: SessionConfig, runtime: Runtime) -> None:
        self.config = config.container_of(runtime.config)
        shares = config.workspace_sharing == "shared"
        self.containers = SessionContainers(runtime, session_id, self.config, shares=shares)
        self.begins_empty = not config.keeps_files
        self.residents: set[str] = set()
        self.arrived = 0.0
        self.uid = take_uid()
        weakref.finalize(self, give_back_uid, self.uid)
        self._session_id = session_id
        self._staging = Staging()  # files that no container has yet, or that every container to come gets
        self._kept = Staging()  # files of the last run, whose container went back to its pool

    def __repr__(self) -> str:
        return f"<Workspace of {self._session_id} [{len(self._staging)} staged, {len(self._kept)} kept]>"

    @property
    def generated(self) -> set[str]:
        """The files that runs of the session have made or changed, except those that are known to be gone."""
        return self.containers.generated

    @property
    def size_limit(self) -> int:
        """The bytes that the workspace of one container can hold."""
        return self.config.workspace_bytes

    @property
    def copy_limit(self) -> int:
        """The bytes that all files can have together: holes are read as zeros, and would fill this machine's disk."""
        return self.size_limit * max(1, len(self.containers.holders))

    # -- in

    def check(self, path: bytes) -> None:
        """Refuse a file that cannot lie beside the staged ones.

        Raises:
            FileRefused: it would have to be in one of them, or one of them in it.
        """
        self._staging.check(path)

    async def write(self, path: bytes, source: Contents) -> None:
        """Write a file into the container that holds the workspace, or stage it for the next run.

        Raises:
            FileRefused: the file cannot be written.
            ContainerLost: the container went away.
        """
        self._staging.check(path)
        record = self.containers.target
        if record is None or self.begins_empty:
            self._staging.put(path, await Staged.take(pieces_of(source), mode=source.mode))
        else:
            await record.restore_limits()  # files may take more memory than the last run might
            await send_file(record.channel, path, source, uid=record.uid)
            await sync(record.channel)
            self._arrived(record, [path])

    async def deliver(self, record: Record) -> list[Staged]:
        """Write the staged files into a container, for a run; return those that no container had before.

        Raises:
            FileRefused: the container refused a file. The file is staged no longer, unless a container has had it
                before. Files before it have arrived, and files behind it stay staged.
        """
        if self.containers.shares and not record.is_shared:
            return []  # staged files wait for the shared workspace
        waiting = self._staging.items()
        if not waiting:
            return []
        first = [staged for _, staged in waiting if staged.fresh] if self.begins_empty else []
        try:
            for path, staged in waiting:
                await send_file(record.channel, path, staged, uid=record.uid)
            await sync(record.channel)
        except FileRefused as refused:
            paths = [path for path, _ in waiting]
            bad = refused.path.encode("utf-8", "surrogateescape")
            if bad in paths:
                if not self.begins_empty:
                    self._arrived(record, paths[: paths.index(bad)])
                if waiting[paths.index(bad)][1].fresh:
                    self._staging.discard(bad)
            raise
        self._arrived(record, [path for path, _ in waiting])
        return first

    def _arrived(self, record: Record, paths: Iterable[bytes]) -> None:
        """Note the files that a container has now."""
        self.arrived = time.monotonic()
        record.baseline.update(paths)
        for path in paths:
            staged = self._staging.get(path)
            if staged is not None:
                staged.fresh = False
            if not self.begins_empty:
                self._staging.discard(path)

    # -- out

    async def read(self, path: bytes, offset: int) -> bytes:
        """Return up to 4 MiB of a file; fewer only at its end.

        Raises:
            FileRefused: there is no such file, or it cannot be read.
            ContainerLost: there is no such file, and files went away with their container.
        """
        source = await self._find(path)
        if isinstance(source, Staged):
            return await source.read(offset, RANGE)
        return await read_range(source.channel, path, uid=source.uid, offset=offset, count=RANGE)

    async def read_whole(self, path: bytes) -> AsyncGenerator[bytes]:
        """Yield a whole file, piece by piece.

        Raises:
            FileRefused: there is no such file, it cannot be read, or it is larger than the workspace can be.
        """
        source = await self._find(path)
        whole = pieces_of(source) if isinstance(source, Staged) else read_file(source.channel, path, uid=source.uid)
        left = self.size_limit
        async with contextlib.aclosing(whole) as pieces:
            async for piece in pieces:
                left -= len(piece)
                if left < 0:
                    raise too_large(path, self.size_limit)
                yield piece

    async def read_for_run(self, path: str, *, begins_empty: bool) -> bytes | None:
        """Return the first 4 MiB of a file that a run finds in the workspace, by its path in the sandbox.

        Args:
            path: the path; one outside of the workspace is not found.
            begins_empty: True for a run that finds the session's staged files only.

        Returns:
            The bytes, or None when there is no such file.
        """
        if not path.startswith(f"{WORKSPACE}/"):
            return None
        name = path.removeprefix(f"{WORKSPACE}/").encode("utf-8", "surrogateescape")
        if begins_empty:
            staged = self._staging.get(name)
            return None if staged is None else await staged.read(0, MOST_BYTES + 1)
        try:
            return await self.read(name, 0)
        except FileRefused:
            return None

    async def _find(self, path: bytes) -> Staged | Record:
        """Return the staged file of a path, or the container that holds it."""
        staged = self._staging.get(path)
        if staged is not None and staged.fresh:
            return staged
        source = await self.containers.holder_of(path) or self._kept.get(path) or staged
        if source is None:
            raise FileRefused(shown_path(path), errno.ENOENT, os.strerror(errno.ENOENT))
        return source

    async def sizes(self) -> dict[bytes, int]:
        """Return the sizes of all files in bytes, by path.

        Raises:
            ContainerLost: files went away with their container.
        """
        if self.containers.lost is not None:
            raise self.containers.lost
        sizes = {path: staged.size for path, staged in self._kept.items()}
        for record in reversed(self.containers.holders):
            entries, _ = await list_files(record.channel)
            sizes |= {path: size for size, path in entries}
        for path, staged in self._staging.items():
            if staged.fresh or path not in sizes:
                sizes[path] = staged.size
        return sizes

    async def check_directory(self, path: bytes) -> None:
        """Refuse a path beneath which no file lies, unless it is an empty directory.

        Raises:
            FileRefused: there is no such path, or it is a file.
        """
        source = await self._find(path)
        try:
            if not isinstance(source, Staged):
                await read_range(source.channel, path, uid=source.uid, offset=0, count=0)
        except FileRefused as refused:
            if refused.errno == errno.EISDIR:
                return
            raise
        raise FileRefused(shown_path(path), errno.ENOTDIR, os.strerror(errno.ENOTDIR))

    # -- from one run to the next

    async def keep(self, record: Record) -> None:
        """Copy the files that a run in a pool has made to this machine, as its container is wiped next.

        Up to 64 MiB are kept. A file that does not fit any more, or that cannot be read, is left out.

        Raises:
            ContainerLost, ProtocolError: the container went away; then no file is kept.
        """
        self._kept.clear()
        try:
            await self._keep(record)
        except BaseException:
            self._kept.clear()
            self.containers.current = record  # a caller that asks for its files is told that they are lost
            raise

    async def _keep(self, record: Record) -> None:
        entries, _ = await list_files(record.channel)
        sizes = {path: size for size, path in entries}
        left = _MOST_KEPT
        for name in sorted(record.facts.generated):
            path = name.encode("utf-8", "surrogateescape")
            if sizes.get(path, 0) > left:
                _LOG.info("%r, of %d bytes, is not kept: runs in a pool may leave %d", name, sizes[path], _MOST_KEPT)
                continue
            try:
                data = await read_range(record.channel, path, uid=record.uid, offset=0, count=left)
            except FileRefused as refused:
                _LOG.info("a file that a run in a pool has made is not kept: %s", refused.message)
                continue
            left -= len(data)
            self._kept.put(path, await Staged.take(data))

    async def aclose(self) -> None:
        """Terminate the session's containers, and drop its files."""
        try:
            await self.containers.aclose()
        finally:
            self._staging.clear()
            self._kept.clear()
