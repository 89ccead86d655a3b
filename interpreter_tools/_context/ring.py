"""The checkpoints that a context holds: the oldest go first."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

from interpreter_tools._exceptions import CheckpointGone

if TYPE_CHECKING:
    from collections.abc import Callable

    from interpreter_tools._config.options import CheckpointLimits
    from interpreter_tools._config.results import Checkpoint

_REMEMBERED = 1000  # ids of checkpoints that are gone, for which an error can say why


class Parked:
    """A parked process, which several may want to go back to.

    Attributes:
        connection: its connection.
        pid: its number.
        users: how many may go back to it; without any it is ended.
        size: bytes of memory that it holds, when that was last told.
        is_gone: True once it has ended.
    """

    __slots__ = ("connection", "is_gone", "pid", "size", "users")

    def __init__(self, connection: int, pid: int, users: int) -> None:
        self.connection = connection
        self.pid = pid
        self.users = users
        self.size = 0
        self.is_gone = False


class Ring:
    """The checkpoints of one context, oldest first.

    Args:
        context_id: the id of the context.
        limits: how many there may be, and how much they may hold.
        release: called with a process that is not wanted any more.
    """

    def __init__(self, context_id: str, limits: CheckpointLimits, release: Callable[[Parked], None]) -> None:
        self._context_id = context_id
        self._release = release
        self.limits = limits
        self._held: dict[str, tuple[Checkpoint, Parked]] = {}
        self._gone: dict[str, str] = {}  # why each went
        self._notes: list[str] = []
        self._dropped: list[str] = []  # that the next checkpoint says

    def __repr__(self) -> str:
        return f"<Ring [{len(self._held)} of {self.limits.count}]>"

    def all(self) -> tuple[Checkpoint, ...]:
        """Return the checkpoints that are held, oldest first."""
        self._sweep()
        return tuple(checkpoint for checkpoint, _ in self._held.values())

    def ids(self) -> set[str]:
        """Return the ids of the checkpoints that are held."""
        return {checkpoint.checkpoint_id for checkpoint in self.all()}

    def new_id(self) -> str:
        """Return an id for the next checkpoint."""
        return secrets.token_hex(4)

    def find(self, checkpoint: Checkpoint) -> Parked:
        """Return the process of a checkpoint.

        Raises:
            CheckpointGone: it is not held.
        """
        self._sweep()
        if checkpoint.context_id != self._context_id:
            raise CheckpointGone(checkpoint.checkpoint_id, "it is one of another context")
        if checkpoint.checkpoint_id not in self._held:
            why = self._gone.get(checkpoint.checkpoint_id, "the process that held it has ended")
            raise CheckpointGone(checkpoint.checkpoint_id, why)
        return self._held[checkpoint.checkpoint_id][1]

    def make_room(self) -> tuple[str, ...]:
        """Drop the oldest checkpoints where one more comes; return the ids of all that went since the one before."""
        self._sweep()
        while len(self._held) >= self.limits.count:
            self._drop(f"the context holds {self.limits.count} checkpoints at most")
        dropped, self._dropped = tuple(self._dropped), []
        return dropped

    def trim(self) -> None:
        """Drop the oldest checkpoints while all hold more memory than they may; the newest stays."""
        while len(self._held) > 1 and self._size() > self.limits.memory:
            self.drop(f"the checkpoints held more than {self.limits.memory} bytes of memory")

    def _size(self) -> int:
        return sum(parked.size + checkpoint.file_bytes for checkpoint, parked in self._held.values())

    def drop(self, why: str) -> None:
        """Drop the oldest checkpoint; the next result and the next checkpoint say so."""
        self._note(self._drop(why))

    def _drop(self, why: str) -> str:
        oldest = next(iter(self._held))
        self._release(self._held.pop(oldest)[1])
        self._forget(oldest, why)
        return oldest

    def add(self, checkpoint: Checkpoint, parked: Parked) -> None:
        """Hold a checkpoint."""
        self._held[checkpoint.checkpoint_id] = checkpoint, parked

    def _sweep(self) -> None:
        """Note the checkpoints whose processes have ended by themselves."""
        for checkpoint_id, (_, parked) in tuple(self._held.items()):
            if parked.is_gone:
                del self._held[checkpoint_id]
                self._forget(checkpoint_id, "its process was ended, for lack of memory or with that of the context")
                self._note(checkpoint_id)

    def _note(self, checkpoint_id: str) -> None:
        self._notes.append(f"the checkpoint {checkpoint_id!r} is gone: {self._gone[checkpoint_id]}")

    def _forget(self, checkpoint_id: str, why: str) -> None:
        self._gone[checkpoint_id] = why
        self._dropped.append(checkpoint_id)
        if len(self._gone) > _REMEMBERED:
            del self._gone[next(iter(self._gone))]

    def clear(self) -> None:
        """Drop all: the context is closed, or has a new process."""
        while self._held:
            self._drop("the process that held it has ended")
        self._notes.clear()
        self._dropped.clear()

    def notes(self) -> tuple[str, ...]:
        """Return what happened to checkpoints since the last call, for the result of the next cell."""
        self._sweep()
        notes, self._notes = tuple(self._notes), []
        return notes
