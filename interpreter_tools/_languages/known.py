"""Tables of packages: how imports are called in an index, which packages are well known, what they need.

The tables are files of ``data/``; the head of each says where it comes from.
"""

from __future__ import annotations

import difflib
import re
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

_DATA = Path(__file__).with_name("data")
_REMOVED = frozenset(
    """
    aifc asynchat asyncore audioop binhex cgi cgitb chunk crypt distutils formatter imghdr imp lib2to3 mailcap msilib
    nis nntplib ossaudiodev parser pipes smtpd sndhdr spwd sunau symbol telnetlib uu xdrlib
    """.split()  # noqa: SIM905 - a list of them would be 30 lines
)
_SHORT = 3  # characters of a name, any of which is like many others
_ALIKE = 0.8  # of difflib: one slip in five letters
_WORD = re.compile(r"(?:\.\s*)?[^\W\d]\w*")
_STRING = re.compile(r"""(["'])((?:(?!\1)[^\\\n]){0,200})\1""")


def _rows(name: str) -> Iterator[list[str]]:
    for line in _DATA.joinpath(name).read_text("utf-8").splitlines():
        if line and not line.startswith("#"):
            yield line.split("\t")


def normal_name(name: str) -> str:
    """Return the name of a Python package as an index writes it (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


@cache
def python_packages() -> dict[str, str]:
    """Return the packages whose name is not that of their module, by the module's dotted name."""
    return {row[0]: row[1] for row in _rows("python_imports.tsv")}


@cache
def known_packages(kind: str) -> frozenset[str]:
    """Return the names of well-known packages: of ``"pip"`` (normalised) or of ``"npm"``; none for other kinds."""
    files = {"pip": "python_known.txt", "npm": "node_known.txt"}
    return frozenset(name for (name,) in _rows(files[kind])) if kind in files else frozenset()


def removed_modules() -> frozenset[str]:
    """Return the standard modules that Python once had, up to 3.10, and has no more in 3.14."""
    return _REMOVED


@cache
def large_packages() -> frozenset[str]:
    """Return the names of Python's packages that bring the libraries of graphics cards: 2 GB and more to download."""
    return frozenset(name for (name,) in _rows("python_large.txt"))


def similar_package(kind: str, name: str) -> str | None:
    """Return the well-known package whose name differs by a slip from that of an unknown one; None without one."""
    if len(name) <= _SHORT:
        return None
    alike = [known for known in known_packages(kind) if known[0] == name[0]]
    return next(iter(difflib.get_close_matches(name, alike, 1, _ALIKE)), None)


@cache
def system_packages() -> dict[str, str]:
    """Return Debian's packages, by the library's file name or the program that they bring."""
    return {row[0]: row[1] for row in _rows("system_packages.tsv")}


@cache
def library_packages(language: str) -> dict[str, str]:
    """Return Debian's packages for a further language, by the library as programs name it, or by its beginning."""
    return {row[1]: row[2] for row in _rows("libraries.tsv") if row[0] == language}


@cache
def _needs() -> dict[tuple[str, str], tuple[str, ...]]:
    needs: dict[tuple[str, str], tuple[str, ...]] = {}
    for kind, package, need in _rows("system_needs.tsv"):
        needs[kind, package] = (*needs.get((kind, package), ()), need)
    return needs


def system_needs(kind: str, packages: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """Return the libraries and programs that packages are known to need, by package.

    Args:
        kind: of the packages: ``"pip"`` or ``"npm"``.
        packages: their names, normalised.
    """
    needs = _needs()
    return {name: needs[kind, name] for name in packages if (kind, name) in needs}


def package_of_module(module: str, members: Iterable[str] = ()) -> str | None:
    """Return the well-known package of Python that a module comes from; None where no such package is known.

    Args:
        module: its dotted name, as an import says it.
        members: what is imported from it, which may be modules, too.
    """
    table = python_packages()
    words = module.split(".")
    shorter = [".".join(words[:count]) for count in range(len(words), 0, -1)]
    for name in (*(f"{module}.{member}" for member in members), *shorter):
        if name in table:
            return table[name]
    top = normal_name(words[0])
    return top if top in known_packages("pip") else None


@cache
def companions() -> dict[str, tuple[tuple[tuple[str, ...], tuple[str, ...]], ...]]:
    """Return, by package of Python, the words of programs that use a part of it, and what that part needs."""
    table: dict[str, tuple[tuple[tuple[str, ...], tuple[str, ...]], ...]] = {}
    for package, words, *needs in _rows("python_companions.tsv"):
        table[package] = (*table.get(package, ()), (tuple(words.split()), tuple(needs)))
    return table


def python_companions(packages: Iterable[str], code: str, modules: Collection[str] = ()) -> tuple[str, ...]:
    """Return the requirements that packages of Python do not bring, and need for what a program does with them.

    Args:
        packages: their names, normalised.
        code: the program. Its words decide, also those of comments: a package too many does no harm.
        modules: the dotted names of the modules that it imports.
    """
    table = companions()
    waiting = [name for name in packages if name in table]
    if not waiting:
        return ()
    names = {"".join(word.split()) for word in _WORD.findall(code)}
    strings = {text for _, text in _STRING.findall(code)}
    found: dict[str, None] = {}
    seen = set(waiting)
    while waiting:
        for words, needs in table[waiting.pop()]:
            if any(_uses(word, names, strings, modules) for word in words):
                found |= dict.fromkeys(needs)
                new = [need for need in needs if need in table and need not in seen]
                seen.update(new)
                waiting.extend(new)
    return tuple(found)


def _uses(word: str, names: Collection[str], strings: Collection[str], modules: Collection[str]) -> bool:
    if word.startswith('"'):
        return any(fnmatchcase(text, word[1:-1]) for text in strings)
    if "." in word[1:]:
        return any(module == word or module.startswith(f"{word}.") for module in modules)
    return word in names or f".{word}" in names
