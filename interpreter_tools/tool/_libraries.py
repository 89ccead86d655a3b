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
        package: Debian's package; None where Debian's packages are not for this compiler.
    """

    name: str
    package: str | None


_OTHERWISE = {  # packages whose names Debian does not make from the library's
    **dict.fromkeys(("LWP", "LWP::Simple", "LWP::UserAgent"), "libwww-perl"),
    **dict.fromkeys(("HTTP::Headers", "HTTP::Request", "HTTP::Response"), "libhttp-message-perl"),
    **dict.fromkeys(("HTML::Element", "HTML::TreeBuilder"), "libhtml-tree-perl"),
    **dict.fromkeys(("HTML::Entities", "HTML::TokeParser"), "libhtml-parser-perl"),
    **dict.fromkeys(("Mojo::Base", "Mojo::DOM", "Mojo::JSON", "Mojo::UserAgent"), "libmojolicious-perl"),
    **dict.fromkeys(("Date::Format", "Date::Parse"), "libtimedate-perl"),
    "DBD::SQLite": "libdbd-sqlite3-perl",
    "PDL": "pdl",
    "Types::Standard": "libtype-tiny-perl",
    "URI::Escape": "liburi-perl",
    "YAML::XS": "libyaml-libyaml-perl",
    "lfs": "lua-filesystem",
    **dict.fromkeys(("ltn12", "mime"), "lua-socket"),
    "luasql": "lua-sql-sqlite3",
    "luaunit": "lua-unit",
    "pl": "lua-penlight",
    "ssl": "lua-sec",
}
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


def _by_rule(form: str, apart: str = r"::|[/_.]") -> Callable[[str], str]:
    return lambda name: _OTHERWISE.get(name) or form.format(re.sub(apart, "-", name).lower())


def _extension(name: str) -> str:
    return next(package for beginning, package in _PHP.items() if name.lower().startswith(beginning))


def _none(_: str) -> None:
    return None


_NAME = r"[A-Za-z0-9_.:/@-]{1,100}"
_MISSING: dict[str, tuple[str, Callable[[str], str | None]]] = {
    "r": (rf"there is no package called ['\u2018]({_NAME})['\u2019]", _by_rule("r-cran-{}", apart="_")),
    "perl": (rf"Can't locate ({_NAME})\.pm in @INC", _by_rule("lib{}-perl")),
    "lua": (r"module '([A-Za-z0-9_]{1,100})(?:\.[^']{0,100})?' not found", _by_rule("lua-{}")),
    "php": (_IN_PHP, _extension),
    "octave": (rf"package ({_NAME}) is not installed", _by_rule("octave-{}")),
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
    name = match[1].replace("/", "::") if language == "perl" else match[1].rstrip(".")
    return Library(name, package(name))
