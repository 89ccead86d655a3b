"""Libraries that a program of a further language misses, and the packages of Debian that have them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from interpreter_tools._languages.known import library_packages

if TYPE_CHECKING:
    from collections.abc import Callable


class Library(NamedTuple):
    """A library that a program misses.

    Attributes:
        name: as the program calls it.
        packages: Debian's packages for all that it misses; empty where none is known. None where Debian's packages are
            not for this compiler.
    """

    name: str
    packages: tuple[str, ...] | None


_PHP = {  # the beginnings of functions and classes, and the extension that has them
    "image": "php-gd",
    "mb_": "php-mbstring",
    "curl_": "php-curl",
    "bc": "php-bcmath",
    "gmp_": "php-gmp",
    "zip_": "php-zip",
    "ziparchive": "php-zip",
    "collator": "php-intl",
    "intl": "php-intl",
    "numberformatter": "php-intl",
    "normalizer": "php-intl",
    "dom": "php-xml",
    "simplexml": "php-xml",
    "xml": "php-xml",
}
_IN_PHP = (
    r"(?:Call to undefined function |Class \")("
    r"(?:image|mb_|curl_|gmp_|zip_|simplexml_|xml_)\w{1,40}|bc(?:add|comp|div|mod|mul|pow|powmod|scale|sqrt|sub)"
    r"|(?:DOM|Intl)[A-Z]\w{1,40}|Collator|Normalizer|NumberFormatter|SimpleXMLElement|XML(?:Reader|Writer)|ZipArchive)\b"
)


def _from_table(language: str) -> Callable[[str], str]:
    """Return a function that finds the package of a name, or of its beginning, in the table of a language."""

    def find(name: str) -> str:
        table = library_packages(language)
        words = re.split(r"([./:]+)", name)
        beginnings = ("".join(words[:count]) for count in range(len(words), 0, -2))
        return next((table[beginning] for beginning in beginnings if beginning in table), "")

    return find


def _by_rule(language: str, form: str, apart: str = r"::|[/_.]") -> Callable[[str], str]:
    def find(name: str) -> str:
        return library_packages(language).get(name) or form.format(re.sub(apart, "-", name).lower())

    return find


def _of_go(name: str) -> str:
    match = re.match(r"(github)\.com/([\w.-]+)/([\w.-]+)|(golang)\.org/(x)/([\w.-]+)", name)
    parts = [part for part in match.groups() if part] if match else []
    return f"golang-{'-'.join(parts)}-dev".lower().replace("_", "-") if parts else _from_table("go")(name)


def _of_c(name: str) -> str:
    return "liblapack-dev" if re.fullmatch(_LAPACK, name) else _from_table("c")(name)


def _of_fortran(name: str) -> str:
    return _from_table("fortran")(name) or _of_c(name)


def _of_lisp(name: str) -> str:
    return _from_table("lisp")(name.lower())


def _of_php(name: str) -> str:
    return next(package for beginning, package in _PHP.items() if name.lower().startswith(beginning))


_NAME = r"[A-Za-z0-9_.:/@+-]{1,100}"
_LAPACK = (
    r"[sdcz](?:(?:ge|gb|gt|sy|he|po|pp|pb|tr|or|un|st|lan|lac|lam)[a-z0-9]{1,5}|dot[cu]?|axpy|scal|nrm2|copy|swap|rot)_"
)
_UNDEFINED = rf"undefined reference to [`'\u2018]({_LAPACK})'"
_HEADER = (
    rf"fatal error: ({_NAME}): No such file or directory\n *\d+ \| *# *include *<"
    r"|fatal error: ((?:gtest|gmock|boost|nlohmann|Eigen|openssl|SDL2|curl)/[\w./]{1,80}|gmp\.h|sqlite3\.h|zlib\.h)"
    r": No such file"
)
_MISSING: dict[str, tuple[str, Callable[[str], str] | None]] = {
    **dict.fromkeys(("c", "cpp"), (f"{_HEADER}|{_UNDEFINED}", _of_c)),
    "fortran": (rf"Cannot open module file [\u2018'](\w{{1,80}})\.mod[\u2019']|{_UNDEFINED}", _of_fortran),
    "r": (rf"there is no package called ['\u2018]({_NAME})['\u2019]", _by_rule("r", "r-cran-{}", apart="_")),
    "perl": (rf"Can't locate ({_NAME})\.pm in @INC", _by_rule("perl", "lib{}-perl")),
    "lua": (r"module '([A-Za-z0-9_]{1,100})(?:\.[^']{0,100})?' not found", _by_rule("lua", "lua-{}")),
    "php": (_IN_PHP, _of_php),
    "octave": (rf"package ({_NAME}) is not installed", _by_rule("octave", "octave-{}")),
    "go": (rf"no required module provides package ({_NAME})[;:]|cannot find package \"({_NAME})\" in any", _of_go),
    "java": (r"error: package ((?!java\b)[a-z][A-Za-z0-9_.]{1,100}) does not exist", _from_table("java")),
    "haskell": (rf"Could not (?:find|load) module ['\u2018`]({_NAME})['\u2019]", _from_table("haskell")),
    "ocaml": (rf"Unbound module \"?({_NAME})", _from_table("ocaml")),
    "lisp": (r"Package ((?!QL\b)[A-Z0-9-]{1,80}) does not exist|Component :?\"?([\w-]{1,80})\"? not found", _of_lisp),
    "rust": (
        (
            rf"use of (?:undeclared|unresolved) (?:crate or module|module or unlinked crate) `({_NAME})`"
            rf"|can't find crate for `({_NAME})`"
        ),
        None,
    ),
    "kotlin": (
        rf"^import ((?!java|kotlin\.|kotlinx\.coroutines){_NAME})\*?\n +\^|^@file:DependsOn\(\"({_NAME})\"",
        None,
    ),
    "elixir": (
        (
            r"(Mix\.install)/|Could not install (Hex)"
            r"|\(?module (Jason|Poison|Ecto|HTTPoison|Req|Tesla|Timex|Decimal|Plug|Phoenix)\b[^)\n]* is not"
        ),
        None,
    ),
    "csharp": (
        (
            rf",(?:7|14)\): error CS0246: The type or namespace name '({_NAME})'"  # behind `using`
            rf"|CS0234: The type or namespace name '({_NAME})' does not exist in the namespace 'Microsoft"
            r"|name '(WebApplication)'"
        ),
        None,
    ),
    "deno": (rf"Import \"({_NAME})\" not a dependency|^error: JSR package manifest for '({_NAME})'", None),
    "bun": (r"Cannot find (?:package|module) '([^'./][^'\n]{0,100})'", None),
}
_READ = {language: (re.compile(pattern, re.MULTILINE), package) for language, (pattern, package) in _MISSING.items()}


def missing_library(language: str, said: str) -> Library | None:
    """Return the library for which a program failed, or was not compiled; None when that had another cause.

    Args:
        language: the program's language.
        said: what the compiler or the program has said.
    """
    if language not in _READ:
        return None
    pattern, package_of = _READ[language]
    names = list(dict.fromkeys(next(filter(None, match.groups())).rstrip(".") for match in pattern.finditer(said)))
    if not names:
        return None
    if language == "perl":
        names = [name.replace("/", "::") for name in names]
    if package_of is None:
        return Library(names[0], None)
    packages = {name: package_of(name) for name in names}
    first = next((name for name, package in packages.items() if package), names[0])
    return Library(first, tuple(dict.fromkeys(filter(None, packages.values()))))
