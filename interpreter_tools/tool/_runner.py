"""From validated arguments to a run: the one place that knows what the engine is asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from interpreter_tools._config import ContainerStrategy, EngineConfig
from interpreter_tools._engine import ExecutionEngine
from interpreter_tools._exceptions import ConfigurationError, EngineClosed
from interpreter_tools._execution import Execution

if TYPE_CHECKING:
    from collections.abc import Mapping

    from interpreter_tools._options import RunOptions
    from interpreter_tools.tool._arguments import ToolArguments
    from interpreter_tools.tool._options import ToolOptions


class Runner:
    """Turns calls into runs, in an engine that is given, or made on first use and then its own.

    Args:
        engine: what runs them; None makes one.
        config: what that one is to be like.
        options: how the tool is to be.

    Raises:
        ConfigurationError: the tool is to be something that cannot be.
    """

    def __init__(self, engine: ExecutionEngine | None, config: EngineConfig | None, options: ToolOptions) -> None:
        if engine is not None and config is not None:
            hint = "give one of the two: an engine has its own configuration"
            raise ConfigurationError("config", config, "is for an engine that the tool makes itself", hint=hint)
        _refuse_sessions(options)
        self._given = engine
        self._own: ExecutionEngine | None = None
        self._config = config
        self._options = options
        self._closed = False

    def __repr__(self) -> str:
        engine = self._given or self._own
        return f"<Runner {'closed' if self._closed else engine or 'no engine yet'}>"

    def execution(self, arguments: ToolArguments, files: Mapping[str, bytes]) -> Execution:
        """The run that is asked for; it begins, and its engine with it, with ``async with``."""
        self._check_open()
        options = self._run_options(arguments)
        options["files"] = files

        async def make() -> Execution:
            engine = await self._engine()
            return engine.stream(arguments.language, arguments.code, **options)

        return Execution.later(make, stdin=options.get("stdin"), capture=True)

    async def aclose(self) -> None:
        """Closes the engine if it is our own. Does nothing the second time."""
        self._closed = True
        if self._own is not None:
            await self._own.aclose()

    async def _engine(self) -> ExecutionEngine:
        self._check_open()
        if self._given is not None:
            return self._given
        if self._own is None:
            self._own = ExecutionEngine(self._config)
        return await self._own.start()

    def _check_open(self) -> None:
        if self._closed:
            raise EngineClosed("the tool was cleaned up", hint="make another with create_code_execution_tool(...)")

    def _run_options(self, arguments: ToolArguments) -> RunOptions:
        if arguments.dependencies:
            hint = "use an image that holds the packages: ContainerConfig(image=...)"
            raise ConfigurationError("dependencies", arguments.dependencies, "cannot be installed yet", hint=hint)
        given = self._options
        options: RunOptions = {
            "timeout": arguments.timeout,
            "environment": given.environment,
            "stdin": (arguments.stdin or "").encode("utf-8", "surrogatepass"),
            "strategy": given.strategy,
        }
        if given.memory_limit is not None:
            options["memory_limit"] = given.memory_limit
        if given.cpu_limit is not None:
            options["cpu_limit"] = given.cpu_limit
        if given.network is not None:
            options["network"] = given.network
        return options


def _refuse_sessions(options: ToolOptions) -> None:
    """What needs a session is refused rather than left out."""
    hint = "use PER_EXECUTION or POOL, with files= for what the program reads"
    if options.session_id is not None:
        raise ConfigurationError("session_id", options.session_id, "needs sessions", hint=hint)
    if options.workspace_sharing != "isolated":
        raise ConfigurationError("workspace_sharing", options.workspace_sharing, "needs sessions", hint=hint)
    if options.mounts:
        raise ConfigurationError("mounts", options.mounts, "need sessions", hint=hint)
    if options.strategy not in {ContainerStrategy.PER_EXECUTION, ContainerStrategy.POOL}:
        raise ConfigurationError("strategy", options.strategy, "needs sessions", hint=hint)
