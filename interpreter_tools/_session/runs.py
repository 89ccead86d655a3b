"""The run of a session, once it has a container: how it is ended, and what becomes of the container then."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from interpreter_tools._exceptions import InterpreterToolsError
from interpreter_tools._session.lease import settle
from interpreter_tools._session.pool_files import keep_files

if TYPE_CHECKING:
    from collections.abc import Callable

    from interpreter_tools._runtime.runtime import Host
    from interpreter_tools._session.containers import SessionContainers
    from interpreter_tools._session.lease import Record, SessionLease
    from interpreter_tools._session.staging import Staging

_LOG = logging.getLogger("interpreter_tools")

END_DEADLINE = 5.0
"""Seconds that a program may take to end once it was killed."""


class SessionRuns:
    """The run that goes on in a session, and the end of each.

    Attributes:
        running: the container of the run that goes on, or whose end is not over; None while there is none.
    """

    def __init__(
        self,
        session_id: str,
        host: Host,
        containers: SessionContainers,
        kept: Staging,
        *,
        ended: Callable[[], None],
    ) -> None:
        self._session_id = session_id
        self._host = host
        self._containers = containers
        self._kept = kept
        self._ended = ended
        self.running: SessionLease | None = None

    def __repr__(self) -> str:
        return f"<SessionRuns [{'running' if self.running else 'idle'}]>"

    # -- the session ends

    def kill(self, error: InterpreterToolsError) -> None:
        """Kills the program, whose run then has a result; a run that waits for packages is told the error."""
        if self.running is not None:
            if self.running.is_active:
                self.running.kill()
            else:
                self.running.abandon(error)

    def abandon(self, error: InterpreterToolsError) -> None:
        """Ends the run for its caller, who perhaps does not take its output; its program is killed behind it."""
        if self.running is not None:
            self.running.abandon(error)

    def cut(self, error: InterpreterToolsError) -> None:
        """Gives up the container, which does not answer."""
        if self.running is not None:
            self.running.channel.close(error)

    # -- the run ends

    def note_generated(self, record: Record, files: tuple[str, ...]) -> tuple[str, ...]:
        """Takes note of what a run has changed; what all runs have."""
        return self._containers.note_generated(record, files)

    def take_back(self, lease: SessionLease, *, clean: bool) -> None:
        """A run has ended, or was left: its container is kept, given back or given up."""
        if lease.channel.error is None and lease.is_active:
            # Left before its end. The container holds files, so the program is killed rather than the container.
            if self._host.tasks.spawn(self._settle, lease):
                return
            lease.channel.close()
        elif (
            clean
            and lease.record.container.shape.reused
            and lease.record.generated
            and self._host.tasks.spawn(self._keep_and_give_back, lease)
        ):
            return
        self._finish(lease, clean=clean)

    async def _settle(self, lease: SessionLease) -> None:
        try:
            files = await settle(lease.channel, deadline=END_DEADLINE)
            self.note_generated(lease.record, files)
        except InterpreterToolsError as error:
            lease.channel.close(error)
        finally:
            self._finish(lease, clean=False)

    async def _keep_and_give_back(self, lease: SessionLease) -> None:
        """Keeps what the run has made on this side: the container is wiped next."""
        clean = True
        try:
            self._kept.clear()
            await keep_files(lease.record, lease.record.generated, self._kept)
        except InterpreterToolsError:
            clean = False
            self._kept.clear()
            self._containers.current = lease.record  # who asks for its files is told that they are lost
            _LOG.info("session %s: what a run has made could not be kept", self._session_id, exc_info=True)
        finally:
            self._finish(lease, clean=clean)

    def _finish(self, lease: SessionLease, *, clean: bool) -> None:
        self.running = None
        record, pooled = lease.record, lease.pooled
        try:
            if pooled is None:
                self._containers.stay(record)
            elif record.channel.error is not None:
                self._containers.lose(record)
                pooled.release(clean=False)
            elif record.container.shape.reused:
                record.is_running = False
                pooled.release(clean=clean)
            else:
                pooled.detach()
                self._containers.hold(record)
        finally:
            self._ended()
