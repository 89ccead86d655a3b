"""The past of a context: its cells and checkpoints as a tree, which a rewind lets grow a new branch."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

from interpreter_tools._config.results import History, HistoryEntry

if TYPE_CHECKING:
    from interpreter_tools._config.results import HistoryKind, Outcome

_MOST_ENTRIES = 10_000
_MOST_CODE = 16 << 20  # characters of code


class _Node:
    __slots__ = ("checkpoint", "code", "kind", "number", "outcome", "parent")

    def __init__(self, number: int, kind: HistoryKind, parent: int | None, code: str, checkpoint: str) -> None:
        self.number = number
        self.kind: HistoryKind = kind
        self.parent = parent
        self.code = code
        self.checkpoint = checkpoint
        self.outcome: Outcome | None = None


class Timeline:
    """The steps of a context, and the one where it is. The oldest is forgotten when there is too much.

    Attributes:
        is_cut: True once something of the current line was forgotten.
    """

    def __init__(self) -> None:
        self._nodes: dict[int, _Node] = {}
        self._numbers = itertools.count(1)
        self._code = 0
        self._at: int | None = None
        self.is_cut = False

    def begin(self) -> None:
        """Note a new process: nothing is left of what was before."""
        self._at = None
        self.is_cut = False
        self._add("start")

    def cell(self, code: str) -> int:
        """Note a cell that begins; return its number."""
        return self._add("cell", code)

    def end(self, number: int, outcome: Outcome | None) -> None:
        """Note how a cell has ended."""
        node = self._nodes.get(number)
        if node is not None:
            node.outcome = outcome

    def checkpoint(self, checkpoint: str) -> int:
        """Note a checkpoint; return its number, for ``rewind``."""
        return self._add("checkpoint", checkpoint=checkpoint)

    def rewind(self, number: int) -> None:
        """Go back to a checkpoint."""
        self._at = number

    def branch(self) -> Timeline:
        """Return a timeline of its own that has come the same way."""
        other = Timeline()
        other._nodes = {node.number: node for node in self._line()}
        other._code = sum(len(node.code) for node in other._nodes.values())
        other._at = self._at
        other.is_cut = self.is_cut
        other._numbers = itertools.count(max(other._nodes, default=0) + 1)
        return other

    def codes(self) -> list[str]:
        """Return the code of the cells from the start of the process to where it is."""
        return [node.code for node in self._line() if node.kind == "cell"]

    def _line(self) -> list[_Node]:
        line: list[_Node] = []
        node = None if self._at is None else self._nodes.get(self._at)
        while node is not None:
            line.append(node)
            node = None if node.parent is None else self._nodes.get(node.parent)
        return line[::-1]

    def _add(self, kind: HistoryKind, code: str = "", checkpoint: str = "") -> int:
        number = next(self._numbers)
        self._nodes[number] = _Node(number, kind, self._at, code, checkpoint)
        self._code += len(code)
        self._at = number
        while len(self._nodes) > 1 and (len(self._nodes) > _MOST_ENTRIES or self._code > _MOST_CODE):
            self._forget()
        return number

    def _forget(self) -> None:
        oldest = self._nodes.pop(next(iter(self._nodes)))
        self._code -= len(oldest.code)
        self.is_cut = self.is_cut or oldest.kind != "checkpoint"

    def history(self, held: set[str]) -> History:
        """Return all that is known.

        Args:
            held: the ids of the checkpoints that can be gone back to.
        """
        line = {node.number for node in self._line()}
        return History(
            entries=tuple(
                HistoryEntry(
                    number=node.number,
                    kind=node.kind,
                    parent=node.parent if node.parent in self._nodes else None,
                    code=node.code,
                    outcome=node.outcome,
                    checkpoint_id=node.checkpoint or None,
                    is_held=node.checkpoint in held,
                    is_on_line=node.number in line,
                    is_current=node.number == self._at,
                )
                for node in self._nodes.values()
            )
        )
