"""The first line of a file, which may say what runs it: ``#!/usr/bin/env -S bash -eu``."""

from __future__ import annotations

import re
import shlex
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from interpreter_tools._languages.config import LanguageConfig

_FIRST = re.compile(rb"#![ \t]*(/[^\r\n]*)")  # Rust's attributes begin with #!, too, and with no path
_PROGRAMS = ("/bin", "/usr/bin", "/usr/local/bin", "/sbin", "/usr/sbin", "/usr/local/sbin")
_NO_EFFECT = frozenset({"-u"})  # Python's output is passed on line by line in any case


def command_of_first_line(language: LanguageConfig, code: bytes) -> tuple[str, ...] | None:
    """Return the program that a file's first line asks for, with its options; None for the language's own command.

    A program of a usual directory is looked up in the image's PATH: official images keep theirs in ``/usr/local/bin``.

    Args:
        language: what the file is run as, which says what means its own interpreter.
        code: the file's contents.
    """
    words = _first_words(code)
    if not words:
        return None
    program, *options = words
    directory, _, name = program.rpartition("/")
    if name == "env":
        name, options = _behind_env(options)
        directory = _PROGRAMS[0]
    if not name:
        return None
    if directory not in _PROGRAMS:
        return program, *options
    own = language.is_run_by(name)
    # Other names for it, such as `uv run` or `npx tsx`, have options that are not its own; nor are those of compilers
    compiled = language.compile is not None
    if own and (compiled or name != language.run_command[0] or not {*options} - _NO_EFFECT):
        return None
    return name, *options


def program_of_first_line(code: bytes) -> str | None:
    """Return the name of the program that a file's first line asks for, which ``env`` may start; None without one.

    Args:
        code: the file's contents.
    """
    words = [word.rpartition("/")[2] for word in _first_words(code)]
    if words[:1] == ["env"]:
        words = [word for word in words[1:] if not word.startswith("-") and "=" not in word]
    return words[0] if words else None


def without_first_line(code: bytes) -> bytes:
    """Return code for a compiler, which may not know what a first line is: it is empty, and others keep their numbers.

    Args:
        code: the file's contents, whose first line means its own language.
    """
    return _FIRST.sub(b"", code, count=1) if _FIRST.match(code) else code


def _first_words(code: bytes) -> list[str]:
    match = _FIRST.match(code)
    if match is None:
        return []
    line = match[1].decode("utf-8", "surrogateescape")
    try:
        return shlex.split(line)
    except ValueError:
        return line.split()


def _behind_env(words: list[str]) -> tuple[str, list[str]]:
    """Return the program that ``env`` starts and its options; ``env`` itself where it does more than to look it up."""
    if words and words[0] in {"-S", "--split-string"}:
        words = words[1:]
    if not words:
        return "", []
    if words[0].startswith("-") or "=" in words[0]:
        return "env", words
    return words[0].rpartition("/")[2], words[1:]
