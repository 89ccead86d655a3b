"""The engine: the object through which callers run code, hold sessions and move files."""

from __future__ import annotations

import asyncio
import logging
import os
import warnings
from typing import TYPE_CHECKING, Self, Unpack

import anyio
import msgspec

from interpreter_tools._config.language_names import check_languages
from interpreter_tools._config.model import EngineConfig, SessionConfig
from interpreter_tools._config.options import RunOptions, resolve
from interpreter_tools._config.results import EngineStats
from interpreter_tools._docker import DockerClient, Owner, find_supervisor_volume
from interpreter_tools._exceptions import EngineClosed, InterpreterToolsError, PoolClosed
from interpreter_tools._languages import LanguageRegistry
from interpreter_tools._runtime.placing import PoolPlacement
from interpreter_tools._runtime.request import RunRequest
from interpreter_tools._runtime.runtime import Runtime

if TYPE_CHECKING:
    from collections.abc import AsyncIterable
    from pathlib import Path
    from types import TracebackType

    from interpreter_tools._config.model import RunStrategy
    from interpreter_tools._config.options import CellOptions, ContextOptions, SessionOptions
    from interpreter_tools._config.results import ExecutionResult, SessionInfo
    from interpreter_tools._context.context import Context
    from interpreter_tools._docker import SupervisorVolume
    from interpreter_tools._execution.execution import Execution
    from interpreter_tools._session.host_files import Progress
    from interpreter_tools._session.reader import FileReader
    from interpreter_tools._session.registry import Sessions
    from interpreter_tools._session.session import Session

_LOG = logging.getLogger("interpreter_tools")
_CLOSE_DEADLINE = 28.0  # seconds; what is cancelled then has two more
_SESSIONS_SHARE = 0.5
_LAST_WAIT = 1.0  # seconds
_LOG.addHandler(logging.NullHandler())  # the application decides where warnings go


class _Running:
    """The resources of an engine between its start and its close."""

    def __init__(self, runtime: Runtime) -> None:
        self.runtime = runtime
        self._sessions: Sessions | None = None

    @property
    def sessions(self) -> Sessions:
        """The sessions of the engine."""
        if self._sessions is None:
            # A quarter of the package's modules, of which a process of one run needs none
            from interpreter_tools._session.registry import Sessions  # noqa: PLC0415

            self._sessions = Sessions(self.runtime)
        return self._sessions

    async def aclose(self, *, waits: bool = True) -> None:
        """End everything, within the one deadline of ``ExecutionEngine.aclose``."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + _CLOSE_DEADLINE
        self.runtime.closed = True
        self.runtime.installs.aclose()  # a session waits for its run, and the run may wait for an installation
        ending = asyncio.create_task(self._end_sessions())
        try:
            await asyncio.wait([ending], timeout=_CLOSE_DEADLINE * _SESSIONS_SHARE)
            if not ending.done():
                _LOG.warning("sessions could not be cleaned up in time; their containers are removed all the same")
        finally:
            await self.runtime.aclose(deadline=deadline, waits=waits)
            ending.cancel()  # the client is closed, so the clean-up has nothing left to wait for
            await asyncio.wait([ending], timeout=_LAST_WAIT)

    async def _end_sessions(self) -> None:
        if self._sessions is not None:
            await self._sessions.aclose()


class ExecutionEngine:
    """Runs code in warm, locked-down containers.

    ``async with ExecutionEngine() as engine`` starts and closes it; ``await engine.start()`` and
    ``await engine.aclose()`` do the same by hand.

    An engine belongs to the event loop and the process that started it. Any task of that loop may use it; calls from
    another loop raise ``EngineMisused``. Other threads use ``interpreter_tools.blocking.Engine``, or
    ``asyncio.run_coroutine_threadsafe(engine.run(...), loop)``.

    Cancelling a call stops it. A cancelled run is killed, and its container is not used for another caller before it is
    known to be clean. A cancelled file transfer leaves no part of a file behind.

    Args:
        config: sizes, limits and images; None means the defaults, which suit a small machine.
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
        if self._running is not None and not self._closed and self._running.runtime.pid == os.getpid():
            warnings.warn(f"{self!r} was not closed: use `async with` or `await engine.aclose()`", ResourceWarning, 2)

    @property
    def config(self) -> EngineConfig:
        """The configuration that the engine was made with."""
        return self._config

    @property
    def is_running(self) -> bool:
        """True between the engine's start and its close."""
        return self._running is not None

    # -- life

    async def start(self) -> Self:
        """Connect to the Docker engine and begin to warm the languages of ``EngineConfig.prewarm``.

        The languages are warmed in the background; ``warm`` waits for them. Does nothing on an engine that is running.
        If ``start`` is cancelled, the connection is closed and the engine can be started again.

        Returns:
            The engine itself.

        Raises:
            DockerUnavailable: no Docker engine answers.
            EngineClosed: the engine was closed before or during the call; make another one.
            EngineMisused: the engine was started in another event loop or process.
            UnknownLanguage: ``prewarm`` names a language that is not registered.
            ConfigurationError: ``images`` names a language that is not registered.
        """
        async with self._start_lock:
            if self._closed:
                raise EngineClosed("the engine was closed")
            if self._running is not None:
                self._running.runtime.check_home()
                return self
            LanguageRegistry.register_all(self._config.languages)
            for language in self._config.prewarm:
                LanguageRegistry.get(language)
            check_languages(self._config.images, field="images")
            running = await self._open()
            if self._closed:  # by another task, while this one waited
                await running.aclose()
                raise EngineClosed("the engine was closed while it started")
            self._running = running
            running.runtime.begin()
            for language in self._config.prewarm:
                running.runtime.tasks.spawn(self._prewarm, language)
        return self

    async def _connect(self) -> DockerClient:
        return await DockerClient.connect(self._config.docker_host)

    async def _supervisor(self, client: DockerClient) -> SupervisorVolume:
        return await find_supervisor_volume(client)

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
            running = _Running(Runtime(self._config, client, owner, volume, traits))
        except BaseException:
            await client.aclose()
            raise
        return running

    async def _prewarm(self, language: str) -> None:
        try:
            await self.warm(language)
        except (EngineClosed, PoolClosed):
            pass  # the engine is closing, so nobody needs warm containers
        except InterpreterToolsError:
            _LOG.warning("%s could not be prewarmed", language, exc_info=True)

    async def warm(self, *languages: str, strategy: RunStrategy | None = None) -> None:
        """Wait until ``PoolConfig.min_size`` containers of each language are warm, with the engine's own limits.

        If ``warm`` is cancelled, the containers go on starting in the background.

        Args:
            languages: names or aliases of languages; none means the languages of ``EngineConfig.prewarm``.
            strategy: the strategy of the runs that the containers are for; None means the engine's own. Sessions that
                keep their container take one of these, too.

        Raises:
            UnknownLanguage: a language is not registered.
            EngineClosed: the engine is not running.
            InterpreterToolsError: a container could not be started; the error says why.
        """
        runtime = self._use().runtime
        options = resolve(self._config, RunOptions() if strategy is None else RunOptions(strategy=strategy))
        for name in languages or self._config.prewarm:
            shape = await runtime.shape(LanguageRegistry.get(name), options)
            pool = runtime.pool(shape)
            pool.keep(self._config.pool.min_size)
            await pool.warm()

    async def __aenter__(self) -> Self:
        return await self.start()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self, *, waits: bool = True) -> None:
        """End every run and session, and remove every container, within 30 seconds. Does nothing the second time.

        If ``aclose`` is cancelled, it finishes its work first and raises the cancellation then.

        Args:
            waits: False does not wait for the removal of containers whose streams it has closed: they end, and the
                Docker engine removes them, within a second or so. For a process that ends now.

        Raises:
            EngineMisused: the engine belongs to another event loop or process.
        """
        if self._running is not None:
            self._running.runtime.check_home()
        running, self._running = self._running, None
        self._closed = True
        if running is not None:
            # A task of its own: a shielded scope keeps anyio's cancellation out, but not that of asyncio.
            self._closing = asyncio.create_task(running.aclose(waits=waits))
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
        """Run code to its end, in a fresh sandbox unless the strategy says otherwise.

        If ``run`` is cancelled, the program and everything it started are killed.

        Args:
            language: the name or alias of a registered language.
            code: the program; it is written to a file and never passes through a shell.
            options: the options of the run; see ``RunOptions``.

        Returns:
            The result of the run. Code that fails, is killed or reaches a limit gives a result as well.

        Raises:
            UsageError: the call cannot work as it was made, and no program began; or the engine was closed during the
                run.
            MachineError: Docker, the image or the interpreter is missing.
            ContainerLost: the container went away in the middle of the run.
            PoolTimeout: no container became free in time.
        """
        if options.get("stdin") is None:
            options["stdin"] = b""
        async with self.stream(language, code, **options) as execution:
            return await execution.result()

    def stream(self, language: str, code: str | bytes = "", **options: Unpack[RunOptions]) -> Execution:
        """Return a run as an ``Execution``, whose output can be read while the program runs.

        Nothing happens before the ``async with`` of the execution starts the run. If the task in it is cancelled, the
        program is killed.

        Args:
            language: the name or alias of a registered language.
            code: the program.
            options: the options of the run; see ``RunOptions``.

        Raises:
            UsageError: the call cannot work as it was made; no program began.
        """
        runtime = self._use().runtime
        request = RunRequest.read(self._config, language, code, options)
        return request.execution(PoolPlacement(runtime, request))

    # -- sessions

    def session(self, config: SessionConfig | None = None, **options: Unpack[SessionOptions]) -> Session:
        """Make a session, or open the one of that id, and return it; ``async with`` cleans the session up at its end.

        Args:
            config: the configuration of the session; None means the defaults.
            options: fields of ``SessionConfig`` that override ``config``.

        Raises:
            ConfigurationError: a value cannot work.
            SessionExists: a session of that id exists, and ``enforce_new_session`` is set or its configuration differs.
            TooManySessions: the engine holds ``EngineConfig.max_sessions`` sessions.
            EngineClosed: the engine is not running.
        """
        config = SessionConfig(**options) if config is None else msgspec.structs.replace(config, **options)
        return self._use().sessions.open(config)

    def get_session(self, session_id: str) -> Session:
        """Return the session of an id, as an object.

        Args:
            session_id: the id of the session.

        Raises:
            UnknownSession: there is no such session, or it was cleaned up.
            EngineClosed: the engine is not running.
        """
        return self._use().sessions.get(session_id)

    async def create_session(self, config: SessionConfig | None = None, **options: Unpack[SessionOptions]) -> str:
        """Make a session and return its id; see ``session``.

        The session lives until ``cleanup_session`` ends it, or until it was idle for ``SessionConfig.idle_timeout``
        seconds. The call does not wait for anything, so it cannot be cancelled halfway.
        """
        return self.session(config, **options).id

    async def execute_code(
        self, session_id: str, *, language: str, code: str | bytes = "", **options: Unpack[RunOptions]
    ) -> ExecutionResult:
        """Run code in a session to its end; see ``run``.

        If ``execute_code`` is cancelled while it waits for its turn, no program begins; later, the program is killed.

        Raises:
            UnknownSession: there is no such session.
        """
        return await self.get_session(session_id).run(language, code, **options)

    def stream_code(
        self, session_id: str, *, language: str, code: str | bytes = "", **options: Unpack[RunOptions]
    ) -> Execution:
        """Return a run in a session as an ``Execution``; see ``stream``.

        Raises:
            UnknownSession: there is no such session.
            UsageError: the call cannot work as it was made; no program began.
        """
        return self.get_session(session_id).stream(language, code, **options)

    async def get_session_info(self, session_id: str) -> SessionInfo:
        """Return the state of a session, and the containers that it has had. Does not wait, so cannot be cancelled.

        Args:
            session_id: the id of the session.

        Raises:
            UnknownSession: there is no such session.
        """
        return self.get_session(session_id).info()

    async def cleanup_session(
        self, session_id: str, keep_generated: bool | str | os.PathLike[str] = False
    ) -> Path | None:
        """Kill the run of a session, and remove the containers and files of the session.

        If ``cleanup_session`` is cancelled while it copies files, it gives the copying up and the session stays open;
        otherwise the clean-up goes on in the background.

        Args:
            session_id: the id of the session.
            keep_generated: a directory of this machine into which the generated files are copied first; True means a
                new directory in the user's data directory.

        Returns:
            The directory that holds the generated files; None when they were not kept.

        Raises:
            UnknownSession: there is no such session.
            ConfigurationError: ``keep_generated`` is no path; the session stays open.
            FileRefused, OSError: a file could not be copied; the session stays open.
            ContainerLost: files went away with their container; the session stays open. Clean it up without
                ``keep_generated``.
            SessionClosed: another task cleaned the session up meanwhile, and kept no files.
        """
        session = self.get_session(session_id)
        if keep_generated is False:
            await session.aclose()
            return None
        from interpreter_tools._session.host_files import data_directory, host_path  # noqa: PLC0415 - as `_Running.sessions`

        if keep_generated is True:
            target = data_directory(session_id)
        else:
            target = host_path(keep_generated, field="keep_generated")
        await session.aclose(keep_generated=target)
        return session.kept_in

    # -- contexts

    def context(
        self,
        language: str,
        name: str | None = None,
        *,
        config: SessionConfig | None = None,
        **options: Unpack[ContextOptions],
    ) -> Context:
        """Return a live interpreter in a session of its own, which keeps its variables from cell to cell.

        ``async with`` starts its process and, at the end, closes it with its session. See ``Session.context`` for
        several contexts in one session.

        Args:
            language: the name or alias of a registered language that has a cell runner.
            name: the name of the context; None gives it one.
            config: the configuration of the session; None means the defaults.
            options: the options of the context; see ``ContextOptions``.

        Raises:
            ConfigurationError: an option cannot work, or the language has no cell runner.
            UnknownLanguage: the language is not registered.
            TooManySessions: the engine holds ``EngineConfig.max_sessions`` sessions.
            EngineClosed: the engine is not running.
        """
        session = self._use().sessions.open(config or SessionConfig())
        try:
            return session.context(language, name, is_owner=True, **options)
        except BaseException:
            self._use().runtime.tasks.spawn(session.aclose)
            raise

    def get_context(self, context_id: str) -> Context:
        """Return the context of an id, as an object.

        Args:
            context_id: the id of the context, ``Context.id``.

        Raises:
            UnknownContext: there is no such context, or it was closed.
            EngineClosed: the engine is not running.
        """
        return self._use().sessions.context(context_id)

    async def run_cell(self, context_id: str, code: str, **options: Unpack[CellOptions]) -> ExecutionResult:
        """Run a cell in a context to its end; see ``Context.run``, also for what cancelling does.

        Args:
            context_id: the id of the context, ``Context.id``.
            code: the code of the cell.
            options: the options of the cell; see ``CellOptions``.

        Raises:
            UnknownContext: there is no such context.
        """
        return await self.get_context(context_id).run(code, **options)

    # -- files of sessions

    async def write_file(
        self, session_id: str, path: str, data: str | bytes | AsyncIterable[bytes], *, mode: int = 0o644
    ) -> None:
        """Write a file into a session's workspace; see ``Session.write_file``, also for what cancelling does."""
        await self.get_session(session_id).write_file(path, data, mode=mode)

    async def copy_file_into_workspace(
        self, session_id: str, source: str | os.PathLike[str], target: str, *, progress: Progress | None = None
    ) -> None:
        """Copy a file of this machine into a session's workspace; see ``Session.copy_file_into_workspace``.

        If the call is cancelled, no part of the file is left in the workspace.
        """
        await self.get_session(session_id).copy_file_into_workspace(source, target, progress=progress)

    async def copy_directory_into_workspace(
        self, session_id: str, source: str | os.PathLike[str], target: str = ".", *, progress: Progress | None = None
    ) -> list[str]:
        """Copy a directory of this machine into a session's workspace; see ``Session.copy_directory_into_workspace``.

        If the call is cancelled, the files that are complete stay in the workspace.
        """
        return await self.get_session(session_id).copy_directory_into_workspace(source, target, progress=progress)

    async def add_file_from_base64(self, session_id: str, path: str, text: str) -> None:
        """Write a file whose contents are given in base64; see ``Session.add_file_from_base64``.

        If the call is cancelled, no part of the file is left in the workspace.
        """
        await self.get_session(session_id).add_file_from_base64(path, text)

    def read_file(self, session_id: str, path: str, *, limit: str | int | None = None) -> FileReader:
        """Return a reader of a file: ``async for`` yields pieces, ``await`` all bytes; see ``Session.read_file``."""
        return self.get_session(session_id).read_file(path, limit=limit)

    async def read_file_binary(self, session_id: str, path: str) -> bytes:
        """Return the bytes of a file; see ``Session.read_file_binary``. Cancelling changes nothing."""
        return await self.get_session(session_id).read_file_binary(path)

    async def read_file_base64(self, session_id: str, path: str) -> str:
        """Return the bytes of a file in base64; see ``Session.read_file_base64``. Cancelling changes nothing."""
        return await self.get_session(session_id).read_file_base64(path)

    async def list_workspace_files(self, session_id: str, *, only_generated: bool = False) -> list[str]:
        """List the files of a session's workspace; see ``Session.list_workspace_files``. Cancelling changes nothing."""
        return await self.get_session(session_id).list_workspace_files(only_generated=only_generated)

    async def copy_file_from_workspace(
        self, session_id: str, path: str, target: str | os.PathLike[str], *, progress: Progress | None = None
    ) -> None:
        """Copy a file of a session's workspace to this machine; see ``Session.copy_file_from_workspace``.

        If the call is cancelled, no part of the file is left on this machine.
        """
        await self.get_session(session_id).copy_file_from_workspace(path, target, progress=progress)

    async def copy_directory_from_workspace(
        self,
        session_id: str,
        target: str | os.PathLike[str],
        directory: str = ".",
        *,
        progress: Progress | None = None,
    ) -> list[Path]:
        """Copy a directory of a session's workspace to this machine; see ``Session.copy_directory_from_workspace``.

        If the call is cancelled, the files that are complete stay on this machine.
        """
        return await self.get_session(session_id).copy_directory_from_workspace(target, directory, progress=progress)

    # -- looking

    async def has_image(self, name: str) -> bool:
        """Return whether the Docker host has an image.

        Args:
            name: the name of the image, with or without a tag: ``interpreter-tools/python:1``.

        Raises:
            DockerUnavailable: the Docker engine does not answer.
            EngineClosed: the engine is not running.
        """
        return await self._use().runtime.images.has(name)

    async def ping(self, *, timeout: float = 2.0) -> None:
        """Return once the Docker engine has answered.

        Args:
            timeout: seconds that it has for that.

        Raises:
            DockerUnavailable: the Docker engine does not answer.
            DockerApiError: its answer does not come in time, or is an error.
            EngineClosed: the engine is not running.
        """
        await self._use().runtime.client.ping(deadline=timeout)

    def stats(self) -> EngineStats:
        """Return the numbers of containers and leases now, and of events since the engine's start.

        Raises:
            EngineClosed: the engine is not running.
        """
        runtime = self._use().runtime
        pools = tuple(pool.stats() for pool in runtime.pools.values())
        return EngineStats.of(pools, background_failures=runtime.tasks.failures)

    def _use(self) -> _Running:
        if self._closed:
            raise EngineClosed("the engine is closed")
        running = self._running
        if running is None:
            raise EngineClosed("the engine was not started", hint="use `async with ExecutionEngine() as engine`")
        running.runtime.check_home()
        return running
