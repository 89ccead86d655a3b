"""The text that a terminal shows at the end: a progress bar that was painted 1,000 times is one line."""

from __future__ import annotations

import re

from interpreter_tools._text import SEQUENCE

_MOVES = re.compile(r"[\r\n\x08]|\x1b\[([0-9]*)(?:;[0-9]*)*([A-GJK])")
_PAINTS = re.compile(r"\r(?!\r*(?:\n|\Z))|\x08|\x1b\[[0-9;]*[A-GJK]")
_STILL = re.compile(rf"(?!\x1b\[[0-9;]*[A-GJK])(?:{SEQUENCE})")  # sequences that move nothing
_LONGEST = 512 << 10  # characters; of a longer text only the repaints of single lines are found
_WORK = 32 << 20  # characters that may be copied
_HEIGHT = 50  # lines: the cursor never reaches what is above the screen
_WIDTH = 500  # columns that the cursor may be sent to


def at_the_end(text: str) -> str:
    """Return what a terminal shows when all of the text was written; most texts come back as they are."""
    if not ("\r" in text or "\x08" in text or "\x1b[" in text):
        return text
    if len(text) <= _LONGEST:
        if _PAINTS.search(text) is None:
            return text
        shown = _paint(_STILL.sub("", text))
        if shown is not None:
            return shown
    return "\n".join(line.rstrip("\r").rpartition("\r")[2] for line in text.split("\n"))


def _paint(text: str) -> str | None:
    """Return the lines after the last repaint; None where that is too much work."""
    screen = _Screen()
    at = 0
    for move in _MOVES.finditer(text):
        if move.start() > at:
            screen.write(text[at : move.start()])
        screen.move(move[2] or move[0], move[1])
        at = move.end()
        if screen.work > _WORK:
            return None
    screen.write(text[at:])
    return "\n".join(line.rstrip(" ") if number in screen.painted else line for number, line in enumerate(screen.lines))


class _Screen:
    """Lines, and a cursor that moves over them.

    Attributes:
        lines: what is shown.
        painted: the numbers of the lines that were written over.
        work: the characters that were copied so far.
    """

    def __init__(self) -> None:
        self.lines = [""]
        self.painted: set[int] = set()
        self.work = 0
        self._row = 0
        self._column = 0

    def write(self, text: str) -> None:
        """Write a text without line ends over what stands at the cursor."""
        line, end = self.lines[self._row], self._column + len(text)
        if self._column < len(line):
            self.painted.add(self._row)
        self.lines[self._row] = line[: self._column].ljust(self._column) + text + line[end:]
        self.work += len(self.lines[self._row])
        self._column = end

    def move(self, kind: str, number: str | None) -> None:
        """Move the cursor, or erase what stands there.

        Args:
            kind: a character that moves by itself, or the letter that ends a sequence.
            number: the sequence's first number; empty for the default.
        """
        count = min(int((number or "")[:6] or 1), _WIDTH) or 1
        match kind:
            case "\n":
                self._row, self._column = self._row + 1, 0
                if self._row == len(self.lines):
                    self.lines.append("")
            case "\r":
                self._column = 0
            case "\x08" | "D":
                self._column = max(self._column - (count if kind == "D" else 1), 0)
            case "A" | "F":
                self._row = max(self._row - count, len(self.lines) - _HEIGHT, 0)
            case "B" | "E":
                self._row = min(self._row + count, len(self.lines) - 1)
            case "C":
                self._column = max(self._column, min(self._column + count, _WIDTH))
            case "G":
                self._column = count - 1
            case _:
                self._erase(below=kind == "J", what=number or "0")
        if kind in {"E", "F"}:
            self._column = 0

    def _erase(self, *, below: bool, what: str) -> None:
        if below and what != "0":
            return  # of a whole screen: what it showed before is still to be read
        line = self.lines[self._row]
        self.painted.add(self._row)
        self.lines[self._row] = {
            "0": line[: self._column],
            "1": " " * min(self._column, len(line)) + line[self._column :],
            "2": "",
        }.get(what, line)
        if below:
            del self.lines[self._row + 1 :]
        self.work += len(line)
