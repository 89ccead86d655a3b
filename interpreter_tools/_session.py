"""A session: runs, one after another, that have files, a user and perhaps a container in common."""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from enum import Enum, auto
from typing import TYPE_CHECKING, Protocol, Self, Unpack

import anyio

from interpreter_tools._app import MOST_BYTES
from interpreter_tools._config import ContainerStrategy
from interpreter_tools._container import next_uid
from interpreter_tools._demand import Demand
from interpreter_tools._exceptions import FileRefused, InterpreterToolsError, SessionBusy, SessionClosed
from interpreter_tools._host_files import host_path
from interpreter_tools._models import SessionInfo
from interpreter_tools._profile import workspace_options
from interpreter_tools._session_containers import SessionContainers
from interpreter_tools._session_files import SessionFiles
from interpreter_tools._session_lease import SessionLease, settle
from interpreter_tools._staging import Staged
from interpreter_tools._transfer import read_range
from interpreter_tools._workspace import WORKSPACE

if TYPE_CHECKING:
    import os
    from collections.abc import AsyncGenerator, Callable
    from pathlib import Path
    from types import TracebackType

    from interpreter_tools._config import ContainerConfig, SessionConfig
    from interpreter_tools._execution import Execution
    from interpreter_tools._host import Fitting, Host
    from interpreter_tools._languages import Job
    from interpreter_tools._models import ExecutionResult
    from interpreter_tools._options import Resolved, RunOptions
    from interpreter_tools._session_lease import Record
    from interpreter_tools._shape import Shape

_LOG = logging.getLogger("interpreter_tools")
_CLOSE_DEADLINE = 30.0
_END_DEADLINE = 5.0  # seconds that a run may take to end once it was killed
_KEPT = 64 << 20  # bytes of what a run has made that are kept when its container goes back to a pool


class _State(Enum):
    OPEN = auto()
    CLOSING = auto()
    CLOSED = auto()


class Guest(Protocol):
    """What runs in a session for long, and can end for those who wait for their turn."""

    def make_way(self) -> None:
        """Somebody waits."""


class Session(SessionFiles):
    """A session, made by ``ExecutionEngine.session`` or ``create_session``.

    Its runs and what is done to its files happen one after another, in the order in which they were asked for. Between
    runs, its files are in the container of the last run; ``POOL`` gives that back, and up to 64 MiB of what the run has
    made are kept on this side.

    Attributes:
        id: its name.
        config: how it was asked for.
        guest: what is told when somebody waits for a turn.
    """

    def __init__(self, config: SessionConfig, *, host: Host, on_close: Callable[[Session], None]) -> None:
        super().__init__()
        self.config = config
        self.id = config.session_id or secrets.token_hex(16)
        self.created_at = datetime.now(UTC)
        self.used = time.monotonic()
        self._host = host
        self._on_close = on_close
        self._state = _State.OPEN
        self.guest: Guest | None = None
        self._lock = asyncio.Lock()
        self._uid = next_uid()
        self._volume: str | None = None
        self._private: list[Shape] = []  # shapes of its own, whose pools end with it
        self._containers = SessionContainers(host, self.id)
        self._running: SessionLease | None = None
        self._last_executed: datetime | None = None
        self._closing: asyncio.Task[list[Path]] | None = None

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
        """Kills what runs, and removes the containers and files, within 30 seconds. Does nothing the second time.

        Args:
            keep_generated: a directory of this machine into which the generated files are copied first.

        Returns:
            What was copied there.

        Raises:
            ConfigurationError: ``keep_generated`` is no path; the session is open still.
            FileRefused, OSError: not all of them could be copied; the session is open still, and nothing is lost.
        """
        keep = None if keep_generated is None else host_path(keep_generated, field="keep_generated")
        if self._closing is None or (self._closing.done() and self._state is _State.OPEN):
            self._closing = asyncio.create_task(self._close(keep))
        try:
            return await asyncio.shield(self._closing)
        except asyncio.CancelledError:
            with anyio.CancelScope(shield=True):
                await asyncio.wait([self._closing])
            raise

    async def _close(self, keep: Path | None) -> list[Path]:
        if self._state is not _State.OPEN:
            self._state = _State.CLOSED
            return []
        self._state = _State.CLOSING
        await self._end_run()
        kept: list[Path] = []
        if keep is not None:
            try:
                kept = await self._copy_generated(keep)
            except BaseException:
                self._state = _State.OPEN
                raise
        self._state = _State.CLOSED
        self._on_close(self)
        with anyio.move_on_after(_CLOSE_DEADLINE, shield=True):
            await self._remove()
        return kept

    async def _end_run(self) -> None:
        """Kills what runs, and waits until it has ended."""
        if self._running is not None:
            self._running.kill()
            with anyio.move_on_after(_END_DEADLINE):
                await self._lock.acquire()
                self._lock.release()
                return
            self._running.channel.close(SessionClosed("the session was cleaned up while the code ran"))

    async def _copy_generated(self, target: Path) -> list[Path]:
        async with self._lock:
            sizes = {path: size for path, size in (await self._list()).items() if self._is_generated(path)}
        await anyio.Path(target).mkdir(parents=True, exist_ok=True)
        return await self._copy_all(sizes, b"", target)

    async def _remove(self) -> None:
        host = self._host
        for shape in self._private:
            await host.close_pool(shape)
        async with anyio.create_task_group() as tasks:
            for container in self._containers.leave():
                tasks.start_soon(container.aclose)
        if self._volume is not None:
            await host.remove_volume(self._volume)
        self._staging.clear()
        self._kept.clear()

    def info(self) -> SessionInfo:
        """What it is, and which containers it has had."""
        generated = frozenset(self._generated)
        current, history = self._containers.current, self._containers.history
        return SessionInfo(
            session_id=self.id,
            config=self.config,
            current_container=None if current is None else current.meta(self.id, generated),
            container_history=tuple(record.meta(self.id, generated) for record in history),
            created_at=self.created_at,
            last_executed_at=self._last_executed,
            is_active=self.is_active,
        )

    # -- turns

    async def _take_turn(self) -> None:
        self._check_open()
        if self._lock.locked() and self.config.when_busy == "error":
            raise SessionBusy(
                f"something runs in the session {self.id!r}", hint="wait for it, or use when_busy='queue'"
            )
        if self._lock.locked() and self.guest is not None:
            self.guest.make_way()
        await self._lock.acquire()
        try:
            self._check_open()
        except BaseException:
            self._lock.release()
            raise

    def _end_turn(self) -> None:
        self.used = time.monotonic()
        self._lock.release()

    def _check_open(self) -> None:
        self._host.check()
        if self._state is not _State.OPEN:
            raise SessionClosed(f"the session {self.id!r} is {self._state.name.lower()}")

    @asynccontextmanager
    async def _turn(self) -> AsyncGenerator[None]:
        if self._state is _State.CLOSING:  # files can still be read: what is to be kept is copied now
            await self._lock.acquire()
        else:
            await self._take_turn()
        try:
            yield
        finally:
            self._end_turn()

    @property
    def is_active(self) -> bool:
        """It can be used."""
        return self._state is _State.OPEN

    @property
    def busy(self) -> bool:
        """Something runs, or is done to its files."""
        return self._lock.locked()

    # -- where the files are

    @property
    def _holder(self) -> Record | None:
        return self._containers.holder

    @property
    def _keeps_inputs(self) -> bool:
        return self.config.strategy is not ContainerStrategy.PER_SESSION and self.config.workspace_sharing == "isolated"

    @property
    def _container_config(self) -> ContainerConfig:
        return self.config.container or self._host.config.container

    @property
    def _size_limit(self) -> int:
        return self._container_config.workspace_bytes

    # -- running

    async def run(self, language: str, code: str | bytes = "", **options: Unpack[RunOptions]) -> ExecutionResult:
        """Runs code to its end; see ``ExecutionEngine.run``."""
        if options.get("stdin") is None:
            options["stdin"] = b""
        async with self.stream(language, code, **options) as execution:
            return await execution.result()

    def stream(self, language: str, code: str | bytes = "", **options: Unpack[RunOptions]) -> Execution:
        """The same as ``run``, as an ``Execution`` whose output is taken as it comes."""
        self._check_open()
        demand = Demand.read(self._host.config, language, code, options, session=self.config)
        return demand.execution(self._host, self._begin)

    async def _begin(self, demand: Demand) -> tuple[Job, SessionLease] | str:
        await self._take_turn()
        lease: SessionLease | None = None
        try:
            begins_empty = self._keeps_inputs and not demand.options.shared
            elsewhere = self._read_input if begins_empty else self._read_workspace
            demand = await demand.complete(self._host, elsewhere=elsewhere)
            options = demand.options
            fitting = await self._fit(demand)
            if isinstance(fitting, str):
                self._end_turn()
                return fitting
            await self._check_code(demand.code_path, self._containers.seen_by(fitting.shape))
            lease = await self._lease(fitting.shape, options)
            self._running = lease
            await lease.record.container.apply_limits(options.container)
            await self._deliver(lease)
            record = lease.record
            record.begin(demand.files)
            self._note_given(record, demand.files.keys() - {demand.code_path})
            record.deps_checksum = fitting.key
            self._last_executed = record.last_executed_at
            job = demand.job(fitting, image_environment=record.container.shape.image_environment)
        except BaseException:
            if lease is None:
                self._end_turn()
            else:
                lease.release(clean=False)
            raise
        return job, lease

    async def _read_input(self, path: str) -> bytes | None:
        """A file that each run is given anew, by its path in the sandbox; None where there is none."""
        staged = self._staging.get(path.removeprefix(f"{WORKSPACE}/").encode("utf-8", "surrogateescape"))
        return None if staged is None else await staged.read(0, MOST_BYTES + 1)

    async def _read_workspace(self, path: str) -> bytes | None:
        """A file of the workspace, by its path in the sandbox; None where there is none."""
        if not path.startswith(f"{WORKSPACE}/"):
            return None
        try:
            return await self._read(path.removeprefix(f"{WORKSPACE}/").encode("utf-8", "surrogateescape"), 0)
        except FileRefused:
            return None

    async def _fit(self, demand: Demand) -> Fitting | str:
        options = demand.options
        volume = await self._shared_volume(self._host) if options.shared else None
        if options.strategy is ContainerStrategy.PER_SESSION:
            options = options.without_limits_of_run(self._container_config)
        return await self._host.fit(demand.language, options, demand.packages, workspace_volume=volume, uid=self._uid)

    async def _lease(self, shape: Shape, options: Resolved) -> SessionLease:
        host = self._host
        if shape.workspace_volume is not None and shape not in self._private:
            self._private.append(shape)
        if options.strategy is ContainerStrategy.PER_SESSION:
            return SessionLease(self, await self._containers.own(shape), None)
        pooled = await host.pool(shape).lease()
        # A user of our own, except where the interpreter was booted as another, or the user changes with each reset.
        fixed = shape.reused or shape.boot_mode == "single" or shape.uid is not None
        return SessionLease(self, self._containers.note(pooled.container, None if fixed else self._uid), pooled)

    async def _shared_volume(self, host: Host) -> str:
        if self._volume is None:
            options = workspace_options(self._container_config, podman=host.traits.podman)
            self._volume = await host.create_volume(f"interpreter-tools-workspace-{secrets.token_hex(8)}", options)
        return self._volume

    async def _deliver(self, lease: SessionLease) -> None:
        """Writes what waits on this side into the container."""
        try:
            await self._send_waiting(lease.record)
        except BaseException:
            if self._keeps_inputs:  # it holds nothing; the container of the last run goes on holding what that has made
                lease.channel.close()
            raise

    # -- the end of a run

    def note_generated(self, record: Record, files: tuple[str, ...]) -> tuple[str, ...]:
        """Takes note of what a run has changed; what all runs have."""
        record.generated = frozenset(files)
        self._generated.update(files)
        return tuple(sorted(self._generated))

    def _is_generated(self, path: bytes) -> bool:
        return path.decode("utf-8", "surrogateescape") in self._generated

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
            files = await settle(lease.channel, deadline=_END_DEADLINE)
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
            left = _KEPT
            for name in sorted(lease.record.generated):
                path = name.encode("utf-8", "surrogateescape")
                data = await read_range(lease.channel, path, uid=lease.uid, offset=0, count=left + 1)
                left -= len(data)
                if left < 0:
                    _LOG.info("session %s: more than %d bytes were made in a pool; the rest is gone", self.id, _KEPT)
                    break
                self._kept.put(path, await Staged.take(data))
        except InterpreterToolsError:
            clean = False
            _LOG.info("session %s: what a run has made could not be kept", self.id, exc_info=True)
        finally:
            self._finish(lease, clean=clean)

    def _finish(self, lease: SessionLease, *, clean: bool) -> None:
        self._running = None
        record, pooled = lease.record, lease.pooled
        try:
            if pooled is None:
                self._containers.stay(record)
            elif record.container.shape.reused or record.channel.error is not None:
                record.is_running = False
                pooled.release(clean=clean)
            else:
                pooled.detach()
                self._containers.hold(record)
        finally:
            self._end_turn()
