"""The guess of a program's language."""

from __future__ import annotations

from pathlib import PurePath

from interpreter_tools._exceptions import ConfigurationError
from interpreter_tools._languages import LanguageRegistry
from interpreter_tools._languages.first_line import program_of_first_line

_MORE_SUFFIXES = {
    **dict.fromkeys((".mjs", ".cjs", ".jsx"), "javascript"),
    **dict.fromkeys((".mts", ".cts", ".tsx"), "typescript"),
    **dict.fromkeys((".pyw", ".py3"), "python"),
    ".bash": "shell",
}


def guess_language(name: str | None, code: bytes) -> str:
    """Return the language of a file's suffix, or of its first line; Python for code without either.

    Args:
        name: the file's name; None for code that has none.
        code: the program.

    Raises:
        ConfigurationError: the file's suffix means nothing to us, or neither means anything and the first line names
            another interpreter.
    """
    suffix = "" if name is None else PurePath(name).suffix.lower()
    by_suffix = _by_suffix(suffix)
    if by_suffix is not None and by_suffix != "shell":
        return by_suffix
    program = program_of_first_line(code)
    by_first_line = None if program is None else LanguageRegistry.run_by(program)
    if by_first_line is not None:  # it tells sh from bash, too
        return by_first_line.language
    if by_suffix is not None:
        return by_suffix
    if suffix:
        raise ConfigurationError("language", suffix, "is no suffix of a known language", hint="name it with --language")
    if program:
        hint = "name the language with --language"
        raise ConfigurationError("language", program, "is named in the first line, and is no known language", hint=hint)
    return "python"


def keeps_name(name: str, language: str) -> bool:
    """Return True when a program may run under its file's own name: the interpreter takes its suffix, or ignores it."""
    suffix = PurePath(name).suffix.lower()
    by_suffix, own = _by_suffix(suffix), LanguageRegistry.get(language).language
    if by_suffix == "shell" and own == "bash":  # the first line of a .sh tells sh from bash
        return True
    return by_suffix == own or (not suffix and language in {"python", "shell", "bash"})


def _by_suffix(suffix: str) -> str | None:
    """Return the language of a suffix: that of its program's file, or an alias, as ``.rb`` for ``rb``."""
    if not suffix:
        return None
    for names in (LanguageRegistry.registered, LanguageRegistry.names):  # those of installed packages take longer
        known = names()
        configs = [LanguageRegistry.get(name) for name in known]
        for config in configs:  # first: Deno's and Bun's programs have the suffix of TypeScript's, too
            if suffix.removeprefix(".") in config.aliases:
                return config.language
        for config in configs:
            if suffix == PurePath(config.code_filename).suffix:
                return config.language
        if _MORE_SUFFIXES.get(suffix) in known:
            return _MORE_SUFFIXES[suffix]
    return None
