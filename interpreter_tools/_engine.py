"""The engine: what users hold."""

from __future__ import annotations

import asyncio
import logging
import os
import warnings
from collections import Counter
from typing import TYPE_CHECKING, Self, Unpack

import anyio
import msgspec

from interpreter_tools._config.language_names import check_languages
from interpreter_tools._config.model import ContainerStrategy, EngineConfig, SessionConfig
from interpreter_tools._config.options import RunOptions, resolve
from interpreter_tools._config.results import EngineStats
from interpreter_tools._docker import DockerClient, Owner, ensure_supervisor_volume
from interpreter_tools._exceptions import EngineClosed, InterpreterToolsError, PoolClosed
from interpreter_tools._languages import LanguageRegistry
from interpreter_tools._runtime.request import Demand, PoolPlacement
from interpreter_tools._runtime.runtime import Host
from interpreter_tools._session.host_files import data_directory, host_path
from interpreter_tools._session.registry import Sessions

if TYPE_CHECKING:
    from collections.abc import AsyncIterable
    from pathlib import Path
    from types import TracebackType

    from interpreter_tools._config.options import SessionOptions
    from interpreter_tools._config.results import ExecutionResult, SessionInfo
    from interpreter_tools._docker import SupervisorVolume
    from interpreter_tools._execution.execution import Execution
    from interpreter_tools._session.host_files import Progress
    from interpreter_tools._session.reader import FileReader
    from interpreter_tools._session.session import Session

_LOG = logging.getLogger("interpreter_tools")
_CLOSE_DEADLINE = 28.0  # seconds; what is cancelled then has two more
_SESSIONS_SHARE = 0.5
_LAST_WAIT = 1.0  # seconds
_LOG.addHandler(logging.NullHandler())  # where warnings go is the application's affair


class _Running:
    """What an engine holds between start and close."""

    def __init__(self, host: Host) -> None:
        self.host = host
        self.sessions = Sessions(host)

    async def aclose(self) -> None:
        """End everything, within the one deadline of ``ExecutionEngine.aclose``."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + _CLOSE_DEADLINE
        self.host.closed = True
        self.host.installs.aclose()  # a session waits for its run, which may wait for these
        ending = asyncio.create_task(self.sessions.aclose())
        try:
            await asyncio.wait([ending], timeout=_CLOSE_DEADLINE * _SESSIONS_SHARE)
            if not ending.done():
                _LOG.warning("sessions could not be cleaned up in time; what they have is removed all the same")
        finally:
            await self.host.aclose(deadline=deadline)
            ending.cancel()  # without a client it has nothing to wait for
            await asyncio.wait([ending], timeout=_LAST_WAIT)


class ExecutionEngine:
    """Runs code in warm, locked-down containers.

    ``async with ExecutionEngine() as engine`` starts and closes it; ``await engine.start()`` and
    ``await engine.aclose()`` do the same by hand. It belongs to the event loop that started it.

    Args:
        config: sizes, limits and images; the defaults suit a small machine.
    """

    def __init__(self, config: EngineConfig | None = None) -> None:
        self._config = config or EngineConfig()
        self._running: _Running | None = None
        self._start_lock = asyncio.Lock()
        self._closing: asyncio.Task[None] | None = None
        self._closed = False

    def __repr__(self) -> str:
        state = "closed" if self._closed else "new" if self._running is None else "running"
        return f"<ExecutionEngine {state}>"

    def __del__(self) -> None:
        if self._running is not None and not self._closed and self._running.host.pid == os.getpid():
            warnings.warn(f"{self!r} was not closed: use `async with` or `await engine.aclose()`", ResourceWarning, 2)

    @property
    def config(self) -> EngineConfig:
        """How it was asked for."""
        return self._config

    # -- life

    async def start(self) -> Self:
        """Connects to the Docker engine and begins to warm the languages of ``EngineConfig.prewarm``, without waiting.

        Raises:
            DockerUnavailable: no Docker engine answers.
            EngineClosed: it was closed before, or meanwhile; make another.
            EngineMisused: it was started in another event loop.
            UnknownLanguage: ``prewarm`` names a language that is not registered.
            ConfigurationError: ``images`` does.
        """
        async with self._start_lock:
            if self._closed:
                raise EngineClosed("the engine was closed", hint="make another ExecutionEngine")
            if self._running is not None:
                self._running.host.check_home()
                return self
            LanguageRegistry.register_all(self._config.languages)
            for language in self._config.prewarm:
                LanguageRegistry.get(language)
            check_languages(self._config.images, field="images")
            running = await self._open()
            if self._closed:  # by another task, while this one waited
                await running.aclose()
                raise EngineClosed("the engine was closed while it started", hint="make another ExecutionEngine")
            self._running = running
            running.host.begin()
            for language in self._config.prewarm:
                running.host.tasks.spawn(self._prewarm, language)
        return self

    async def _connect(self) -> DockerClient:
        return await DockerClient.connect(self._config.docker_host)

    async def _supervisor(self, client: DockerClient) -> SupervisorVolume:
        return await ensure_supervisor_volume(client)

    async def _open(self) -> _Running:
        client = await self._connect()
        try:
            info = asyncio.create_task(client.info())
            try:
                volume = await self._supervisor(client)
            except BaseException:
                info.cancel()
                await asyncio.wait([info])
                raise
            traits = msgspec.structs.replace(volume.traits(await info), store=self._config.dependency_store)
            owner = await asyncio.to_thread(Owner.current)
            running = _Running(Host(self._config, client, owner, volume.name, traits))
        except BaseException:
            await client.aclose()
            raise
        return running

    async def _prewarm(self, language: str) -> None:
        try:
            await self.warm(language)
        except (EngineClosed, PoolClosed):
            pass  # nobody needs it any more
        except InterpreterToolsError:
            _LOG.warning("%s could not be prewarmed", language, exc_info=True)

    async def warm(self, *languages: str, strategy: ContainerStrategy = ContainerStrategy.PER_EXECUTION) -> None:
        """Waits until ``PoolConfig.min_size`` containers of each language are warm, with the engine's own limits.

        Args:
            languages: their names; none means those of ``EngineConfig.prewarm``.
            strategy: which runs they are for; those of sessions take the containers of ``PER_EXECUTION``.

        Raises:
            InterpreterToolsError: one could not be started, and why.
        """
        host = self._use().host
        for name in languages or self._config.prewarm:
            shape = await host.shape(LanguageRegistry.get(name), resolve(self._config, RunOptions(strategy=strategy)))
            pool = host.pool(shape)
            pool.keep(self._config.pool.min_size)
            await pool.warm()

    async def __aenter__(self) -> Self:
        return await self.start()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Ends every run and session and removes every container, within 30 seconds. Does nothing the second time.

        It is done when this returns, also when the caller is cancelled meanwhile, which is raised then.

        Raises:
            EngineMisused: the engine belongs to another event loop or process.
        """
        if self._running is not None:
            self._running.host.check_home()
        running, self._running = self._running, None
        self._closed = True
        if running is not None:
            # A task of its own: a shielded scope keeps anyio's cancellation out, but not that of asyncio.
            self._closing = asyncio.create_task(running.aclose())
        if self._closing is None:
            return
        with anyio.CancelScope(shield=True):
            try:
                await asyncio.shield(self._closing)
            except asyncio.CancelledError:
                await asyncio.wait([self._closing])
                raise

    # -- running

    async def run(self, language: str, code: str | bytes = "", **options: Unpack[RunOptions]) -> ExecutionResult:
        """Runs code to its end, in a fresh container unless the strategy says otherwise.

        Args:
            language: a name or alias that is registered.
            code: the program; it is written to a file and never passes through a shell.
            options: see ``RunOptions``.

        Returns:
            What happened. Code that fails, is killed or runs into a limit is a result as well.

        Raises:
            UsageError: the call cannot work as it was made; nothing was touched.
            MachineError: Docker, the image or the interpreter is missing.
            ContainerLost: the container went away in the middle of the run.
            PoolTimeout: no container became free in time.
        """
        if options.get("stdin") is None:
            options["stdin"] = b""
        async with self.stream(language, code, **options) as execution:
            return await execution.result()

    def stream(self, language: str, code: str | bytes = "", **options: Unpack[RunOptions]) -> Execution:
        """The same as ``run``, as an ``Execution`` whose output is taken as it comes. It starts with ``async with``.

        Args:
            language: a name or alias that is registered.
            code: the program.
            options: see ``RunOptions``.

        Raises:
            UsageError: the call cannot work as it was made; nothing was touched.
        """
        host = self._use().host
        demand = Demand.read(self._config, language, code, options)
        return demand.execution(PoolPlacement(host, demand))

    # -- sessions

    def session(self, config: SessionConfig | None = None, **options: Unpack[SessionOptions]) -> Session:
        """A session as an object; ``async with`` cleans it up at its end.

        Args:
            config: how it is to be; the options change it.
            options: the fields of ``SessionConfig``.

        Raises:
            ConfigurationError: a value cannot work.
            SessionExists: one of that name is there, and must be new, or is of another kind.
            TooManySessions: there are as many as may be.
        """
        config = SessionConfig(**options) if config is None else msgspec.structs.replace(config, **options)
        return self._use().sessions.open(config)

    def get_session(self, session_id: str) -> Session:
        """Return the session of that id, as an object.

        Raises:
            UnknownSession: there is no such session, or it was cleaned up.
            EngineClosed: the engine is not running.
        """
        return self._use().sessions.get(session_id)

    async def create_session(self, config: SessionConfig | None = None, **options: Unpack[SessionOptions]) -> str:
        """Makes a session and returns its id; see ``session``. It lives until it is cleaned up or idle for too long."""
        return self.session(config, **options).id

    async def execute_code(
        self, session_id: str, *, language: str, code: str | bytes = "", **options: Unpack[RunOptions]
    ) -> ExecutionResult:
        """Runs code in a session to its end; see ``run``.

        Raises:
            UnknownSession: there is no such session.
        """
        return await self.get_session(session_id).run(language, code, **options)

    def stream_code(
        self, session_id: str, *, language: str, code: str | bytes = "", **options: Unpack[RunOptions]
    ) -> Execution:
        """The same as ``execute_code``, as an ``Execution``."""
        return self.get_session(session_id).stream(language, code, **options)

    async def get_session_info(self, session_id: str) -> SessionInfo:
        """What a session is, and which containers it has had."""
        return self.get_session(session_id).info()

    async def cleanup_session(
        self, session_id: str, keep_generated: bool | str | os.PathLike[str] = False
    ) -> Path | None:
        """Kills what runs in a session, and removes its containers and files.

        Args:
            session_id: the session.
            keep_generated: a directory of this machine, into which the generated files are copied first; True means a
                new one in the user's data directory.

        Returns:
            Where they are; None when they were not to be kept.

        Raises:
            UnknownSession: there is no such session.
            ConfigurationError: ``keep_generated`` is no path; the session is still there.
            FileRefused, OSError: not all of them could be copied; the session is still there.
            ContainerLost: files are gone with their container; the session is still there, to be cleaned up without.
            SessionClosed: another task cleaned the session up meanwhile, and kept none.
        """
        session = self.get_session(session_id)
        if keep_generated is False:
            await session.aclose()
            return None
        if keep_generated is True:
            target = data_directory(session_id)
        else:
            target = host_path(keep_generated, field="keep_generated")
        await session.aclose(keep_generated=target)
        return session.kept_in

    # -- files of sessions

    async def write_file(
        self, session_id: str, path: str, data: str | bytes | AsyncIterable[bytes], *, mode: int = 0o644
    ) -> None:
        """Writes a file into a session's workspace; see ``Session.write_file``."""
        await self.get_session(session_id).write_file(path, data, mode=mode)

    async def copy_file_into_workspace(
        self, session_id: str, source: str | os.PathLike[str], target: str, *, progress: Progress | None = None
    ) -> None:
        """Copies a file of this machine; see ``Session.copy_file_into_workspace``."""
        await self.get_session(session_id).copy_file_into_workspace(source, target, progress=progress)

    async def copy_directory_into_workspace(
        self, session_id: str, source: str | os.PathLike[str], target: str = ".", *, progress: Progress | None = None
    ) -> list[str]:
        """Copies a tree of this machine; see ``Session.copy_directory_into_workspace``."""
        return await self.get_session(session_id).copy_directory_into_workspace(source, target, progress=progress)

    async def add_file_from_base64(self, session_id: str, path: str, text: str) -> None:
        """Writes a file whose contents are given in base64; see ``Session.add_file_from_base64``."""
        await self.get_session(session_id).add_file_from_base64(path, text)

    def read_file(self, session_id: str, path: str, *, limit: str | int | None = None) -> FileReader:
        """A file, by ``async for`` piece by piece, by ``await`` all at once; see ``Session.read_file``."""
        return self.get_session(session_id).read_file(path, limit=limit)

    async def read_file_binary(self, session_id: str, path: str) -> bytes:
        """A file's bytes; see ``Session.read_file_binary``."""
        return await self.get_session(session_id).read_file_binary(path)

    async def read_file_base64(self, session_id: str, path: str) -> str:
        """A file's bytes in base64; see ``Session.read_file_base64``."""
        return await self.get_session(session_id).read_file_base64(path)

    async def list_workspace_files(self, session_id: str, *, only_generated: bool = False) -> list[str]:
        """The files of a session's workspace; see ``Session.list_workspace_files``."""
        return await self.get_session(session_id).list_workspace_files(only_generated=only_generated)

    async def copy_file_from_workspace(
        self, session_id: str, path: str, target: str | os.PathLike[str], *, progress: Progress | None = None
    ) -> None:
        """Copies a file to this machine; see ``Session.copy_file_from_workspace``."""
        await self.get_session(session_id).copy_file_from_workspace(path, target, progress=progress)

    async def copy_directory_from_workspace(
        self,
        session_id: str,
        target: str | os.PathLike[str],
        directory: str = ".",
        *,
        progress: Progress | None = None,
    ) -> list[Path]:
        """Copies a tree to this machine; see ``Session.copy_directory_from_workspace``."""
        return await self.get_session(session_id).copy_directory_from_workspace(target, directory, progress=progress)

    # -- looking

    def stats(self) -> EngineStats:
        """Containers and leases now, and what happened to them since the start."""
        pools = tuple(pool.stats() for pool in self._use().host.pools.values())
        discards: Counter[str] = Counter()
        for pool in pools:
            discards.update(pool.discards)
        return EngineStats(
            pools=pools,
            idle=sum(pool.idle for pool in pools),
            busy=sum(pool.busy for pool in pools),
            starting=sum(pool.starting for pool in pools),
            waiting=sum(pool.waiting for pool in pools),
            hits=sum(pool.hits for pool in pools),
            misses=sum(pool.misses for pool in pools),
            refills=sum(pool.refills for pool in pools),
            discards=dict(discards),
            background_failures=self._use().host.tasks.failures,
        )

    def _use(self) -> _Running:
        if self._closed:
            raise EngineClosed("the engine is closed", hint="make another ExecutionEngine")
        running = self._running
        if running is None:
            raise EngineClosed("the engine was not started", hint="use `async with ExecutionEngine() as engine`")
        running.host.check_home()
        return running
