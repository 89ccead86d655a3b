"""Admission: how many runs there are at once, who waits for a turn, and who is told to come again later."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from typing import TYPE_CHECKING, Self

from interpreter_tools.server._errors import Refused, Unavailable

if TYPE_CHECKING:
    from types import TracebackType

    from interpreter_tools.server._keys import Owner

_FIRST_GUESS = 0.1  # seconds of a run, before any was seen
_WEIGHT = 0.05  # of the last run in the mean
_LONGEST_WAIT = 60.0  # seconds that a refused caller is told to wait at most


class Admission:
    """The turns of runs and cells: first come, first served among those of one key, and each key in turn.

    A queue that is full refuses the newest caller of the key that has the most callers in it.

    Args:
        slots: runs and cells at once.
        queue: callers that wait at once, over all keys.
    """

    def __init__(self, *, slots: int, queue: int) -> None:
        self._slots = slots
        self._queue = queue
        self._waiting: dict[Owner, deque[asyncio.Future[None]]] = {}  # in the order of their turns
        self._closed = False
        self._idle = asyncio.Event()
        self._idle.set()
        self._mean = _FIRST_GUESS
        self.running = 0
        self.waiting = 0

    def __repr__(self) -> str:
        return f"<Admission [{self.running} of {self._slots} running, {self.waiting} waiting]>"

    def slot(self, owner: Owner) -> Slot:
        """Return a turn of an owner, for ``async with``.

        Entering it raises:
            Refused: the queue is full, or the owner has used up its processor time.
            Unavailable: the server stops.
        """
        return Slot(self, owner)

    async def acquire(self, owner: Owner) -> None:
        """Wait for a turn; ``slot`` does this."""
        self._check()
        owner.check_cpu()
        if self.running < self._slots and owner.may_run and owner not in self._waiting:
            self._begin(owner)
            return
        if self.waiting >= self._queue:
            self._make_room(owner)
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(owner, deque()).append(turn)
        self.waiting += 1
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled() and turn.exception() is None:
                self.release(owner)  # the turn came in the same moment
            else:
                self._leave(owner, turn)
            raise

    def release(self, owner: Owner, seconds: float | None = None) -> None:
        """End a turn, and begin those that have become possible."""
        if seconds is not None:
            self._mean += (seconds - self._mean) * _WEIGHT
        self.running -= 1
        owner.running -= 1
        self._next()
        if not self.running:
            self._idle.set()

    def lend(self, owner: Owner) -> None:
        """Give a turn to others while its cell waits for its client; ``take_back`` ends that."""
        self.release(owner)

    def take_back(self, owner: Owner) -> None:
        """Count a turn again at once, even beyond the slots: a cell that has begun is not held up."""
        self._begin(owner)

    def _begin(self, owner: Owner) -> None:
        self.running += 1
        owner.running += 1
        self._idle.clear()

    def _next(self) -> None:
        """Begin the turns of the owners, one each, for as long as there are slots."""
        while self.running < self._slots:
            owner = next((owner for owner in self._waiting if owner.may_run), None)
            if owner is None:
                return
            turns = self._waiting.pop(owner)
            turn = turns.popleft()
            self.waiting -= 1
            if turns:
                self._waiting[owner] = turns  # behind the others
            if not turn.done():
                self._begin(owner)
                turn.set_result(None)

    def _make_room(self, owner: Owner) -> None:
        """Refuse the newest caller of the key that has the most: this one, or another's."""
        longest, turns = max(self._waiting.items(), key=lambda item: len(item[1]))
        if len(turns) <= len(self._waiting.get(owner, ())) + 1:
            raise self._full()
        turn = turns[-1]
        self._leave(longest, turn)
        if not turn.done():
            turn.set_exception(self._full())

    def _full(self) -> Refused:
        seconds = min(self._mean * (self.waiting + 1) / self._slots, _LONGEST_WAIT)
        return Refused(f"{self.waiting} callers wait already", reason="queue", retry_after=seconds)

    def _leave(self, owner: Owner, turn: asyncio.Future[None]) -> None:
        turns = self._waiting.get(owner)
        if turns is None or turn not in turns:
            return
        turns.remove(turn)
        self.waiting -= 1
        if not turns:
            del self._waiting[owner]

    def _check(self) -> None:
        if self._closed:
            raise Unavailable("the server stops", reason="stopping", retry_after=5)

    @property
    def is_closed(self) -> bool:
        """True once the server stops."""
        return self._closed

    def close(self) -> None:
        """Refuse every caller that waits or comes from now on; the runs go on."""
        self._closed = True
        for turns in self._waiting.values():
            for turn in turns:
                if not turn.done():
                    turn.set_exception(Unavailable("the server stops", reason="stopping", retry_after=5))
        self._waiting.clear()
        self.waiting = 0

    async def idle(self) -> None:
        """Wait until nothing runs."""
        await self._idle.wait()


class Slot:
    """A turn of an owner.

    Attributes:
        waited: seconds between entering and the turn.
    """

    def __init__(self, admission: Admission, owner: Owner) -> None:
        self._admission = admission
        self._owner = owner
        self._began = 0.0
        self._is_lent = False
        self.waited = 0.0

    def lend(self) -> None:
        """Give the turn to others until ``take_back``. Does nothing the second time."""
        if not self._is_lent:
            self._is_lent = True
            self._admission.lend(self._owner)

    def take_back(self) -> None:
        """Have the turn again. Does nothing for one that is not lent."""
        if self._is_lent:
            self._is_lent = False
            self._admission.take_back(self._owner)

    async def __aenter__(self) -> Self:
        asked = time.monotonic()
        await self._admission.acquire(self._owner)
        self._began = time.monotonic()
        self.waited = self._began - asked
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.take_back()
        self._admission.release(self._owner, time.monotonic() - self._began)
