"""A session's hold on a container: for one run, and for as long as it holds the session's files."""

from __future__ import annotations

import contextlib
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import anyio

from interpreter_tools._config.model import ContainerStrategy
from interpreter_tools._config.paths import WORKSPACE, shown_path
from interpreter_tools._config.results import ContainerMeta
from interpreter_tools._container.file_list import FileList
from interpreter_tools._container.lease_end import LeaseEnd
from interpreter_tools._exceptions import ContainerLost
from interpreter_tools._protocol import Files, Refused, State

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from interpreter_tools._container.channel import Channel
    from interpreter_tools._container.container import Container
    from interpreter_tools._pool.lease import PoolLease
    from interpreter_tools._protocol import Reset
    from interpreter_tools._session.run import SessionRun, SessionRuns
    from interpreter_tools._session.staging import Staged

_ACTIVE = frozenset({State.STARTING, State.RUNNING, State.LISTED})


class Record:
    """A container of a session, and what is known of it; also when it is gone.

    Attributes:
        container: the container.
        uid: the user that programs run as.
        is_running: the session has it still.
        last_executed_at: when its last run began.
        baseline: files that were put into its workspace.
        generated: what its last run has changed.
        made: what the runs in its workspace have.
        deps_checksum: a hash of what its last run depended on.
    """

    def __init__(self, container: Container, uid: int | None) -> None:
        self.container = container
        self.uid = container.uid if uid is None else uid
        self.is_running = True
        self.created_at = datetime.now(UTC)
        self.last_executed_at: datetime | None = None
        self.baseline: set[bytes] = set()
        self.generated: frozenset[str] = frozenset()
        self.made: set[str] = set()
        self.deps_checksum: str | None = None
        self._added: set[bytes] = set()
        self._before: tuple[datetime | None, str | None] = (None, None)

    @property
    def channel(self) -> Channel:
        """Its stream."""
        return self.container.channel

    @property
    def is_shared(self) -> bool:
        """Its workspace is the one that containers of the session share."""
        return self.container.shape.workspace_volume is not None

    @property
    def workspace(self) -> str:
        """Names the place of its files: a volume, which several may share, or the container itself."""
        return self.container.shape.workspace_volume or self.container.id

    def begin(self, files: Iterable[bytes], deps_checksum: str | None) -> None:
        """Note that a run begins, which files it brings, and what it depends on."""
        self._before = self.last_executed_at, self.deps_checksum
        self.last_executed_at, self.deps_checksum = datetime.now(UTC), deps_checksum
        self._added = set(files) - self.baseline
        self.baseline |= self._added

    def undo_begin(self) -> None:
        """Note that the run did not begin after all."""
        self.last_executed_at, self.deps_checksum = self._before
        self.baseline -= self._added

    async def restore_limits(self) -> None:
        """End the limits of its last run; ask the engine only when a limit changes."""
        await self.container.restore_limits()

    def meta(self, session_id: str, session_generated: frozenset[str]) -> ContainerMeta:
        """Return the description for callers."""
        return ContainerMeta(
            session_id=session_id,
            container_id=self.container.id,
            container_name=self.container.name,
            image_name=self.container.shape.image,
            workspace_dir=WORKSPACE,
            created_at=self.created_at,
            last_executed_at=self.last_executed_at,
            is_running=self.is_running and self.channel.error is None,
            deps_installed=self.deps_checksum is not None,
            deps_checksum=self.deps_checksum,
            baseline_files=frozenset(map(shown_path, self.baseline)),
            generated_files=self.generated,
            session_generated_files=session_generated,
        )


class SessionLease:
    """A container for the time of one run of a session.

    Attributes:
        run: the run.
        record: the container.
        pooled: the pool's lease; None when the container is the session's own.
        is_released: the run has ended or was left; what is still to be done with the container ends by itself.
        delivered: files of the session that this container is the first to have.
    """

    def __init__(self, runs: SessionRuns, run: SessionRun, record: Record, pooled: PoolLease | None) -> None:
        self._runs = runs
        self.run = run
        self.is_released = False
        self.record = record
        self.pooled = pooled
        self.delivered: list[Staged] = []

    @property
    def channel(self) -> Channel:
        """Its stream."""
        return self.record.channel

    @property
    def uid(self) -> int:
        """The user that the program runs as."""
        return self.record.uid

    @property
    def image(self) -> str:
        """The image of the container."""
        return self.record.container.shape.image

    @property
    def ports(self) -> Mapping[int, int]:
        """The port on 127.0.0.1 of the Docker host for each published port."""
        return self.record.container.ports

    @property
    def last(self) -> bool:
        """It is reset, held or discarded after this run, but runs nothing else."""
        return self.pooled is not None

    def plan_reset(self) -> Reset | None:
        """None: what the run has made is read first."""
        return None

    @property
    def strategy(self) -> ContainerStrategy:
        """The strategy under which the session got the container."""
        if self.pooled is None:
            return ContainerStrategy.PER_SESSION
        reused = self.record.container.shape.reused
        return ContainerStrategy.POOL if reused else ContainerStrategy.PER_EXECUTION

    @property
    def is_active(self) -> bool:
        """A program runs in it."""
        return self.channel.connection.state in _ACTIVE

    def kill(self) -> None:
        """Kill the program."""
        self.channel.send(self.channel.connection.kill())

    def ended(self, files: FileList) -> tuple[str, ...]:
        """Note what the run has changed and removed; return what all runs of the session have changed."""
        return self._runs.note_generated(self.record, files.names(), gone=files.gone(self.record.made))

    def release(self, end: LeaseEnd) -> None:
        """Give the container back. Does nothing the second time."""
        if not self.is_released:
            self.is_released = True
            self._runs.take_back(self, end)


async def settle(channel: Channel, *, deadline: float) -> tuple[LeaseEnd, tuple[str, ...]]:
    """Kill a run whose caller has left, wait for its end, and return how it ended and the files that it has changed.

    Args:
        channel: of its container.
        deadline: seconds.

    Raises:
        ContainerLost: the container went away, or the run did not end in time.
    """
    files, end = FileList(), LeaseEnd.UNCLEAN
    with anyio.move_on_after(deadline, shield=True):
        async with contextlib.aclosing(channel.converse(channel.connection.kill(), patience=0.0)) as rest:
            async for event in rest:
                if isinstance(event, Files):
                    files.add(event)
                elif isinstance(event, Refused):
                    end = LeaseEnd.UNUSED
        return end, files.names()
    raise ContainerLost("a program that was killed did not end")
