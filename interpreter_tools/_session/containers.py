"""The containers of a session: those that hold its files, its own ones, and those that it has had."""

from __future__ import annotations

import errno
import os
from collections import deque
from typing import TYPE_CHECKING

import anyio

from interpreter_tools._config.paths import shown_path
from interpreter_tools._container.files import is_there
from interpreter_tools._container.lease_end import LeaseEnd
from interpreter_tools._docker.spec import workspace_options
from interpreter_tools._exceptions import ContainerLost, FileRefused
from interpreter_tools._session.moving import move_workspace
from interpreter_tools._session.record import Facts, Record
from interpreter_tools._session.shared_volume import SharedVolume

if TYPE_CHECKING:
    from collections.abc import Set as AbstractSet

    from interpreter_tools._config.model import ContainerConfig
    from interpreter_tools._container.container import Container
    from interpreter_tools._container.shape import Shape
    from interpreter_tools._pool.pool import PoolLease
    from interpreter_tools._runtime.runtime import Runtime

_HISTORY = 1000


class SessionContainers:
    """The containers of a session, with those that hold its files.

    Attributes:
        current: the container of the last run; None before the first.
        shares: True when all containers of the session have one volume for a workspace.
        generated: the files that runs have made or changed, except those that are known to be gone.
    """

    def __init__(self, runtime: Runtime, session_id: str, config: ContainerConfig, *, shares: bool) -> None:
        self._runtime = runtime
        self._session_id = session_id
        self._config = config
        self.shares = shares
        self._closed = False
        self._own: dict[tuple[object, ...], Record] = {}  # of PER_SESSION, by shape; the last used at the end
        self._volume: SharedVolume | None = None
        self._anchor: Record | None = None  # keeps the shared volume alive: a tmpfs lives as long as it is mounted
        self.current: Record | None = None
        self._live: set[Record] = set()  # those that the session has
        self._history: deque[Facts] = deque(maxlen=_HISTORY)
        self.generated: set[str] = set()

    def __repr__(self) -> str:
        return f"<SessionContainers [{len(self._records())} held, {len(self._history)} in all]>"

    def history(self) -> list[Facts]:
        """Return the facts of the last thousand containers that the session has had, the latest at the end."""
        for record in self._live:
            record.facts.is_running = not record.is_lost
        return list(self._history)

    # -- where the files are

    @property
    def holders(self) -> list[Record]:
        """Live containers with files, in lookup order; the shared workspace counts once.

        It comes first in a session whose runs share it, else those come first that were used last.
        """
        alive = [record for record in self._records() if not record.is_lost]
        shared = [record for record in alive if record.is_shared]
        holders = [record for record in alive if not record.is_shared or record is shared[0]]
        if self.shares:
            holders.sort(key=lambda record: not record.is_shared)
        return holders

    async def holder_of(self, path: bytes) -> Record | None:
        """Return the container that holds a file, or should; None when no container holds files.

        Raises:
            FileRefused: none of several containers holds it.
            ContainerLost: no container holds it, and one is gone with its files.
        """
        holders, lost = self.holders, self.lost
        if lost is None and len(holders) <= 1:
            return holders[0] if holders else None
        for holder in holders:
            if await is_there(holder.channel, path, uid=holder.uid):
                return holder
        raise lost or FileRefused(shown_path(path), errno.ENOENT, os.strerror(errno.ENOENT))

    @property
    def target(self) -> Record | None:
        """The container that files are written into; None when files are staged on this machine."""
        first = next(iter(self.holders), None)
        return None if first is None or (self.shares and not first.is_shared) else first

    @property
    def lost(self) -> ContainerLost | None:
        """The error for files that went away with their container; None when no file is lost."""
        gone = [record for record in self._records() if record.is_lost]
        if any(record.is_shared and not record.is_lost for record in self._records()):
            gone = [record for record in gone if not record.is_shared]
        return self._loss(gone[0]) if gone else None

    def _loss(self, record: Record) -> ContainerLost:
        assert record.channel.error is not None
        return ContainerLost(
            f"the container of the session {self._session_id!r} is gone, with its files: "
            f"{record.channel.error.message}",
            hint="a run tells it once, then all starts anew; cleanup_session without keep_generated ends the session",
        )

    def check(self) -> None:
        """Forget lost containers and their files, because a run begins that would miss them.

        Raises:
            ContainerLost: a container is gone. Not when the run that lost it told its caller, so it is told once.
        """
        needed = dict.fromkeys(record for record in (*self._own.values(), self._anchor) if record is not None)
        gone = [record for record in needed if record.is_lost]
        if not gone:
            return
        for record in gone:
            self._terminate(record)
        shared = [record for record in self._own.values() if record.is_shared]
        self._anchor = self._anchor or (shared[-1] if shared else None)
        if self._anchor is None and self._volume is not None:
            # A container that waits in a pool may keep it alive by chance: files that are told to be gone must be gone.
            self._runtime.tasks.spawn(self._volume.aclose)
            self._volume = None
        self.generated &= set[str]().union(*(record.made for record in self.holders))
        untold = next((record for record in gone if not record.is_told), None)
        if untold is not None:
            raise self._loss(untold)

    # -- containers for runs

    async def volume(self) -> str:
        """Return the volume of the workspace that runs share."""
        if self._volume is None:
            options = workspace_options(self._config, podman=self._runtime.traits.podman)
            self._volume = SharedVolume(self._runtime, options)
        return await self._volume.name()

    def stands_apart(self, shape: Shape) -> bool:
        """Return True when the session's files are in a container of another shape, invisible to other containers."""
        return not self.shares and any(
            not record.is_shared and key != shape.key and not record.is_lost for key, record in self._own.items()
        )

    def host_of(self, shape: Shape) -> Record | None:
        """Return the session's own container that differs from a shape in its booted interpreter only, if any."""
        own = reversed(self._own.values())
        return next((record for record in own if not record.is_lost and record.container.shape.hosts(shape)), None)

    async def join(self, shape: Shape) -> tuple[Record, Record]:
        """Move the session's files into a volume, which its containers share from now on.

        Args:
            shape: of the container that is about to run something; with the volume.

        Returns:
            The container that held the files before, which is terminated, and the one that does now.

        Raises:
            FileRefused: a file cannot be moved; everything is where it was.
            ContainerLost: a container went away.
        """
        before = next(record for record in self._own.values() if not record.is_shared)
        await before.restore_limits()
        record = await self.acquire_own(shape)
        try:
            await move_workspace(before, record)
        except BaseException:
            self._terminate(record)
            self._history.remove(record.facts)
            raise
        self.shares = True
        record.baseline.update(before.baseline)
        record.made |= before.made
        self._terminate(before)
        self.current = self._anchor = record
        return before, record

    async def acquire_own(self, shape: Shape) -> Record:
        """Return the session's own container of a shape, which stays until the end of the session.

        Raises:
            ContainerLost: a container that the session needs is gone; see ``check``.
        """
        self.check()
        record = self._own.get(shape.key)
        if record is None:
            if shape.workspace_volume is None:
                container = (await self._runtime.pool(shape).acquire()).detach()
            else:
                container = await self._runtime.create(shape)
            try:
                self.check()
            except ContainerLost:
                self._runtime.terminate(container)
                raise
            record = self._own[shape.key] = self.note(container, None)
        return record

    async def acquire_pooled(self, shape: Shape) -> PoolLease:
        """Return the lease of a container of a pool, for one run.

        Raises:
            ContainerLost: the container that kept the shared workspace is gone; see ``check``.
        """
        if shape.workspace_volume is not None and self._volume is not None:
            self._volume.note(shape)
        if shape.reused:
            self.current = None  # files of its last run that could not be kept are not missed any more
        lease = await self._runtime.pool(shape).acquire()
        try:
            self.check()
        except ContainerLost:
            lease.release(LeaseEnd.UNUSED)
            raise
        return lease

    def note(self, container: Container, uid: int | None) -> Record:
        """Note a container that the session has from now on.

        Args:
            container: the container.
            uid: the user that programs run as; None means the container's.
        """
        record = Record(container, uid)
        if record.is_shared and self._volume is not None:
            record.made = self._volume.made
        self._live.add(record)
        self._history.append(record.facts)
        return record

    def note_generated(
        self, record: Record, files: tuple[str, ...], *, gone: AbstractSet[str] = frozenset()
    ) -> tuple[str, ...]:
        """Note what a run has changed, and which files of earlier runs are gone; return what all runs have changed."""
        record.facts.generated = frozenset(files)
        if gone:
            record.made -= gone
            self.generated -= gone - set[str]().union(*(holder.made for holder in self.holders))
        record.made.update(files)
        self.generated.update(files)
        return tuple(sorted(self.generated))

    def release_own(self, record: Record, *, used: bool = True) -> None:
        """End the run of one of the session's own containers.

        Args:
            record: the container.
            used: a program ran, so that files are looked for there first.
        """
        if self._closed:
            self._runtime.terminate(record.container)
            return
        if not used:
            if record.is_shared and self._anchor is None:
                self._anchor = record
            return
        key = record.container.shape.key
        if self._own.get(key) is record:
            self._own[key] = self._own.pop(key)
        self.current = record
        if record.is_shared:
            self._anchor = record

    def hold(self, record: Record) -> None:
        """Note that the container of this run holds the files now: that of the last run is not needed any more."""
        if self._closed:
            self._runtime.terminate(record.container)
            return
        old = {id(kept): kept for kept in (self.current, self._anchor if record.is_shared else None) if kept}
        self.current = record
        if record.is_shared:
            self._anchor = record
        for kept in old.values():
            if kept is not record and kept is not self._anchor:
                self._leave(kept)
                self._runtime.terminate(kept.container)

    def release_unused(self, record: Record) -> bool:
        """Forget a pool's container in which no program ran; False when the session must hold it.

        The session's shared workspace is a tmpfs, and ends with its last container: the first one has to be held.
        """
        if record.is_shared and self._anchor is None and not self._closed:
            return False
        self._leave(record)
        self._history.remove(record.facts)
        return True

    def release_pooled(self, record: Record) -> None:
        """Note that a pool has a container back, or that it is gone."""
        self._leave(record)
        if record.is_lost and record.is_shared and self._anchor is None:
            self._anchor = record  # nothing else kept the shared workspace, so its files are gone as well

    def pause(self, *, paused: bool) -> None:
        """Have the programs in all containers of the session stand still, or go on."""
        for record in self._records():
            if not record.is_lost:
                record.channel.send(record.channel.connection.pause(paused=paused))

    @property
    def running(self) -> list[str]:
        """The ids of the containers that hold the session's files, and are not lost."""
        return [record.container.id for record in self._records() if not record.is_lost]

    async def processor_times(self) -> dict[str, float]:
        """Return the seconds of processor time of the containers that hold the session's files, by their ids."""
        found = {name: await self._runtime.client.processor_time(name) for name in self.running}
        return {name: seconds for name, seconds in found.items() if seconds is not None}

    def _records(self) -> list[Record]:
        kept = (self.current, *reversed(self._own.values()), self._anchor)
        return list({id(record): record for record in kept if record is not None}.values())

    def _leave(self, record: Record) -> None:
        """Note that the session does not have a container any more."""
        self._live.discard(record)
        record.facts.is_running = False

    def _terminate(self, record: Record) -> None:
        """Forget a container, and terminate it."""
        self._leave(record)
        self._own = {key: kept for key, kept in self._own.items() if kept is not record}
        if self.current is record:
            self.current = None
        if self._anchor is record:
            self._anchor = None
        self._runtime.terminate(record.container)

    async def aclose(self) -> None:
        """Terminate the session's containers, and each later one at once."""
        self._closed = True
        records = self._records()
        if self._volume is not None:
            await self._volume.close_pools()
        async with anyio.create_task_group() as tasks:
            for record in records:
                self._leave(record)
                tasks.start_soon(record.container.aclose)
        if self._volume is not None:
            await self._volume.aclose()
