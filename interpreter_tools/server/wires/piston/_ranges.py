"""Ranges of semantic versions, as npm has them and Piston's clients send them: ``3.x``, ``^3.1.0``, ``>=3.8 <4``."""

from __future__ import annotations

import re

_HYPHEN = re.compile(r"(\S+)\s+-\s+(\S+)")
_SPACE = re.compile(r"([<>=~^])\s+")
_COMPARATOR = re.compile(r"(>=|<=|>|<|=|~|\^)?v?([0-9]+|[xX*])(?:\.([0-9]+|[xX*]))?(?:\.([0-9]+|[xX*]))?")
_Version = tuple[int, ...]
_ENDLESS: _Version = (1 << 62,)


def fits(version: str, wanted: str) -> bool:
    """Return whether a version of three numbers is one of those that a range means. What is no range fits none."""
    numbers = tuple(map(int, version.split(".")))
    return any(_fits_all(numbers, alternative.strip()) for alternative in wanted.split("||"))


def _fits_all(version: _Version, alternative: str) -> bool:
    hyphen = _HYPHEN.fullmatch(alternative)
    text = f">={hyphen[1]} <={hyphen[2]}" if hyphen else _SPACE.sub(r"\1", alternative)
    for each in text.split():
        bounds = _bounds(each)
        if bounds is None or not bounds[0] <= version < bounds[1]:
            return False
    return True


def _bounds(comparator: str) -> tuple[_Version, _Version] | None:
    """Return the first version that a comparator means and the first one above; None where it is no comparator."""
    found = _COMPARATOR.fullmatch(comparator)
    if found is None:
        return None
    parts: list[int] = []
    for part in found.groups()[1:]:
        if part is None or not part.isdigit():
            break
        parts.append(int(part[:9]))
    low, above = _padded(parts), _above(parts, len(parts) - 1)
    first = next((at for at, part in enumerate(parts) if part), len(parts) - 1)  # a caret holds it
    bounds = {
        ">": (above, _ENDLESS),
        ">=": (low, _ENDLESS),
        "<": ((), low),
        "<=": ((), above),
        "~": (low, _above(parts, min(1, len(parts) - 1))),
        "^": (low, _above(parts, first)),
    }
    return bounds.get(found[1] or "", (low, above))


def _above(parts: list[int], at: int) -> _Version:
    """Return the first version in which the number at a place is larger."""
    return _ENDLESS if at < 0 else _padded([*parts[:at], parts[at] + 1])


def _padded(parts: list[int]) -> _Version:
    return (*parts, 0, 0, 0)[:3]
