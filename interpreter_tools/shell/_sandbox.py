"""The session of the shell: one workspace for all languages, for the user and for the model."""

from __future__ import annotations

from typing import TYPE_CHECKING

from interpreter_tools._background import beside
from interpreter_tools._languages import LanguageRegistry
from interpreter_tools.tool import create_code_execution_tool
from interpreter_tools.tool._pictures import showing_figures

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from interpreter_tools._config.results import ExecutionResult, OutputChunk
    from interpreter_tools._context.cell import Cell
    from interpreter_tools._context.context import Context
    from interpreter_tools._engine import ExecutionEngine
    from interpreter_tools._execution.execution import Execution
    from interpreter_tools._session.session import Session
    from interpreter_tools.tool import CodeExecutionTool


class Sandbox:
    """The session, the model's tool for running programs in it, and the packages that the user asked for.

    Attributes:
        session: the session; a new one after each reset.
        tool: the tool that runs the model's programs in the session.
        packages: the packages for the user's programs, by language.
        files: the names of the files in the workspace, as of the last ``look``.
    """

    def __init__(self, engine: ExecutionEngine) -> None:
        self.engine = engine
        self.packages: dict[str, list[str]] = {}
        self.files: list[str] = []
        self._contexts: dict[str, tuple[Context, tuple[str, ...]]] = {}  # with the packages that each has
        self.session, self.tool = self._open()

    def _open(self) -> tuple[Session, CodeExecutionTool]:
        # shared, for contexts of several languages
        session = self.engine.session(idle_timeout=None, workspace_sharing="shared")
        tool = create_code_execution_tool(engine=self.engine, session_id=session.id, timeout=self.engine.config.timeout)
        return session, tool

    async def run(
        self,
        language: str,
        code: str,
        on_chunk: Callable[[OutputChunk], object],
        *,
        feed: Callable[[Execution | Cell], Coroutine[object, object, None]] | None = None,
    ) -> ExecutionResult:
        """Run the user's code to its end, in the live interpreter of its language if it has one. Cancelling ends it.

        Args:
            language: its language.
            code: the code.
            on_chunk: a function that is called with each piece of output.
            feed: a coroutine function that sends input while the code runs; None means no input.
        """
        async with (
            await self._start(language, code, stdin=b"" if feed is None else None) as execution,
            beside(None if feed is None else feed(execution)),
        ):
            async for chunk in execution:
                on_chunk(chunk)
            return await execution.result()

    async def _start(self, language: str, code: str, *, stdin: bytes | None) -> Execution | Cell:
        packages = self.packages.get(language, [])
        if LanguageRegistry.get(language).cells is None:
            drawing = showing_figures(language, {}, self.engine.config.container.environment)
            return self.session.stream(
                language, code, stdin=stdin, dependencies=packages, auto_dependencies=True, environment=drawing
            )
        context = await self._context(language, tuple(packages))
        return context.stream(code, stdin=stdin, dependencies=packages, auto_dependencies=True)

    async def _context(self, language: str, packages: tuple[str, ...]) -> Context:
        """Return the context of a language: a new one where its packages have changed in a way that the old cannot."""
        known = self._contexts.get(language)
        if known is not None:
            context, before = known
            plan = LanguageRegistry.get(language).dependencies
            if before == packages or (set(packages) > set(before) and plan is not None and plan.kind != "system"):
                self._contexts[language] = context, packages
                return context
            await context.aclose()
        context = self.session.context(language, dependencies=packages, on_death="restart")
        self._contexts[language] = context, packages
        return context

    async def look(self) -> list[str]:
        """Return the names of the files in the workspace, without the files that programs are written to."""
        programs = {LanguageRegistry.get(name).code_filename for name in LanguageRegistry.names()}
        names = await self.session.list_workspace_files()
        self.files = [name for name in names if name not in programs]
        return self.files

    async def reset(self) -> None:
        """Remove the session with its files, and make a new one."""
        await self.session.aclose()
        self.packages.clear()
        self._contexts.clear()
        self.files = []
        self.session, self.tool = self._open()
