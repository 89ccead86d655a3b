"""Executions whose supervisor is played by a test."""

from __future__ import annotations

from typing import TYPE_CHECKING

from interpreter_tools import Execution
from interpreter_tools._execution.placement import Missing, Placed
from interpreter_tools._languages import Job
from interpreter_tools._protocol import Exited, Output
from interpreter_tools._protocol.constants import Ended

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from interpreter_tools._execution.placement import End
    from interpreter_tools.testing.sandbox import Sandbox


_JOB: Callable[..., Job] = Job
_EXITED: Callable[..., Exited] = Exited


def job(**fields: object) -> Job:
    """Return a job with the given fields, and with defaults for the others."""
    return _JOB(
        **{
            "argv": ("true",),
            "booted": False,
            "environment": {},
            "files": {},
            "directory": "/workspace",
            "timeout": None,
            "output_limit": None,
            **fields,
        }
    )


class Placing:
    """A placement that a test scripts.

    Attributes:
        left: the number of runs that have ended.
        end: ends the run with an error, from outside; None before it starts.
        prepared: no decisions about packages.
    """

    prepared = None

    def __init__(self, acquire: Callable[[], Awaitable[Placed | Missing]]) -> None:
        self._acquire = acquire
        self.left = 0
        self.end: End | None = None

    async def acquire(self, end: End) -> Placed | Missing:
        """Return the place that the test chose."""
        self.end = end
        return await self._acquire()

    def leave(self) -> None:
        """Count the end of a run."""
        self.left += 1


def execution_of(
    sandbox: Sandbox, work: Job | None = None, *, stdin: bytes | None = b"", capture: bool = True
) -> Execution:
    """Return an execution in the sandbox, not started."""

    async def acquire() -> Placed:
        return Placed(work or job(), sandbox)

    return Execution(Placing(acquire), stdin=stdin, capture=capture)


async def started(
    sandbox: Sandbox, work: Job | None = None, *, stdin: bytes | None = b"", capture: bool = True
) -> Execution:
    """Return an execution whose program runs; requests that the sandbox received so far are forgotten."""
    execution = await execution_of(sandbox, work, stdin=stdin, capture=capture).__aenter__()
    sandbox.heard()
    return execution


def exited(ended: Ended = Ended.EXITED, exit_code: int = 0, signal: int = 0, **fields: object) -> Exited:
    """Return an EXIT event with the given fields, and with defaults for the others."""
    numbers = {"unclean": False, "wall_us": 0, "cpu_us": 0, "peak_memory": 0, "oom_kills": 0}
    return _EXITED(ended, exit_code, signal, **{**numbers, **fields})


def out(data: bytes) -> Output:
    """Return a piece of stdout, as an event."""
    return Output("stdout", data)
