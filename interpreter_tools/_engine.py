"""The engine: what users hold."""

from __future__ import annotations

import asyncio
import functools
import logging
import os
import warnings
from collections import Counter
from typing import TYPE_CHECKING, Self, Unpack

import anyio
import msgspec

from interpreter_tools._config import ContainerStrategy, EngineConfig
from interpreter_tools._container import Container
from interpreter_tools._dependencies import Installs, check_dependencies
from interpreter_tools._docker import DockerClient, Owner, ensure_supervisor_volume, sweep
from interpreter_tools._exceptions import EngineClosed, EngineMisused, ImageMissing, InterpreterToolsError, PoolClosed
from interpreter_tools._execution import Execution
from interpreter_tools._images import ImageCatalog, image_name
from interpreter_tools._languages import LanguageRegistry, job_files, plan
from interpreter_tools._models import EngineStats
from interpreter_tools._options import Resolved, RunOptions, resolve
from interpreter_tools._pool import Pool
from interpreter_tools._shape import Shape, shape_of
from interpreter_tools._tasks import TaskHost

if TYPE_CHECKING:
    from types import TracebackType

    from interpreter_tools._languages import Job, LanguageConfig
    from interpreter_tools._models import ExecutionResult
    from interpreter_tools._pool import PoolLease
    from interpreter_tools._profile import HostTraits

_LOG = logging.getLogger("interpreter_tools")
_CLOSE_DEADLINE = 30.0


class _Running:
    """What an engine holds between start and close."""

    def __init__(
        self, client: DockerClient, owner: Owner, volume: str, traits: HostTraits, config: EngineConfig
    ) -> None:
        self.client = client
        self.volume = volume
        self.traits = traits
        self.owner = owner
        self.images = ImageCatalog(client)
        self.tasks = TaskHost()
        self.creating = anyio.CapacityLimiter(config.pool.parallel_creates)
        self.installs = Installs(client, config, host=self, tasks=self.tasks)
        self.pools: dict[tuple[object, ...], Pool] = {}
        self.loop = asyncio.get_running_loop()
        self.pid = os.getpid()

    async def create(self, shape: Shape) -> Container:
        """Starts a container; an image that is gone is looked up anew the next time."""
        try:
            return await Container.start(
                self.client, shape, volume=self.volume, labels=self.owner.labels(), traits=self.traits
            )
        except ImageMissing:
            self.images.forget(shape.image)
            raise ImageMissing(shape.image) from None

    async def create_installer(self, shape: Shape, name: str) -> Container:
        """Starts the container of that name that may write into the dependency store."""
        return await Container.start(
            self.client, shape, volume=self.volume, labels=self.owner.labels(), traits=self.traits, installer=name
        )

    async def wait_for_other(self, name: str, seconds: float) -> None:
        """Waits until a container of that name is gone; one whose client is dead is removed."""
        await sweep(self.client)
        await self.client.wait_removed(name, seconds)


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
        if self._running is not None and not self._closed and self._running.pid == os.getpid():
            warnings.warn(f"{self!r} was not closed: use `async with` or `await engine.aclose()`", ResourceWarning, 2)

    # -- life

    async def start(self) -> Self:
        """Connects to the Docker engine and begins to warm the languages of ``EngineConfig.prewarm``, without waiting.

        Raises:
            DockerUnavailable: no Docker engine answers.
            EngineClosed: it was closed before, or meanwhile; make another.
            EngineMisused: it was started in another event loop.
            UnknownLanguage: ``prewarm`` names a language that is not registered.
        """
        async with self._start_lock:
            if self._closed:
                raise EngineClosed("the engine was closed", hint="make another ExecutionEngine")
            if self._running is not None:
                _check_home(self._running)
                return self
            for language in self._config.prewarm:
                LanguageRegistry.get(language)
            running = await self._open()
            if self._closed:  # by another task, while this one waited
                await _close(running)
                raise EngineClosed("the engine was closed while it started", hint="make another ExecutionEngine")
            self._running = running
            running.tasks.spawn(_sweep, running.client)
            for language in self._config.prewarm:
                running.tasks.spawn(self._prewarm, language)
        return self

    async def _open(self) -> _Running:
        client = await DockerClient.connect(self._config.docker_host)
        try:
            volume, info, owner = await asyncio.gather(
                ensure_supervisor_volume(client), client.info(), asyncio.to_thread(Owner.current)
            )
            traits = msgspec.structs.replace(volume.traits(info), store=self._config.dependency_store)
            running = _Running(client, owner, volume.name, traits, self._config)
            await running.tasks.start()
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

    async def warm(self, *languages: str) -> None:
        """Waits until ``PoolConfig.min_size`` containers of each language are warm, with the engine's own limits.

        Args:
            languages: their names; none means those of ``EngineConfig.prewarm``.

        Raises:
            InterpreterToolsError: one could not be started, and why.
        """
        running = self._use()
        for name in languages or self._config.prewarm:
            options = resolve(self._config, RunOptions())
            pool = await self._pool(running, LanguageRegistry.get(name), options)
            pool.keep(self._config.pool.min_size)
            await pool.warm()

    async def __aenter__(self) -> Self:
        return await self.start()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Ends every run and removes every container, within 30 seconds. Does nothing the second time.

        It is done when this returns, also when the caller is cancelled meanwhile, which is raised then.

        Raises:
            EngineMisused: the engine belongs to another event loop or process.
        """
        if self._running is not None:
            _check_home(self._running)
        running, self._running = self._running, None
        self._closed = True
        if running is not None:
            # A task of its own: a shielded scope keeps anyio's cancellation out, but not that of asyncio.
            self._closing = asyncio.create_task(_close(running))
        if self._closing is None:
            return
        with anyio.CancelScope(shield=True):
            try:
                await asyncio.shield(self._closing)
            except asyncio.CancelledError:
                await asyncio.wait([self._closing])
                raise

    # -- running

    async def run(self, language: str, code: str | bytes, **options: Unpack[RunOptions]) -> ExecutionResult:
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

    def stream(self, language: str, code: str | bytes, **options: Unpack[RunOptions]) -> Execution:
        """The same as ``run``, as an ``Execution`` whose output is taken as it comes. It starts with ``async with``.

        Args:
            language: a name or alias that is registered.
            code: the program.
            options: see ``RunOptions``.

        Raises:
            UsageError: the call cannot work as it was made; nothing was touched.
        """
        running = self._use()
        config = LanguageRegistry.get(language)
        resolved = resolve(self._config, options)
        files = job_files(config, code, resolved.files)
        packages = check_dependencies(config, resolved.dependencies)
        begin = functools.partial(self._begin, running, config, resolved, files, packages)
        join = running.installs.join if packages else None
        return Execution(begin, stdin=resolved.stdin, capture=resolved.capture, join=join)

    async def _begin(
        self,
        running: _Running,
        language: LanguageConfig,
        options: Resolved,
        files: dict[bytes, bytes],
        packages: tuple[str, ...],
    ) -> tuple[Job, PoolLease] | str:
        """What to run and where; or the key of the packages that must be installed before there is a place for it."""
        pool = await self._pool(running, language, options)
        required = running.installs.require(language, packages, pool.shape) if packages else None
        system = required if required is not None and required.plan.kind == "system" else None
        if system is not None:
            if not await running.images.has(system.image):
                return system.key
            container = msgspec.structs.replace(options.container, image=system.image)
            pool = await self._pool(running, language, msgspec.structs.replace(options, container=container))
        job = plan(
            language,
            files,
            image_environment=pool.shape.image_environment,
            environment=options.environment,
            directory=options.container.working_dir,
            timeout=options.timeout,
            output_limit=options.output_limit,
            need=None if required is None or system is not None else required.need,
        )
        try:
            return job, await pool.lease()
        except ImageMissing:
            if system is None:
                raise
            return system.key  # it was pruned meanwhile

    async def _pool(self, running: _Running, language: LanguageConfig, options: Resolved) -> Pool:
        name = image_name(language, override=options.container.image, images=self._config.images)
        image = await running.images.find(name)
        self._use()  # it may have been closed meanwhile: no pool must be made then, as nobody would close it
        reused = options.strategy is ContainerStrategy.POOL
        shape = shape_of(language, image, name, options.container, reused=reused)
        pool = running.pools.get(shape.key)
        if pool is None:
            pool = running.pools[shape.key] = Pool(
                shape, self._config.pool, create=running.create, creating=running.creating, tasks=running.tasks
            )
        return pool

    def stats(self) -> EngineStats:
        """Containers and leases now, and what happened to them since the start."""
        pools = tuple(pool.stats() for pool in self._use().pools.values())
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
        )

    def _use(self) -> _Running:
        if self._closed:
            raise EngineClosed("the engine is closed", hint="make another ExecutionEngine")
        running = self._running
        if running is None:
            raise EngineClosed("the engine was not started", hint="use `async with ExecutionEngine() as engine`")
        _check_home(running)
        return running


def _check_home(running: _Running) -> None:
    """Refuses to be used from elsewhere than where it was started."""
    if running.pid != os.getpid():
        raise EngineMisused("the engine was started before a fork", hint="start an engine in each process")
    try:
        here = asyncio.get_running_loop()
    except RuntimeError:
        here = None
    if running.loop is not here:
        raise EngineMisused("the engine belongs to another event loop", hint="start an engine in each event loop")


async def _close(running: _Running) -> None:
    running.installs.aclose()
    for pool in running.pools.values():
        await pool.aclose()
    await running.tasks.aclose(deadline=_CLOSE_DEADLINE)
    await running.client.aclose()


async def _sweep(client: DockerClient) -> None:
    """Removes what dead clients have left; the next start tries again."""
    try:
        await sweep(client)
    except InterpreterToolsError:
        _LOG.warning("what dead clients have left could not be removed", exc_info=True)
