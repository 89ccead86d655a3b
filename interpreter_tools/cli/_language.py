"""Guesses a program's language."""

from __future__ import annotations

import re
from pathlib import PurePath

from interpreter_tools._exceptions import ConfigurationError, UnknownLanguage
from interpreter_tools._languages import LanguageRegistry

_MORE_SUFFIXES = {".mjs": "javascript", ".cjs": "javascript", ".mts": "typescript", ".cts": "typescript"}
_SHEBANG = re.compile(rb"#!\s*(?:\S*/env\s+(?:-\S+\s+)*)?(\S+)")


def guess_language(name: str | None, code: bytes) -> str:
    """The language that a file's suffix means, or the one that its first line names; Python for code without either.

    Args:
        name: the file's name; None for code that has none.
        code: the program.

    Raises:
        ConfigurationError: the file's suffix means nothing to us, or neither means anything and the first line names
            another interpreter.
    """
    suffix = "" if name is None else PurePath(name).suffix.lower()
    by_suffix = _by_suffix().get(suffix)
    if by_suffix is not None and by_suffix != "shell":
        return by_suffix
    program = _interpreter(code)
    found = _by_program(program) or by_suffix  # the first line tells sh from bash, too
    if found is not None:
        return found
    if suffix:
        raise ConfigurationError("language", suffix, "is no suffix of a known language", hint="name it with --language")
    if program:
        hint = "name the language with --language"
        raise ConfigurationError("language", program, "in the first line is no known language", hint=hint)
    return "python"


def _by_suffix() -> dict[str, str]:
    configs = [LanguageRegistry.get(name) for name in LanguageRegistry.names()]
    return {PurePath(config.code_filename).suffix: config.language for config in configs} | _MORE_SUFFIXES


def _interpreter(code: bytes) -> str:
    """The program that the first line names, if it does."""
    match = _SHEBANG.match(code.partition(b"\n")[0])
    return "" if match is None else PurePath(match[1].decode("utf-8", "replace")).name


def _by_program(program: str) -> str | None:
    for name in (program, program.rstrip("0123456789.")):
        try:
            return LanguageRegistry.get(name).language
        except UnknownLanguage:
            continue
    return None
