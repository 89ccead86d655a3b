"""The tool that models call to run code."""

from __future__ import annotations

import contextlib
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal, Self, Unpack

import msgspec

from interpreter_tools._config.host_tools import ToolLike, check_tools
from interpreter_tools._config.model import EngineConfig, check_strategy
from interpreter_tools._config.results import ExecutionResult
from interpreter_tools._exceptions import InterpreterMissing, InvalidArguments
from interpreter_tools._languages import LanguageRegistry
from interpreter_tools.tool._advice import Circumstances
from interpreter_tools.tool._arguments import ToolArguments, blame_arguments, read_call
from interpreter_tools.tool._options import ToolOptions
from interpreter_tools.tool._outputs import Outputs
from interpreter_tools.tool._pictures import Picture, pictures_of
from interpreter_tools.tool._render import render_error, render_result
from interpreter_tools.tool._runner import Runner, Sharing
from interpreter_tools.tool._schema import JsonObject, arguments_schema

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping, Sequence
    from types import TracebackType

    from interpreter_tools._config.model import RunStrategy
    from interpreter_tools._config.options import RunLimits
    from interpreter_tools._config.results import OutputChunk
    from interpreter_tools._engine import ExecutionEngine
    from interpreter_tools._exceptions import InterpreterToolsError
    from interpreter_tools._execution.execution import Execution
    from interpreter_tools.tool._stateful import StatefulRun

_NO_FILES: Mapping[str, str | bytes] = MappingProxyType({})

_MOST_WORDS = 1000  # characters of a description


class ToolReply(msgspec.Struct, frozen=True, kw_only=True):
    """The answer of the tool to one call of a model.

    Attributes:
        text: the text for the model.
        is_error: True when the code did not run, or its outcome is not ``ok``.
        result: the result of the run; None when the arguments could not be understood, so that no program ran.
        output_id: the id of the result for ``CodeExecutionTool.full_output``; None when ``result`` is None.
        pictures: what the program displayed, as pictures for the model: four at most, of 4 MiB together. ``text`` names
            all that was displayed.
    """

    text: str
    is_error: bool
    result: ExecutionResult | None = None
    output_id: str | None = None
    pictures: tuple[Picture, ...] = ()


class CodeExecutionTool:
    """A tool that lets a model run code; made by ``create_code_execution_tool``.

    Models see ``name``, ``description`` and ``json_schema``. ``call`` answers a model with text, ``execute`` returns
    the result, ``stream`` yields the output while the program runs. Many tasks of one event loop can use a tool at
    once; from another thread, use ``asyncio.run_coroutine_threadsafe``.
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

    # -- shown to models

    @property
    def name(self) -> str:
        """The name that models call the tool by."""
        return self._options.name

    @property
    def description(self) -> str:
        """The description of the tool for models, below 1,024 characters: some providers take no more."""
        if self._options.description is not None:
            return self._options.description
        parts = [
            "Runs a complete program in a sandbox.",
            "Returns what it wrote to stdout and stderr, its exit code, and the names of the files that it made.",
            self._returned,
            "Plots and pictures that it shows come back as pictures.",
            self._memory,
            "" if self._runner.networked else "The program has no network.",
            "" if self._options.timeout is None else f"It may run for {self._options.timeout:g} seconds.",
        ]
        words = " ".join(filter(None, parts))
        return words + self._host_tools(_MOST_WORDS - len(words)) if self._options.tools else words

    def _host_tools(self, room: int) -> str:
        """Return the sentence about functions that programs may call, as long as there is room for it."""
        words = " Python programs may `import tools` and call `tools.NAME(...)`; help(tools.NAME) explains one. Names: "
        names = sorted(self._options.tools)
        while names and len(words) + len(", ".join(names)) + 20 > room:
            names.pop()
        listed = ", ".join(names)
        return f"{words}{listed}{'.' if len(names) == len(self._options.tools) else '; dir(tools) lists all.'}"

    @property
    def json_schema(self) -> JsonObject:
        """The JSON schema of the arguments, with the languages that are registered now."""
        return self._schema(strict=False)

    @property
    def strict_json_schema(self) -> JsonObject:
        """The JSON schema for OpenAI's strict mode: all arguments are required, and optional ones may be null."""
        return self._schema(strict=True)

    def _schema(self, *, strict: bool) -> JsonObject:
        return arguments_schema(
            self._options.allowed_languages(),
            timeout=self._options.timeout,
            dependencies=self._options.dependencies,
            strict=strict,
        )

    @property
    def _returned(self) -> str:
        if self._options.stateful:
            return "The value of a last expression is returned as well; print what else you want to know."
        return "Only what is printed is returned: print the values you want to know."

    @property
    def _memory(self) -> str:
        """The sentence for models about files of earlier calls."""
        if self._options.stateful:
            return "Variables are kept for later calls in the same language, and files for all languages."
        if self._options.keeps_files:
            return "Files are kept for later calls, variables are not."
        if self._options.session_id is not None:
            keeps = self._runner.session_keeps_files
            if keeps is None:
                return ""  # the session does not exist yet, or no longer
            if keeps:
                return "Files are kept for later calls, variables are not."
            return "Files that a call makes are gone with the next call, and so are variables."
        return "Nothing is kept between calls, neither variables nor files."

    # -- the engine

    @property
    def engine(self) -> ExecutionEngine | None:
        """The engine that runs the code; None before the first call of a tool that makes its own."""
        return self._runner.engine

    @property
    def session_id(self) -> str | None:
        """The id of the session of the runs, for ``engine.read_file`` and others; None while there is none."""
        return self._runner.session_id

    # -- calling it

    async def execute(
        self,
        arguments: object = None,
        /,
        *,
        files: Mapping[str, str | bytes] = _NO_FILES,
        collect: Sequence[str] = (),
        workspace_sharing: Sharing | None = None,
        **fields: object,
    ) -> ExecutionResult:
        """Run the code of the arguments to its end. Cancelling kills the program.

        Args:
            arguments: an object, or JSON text, as a model gave it; see ``ToolArguments``.
            files: contents by path below the workspace, written before the code starts; models cannot give them.
            collect: patterns of files to bring along as ``result.files``, see ``RunOptions``; models cannot give them.
            workspace_sharing: ``"shared"`` to see the workspace that all such runs of the tool share; None means the
                tool's own setting.
            fields: arguments by name, which override those of the object.

        Returns:
            The result of the run. Code that fails, is killed or reaches a limit gives a result as well.

        Raises:
            InvalidArguments: the arguments cannot be understood; ``render_error`` tells a model what to change.
            InterpreterToolsError: the infrastructure failed, as in ``ExecutionEngine.run``.
        """
        with blame_arguments():
            async with self.stream(
                arguments, files=files, collect=collect, workspace_sharing=workspace_sharing, **fields
            ) as execution:
                return await execution.result()

    def stream(
        self,
        arguments: object = None,
        /,
        *,
        files: Mapping[str, str | bytes] = _NO_FILES,
        collect: Sequence[str] = (),
        workspace_sharing: Sharing | None = None,
        **fields: object,
    ) -> Execution | StatefulRun:
        """Return a run as an ``Execution``, which ``async with`` starts; arguments as in ``execute``.

        With ``stateful`` it is a cell, which has the same methods.

        If the task in the ``async with`` is cancelled, the program is killed.

        Args:
            arguments: as in ``execute``.
            files: as in ``execute``.
            collect: as in ``execute``.
            workspace_sharing: as in ``execute``.
            fields: as in ``execute``.

        Raises:
            InvalidArguments: the arguments cannot be understood; no program began.
        """
        read = self._read(arguments, fields)
        return self._runner.execution(read, files, collect=collect, sharing=workspace_sharing)

    async def call(
        self,
        arguments: object = None,
        /,
        *,
        files: Mapping[str, str | bytes] = _NO_FILES,
        collect: Sequence[str] = (),
        on_chunk: Callable[[OutputChunk], object] | None = None,
        **fields: object,
    ) -> ToolReply:
        """Run the code of the arguments and return the answer for the model. Cancelling kills the program.

        Args:
            arguments: as in ``execute``.
            files: as in ``execute``.
            collect: as in ``execute``.
            on_chunk: a function that is called with each piece of output while the program runs.
            fields: as in ``execute``.

        Returns:
            The answer: the output of the program, or the mistake in the arguments.

        Raises:
            InterpreterToolsError: the infrastructure failed; a model cannot mend that.
        """
        try:
            read, notes = read_call(arguments, self._options, fields)
        except InvalidArguments as error:
            return ToolReply(text=self.render_error(error), is_error=True)
        try:
            with blame_arguments(), _blame_first_line(read):
                async with self._runner.execution(read, files, collect=collect) as execution:
                    if on_chunk is not None:
                        async for chunk in execution:
                            on_chunk(chunk)
                    result = await execution.result()
        except InvalidArguments as error:
            return ToolReply(text=self.render_error(error), is_error=True)
        return self._reply(read, notes, result)

    def reply(self, arguments: object, result: ExecutionResult) -> ToolReply:
        """Return the answer of ``call`` for a run that the caller followed with ``stream``.

        Args:
            arguments: the arguments that ``stream`` was given.
            result: the result of the run.
        """
        return self._reply(*read_call(arguments, self._options, {}), result)

    def _reply(self, arguments: ToolArguments, notes: tuple[str, ...], result: ExecutionResult) -> ToolReply:
        text = render_result(result, self._circumstances(arguments, notes), max_tokens=self._options.max_tokens)
        return ToolReply(
            text=text,
            is_error=result.outcome != "ok",
            result=result,
            output_id=self._outputs.add(result),
            pictures=pictures_of(result.results),
        )

    def render(self, result: ExecutionResult, *, language: str = "", max_tokens: int | None = None) -> str:
        """Return a result as text for a model.

        Args:
            result: the result that ``execute`` returned.
            language: the language of the program; the advice after a failure depends on it.
            max_tokens: the most tokens of the text, at four characters a token; None means the tool's own limit.
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
        """Return an error as text for a model: the wrong field, its value, and the values that are allowed."""
        return render_error(error, name=self.name)

    def full_output(self, output_id: str) -> ExecutionResult:
        """Return the whole result behind the text of a reply. The tool keeps the results of the last 32 calls.

        Args:
            output_id: ``ToolReply.output_id`` of that reply.

        Raises:
            UnknownOutput: there is no result of that id, or no longer.
        """
        return self._outputs.get(output_id)

    async def cleanup(self) -> None:
        """Forget the results, and close the engine or session that the tool made. Does nothing the second time.

        If ``cleanup`` is cancelled, the engine is closed first and the cancellation raised then.
        """
        self._outputs.clear()
        await self._runner.aclose()

    def _read(self, arguments: object, fields: Mapping[str, object]) -> ToolArguments:
        return read_call(arguments, self._options, fields)[0]

    def _circumstances(self, arguments: ToolArguments, notes: tuple[str, ...]) -> Circumstances:
        language = LanguageRegistry.get(arguments.language)
        installs = self._options.dependencies and language.dependencies is not None
        return Circumstances(
            language=arguments.language,
            code=arguments.code,
            notes=notes,
            timeout=arguments.timeout,
            longest=self._options.timeout,
            languages=tuple(self._options.allowed_languages()),
            dependencies=tuple(arguments.dependencies or ()) if installs else None,
            system_dependencies=tuple(arguments.system_dependencies or ()),
            networked=self._runner.networked,
            fed=arguments.stdin is not None,
            keeps_variables=self._options.stateful and language.cells is not None,
            keeps_files=self._options.keeps_files or self._runner.session_keeps_files is True,
        )


@contextlib.contextmanager
def _blame_first_line(arguments: ToolArguments) -> Generator[None]:
    """Turn the error about an interpreter that only the program's first line names into ``InvalidArguments``."""
    try:
        yield
    except InterpreterMissing as error:
        own = LanguageRegistry.get(arguments.language)
        if not arguments.code.startswith("#!") or error.program in own.run_command:
            raise
        line = arguments.code.partition("\n")[0]
        hint = "leave the first line out, or name an interpreter that is there"
        raise InvalidArguments("code", line, error.message, hint=hint) from error


def create_code_execution_tool(
    *,
    engine: ExecutionEngine | None = None,
    config: EngineConfig | None = None,
    name: str = "execute_code",
    description: str | None = None,
    languages: Sequence[str] | None = None,
    strategy: RunStrategy | None = None,
    session_id: str | None = None,
    workspace_sharing: Literal["isolated", "shared"] = "isolated",
    stateful: bool = False,
    dependencies: bool = True,
    auto_dependencies: bool = True,
    timeout: float | None = 60.0,
    max_tokens: int = 4000,
    tools: Sequence[ToolLike] = (),
    **limits: Unpack[RunLimits],
) -> CodeExecutionTool:
    """Make a tool that lets a model run code. No engine is started before the first call.

    Args:
        engine: a started engine, which stays the caller's; None makes one on first use, which ``cleanup`` closes.
        config: the configuration of the engine that the tool makes; only without ``engine``.
        name: the name that models call the tool by.
        description: the description for models; None means the tool's own.
        languages: the languages that models may use; None means all that are registered at the time of a call.
        strategy: the strategy of the runs; None means the engine's. With ``PER_SESSION``, runs belong to a session that
            the tool makes on first use: files stay, for all languages, until ``cleanup``.
        session_id: a session of ``engine`` that runs belong to instead, which stays the caller's.
        workspace_sharing: ``"shared"`` lets all runs, in whatever language, see one workspace.
        stateful: True keeps variables between calls: each language has a live interpreter in the session, as
            ``session.context`` makes it. Languages without a cell runner run programs of their own in the same session.
        dependencies: True lets models ask for packages.
        auto_dependencies: whether well-known packages that a program imports are installed without being asked for;
            only with ``dependencies``.
        timeout: seconds that a run may take at most, whatever the model asks for; None means no limit.
        max_tokens: the most tokens of a reply, at four characters a token.
        tools: functions of this process that programs may call; see ``RunOptions``.
        limits: what programs may use and see, such as ``memory_limit``, ``mounts`` and ``network``; see ``RunLimits``.
            What is left out, or None, is the engine's.

    Raises:
        ConfigurationError: a value cannot work.
    """
    options = ToolOptions(
        name=name,
        description=description,
        languages=languages if languages is None or isinstance(languages, str) else tuple(languages),  # type: ignore[arg-type]
        strategy=strategy if strategy is None or strategy == "auto" else check_strategy(strategy, field="strategy"),
        session_id=session_id,
        workspace_sharing=workspace_sharing,
        stateful=stateful,
        dependencies=dependencies,
        auto_dependencies=auto_dependencies,
        timeout=timeout,
        max_tokens=max_tokens,
        limits=limits,
        tools=check_tools(tools),
    )
    return CodeExecutionTool(engine, config, options)
