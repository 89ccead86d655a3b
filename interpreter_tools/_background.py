"""Tasks that nobody awaits: each one fails alone, and its failure is logged and counted."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import TYPE_CHECKING, ParamSpec

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Coroutine

P = ParamSpec("P")

_LOG = logging.getLogger("interpreter_tools")
_CANCEL_DEADLINE = 1.0  # seconds for a cancelled task to end


@contextlib.asynccontextmanager
async def beside(work: Coroutine[object, object, None] | None) -> AsyncGenerator[None]:
    """Run a coroutine beside a block, and cancel it at the end of the block.

    A cancellation of the caller is raised, also one that arrives while the coroutine ends.

    Args:
        work: the coroutine; None means that there is none.
    """
    task = None if work is None else asyncio.create_task(work)
    try:
        yield
    finally:
        if task is not None:
            await _end(task)


async def _end(task: asyncio.Task[None]) -> None:
    """Cancel a task and wait for its end. A cancellation of the caller waits for that too, and is raised then."""
    task.cancel()
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is not None:
        raise cancelled
    if not task.cancelled() and (error := task.exception()) is not None:
        raise error


class BackgroundTasks:
    """The background tasks of one engine.

    Attributes:
        failures: how many tasks have ended with an exception that nobody expected.
    """

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[object]] = set()
        self._services: set[asyncio.Task[object]] = set()  # those of them that have no end of their own
        self._closed = False
        self.failures = 0

    def __repr__(self) -> str:
        return f"<BackgroundTasks [{len(self._tasks)} running, {self.failures} failed]>"

    def spawn(
        self, function: Callable[P, Coroutine[object, object, object]], *args: P.args, **kwargs: P.kwargs
    ) -> bool:
        """Run a function in a task of its own. Return False, and do nothing, after ``aclose``."""
        if self._closed:
            return False
        self._begin(function(*args, **kwargs))
        return True

    def _begin(self, work: Coroutine[object, object, object]) -> asyncio.Task[object]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[object]) -> None:
        self._tasks.discard(task)
        self._services.discard(task)
        if task.cancelled():
            return
        error = task.exception()
        if error is not None:
            self.failures += 1
            _LOG.error("a background task failed: %s", task.get_coro(), exc_info=error)

    def serve(self, function: Callable[[], Coroutine[object, object, object]]) -> None:
        """Run a function that has no end of its own, until ``aclose``."""
        if not self._closed:
            self._services.add(self._begin(function()))

    async def aclose(self, *, deadline: float) -> None:
        """Wait until every task has ended, also those that ending tasks spawn. Idempotent.

        Args:
            deadline: seconds; what still runs then is cancelled.
        """
        loop = asyncio.get_running_loop()
        end = loop.time() + deadline
        for task in tuple(self._services):
            task.cancel()
        try:
            while self._tasks and (left := end - loop.time()) > 0:
                await asyncio.wait(self._tasks, timeout=left, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._closed = True
            for task in tuple(self._tasks):
                task.cancel()
        if self._tasks:
            _, stubborn = await asyncio.wait(self._tasks, timeout=_CANCEL_DEADLINE)
            for task in stubborn:
                _LOG.error("a background task does not end, though it was cancelled: %s", task.get_coro())
