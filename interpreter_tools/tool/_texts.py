"""The reading of texts that models write in place of values: JSON, code in fences, lists and numbers as texts."""

from __future__ import annotations

import ast
import json
import math
import re
import warnings
from typing import TypeGuard

_BLOCK = re.compile(
    r"^[ \t]*(?P<fence>`{3,})[ \t]*json[^`\n]*\n(?P<body>.*?)^[ \t]*(?P=fence)[ \t]*$", re.DOTALL | re.MULTILINE
)
_FENCE = re.compile(r"(?P<fence>`{3,}|~{3,})[ \t]*(?P<info>[^`\n]*)\n(?P<body>.*)", re.DOTALL)
_SECONDS = re.compile(
    r"([0-9]+(?:\.[0-9]*)?|\.[0-9]+)\s*(ms|milliseconds?|s|secs?|seconds?|m|mins?|minutes?|h|hours?)?",
    re.IGNORECASE,
)
_UNITS = {"ms": 0.001, "mi": 60.0, "m": 60.0, "s": 1.0, "h": 3600.0, "": 1.0}
_NULLS = frozenset({"null", "none", "nil", "undefined", "n/a"})
_COMMAND = re.compile(r"(?:(?:python3?\s+-m\s+)?pip3?\s+install|npm\s+(?:install|i)|yarn\s+add)\s+(?!-)", re.IGNORECASE)
_NAMES = re.compile(r"[^\s<>=!~\[\];]+(?:\s+[^\s<>=!~\[\];]+)+")
_SPECIFIER = r"[\"']?[A-Za-z][\w.-]*(?:\[[\w,.-]+\])?(?:[<>=!~]=?=?[\w.*+!]+)?[\"']?"
_SPECIFIERS = re.compile(rf"{_SPECIFIER}(?:\s+{_SPECIFIER})+")
_NESTING = 4  # times that one text of JSON is taken out of another


def unfence(text: str) -> tuple[str | None, str]:
    """Return the code that a text holds, and the language that its fence names.

    Only a text that is exactly one fenced block is taken apart: no program starts with a fence.

    Returns:
        The fence's first word, or None, and the code; a text without a fence comes back unchanged.
    """
    match = _FENCE.fullmatch(text.strip())
    if match is None:
        return None, text
    body, fence = match["body"], match["fence"]
    lines = body.split("\n")
    ends = [number for number, line in enumerate(lines) if line.strip() == fence]
    if ends and ends != [len(lines) - 1]:
        return None, text  # there are several blocks, or words after the only one
    if ends:
        body = "\n".join(lines[:-1]) + "\n"
    if indent := text[: len(text) - len(text.lstrip())].rpartition("\n")[2]:
        body = "".join(line.removeprefix(indent) for line in body.splitlines(keepends=True))
    word = match["info"].strip().split(" ")[0].strip("{}.").lower()
    return word or None, body


def read_json(text: str) -> object:
    """Return the value of a JSON text, also in a fence, with line breaks inside strings, or as JSON inside of a string.

    Words around a fence are ignored. Python's notation is accepted: single quotes, a comma at the end.

    Raises:
        ValueError: the text is not JSON; the message names the place.
    """
    value: object = text
    for _ in range(_NESTING):
        if not isinstance(value, str):
            break
        _, inner = unfence(value)
        try:
            value = _load(inner)
        except ValueError:
            blocks = _BLOCK.findall(inner)
            if len(blocks) != 1:
                raise
            value = _load(blocks[0][1])
    return value


def _load(text: str) -> object:
    try:
        return json.loads(text.strip(), strict=False)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    except ValueError:
        try:
            with warnings.catch_warnings(action="ignore"):  # of escapes that Python does not know
                value: object = ast.literal_eval(text.strip())
        except (SyntaxError, ValueError, TypeError, MemoryError, RecursionError):
            value = None
        if not isinstance(value, (dict, list)):
            raise
        return value  # pyright: ignore[reportUnknownVariableType] - nobody knows yet


def is_null(value: object) -> bool:
    """Return True for a value that means null in some language: ``"null"``, ``"None"``, a text of blanks."""
    return value is None or (isinstance(value, str) and value.strip().lower() in {*_NULLS, ""})


def is_texts(value: object) -> TypeGuard[list[str] | tuple[str, ...]]:
    """Return True for a list of texts."""
    return isinstance(value, (list, tuple)) and all(isinstance(item, str) for item in value)  # pyright: ignore[reportUnknownVariableType]


def join_lines(lines: list[str] | tuple[str, ...]) -> str:
    """Return the program of a list of lines, with or without line ends in them."""
    if all(line.endswith("\n") for line in lines[:-1]):
        return "".join(lines)
    return "\n".join(lines)


def read_seconds(text: str) -> float | None:
    """Return the seconds that ``"30"``, ``"30s"``, ``"1.5 minutes"`` or ``"500 ms"`` mean; None for other text."""
    match = _SECONDS.fullmatch(text.strip())
    if match is None:
        return None
    unit = (match[2] or "").lower()
    seconds = float(match[1]) * _UNITS.get(unit[:2], _UNITS[unit[:1]])
    return seconds if math.isfinite(seconds) else None


def is_command(text: str) -> bool:
    """Return True for an install command: ``"pip install numpy"``."""
    return _COMMAND.match(text.strip()) is not None


def split_requirements(text: str) -> list[str]:
    """Return the packages that one text names, separated by commas, line breaks or blanks, or as an install command.

    A comma inside brackets (``name[a,b]``) or before a version (``name>=1,<2``) separates nothing.
    """
    found: list[str] = []
    for line in text.splitlines():
        plain = _COMMAND.sub("", line.partition(" #")[0].strip())
        if plain.startswith("#"):
            continue
        for piece in re.split(r",(?![^\[]*\])(?!\s*[<>=!~])", plain):
            name = piece.strip().strip("\"'").strip()
            several = _NAMES.fullmatch(name) or _SPECIFIERS.fullmatch(name)
            found.extend([word.strip("\"'") for word in name.split()] if several else [name])
    return [piece for piece in found if piece]
