"""The command line: ``interpreter-tools``, with a file for each command."""

from __future__ import annotations

import gc
import os
import sys

_INTERRUPTED = 130  # 128 + SIGINT, as shells report it
_START = 100_000  # objects made before garbage is looked for; imports make many and no garbage: an eighth of `--help`
_MISSING = 'the command line needs packages that are not installed: pip install "interpreter-tools[cli]"'


def main() -> None:
    """Run the command line and exit with its status."""
    gc.set_threshold(_START)
    _open_streams()
    try:
        status = _perform(sys.argv[1:])
    except KeyboardInterrupt:
        status = _INTERRUPTED
    finally:
        gc.freeze()  # the interpreter's end does not look for garbage either
    sys.exit(status)


def _open_streams() -> None:
    """Open what our caller has closed of the standard streams.

    A connection would have its number otherwise, and the program's output would go into it.
    """
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest number that is free


def _perform(words: list[str]) -> int:
    if words[:1] == ["run"]:
        from interpreter_tools.cli._call import read_plain  # noqa: PLC0415

        plain = read_plain(words[1:])
        if plain is not None:
            from interpreter_tools.cli._loop import run  # noqa: PLC0415 - help does not need asyncio

            return run(plain.run())
    if words[:1] == ["help"]:
        words = [*words[1:], "--help"]
    from interpreter_tools.cli._help import show  # noqa: PLC0415 - a plain run does not need it

    if show(words):
        return 0
    try:
        from interpreter_tools.cli._app import call  # noqa: PLC0415 - what it imports is optional
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in {"cyclopts", "rich"}:
            raise
        sys.exit(f"interpreter-tools: {_MISSING}")
    return call(words)
