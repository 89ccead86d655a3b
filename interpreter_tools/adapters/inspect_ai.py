"""A sandbox for Inspect: ``Task(..., sandbox="interpreter-tools")``, with ``inspect-ai`` and this package installed.

A TOML file configures it: ``sandbox=("interpreter-tools", "my.toml")``, or ``interpreter-tools.toml`` in the
task's directory; or ``SandboxEnvironmentSpec("interpreter-tools", SandboxConfig(image="...", network="bridge"))``.
"""

from __future__ import annotations

import asyncio
import errno
import os
import weakref
from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal, overload

import msgspec
from inspect_ai.util import (
    ExecResult,
    OutputLimitExceededError,
    SandboxEnvironment,
    SandboxEnvironmentConfigType,
    SandboxEnvironmentLimits,
    SandboxUnavailableError,
    SandboxUserUnsupportedError,
    sandboxenv,
)
from pydantic import BaseModel

from interpreter_tools._config.model import ContainerConfig, ContainerStrategy, EngineConfig
from interpreter_tools._config.mounts import Mount
from interpreter_tools._engine import ExecutionEngine
from interpreter_tools._exceptions import (
    ConfigurationError,
    ContainerLost,
    ContainerStartFailed,
    EngineClosed,
    MachineError,
    PoolTimeout,
    SessionClosed,
    UnknownSession,
)

if TYPE_CHECKING:
    from collections.abc import Generator

    from interpreter_tools._commands.commands import Commands

_CONFIG_FILE = "interpreter-tools.toml"
_TOOLS = Mount(target="/var/tmp", size="64m")  # noqa: S108 - in the sandbox: where Inspect puts tools of its own
_ROOM_FOR_TOOLS = 256 << 20  # bytes of memory that a sandbox must have for that


class SandboxConfig(BaseModel, frozen=True):
    """The configuration of a sample's sandbox; attributes as in ``ContainerConfig``, and None means the engine's."""

    image: str | None = None
    memory_limit: str | int | None = None
    cpu_limit: float | None = None
    network: str | None = None
    working_dir: str | None = None
    environment: tuple[tuple[str, str], ...] | None = None

    def over(self, container: ContainerConfig) -> ContainerConfig:
        """Return the container's configuration with these changes.

        Raises:
            ConfigurationError: a value cannot work.
        """
        changes = {name: value for name, value in self.model_dump().items() if value is not None}
        if self.environment is not None:
            changes["environment"] = {**container.environment, **dict(self.environment)}
        container = msgspec.structs.replace(container, **changes)
        container.__post_init__()
        return container


async def _engine_config(config: SandboxEnvironmentConfigType | None) -> EngineConfig:
    """Return the engine's configuration for a task: from the file that it names, or from the usual files."""
    found = await asyncio.to_thread(EngineConfig.load, config if isinstance(config, str) else None)
    container = found.container
    if isinstance(config, SandboxConfig):
        container = config.over(container)
    if container.memory_bytes >= _ROOM_FOR_TOOLS and all(mount.path != _TOOLS.path for mount in container.mounts):
        container = msgspec.structs.replace(container, mounts=(*container.mounts, _TOOLS))
    return msgspec.structs.replace(found, container=container)


class _Engines:
    """The engines of one event loop, by configuration; each lives as long as a task or a sample uses it."""

    def __init__(self) -> None:
        self._lock = asyncio.Lock()
        self._engines: dict[SandboxEnvironmentConfigType | None, tuple[ExecutionEngine, int]] = {}

    @classmethod
    def here(cls) -> _Engines:
        """Return the engines of the running event loop."""
        return _ENGINES.setdefault(asyncio.get_running_loop(), cls())

    @property
    def users(self) -> int:
        """The number of tasks and samples that use an engine."""
        return sum(users for _, users in self._engines.values())

    async def acquire(self, config: SandboxEnvironmentConfigType | None) -> ExecutionEngine:
        """Return a running engine. It runs until it was released as often as it was acquired."""
        if config is not None and not isinstance(config, (str, SandboxConfig)):
            hint = f"give the name of a TOML file, or interpreter_tools.adapters.inspect_ai.{SandboxConfig.__name__}"
            raise ConfigurationError("sandbox.config", type(config).__name__, "is not known", hint=hint)
        async with self._lock:
            engine, users = self._engines.get(config, (None, 0))
            if engine is None:
                engine = await ExecutionEngine(await _engine_config(config)).start()
            self._engines[config] = (engine, users + 1)
            return engine

    async def release(self, config: SandboxEnvironmentConfigType | None) -> None:
        """Release an engine; close it after the last release."""
        async with self._lock:
            engine, users = self._engines[config]
            if users > 1:
                self._engines[config] = (engine, users - 1)
            else:
                del self._engines[config]
                await engine.aclose()


_ENGINES: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, _Engines] = weakref.WeakKeyDictionary()


@sandboxenv(name="interpreter-tools")  # pyright: ignore[reportUntypedClassDecorator]
class InterpreterToolsSandboxEnvironment(SandboxEnvironment):
    """A session of an engine as Inspect's sandbox: commands side by side, files, background processes.

    Commands run as the session's user; there is no other, and no root. The image needs Python 3, as the default one
    has.
    """

    def __init__(self, commands: Commands) -> None:
        super().__init__()
        self._commands = commands

    # -- life

    @classmethod
    async def task_init(cls, task_name: str, config: SandboxEnvironmentConfigType | None) -> None:
        """Start the engine of a task's samples.

        Raises:
            ConfigurationError: the configuration cannot work.
            MachineError: Docker or the image is missing.
        """
        engine = await _Engines.here().acquire(config)
        try:
            await engine.warm()
        except BaseException:
            await _Engines.here().release(config)
            raise

    @classmethod
    async def task_cleanup(cls, task_name: str, config: SandboxEnvironmentConfigType | None, cleanup: bool) -> None:
        """Close the engine with its containers, even when Inspect is asked to leave them."""
        await _Engines.here().release(config)

    @classmethod
    async def sample_init(
        cls, task_name: str, config: SandboxEnvironmentConfigType | None, metadata: dict[str, str]
    ) -> dict[str, SandboxEnvironment]:
        """Make the session of a sample."""
        engine = await _Engines.here().acquire(config)
        try:
            return {
                "default": cls(engine.session(idle_timeout=None, strategy=ContainerStrategy.PER_SESSION).commands())
            }
        except BaseException:
            await _Engines.here().release(config)
            raise

    @classmethod
    async def sample_cleanup(
        cls,
        task_name: str,
        config: SandboxEnvironmentConfigType | None,
        environments: dict[str, SandboxEnvironment],
        interrupted: bool,
    ) -> None:
        """Remove the session of a sample, with all processes in it."""
        for environment in environments.values():
            try:
                await environment.as_type(cls).aclose()
            finally:
                await _Engines.here().release(config)

    async def aclose(self) -> None:
        """Remove the session, with all processes in it."""
        await self._commands.aclose()

    @classmethod
    def default_concurrency(cls) -> int:
        """Return the number of sandboxes that Inspect gives Docker."""
        return 2 * (os.cpu_count() or 1)

    @classmethod
    def config_files(cls) -> list[str]:
        """Return the names of configuration files that Inspect looks for beside a task."""
        return [_CONFIG_FILE]

    @classmethod
    def config_deserialize(cls, config: dict[str, object]) -> BaseModel:
        """Return the configuration that a log holds."""
        return SandboxConfig.model_validate(config)

    def default_polling_interval(self) -> float:
        """Return the seconds between two polls of a command of ``exec_remote``; a poll costs a few milliseconds."""
        return 0.2

    # -- commands

    async def exec(  # noqa: PLR0917 - the order is Inspect's
        self,
        cmd: list[str],
        input: str | bytes | None = None,  # noqa: A002 - the names are Inspect's
        cwd: str | None = None,
        env: dict[str, str] | None = None,
        user: str | None = None,
        timeout: int | None = None,
        timeout_retry: bool = True,
        concurrency: bool = True,
    ) -> ExecResult[str]:
        """Run a command to its end. Cancelling kills it, and so does a limit.

        Args:
            cmd: the program and its arguments.
            input: its standard input.
            cwd: the directory that it starts in, relative to the working directory.
            env: variables beside the sandbox's.
            user: None; a sandbox has one user.
            timeout: seconds; None means no limit.
            timeout_retry: ignored: a killed command is not run again.
            concurrency: ignored.

        Raises:
            TimeoutError: the command ran for too long.
            PermissionError: the program may not be run.
            OSError: the directory cannot be entered.
            OutputLimitExceededError: one of its outputs grew beyond Inspect's limit.
            SandboxUserUnsupportedError: a user was named.
            SandboxUnavailableError: the sandbox is gone, or cannot be started.
        """
        if user is not None:
            raise SandboxUserUnsupportedError(f"interpreter-tools runs commands as its own user, not as {user!r}")
        with _unavailable():
            ended = await self._commands.run(
                cmd,
                stdin=input.encode() if isinstance(input, str) else input or b"",
                cwd=cwd,
                environment=env,
                timeout=timeout,
                output_limit=SandboxEnvironmentLimits.MAX_EXEC_OUTPUT_SIZE,
            )
        stdout, stderr = (data.decode("utf-8", "replace") for data in (ended.stdout, ended.stderr))
        if ended.outcome == "timeout":
            raise TimeoutError(f"the command ran for more than {timeout} s")
        if ended.outcome == "output_limit":
            raise OutputLimitExceededError(SandboxEnvironmentLimits.MAX_EXEC_OUTPUT_SIZE_STR, stdout or stderr)
        if ended.failure == errno.EACCES:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), cmd[0])
        return ExecResult(success=ended.exit_code == 0, returncode=ended.exit_code, stdout=stdout, stderr=stderr)

    # -- files

    async def write_file(self, file: str, contents: str | bytes) -> None:
        """Write a file, with missing directories.

        Raises:
            OSError: the file cannot be written; the error says why.
        """
        data = contents.encode() if isinstance(contents, str) else contents
        with _unavailable():
            await self._commands.write_file(self._resolve(file), data)

    @overload
    async def read_file(self, file: str, text: Literal[True] = True) -> str: ...

    @overload
    async def read_file(self, file: str, text: Literal[False]) -> bytes: ...

    async def read_file(self, file: str, text: bool = True) -> str | bytes:
        """Return a file's text, which must be UTF-8, or its bytes.

        Raises:
            OSError: the file cannot be read; the error says why.
            UnicodeDecodeError: the file is not UTF-8.
            OutputLimitExceededError: the file is larger than Inspect's limit.
        """
        with _unavailable():
            try:
                data = await self._commands.read_file(
                    self._resolve(file), limit=SandboxEnvironmentLimits.MAX_READ_FILE_SIZE
                )
            except OSError as error:
                if error.errno == errno.EFBIG:
                    raise OutputLimitExceededError(SandboxEnvironmentLimits.MAX_READ_FILE_SIZE_STR, None) from error
                raise
        return data.decode("utf-8") if text else data

    def _resolve(self, file: str) -> str:
        return os.path.join(self._commands.working_dir(), file)  # noqa: PTH118 - a path in the container


@contextmanager
def _unavailable() -> Generator[None]:
    """Turn errors of a sandbox that is gone or cannot be started into the framework's error."""
    try:
        yield
    except (
        ContainerLost,
        ContainerStartFailed,
        EngineClosed,
        MachineError,
        PoolTimeout,
        SessionClosed,
        UnknownSession,
    ) as error:
        raise SandboxUnavailableError(str(error)) from error
