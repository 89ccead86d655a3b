"""What one input leaves for the next, beside files: Python's variables, the shell's directory and variables."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

_DIRECTORY = ".interpreter-tools"

# The input is read like a file of one's own: it can set variables, and go to another directory. All variables are
# exported, as bash then writes them down in a form that it can read; it refuses its own arrays when it reads them,
# which does no harm. A trap of the input's own takes the place of ours.
_BASH = """\
[ -r /workspace/.interpreter-tools/shell ] && . /workspace/.interpreter-tools/shell 2> /dev/null
trap '{
    export -p; declare -pa; declare -pA; declare -f; alias
    printf "cd -- %q\\n" "$PWD"
} > /workspace/.interpreter-tools/shell' EXIT
shopt -s expand_aliases
set -a
. /workspace/.interpreter-tools/input.bash
"""


def remembering(language: str, code: str) -> tuple[str, Mapping[str, bytes]]:
    """The program by which an input sees what earlier ones have left, and the files that it needs.

    Args:
        language: the input's.
        code: the input.
    """
    if language == "python":
        return _python(), {f"{_DIRECTORY}/input.py": _bytes(code)}
    if language == "bash":
        return _BASH, {f"{_DIRECTORY}/input.bash": _bytes(code)}
    return code, {}


def is_ours(path: str) -> bool:
    """Whether a file of the workspace is only there for this."""
    return path.startswith(f"{_DIRECTORY}/")


@functools.cache
def _python() -> str:
    return Path(__file__).with_name("python_input.py").read_text("utf-8")


def _bytes(code: str) -> bytes:
    return f"{code}\n".encode("utf-8", "surrogateescape")
