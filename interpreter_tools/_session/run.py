"""The runs of a session: how each waits for its turn, gets a container of the session, and is ended from outside."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from interpreter_tools._config.model import ContainerStrategy
from interpreter_tools._container.lease_end import LeaseEnd
from interpreter_tools._exceptions import SessionBusy
from interpreter_tools._execution.placement import Missing, Placed
from interpreter_tools._runtime.placing import job_of
from interpreter_tools._runtime.preparing import complete
from interpreter_tools._runtime.runtime import Fitting
from interpreter_tools._session.lease import SessionLease

if TYPE_CHECKING:
    from datetime import datetime

    from interpreter_tools._config.model import SessionConfig
    from interpreter_tools._config.options import Resolved
    from interpreter_tools._container.shape import Shape
    from interpreter_tools._exceptions import InterpreterToolsError
    from interpreter_tools._execution.outcome import Prepared
    from interpreter_tools._execution.placement import End
    from interpreter_tools._runtime.request import RunRequest
    from interpreter_tools._runtime.runtime import Runtime
    from interpreter_tools._session.turns import Turns
    from interpreter_tools._session.workspace import Workspace


class SessionRuns:
    """The runs of a session, of which one at a time has the turn.

    Attributes:
        runtime: what the engine holds.
        workspace: where the session's files are.
        turns: the turns of the session.
        config: the configuration that requests are read with: the session's, with the modules of its first context.
        running: the run that has the turn, until what follows its end is done; None while there is none.
    """

    def __init__(self, runtime: Runtime, workspace: Workspace, turns: Turns, config: SessionConfig) -> None:
        self.runtime = runtime
        self.config = config
        self.workspace = workspace
        self.turns = turns
        self.running: SessionRun | None = None
        self._last_executed_at: datetime | None = None

    def __repr__(self) -> str:
        return f"<SessionRuns [{'running' if self.running else 'idle'}]>"

    @property
    def last_executed_at(self) -> datetime | None:
        """When the last run began, which may go on; None before the first."""
        lease = None if self.running is None else self.running.lease
        return self._last_executed_at if lease is None else lease.record.facts.last_executed_at

    async def begin(self, run: SessionRun) -> None:
        """Wait for the turn of a run."""
        await self.turns.take()
        self.running = run

    def note_executed(self, lease: SessionLease) -> None:
        """Note that a program ran in a container whose lease ends."""
        self._last_executed_at = lease.record.facts.last_executed_at

    def end(self) -> None:
        """Give the turn to the next call."""
        self.running = None
        self.turns.end()

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

    # -- containers

    async def fit(self, request: RunRequest, *, is_booted: bool = True) -> Fitting | Missing:
        """Find the container that fits the run, and move the session's files where another language needs them.

        Args:
            request: the request.
            is_booted: False for a program that no interpreter has to be booted for: the container of another language
                does, when it has the same image and limits.
        """
        fitting = await self._fit(request, is_booted=is_booted)
        if is_booted or isinstance(fitting, Missing):
            return fitting
        host = self.workspace.containers.host_of(fitting.shape)
        return fitting if host is None else msgspec.structs.replace(fitting, shape=host.container.shape)

    async def _fit(self, request: RunRequest, *, is_booted: bool) -> Fitting | Missing:
        options, workspace = request.options, self.workspace
        containers = workspace.containers
        if options.strategy is ContainerStrategy.PER_SESSION:
            options = options.without_limits_of_run(workspace.config)
        per_execution = options.strategy is ContainerStrategy.PER_EXECUTION
        if options.shared and (containers.shares or per_execution):
            return await self._fit_shared(request, options)
        fitting = await self.runtime.fit(request.language, options, request.packages)
        if isinstance(fitting, Missing) or not options.shared or not containers.stands_apart(fitting.shape):
            return fitting
        if not is_booted and containers.host_of(fitting.shape) is not None:
            return fitting
        if workspace.residents:
            names = ", ".join(sorted(workspace.residents))
            raise SessionBusy(
                f"the files of the session would move to a container for {request.language.language}, "
                f"and its contexts would end: {names}",
                hint="make the session with workspace_sharing='shared', or close these contexts first",
            )
        fitting = await self._fit_shared(request, options)
        if isinstance(fitting, Fitting):
            await containers.join(fitting.shape)
        return fitting

    async def _fit_shared(self, request: RunRequest, options: Resolved) -> Fitting | Missing:
        workspace = self.workspace
        return await self.runtime.fit(
            request.language,
            options,
            request.packages,
            workspace_volume=await workspace.containers.volume(),
            uid=workspace.uid,
        )


class SessionRun:
    """Places one run of a session, and has the session's turn from then on until its container is released.

    The turn is kept while packages are installed, so that runs happen in the order in which they were asked for.

    Args:
        request: the request, which is completed once the turn has come.
        runs: the runs of the session.

    Attributes:
        lease: the container of the run, until what follows its end is done; None while there is none.
    """

    def __init__(self, request: RunRequest, runs: SessionRuns) -> None:
        self.lease: SessionLease | None = None
        self._request = request
        self._runs = runs
        self._complete = False
        self._end: End | None = None
        self._has_turn = False
        self._acquiring = False
        self._left = False

    def __repr__(self) -> str:
        return f"<SessionRun [{'placed' if self.lease else 'has the turn' if self._has_turn else 'waiting'}]>"

    @property
    def prepared(self) -> Prepared:
        """The decisions about the run's packages."""
        return self._request.prepared

    async def acquire(self, end: End) -> Placed | Missing:
        """Return a container of the session, or the packages that must be installed first."""
        self._end = end
        self._acquiring = True
        try:
            if not self._has_turn:
                await self._runs.begin(self)
                self._has_turn = True
            return await self._place()
        finally:
            self._acquiring = False
            self._end_if_over()

    def leave(self) -> None:
        """Note that the run has ended; the turn ends with the release of its container."""
        self._left = True
        self._end_if_over()

    def abandon(self, error: InterpreterToolsError) -> None:
        """End the run for its caller."""
        if self._end is not None and not self._acquiring:
            self._end(error)

    def _lease_ended(self, began: bool) -> None:
        assert self.lease is not None
        if began:
            self._runs.note_executed(self.lease)
        self.lease = None
        self._end_if_over()

    def _end_if_over(self) -> None:
        if self._has_turn and self._left and not self._acquiring and self.lease is None:
            self._has_turn = False
            self._runs.end()

    # -- the container

    async def _place(self) -> Placed | Missing:
        """Acquire a container, and make it ready: its limits, its files, and the job. The run has the turn."""
        runs, workspace = self._runs, self._runs.workspace
        try:
            with runs.turns.interruptible():
                runs.turns.check()
                workspace.containers.check()
                request = await self._completed()
                fitting = await self._runs.fit(request)
                if isinstance(fitting, Missing):
                    return fitting
                lease = self.lease = await self._acquire(fitting.shape, request.options)
                record = lease.record
                await record.container.apply_limits(request.options.container)
                lease.delivered = await workspace.deliver(record)
                record.begin(request.files, fitting.key)
                job = job_of(request, fitting, image_environment=record.container.shape.image_environment)
                return Placed(job, lease, fitting.missing, lists=bool(record.made))
        except BaseException:
            if self.lease is not None:
                self.lease.release(LeaseEnd.UNUSED)
            raise

    async def _completed(self) -> RunRequest:
        """Return the request with the packages that files of the workspace ask for."""
        if not self._complete:
            workspace = self._runs.workspace
            begins_empty = workspace.begins_empty and not self._request.options.shared

            async def elsewhere(path: str) -> bytes | None:
                return await workspace.read_for_run(path, begins_empty=begins_empty)

            self._request = await complete(self._request, self._runs.runtime, elsewhere=elsewhere)
            self._complete = True
        return self._request

    async def _acquire(self, shape: Shape, options: Resolved) -> SessionLease:
        workspace = self._runs.workspace
        if options.strategy is ContainerStrategy.PER_SESSION:
            record, pooled = await workspace.containers.acquire_own(shape), None
        else:
            pooled = await workspace.containers.acquire_pooled(shape)
            # A user of its own, except where the interpreter was booted as another, or each reset changes the user.
            fixed = shape.reused or shape.boot_mode == "single" or shape.uid is not None
            record = workspace.containers.note(pooled.container, None if fixed else workspace.uid)
        return SessionLease(record, pooled, workspace, tasks=self._runs.runtime.tasks, on_end=self._lease_ended)
