"""A run's wait for the packages that it needs."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Literal, Protocol

import msgspec

from interpreter_tools._exceptions import InterpreterToolsError

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from interpreter_tools._config.results import DependencyStream

_ATTEMPTS = 3  # an entry may be evicted between its installation and its use, but hardly twice


class Place(Protocol):
    """The place of a waiter for an installation."""

    def leave(self) -> None:
        """Stop waiting."""


class Installed(msgspec.Struct, frozen=True, kw_only=True):
    """The end of an installation.

    Attributes:
        exit_code: the exit code of the installer; 0 means that the packages are installed.
        signal: the signal that ended it, or None.
        outcome: the outcome of the run after a failed installation.
    """

    exit_code: int = 0
    signal: int | None = None
    outcome: Literal["dependency_error", "killed"] = "dependency_error"


KILLED = Installed(exit_code=137, signal=9, outcome="killed")
"""The end of a run whose caller killed it before its program began: 128 + SIGKILL."""


class Waiter(Protocol):
    """A run that waits for an installation."""

    def installer_wrote(self, stream: DependencyStream, data: bytes) -> None:
        """Handle a piece of the installer's output; earlier output comes first."""

    def installed(self, result: Installed | InterpreterToolsError) -> None:
        """Handle the end of the installation: its result, or the error of the infrastructure."""


class Join(Protocol):
    """Begins the installation of a set of packages, or joins the one that runs."""

    def __call__(self, waiter: Waiter) -> Place:
        """Return the waiter's place among those who wait."""
        ...


class InstallWait:
    """The wait of one run, from the first missing package to the start of the program.

    Args:
        wrote: called with the installer's output.
        ended: called with the end of an installation.

    Attributes:
        seconds: how long the wait took; 0 until it is over.
    """

    def __init__(
        self,
        *,
        wrote: Callable[[DependencyStream, bytes], None],
        ended: Callable[[Installed | InterpreterToolsError], None],
    ) -> None:
        self._wrote = wrote
        self._ended = ended
        self._attempts = 0
        self._began = 0.0
        self._place: Place | None = None
        self._over: asyncio.Future[None] | None = None
        self._task: asyncio.Task[None] | None = None
        self._left = False
        self.seconds = 0.0

    def begin(self, join: Join) -> bool:
        """Wait for an installation; return False when that was tried often enough."""
        loop = asyncio.get_running_loop()
        self._attempts += 1
        if self._attempts > _ATTEMPTS:
            return False
        if self._over is None:
            self._over = loop.create_future()
            self._began = loop.time()
        try:
            place = join(self)
        except InterpreterToolsError as error:
            self._ended(error)
            return True
        if self._left:
            place.leave()
        else:
            self._place = place
        return True

    def installer_wrote(self, stream: DependencyStream, data: bytes) -> None:
        """Pass on a piece of the installer's output."""
        if not self._left:
            self._wrote(stream, data)

    def installed(self, result: Installed | InterpreterToolsError) -> None:
        """Pass on the end of the installation."""
        self._place = None
        if not self._left:
            self._ended(result)

    def spawn(self, work: Coroutine[object, object, None]) -> None:
        """Run a coroutine in a task that ends with the wait."""
        self._task = asyncio.create_task(work, name="interpreter-tools-begin")

    def over(self) -> None:
        """End the wait: the program starts, or never will."""
        if self._over is not None and not self._over.done():
            self.seconds = asyncio.get_running_loop().time() - self._began
            self._over.set_result(None)

    def leave(self) -> None:
        """End the wait and its tasks: the run has ended."""
        self._left = True
        self.over()
        place, self._place = self._place, None
        if place is not None:
            place.leave()
        if self._task is not None and self._task is not asyncio.current_task():
            self._task.cancel()
