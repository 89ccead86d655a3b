"""Excerpts of text within a budget: head and tail stay, a marker counts the cut, and control characters are escaped.

The work depends on the budget only, not on the text: a run can write 16 MiB.
"""

from __future__ import annotations

import unicodedata

from interpreter_tools._text import SPECIAL, harmless, show_special

_WIDEST = 4  # a window of this many times the budget is looked at, as sequences that are left out take room in it
_JOINED = 16  # characters at most that a cut moves to keep together what is seen as one
MARKER = 64  # characters at most that the note about a cut takes


def excerpt(text: str, budget: int, *, head: float = 0.5) -> str:
    """Return the text, made harmless, in at most ``budget`` characters.

    Args:
        text: the output of a program.
        budget: characters; at least ``MARKER``.
        head: the share of the budget that is for the beginning when the middle is cut out.
    """
    return shorten(text, budget, head=head)[0]


def shorten(text: str, budget: int, *, head: float = 0.5) -> tuple[str, int]:
    """Return the excerpt, and the number of characters that were cut out of the middle."""
    if len(text) <= budget * _WIDEST:
        whole = harmless(text)
        if len(whole) <= budget:
            return whole, 0
    room = max(budget - MARKER, 0)
    first, start = _head(text, round(room * head))
    last, end = _tail(text, room - len(first), start)
    return f"{first}\n… {end - start:,} characters cut …\n{last}", end - start


def _pieces(text: str, start: int, end: int) -> list[tuple[int, int, str | None]]:
    """Return spans of the text with their replacements; None for a span that is shown unchanged."""
    found: list[tuple[int, int, str | None]] = []
    at = start
    for match in SPECIAL.finditer(text, start, end):
        if match.start() > at:
            found.append((at, match.start(), None))
        found.append((match.start(), match.end(), show_special(match)))
        at = match.end()
    if at < end:
        found.append((at, end, None))
    return found


def _head(text: str, room: int) -> tuple[str, int]:
    """Return the beginning that fits, and the index of the rest."""
    parts: list[str] = []
    at = 0
    for start, end, shown in _pieces(text, 0, min(len(text), room * _WIDEST)):
        if shown is None:
            cut = min(end, start + room)
            parts.append(text[start:cut])
            room, at = room - (cut - start), cut
            if cut < end or not room:
                break
        elif len(shown) > room:
            break
        else:
            parts.append(shown)
            room, at = room - len(shown), end
    first, kept = "".join(parts), _whole(text, at, step=-1)
    return first[: len(first) - (at - kept)], kept


def _tail(text: str, room: int, least: int) -> tuple[str, int]:
    """Return the end that fits, and the index at which it begins, not before ``least``."""
    parts: list[str] = []
    at = len(text)
    for start, end, shown in reversed(_pieces(text, max(least, at - room * _WIDEST), at)):
        if shown is None:
            cut = max(start, end - room)
            parts.append(text[cut:end])
            room, at = room - (end - cut), cut
            if cut > start or not room:
                break
        elif len(shown) > room:
            break
        else:
            parts.append(shown)
            room, at = room - len(shown), start
    last, kept = "".join(reversed(parts)), _whole(text, at, step=1)
    return last[kept - at :], kept


def _whole(text: str, at: int, *, step: int) -> int:
    """Return an index near ``at`` that does not cut a visible character."""
    place = at
    for _ in range(_JOINED):
        if not 0 < place < len(text):
            return place
        if not _joins(text[place]) and text[place - 1] != "\u200d":
            return place
        place += step
    return at


def _joins(character: str) -> bool:
    return (
        unicodedata.combining(character) != 0
        or character in "\u200d\ufe0e\ufe0f"
        or "\U0001f3fb" <= character <= "\U0001f3ff"  # skin tones
    )
