"""The holdings of a running engine: the Docker client, images, pools, and the tasks that look after them."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import weakref
from collections import Counter
from typing import TYPE_CHECKING

import anyio
import msgspec

from interpreter_tools._background import BackgroundTasks
from interpreter_tools._config.model import ContainerStrategy
from interpreter_tools._config.paths import WORKSPACE
from interpreter_tools._container.boxes import Boxes
from interpreter_tools._container.container import Container
from interpreter_tools._container.images import ImageCatalog, image_name
from interpreter_tools._container.shape import Shape, Shapes, shape_of
from interpreter_tools._container.sources import MountSource, find_sources
from interpreter_tools._dependencies import Installs
from interpreter_tools._dependencies.inventory import Inventories
from interpreter_tools._docker import OWNER_LABEL, ensure_supervisor_volume, is_about_supervisor, sweep
from interpreter_tools._exceptions import (
    ContainerLost,
    ContainerStartFailed,
    DockerApiError,
    DockerUnavailable,
    EngineClosed,
    EngineMisused,
    ImageMissing,
    InterpreterToolsError,
    MachineError,
    SandboxUnavailable,
)
from interpreter_tools._execution.placement import Missing
from interpreter_tools._languages import Need
from interpreter_tools._languages.installers import SYSTEM
from interpreter_tools._languages.manifests import read_mounted
from interpreter_tools._pool.pool import Pool
from interpreter_tools._runtime.loop_guard import GUARD

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping

    from interpreter_tools._config.model import ContainerConfig, EngineConfig, RunStrategy
    from interpreter_tools._config.options import Resolved
    from interpreter_tools._dependencies import Packages
    from interpreter_tools._dependencies.inventory import Inventory
    from interpreter_tools._docker import DockerClient, Owner, SupervisorVolume
    from interpreter_tools._docker.spec import HostTraits
    from interpreter_tools._languages import LanguageConfig

_ALIVE = frozenset({"running", "created"})
_LOG = logging.getLogger("interpreter_tools")
_TASKS_SHARE, _REST_SHARE, _CLIENT_SHARE = 0.6, 0.75, 0.9  # of the time that is left for the end of an engine
_VOLUME_DEADLINE = 10.0
_IN_USE = 409
_LOOK = 10.0  # seconds between two looks at containers that say nothing
_SWEEP = 300.0  # seconds between two sweeps
_REFILLS = 5  # of the supervisor's volume, for one container


class Fitting(msgspec.Struct, frozen=True, kw_only=True):
    """The container that fits a run, and the place of the run's packages.

    Attributes:
        shape: the shape of the container.
        need: the entry of the dependency store; None where there is none, or where the image holds the packages.
        missing: the installation for when the packages are not there; None for a run without packages.
        image: the derived image with system packages, made again when it has gone; None without system packages.
    """

    shape: Shape
    need: Need | None = None
    missing: Missing | None = None
    image: Missing | None = None

    @property
    def key(self) -> str | None:
        """The key of the packages; None for a run without packages."""
        return None if self.missing is None else self.missing.key


class Runtime:
    """One Docker engine in the service of one ``ExecutionEngine``, and of the event loop that started it."""

    def __init__(
        self, config: EngineConfig, client: DockerClient, owner: Owner, supervisor: SupervisorVolume, traits: HostTraits
    ) -> None:
        self.config = config
        self.client = client
        self.owner = owner
        self.supervisor = supervisor
        self.traits = traits
        self.boxes = Boxes(client.endpoint.url, traits, config.isolation)
        self.images = ImageCatalog(client)
        self._shapes = Shapes()
        self.tasks = BackgroundTasks()
        self.pools: dict[tuple[object, ...], Pool] = {}
        self.loop = asyncio.get_running_loop()
        self.pid = os.getpid()
        self.closed = False
        self.installs = Installs(client, config, runtime=self, tasks=self.tasks)
        self._inventories = Inventories(self, config)
        self._creating = anyio.CapacityLimiter(config.pool.parallel_creates)
        self._containers: weakref.WeakSet[Container] = weakref.WeakSet()
        self._mounting: Counter[str] = Counter()  # creations under way, by the volume of their workspace
        self._unwanted: set[str] = set()  # those of the volumes whose session has ended
        self._refilling = asyncio.Lock()

    def __repr__(self) -> str:
        return f"<Runtime [{len(self.pools)} pools, {'closed' if self.closed else 'open'}]>"

    def begin(self) -> None:
        """Start the tasks that watch the containers and remove what dead clients have left."""
        GUARD.add(self)
        self.tasks.serve(self._watch)
        self.tasks.serve(self._sweep)

    @property
    def is_orphaned(self) -> bool:
        """True when the event loop was closed while the engine was still open."""
        return self.loop.is_closed() and not self.closed

    def sever(self) -> None:
        """Break the stream of every container, so that all containers end.

        For the time after the event loop was closed; another thread calls this.
        """
        self.client.sever()

    async def _sweep(self) -> None:
        """Remove what dead clients have left: now, and every ``_SWEEP`` seconds."""
        while True:
            try:
                await sweep(self.client)
            except InterpreterToolsError:
                _LOG.warning("what dead clients have left could not be removed", exc_info=True)
            await asyncio.sleep(_SWEEP)

    async def _watch(self) -> None:
        """Give up each container that is paused or gone and says nothing while somebody waits for it.

        Without this, a run without a time limit and the reading of a file would wait for ever.
        """
        before: dict[Container, int] = {}
        while True:
            await asyncio.sleep(_LOOK)
            awaited = {
                container: container.channel.heard for container in self._containers if container.channel.awaited
            }
            silent = [container for container, heard in awaited.items() if before.get(container) == heard]
            before = awaited
            if silent:
                await self._look_at(silent)

    async def _look_at(self, silent: list[Container]) -> None:
        hint = "unpause it, or run the code again"
        try:
            found = await self.client.list_containers(labels={OWNER_LABEL: self.owner.id})
        except DockerApiError as error:
            if error.status != 0:
                _LOG.warning("the state of containers is unknown", exc_info=True)
                return
            paused = silent  # an engine that hangs passes nothing on
            cause, hint = "the Docker engine hangs, and says nothing for it", error.hint
        except DockerUnavailable:
            _LOG.warning("the state of containers is unknown", exc_info=True)
            return
        else:
            states = {container.id: container.state for container in found}
            paused = [container for container in silent if states.get(container.id, "gone") not in _ALIVE]
            cause = "the container does not run any more, or is paused"
        for container in paused:
            container.channel.close(ContainerLost(cause, hint=hint))

    def check_home(self) -> None:
        """Refuse a use from another process or event loop than the one that started the engine.

        Raises:
            EngineMisused: this is another process, or another event loop.
        """
        if self.pid != os.getpid():
            raise EngineMisused("the engine was started before a fork", hint="start an engine in each process")
        try:
            here = asyncio.get_running_loop()
        except RuntimeError:
            here = None
        if self.loop is not here:
            raise EngineMisused("the engine belongs to another event loop", hint="start an engine in each event loop")

    def check(self) -> None:
        """Refuse a use from another process or event loop, and a use after the end of the engine.

        Raises:
            EngineMisused: this is another process, or another event loop.
            EngineClosed: the engine was closed.
        """
        self.check_home()
        if self.closed:
            raise EngineClosed("the engine is closed")

    async def shape(
        self,
        language: LanguageConfig,
        options: Resolved,
        *,
        workspace_volume: str | None = None,
        uid: int | None = None,
    ) -> Shape:
        """Return the shape of the container that a run needs.

        Args:
            language: the language of the run.
            options: the options of the run.
            workspace_volume: the volume of its workspace; None means a tmpfs of its own.
            uid: the user that programs run as; None means that each container takes the next.

        Raises:
            ImageMissing, ArchitectureMismatch: the language's image cannot be used.
            EngineClosed: the engine was closed meanwhile.
        """
        name = image_name(language, override=options.container.image, images=self.config.images)
        image = await self.images.find(name)
        sources = await self._find_sources(options.container)
        self.check()  # no pool must be made from now on, as nobody would close it
        reused, only_boxed = self._reuse(options.strategy)
        if sources:
            shape = shape_of(
                language, image, name, options.container, reused=reused, only_boxed=only_boxed, sources=sources
            )
        else:
            shape = self._shapes.find(language, image, name, options.container, reused=reused, only_boxed=only_boxed)
        return shape.private(workspace_volume, uid) if workspace_volume is not None and uid is not None else shape

    def _reuse(self, strategy: RunStrategy) -> tuple[bool, bool]:
        """Return ``Shape.reused`` and ``Shape.only_boxed`` of a strategy.

        A session that keeps its container takes it where the engine's own runs take theirs.
        """
        asked = self.config.strategy if strategy is ContainerStrategy.PER_SESSION else strategy
        only_boxed = asked == "auto"
        return only_boxed or strategy is ContainerStrategy.POOL, only_boxed

    async def fit(
        self,
        language: LanguageConfig,
        options: Resolved,
        packages: Packages,
        *,
        workspace_volume: str | None = None,
        uid: int | None = None,
    ) -> Fitting | Missing:
        """Return the shape for a run that uses packages, or the image that must be made first.

        Args:
            language: the language of the run.
            options: the options of the run.
            packages: the packages that it uses.
            workspace_volume: see ``shape``.
            uid: see ``shape``.
        """
        shape = await self.shape(language, options, workspace_volume=workspace_volume, uid=uid)
        if not packages:
            return Fitting(shape=shape)
        plan = language.dependencies
        own, system, image_key, image = packages.own, packages.system, "", None
        if plan is not None and plan.kind == "system":
            own, system = (), own
        if system:
            derived = self.installs.require(language, SYSTEM, system, shape)
            image = self.installs.missing(derived)
            if not await self.images.has(derived.image):
                return image
            image_key = derived.key
            container = msgspec.structs.replace(options.container, image=derived.image)
            options = msgspec.structs.replace(options, container=container)
            shape = await self.shape(language, options, workspace_volume=workspace_volume, uid=uid)
        if not own:
            return Fitting(shape=shape, missing=image, image=image)
        assert plan is not None
        required = self.installs.require(language, plan, own, shape, base=image_key)
        return Fitting(shape=shape, need=required.need, missing=self.installs.missing(required), image=image)

    async def inventory(self, language: LanguageConfig, options: Resolved) -> Inventory:
        """Return the packages and modules that the image of a run has for a language."""
        assert language.dependencies is not None
        return await self._inventories.get(language.dependencies, await self.shape(language, options))

    async def _find_sources(self, container: ContainerConfig) -> tuple[MountSource, ...]:
        """Return the files and directories of this machine that a container's mounts use."""
        if not container.mounts:
            return ()
        socket = self.client.endpoint.socket_path
        return await asyncio.to_thread(
            find_sources,
            container.mounts,
            local=socket is not None,
            sockets=() if socket is None else (socket,),
            field="container.mounts",
        )

    async def read_given(self, container: ContainerConfig, files: dict[bytes, bytes], path: str) -> bytes | None:
        """Return the content of a file that a run is given, or None where there is no such file.

        Args:
            container: the configuration that names its mounts.
            files: the files that are written into its workspace.
            path: the absolute path of the file in the container.
        """
        given = files.get(path.removeprefix(f"{WORKSPACE}/").encode("utf-8", "surrogateescape"))
        if given is None and container.mounts and self.client.endpoint.socket_path is not None:
            return await asyncio.to_thread(read_mounted, container.mounts, path)
        return given

    def pool(self, shape: Shape) -> Pool:
        """Return the pool of a shape; make it if there is none."""
        pool = self.pools.get(shape.key)
        if pool is None:
            size = self.config.pool.size_on(cpus=self.traits.cpus, memory=self.traits.memory)
            cores = self.traits.cpus
            pool = Pool(shape, self.config.pool, size=size, create=self._create, tasks=self.tasks, cores=cores)
            self.pools[shape.key] = pool
        return pool

    async def close_pool(self, shape: Shape) -> None:
        """Close the pool of a shape that nobody will ask for again."""
        pool = self.pools.pop(shape.key, None)
        if pool is not None:
            await pool.aclose()

    async def create_volume(self, name: str, options: Mapping[str, str]) -> str:
        """Create a volume that bears the labels of this engine. Return its name."""
        await self.client.create_volume(name, self.owner.labels(), options=options)
        return name

    async def remove_volume(self, name: str) -> None:
        """Remove a volume as soon as the containers that use it are gone.

        A container that is being created with the volume would bring it back: then the volume is removed after that.
        """
        if self._mounting[name]:
            self._unwanted.add(name)
        await self.client.late_removals(deadline=_VOLUME_DEADLINE)
        import tenacity  # noqa: PLC0415 - few sessions have a volume

        retry = tenacity.AsyncRetrying(
            retry=tenacity.retry_if_exception(
                lambda error: isinstance(error, DockerApiError) and error.status == _IN_USE
            ),
            stop=tenacity.stop_after_delay(_VOLUME_DEADLINE),
            wait=tenacity.wait_random_exponential(multiplier=0.05, max=1.0),
            reraise=True,
        )
        try:
            await retry(self.client.remove_volume, name)
        except MachineError:
            _LOG.warning("the volume %s could not be removed; the next engine's start removes it", name, exc_info=True)

    async def create(self, shape: Shape) -> Container:
        """Start a container that no pool counts.

        Raises:
            EngineClosed: the engine was closed meanwhile.
            InterpreterToolsError: the container could not be started; the error says why.
        """
        container = await self._create(shape)
        if container is None:
            raise EngineClosed("the engine was closed while a container started")
        return container

    async def _create(self, shape: Shape) -> Container | None:
        """Start a container. Return None when the engine was closed before its turn came."""
        volume = shape.workspace_volume
        with self._mounts(volume):
            async with self._creating:
                if self.closed:
                    return None
                if volume in self._unwanted:
                    raise ContainerStartFailed("its session has ended", hint="use another session")
                try:
                    return await self._start(shape)
                except ImageMissing:
                    self.images.forget(shape.image)  # it is looked up anew the next time
                    raise ImageMissing(shape.image) from None

    @contextlib.contextmanager
    def _mounts(self, volume: str | None) -> Generator[None]:
        """Note that a container is being created with a volume; remove an unwanted volume when that is over."""
        if volume is None:
            yield
            return
        self._mounting[volume] += 1
        try:
            yield
        finally:
            self._mounting[volume] -= 1
            if not self._mounting[volume]:
                del self._mounting[volume]
                if volume in self._unwanted:
                    self._unwanted.discard(volume)
                    self.tasks.spawn(self.remove_volume, volume)

    async def _start(self, shape: Shape, installer: str | None = None) -> Container:
        """Start a container. Where the supervisor is missing, fill its volume again and start once more.

        Another engine that saw the volume half filled may remove it after this one has filled it. So one time is not
        enough where several engines start at once on a busy host.
        """
        for _ in range(_REFILLS):
            try:
                return await self._start_once(shape, installer)
            except (ContainerStartFailed, DockerApiError) as error:
                if not is_about_supervisor(error, self.supervisor.name) or not await self._refill():
                    raise
        return await self._start_once(shape, installer)

    async def _start_once(self, shape: Shape, installer: str | None) -> Container:
        way = self.boxes.way(shape, installs=installer is not None)
        while True:
            try:
                container = await Container.start(
                    self.client,
                    shape,
                    supervisor=self.supervisor,
                    labels=self.owner.labels(),
                    traits=self.traits,
                    installer=installer,
                    box=way,
                    new_networks=self.config.network_namespace == "new",
                )
            except SandboxUnavailable as error:
                assert way is not None
                way = self.boxes.after(shape, way, error)
            else:
                self.supervisor = msgspec.structs.replace(self.supervisor, expected=None)
                self._containers.add(container)
                return container

    async def _refill(self) -> bool:
        """Fill the supervisor's volume again, as somebody has removed it. Return whether it has the same name."""
        async with self._refilling:
            filled = await ensure_supervisor_volume(self.client)
        return filled.name == self.supervisor.name

    async def create_installer(self, shape: Shape, name: str) -> Container:
        """Start an installer of that name: a container that may write into the dependency store."""
        return await self._start(shape, name)

    async def wait_for_other(self, name: str, seconds: float) -> None:
        """Wait until the container of that name is gone. Remove it where its client is dead."""
        await sweep(self.client)
        await self.client.wait_removed(name, seconds)

    def terminate(self, container: Container) -> None:
        """Remove a container in the background."""
        container.channel.on_lost = None
        if not self.tasks.spawn(container.aclose):
            container.channel.close()  # its supervisor then ends it

    async def aclose(self, *, deadline: float, waits: bool = True) -> None:
        """End all runs, and remove all containers and volumes of this engine.

        Args:
            deadline: the time of the event loop at which to give up.
            waits: False leaves what the Docker engine removes by itself to it. Nothing else may be left then: while a
                container is being created, and on Podman, this waits all the same.
        """
        self.closed = True
        waits = waits or self._creating.borrowed_tokens > 0 or self.client.version.is_podman
        GUARD.discard(self)

        def share(part: float) -> float:
            return max(0.0, deadline - self.loop.time()) * part

        try:
            self.installs.aclose()
            for pool in self.pools.values():
                await pool.aclose()
            if not waits:
                for container in self._containers:
                    container.channel.close()  # its supervisor leaves, and its engine removes it
            await self.tasks.aclose(deadline=share(_TASKS_SHARE) if waits else 0)
            if waits:
                await self._remove_rest(share(_REST_SHARE))
        finally:
            await self.client.aclose(deadline=share(_CLIENT_SHARE))

    async def _remove_rest(self, seconds: float) -> None:
        """Remove what still bears the label of this engine: some removal failed or came too late."""
        labels: dict[str, str | None] = {OWNER_LABEL: self.owner.id}
        try:
            async with asyncio.timeout(seconds):
                left = await self.client.list_containers(labels=labels)
                removals = (self.client.remove_container(container.id) for container in left)
                results = await asyncio.gather(*removals, return_exceptions=True)
                for volume in await self.client.list_volumes(labels):
                    await self.client.remove_volume(volume.name)
        except (TimeoutError, InterpreterToolsError) as error:
            results = [error]
        failed = [result for result in results if isinstance(result, BaseException)]
        if failed:
            _LOG.warning(
                "not everything could be removed; what is left ends by itself, or at the next start: %s", failed
            )
