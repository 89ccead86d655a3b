"""Libraries that a program of a further language misses, and the packages of Debian that have them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable


class Library(NamedTuple):
    """A library that a program misses.

    Attributes:
        name: as the program calls it.
        package: Debian's package by its rule for names; None where Debian's packages are not for this compiler.
    """

    name: str
    package: str | None


def _in_lower_case(form: str) -> Callable[[str], str]:
    return lambda name: form.format(re.sub(r"::|[/_.]", "-", name).lower())


def _none(_: str) -> None:
    return None


_NAME = r"[A-Za-z0-9_.:/@-]{1,100}"
_MISSING: dict[str, tuple[str, Callable[[str], str | None]]] = {
    "r": (rf"there is no package called ['\u2018]({_NAME})['\u2019]", _in_lower_case("r-cran-{}")),
    "perl": (rf"Can't locate ({_NAME})\.pm in @INC", _in_lower_case("lib{}-perl")),
    "lua": (r"module '([A-Za-z0-9_]{1,100})(?:\.[^']{0,100})?' not found", _in_lower_case("lua-{}")),
    "octave": (rf"package ({_NAME}) is not installed", _in_lower_case("octave-{}")),
    "go": (rf"no required module provides package ({_NAME})[;:]", _none),
    "rust": (rf"use of (?:undeclared|unresolved) (?:crate or module|module or unlinked crate) `({_NAME})`", _none),
    "java": (r"error: package ((?!java\b)[a-z][A-Za-z0-9_.]{1,100}) does not exist", _none),
    "kotlin": (rf"import (kotlinx\.(?!coroutines){_NAME})", _none),
    "haskell": (rf"Could not (?:find|load) module ['\u2018`]({_NAME})['\u2019]", _none),
    "ocaml": (rf"Unbound module \"?({_NAME})", _none),
    "elixir": (r"(Mix\.install)/", _none),
    "csharp": (rf"CS0246: The type or namespace name '({_NAME})'", _none),
}
_READ = {language: (re.compile(pattern), package) for language, (pattern, package) in _MISSING.items()}


def missing_library(language: str, said: str) -> Library | None:
    """Return the library for which a program failed, or was not compiled; None when that had another cause.

    Args:
        language: the program's language.
        said: what the compiler or the program has said.
    """
    if language not in _READ:
        return None
    pattern, package = _READ[language]
    match = pattern.search(said)
    if match is None:
        return None
    name = match[1].replace("/", "::") if language == "perl" else match[1]
    return Library(name, package(name))
