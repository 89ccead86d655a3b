"""The command line: ``interpreter-tools``, with a file for each command."""

from __future__ import annotations

import gc
import sys

_INTERRUPTED = 130  # 128 + SIGINT, as shells report it
_START = 100_000  # objects made before garbage is looked for; imports make many and no garbage: an eighth of `--help`
_MISSING = 'the command line needs packages that are not installed: pip install "interpreter-tools[cli]"'


def main() -> None:
    """Run the command line and exit with its status."""
    gc.set_threshold(_START)
    try:
        from interpreter_tools.cli._app import call  # noqa: PLC0415 - what it imports is optional
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in {"cyclopts", "rich"}:
            raise
        sys.exit(f"interpreter-tools: {_MISSING}")
    try:
        status = call(sys.argv[1:])
    except KeyboardInterrupt:
        status = _INTERRUPTED
    finally:
        gc.freeze()  # the interpreter's end does not look for garbage either
    sys.exit(status)
