"""The resets of a pool's containers between two runs."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from interpreter_tools._deadline import AwakeTimer
from interpreter_tools._exceptions import InterpreterToolsError
from interpreter_tools._protocol import Clean, Event

if TYPE_CHECKING:
    from collections.abc import Callable

    from interpreter_tools._container.container import Container

_LOG = logging.getLogger("interpreter_tools")

# A reset with a slow boot after it (Node.js: 100 ms) would slow the runs beside it. While other containers are ready,
# the reset waits for a pause (measured: 8 ms for a run instead of 40). With no container ready, one is reset for each
# waiting caller, at least one for each core of the Docker host; resetting all would slow the current run (70 ms instead
# of 6). Runs back to back take 19 to 25 ms on two cores, and 24 to 33 with one reset at a time: bench/node.py.
_PAUSE = 0.05  # seconds
_DEADLINE = 5.0  # seconds for the answer; the container's own is shorter


class _Reset:
    """A reset under way: it listens for the answer, and reports the result once."""

    def __init__(self, container: Container, ended: Callable[[_Reset, str | None], None]) -> None:
        self.container = container
        self._ended = ended
        self._timer = AwakeTimer(_DEADLINE, self._end, "reset: deadline")

    def begin(self) -> None:
        """Send the reset."""
        try:
            self.container.channel.listen(self)
            self.container.ask_for_reset()
        except InterpreterToolsError as error:
            self.lost(error)

    def receive(self, event: Event) -> None:
        assert isinstance(event, Clean), event  # the protocol allows nothing else
        self._end(self.container.was_reset(event))

    def lost(self, error: InterpreterToolsError) -> None:
        _LOG.info("a container was lost while it was reset", exc_info=error)
        self._end("reset: lost")

    def give_up(self) -> None:
        """End the reset: the pool closes."""
        self._end("closed")

    def _end(self, cause: str | None) -> None:
        self._timer.cancel()
        self.container.channel.quit(self)
        self._ended(self, cause)


class Resets:
    """Used containers that wait for their reset.

    Args:
        slow: True when an interpreter boots after each reset.
        needed: returns the number of containers that the pool needs now; 0 while others are ready.
        done: called for each container with the cause to terminate it, or with None after a verified reset.
    """

    def __init__(
        self,
        *,
        slow: bool,
        needed: Callable[[], int],
        done: Callable[[Container, str | None], None],
    ) -> None:
        self._slow = slow
        self._needed = needed
        self._done = done
        self._used: list[Container] = []
        self._active: set[_Reset] = set()
        self._timer: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return len(self._used) + len(self._active)

    def __repr__(self) -> str:
        return f"<Resets [{len(self._active)} under way, {len(self._used)} to come]>"

    def add(self, container: Container) -> None:
        """Add a container whose run has ended."""
        self._used.append(container)
        self.review()

    def review(self) -> None:
        """Begin the resets that should not wait any longer, after a change of the demand."""
        self._stop_timer()
        if not self._slow:
            self._begin(len(self._used))
            return
        self._begin(self._needed() - len(self._active))
        if self._used:
            self._timer = asyncio.get_running_loop().call_later(_PAUSE, self._pause_has_come)

    def _pause_has_come(self) -> None:
        self._timer = None
        self._begin(len(self._used))

    def close(self) -> None:
        """Terminate all of the containers."""
        self._stop_timer()
        for reset in tuple(self._active):
            reset.give_up()
        while self._used:
            self._done(self._used.pop(), "closed")

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _begin(self, count: int) -> None:
        for _ in range(min(count, len(self._used))):
            reset = _Reset(self._used.pop(0), self._ended)
            self._active.add(reset)
            reset.begin()

    def _ended(self, reset: _Reset, cause: str | None) -> None:
        self._active.discard(reset)
        self._done(reset.container, cause)
