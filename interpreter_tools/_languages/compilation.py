"""From a compile step and a program's text to the command that compiles it."""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Mapping

    from interpreter_tools._languages.config import CompileStep

TOGETHER = 93
"""The exit status of a compiler that has taken in other files, which may change: nothing of it is used again."""

_DIRECTORIES = "/tmp/.compiled"  # noqa: S108 - inside the sandbox
# Makes the directory anew, so that nothing of an earlier attempt is taken for what was compiled now.
_IN_DIRECTORY = 'rm -rf "$1" && mkdir -p "$1" && shift && exec "$@"'


class Compilation(msgspec.Struct, frozen=True, kw_only=True):
    """The command that compiles the program of one run.

    Attributes:
        key: names what comes out, for runs of the same text; empty where it must not be used again.
        argv: the compiler and its arguments.
        environment: the compiler's variables, all of them.
        timeout: seconds.
    """

    key: str
    argv: tuple[str, ...]
    environment: dict[str, str]
    timeout: float


def plan_compilation(
    step: CompileStep, text: bytes | None, *, file: str, environment: Mapping[str, str], timeout: float
) -> tuple[Compilation, str]:
    """Return what compiles a program, and the directory that what comes out of it will be in.

    Args:
        step: how the language is compiled.
        text: the program; None where it is a file of an app.
        file: the program's absolute path.
        environment: the run's variables.
        timeout: seconds.
    """
    variables = {**environment, **step.environment}
    said = repr((step.command, sorted(variables.items()), file, text))
    name = hashlib.sha256(said.encode()).hexdigest()[:32]
    again = text is not None and not (step.others and re.search(step.others, text.decode("utf-8", "replace")))
    directory = f"{_DIRECTORIES}/{name}"

    def fill(word: str) -> str:
        return word.replace("{file}", file).replace("{directory}", directory)

    compilation = Compilation(
        key=name if again else "",
        argv=("sh", "-c", _IN_DIRECTORY, "sh", directory, *map(fill, step.command)),
        environment={key: fill(value) for key, value in variables.items()},
        timeout=timeout,
    )
    return compilation, directory
