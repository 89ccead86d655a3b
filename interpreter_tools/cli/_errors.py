"""Errors in the words of the command line."""

from __future__ import annotations

import re
import sys
from typing import TYPE_CHECKING

from interpreter_tools._exceptions import (
    ConfigurationError,
    DockerUnavailable,
    ImageMissing,
    InterpreterMissing,
    InterpreterToolsError,
    NetworkMissing,
    PoolTimeout,
    UnknownLanguage,
    UsageError,
)
from interpreter_tools._exit_status import SANDBOX_FAILED, USAGE
from interpreter_tools._text import harmless
from interpreter_tools.cli._limits import FLAGS

if TYPE_CHECKING:
    from collections.abc import Collection

_NOT_LIMITS = ("config", "max_size", "tools_from", "tries", "wires")
_FLAGS = {
    **FLAGS,
    "dependencies": "--dep",
    "files": "--file",
    "ports": "--port",
    "docker_host": "--docker-host",
    **{name: f"--{name.replace('_', '-')}" for name in _NOT_LIMITS},
}
_LIMITS = re.compile("|".join(name for name in FLAGS if "_" in name))
_MEANT = re.compile(r"did you mean '\w+'")
_PYTHON = re.compile(r"[A-Za-z_.]+\(|\w=|Config\b|\bNone\b|session")  # a hint that speaks of the library

_HINTS: dict[type[InterpreterToolsError], str] = {
    UnknownLanguage: "name a language with --language; a table [languages.NAME] in the file of --config adds others",
    NetworkMissing: "make the network with `docker network create NAME`, or leave --network out",
    InterpreterMissing: "make the image again with `interpreter-tools setup --update`, or name one with --image",
    PoolTimeout: "start fewer runs at the same time, or raise INTERPRETER_TOOLS_POOL__WAIT_TIMEOUT",
}


def tell(
    command: str, error: InterpreterToolsError, *, given: Collection[str] = (), failed: int = SANDBOX_FAILED
) -> int:
    """Write an error to stderr, and return the command's status.

    Args:
        command: the command that failed.
        error: why.
        given: the options that came from the command line, by the names that the library gives them.
        failed: the status where it is not the call that was wrong.
    """
    sys.stderr.write(harmless(f"interpreter-tools {command}: {explain(error, given=given)}\n"))
    return USAGE if isinstance(error, UsageError) else failed


def tell_missing(command: str, error: ModuleNotFoundError, *, extras: str) -> int:
    """Say which extras bring a package that a command needs, and return the command's status.

    Args:
        command: the command.
        error: raised where the command's own modules were imported.
        extras: the names of the extras, with commas.

    Raises:
        ModuleNotFoundError: a module of our own, or of Python's, is not there.
    """
    name = (error.name or "").partition(".")[0]
    if name in {"", "interpreter_tools", *sys.stdlib_module_names}:
        raise error
    hint = f'pip install "interpreter-tools[{extras}]"'
    sys.stderr.write(f"interpreter-tools {command}: it needs {name}, which is not installed: {hint}\n")
    return 1


def _flag(name: re.Match[str]) -> str:
    return FLAGS[name[0]]


def explain(error: InterpreterToolsError, *, given: Collection[str] = ()) -> str:
    """Return what went wrong and what to do, with the flags of the command line in place of the library's names."""
    message, hint = error.message, error.hint
    if isinstance(error, DockerUnavailable):
        first, _, tried = message.partition("\n")
        return f"{first.rstrip(':')}: {hint}\n{tried}".rstrip() if hint else message
    if isinstance(error, ConfigurationError):
        path = re.split(r"[\[.]", error.field.removeprefix("container."), maxsplit=1)
        flag = _FLAGS.get(path[0])
        named = {path[0], *_LIMITS.findall(error.reason)}
        if flag is not None and (named & {*given, "dependencies", "files"} or path[0] in _NOT_LIMITS):
            message = f"{flag}: {error.value!r} {_LIMITS.sub(_flag, error.reason)}"
            hint = _LIMITS.sub(_flag, hint)
    if isinstance(error, InterpreterMissing) and error.language is not None:
        return f"{message}\n  hint: run it with --language {error.language}, or name another image with --image"
    if isinstance(error, ImageMissing):
        return f"{message}\n  hint: run `{error.command}`, or name another image with --image"
    chosen = next((found for kind, found in _HINTS.items() if isinstance(error, kind)), None)
    if chosen is not None:
        meant = _MEANT.match(hint)
        hint = f"{meant[0]}? Else {chosen}" if meant else chosen
    elif _PYTHON.search(hint):
        hint = ""
    return f"{message}\n  hint: {hint}" if hint else message
