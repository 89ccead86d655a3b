"""The session that everything runs in: one workspace for all languages, for the user and for the model."""

from __future__ import annotations

from typing import TYPE_CHECKING

from interpreter_tools._background import beside
from interpreter_tools._languages import LanguageRegistry
from interpreter_tools.shell._memory import is_ours, remembering
from interpreter_tools.tool import create_code_execution_tool

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from interpreter_tools._config.results import ExecutionResult, OutputChunk
    from interpreter_tools._engine import ExecutionEngine
    from interpreter_tools._execution.execution import Execution
    from interpreter_tools._session.session import Session
    from interpreter_tools.tool import CodeExecutionTool


class Sandbox:
    """A session, the tool by which the model runs things in it, and what the user has asked for.

    Attributes:
        session: the session; another one after each reset.
        tool: runs the model's programs in it.
        packages: what the user's programs find installed, by language.
        files: the names of the files in the workspace, as they were when they were last looked at.
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
        """Runs the user's code to its end; one that is cancelled is killed.

        Args:
            language: its language.
            code: the code.
            on_chunk: is called with each piece of output as it comes.
            feed: gives it input for as long as it runs; without, it has none.
        """
        packages = self.packages.get(language, [])
        program, files = remembering(language, code)
        stdin = b"" if feed is None else None
        async with (
            self.session.stream(language, program, files=files, stdin=stdin, dependencies=packages) as execution,
            beside(None if feed is None else feed(execution)),
        ):
            async for chunk in execution:
                on_chunk(chunk)
            return await execution.result()

    async def look(self) -> list[str]:
        """The names of the files in the workspace, but for those that programs are written to."""
        programs = {LanguageRegistry.get(name).code_filename for name in LanguageRegistry.names()}
        names = await self.session.list_workspace_files()
        self.files = [name for name in names if name not in programs and not is_ours(name)]
        return self.files

    async def reset(self) -> None:
        """Removes the session with its files, and begins another."""
        await self.session.aclose()
        self.packages.clear()
        self.files = []
        self.session, self.tool = self._open()
