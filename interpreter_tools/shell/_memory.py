"""The memory between inputs, beside files: Python's variables, the shell's directory and variables."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

_DIRECTORY = ".interpreter-tools"

# The shell sources the input, so that the input can set variables and change the directory. All variables are exported,
# because bash then writes them in a form that it can read. Bash refuses its own arrays when it reads them, which does
# no harm. A trap that the input sets replaces this one.
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
    """Return the program that runs an input with the memory of earlier inputs, and the files that it needs.

    Args:
        language: the language of the input.
        code: the input.
    """
    if language == "python":
        return _python(), {f"{_DIRECTORY}/input.py": _bytes(code)}
    if language == "bash":
        return _BASH, {f"{_DIRECTORY}/input.bash": _bytes(code)}
    return code, {}


def is_ours(path: str) -> bool:
    """Return True for a file of the workspace that holds the memory."""
    return path.startswith(f"{_DIRECTORY}/")


@functools.cache
def _python() -> str:
    return Path(__file__).with_name("python_input.py").read_text("utf-8")


def _bytes(code: str) -> bytes:
    return f"{code}\n".encode("utf-8", "surrogateescape")
