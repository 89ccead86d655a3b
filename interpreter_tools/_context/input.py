"""The lines that the ``input()`` of a cell reads."""

from __future__ import annotations

from interpreter_tools._exceptions import ExecutionClosed

_MOST_BYTES = 32 * 1024  # of one answer, unless its first line is longer


class InputLines:
    """Lines that are asked for, one or several at a time.

    Args:
        given: all of the input; None leaves it open for ``add``.
    """

    def __init__(self, given: bytes | None) -> None:
        self._waiting = bytearray(given or b"")
        self._ended = given is not None
        self._asked = 0  # lines at most; 0: none
        self.is_there = given is None or bool(given)
        """True when ``input()`` can have an answer."""

    @property
    def is_open(self) -> bool:
        """True while more bytes may come."""
        return not self._ended

    def __repr__(self) -> str:
        return f"<InputLines [{len(self._waiting)} bytes{', asked' if self._asked else ''}]>"

    def add(self, data: bytes) -> None:
        """Add bytes.

        Raises:
            ExecutionClosed: the input has ended.
        """
        if self._ended:
            raise ExecutionClosed("stdin is closed", hint="leave the option stdin out, and call close_stdin last")
        self._waiting += data

    def end(self) -> None:
        """Note that no more bytes come."""
        self._ended = True

    def ask(self, lines: int = 1) -> None:
        """Note that the cell waits for a line, and takes so many at once."""
        self._asked = max(1, lines)

    def answer(self) -> str | None:
        """Return the lines that were asked for; empty at the end of the input, None while there are none."""
        if not self._asked:
            return None
        end = 0
        for _ in range(self._asked):
            found = self._waiting.find(b"\n", end) + 1
            if not found or (end and found > _MOST_BYTES):
                break
            end = found
        if not end and not self._ended:
            return None
        end = end or len(self._waiting)
        self._asked = 0
        lines = bytes(self._waiting[:end])
        del self._waiting[:end]
        return lines.decode("utf-8", "replace")
