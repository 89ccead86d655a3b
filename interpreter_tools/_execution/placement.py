"""The place of a run: a container, or packages that must be installed before the run gets one."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from interpreter_tools._exceptions import InterpreterToolsError
    from interpreter_tools._execution.installing import Join
    from interpreter_tools._execution.lease import Lease
    from interpreter_tools._execution.outcome import Prepared
    from interpreter_tools._languages import Job

    End: TypeAlias = Callable[[InterpreterToolsError], None]


class Missing(NamedTuple):
    """Packages that have to be installed first.

    Attributes:
        key: the key of the set of packages.
        join: begins their installation, or joins the one that runs.
    """

    key: str
    join: Join


class Placed(NamedTuple):
    """A container for a run.

    Attributes:
        job: the job to run in it.
        lease: the container.
        missing: the packages to install when the supervisor does not find them; None without packages.
        lists: let the supervisor also tell which files the run leaves alone.
    """

    job: Job
    lease: Lease
    missing: Missing | None = None
    lists: bool = False


class Placement(Protocol):
    """Finds the place of one run. It is asked again after each installation; no lease is open then."""

    @property
    def prepared(self) -> Prepared | None:
        """The decisions about the run's packages, of which its result tells."""
        ...

    async def acquire(self, end: End) -> Placed | Missing:
        """Return a container for the run, or what must be installed first.

        Args:
            end: ends the run with an error, from outside.
        """
        ...

    def leave(self) -> None:
        """Note that the run has ended: it is not placed again."""


class LaterPlacement:
    """The placement of an execution that is made only when the run starts, for callers whose engine starts with it."""

    def __init__(self, make: Callable[[], Awaitable[Placement]]) -> None:
        self._make = make
        self._made: Placement | None = None

    @property
    def prepared(self) -> Prepared | None:
        """The decisions about the run's packages; None before it starts."""
        return None if self._made is None else self._made.prepared

    async def acquire(self, end: End) -> Placed | Missing:
        """Return a container for the run, or what must be installed first."""
        if self._made is None:
            self._made = await self._make()
        return await self._made.acquire(end)

    def leave(self) -> None:
        """Note that the run has ended."""
        if self._made is not None:
            self._made.leave()
