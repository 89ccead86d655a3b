"""The code of the cells that a kernel has run, for ``history_request``."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from interpreter_tools.server.wires.jupyter import _requests as requests

_MOST = 1 << 20  # characters of code


class History:
    """The code of the last cells, up to a size."""

    def __init__(self) -> None:
        self._entries: deque[tuple[int, int, str]] = deque()
        self._size = 0

    def __repr__(self) -> str:
        return f"<History [{len(self._entries)} cells]>"

    def add(self, count: int, code: str) -> None:
        """Add a cell; the oldest ones go when there is too much code."""
        self._entries.append((0, count, code))
        self._size += len(code) + 1
        while self._size > _MOST:
            self._size -= len(self._entries.popleft()[2]) + 1

    def clear(self) -> None:
        """Remove all cells."""
        self._entries.clear()
        self._size = 0

    def find(self, wanted: requests.History, *, end: int) -> list[tuple[int, int, object]]:
        """Return the cells that a client asks for: (0, the number of the cell, its code), oldest first.

        With ``output``, the code is a pair with the output, which is None: outputs are not kept.

        Args:
            wanted: what is asked for.
            end: the number at which a range without an end stops.
        """
        entries = list(self._entries)
        if wanted.hist_access_type == "range":
            stop = wanted.stop if wanted.stop is not None else end
            entries = [entry for entry in entries if wanted.start <= entry[1] < stop]
        elif wanted.hist_access_type == "search":
            entries = [entry for entry in entries if _has(entry[2], wanted.pattern)]
        if wanted.unique:
            entries = list({entry[2]: entry for entry in entries}.values())
        if wanted.n is not None and wanted.hist_access_type != "range":
            entries = entries[-wanted.n :] if wanted.n > 0 else []
        return [(session, count, (code, None) if wanted.output else code) for session, count, code in entries]


def _has(code: str, pattern: str) -> bool:
    """Tell whether the pieces between the stars of a pattern stand in the code, in this order."""
    at = 0
    for piece in pattern.split("*"):
        at = code.find(piece, at)
        if at < 0:
            return False
        at += len(piece)
    return True
