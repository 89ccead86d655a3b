"""Calls that keep variables: cells of contexts, one for each language, in the session of the tool."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

import msgspec

from interpreter_tools._exceptions import ExecutionClosed, InvalidArguments
from interpreter_tools._languages import LanguageRegistry

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from interpreter_tools._config.results import ExecutionResult, OutputChunk
    from interpreter_tools._context.cell import Cell
    from interpreter_tools._context.context import Context
    from interpreter_tools._session.session import Session
    from interpreter_tools.tool._arguments import ToolArguments

_GONE = "the variables of earlier calls are gone: the new packages needed a new interpreter"


class Contexts:
    """The contexts of a tool, by language.

    A call that asks for packages of the distribution which the image of its context lacks gets a new context.

    Args:
        environment: the variables of their processes.
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = environment
        self._contexts: dict[str, Context] = {}
        self._packages: dict[str, tuple[frozenset[str], frozenset[str]]] = {}

    def __repr__(self) -> str:
        return f"<Contexts {', '.join(self._contexts)}>"

    async def of(self, session: Session, arguments: ToolArguments) -> tuple[Context, tuple[str, ...]]:
        """Return the context for a call, and notes for its result."""
        language = arguments.language
        plan = LanguageRegistry.get(language).dependencies
        own = frozenset(arguments.dependencies or ())
        # A package of the language comes into the process that runs; for a shell, all packages are of the distribution.
        asked = (
            own if plan is None or plan.kind == "system" else frozenset[str](),
            frozenset(arguments.system_dependencies or ()),
        )
        context, notes = self._contexts.get(language), ()
        known = self._packages.get(language, (frozenset[str](), frozenset[str]()))
        if context is not None and context.state != "closed" and asked[0] <= known[0] and asked[1] <= known[1]:
            return context, ()
        if context is not None:
            notes = (_GONE,)
            await context.aclose()
        packages = self._packages[language] = known[0] | asked[0], known[1] | asked[1]
        made = self._contexts[language] = session.context(
            language,
            environment=self._environment,
            dependencies=sorted(packages[0]),
            system_dependencies=sorted(packages[1]) or None,
            on_death="restart",
        )
        return made, notes


class StatefulRun:
    """A call as a cell: what an ``Execution`` is to a call that keeps nothing. ``async with`` runs it.

    Args:
        make: makes the cell, and the notes for its result.
    """

    def __init__(self, make: Callable[[], Awaitable[tuple[Cell, tuple[str, ...]]]]) -> None:
        self._make = make
        self._cell: Cell | None = None
        self._notes: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return f"<StatefulRun {self._cell or 'new'}>"

    async def __aenter__(self) -> Self:
        if self._cell is not None:
            raise ExecutionClosed("a call is run once", hint="make another with tool.stream(...)")
        self._cell, self._notes = await self._make()
        await self._cell.__aenter__()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._running.aclose()

    @property
    def _running(self) -> Cell:
        if self._cell is None:
            raise ExecutionClosed("run the call first", hint="use `async with tool.stream(...) as execution`")
        return self._cell

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> OutputChunk:
        return await self._running.__anext__()

    async def result(self) -> ExecutionResult:
        """Wait for the end of the cell and return its result."""
        result = await self._running.result()
        return msgspec.structs.replace(result, notes=(*self._notes, *result.notes)) if self._notes else result

    async def send_stdin(self, data: bytes) -> None:
        """Send bytes for the input of the cell."""
        await self._running.send_stdin(data)

    async def close_stdin(self) -> None:
        """End the input of the cell."""
        await self._running.close_stdin()

    async def kill(self) -> None:
        """Interrupt the cell, and kill its process when that does not end it."""
        await self._running.kill()


def check_stateful(arguments: ToolArguments) -> None:
    """Refuse what a cell cannot have.

    Raises:
        InvalidArguments: the call has arguments for a program of its own.
    """
    if arguments.args:
        hint = "set them as variables in the code"
        raise InvalidArguments(
            "args", arguments.args, "are for programs, and this call goes on in a live one", hint=hint
        )
