"""The place of a context in the layers above it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import msgspec

if TYPE_CHECKING:
    from collections.abc import Mapping
    from contextlib import AbstractAsyncContextManager

    from interpreter_tools._config.options import CellOptions
    from interpreter_tools._container.boxes import Isolation
    from interpreter_tools._container.side_run import SideListener, SideRun


class Packages(msgspec.Struct, frozen=True, kw_only=True):
    """The packages of a cell, once they are there, or the failure to install them.

    Attributes:
        dependencies: the packages of the context.
        notes: sentences about what was not installed.
        seconds: seconds that the installation took.
        failed: True when it failed: the cell does not run.
        stdout: the standard output of the installer.
        stderr: its standard error.
    """

    dependencies: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    seconds: float = 0.0
    failed: bool = False
    stdout: str = ""
    stderr: str = ""


class Resident(Protocol):
    """A context as its session knows it."""

    name: str

    @property
    def language(self) -> str:
        """The name of the language."""
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

    @property
    def found(self) -> Mapping[str, str]:
        """Variables of the packages that came after the start of the process; its cells bring them."""
        ...

    @property
    def isolation(self) -> Isolation | None:
        """The thing around the process, see ``ExecutionResult``; None before the start."""
        ...

    def lacks(self, code: str, options: CellOptions) -> bool:
        """Return whether a cell may need packages that are not there."""
        ...

    async def install(self, code: str, options: CellOptions, *, alive: bool) -> Packages:
        """Have the packages of a cell installed, for the cell and those after it.

        Args:
            code: the code of the cell.
            options: the options of the cell.
            alive: True when the process runs, which has to find them.

        Raises:
            ConfigurationError: a package is none, or cannot come into a process that runs.
        """
        ...

    async def start(self, context: Resident, listener: SideListener, *, packages: tuple[str, ...] = ()) -> SideRun:
        """Start the cell runner in the container of the session.

        Args:
            context: the context.
            listener: hears what the runner says.
            packages: packages that it needs beside those of the context; they are installed once.

        Raises:
            InterpreterToolsError: the process cannot be started.
        """
        ...

    async def begin(self) -> None:
        """Note that a cell begins: the session does not expire. May wait some milliseconds after files were written."""
        ...

    def end(self, files: tuple[str, ...]) -> tuple[str, ...]:
        """Note that a cell has ended, and which files it has changed; return what all runs of the session have."""
        ...

    def files(self) -> AbstractAsyncContextManager[None]:
        """Have the turn of the session: no run and no other call changes its files meanwhile."""
        ...

    def others(self, context: Resident) -> tuple[str, ...]:
        """Return the names of the session's other contexts whose processes were started."""
        ...

    def branch(self) -> Place:
        """Return the same place for a branch of the context; its end leaves the session alone."""
        ...

    def adopt(self, context: Resident) -> None:
        """Have a branch among the contexts of the session."""
        ...

    def leave(self, context: Resident) -> None:
        """Forget a context that was closed."""
        ...

    async def aclose(self) -> None:
        """End what was made for the context alone."""
        ...
