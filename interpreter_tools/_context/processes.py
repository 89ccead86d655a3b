"""The processes of a context and of its branches: one runs, and the others are parked until their turn."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

from interpreter_tools._context import words
from interpreter_tools._context.parking import Arrival, ParkedEnded, Parking, Waking
from interpreter_tools._context.ring import Parked
from interpreter_tools._exceptions import CheckpointRefused, ContextDied, ExecutionClosed

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from interpreter_tools._context.interpreter import Interpreter
    from interpreter_tools._context.ring import Ring
    from interpreter_tools._exceptions import InterpreterToolsError

_MOST_PARKED = 48  # processes at once: each has one of the 64 connections of a side run


class Branch:
    """A context among those that share a side run.

    Args:
        name: the name of the context.
        ring: its checkpoints.
        leave: closes the context, as far as it is not closed.

    Attributes:
        head: the process to go on with, while another one runs; None while its own runs.
        diverges: that process gets random numbers of its own.
        death: how its process ended, while others lived on.
    """

    def __init__(self, name: str, ring: Ring, leave: Callable[[], None]) -> None:
        self.name = name
        self.ring = ring
        self.leave = leave
        self.head: Parked | None = None
        self.diverges = False
        self.death: InterpreterToolsError | None = None

    def __repr__(self) -> str:
        return f"<Branch {self.name} [{'parked' if self.head else 'live'}]>"

    def died(self) -> InterpreterToolsError | None:
        """Return how a process ended that is not the one that runs; None while it waits."""
        if self.head is not None and not self.head.is_gone:
            return None
        return self.death or ContextDied(f"the process of the branch {self.name!r} was ended while it was parked")


class Processes:
    """All processes of one context and its branches, which are one side run.

    Attributes:
        turn: held by whoever uses the process that runs: a cell, a question, a checkpoint.
        interpreter: the side run; None before the first start.
        live: the one whose process runs; None where nobody's does.
        members: the context and its branches that are open, oldest first.
    """

    def __init__(self) -> None:
        self.turn = asyncio.Lock()
        self.interpreter: Interpreter | None = None
        self.live: Branch | None = None
        self.members: list[Branch] = []
        self._parked: dict[int, Parked] = {}
        self._waking: Waking | None = None  # the last way back to a parked process
        self._leaving: set[int] = set()  # processes that were told to end
        self._arrival: Arrival | None = None  # of the copy of the process that runs

    def __repr__(self) -> str:
        return f"<Processes of {len(self.members)} contexts [{len(self._parked)} parked]>"

    def add(self, branch: Branch) -> None:
        """Have one more context."""
        self.members.append(branch)

    def remove(self, branch: Branch) -> None:
        """Forget a context: its process is ended when another one takes the place."""
        branch.ring.clear()
        if branch.head is not None:
            self.release(branch.head)
            branch.head = None
        if self.live is branch:
            self.live = None
        self.members.remove(branch)

    def begin(self, interpreter: Interpreter, live: Branch) -> None:
        """Note a new side run: what was parked in the one before is gone with it."""
        for parked in self._parked.values():
            parked.is_gone = True
        self._parked.clear()
        self._leaving.clear()
        self._arrival = None
        self.interpreter = interpreter
        interpreter.weighed = self._weighed
        self.live = live
        live.head = live.death = None
        live.ring.clear()

    def others(self, branch: Branch) -> tuple[str, ...]:
        """Return the names of the others that share the side run."""
        return tuple(other.name for other in self.members if other is not branch)

    async def park(self, interpreter: Interpreter, *, users: int) -> tuple[Parked, int]:
        """Park a fork of the process that runs; return it, and the bytes of files that were copied.

        Raises:
            CheckpointRefused: something is in the way, and nothing has changed.
            ContextDied, ContainerLost: the process has ended.
        """
        live = self.live
        assert live is not None
        for member in self.members:
            while len(self._parked) >= _MOST_PARKED and member.ring.ids():
                member.ring.drop("no more processes can be parked")
        if len(self._parked) >= _MOST_PARKED:
            raise CheckpointRefused(f"{_MOST_PARKED} processes that are parked already", hint="close some branches")
        parking = Parking(interpreter.number())
        message = words.say("checkpoint", id=parking.number, bytes=live.ring.limits.memory, parked=self._pids())
        with _busy_with(interpreter, parking):
            try:
                await interpreter.tell(message)
                (connection, pid), saved = await parking.finish(interpreter)
            except CheckpointRefused as refused:
                if len(self.members) == 1:
                    raise
                raise CheckpointRefused(f"{refused.what}, in {live.name!r}") from None
        parked = Parked(connection, pid, users)
        self._hold(interpreter, parked)
        return parked, saved.bytes

    def weigh(self) -> None:
        """Ask the oldest parked process how much memory each of them holds: the answer drops checkpoints if need be."""
        connection = next(iter(self._parked), None)
        if connection is not None and self.interpreter is not None:
            self.interpreter.tell_soon(words.say("weigh", parked=self._pids()), connection=connection)

    def _weighed(self, held: dict[int, int]) -> None:
        """Note how much memory the parked processes hold, and drop checkpoints where it is too much."""
        for parked in self._parked.values():
            parked.size = held.get(parked.pid, parked.size)
        for member in self.members:
            member.ring.trim()

    async def resume(self, branch: Branch) -> None:
        """Have the process of a branch go on where it was parked.

        Raises:
            CheckpointRefused: the one that runs cannot be parked.
            ContextDied, ContainerLost: the process has ended.
        """
        assert branch.head is not None
        try:
            await self.wake(branch, branch.head, diverges=branch.diverges)
        except ParkedEnded:
            died = branch.died()
            assert died is not None
            raise died from None

    async def wake(self, branch: Branch, parked: Parked, *, diverges: bool) -> None:
        """Have a fork of a parked process go on as that of a branch; that of another branch is parked first.

        Raises:
            CheckpointRefused: the one that runs cannot be parked, or no process can be made; nothing has changed.
            ParkedEnded: the parked process has ended, and nothing has changed.
            ContextDied, ContainerLost: the process has ended.
        """
        live, interpreter = self.live, self.interpreter
        assert interpreter is not None
        await self.settle()
        if live is not None and live is not branch:
            if interpreter.fallen is None:
                live.head, _ = await self.park(interpreter, users=1)
            else:
                live.death = interpreter.fallen
        number = interpreter.number()
        arrival = Arrival(number, lambda copy: self._arrived(interpreter, parked, copy))
        waking = self._waking = Waking(number, parked, arrival)
        is_last = branch.head is parked and parked.users == 1
        try:
            with _busy_with(interpreter, waking):
                wake = words.say("wake", id=number, last=is_last)
                with contextlib.suppress(ExecutionClosed):  # its connection is over: it has ended
                    await interpreter.tell(wake, connection=parked.connection)
                woken = await waking.rise(interpreter)
                if woken == parked.connection:  # it goes on itself
                    del self._parked[woken], interpreter.parked[woken]
                    parked.is_gone = is_last
                    self._arrival = None if is_last else arrival
                interpreter.lead(woken)
                try:
                    await waking.restore(interpreter, others=self._pids(), diverges=diverges)
                except BaseException:
                    if self._arrival is arrival:
                        arrival.fail()
                    raise
            interpreter.newcomers = self._arrival
        except (CheckpointRefused, ParkedEnded):
            if live is not None and live.head is not None:
                self.release(live.head)
                live.head = None
            raise
        if branch.head is not None:
            self.release(branch.head)
            branch.head = None
        branch.diverges, branch.death = False, None
        self.live = branch

    def _arrived(self, interpreter: Interpreter, parked: Parked, copy: tuple[int, int] | None) -> None:
        """Have the copy that a process has left be the parked one; None where there is none."""
        if interpreter.newcomers is self._arrival:
            interpreter.newcomers = None
        self._arrival = None
        if copy is None:
            parked.is_gone = True
            return
        parked.connection, parked.pid = copy
        self._hold(interpreter, parked)
        if not parked.users:
            self._drop(interpreter, parked)

    async def settle(self) -> None:
        """Wait until the process that went on from a checkpoint last has left a copy of itself."""
        if self._arrival is not None and self.interpreter is not None:
            await self._arrival.over(self.interpreter)

    def _hold(self, interpreter: Interpreter, parked: Parked) -> None:
        self._parked[parked.connection] = parked
        interpreter.park(parked.connection, lambda: self._lost(parked))

    def _pids(self) -> list[int]:
        """Return the numbers of the parked processes, oldest first, and of those that are about to end."""
        return [*(parked.pid for parked in self._parked.values()), *self._leaving]

    def _lost(self, parked: Parked) -> None:
        parked.is_gone = True
        self._parked.pop(parked.connection, None)
        if self._waking is not None:
            self._waking.news.set()

    def release(self, parked: Parked) -> None:
        """Want a parked process no longer; the last one ends it."""
        parked.users -= 1
        if not parked.users and self._parked.get(parked.connection) is parked and self.interpreter is not None:
            self._drop(self.interpreter, parked)

    def _drop(self, interpreter: Interpreter, parked: Parked) -> None:
        parked.is_gone = True
        del self._parked[parked.connection]
        self._leaving.add(parked.pid)
        interpreter.parked[parked.connection] = lambda: self._leaving.discard(parked.pid)
        interpreter.tell_soon(words.say("drop"), connection=parked.connection)


@contextlib.contextmanager
def _busy_with(interpreter: Interpreter, task: Parking | Waking) -> Generator[None]:
    interpreter.task = interpreter.newcomers = task
    try:
        yield
    finally:
        interpreter.task = interpreter.newcomers = None
