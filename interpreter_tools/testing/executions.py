"""Runs whose supervisor is a test."""

from __future__ import annotations

from typing import TYPE_CHECKING

from interpreter_tools import Execution
from interpreter_tools._execution.placement import Missing, Placed
from interpreter_tools._languages import Job
from interpreter_tools._protocol import Exited, Output
from interpreter_tools._protocol.constants import Ended

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from interpreter_tools._execution.placement import Run
    from interpreter_tools.testing.sandbox import Sandbox


_JOB: Callable[..., Job] = Job
_EXITED: Callable[..., Exited] = Exited


def job(**fields: object) -> Job:
    """A job of which the rest does not matter."""
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
    """Finds the place that a test says.

    Attributes:
        left: how often a run has ended.
    """

    def __init__(self, acquire: Callable[[], Awaitable[Placed | Missing]]) -> None:
        self._acquire = acquire
        self.left = 0

    async def acquire(self, run: Run) -> Placed | Missing:
        """As the test says."""
        del run
        return await self._acquire()

    def leave(self) -> None:
        """The run has ended."""
        self.left += 1


def execution_of(
    sandbox: Sandbox, work: Job | None = None, *, stdin: bytes | None = b"", capture: bool = True
) -> Execution:
    """A run in the sandbox, not started."""

    async def acquire() -> Placed:
        return Placed(work or job(), sandbox)

    return Execution(Placing(acquire), stdin=stdin, capture=capture)


async def started(
    sandbox: Sandbox, work: Job | None = None, *, stdin: bytes | None = b"", capture: bool = True
) -> Execution:
    """A run whose program runs; what was heard so far is forgotten."""
    execution = await execution_of(sandbox, work, stdin=stdin, capture=capture).__aenter__()
    sandbox.heard()
    return execution


def exited(ended: Ended = Ended.EXITED, exit_code: int = 0, signal: int = 0, **fields: object) -> Exited:
    """An end of which the rest does not matter."""
    numbers = {"unclean": False, "wall_us": 0, "cpu_us": 0, "peak_memory": 0, "oom_kills": 0}
    return _EXITED(ended, exit_code, signal, **{**numbers, **fields})


def out(data: bytes) -> Output:
    """Something on stdout."""
    return Output("stdout", data)
