"""The checkpoints that a context holds: the oldest go first."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

from interpreter_tools._context import words
from interpreter_tools._exceptions import CheckpointGone

if TYPE_CHECKING:
    from interpreter_tools._config.options import CheckpointLimits
    from interpreter_tools._config.results import Checkpoint
    from interpreter_tools._context.interpreter import Interpreter

_REMEMBERED = 1000  # ids of checkpoints that are gone, for which an error can say why


class _Held:
    __slots__ = ("checkpoint", "connection", "pid", "size")

    def __init__(self, checkpoint: Checkpoint, connection: int, pid: int) -> None:
        self.checkpoint = checkpoint
        self.connection = connection
        self.pid = pid
        self.size = 0


class Ring:
    """The checkpoints of one context, oldest first.

    Args:
        context_id: the id of the context.
        limits: how many there may be, and how much they may hold.
    """

    def __init__(self, context_id: str, limits: CheckpointLimits) -> None:
        self._context_id = context_id
        self.limits = limits
        self._held: dict[str, _Held] = {}
        self._leaving: set[int] = set()  # processes that were told to end
        self._gone: dict[str, str] = {}  # why each went
        self._notes: list[str] = []

    def __repr__(self) -> str:
        return f"<Ring [{len(self._held)} of {self.limits.count}]>"

    def ids(self) -> set[str]:
        """Return the ids of the checkpoints that are held."""
        return set(self._held)

    def all(self) -> tuple[Checkpoint, ...]:
        """Return the checkpoints that are held, oldest first."""
        return tuple(held.checkpoint for held in self._held.values())

    def new_id(self) -> str:
        """Return an id for the next checkpoint."""
        return secrets.token_hex(4)

    def pids(self) -> list[int]:
        """Return the numbers of the parked processes, oldest first, and of those that are about to end."""
        return [*(held.pid for held in self._held.values()), *self._leaving]

    def find(self, checkpoint: Checkpoint) -> int:
        """Return the connection of a checkpoint's process.

        Raises:
            CheckpointGone: it is not held.
        """
        if checkpoint.context_id != self._context_id:
            raise CheckpointGone(checkpoint.checkpoint_id, "it is one of another context")
        if checkpoint.checkpoint_id not in self._held:
            why = self._gone.get(checkpoint.checkpoint_id, "the process that held it has ended")
            raise CheckpointGone(checkpoint.checkpoint_id, why)
        return self._held[checkpoint.checkpoint_id].connection

    def make_room(self, interpreter: Interpreter, sizes: list[int]) -> tuple[str, ...]:
        """Drop the oldest checkpoints where one more has come; return their ids.

        Args:
            interpreter: the process of the context.
            sizes: bytes of memory that each parked process holds, oldest first.
        """
        for held, size in zip(self._held.values(), sizes, strict=False):
            held.size = size + held.checkpoint.file_bytes
        dropped: list[str] = []
        while len(self._held) >= self.limits.count:
            dropped.append(self._drop(interpreter, f"the context holds {self.limits.count} checkpoints at most"))
        while sum(held.size for held in self._held.values()) > self.limits.memory:
            why = f"the checkpoints held more than {self.limits.memory} bytes of memory"
            dropped.append(self._drop(interpreter, why))
        return tuple(dropped)

    def _drop(self, interpreter: Interpreter, why: str) -> str:
        oldest = next(iter(self._held))
        held = self._held.pop(oldest)
        self._leaving.add(held.pid)
        interpreter.parked[held.connection] = lambda: self._leaving.discard(held.pid)
        interpreter.tell_soon(words.say("drop"), connection=held.connection)
        self._forget(oldest, why)
        return oldest

    def add(self, interpreter: Interpreter, checkpoint: Checkpoint, connection: int, pid: int) -> None:
        """Hold a checkpoint."""
        self._held[checkpoint.checkpoint_id] = _Held(checkpoint, connection, pid)
        interpreter.park(connection, lambda: self._lost(checkpoint.checkpoint_id))

    def _lost(self, checkpoint_id: str) -> None:
        """Note that the process of a checkpoint has ended by itself."""
        if self._held.pop(checkpoint_id, None) is not None:
            self._forget(checkpoint_id, "its process was ended, for lack of memory or with that of the context")
            self._notes.append(f"the checkpoint {checkpoint_id!r} is gone: {self._gone[checkpoint_id]}")

    def _forget(self, checkpoint_id: str, why: str) -> None:
        self._gone[checkpoint_id] = why
        if len(self._gone) > _REMEMBERED:
            del self._gone[next(iter(self._gone))]

    def clear(self) -> None:
        """Forget all: the process of the context has ended, and they with it."""
        for checkpoint_id in tuple(self._held):
            self._forget(checkpoint_id, "the process that held it has ended")
        self._held.clear()
        self._leaving.clear()

    def notes(self) -> tuple[str, ...]:
        """Return what happened to checkpoints since the last call, for the result of the next cell."""
        notes, self._notes = tuple(self._notes), []
        return notes
