"""The owner of every background task: one task that holds an anyio task group for as long as the engine lives."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, ParamSpec

import anyio
import anyio.abc

try:
    from sniffio import thread_local as _library
except ImportError:
    _library = None

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Generator

P = ParamSpec("P")


@contextlib.contextmanager
def seen_by_anyio() -> Generator[None]:
    """Lets anyio find its event loop in a callback of the loop as well.

    Where sniffio is installed, and openai, anthropic and others bring it along, anyio asks that, and it goes by the
    task that runs: in a callback there is none.
    """
    if _library is None:
        yield
        return
    before, _library.name = _library.name, "asyncio"
    try:
        yield
    finally:
        _library.name = before


@contextlib.asynccontextmanager
async def beside(work: Coroutine[object, object, None] | None) -> AsyncGenerator[None]:
    """Runs something beside a block, if there is something, and cancels it at the block's end."""
    task = None if work is None else asyncio.create_task(work)
    try:
        yield
    finally:
        if task is not None:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task


class TaskHost:
    """A task group that may be opened and closed from different tasks, which a bare one must not be."""

    def __init__(self) -> None:
        self._group: anyio.abc.TaskGroup | None = None
        self._stop = anyio.Event()
        self._host: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Opens the group."""
        ready = anyio.Event()
        self._host = asyncio.create_task(self._run(ready), name="interpreter-tools")
        try:
            await ready.wait()
        except BaseException:
            self._host.cancel()
            raise

    async def _run(self, ready: anyio.Event) -> None:
        async with anyio.create_task_group() as group:
            self._group = group
            ready.set()
            await self._stop.wait()
        self._group = None  # not before: what ends may spawn what cleans up after it

    def spawn(self, function: Callable[P, Awaitable[object]], *args: P.args, **kwargs: P.kwargs) -> bool:
        """Runs a function in the background; it must see to its own errors. False when the group is closed."""
        if self._group is None:
            return False

        async def call() -> None:
            await function(*args, **kwargs)

        with seen_by_anyio():
            self._group.start_soon(call)
        return True

    async def aclose(self, *, deadline: float) -> None:
        """Waits until every task has ended; what is still running at the deadline, in seconds, is cancelled."""
        host, self._host = self._host, None
        if host is None:
            return
        self._stop.set()
        await asyncio.wait([host], timeout=deadline)
        if not host.done():
            host.cancel()
        await asyncio.wait([host])
        if not host.cancelled() and (error := host.exception()) is not None:
            raise error
