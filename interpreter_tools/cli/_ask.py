"""Questions to the person at the terminal."""

from __future__ import annotations

import sys

import anyio


async def ask_terminal(question: str) -> bool:
    """Ask on the terminal; without one the answer is no."""
    if not sys.stdin.isatty():
        return False
    sys.stderr.write(f"{question} [y/N] ")
    sys.stderr.flush()
    await anyio.wait_readable(sys.stdin)  # a terminal has a whole line then, and this can be interrupted
    return sys.stdin.readline().strip().lower() in {"y", "yes"}
