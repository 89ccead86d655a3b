"""Keeps a log within bounds: ``python log.py FILE BYTES`` writes its standard input to a file.

A file that has grown to so many bytes becomes ``FILE.1`` and is begun anew, so both stay below twice that.
It runs alone, beside a ``dockerd`` that was started here, and ends when nobody can write to its input any more.
"""

from __future__ import annotations

import contextlib
import os
import sys

_READ = 1 << 16
_MODE = 0o640


def keep(source: int, path: str, limit: int) -> None:
    """Write what comes from a descriptor to a file until it ends; a full disk loses words and stops nothing."""
    log = _open(path)
    size = os.fstat(log).st_size
    while data := os.read(source, _READ):
        if size and size + len(data) > limit:
            os.close(log)
            with contextlib.suppress(OSError):
                os.replace(path, f"{path}.1")  # noqa: PTH105 - starts in half the time without pathlib
            log = _open(path)
            size = os.fstat(log).st_size
        with contextlib.suppress(OSError):
            size += os.write(log, data)


def _open(path: str) -> int:
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, _MODE)


if __name__ == "__main__":
    keep(0, sys.argv[1], int(sys.argv[2]))
