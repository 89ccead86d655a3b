"""The installations of one engine: one for each key, with any number of waiters."""

from __future__ import annotations

import functools
import hashlib
import logging
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import anyio

from interpreter_tools._dependencies.derived_image import build_derived
from interpreter_tools._dependencies.indexes import IndexSettings, allowed_hosts
from interpreter_tools._dependencies.installer import Installer, installer_shape, open_installer
from interpreter_tools._dependencies.requirement import Requirement, make_requirement
from interpreter_tools._dependencies.store import evict, prune_to_size
from interpreter_tools._dependencies.wanted import Packages
from interpreter_tools._exceptions import ConfigurationError, EngineClosed, InterpreterToolsError
from interpreter_tools._execution.installing import Installed
from interpreter_tools._execution.placement import Missing
from interpreter_tools._languages.specifiers import normalise

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Sequence

    from interpreter_tools._background import BackgroundTasks
    from interpreter_tools._config.model import EngineConfig
    from interpreter_tools._config.results import DependencyStream
    from interpreter_tools._container.container import Container
    from interpreter_tools._container.shape import Shape
    from interpreter_tools._dependencies.installer import Runtime
    from interpreter_tools._docker import DockerClient
    from interpreter_tools._execution.installing import Waiter
    from interpreter_tools._languages import DependencyPlan, LanguageConfig

_LOG = logging.getLogger("interpreter_tools")
_REMEMBERED = 2000  # sets of packages
_KEPT = 1 << 20  # bytes of output kept for those who join later; what comes after is dropped
_DROPPED = b"\ninterpreter-tools: the rest of the installer's output is not shown\n"
_CLOSED = "the engine was closed while packages were installed"


class Ticket:
    """The place of a waiter for an installation."""

    def __init__(self, install: Install, waiter: Waiter) -> None:
        self._install: Install | None = install
        self._waiter = waiter

    def leave(self) -> None:
        """Stop waiting; an installation without waiters is cancelled. Does nothing the second time."""
        install, self._install = self._install, None
        if install is not None:
            install.leave(self._waiter)


class Install:
    """One installation, for all of its waiters."""

    def __init__(self, installs: Installs, requirement: Requirement) -> None:
        self._installs = installs
        self.requirement = requirement
        self._waiters: list[Waiter] = []
        self._written: list[tuple[DependencyStream, bytes]] = []
        self._size = 0
        self._ended = False
        self._scope: anyio.CancelScope | None = None  # while it runs

    def __repr__(self) -> str:
        return f"<Install {self.requirement.key[:12]} [{len(self._waiters)} waiting]>"

    def join(self, waiter: Waiter) -> Ticket:
        """Add a waiter, which gets the output so far, and the output and the end from now on."""
        for stream, data in self._written:
            waiter.installer_wrote(stream, data)
        self._waiters.append(waiter)
        return Ticket(self, waiter)

    def leave(self, waiter: Waiter) -> None:
        """Remove a waiter."""
        if waiter in self._waiters:
            self._waiters.remove(waiter)
        if not self._waiters and not self._ended:
            self.cancel(EngineClosed(_CLOSED))

    def write(self, stream: DependencyStream, data: bytes) -> None:
        """Pass output on to the waiters."""
        if self._size > _KEPT:
            return
        self._size += len(data)
        if self._size > _KEPT:
            data = data[: _KEPT - self._size] + _DROPPED
        self._written.append((stream, data))
        for waiter in tuple(self._waiters):
            waiter.installer_wrote(stream, data)

    def end(self, result: Installed | InterpreterToolsError) -> None:
        """Tell the waiters the end; the next call begins a new installation. Does nothing the second time."""
        if self._ended:
            return
        self._ended = True
        self._installs.forget(self)
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            waiter.installed(result)

    def cancel(self, error: InterpreterToolsError) -> None:
        """Cancel the installation."""
        self.end(error)
        if self._scope is not None:
            self._scope.cancel()

    async def run(self) -> None:
        """Install, and tell the waiters the end, whatever it is."""
        with anyio.CancelScope() as self._scope:
            if self._ended:  # before its turn came
                return
            try:
                if self.requirement.plan.kind == "system":
                    await self._installs.build(self)
                else:
                    await self._installs.fill(self)
            except InterpreterToolsError as error:
                self.end(error)
            finally:
                self.end(EngineClosed(_CLOSED))


class Installs:
    """The installations and requirements of an engine.

    Args:
        client: the Docker engine.
        config: the engine's configuration.
        runtime: creates containers.
        tasks: where installations run.
    """

    def __init__(self, client: DockerClient, config: EngineConfig, *, runtime: Runtime, tasks: BackgroundTasks) -> None:
        self._client = client
        self._config = config
        self._runtime = runtime
        self._tasks = tasks
        self._settings = IndexSettings.of(config)
        self.allowed_hosts = allowed_hosts(config)
        self._known: dict[tuple[object, ...], Requirement] = {}
        self._running: dict[str, Install] = {}
        self._leaving: dict[str, anyio.Event] = {}  # a container still has the name that the next one needs
        self._closed = False

    def __repr__(self) -> str:
        return f"<Installs [{len(self._running)} running]>"

    def require(
        self, language: LanguageConfig, plan: DependencyPlan, packages: tuple[str, ...], shape: Shape, *, base: str = ""
    ) -> Requirement:
        """Return what a run in containers of a shape needs; it is remembered, as the next run will ask again.

        Args:
            language: of the run.
            plan: how the packages are installed: the language's, or that of the distribution.
            packages: normalised specifiers.
            shape: the run's containers.
            base: the key of the derived image that they are made from; empty where it is none.
        """
        asked = (language.language, plan.kind, packages, base or shape.image_id, shape.image, shape.config.runtime)
        known = self._known.get(asked)
        if known is not None and known.plan is plan:
            return known
        requirement = make_requirement(
            language.language,
            plan,
            packages,
            shape,
            self._settings,
            store=self._config.dependency_store,
            base=base,
        )
        if len(self._known) >= _REMEMBERED:
            for oldest in list(self._known)[: _REMEMBERED // 2]:
                del self._known[oldest]
        self._known[asked] = requirement
        return requirement

    def missing(self, requirement: Requirement) -> Missing:
        """Return what a run waits for when the packages are not there."""
        return Missing(requirement.key, functools.partial(self.join, requirement))

    def join(self, requirement: Requirement, waiter: Waiter) -> Ticket:
        """Wait for the installation that is under way, or begin it.

        Raises:
            EngineClosed: the engine is closed.
        """
        install = self._running.get(requirement.key)
        if install is None:
            install = Install(self, requirement)
            if self._closed or not self._tasks.spawn(install.run):
                raise EngineClosed(_CLOSED)
            self._running[requirement.key] = install
        return install.join(waiter)

    def forget(self, install: Install) -> None:
        """Remove an installation that has ended."""
        if self._running.get(install.requirement.key) is install:
            del self._running[install.requirement.key]

    @asynccontextmanager
    async def _alone(self, install: Install, shape: Shape) -> AsyncGenerator[Container]:
        """Keep the container whose name tells what is installed: meanwhile no other client installs the same.

        It ends with this process, so that one that dies stands in nobody's way.
        """
        key, config = install.requirement.key, self._config
        lock = hashlib.sha256(f"{config.dependency_store}\0{key}".encode()).hexdigest()[:16]
        while (earlier := self._leaving.get(key)) is not None:
            await earlier.wait()
        told = False

        def tell_once() -> None:
            nonlocal told
            if not told:
                install.write("dependency_stderr", b"interpreter-tools: another client installs the same; waiting\n")
            told = True

        container = await open_installer(
            self._runtime,
            shape,
            f"interpreter-tools-install-{lock}",
            timeout=config.dependency_timeout,
            on_wait=tell_once,
        )
        gone = self._leaving[key] = anyio.Event()
        try:
            yield container
        finally:
            await container.aclose()
            del self._leaving[key]
            gone.set()

    async def fill(self, install: Install) -> None:
        """Install into the store."""
        requirement, timeout = install.requirement, self._config.dependency_timeout
        async with self._alone(install, installer_shape(requirement.shape, self._config)) as container:
            result = await Installer(container, requirement, self._settings, install.write, timeout=timeout).install()
            install.end(result)
            await self._tidy(container, requirement.key, failed=result.exit_code != 0)

    async def build(self, install: Install) -> None:
        """Make a derived image, unless another client has done so meanwhile."""
        requirement, config = install.requirement, self._config
        async with self._alone(install, installer_shape(requirement.shape, config, network="none")):
            if await self._client.inspect_image(requirement.image) is not None:
                install.end(Installed())
                return
            install.end(
                await build_derived(
                    self._client,
                    requirement,
                    self._settings,
                    install.write,
                    timeout=config.dependency_timeout,
                    network=config.dependency_network,
                )
            )

    async def _tidy(self, container: Container, key: str, *, failed: bool) -> None:
        """Remove the rest of a failed installation, or entries beyond the size of the store."""
        try:
            if failed:
                await evict(container.channel, f".{key}")
            else:
                await prune_to_size(container.channel, self._config, keep=key)
        except (InterpreterToolsError, TimeoutError):
            _LOG.warning("the dependency store could not be tidied", exc_info=True)

    def aclose(self) -> None:
        """Cancel every installation."""
        self._closed = True
        for install in tuple(self._running.values()):
            install.cancel(EngineClosed(_CLOSED))


def check_packages(
    language: LanguageConfig, specifiers: Sequence[str], system: Sequence[str] | None, config: EngineConfig
) -> Packages:
    """Return the packages that a run asks for, normalised.

    Args:
        language: of the run.
        specifiers: packages of the language.
        system: packages of the distribution.
        config: says from which hosts packages may be named by URL.

    Raises:
        ConfigurationError: one is not a package, or the language has no installer.
    """
    if not specifiers and not system:
        return Packages()
    plan = language.dependencies
    if plan is None and specifiers:
        hint = "register it with LanguageConfig(dependencies=DependencyPlan(...))"
        raise ConfigurationError("dependencies", specifiers, f"cannot be installed for {language.language}", hint=hint)
    own = normalise(plan.kind, specifiers, hosts=allowed_hosts(config)) if plan is not None and specifiers else ()
    of_system = normalise("system", system, field="system_dependencies") if system else ()
    if plan is not None and plan.kind == "system":
        return Packages(own=normalise("system", [*own, *of_system]))
    return Packages(own=own, system=of_system)
