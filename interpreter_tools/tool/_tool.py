"""The tool that models call to run code."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Literal, Self, Unpack

import msgspec

from interpreter_tools._config.model import ContainerStrategy, EngineConfig, check_strategy
from interpreter_tools._config.results import ExecutionResult
from interpreter_tools._exceptions import InvalidArguments
from interpreter_tools._languages import LanguageRegistry
from interpreter_tools.tool._advice import Circumstances
from interpreter_tools.tool._arguments import ToolArguments, blame_arguments, read_call
from interpreter_tools.tool._options import ToolOptions
from interpreter_tools.tool._outputs import Outputs
from interpreter_tools.tool._render import render_error, render_result
from interpreter_tools.tool._runner import Runner, Sharing
from interpreter_tools.tool._schema import JsonObject, arguments_schema

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from types import TracebackType

    from interpreter_tools._config.options import RunLimits
    from interpreter_tools._config.results import OutputChunk
    from interpreter_tools._engine import ExecutionEngine
    from interpreter_tools._exceptions import InterpreterToolsError
    from interpreter_tools._execution.execution import Execution

_NO_FILES: Mapping[str, bytes] = MappingProxyType({})


class ToolReply(msgspec.Struct, frozen=True, kw_only=True):
    """What a call of the tool comes to.

    Attributes:
        text: what the model is told.
        is_error: the code did not run, or its outcome is not ``ok``.
        result: how the run went; None when the arguments could not be understood, so that nothing ran.
        output_id: what ``CodeExecutionTool.full_output`` knows the result by; None as above.
    """

    text: str
    is_error: bool
    result: ExecutionResult | None = None
    output_id: str | None = None


class CodeExecutionTool:
    """A tool that runs code; made by ``create_code_execution_tool``.

    ``name``, ``description`` and ``json_schema`` are what a model is shown, ``call`` answers it with text, ``execute``
    gives the result itself, ``stream`` the output as it comes. It can be used by many tasks at once.
    """

    def __init__(self, engine: ExecutionEngine | None, config: EngineConfig | None, options: ToolOptions) -> None:
        self._options = options
        self._runner = Runner(engine, config, options)
        self._outputs = Outputs()

    def __repr__(self) -> str:
        return f"<CodeExecutionTool {self.name} {self._runner!r}>"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.cleanup()

    # -- what a model is shown

    @property
    def name(self) -> str:
        """What models call it."""
        return self._options.name

    @property
    def description(self) -> str:
        """What it does, for models: below 1,024 characters, as some providers take no more."""
        if self._options.description is not None:
            return self._options.description
        parts = [
            "Runs a complete program in a sandbox.",
            "Returns what it wrote to stdout and stderr, its exit code, and the names of the files that it made.",
            "Only what is printed is returned: print the values you want to know.",
            self._memory,
            "" if self._runner.networked else "The program has no network.",
            "" if self._options.timeout is None else f"It may run for {self._options.timeout:g} seconds.",
        ]
        return " ".join(filter(None, parts))

    @property
    def json_schema(self) -> JsonObject:
        """The schema of its arguments, with the languages that are registered now."""
        return self._schema(strict=False)

    @property
    def strict_json_schema(self) -> JsonObject:
        """The same as OpenAI's strict mode wants it: all is required, what is optional may be null."""
        return self._schema(strict=True)

    def _schema(self, *, strict: bool) -> JsonObject:
        return arguments_schema(
            self._options.allowed_languages(),
            timeout=self._options.timeout,
            dependencies=self._options.dependencies,
            strict=strict,
        )

    @property
    def _memory(self) -> str:
        """What a model is told about files of earlier calls."""
        if self._options.keeps_files:
            return "Files are kept for later calls, variables are not."
        if self._options.session_id is not None:
            keeps = self._runner.session_keeps_files
            if keeps is None:
                return ""  # the session is not there yet, or no longer
            if keeps:
                return "Files are kept for later calls, variables are not."
            return "Files that a call makes are gone with the next call, and so are variables."
        return "Nothing is kept between calls, neither variables nor files."

    # -- where it runs

    @property
    def engine(self) -> ExecutionEngine | None:
        """What runs the code; None before the first call of a tool that makes its own."""
        return self._runner.engine

    @property
    def session_id(self) -> str | None:
        """The session that runs belong to, for ``engine.read_file`` and others; None as long as there is none."""
        return self._runner.session_id

    # -- calling it

    async def execute(
        self,
        arguments: object = None,
        /,
        *,
        files: Mapping[str, bytes] = _NO_FILES,
        workspace_sharing: Sharing | None = None,
        **fields: object,
    ) -> ExecutionResult:
        """Runs what the arguments ask for, to its end.

        Args:
            arguments: an object, or text of JSON, as a model gave it; see ``ToolArguments``.
            files: contents by path below the workspace, written before the code starts; not for models.
            workspace_sharing: ``"shared"`` to see the workspace that all such runs of the tool share; None means as the
                tool was made.
            fields: arguments by name, over those of the object.

        Raises:
            InvalidArguments: they cannot be understood; ``render_error`` tells a model what to change.
            InterpreterToolsError: the infrastructure failed, as in ``ExecutionEngine.run``.
        """
        with blame_arguments():
            async with self.stream(arguments, files=files, workspace_sharing=workspace_sharing, **fields) as execution:
                return await execution.result()

    def stream(
        self,
        arguments: object = None,
        /,
        *,
        files: Mapping[str, bytes] = _NO_FILES,
        workspace_sharing: Sharing | None = None,
        **fields: object,
    ) -> Execution:
        """The same as ``execute``, as an ``Execution``, which starts with ``async with``: its output as it comes.

        Raises:
            InvalidArguments: they cannot be understood; nothing was touched.
        """
        return self._runner.execution(self._read(arguments, fields), files, sharing=workspace_sharing)

    async def call(
        self,
        arguments: object = None,
        /,
        *,
        files: Mapping[str, bytes] = _NO_FILES,
        on_chunk: Callable[[OutputChunk], object] | None = None,
        **fields: object,
    ) -> ToolReply:
        """Answers a model: with what its program did, or with what was wrong with the call.

        Args:
            arguments: as in ``execute``.
            files: the same.
            on_chunk: is called with each piece of output as it comes.
            fields: as in ``execute``.

        Raises:
            InterpreterToolsError: the infrastructure failed, which is not for a model to mend.
        """
        try:
            read, notes = read_call(arguments, self._options, fields)
            with blame_arguments():
                async with self._runner.execution(read, files) as execution:
                    if on_chunk is not None:
                        async for chunk in execution:
                            on_chunk(chunk)
                    result = await execution.result()
        except InvalidArguments as error:
            return ToolReply(text=self.render_error(error), is_error=True)
        return self._reply(read, notes, result)

    def reply(self, arguments: object, result: ExecutionResult) -> ToolReply:
        """What ``call`` would have answered, for those who have followed the output of ``stream`` themselves.

        Args:
            arguments: what ``stream`` was given.
            result: how the run went.
        """
        return self._reply(*read_call(arguments, self._options, {}), result)

    def _reply(self, arguments: ToolArguments, notes: tuple[str, ...], result: ExecutionResult) -> ToolReply:
        text = render_result(result, self._circumstances(arguments, notes), max_tokens=self._options.max_tokens)
        return ToolReply(text=text, is_error=result.outcome != "ok", result=result, output_id=self._outputs.add(result))

    def render(self, result: ExecutionResult, *, language: str = "", max_tokens: int | None = None) -> str:
        """A result as text for a model.

        Args:
            result: what ``execute`` returned.
            language: what the program was written in, which tells apart who it was that missed something.
            max_tokens: how long the text may be, at four characters a token; None means the tool's own limit.
        """
        run = Circumstances(
            language=language,
            timeout=self._options.timeout,
            longest=self._options.timeout,
            dependencies=() if self._options.dependencies else None,
            networked=self._runner.networked,
            keeps_files=self._options.keeps_files or self._runner.session_keeps_files is True,
        )
        return render_result(result, run, max_tokens=max_tokens or self._options.max_tokens)

    def render_error(self, error: InterpreterToolsError) -> str:
        """An error as text for a model: which field is wrong, what was given, and what is allowed."""
        return render_error(error, name=self.name)

    def full_output(self, output_id: str) -> ExecutionResult:
        """The whole result behind a reply's text; those of the last 32 calls are kept.

        Raises:
            UnknownOutput: there is none of that id, or no longer.
        """
        return self._outputs.get(output_id)

    async def cleanup(self) -> None:
        """Closes the engine that the tool has made, if it has, and forgets results. Does nothing the second time."""
        self._outputs.clear()
        await self._runner.aclose()

    def _read(self, arguments: object, fields: Mapping[str, object]) -> ToolArguments:
        return read_call(arguments, self._options, fields)[0]

    def _circumstances(self, arguments: ToolArguments, notes: tuple[str, ...]) -> Circumstances:
        installs = self._options.dependencies and LanguageRegistry.get(arguments.language).dependencies is not None
        return Circumstances(
            language=arguments.language,
            code=arguments.code,
            notes=notes,
            timeout=arguments.timeout,
            longest=self._options.timeout,
            dependencies=tuple(arguments.dependencies or ()) if installs else None,
            networked=self._runner.networked,
            keeps_files=self._options.keeps_files or self._runner.session_keeps_files is True,
        )


def create_code_execution_tool(
    *,
    engine: ExecutionEngine | None = None,
    config: EngineConfig | None = None,
    name: str = "execute_code",
    description: str | None = None,
    languages: Sequence[str] | None = None,
    strategy: ContainerStrategy = ContainerStrategy.PER_EXECUTION,
    session_id: str | None = None,
    workspace_sharing: Literal["isolated", "shared"] = "isolated",
    dependencies: bool = True,
    timeout: float | None = 60.0,
    max_tokens: int = 4000,
    **limits: Unpack[RunLimits],
) -> CodeExecutionTool:
    """A tool that lets a model run code; no engine is started before the first call.

    Args:
        engine: a started engine, which stays the caller's; None makes one on first use, which ``cleanup`` closes.
        config: what that one is to be like; only without ``engine``.
        name: what models call the tool.
        description: what models are told about it, instead of the tool's own words.
        languages: those that models may use; None means all that are registered at the time of a call.
        strategy: whether containers are used again. With ``PER_SESSION``, runs belong to a session that the tool makes
            on first use: one container for each language, whose files stay until ``cleanup``.
        session_id: a session of ``engine`` that runs belong to instead, which stays the caller's.
        workspace_sharing: ``"shared"`` lets all runs, in whatever language, see one workspace.
        dependencies: whether models may ask for packages.
        timeout: seconds that a run may take at most, whatever the model asks for; None means no limit.
        max_tokens: how long a reply may be, at four characters a token.
        limits: what programs may use and see, such as ``memory_limit``, ``mounts`` and ``network``; see ``RunLimits``.
            What is left out, or None, is the engine's.

    Raises:
        ConfigurationError: a value cannot work.
    """
    options = ToolOptions(
        name=name,
        description=description,
        languages=languages if languages is None or isinstance(languages, str) else tuple(languages),  # type: ignore[arg-type]
        strategy=check_strategy(strategy, field="strategy"),
        session_id=session_id,
        workspace_sharing=workspace_sharing,
        dependencies=dependencies,
        timeout=timeout,
        max_tokens=max_tokens,
        limits=limits,
    )
    return CodeExecutionTool(engine, config, options)
