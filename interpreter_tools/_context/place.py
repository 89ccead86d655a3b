"""The place of a context in the layers above it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from interpreter_tools._container.side_run import SideListener, SideRun
    from interpreter_tools._context.context import Context


class Place(Protocol):
    """The session that a context lives in, which gives it a container and its files."""

    @property
    def session_id(self) -> str:
        """The id of the session."""
        ...

    def check(self) -> None:
        """Refuse to be used after the end.

        Raises:
            EngineClosed, SessionClosed: the engine or the session was closed.
        """
        ...

    async def start(self, context: Context, listener: SideListener, *, packages: tuple[str, ...] = ()) -> SideRun:
        """Start the cell runner in the container of the session.

        Args:
            context: the context.
            listener: hears what the runner says.
            packages: packages that it needs beside those of the context; they are installed once.

        Raises:
            InterpreterToolsError: the process cannot be started.
        """
        ...

    def begin(self) -> None:
        """Note that a cell begins: the session does not expire."""
        ...

    def end(self, files: tuple[str, ...]) -> tuple[str, ...]:
        """Note that a cell has ended, and which files it has changed; return what all runs of the session have."""
        ...

    def leave(self, context: Context) -> None:
        """Forget a context that was closed."""
        ...

    async def aclose(self) -> None:
        """End what was made for the context alone."""
        ...
