"""The turns of a session: its runs and file operations, one after another, until its clean-up."""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager, contextmanager
from enum import Enum, auto
from typing import TYPE_CHECKING, Protocol

import anyio

from interpreter_tools._deadline import awake_limit
from interpreter_tools._exceptions import EngineClosed, SessionBusy, SessionClosed

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Generator

    from interpreter_tools._runtime.runtime import Runtime


class State(Enum):
    """The state of a session.

    Attributes:
        OPEN: it can be used.
        CLOSING: its clean-up has begun, and can fail as long as files are copied to this machine.
        CLOSED: it has ended.
    """

    OPEN = auto()
    CLOSING = auto()
    CLOSED = auto()


_NEXT = {
    State.OPEN: {State.CLOSING},
    State.CLOSING: {State.OPEN, State.CLOSED},
    State.CLOSED: frozenset[State](),
}


class Guest(Protocol):
    """A long run of a session that can end early when another call waits for its turn."""

    def make_way(self) -> None:
        """End soon: another call waits for its turn."""


class Turns:
    """The turns of a session: one run or file operation at a time has it, in the order of the calls.

    Args:
        session_id: the session.
        runtime: says whether the engine is open.
        queue: True makes a call wait for its turn; False refuses the call while another has the turn.

    Attributes:
        state: the state of the session; ``change`` changes it.
        used: the time at which the session was last used, on the monotonic clock.
        guest: a long run that ends early when another call waits for its turn; None when there is none.
        cells: how many cells of contexts run, which need no turn.
    """

    def __init__(self, session_id: str, runtime: Runtime, *, queue: bool) -> None:
        self.state = State.OPEN
        self.used = time.monotonic()
        self.guest: Guest | None = None
        self.cells = 0
        self._session_id = session_id
        self._runtime = runtime
        self._queue = queue
        self._lock = asyncio.Lock()
        self._scope: anyio.CancelScope | None = None

    def __repr__(self) -> str:
        return f"<Turns [{self.state.name.lower()}, {'busy' if self.busy else 'free'}]>"

    @property
    def busy(self) -> bool:
        """True while a run or a file operation has the turn."""
        return self._lock.locked()

    def change(self, state: State) -> None:
        """Change the state of the session."""
        assert state in _NEXT[self.state], f"a session that is {self.state.name} cannot become {state.name}"
        self.state = state

    def check(self) -> None:
        """Refuse a call that comes too late, or from elsewhere.

        Raises:
            EngineMisused, EngineClosed: see ``Runtime.check``.
            SessionClosed: the clean-up of the session has begun.
        """
        self._runtime.check()
        if self.state is not State.OPEN:
            raise SessionClosed(f"the session {self._session_id!r} is {self.state.name.lower()}")

    async def take(self) -> None:
        """Wait for the turn.

        Raises:
            SessionBusy: another call has the turn, and this session does not queue.
            SessionClosed, EngineClosed: the session or the engine has ended, perhaps meanwhile.
        """
        self.check()
        if self.busy:
            if not self._queue:
                raise SessionBusy(
                    f"something runs in the session {self._session_id!r}", hint="wait for it, or use when_busy='queue'"
                )
            if self.guest is not None:
                self.guest.make_way()
        await self._lock.acquire()
        try:
            self.check()
        except BaseException:
            self._lock.release()
            raise

    async def seize(self, *, within: float) -> bool:
        """Wait for the turn, whatever the state; return False when it did not come within ``within`` seconds."""
        with awake_limit(within):
            await self._lock.acquire()
            return True
        return False

    def end(self) -> None:
        """Give the turn to the next caller."""
        self.used = time.monotonic()
        self._lock.release()

    @asynccontextmanager
    async def turn(self) -> AsyncGenerator[None]:
        """Have the turn inside of the ``async with``, for an operation that ``interrupt`` may end."""
        await self.take()
        try:
            with self.interruptible():
                yield
        finally:
            self.end()

    @contextmanager
    def interruptible(self) -> Generator[None]:
        """Let ``interrupt`` end a wait of the caller that has the turn.

        Raises:
            SessionClosed, EngineClosed: the wait was interrupted.
        """
        with anyio.CancelScope() as scope:
            self._scope = scope
            try:
                yield
            finally:
                self._scope = None
        if scope.cancel_called:
            raise self._interrupted() from None

    def interrupt(self) -> None:
        """End the interruptible wait of the caller that has the turn."""
        if self._scope is not None:
            self._scope.cancel()

    def _interrupted(self) -> EngineClosed | SessionClosed:
        if self._runtime.closed:
            return EngineClosed("the engine was closed meanwhile")
        return SessionClosed(f"the session {self._session_id!r} was cleaned up meanwhile")
