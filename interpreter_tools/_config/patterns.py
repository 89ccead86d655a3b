"""Patterns that say which files of a run come along with its result."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from interpreter_tools._config.paths import WORKSPACE
from interpreter_tools._exceptions import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Sequence

Pattern = tuple[str, ...]
"""The parts of a pattern between slashes; ``**`` stands for any directories, also for none."""


def check_patterns(patterns: Sequence[str], *, field: str) -> tuple[Pattern, ...]:
    """Return the parts of each pattern. A pattern without a slash matches a file name in any directory.

    Args:
        patterns: as the caller gives them, ``"out/*.csv"``.
        field: the option that they come from, for the error.

    Raises:
        ConfigurationError: ``patterns`` is one text, or one pattern can match no file below the workspace.
    """
    if isinstance(patterns, (str, bytes)):
        raise ConfigurationError(field, patterns, "is one text", hint=f"give a list of patterns: [{patterns!r}]")
    found: list[Pattern] = []
    for index, pattern in enumerate(patterns):
        name = f"{field}[{index}]"
        if not isinstance(pattern, str):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise ConfigurationError(name, pattern, "is not a text", hint="give a pattern such as '*.png'")
        path = pattern.removeprefix(f"{WORKSPACE}/")
        parts = tuple(part for part in path.split("/") if part not in {"", "."})
        if not parts or path.startswith("/") or path.endswith("/") or ".." in parts:
            hint = "give a pattern such as '*.png', 'out/*.csv' or 'out/**'"
            raise ConfigurationError(name, pattern, "matches no file below the workspace", hint=hint)
        found.append(parts if "/" in path else ("**", *parts))
    return tuple(found)


def matches(path: str, patterns: Sequence[Pattern]) -> bool:
    """Return whether one of the patterns matches a path that is relative to the workspace."""
    parts = path.split("/")
    return any(_matches(parts, pattern) for pattern in patterns)


def _matches(parts: Sequence[str], pattern: Pattern) -> bool:
    """Follow all ways to match at once, so that no path and no pattern takes long."""
    last = len(pattern) - 1
    reached = _beyond_stars({0}, pattern)
    for part in parts:
        stars = {at for at in reached if at <= last and pattern[at] == "**"}
        step = {at + 1 for at in reached - stars if at <= last and fnmatchcase(part, pattern[at])}
        ends = {last + 1} if last in stars else set[int]()
        reached = _beyond_stars(stars | step | ends, pattern)
    return last + 1 in reached


def _beyond_stars(reached: set[int], pattern: Pattern) -> set[int]:
    """Add the positions behind each ``**`` that is reached: it also stands for no directory.

    At the end of a pattern ``**`` stands for at least a file name.
    """
    for at, part in enumerate(pattern[:-1]):
        if part == "**" and at in reached:
            reached.add(at + 1)
    return reached
