"""The session of the shell: one workspace for all languages, for the user and for the model."""

from __future__ import annotations

from typing import TYPE_CHECKING

from interpreter_tools._background import beside
from interpreter_tools._languages import LanguageRegistry
from interpreter_tools.shell._memory import is_ours, remembering
from interpreter_tools.tool import create_code_execution_tool
from interpreter_tools.tool._pictures import showing_figures

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from interpreter_tools._config.results import ExecutionResult, OutputChunk
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
        self.session, self.tool = self._open()

    def _open(self) -> tuple[Session, CodeExecutionTool]:
        session = self.engine.session(idle_timeout=None)
        tool = create_code_execution_tool(engine=self.engine, session_id=session.id, timeout=self.engine.config.timeout)
        return session, tool

    async def run(
        self,
        language: str,
        code: str,
        on_chunk: Callable[[OutputChunk], object],
        *,
        feed: Callable[[Execution], Coroutine[object, object, None]] | None = None,
    ) -> ExecutionResult:
        """Run the user's code to its end. Cancelling kills it.

        Args:
            language: its language.
            code: the code.
            on_chunk: a function that is called with each piece of output.
            feed: a coroutine function that sends input while the code runs; None means no input.
        """
        packages = self.packages.get(language, [])
        program, files = remembering(language, code)
        stdin = b"" if feed is None else None
        async with (
            self.session.stream(
                language,
                program,
                files=files,
                stdin=stdin,
                dependencies=packages,
                auto_dependencies=True,
                environment=showing_figures(language, {}, self.engine.config.container.environment),
            ) as execution,
            beside(None if feed is None else feed(execution)),
        ):
            async for chunk in execution:
                on_chunk(chunk)
            return await execution.result()

    async def look(self) -> list[str]:
        """Return the names of the files in the workspace, without the files that programs are written to."""
        programs = {LanguageRegistry.get(name).code_filename for name in LanguageRegistry.names()}
        names = await self.session.list_workspace_files()
        self.files = [name for name in names if name not in programs and not is_ours(name)]
        return self.files

    async def reset(self) -> None:
        """Remove the session with its files, and make a new one."""
        await self.session.aclose()
        self.packages.clear()
        self.files = []
        self.session, self.tool = self._open()
