"""What can be asked for in one run, and what it comes to with the engine's configuration."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, TypedDict

import msgspec

from interpreter_tools._config import ContainerConfig, ContainerStrategy, check_environment
from interpreter_tools._exceptions import ConfigurationError
from interpreter_tools._limits import check_seconds, parse_size

if TYPE_CHECKING:
    from interpreter_tools._config import EngineConfig


class RunOptions(TypedDict, total=False):
    """Keyword options of ``run`` and ``stream``; what is left out comes from the engine's configuration.

    Attributes:
        timeout: seconds of run time; None means no limit.
        memory_limit: bytes, or a text such as ``"256m"``.
        cpu_limit: cores, such as ``"0.5"``; None means no limit.
        environment: variables for this run, over those of the container's configuration.
        stdin: bytes for the program's standard input, which then ends. None leaves it open for ``send_stdin`` in
            ``stream``, and is the same as ``b""`` in ``run``.
        files: contents by path below the workspace, written before the code starts.
        output_limit: bytes of stdout and stderr together; None means no limit.
        network: ``"none"``, or the name of a Docker network.
        image: the image to run in.
        strategy: whether the container is used again.
        dependencies: packages that the code uses, as the language's installer names them; installed once for all runs
            that ask for the same.
        capture: keep the output for the result's ``stdout`` and ``stderr``; False saves the memory.
    """

    timeout: float | None
    memory_limit: str | int
    cpu_limit: str | float | None
    environment: Mapping[str, str]
    stdin: bytes | None
    files: Mapping[str, bytes]
    output_limit: str | int | None
    network: str
    image: str
    strategy: ContainerStrategy
    dependencies: Sequence[str]
    capture: bool


class Resolved(msgspec.Struct, frozen=True, kw_only=True):
    """A run's options, complete and checked; attributes as in ``RunOptions``."""

    container: ContainerConfig
    environment: dict[str, str]
    stdin: bytes | None
    files: Mapping[str, bytes]
    timeout: float | None
    output_limit: int | None
    strategy: ContainerStrategy
    dependencies: Sequence[str]
    capture: bool


_CONTAINER_OPTIONS = ("memory_limit", "cpu_limit", "network", "image")


def _strategy(value: ContainerStrategy | str) -> ContainerStrategy:
    try:
        return ContainerStrategy(value)
    except ValueError:
        known = ", ".join(strategy.value for strategy in ContainerStrategy)
        raise ConfigurationError("strategy", value, "is not a strategy", hint=f"known: {known}") from None


def resolve(config: EngineConfig, options: RunOptions) -> Resolved:
    """The options over the engine's configuration.

    Raises:
        ConfigurationError: an option does not exist, or its value cannot work.
    """
    for name in options:
        if name not in RunOptions.__annotations__:
            known = ", ".join(sorted(RunOptions.__annotations__))
            raise ConfigurationError(name, "...", "is not an option of a run", hint=f"known: {known}")
    container = config.container
    changes = {name: options.get(name) for name in _CONTAINER_OPTIONS if name in options}
    if changes:
        container = msgspec.structs.replace(container, **changes)
        container.__post_init__()
    timeout = check_seconds(options.get("timeout", config.timeout), field="timeout")
    output_limit = options.get("output_limit", config.output_limit)
    stdin = options.get("stdin")
    if stdin is not None and not isinstance(stdin, (bytes, bytearray, memoryview)):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise ConfigurationError("stdin", type(stdin).__name__, "is not bytes", hint="encode the text")
    return Resolved(
        container=container,
        environment={
            **container.environment,
            **check_environment(dict(options.get("environment", {})), field="environment"),
        },
        stdin=None if stdin is None else bytes(stdin),
        files=options.get("files", {}),
        timeout=timeout,
        output_limit=None if output_limit is None else parse_size(output_limit, field="output_limit"),
        strategy=_strategy(options.get("strategy", ContainerStrategy.PER_EXECUTION)),
        dependencies=options.get("dependencies", ()),
        capture=options.get("capture", True),
    )
