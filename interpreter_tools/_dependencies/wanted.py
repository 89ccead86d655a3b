"""The packages that a run needs: those asked for, under their right names, those of its imports, and their own needs.

Nothing is guessed: what an import is called in an index comes from a table, and only a package that is on a list of
well-known ones is taken because of an import. Anyone can write a package of any name into an index.
"""

from __future__ import annotations

import asyncio
import posixpath
import sys
from functools import cache
from typing import TYPE_CHECKING, Protocol

import msgspec

from interpreter_tools._languages.imports import MOST_BYTES, grammar_of, read_imports
from interpreter_tools._languages.known import (
    known_packages,
    large_packages,
    normal_name,
    package_of_module,
    python_companions,
    python_packages,
    removed_modules,
    similar_package,
    system_needs,
    system_packages,
)
from interpreter_tools._languages.specifiers import is_of_node, merge, package_name, without_hashes

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from interpreter_tools._dependencies.inventory import Inventory
    from interpreter_tools._languages.imports import Grammar, Imported
    from interpreter_tools._languages.specifiers import Kind

_MOST_FILES = 64  # of the program itself that are read for their imports
_IN_A_THREAD = 32_768  # bytes of code whose imports take a few milliseconds
_PYTHON_STANDARD = sys.stdlib_module_names  # what is worth asking the image about, whose Python may be another
_NODE_STANDARD = frozenset(
    """
    assert async_hooks buffer child_process cluster console constants crypto dgram diagnostics_channel dns domain events
    fs http http2 https inspector module net os path perf_hooks process punycode querystring readline repl stream
    string_decoder sys timers tls trace_events tty url util v8 vm wasi worker_threads zlib
    """.split()  # noqa: SIM905 - a list of them would be 50 lines
)
_THERE = ""  # in place of a package: nothing is to be installed
_ENDS = {"pip": (".py", "/__init__.py"), "npm": ("", ".js", ".mjs", ".cjs", ".ts", ".tsx", "/index.js", "/index.ts")}


class Packages(msgspec.Struct, frozen=True, kw_only=True):
    """The packages to install for a run.

    Attributes:
        own: packages of the language, normalised specifiers.
        system: packages of the image's distribution, the same; for languages without an installer of their own, all.
    """

    own: tuple[str, ...] = ()
    system: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.own or self.system)


class Read(Protocol):
    """Reads a file that the program will see."""

    def __call__(self, path: str, /) -> Awaitable[bytes | None]:
        """Return a file's contents by its absolute path in the sandbox; None where there is none."""
        ...


def is_standard(kind: Kind, specifier: str, inventory: Inventory) -> bool:
    """Return True when a specifier names a module of the language itself."""
    name = package_name(kind, specifier)
    if kind == "pip":
        return name.replace("-", "_") in inventory.standard
    return kind == "npm" and name in inventory.standard and name not in known_packages(kind)


def right_name(specifier: str) -> str:
    """Return a requirement of Python's with the package's name, where it has that of a well-known module.

    A name that is also a package which people use stays.
    """
    from packaging.requirements import Requirement  # noqa: PLC0415 - slow, and few runs need it

    requirement = Requirement(without_hashes(specifier))
    if requirement.name in known_packages("pip") or requirement.url is not None:
        return specifier
    package = _modules_without_case().get(requirement.name)
    if package is None:
        return specifier
    requirement.name = package
    return str(requirement)


@cache
def _modules_without_case() -> dict[str, str]:
    return {normal_name(module): package for module, package in python_packages().items()}


async def correct(
    kind: Kind, specifiers: tuple[str, ...], inventory: Callable[[], Awaitable[Inventory]]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the packages that were asked for by their right names, without standard modules, and what was changed.

    Args:
        kind: of the packages.
        specifiers: normalised.
        inventory: tells what the image has; asked only where a name could be that of a standard module.
    """
    taken: list[str] = []
    notes: list[str] = []
    for specifier in specifiers:
        of_node = kind == "npm" and is_of_node(specifier)
        if of_node or (_may_be_standard(kind, specifier) and is_standard(kind, specifier, await inventory())):
            notes.append(f"{package_name(kind, specifier)!r} is a standard module: there is nothing to install")
            continue
        if kind == "pip" and not specifier.startswith("-") and package_name(kind, specifier) == "python":
            notes.append("'python' is the language: the image has one version of it, and there is nothing to install")
            continue
        named = right_name(specifier) if kind == "pip" and not specifier.startswith("-") else specifier
        if named != specifier:
            module, package = package_name(kind, specifier), package_name(kind, named)
            notes.append(f"{module!r} is the name of a module: its package {package!r} is taken")
        taken.append(named)
    return merge(taken), tuple(notes)


def _may_be_standard(kind: Kind, specifier: str) -> bool:
    """Return True when the image must be asked: a plain name of no well-known package, or one that Python has."""
    if specifier.startswith("-"):
        return False
    name = package_name(kind, specifier)
    if kind == "pip":
        return name.replace("-", "_") in _PYTHON_STANDARD
    return kind == "npm" and name not in known_packages(kind) and name in _NODE_STANDARD


class _Imports:
    """The search for the packages of a program's imports."""

    def __init__(self, kind: Kind, inventory: Inventory, read: Read, *, root: str, asked: frozenset[str]) -> None:
        self._kind = kind
        self._inventory = inventory
        self._read = read
        self._root = root
        self._asked = asked
        present = asked | {normal_name(each) for each in inventory.packages} if kind == "pip" else asked
        self._refused = large_packages() if present.isdisjoint(large_packages()) else frozenset[str]()
        self._verdicts: dict[tuple[str, tuple[str, ...]], str | None] = {}
        self._files: dict[str, bytes] = {}
        self._waiting: list[tuple[str, bytes]] = []
        self._used = set(asked)
        self._modules: set[str] = set()
        self.packages: dict[str, None] = {}
        self.notes: dict[str, None] = {}

    async def follow(self, path: str, code: bytes) -> None:
        """Read a program and the files of its own that it loads."""
        self._files[path] = code
        self._waiting.append((path, code))
        while self._waiting:
            path, code = self._waiting.pop()
            grammar = grammar_of(path)
            if grammar is None:
                continue
            for imported in await _read_imports(code, grammar):
                await self._take(imported, path)

    def add_companions(self) -> None:
        """Add what the packages do not bring, and need for what the program does with them."""
        there = self._asked | self._refused | {normal_name(each) for each in self._inventory.packages}
        code = "\n".join(data[:MOST_BYTES].decode("utf-8", "replace") for data in self._files.values())
        for need in python_companions(sorted(self._used), code, self._modules):
            if package_name("pip", need) not in there:
                self.packages[need] = None

    async def _take(self, imported: Imported, path: str) -> None:
        verdict = await self._judge(imported.name, imported.members, path)
        if verdict == _THERE:
            return
        if imported.instead_of:
            others = [await self._judge(name, (), path) for name in imported.instead_of]
            if None not in others:  # what it stands in for is there, or will be
                return
        if imported.fallbacks:
            others = [await self._judge(name, (), path) for name in imported.fallbacks]
            if all(other == _THERE for other in others):
                return
        if verdict is not None:
            self.packages[verdict] = None
        elif imported.fallbacks is None:
            self._refuse(imported.name)

    def _refuse(self, module: str) -> None:
        name = module.partition(".")[0] if self._kind == "pip" else _npm_package(module)
        plain = normal_name(name) if self._kind == "pip" else name
        package = package_of_module(module) if self._kind == "pip" else None
        if plain in self._asked or (self._kind == "pip" and name in removed_modules()):
            return
        if package in self._refused:
            self.notes[
                f"{name!r} is imported, but its package {package!r} brings the libraries of graphics cards, more than "
                "2 GB to download: an import alone does not install them; ask for it with dependencies"
            ] = None
            return
        self.notes[
            f"{name!r} is imported, but is not the name of a well-known package{_doubt(self._kind, plain)}: nothing is "
            "installed for it, as anyone can publish a package of any name; if it is right, ask for it with "
            "dependencies"
        ] = None

    async def _judge(self, name: str, members: tuple[str, ...], path: str) -> str | None:
        """Return the package that a module comes from; ``_THERE`` where it is there, None where none is known."""
        relative = name.startswith(".")
        key = (f"{posixpath.dirname(path)}:{name}" if relative else name), members
        if key not in self._verdicts:
            judge = self._judge_python if self._kind == "pip" else self._judge_node
            self._verdicts[key] = await judge(name, members, path)
        return self._verdicts[key]

    async def _judge_python(self, name: str, members: tuple[str, ...], path: str) -> str | None:
        inventory, top = self._inventory, name.partition(".")[0]
        if top in inventory.standard or name == "__main__":
            return _THERE
        package = package_of_module(name, members)
        if await self._is_own_module(name, () if package else members, path) or not top:
            return _THERE
        if package is not None:
            self._used.add(normal_name(package))
            self._modules |= {name, *(f"{name}.{member}" for member in members)}
        if package is not None and normal_name(package) in {normal_name(each) for each in inventory.packages}:
            return _THERE
        if top in inventory.modules and (package is None or package_of_module(top) == package):
            return _THERE
        return None if package is None or package in self._refused else normal_name(package)

    async def _is_own_module(self, name: str, members: tuple[str, ...], path: str) -> bool:
        dots = len(name) - len(name.lstrip("."))
        base = self._root
        if dots:
            base = posixpath.dirname(path)
            for _ in range(dots - 1):
                base = posixpath.dirname(base)
        words = [word for word in name.split(".") if word]
        found = False
        for count in range(1, len(words) + 1):
            found = await self._find(posixpath.join(base, *words[:count])) or found
        for member in members:
            found = await self._find(posixpath.join(base, *words, member)) or found
        return found

    async def _judge_node(self, name: str, members: tuple[str, ...], path: str) -> str | None:
        del members
        inventory = self._inventory
        if name.startswith(("@/", "~/")):  # of a project's own tsconfig.json: no package has such a name
            return _THERE
        if name.startswith((".", "/")):
            await self._find(posixpath.normpath(posixpath.join(posixpath.dirname(path), name)))
            return _THERE
        package = _npm_package(name)
        if ":" in name or name.startswith("#") or name in inventory.standard or package in inventory.standard:
            return _THERE
        if package in inventory.packages:
            return _THERE
        if await self._read(posixpath.join(self._root, "node_modules", package, "package.json")) is not None:
            return _THERE
        return package if package in known_packages("npm") else None

    async def _find(self, path: str) -> bool:
        """Return True when the program has a file of its own for a module; read that file, too."""
        for end in _ENDS[self._kind]:
            file = f"{path}{end}"
            if file in self._files:
                return True
            if len(self._files) >= _MOST_FILES or (not end and grammar_of(posixpath.basename(file)) is None):
                continue
            data = await self._read(file)
            if data is not None:
                self._files[file] = data
                self._waiting.append((file, data))
                return True
        return False


async def _read_imports(code: bytes, grammar: Grammar) -> tuple[Imported, ...]:
    if len(code) < _IN_A_THREAD:
        return read_imports(code, grammar)
    return await asyncio.to_thread(read_imports, code[:MOST_BYTES], grammar)


def _npm_package(name: str) -> str:
    return "/".join(name.split("/")[: 2 if name.startswith("@") else 1])


async def imported_packages(
    kind: Kind, inventory: Inventory, read: Read, *, path: str, code: bytes, asked: tuple[str, ...]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the packages that a program needs because of its imports, and what it imports that nobody knows.

    Args:
        kind: of the packages.
        inventory: what the image has.
        read: reads files of the program's own.
        path: where the program is, in the sandbox.
        code: the program.
        asked: packages that were asked for, normalised: for these nothing is added.
    """
    named = frozenset(package_name(kind, each) for each in asked if not each.startswith("-"))
    search = _Imports(kind, inventory, read, root=posixpath.dirname(path), asked=named)
    await search.follow(path, code)
    if kind == "pip":
        search.add_companions()
    return tuple(name for name in search.packages if name not in named), tuple(search.notes)


def known_only(kind: Kind, specifiers: tuple[str, ...], *, how: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the well-known ones of packages that a program's text names, and what is said about the others.

    Args:
        kind: of the packages.
        specifiers: normalised.
        how: how the text names them, for what is said, such as ``"pip install"``.
    """
    known = known_packages(kind)
    taken = tuple(each for each in specifiers if package_name(kind, each) in known and ":" not in each)  # nor of a URL
    notes = (
        f"{how} of {package_name(kind, each)!r}: nothing is installed for it, as it is not the name of a well-known "
        f"package{_doubt(kind, package_name(kind, each))}; if it is right, ask for it with dependencies"
        for each in specifiers
        if each not in taken
    )
    return taken, tuple(notes)


def _doubt(kind: str, name: str) -> str:
    meant = similar_package(kind, name)
    return "" if meant is None else f" (is {meant!r} meant?)"


async def needed_system_packages(
    kind: Kind, packages: tuple[str, ...], inventory: Callable[[], Awaitable[Inventory]]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the packages of the distribution that packages are known to need and the image lacks, and what is amiss.

    Args:
        kind: of the packages.
        packages: normalised specifiers.
        inventory: tells what the image has; asked only where something is known to be needed.
    """
    names = [package_name(kind, each) for each in packages if not each.startswith("-")]
    needs = system_needs(kind, names)
    if not needs:
        return (), ()
    found = await inventory()
    brought: dict[str, None] = {}
    notes: list[str] = []
    for name, wanted in needs.items():
        missing = [need for need in wanted if need not in found.has]
        if not missing:
            continue
        if found.has_apt:
            system = dict.fromkeys(system_packages()[need] for need in missing)
            brought |= system
            notes.append(f"{name!r} needs {_list(missing)}: {_list(system)} of the distribution is installed for it")
        else:
            notes.append(f"{name!r} needs {_list(missing)}: name the distribution's packages in system_dependencies")
    return tuple(brought), tuple(notes)


def _list(names: list[str] | dict[str, None]) -> str:
    return ", ".join(map(repr, names))
