"""Pictures that programs display: within the terminal where it says that it can, else as files.

A picture is an attacker's bytes. In base64 it cannot end its control sequence, and only files that begin as PNG, JPEG,
GIF or WebP go to a terminal, which decodes them as it decodes those of any program.
"""

from __future__ import annotations

import base64
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeAlias

from interpreter_tools.tool._pictures import Picture, read_picture

Draw: TypeAlias = Callable[[Picture], str | None]

_PIECE = 4096  # characters of base64 in one sequence of kitty's
_ITERM = frozenset({"iTerm.app", "WezTerm", "mintty"})
_KITTY = frozenset({"ghostty", "kitty"})


def find_drawing(environment: Mapping[str, str]) -> Draw | None:
    """Return how the terminal draws pictures, by the variables in which it says so; None where it does not say.

    A multiplexer between (tmux, screen) passes neither protocol on.
    """
    if "TMUX" in environment or "STY" in environment:
        return None
    program = environment.get("TERM_PROGRAM", "")
    if program in _ITERM or environment.get("LC_TERMINAL") == "iTerm2":
        return _draw_for_iterm
    if program in _KITTY or "KITTY_WINDOW_ID" in environment or environment.get("TERM") == "xterm-kitty":
        return _draw_for_kitty
    return None


def _draw_for_iterm(picture: Picture) -> str | None:
    """Return the sequence of iTerm2: https://iterm2.com/documentation-images.html."""
    return f"\x1b]1337;File=inline=1;size={len(picture.data)}:{picture.base64}\x07\n"


def _draw_for_kitty(picture: Picture) -> str | None:
    """Return the sequences of kitty, which takes PNG: https://sw.kovidgoyal.net/kitty/graphics-protocol/."""
    if picture.mime_type != "image/png":
        return None
    data = base64.b64encode(picture.data).decode("ascii")
    pieces = [data[start : start + _PIECE] for start in range(0, len(data), _PIECE)]
    last = len(pieces) - 1
    drawn = [
        f"\x1b_G{'a=T,f=100,q=2,' if number == 0 else ''}m={int(number < last)};{piece}\x1b\\"
        for number, piece in enumerate(pieces)
    ]
    return "".join(drawn) + "\n"


class PictureFiles:
    """A directory of this machine for pictures that the terminal does not draw; made with the first of them."""

    def __init__(self) -> None:
        self._directory: Path | None = None
        self._count = 0

    def save(self, mime_type: str, data: bytes) -> Path:
        """Write a picture to a new file, and return its path.

        Raises:
            OSError: it cannot be written.
        """
        if self._directory is None:
            self._directory = Path(tempfile.mkdtemp(prefix="interpreter-tools-pictures-"))
        self._count += 1
        path = self._directory / f"{self._count}.{mime_type.partition('/')[2].partition('+')[0]}"
        path.write_bytes(data)
        return path


def as_drawn(mime_type: str, data: bytes, draw: Draw | None) -> str | None:
    """Return the sequence that draws a picture; None where it must be a file."""
    if draw is None:
        return None
    picture = read_picture(data)
    return None if picture is None or picture.mime_type != mime_type else draw(picture)
