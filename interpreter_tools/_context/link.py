"""A context and the layers around it: its place in a session, and the link to its process."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from interpreter_tools._exceptions import InterpreterToolsError
    from interpreter_tools._protocol import Exited


class Link(Protocol):
    """The process of a context, as long as it lives: a side run of a container."""

    @property
    def number(self) -> int:
        """The number of the side run, which no other run of the container has."""
        ...

    async def tell(self, connection: int, data: bytes) -> None:
        """Send bytes to a connection of the process; wait while the process does not read.

        Raises:
            ContainerLost, ExecutionClosed: the process has ended.
        """
        ...

    def signal(self, number: int) -> None:
        """Send a signal to the process and the programs in its foreground. Does nothing after the end."""
        ...

    def kill(self) -> None:
        """Kill the process and everything it started. Does nothing after the end."""
        ...

    def pause(self) -> None:
        """Take no more output of the process, so that its next writes wait."""
        ...

    def resume(self) -> None:
        """Take output again."""
        ...


class Listener(Protocol):
    """The listener to the events of a link, in their order."""

    def stdout(self, data: bytes) -> None:
        """Take what the process wrote to its standard output."""
        ...

    def stderr(self, data: bytes) -> None:
        """Take what the process wrote to its standard error."""
        ...

    def message(self, connection: int, data: bytes) -> None:
        """Take a piece of a message."""
        ...

    def ended(self, exited: Exited) -> None:
        """Note the end of the process: the last event."""
        ...

    def lost(self, error: InterpreterToolsError) -> None:
        """Note that the container is gone: the last event."""
        ...


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

    async def start(self, listener: Listener) -> Link:
        """Start the cell runner in the container of the session.

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

    def leave(self, context_id: str) -> None:
        """Forget a context that was closed."""
        ...

    async def aclose(self) -> None:
        """End what was made for the context alone."""
        ...
