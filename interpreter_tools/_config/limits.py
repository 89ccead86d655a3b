"""Amounts as people write them: ``"512m"``, ``"1.5g"``, ``"0.5"``; checked before anything is touched."""

from __future__ import annotations

import math
import re

from interpreter_tools._exceptions import ConfigurationError

_UNITS = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*(?:([kmgt])i?)?b?", re.IGNORECASE)


def parse_size(value: str | int, *, field: str, least: int = 1) -> int:
    """Return the bytes of a number or a text such as ``"512m"``, ``"1.5g"`` or ``"64 KiB"`` (powers of 1024).

    Raises:
        ConfigurationError: the value is not an amount, or is below ``least`` bytes.
    """
    hint = "give bytes, or a text such as '512m' or '1.5g'"
    if isinstance(value, bool) or not isinstance(value, (int, str)):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise ConfigurationError(field, value, "is not a size", hint=hint)
    if isinstance(value, str):
        match = _SIZE.fullmatch(value.strip())
        if match is None:
            raise ConfigurationError(field, value, "is not a size", hint=hint)
        size = float(match[1]) * _UNITS[(match[2] or "").lower()]
    else:
        size = value
    if size < least:
        raise ConfigurationError(field, value, f"is too small: the least is {least} bytes", hint=hint)
    if size > 1 << 50:
        raise ConfigurationError(field, value, "is larger than any machine", hint=hint)
    return math.floor(size)


def parse_cpus(value: str | float, *, field: str) -> float:
    """Return the cores of a number or a text such as ``"0.5"``.

    Raises:
        ConfigurationError: the value is not a number of cores, or not at least 0.01 of one.
    """
    hint = "give a number of cores such as 0.5 or '2'"
    try:
        cpus = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError, OverflowError):
        cpus = math.nan
    if not 0.01 <= cpus <= 4096:
        raise ConfigurationError(field, value, "is not a number of cores", hint=hint)
    return cpus


def check_seconds(value: float | None, *, field: str) -> float | None:
    """Return a number of seconds unchanged; None means no limit.

    Raises:
        ConfigurationError: the value is not a number above zero and below 40 days.
    """
    if value is None:
        return None
    number = isinstance(value, (int, float)) and not isinstance(value, bool)  # pyright: ignore[reportUnnecessaryIsInstance]
    if not number or not 0 < value < 40 * 86400:
        hint = "give seconds above 0, or None for no limit"
        raise ConfigurationError(field, value, "is not a time in seconds", hint=hint)
    return float(value)


def check_count(value: int, *, field: str, least: int) -> int:
    """Return a count unchanged.

    Raises:
        ConfigurationError: the value is not a whole number of at least ``least``.
    """
    if isinstance(value, bool) or not isinstance(value, int) or value < least:  # pyright: ignore[reportUnnecessaryIsInstance]
        raise ConfigurationError(field, value, f"is not a whole number of at least {least}")
    return value
