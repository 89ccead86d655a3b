"""The lines that the ``input()`` of a cell reads."""

from __future__ import annotations

from interpreter_tools._exceptions import ExecutionClosed


class InputLines:
    """Lines that are asked for one by one.

    Args:
        given: all of the input; None leaves it open for ``add``.
    """

    def __init__(self, given: bytes | None) -> None:
        self._waiting = bytearray(given or b"")
        self._ended = given is not None
        self._asked = False
        self.is_there = given is None or bool(given)
        """True when ``input()`` can have an answer."""

    def __repr__(self) -> str:
        return f"<InputLines [{len(self._waiting)} bytes{', asked' if self._asked else ''}]>"

    def add(self, data: bytes) -> None:
        """Add bytes.

        Raises:
            ExecutionClosed: the input has ended.
        """
        if self._ended:
            raise ExecutionClosed("stdin is closed")
        self._waiting += data

    def end(self) -> None:
        """Note that no more bytes come."""
        self._ended = True

    def ask(self) -> None:
        """Note that the cell waits for a line."""
        self._asked = True

    def answer(self) -> str | None:
        """Return the line that was asked for, empty at the end of the input; None while there is nothing to answer."""
        if not self._asked:
            return None
        line, newline, rest = self._waiting.partition(b"\n")
        if not newline and not self._ended:
            return None
        self._asked = False
        self._waiting = rest
        return bytes(line + newline).decode("utf-8", "replace")
