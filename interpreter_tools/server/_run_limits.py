"""Limits of runs that a client asks for, within those of the server."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from interpreter_tools.server._errors import BadRequest

if TYPE_CHECKING:
    from interpreter_tools.server._core import Core

_MIB = 1 << 20
_LEAST_MEMORY = 64 * _MIB  # bytes; less is no room for an interpreter beside its files


def run_timeout(core: Core, seconds: float, *, field: str) -> float:
    """Return the seconds that a run may take: those asked for, and no more than the server allows.

    Args:
        core: the server.
        seconds: the wish of the client.
        field: the name that the wire has for it.

    Raises:
        BadRequest: the wish is no time.
    """
    if not (seconds > 0 and math.isfinite(seconds)):
        raise BadRequest(f"{field}: {seconds!r} is not a time in seconds above 0")
    return min(seconds, core.config.longest_timeout)


def compile_timeout(core: Core, seconds: float, *, field: str) -> float:
    """Return the seconds that a compiler may take: those asked for, and no more than the engine's own limit.

    Args:
        core: the server.
        seconds: the wish of the client.
        field: the name that the wire has for it.

    Raises:
        BadRequest: the wish is no time.
    """
    return min(run_timeout(core, seconds, field=field), core.engine.config.compile_timeout)


def memory_limit(core: Core, wanted: int | None) -> int | None:
    """Return the bytes that a run may use: those asked for, rounded up, and no more than the engine's own limit.

    The rounding to a power of two keeps the number of different containers small.

    Args:
        core: the server.
        wanted: the wish of the client; None, or 0 and below, mean that there is none.

    Returns:
        The limit; None means the engine's own.
    """
    if wanted is None or wanted <= 0:
        return None
    rounded = 1 << (max(wanted, _LEAST_MEMORY) - 1).bit_length()
    return rounded if rounded < core.engine.config.container.memory_bytes else None
