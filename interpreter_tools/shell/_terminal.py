"""A program's output, made safe for a terminal.

A sandbox's output is an attacker's: control sequences move the cursor over earlier text, change the terminal's title,
fill the clipboard, or have the terminal type answers. Colours pass, all other sequences are left out, and control and
invisible characters are shown as escapes.
"""

from __future__ import annotations

import re

from interpreter_tools._text import harmless

_COLOURS = re.compile(r"\x1b\[([0-9;:]{0,40})m")
_UNFINISHED = re.compile(r"\x1b(?:\[[0-?]*[ -/]*|[\]PX^_][^\x07\x1b\x9c]*\x1b?|[ -/]*)\Z")
_KEPT = 4096  # characters of an incomplete sequence that are kept
_RESET = "\x1b[0m"
_FOREGROUND, _BACKGROUND = (*range(30, 38), 39, *range(90, 98)), (*range(40, 48), 49, *range(100, 108))
_PLAIN = frozenset({0, 1, 2, 3, 4, 7, 9, *range(21, 26), 27, 29, *_FOREGROUND, *_BACKGROUND})


class TerminalText:
    """One stream of a program, piece by piece; a sequence may be cut anywhere.

    Args:
        colours: True lets colours pass.
    """

    def __init__(self, *, colours: bool) -> None:
        self._colours = colours
        self._held = ""
        self._coloured = False

    def feed(self, text: str) -> str:
        """Return the text that can be shown now."""
        text = self._held + text
        self._held = ""
        unfinished = _UNFINISHED.search(text)
        if unfinished is not None and len(text) - unfinished.start() <= _KEPT:
            self._held = text[unfinished.start() :]
            text = text[: unfinished.start()]
        return self._clean(text)

    def finish(self) -> str:
        """Return the rest of the text, and the end of its colours."""
        held, self._held = self._held, ""
        reset = _RESET if self._coloured else ""
        self._coloured = False
        return harmless(held) + reset

    def _clean(self, text: str) -> str:
        parts: list[str] = []
        start = 0
        for match in _COLOURS.finditer(text):
            parts.append(_shown(text[start : match.start()]))
            if self._colours and _is_colour(match[1]):
                parts.append(match[0])
                self._coloured = True
            start = match.end()
        parts.append(_shown(text[start:]))
        return "".join(parts)


def _shown(text: str) -> str:
    # Programs show progress with a carriage return: it stays within the program's own line.
    return "\r".join(map(harmless, text.split("\r"))) if "\r" in text else harmless(text)


def _is_colour(parameters: str) -> bool:
    """Return True for colours and weights, False for blinking and hidden text."""
    numbers = [int(number or 0) for number in re.split("[;:]", parameters)]
    while numbers:
        number = numbers.pop(0)
        if number in {38, 48, 58}:
            kind = numbers.pop(0) if numbers else 0
            del numbers[: {5: 1, 2: 3}.get(kind, len(numbers))]
        elif number not in _PLAIN:
            return False
    return True
