"""A session: a sequence of runs that share files, a user and perhaps a container."""

from __future__ import annotations

import secrets
import time
import weakref
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from enum import Enum, auto
from typing import TYPE_CHECKING, Protocol, Self, Unpack

import anyio

from interpreter_tools._config.model import ContainerStrategy
from interpreter_tools._config.paths import WORKSPACE, shown_path
from interpreter_tools._config.results import SessionInfo
from interpreter_tools._container.lease_end import LeaseEnd
from interpreter_tools._docker.users import give_back_uid, take_uid
from interpreter_tools._exceptions import EngineClosed, FileRefused, SessionBusy, SessionClosed
from interpreter_tools._execution.placement import Missing, Placed
from interpreter_tools._languages.manifests import MOST_BYTES
from interpreter_tools._runtime.request import RunRequest
from interpreter_tools._runtime.runtime import Fitting
from interpreter_tools._session.cleanup import Cleanup
from interpreter_tools._session.containers import SessionContainers
from interpreter_tools._session.files import SessionFiles
from interpreter_tools._session.host_files import host_path
from interpreter_tools._session.record import SessionLease
from interpreter_tools._session.run import END_DEADLINE, SessionRun, SessionRuns
from interpreter_tools._session.turns import Turns

if TYPE_CHECKING:
    import os
    from collections.abc import AsyncGenerator, Callable
    from pathlib import Path
    from types import TracebackType

    from interpreter_tools._config.model import ContainerConfig, SessionConfig
    from interpreter_tools._config.options import Resolved, RunOptions
    from interpreter_tools._config.results import ExecutionResult
    from interpreter_tools._container.shape import Shape
    from interpreter_tools._exceptions import ContainerLost
    from interpreter_tools._execution.execution import Execution
    from interpreter_tools._languages import Job
    from interpreter_tools._runtime.runtime import Runtime
    from interpreter_tools._session.record import Record

_CLOSE_DEADLINE = 20.0  # seconds for the containers, after those below
_GRACE = 3.0  # seconds that a killed run may take to end, before its caller gets ``SessionClosed``


class _State(Enum):
    OPEN = auto()
    CLOSING = auto()
    CLOSED = auto()


class Guest(Protocol):
    """A long run of a session that can end early when another call waits for its turn."""

    def make_way(self) -> None:
        """End soon: another call waits for its turn."""


class Session(SessionFiles):
    """A session, made by ``ExecutionEngine.session`` or ``create_session``.

    Runs and file operations of a session happen one after another, in the order in which they were asked for. Between
    runs, its files are in the container of the last run. ``POOL`` gives that container back, and keeps up to 64 MiB of
    the run's files on this machine. A session belongs to the event loop of its engine: from another thread, use
    ``asyncio.run_coroutine_threadsafe``.

    Attributes:
        id: the name of the session.
        config: the configuration that the session was made with.
        guest: a long run that ends early when another call waits for its turn; None when there is none.
        kept_in: the directory of this machine that holds the generated files after the clean-up; None when they were
            not kept.
    """

    def __init__(self, config: SessionConfig, *, runtime: Runtime, on_close: Callable[[Session], None]) -> None:
        super().__init__()
        self.config = config
        self.id = config.session_id or secrets.token_hex(16)
        self.created_at = datetime.now(UTC)
        self.used = time.monotonic()
        self._runtime = runtime
        self._on_close = on_close
        self._state = _State.OPEN
        self.guest: Guest | None = None
        self.kept_in: Path | None = None
        self._turns = Turns()
        self._uid = take_uid()
        weakref.finalize(self, give_back_uid, self._uid)
        shares = config.workspace_sharing == "shared"
        self._containers = SessionContainers(runtime, self.id, self._container_config, shares=shares)
        self._generated = self._containers.generated
        self._runs = SessionRuns(self.id, runtime, self._containers, self._kept)
        self._cleanup: Cleanup | None = None

    def __repr__(self) -> str:
        return f"<Session {self.id} {self.config.strategy.value} [{self._state.name.lower()}]>"

    # -- life

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self, *, keep_generated: str | os.PathLike[str] | None = None) -> list[Path]:
        """End runs and file transfers, and remove the containers and files, within 30 seconds.

        The program that runs is killed. Callers that wait for a container, for packages, for a turn or for data get
        ``SessionClosed``. Does nothing the second time; while another task cleans up, waits for it and returns the
        same. If ``aclose`` is cancelled while it copies files, it gives the copying up and the session stays open;
        otherwise the clean-up goes on in the background.

        Args:
            keep_generated: a directory of this machine into which the generated files are copied first, however long
                that takes; None means that they are removed.

        Returns:
            The paths of the copies, all below ``kept_in``; empty when no files were kept.

        Raises:
            ConfigurationError: ``keep_generated`` is no path; the session stays open.
            ContainerLost: files went away with their container; the session stays open. Clean it up without
                ``keep_generated``.
            FileRefused, OSError: a file could not be copied; the session stays open, and nothing is lost.
            SessionClosed: files were to be kept, but another task cleaned the session up without.
            SessionBusy: files were to be kept, but a file transfer does not end.
        """
        target = None if keep_generated is None else host_path(keep_generated, field="keep_generated")
        while True:
            cleanup = self._cleanup
            if cleanup is None or (cleanup.is_over and self._state is _State.OPEN):
                cleanup = self._cleanup = Cleanup(self._close, target)
            elif cleanup.target is None and target is not None:
                raise SessionClosed(f"the session {self.id!r} was cleaned up without keep_generated")
            elif cleanup.target is not None and target is None:
                await cleanup.over()  # if it fails the session is still there
                if self._state is _State.CLOSED:
                    return []
                continue
            return await cleanup.result()

    async def end(self, *, patience: float) -> None:
        """Clean up as ``aclose`` does, for an engine that closes. Cancelling it does not stop the clean-up.

        Args:
            patience: seconds for which a clean-up that copies files may still copy.
        """
        if self._cleanup is not None and self._cleanup.target is not None:
            await self._cleanup.over(within=patience)
        await self.aclose()

    async def _close(self, cleanup: Cleanup) -> list[Path]:
        self._state = _State.CLOSING
        kept: list[Path] = []
        seized = False
        try:
            seized = await self._seize()
            if cleanup.target is not None:
                kept = await self._keep(cleanup.target, cleanup.copying, seized=seized)
                self.kept_in = cleanup.target
        except BaseException:
            self._state = _State.OPEN
            if seized:
                self._turns.end()
            raise
        self._state = _State.CLOSED
        self._on_close(self)
        if seized:
            self._turns.end()  # callers that wait for the turn get SessionClosed now
        with anyio.move_on_after(_CLOSE_DEADLINE, shield=True):
            await self._containers.aclose()
        self._staging.clear()
        self._kept.clear()
        return kept

    async def _seize(self) -> bool:
        """End the run or file operation of the session, and take the turn; False when it does not end."""
        closed = SessionClosed("the session was cleaned up while the code ran")
        self._turns.interrupt()
        self._runs.kill(closed)
        if await self._turns.take(within=_GRACE):
            return True
        self._runs.abandon(closed)
        if await self._turns.take(within=END_DEADLINE + 1):
            return True
        self._runs.cut(closed)
        return await self._turns.take(within=1)

    async def _keep(self, target: Path, scope: anyio.CancelScope, *, seized: bool) -> list[Path]:
        if not seized:
            raise SessionBusy(
                f"a file transfer of the session {self.id!r} does not end", hint="end it, or keep no files"
            )
        with scope:
            sizes = {path: size for path, size in (await self._list()).items() if shown_path(path) in self._generated}
            await anyio.Path(target).mkdir(parents=True, exist_ok=True)
            return await self._copy_all(sizes, b"", target)
        self._runtime.check()
        raise SessionBusy(f"to keep the files of the session {self.id!r} was given up", hint="clean it up again")

    def info(self) -> SessionInfo:
        """Return the state of the session, and the containers that it has had."""
        generated = frozenset(self._generated)
        current, history = self._containers.current, self._containers.history
        return SessionInfo(
            session_id=self.id,
            config=self.config,
            current_container=None if current is None else current.meta(self.id, generated),
            container_history=tuple(record.meta(self.id, generated) for record in history),
            created_at=self.created_at,
            last_executed_at=self._runs.last_executed_at,
            is_active=self.is_active,
        )

    # -- turns

    async def _take_turn(self) -> None:
        self._check_open()
        if self._turns.busy and self.config.when_busy == "error":
            raise SessionBusy(
                f"something runs in the session {self.id!r}", hint="wait for it, or use when_busy='queue'"
            )
        if self._turns.busy and self.guest is not None:
            self.guest.make_way()
        await self._turns.take()
        try:
            self._check_open()
        except BaseException:
            self._turns.end()
            raise

    def _end_turn(self) -> None:
        self.used = time.monotonic()
        self._turns.end()

    def _check_open(self) -> None:
        self._runtime.check()
        if self._state is not _State.OPEN:
            raise SessionClosed(f"the session {self.id!r} is {self._state.name.lower()}")

    def _interrupted(self) -> EngineClosed | SessionClosed:
        if self._runtime.closed:
            return EngineClosed("the engine was closed meanwhile", hint="make another ExecutionEngine")
        return SessionClosed(f"the session {self.id!r} was cleaned up meanwhile")

    @asynccontextmanager
    async def _turn(self) -> AsyncGenerator[None]:
        if self._cleanup is not None and self._cleanup.is_mine:  # it has the turn, and copies what is to be kept
            yield
            return
        await self._take_turn()
        try:
            with self._turns.interruptible(self._interrupted):
                yield
        finally:
            self._end_turn()

    @property
    def is_active(self) -> bool:
        """False once clean-up has begun."""
        return self._state is _State.OPEN

    @property
    def busy(self) -> bool:
        """True while a run or a file operation has the turn."""
        return self._turns.busy

    # -- where the files are

    async def _holder_of(self, path: bytes) -> Record | None:
        return await self._containers.holder_of(path)

    @property
    def _holders(self) -> list[Record]:
        return self._containers.holders

    @property
    def _holder(self) -> Record | None:
        return self._containers.target

    @property
    def _lost(self) -> ContainerLost | None:
        return self._containers.lost

    @property
    def _keeps_inputs(self) -> bool:
        return not self.config.keeps_files

    @property
    def _container_config(self) -> ContainerConfig:
        return self.config.container or self._runtime.config.container

    @property
    def _size_limit(self) -> int:
        return self._container_config.workspace_bytes

    # -- running

    async def run(self, language: str, code: str | bytes = "", **options: Unpack[RunOptions]) -> ExecutionResult:
        """Run code to its end, once the session's turn has come; see ``ExecutionEngine.run``.

        If ``run`` is cancelled while it waits for its turn, no program begins; later, the program is killed.

        Args:
            language: the name or alias of a registered language.
            code: the program.
            options: the options of the run; see ``RunOptions``.

        Returns:
            The result of the run. Code that fails, is killed or reaches a limit gives a result as well.

        Raises:
            UsageError: the call cannot work as it was made, and no program began; or the session was cleaned up.
            SessionBusy: the session has a run or a file operation, and ``when_busy`` is ``"error"``.
            MachineError: Docker, the image or the interpreter is missing.
            ContainerLost: the container went away in the middle of the run, or with files of an earlier one.
        """
        if options.get("stdin") is None:
            options["stdin"] = b""
        async with self.stream(language, code, **options) as execution:
            return await execution.result()

    def stream(self, language: str, code: str | bytes = "", **options: Unpack[RunOptions]) -> Execution:
        """Return a run as an ``Execution``, which takes its turn in ``async with``; see ``ExecutionEngine.stream``."""
        self._check_open()
        request = RunRequest.read(self._runtime.config, language, code, options, session=self.config)
        run = SessionRun(request, place=self._place_run, take_turn=self._take_turn_for, end_turn=self._end_turn_of_run)
        return request.execution(run)

    async def _take_turn_for(self, run: SessionRun) -> None:
        await self._take_turn()
        self._runs.running = run

    def _end_turn_of_run(self) -> None:
        self._runs.running = None
        self._end_turn()

    async def _place_run(self, run: SessionRun) -> Placed | Missing:
        """Acquire a container for a run that has the turn."""
        try:
            with self._turns.interruptible(self._interrupted):
                self._check_open()
                self._containers.check()
                request = run.request
                if not run.is_complete:
                    begins_empty = self._keeps_inputs and not request.options.shared
                    elsewhere = self._read_input if begins_empty else self._read_workspace
                    request = run.request = await request.complete(self._runtime, elsewhere=elsewhere)
                    run.is_complete = True
                fitting = await self._fit(request)
                if isinstance(fitting, Missing):
                    return fitting
                lease = run.lease = await self._lease(run, fitting.shape, request.options)
                job = await self._prepare(lease, request, fitting)
                return Placed(job, lease, fitting.missing, lists=bool(lease.record.made))
        except BaseException:
            if run.lease is not None:
                run.lease.release(LeaseEnd.UNUSED)
            raise

    async def _prepare(self, lease: SessionLease, request: RunRequest, fitting: Fitting) -> Job:
        """Make a container ready for its run: its limits, its files, and the job."""
        record = lease.record
        await record.container.apply_limits(request.options.container)
        await self._deliver(lease)
        record.begin(request.files, fitting.key)
        return request.job(fitting, image_environment=record.container.shape.image_environment)

    async def _read_input(self, path: str) -> bytes | None:
        """Return a file that each run gets anew, by its path in the sandbox; None when there is none."""
        staged = self._staging.get(path.removeprefix(f"{WORKSPACE}/").encode("utf-8", "surrogateescape"))
        return None if staged is None else await staged.read(0, MOST_BYTES + 1)

    async def _read_workspace(self, path: str) -> bytes | None:
        """Return a file of the workspace, by its path in the sandbox; None when there is none."""
        if not path.startswith(f"{WORKSPACE}/"):
            return None
        try:
            return await self._read(path.removeprefix(f"{WORKSPACE}/").encode("utf-8", "surrogateescape"), 0)
        except FileRefused:
            return None

    async def _fit(self, request: RunRequest) -> Fitting | Missing:
        """Find the container that fits a run, and move the session's files where another language needs them."""
        options = request.options
        if options.strategy is ContainerStrategy.PER_SESSION:
            options = options.without_limits_of_run(self._container_config)
        per_execution = options.strategy is ContainerStrategy.PER_EXECUTION
        if options.shared and (self._containers.shares or per_execution):
            return await self._fit_shared(request, options)
        fitting = await self._runtime.fit(request.language, options, request.packages)
        if isinstance(fitting, Missing) or not options.shared or not self._containers.stands_apart(fitting.shape):
            return fitting
        fitting = await self._fit_shared(request, options)
        if isinstance(fitting, Fitting):
            await self._containers.join(fitting.shape)
        return fitting

    async def _fit_shared(self, request: RunRequest, options: Resolved) -> Fitting | Missing:
        volume = await self._containers.volume()
        return await self._runtime.fit(
            request.language, options, request.packages, workspace_volume=volume, uid=self._uid
        )

    async def _lease(self, run: SessionRun, shape: Shape, options: Resolved) -> SessionLease:
        if options.strategy is ContainerStrategy.PER_SESSION:
            return SessionLease(self._runs, run, await self._containers.own(shape), None)
        pooled = await self._containers.lend(shape)
        # A user of our own, except where the interpreter was booted as another, or the user changes with each reset.
        fixed = shape.reused or shape.boot_mode == "single" or shape.uid is not None
        record = self._containers.note(pooled.container, None if fixed else self._uid)
        return SessionLease(self._runs, run, record, pooled)

    async def _deliver(self, lease: SessionLease) -> None:
        """Write the staged files into the container."""
        if self._containers.shares and not lease.record.is_shared:
            return  # staged files wait for the shared workspace
        if self._keeps_inputs:
            lease.delivered = [staged for _, staged in self._staging.items() if staged.fresh]
        await self._send_waiting(lease.record)
