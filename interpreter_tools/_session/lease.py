"""A session's lease of a container for one run, and its end as a table."""

from __future__ import annotations

import logging
from enum import Enum, auto
from typing import TYPE_CHECKING

from interpreter_tools._config.model import ContainerStrategy
from interpreter_tools._container.lease_end import LeaseEnd
from interpreter_tools._exceptions import InterpreterToolsError
from interpreter_tools._protocol import State
from interpreter_tools._session.record import settle, stop

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from interpreter_tools._background import BackgroundTasks
    from interpreter_tools._container.boxes import Isolation
    from interpreter_tools._container.channel import Channel, Conversation
    from interpreter_tools._container.file_list import FileList
    from interpreter_tools._pool.pool import PoolLease
    from interpreter_tools._protocol import Reset
    from interpreter_tools._session.record import Record
    from interpreter_tools._session.staging import Staged
    from interpreter_tools._session.workspace import Workspace

_LOG = logging.getLogger("interpreter_tools")
_ACTIVE = frozenset({State.STARTING, State.RUNNING, State.LISTED})

END_DEADLINE = 5.0
"""Seconds that a program may take to end once it was killed."""


class _Then(Enum):
    """The next step for the container of a run that has ended.

    Attributes:
        KEEP: it is the session's own, and serves its next run.
        DETACH: it leaves its pool and holds the session's files; the container that held them before is terminated.
        RELEASE: its pool resets it, or terminates it.
        SAVE_FILES: the same, once the files that the run made are copied to this machine.
        SETTLE: its program is killed first; the table is asked again when the supervisor says how that ended.
    """

    KEEP = auto()
    DETACH = auto()
    RELEASE = auto()
    SAVE_FILES = auto()
    SETTLE = auto()


_OWN, _FRESH, _POOL = ContainerStrategy.PER_SESSION, ContainerStrategy.PER_EXECUTION, ContainerStrategy.POOL

# A run that never began leaves the session as it was: the container of the run before goes on holding the files.
_TABLE = {
    (_OWN, LeaseEnd.UNUSED): _Then.KEEP,
    (_OWN, LeaseEnd.CLEAN): _Then.KEEP,
    (_OWN, LeaseEnd.UNCLEAN): _Then.KEEP,
    (_OWN, LeaseEnd.LEFT): _Then.SETTLE,
    (_FRESH, LeaseEnd.UNUSED): _Then.RELEASE,
    (_FRESH, LeaseEnd.CLEAN): _Then.DETACH,
    (_FRESH, LeaseEnd.UNCLEAN): _Then.DETACH,
    (_FRESH, LeaseEnd.LEFT): _Then.SETTLE,
    (_POOL, LeaseEnd.UNUSED): _Then.RELEASE,
    (_POOL, LeaseEnd.CLEAN): _Then.SAVE_FILES,
    (_POOL, LeaseEnd.UNCLEAN): _Then.RELEASE,
    (_POOL, LeaseEnd.LEFT): _Then.SETTLE,
}


class SessionLease:
    """A container for the time of one run of a session.

    Args:
        record: the container.
        pooled: the pool's lease; None when the container is the session's own.
        workspace: the workspace of the session.
        tasks: run what takes time at the end of the lease.
        on_end: called once the lease is over, with True when a program began.

    Attributes:
        record: the container.
        delivered: files of the session that this container is the first to have.
    """

    def __init__(
        self,
        record: Record,
        pooled: PoolLease | None,
        workspace: Workspace,
        *,
        tasks: BackgroundTasks,
        on_end: Callable[[bool], None],
    ) -> None:
        self.record = record
        self.delivered: list[Staged] = []
        self._pooled = pooled
        self._workspace = workspace
        self._tasks = tasks
        self._on_end = on_end
        self._released = False

    @property
    def channel(self) -> Channel:
        """The channel of the container."""
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
    def isolation(self) -> Isolation:
        """The thing around the program, see ``ExecutionResult``."""
        return self.record.container.isolation

    @property
    def ports(self) -> Mapping[int, int]:
        """The port on 127.0.0.1 of the Docker host for each published port."""
        return self.record.container.ports

    @property
    def last(self) -> bool:
        """True when the container is reset, held or terminated after this run, but runs nothing else."""
        return self._pooled is not None

    def plan_reset(self) -> Reset | None:
        """Return None: the files that the run has made are read before the reset."""
        return None

    @property
    def strategy(self) -> ContainerStrategy:
        """The strategy under which the session got the container."""
        if self._pooled is None:
            return ContainerStrategy.PER_SESSION
        reused = self.record.container.shape.reused
        return ContainerStrategy.POOL if reused else ContainerStrategy.PER_EXECUTION

    @property
    def is_active(self) -> bool:
        """True while a program runs in the container."""
        return self.channel.connection.state in _ACTIVE

    def kill(self) -> None:
        """Kill the program."""
        self.channel.send(self.channel.connection.kill())

    def ended(self, files: FileList) -> tuple[str, ...]:
        """Note the files that the run has changed and removed; return those that all runs of the session changed."""
        record = self.record
        return self._workspace.containers.note_generated(record, files.names(), gone=files.gone(record.made))

    def release(self, end: LeaseEnd) -> None:
        """End the lease: do with the container what the table says. Does nothing the second time."""
        if self._released:
            return
        self._released = True
        if self.record.is_lost:
            self.record.is_told = True  # the error of the run tells it
            self._finish(_Then.RELEASE, end)
            return
        then = _TABLE[self.strategy, end]
        if then is _Then.SETTLE:
            rest = stop(self.channel)
            if not self._tasks.spawn(self._settle, rest):
                self.channel.close()
                self._finish(_Then.RELEASE, end)
        elif then is _Then.SAVE_FILES and self.record.facts.generated and self._tasks.spawn(self._save_files):
            pass
        else:
            self._finish(then, end)

    async def _settle(self, rest: Conversation) -> None:
        """Kill the program whose caller has left; its container holds files, so the container lives on."""
        end = LeaseEnd.UNCLEAN
        try:
            end, files = await settle(rest, deadline=END_DEADLINE)
            if end is not LeaseEnd.UNUSED:
                self._workspace.containers.note_generated(self.record, files)
        except InterpreterToolsError as error:
            self.channel.close(error)
        finally:
            self._finish(_TABLE[self.strategy, end], end)

    async def _save_files(self) -> None:
        """Copy the files that the run has made to this machine: the container is wiped next."""
        end = LeaseEnd.UNCLEAN
        try:
            await self._workspace.keep(self.record)
            end = LeaseEnd.CLEAN
        except InterpreterToolsError:
            _LOG.info("the files that a run of a session has made could not be kept", exc_info=True)
        finally:
            self._finish(_Then.RELEASE, end)

    def _finish(self, then: _Then, end: LeaseEnd) -> None:
        record, pooled, containers = self.record, self._pooled, self._workspace.containers
        began = end is not LeaseEnd.UNUSED
        try:
            if not began:
                record.undo_begin()
                for staged in self.delivered:
                    staged.fresh = True
            if pooled is None:
                containers.release_own(record, used=began)
            elif not record.is_lost and (then is _Then.DETACH or (not began and not containers.release_unused(record))):
                pooled.detach()
                containers.hold(record)
            else:
                containers.release_pooled(record)
                pooled.release(end)
        finally:
            self._on_end(began)
