"""The workspace of a session on its way into another container."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import TYPE_CHECKING

import anyio

from interpreter_tools._config.paths import WORKSPACE
from interpreter_tools._container.files import Streamed, list_files, read_file, send_file, sync
from interpreter_tools._exceptions import ExecutionClosed, InterpreterMissing
from interpreter_tools._execution.execution import Execution
from interpreter_tools._execution.placement import Placed
from interpreter_tools._languages import BASE_ENVIRONMENT, Job
from interpreter_tools._session.record import settle, stop

if TYPE_CHECKING:
    from collections.abc import Mapping

    from interpreter_tools._container.boxes import Isolation
    from interpreter_tools._container.channel import Channel
    from interpreter_tools._container.file_list import FileList
    from interpreter_tools._container.lease_end import LeaseEnd
    from interpreter_tools._execution.placement import End
    from interpreter_tools._protocol import Reset
    from interpreter_tools._session.record import Record

_LOG = logging.getLogger("interpreter_tools")
_DEADLINE = 120.0  # seconds
_SETTLE_DEADLINE = 5.0  # seconds for a program that is killed
_EXECUTABLE = 0o755  # a mode is not told with a file's contents; what cannot run is the greater loss

# Programs may take the right to read a file from its own owner: the owner gives it back.
_READABLE = (
    r"find . -mindepth 1 \( -type d ! -perm -500 -exec chmod u+rx {} \;"
    r" -o -type f ! -perm -400 -exec chmod u+r {} \; \)"
)
# The names are found one by one, as "." itself belongs to root: to set its time or mode would fail.
_PACK = f"{_READABLE}; find . -mindepth 1 -maxdepth 1 -print0 | tar -cSf - --null -T -"
_UNPACK = "tar -xpf -"


class _Visit:
    """A session's container, for a program of ours between two runs."""

    def __init__(self, record: Record, script: str) -> None:
        self._record = record
        self._script = script

    @property
    def channel(self) -> Channel:
        """Its stream."""
        return self._record.channel

    @property
    def uid(self) -> int:
        """The user that the program runs as."""
        return self._record.uid

    @property
    def image(self) -> str:
        """The image of the container."""
        return self._record.container.shape.image

    @property
    def isolation(self) -> Isolation:
        """The thing around the program, see ``ExecutionResult``."""
        return self._record.container.isolation

    @property
    def ports(self) -> Mapping[int, int]:
        """Nothing is asked of them."""
        return {}

    @property
    def last(self) -> bool:
        """Other runs follow."""
        return False

    def plan_reset(self) -> Reset | None:
        """None: the container stays as it is."""
        return None

    def ended(self, files: FileList) -> tuple[str, ...]:
        """Return the files that were changed."""
        return files.names()

    def release(self, end: LeaseEnd) -> None:
        """Do nothing: the session has the container."""

    def leave(self) -> None:
        """Do nothing: the session has the turn."""

    @property
    def prepared(self) -> None:
        """None: no packages are decided about."""
        return

    async def acquire(self, end: End) -> Placed:
        """Return the container, and the program."""
        del end
        job = Job(
            argv=("sh", "-c", self._script),
            booted=False,
            environment={**BASE_ENVIRONMENT, **self._record.container.shape.image_environment},
            files={},
            directory=WORKSPACE,
            timeout=_DEADLINE,
            output_limit=None,
        )
        return Placed(job, self)


async def move_workspace(source: Record, target: Record) -> None:
    """Copy everything in one workspace into another one, which is empty.

    Links, permissions, times, pipes and empty directories come along where both images hold ``tar``, else regular
    files only.

    Args:
        source: the container that holds the files. It keeps them.
        target: the container that gets them.

    Raises:
        FileRefused: a file cannot be read, or the other workspace has no room for it.
        ContainerLost: a container went away.
    """
    try:
        if await _pack_and_unpack(source, target):
            return
    finally:
        await _quiet(source.channel, target.channel)
    _LOG.info("a workspace is copied file by file: an image lacks tar, or tar could not copy everything")
    entries, _ = await list_files(source.channel)
    for _, path in entries:
        async with contextlib.aclosing(read_file(source.channel, path, uid=source.uid)) as pieces:
            await send_file(target.channel, path, Streamed(pieces, _EXECUTABLE), uid=target.uid)
        await sync(target.channel)


async def _pack_and_unpack(source: Record, target: Record) -> bool:
    """Pipe an archive from one container into the other; return whether both programs ended well."""
    packing = Execution(_Visit(source, _PACK), stdin=b"", capture=False)
    unpacking = Execution(_Visit(target, _UNPACK), stdin=None, capture=False)
    try:
        async with packing, unpacking:
            drained = asyncio.create_task(unpacking.result())
            try:
                async for chunk in packing:
                    if chunk.stream == "stdout":
                        await unpacking.send_stdin(chunk.data)
                await unpacking.close_stdin()
                results = await packing.result(), await drained
            finally:
                drained.cancel()
                await asyncio.wait([drained])
    except (InterpreterMissing, ExecutionClosed):  # no shell, or the other side ended early
        return False
    return all(result.outcome == "ok" for result in results)


async def _quiet(*channels: Channel) -> None:
    """Make sure that no program of ours is left in a container, whatever has happened."""
    stopped = [stop(channel) for channel in channels if channel.error is None and channel.connection.kill()]
    with anyio.CancelScope(shield=True):
        ended = await asyncio.gather(
            *(settle(rest, deadline=_SETTLE_DEADLINE) for rest in stopped), return_exceptions=True
        )
        for outcome in ended:
            if isinstance(outcome, BaseException):
                raise outcome
