"""The progress of a set-up: typed events, which a command line or a notebook shows in its own way."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, TypeAlias

import msgspec

State: TypeAlias = Literal["working", "done", "failed"]


class Progress(msgspec.Struct, frozen=True):
    """One event.

    Attributes:
        step: what is being made: ``engine``, ``base``, or an image's name.
        state: ``working``, then ``done`` or ``failed``, once each. A failed step may be followed by another attempt.
        text: what happens, for people.
        fraction: how far the step is, 0 to 1, or None when that cannot be known.
    """

    step: str
    state: State
    text: str
    fraction: float | None = None


Reporter: TypeAlias = Callable[[Progress], None]
"""Takes events as they happen; it must return at once."""


def ignore(_event: Progress) -> None:
    """Ignore progress, for those who only want the result."""
