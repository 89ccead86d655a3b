"""The way from validated arguments to a run of the engine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, TypeAlias

import msgspec

from interpreter_tools._config.model import ContainerConfig, ContainerStrategy, EngineConfig, SessionConfig
from interpreter_tools._config.patterns import check_patterns
from interpreter_tools._engine import ExecutionEngine
from interpreter_tools._exceptions import ConfigurationError, EngineClosed, InvalidArguments, UsageError
from interpreter_tools._execution.calls import ToolCalls
from interpreter_tools._execution.execution import Execution
from interpreter_tools._execution.placement import LaterPlacement
from interpreter_tools._languages import LanguageRegistry
from interpreter_tools.tool._pictures import showing_figures
from interpreter_tools.tool._stateful import Contexts, StatefulRun, check_stateful

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from interpreter_tools._config.options import RunOptions
    from interpreter_tools._context.cell import Cell
    from interpreter_tools._execution.placement import Placement
    from interpreter_tools._session.session import Session
    from interpreter_tools.tool._arguments import ToolArguments
    from interpreter_tools.tool._options import ToolOptions

Sharing: TypeAlias = Literal["isolated", "shared"]


class Runner:
    """Turns calls into runs, in the caller's engine, or in one that is made on first use.

    Runs that share files belong to a session: the caller's, or one that is made when it is needed and lives until
    ``aclose``.

    Args:
        engine: the caller's engine; None makes one.
        config: the configuration of the engine that is made.
        options: the options of the tool.

    Raises:
        ConfigurationError: the options contradict each other.
    """

    def __init__(self, engine: ExecutionEngine | None, config: EngineConfig | None, options: ToolOptions) -> None:
        if engine is not None and config is not None:
            hint = "give one of the two: an engine has its own configuration"
            raise ConfigurationError("config", config, "is for an engine that the tool makes itself", hint=hint)
        if options.session_id is not None and engine is None:
            hint = "give the engine in which create_session has made it"
            raise ConfigurationError("session_id", options.session_id, "is of no engine", hint=hint)
        self._given = engine
        self._own: ExecutionEngine | None = None
        self._config = config
        self._options = options
        self._session: Session | None = None
        self._contexts = Contexts(options.limits.get("environment", {}))
        self._closed = False

    def __repr__(self) -> str:
        return f"<Runner {'closed' if self._closed else self.engine or 'no engine yet'}>"

    @property
    def engine(self) -> ExecutionEngine | None:
        """The engine that runs the code; None before one is made."""
        return self._given or self._own

    @property
    def networked(self) -> bool:
        """True when programs have a network."""
        engine = self.engine
        config = engine.config if engine is not None else self._config
        default = "none" if config is None else config.container.network
        return self._options.limits.get("network", default) != "none"

    @property
    def session_id(self) -> str | None:
        """The id of the session of the runs; None while there is none."""
        return self._options.session_id if self._session is None else self._session.id

    def execution(
        self,
        arguments: ToolArguments,
        files: Mapping[str, str | bytes],
        *,
        collect: Sequence[str] = (),
        sharing: Sharing | None = None,
    ) -> Execution | StatefulRun:
        """Return the run of a call; ``async with`` starts it, and its engine if need be.

        Args:
            arguments: the arguments of the call.
            files: contents for the workspace, by path.
            collect: patterns of files that come along with the result.
            sharing: ``"shared"`` shows this run the session's shared workspace; None means the tool's own setting.

        Raises:
            InvalidArguments: packages are asked for, and the tool was made without them.
            EngineClosed: the engine was closed.
        """
        self._check_open()
        options = self._run_options(arguments)
        if self._options.stateful and LanguageRegistry.get(arguments.language).cells is not None:
            check_stateful(arguments)
            return StatefulRun(lambda: self._cell(arguments, files, collect))
        options["files"] = files
        patterns = check_patterns(collect, field="collect")
        if sharing is not None:
            options["workspace_sharing"] = sharing

        async def make() -> Placement:
            engine = await self._start_engine()
            container = self._container(engine)
            options["environment"] = showing_figures(
                arguments.language, self._options.limits.get("environment", {}), container.environment
            )
            if self._options.session_id is not None:
                where = {"language": arguments.language, "code": arguments.code}
                return engine.stream_code(self._options.session_id, **where, **options).placement
            if self._options.keeps_files or sharing == "shared":
                return self._own_session(engine).stream(arguments.language, arguments.code, **options).placement
            if self._options.strategy is not None:
                options["strategy"] = self._options.strategy
            return engine.stream(arguments.language, arguments.code, **options).placement

        calls = ToolCalls(self._options.tools) if self._options.tools else None
        return Execution(LaterPlacement(make), stdin=_stdin(arguments), capture=True, collect=patterns, calls=calls)

    async def _cell(
        self, arguments: ToolArguments, files: Mapping[str, str | bytes], collect: Sequence[str]
    ) -> tuple[Cell, tuple[str, ...]]:
        """Return the cell of a call that keeps variables, and notes for its result."""
        if collect:
            raise ConfigurationError("collect", collect, "is not for a stateful tool", hint="use session.read_file")
        engine = await self._start_engine()
        given = self._options.session_id
        session = self._own_session(engine) if given is None else engine.get_session(given)
        for path, data in files.items():
            await session.write_file(path, data)
        context, notes = await self._contexts.of(session, arguments)
        cell = context.stream(
            arguments.code,
            timeout=arguments.timeout,
            stdin=_stdin(arguments),
            dependencies=arguments.dependencies or (),
            auto_dependencies=self._options.dependencies and self._options.auto_dependencies,
            tools=tuple(self._options.tools.values()),
        )
        return cell, notes

    async def aclose(self) -> None:
        """Close the engine and the session that this object made. Does nothing the second time."""
        self._closed = True
        if self._own is not None:
            await self._own.aclose()
        elif self._session is not None:
            await self._session.aclose()

    async def _start_engine(self) -> ExecutionEngine:
        self._check_open()
        if self._given is not None:
            return self._given
        if self._own is None:
            self._own = ExecutionEngine(self._config)
        engine = await self._own.start()
        self._check_open()  # it may have been closed meanwhile: nobody would close a session made then
        return engine

    @property
    def session_keeps_files(self) -> bool | None:
        """True when the caller's session keeps files for later calls; None without such a session."""
        if self._options.session_id is None or self.engine is None:
            return None
        try:
            return self.engine.get_session(self._options.session_id).config.keeps_files
        except UsageError:
            return None

    def _container(self, engine: ExecutionEngine) -> ContainerConfig:
        """Return the configuration of the containers of runs."""
        if self._options.session_id is None:
            return engine.config.container
        return engine.get_session(self._options.session_id).config.container_of(engine.config)

    def _own_session(self, engine: ExecutionEngine) -> Session:
        if self._session is None:
            stateful = self._options.stateful
            self._session = engine.session(
                SessionConfig(
                    strategy=_session_strategy(self._options),
                    tenant=self._options.limits.get("tenant"),
                    workspace_sharing="shared" if stateful else self._options.workspace_sharing,
                    container=_limited(engine.config.container, self._options) if stateful else None,
                    idle_timeout=None,  # the tool lives as long as its owner wants
                )
            )
        return self._session

    def _check_open(self) -> None:
        if self._closed:
            raise EngineClosed("the tool was cleaned up", hint="make another with create_code_execution_tool(...)")

    def _run_options(self, arguments: ToolArguments) -> RunOptions:
        given = self._options
        options: RunOptions = {
            **given.limits,
            "timeout": arguments.timeout,
            "stdin": _stdin(arguments),
            "tools": tuple(given.tools.values()),
        }
        if arguments.args:
            options["args"] = arguments.args
        if arguments.merge_output:
            options["merge_output"] = True
        if not given.dependencies:
            for field in ("dependencies", "system_dependencies"):
                if asked := getattr(arguments, field):
                    raise InvalidArguments(field, asked, "cannot be installed", hint="do without packages")
        if arguments.dependencies:
            options["dependencies"] = arguments.dependencies
        if arguments.system_dependencies:
            options["system_dependencies"] = arguments.system_dependencies
        options["auto_dependencies"] = given.dependencies and given.auto_dependencies
        if isinstance(given.strategy, ContainerStrategy):
            options["strategy"] = given.strategy
        if given.workspace_sharing == "shared":
            options["workspace_sharing"] = "shared"
        return options


def _stdin(arguments: ToolArguments) -> bytes:
    return (arguments.stdin or "").encode("utf-8", "surrogatepass")


def _session_strategy(options: ToolOptions) -> ContainerStrategy:
    """Return the strategy of the session that a tool makes: one whose runs can share files."""
    if options.stateful:
        return ContainerStrategy.PER_SESSION
    return options.strategy if isinstance(options.strategy, ContainerStrategy) else ContainerStrategy.PER_EXECUTION


def _limited(container: ContainerConfig, options: ToolOptions) -> ContainerConfig:
    """Return the configuration of a session's containers: contexts have the limits of their container."""
    fields = {field for field in ContainerConfig.__struct_fields__ if field != "environment"}
    limits = {name: value for name, value in options.limits.items() if name in fields and value is not None}
    return msgspec.structs.replace(container, **limits)
