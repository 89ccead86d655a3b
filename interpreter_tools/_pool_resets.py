"""The containers of a pool between two runs: when they are reset."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from interpreter_tools._exceptions import InterpreterToolsError

if TYPE_CHECKING:
    from collections.abc import Callable

    from interpreter_tools._container import Container
    from interpreter_tools._tasks import TaskHost

_LOG = logging.getLogger("interpreter_tools")

# A reset after which an interpreter boots that takes long (Node.js: 100 ms) would disturb the runs beside it. While
# others are ready, it waits for a pause in them (measured: 8 ms for a run instead of 40). With none ready, one
# comes back for each caller who waits, or for the next: to boot all delays the run under way (70 ms instead of 6).
_PAUSE = 0.05  # seconds


class Resets:
    """Used containers, until they have been reset.

    Args:
        tasks: runs the resets.
        slow: an interpreter boots after each.
        needed: how many containers have to come back now; 0 while others are ready.
        done: is told of each container why it must go, or None when it is as new.
    """

    def __init__(
        self,
        tasks: TaskHost,
        *,
        slow: bool,
        needed: Callable[[], int],
        done: Callable[[Container, str | None], None],
    ) -> None:
        self._tasks = tasks
        self._slow = slow
        self._needed = needed
        self._done = done
        self._used: list[Container] = []
        self._active = 0
        self._timer: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return len(self._used) + self._active

    def __repr__(self) -> str:
        return f"<Resets [{self._active} under way, {len(self._used)} to come]>"

    def add(self, container: Container) -> None:
        """Takes a container whose run has ended."""
        self._used.append(container)
        self.review()

    def review(self) -> None:
        """Begins what should not wait any longer; the demand has changed."""
        self._stop_timer()
        if not self._slow:
            self._begin(len(self._used))
            return
        self._begin(self._needed() - self._active)
        if self._used:
            self._timer = asyncio.get_running_loop().call_later(_PAUSE, self._pause_has_come)

    def _pause_has_come(self) -> None:
        self._timer = None
        self._begin(len(self._used))

    def close(self) -> None:
        """Gives up those whose reset has not begun."""
        self._stop_timer()
        while self._used:
            self._done(self._used.pop(), "closed")

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _begin(self, count: int) -> None:
        for _ in range(min(count, len(self._used))):
            container = self._used.pop(0)
            self._active += 1
            if not self._tasks.spawn(self._reset, container):
                self._active -= 1
                self._done(container, "closed")

    async def _reset(self, container: Container) -> None:
        cause: str | None = "reset: lost"
        try:
            left = await container.reset()
            cause = None if left is None else f"reset: {left}"
        except InterpreterToolsError:
            _LOG.info("a container was lost while it was reset", exc_info=True)
        finally:
            self._active -= 1
            self._done(container, cause)
