"""The inventory of an image for a language, asked once in a container of its own without a network."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import anyio
import msgspec

from interpreter_tools._dependencies.installer import installer_shape, run_program
from interpreter_tools._exceptions import InterpreterMissing
from interpreter_tools._languages import BASE_ENVIRONMENT
from interpreter_tools._languages.known import system_packages
from interpreter_tools._protocol import Exited

if TYPE_CHECKING:
    from interpreter_tools._config.model import EngineConfig
    from interpreter_tools._config.results import DependencyStream
    from interpreter_tools._container.container import Container
    from interpreter_tools._container.shape import Shape
    from interpreter_tools._languages import DependencyPlan

_TIMEOUT = 60.0
_MOST_BYTES = 4 << 20
_REMEMBERED = 64  # images


class Inventory(msgspec.Struct, frozen=True, kw_only=True):
    """The packages and modules that an image has for a language.

    Attributes:
        version: the version of the interpreter.
        standard: modules of the standard library.
        modules: all that a program can load, as far as it lies where every program finds it.
        packages: names of what is installed, as the language's installer knows them.
        has_apt: Debian's packages can be installed.
        has: which libraries and programs of the table of system packages are there.
    """

    version: str = ""
    standard: frozenset[str] = frozenset()
    modules: frozenset[str] = frozenset()
    packages: frozenset[str] = frozenset()
    has_apt: bool = False
    has: frozenset[str] = frozenset()


class Runtime(Protocol):
    """The part of the engine's runtime that this module uses."""

    async def create(self, shape: Shape) -> Container:
        """Start a container that no pool counts."""
        ...


class Inventories:
    """The inventories of an engine's images, each asked for once.

    Args:
        runtime: creates containers.
        config: the engine's configuration.
    """

    def __init__(self, runtime: Runtime, config: EngineConfig) -> None:
        self._runtime = runtime
        self._config = config
        self._known: dict[tuple[str, tuple[str, ...]], Inventory] = {}
        self._locks: dict[tuple[str, tuple[str, ...]], anyio.Lock] = {}

    def __repr__(self) -> str:
        return f"<Inventories [{len(self._known)} known]>"

    async def get(self, plan: DependencyPlan, shape: Shape) -> Inventory:
        """Return what the image of a shape has; callers that ask meanwhile wait for the one answer.

        Args:
            plan: of the language; it says how the image is asked.
            shape: names the image.

        Raises:
            InterpreterMissing: the image cannot answer.
            InterpreterToolsError: no container could be started, or it went away.
        """
        key = shape.image_id, plan.inventory
        known = self._known.get(key)
        if known is not None:
            return known
        lock = self._locks.setdefault(key, anyio.Lock())
        try:
            async with lock:
                if key not in self._known:
                    self._known[key] = await self._ask(plan, shape)
                    if len(self._known) > _REMEMBERED:
                        del self._known[next(iter(self._known))]
                return self._known[key]
        finally:
            if not lock.statistics().tasks_waiting:
                self._locks.pop(key, None)

    async def _ask(self, plan: DependencyPlan, shape: Shape) -> Inventory:
        written = {"dependency_stdout": bytearray(), "dependency_stderr": bytearray()}

        def keep(stream: DependencyStream, data: bytes) -> None:
            if len(written[stream]) <= _MOST_BYTES:
                written[stream] += data

        container = await self._runtime.create(installer_shape(shape, self._config, network="none"))
        try:
            ended = await run_program(
                container,
                [*plan.inventory, *system_packages()],
                {**BASE_ENVIRONMENT, **shape.image_environment},
                directory="/",
                timeout=_TIMEOUT,
                sink=keep,
            )
        finally:
            await container.aclose()
        try:
            if isinstance(ended, Exited) and ended.exit_code == 0:
                return msgspec.json.decode(bytes(written["dependency_stdout"]), type=Inventory)
        except msgspec.DecodeError:
            pass  # told below, with what it wrote
        said = bytes(written["dependency_stderr"][-500:]).decode("utf-8", "replace").strip()
        raise InterpreterMissing(plan.inventory[0], shape.image, f"it does not tell which packages it has: {said}")
