"""The run of a session, once it has a container: how it is ended, and what becomes of the container then."""

from __future__ import annotations

import logging
from enum import Enum, auto
from typing import TYPE_CHECKING

from interpreter_tools._config.model import ContainerStrategy
from interpreter_tools._container.lease_end import LeaseEnd
from interpreter_tools._exceptions import InterpreterToolsError
from interpreter_tools._session.pool_files import keep_files
from interpreter_tools._session.record import settle

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from collections.abc import Set as AbstractSet
    from datetime import datetime

    from interpreter_tools._execution.placement import Missing, Placed, Run
    from interpreter_tools._runtime.request import RunRequest
    from interpreter_tools._runtime.runtime import Runtime
    from interpreter_tools._session.containers import SessionContainers
    from interpreter_tools._session.record import Record, SessionLease
    from interpreter_tools._session.staging import Staging

_LOG = logging.getLogger("interpreter_tools")

END_DEADLINE = 5.0
"""Seconds that a program may take to end once it was killed."""


class _Then(Enum):
    """The next step for the container of a run that has ended.

    Attributes:
        STAY: it is the session's own, and serves its next run.
        HOLD: it holds the session's files; the container that held them before is terminated.
        GIVE_BACK: it goes back to its pool, which resets or terminates it.
        SAVE_FILES: the same, once the files that the run made are copied to this machine.
        SETTLE: its program is killed first; the table is asked again when the supervisor says how that ended.
        LOSE: it is gone, or is given up.
    """

    STAY = auto()
    HOLD = auto()
    GIVE_BACK = auto()
    SAVE_FILES = auto()
    SETTLE = auto()
    LOSE = auto()


_OWN, _FRESH, _POOL = ContainerStrategy.PER_SESSION, ContainerStrategy.PER_EXECUTION, ContainerStrategy.POOL

# A run that never began leaves the session as it was: the container of the run before goes on holding the files.
_TABLE = {
    (_OWN, LeaseEnd.UNUSED): _Then.STAY,
    (_OWN, LeaseEnd.CLEAN): _Then.STAY,
    (_OWN, LeaseEnd.UNCLEAN): _Then.STAY,
    (_OWN, LeaseEnd.LEFT): _Then.SETTLE,
    (_FRESH, LeaseEnd.UNUSED): _Then.GIVE_BACK,
    (_FRESH, LeaseEnd.CLEAN): _Then.HOLD,
    (_FRESH, LeaseEnd.UNCLEAN): _Then.HOLD,
    (_FRESH, LeaseEnd.LEFT): _Then.SETTLE,
    (_POOL, LeaseEnd.UNUSED): _Then.GIVE_BACK,
    (_POOL, LeaseEnd.CLEAN): _Then.SAVE_FILES,
    (_POOL, LeaseEnd.UNCLEAN): _Then.GIVE_BACK,
    (_POOL, LeaseEnd.LEFT): _Then.SETTLE,
}


class SessionRun:
    """Places one run of a session, and has the session's turn from then on until its container is released.

    The turn is kept while packages are installed, so that runs happen in the order in which they were asked for.

    Args:
        request: what to run.
        place: acquires a container of the session, once the turn has come.
        take_turn: waits for the turn.
        end_turn: gives the turn to the next.

    Attributes:
        request: what to run; completed by the session.
        lease: the container of the run, until what follows its end is done; None while there is none.
    """

    def __init__(
        self,
        request: RunRequest,
        *,
        place: Callable[[SessionRun], Awaitable[Placed | Missing]],
        take_turn: Callable[[SessionRun], Awaitable[None]],
        end_turn: Callable[[], None],
    ) -> None:
        self.request = request
        self.is_complete = False
        self.lease: SessionLease | None = None
        self._place = place
        self._take_turn = take_turn
        self._end_turn = end_turn
        self._run: Run | None = None
        self._has_turn = False
        self._acquiring = False
        self._left = False

    def __repr__(self) -> str:
        return f"<SessionRun [{'placed' if self.lease else 'has the turn' if self._has_turn else 'waiting'}]>"

    async def acquire(self, run: Run) -> Placed | Missing:
        """Return a container of the session, or what must be installed first."""
        self._run = run
        run.prepared = self.request.prepared
        self._acquiring = True
        try:
            if not self._has_turn:
                await self._take_turn(self)
                self._has_turn = True
            return await self._place(self)
        finally:
            self._acquiring = False
            self._end_if_over()

    def leave(self) -> None:
        """Note that the run has ended; the turn ends with the release of its container."""
        self._left = True
        self._end_if_over()

    def lease_ended(self) -> None:
        """Note that the container is released."""
        self.lease = None
        self._end_if_over()

    def abandon(self, error: InterpreterToolsError) -> None:
        """End the run for its caller."""
        if self._run is not None and not self._acquiring:
            self._run.lost(error)

    def _end_if_over(self) -> None:
        if self._has_turn and self._left and not self._acquiring and self.lease is None:
            self._has_turn = False
            self._end_turn()


class SessionRuns:
    """The run that goes on in a session, and the end of each.

    Attributes:
        running: the run that goes on, or whose end is not over; None while there is none.
    """

    def __init__(
        self,
        session_id: str,
        runtime: Runtime,
        containers: SessionContainers,
        kept: Staging,
    ) -> None:
        self._session_id = session_id
        self._runtime = runtime
        self._containers = containers
        self._kept = kept
        self.running: SessionRun | None = None
        self._last_executed_at: datetime | None = None

    def __repr__(self) -> str:
        return f"<SessionRuns [{'running' if self.running else 'idle'}]>"

    @property
    def last_executed_at(self) -> datetime | None:
        """When the last run began, which may go on; None before the first."""
        lease = None if self.running is None else self.running.lease
        return self._last_executed_at if lease is None else lease.record.last_executed_at

    # -- the session ends

    def kill(self, error: InterpreterToolsError) -> None:
        """Kill the program, whose run then has a result; end a run that waits for packages with the error."""
        if self.running is not None:
            lease = self.running.lease
            if lease is not None and lease.is_active:
                lease.kill()
            else:
                self.running.abandon(error)

    def abandon(self, error: InterpreterToolsError) -> None:
        """End the run for its caller, who perhaps does not take its output; its program is killed behind it."""
        if self.running is not None:
            self.running.abandon(error)

    def cut(self, error: InterpreterToolsError) -> None:
        """Give up the container, which does not answer."""
        if self.running is not None and self.running.lease is not None:
            self.running.lease.channel.close(error)

    # -- the run ends

    def note_generated(
        self, record: Record, files: tuple[str, ...], *, gone: AbstractSet[str] = frozenset()
    ) -> tuple[str, ...]:
        """Note what a run has changed and removed; return what all runs have changed."""
        return self._containers.note_generated(record, files, gone=gone)

    def take_back(self, lease: SessionLease, end: LeaseEnd) -> None:
        """End a run: do with its container what the table says."""
        after = _Then.LOSE if lease.channel.error is not None else _TABLE[lease.strategy, end]
        if after is _Then.SETTLE:
            if self._runtime.tasks.spawn(self._settle, lease):
                return
            lease.channel.close()
            after = _Then.LOSE
        elif after is _Then.SAVE_FILES:
            if lease.record.generated and self._runtime.tasks.spawn(self._save_files, lease):
                return
            after = _Then.GIVE_BACK
        self._finish(lease, after, end)

    async def _settle(self, lease: SessionLease) -> None:
        """Kill the program whose caller has left; its container holds files, so the container lives on."""
        end = LeaseEnd.UNCLEAN
        try:
            end, files = await settle(lease.channel, deadline=END_DEADLINE)
            if end is not LeaseEnd.UNUSED:
                self.note_generated(lease.record, files)
        except InterpreterToolsError as error:
            lease.channel.close(error)
        finally:
            lost = lease.channel.error is not None
            self._finish(lease, _Then.LOSE if lost else _TABLE[lease.strategy, end], end)

    async def _save_files(self, lease: SessionLease) -> None:
        """Copy what the run has made to this machine: the container is wiped next."""
        end = LeaseEnd.UNCLEAN
        try:
            self._kept.clear()
            await keep_files(lease.record, lease.record.generated, self._kept)
            end = LeaseEnd.CLEAN
        except InterpreterToolsError:
            _LOG.info("session %s: what a run has made could not be kept", self._session_id, exc_info=True)
        finally:
            if end is not LeaseEnd.CLEAN:
                self._kept.clear()
                self._containers.current = lease.record  # who asks for its files is told that they are lost
            lost = lease.channel.error is not None
            self._finish(lease, _Then.LOSE if lost else _Then.GIVE_BACK, end)

    def _finish(self, lease: SessionLease, then: _Then, end: LeaseEnd) -> None:
        record, pooled = lease.record, lease.pooled
        try:
            if end is not LeaseEnd.UNUSED:
                self._last_executed_at = record.last_executed_at
            else:
                record.undo_begin()
                for staged in lease.delivered:
                    staged.fresh = True
                if then is _Then.GIVE_BACK and not self._containers.return_unused(record):
                    then = _Then.HOLD
            if pooled is None:
                self._containers.stay(record, used=end is not LeaseEnd.UNUSED)
            elif then is _Then.HOLD:
                pooled.detach()
                self._containers.hold(record)
            else:
                record.is_running = False
                if then is _Then.LOSE:
                    self._containers.lose(record)
                pooled.release(end)
        finally:
            lease.run.lease_ended()
