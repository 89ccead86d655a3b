"""A session that stays from one test to the next: most tests of contexts need no container of their own."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Unpack

from interpreter_tools import InterpreterToolsError, LanguageRegistry

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from interpreter_tools import Context, ExecutionEngine, Session
    from interpreter_tools._config.options import ContextOptions

_EMPTY = "find . -mindepth 1 -type d -exec chmod u+rwx {} \\; && find . -mindepth 1 -delete"


class Workplace:
    """A session for each language, whose contexts and files end with each test.

    Args:
        engine: the engine of the sessions; it is not one that tests expect to be without sessions.
    """

    def __init__(self, engine: ExecutionEngine) -> None:
        self._engine = engine
        self._sessions: dict[str, Session] = {}

    @contextlib.asynccontextmanager
    async def context(self, language: str, **options: Unpack[ContextOptions]) -> AsyncGenerator[Context]:
        """Make a context in an empty workspace, and end it with all branches."""
        session = self._sessions.get(language) or self._engine.session()
        self._sessions[language] = session
        try:
            async with session.context(language, **options) as context:
                yield context
            for left in session.info().contexts:
                await self._engine.get_context(left.context_id).aclose()
            image = LanguageRegistry.get(language).default_image
            (await session.run("shell", _EMPTY, image=image)).check()
        except InterpreterToolsError:  # its container has ended
            del self._sessions[language]
            await session.aclose()
            raise

    async def aclose(self) -> None:
        """End the sessions. Idempotent."""
        while self._sessions:
            await self._sessions.popitem()[1].aclose()
