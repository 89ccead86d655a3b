"""The results that a program displays, put together from the pieces that its processes send."""

from __future__ import annotations

from interpreter_tools._config.display import DisplayResult, read_display

_DISPLAY = ord("d")  # the kind of message, as interpreter_tools_display sends it
_HEAD = 2  # bytes before the content of a piece: its kind, and whether more follows
_MOST_RESULTS = 1000
_MOST_BYTES = 64 << 20  # of all messages of a run


class Displays:
    """The results of one run, bounded in count and bytes: results beyond the bounds are dropped.

    Attributes:
        results: the results displayed so far, in order.
        truncated: True when a result was dropped.
    """

    def __init__(self) -> None:
        self.results: list[DisplayResult] = []
        self.truncated = False
        self._left = _MOST_BYTES
        self._parts: dict[int, bytearray | None] = {}  # by connection; None: the rest of a message that is dropped

    def feed(self, connection: int, piece: bytes) -> DisplayResult | None:
        """Take a piece of a message. Return the result that it completes; None when there is none."""
        if len(piece) < _HEAD or piece[0] != _DISPLAY or piece[1] > 1:
            self._parts.pop(connection, None)  # not from our package: the program's own mistake
            return None
        part = self._parts.setdefault(connection, bytearray())
        if part is not None:
            self._left -= len(piece) - _HEAD
            if self._left < 0 or len(self.results) >= _MOST_RESULTS:
                self.truncated = True
                part = self._parts[connection] = None
            else:
                part += piece[_HEAD:]
        if piece[1]:
            return None
        del self._parts[connection]
        result = None if part is None else read_display(part)
        if result is not None:
            self.results.append(result)
        return result

    def add_text(self, text: str) -> DisplayResult | None:
        """Take the value of a cell, which is only a text. Return it as a result; None where there is no more room."""
        self._left -= len(text)
        if self._left < 0 or len(self.results) >= _MOST_RESULTS:
            self.truncated = True
            return None
        result = DisplayResult(data={"text/plain": text}, is_main_result=True)
        self.results.append(result)
        return result
