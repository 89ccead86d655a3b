"""The packages that a project says it needs, in files of its own."""

from __future__ import annotations

import codecs
import contextlib
import os
import re
import stat
import tomllib
from typing import TYPE_CHECKING, Any

import msgspec

from interpreter_tools._exceptions import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from interpreter_tools._config.mounts import Mount
    from interpreter_tools._config.options import RunApp
    from interpreter_tools._languages import LanguageConfig

    Read = Callable[[str], Awaitable[bytes | None]]

MOST_BYTES = 4 << 20
"""Of a file that lists packages; a lock file may be large."""

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC
_COMMENT = re.compile(r"(^|\s)#.*")
_UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


async def app_packages(language: LanguageConfig, app: RunApp, read: Read) -> tuple[str, tuple[str, ...]]:
    """The file beside an app that lists packages, and what it asks for; nothing where there is none.

    It is ``requirements.txt`` or ``pyproject.toml`` (its project's dependencies), or ``package.json``: its
    dependencies, neither those for development nor optional ones, without which a program has to do anyway.
    ``package-lock.json`` pins the packages that ``package.json`` names; what those need in turn is resolved anew.

    Args:
        language: the app's.
        app: the app.
        read: gives a file by its absolute path in the container; None where there is none.

    Raises:
        ConfigurationError: a file cannot be understood, or holds what cannot be installed.
    """
    kind = language.dependencies.kind if language.dependencies else None
    if kind == "pip":
        for name, parse in (("requirements.txt", _requirements), ("pyproject.toml", _project)):
            if (text := await _text(app, name, read)) is not None:
                return name, parse(text)
    elif kind == "npm" and (text := await _text(app, "package.json", read)) is not None:
        return "package.json", _package(text, await _text(app, "package-lock.json", read))
    return "", ()


async def _text(app: RunApp, name: str, read: Read) -> str | None:
    data = await read(f"{app.directory}/{name}")
    if data is not None and len(data) > MOST_BYTES:
        raise ConfigurationError(f"run_app.{name}", f"{len(data)} bytes", f"is larger than {MOST_BYTES} bytes")
    return None if data is None else decode_list(data)


def decode_list(data: bytes) -> str:
    """The text of a file that lists packages: UTF-8, or what a byte order mark says, as editors of Windows write it."""
    return data.decode("utf-16" if data.startswith(_UTF_16) else "utf-8-sig", "replace")


def requirement_lines(text: str) -> list[tuple[int, str]]:
    """The lines of a requirements file that say something, by number, without comments and continuations.

    As pip reads them: a line that ends in a backslash goes on in the next one, unless it is a comment.
    """
    found: list[tuple[int, str]] = []
    begun, first = "", 0
    lines = text.splitlines()
    for number, line in enumerate(lines, start=1):
        first = first or number
        comment = line.lstrip().startswith("#")
        if line.endswith("\\") and not comment and number < len(lines):
            begun += f"{line[:-1]} "
            continue
        whole = _COMMENT.sub("", begun + (f" {line}" if comment else line.rstrip("\\"))).strip()
        if whole:
            found.append((first, whole))
        begun, first = "", 0
    return found


def _requirements(text: str) -> tuple[str, ...]:
    packages = tuple(line for _, line in requirement_lines(text))
    for package in packages:
        if package.startswith("-") or " --" in package:
            hint = "list the packages themselves, and name an index in EngineConfig"
            raise ConfigurationError("run_app.requirements.txt", package, "is an option of pip's", hint=hint)
    return packages


def _project(text: str) -> tuple[str, ...]:
    try:
        wanted: Any = tomllib.loads(text).get("project", {}).get("dependencies", [])
        return msgspec.convert(wanted, tuple[str, ...])
    except (tomllib.TOMLDecodeError, AttributeError, msgspec.ValidationError) as error:
        raise ConfigurationError("run_app.pyproject.toml", "...", f"cannot be understood: {error}") from None


class _Package(msgspec.Struct):
    dependencies: dict[str, str] = {}


class _Locked(msgspec.Struct):
    version: str | None = None


class _Lock(msgspec.Struct):
    packages: dict[str, _Locked] = {}
    dependencies: dict[str, _Locked] = {}  # of npm 6 and older, which knew no packages

    def version(self, name: str) -> str | None:
        """The one that is pinned."""
        entry = self.packages.get(f"node_modules/{name}") if self.packages else self.dependencies.get(name)
        return None if entry is None else entry.version


def _package(text: str, lock_text: str | None) -> tuple[str, ...]:
    try:
        wanted = msgspec.json.decode(text, type=_Package).dependencies
    except msgspec.DecodeError as error:
        raise ConfigurationError("run_app.package.json", "...", f"cannot be understood: {error}") from None
    try:
        lock = msgspec.json.decode(lock_text or "{}", type=_Lock)
    except msgspec.DecodeError as error:
        raise ConfigurationError("run_app.package-lock.json", "...", f"cannot be understood: {error}") from None
    return tuple(_npm_specifier(name, version, lock.version(name)) for name, version in wanted.items())


def _npm_specifier(name: str, wanted: str, pinned: str | None) -> str:
    """A package as npm's command line takes it, where a name alone means any version."""
    wanted, aliased = wanted.strip(), wanted.strip().removeprefix("npm:")
    if pinned and aliased != wanted and not pinned.startswith("npm:"):  # as npm 6 wrote it
        pinned = f"npm:{aliased[:1]}{aliased[1:].partition('@')[0]}@{pinned}"
    version = pinned or wanted
    return f"{name}@{version}" if version else name


def read_mounted(mounts: Sequence[Mount], path: str) -> bytes | None:
    """Return a file of a mounted directory, by its path in the container; None where there is none.

    No part of the path may be a link: a program that may write to the mount could lead us elsewhere on this machine.
    Blocks, so call it off the event loop.
    """
    for mount in mounts:
        if mount.is_bind and mount.source is not None and path.startswith(f"{mount.path}/"):
            return _read_beneath(os.fspath(mount.source), path[len(mount.path) + 1 :].split("/"))
    return None


def _read_beneath(directory: str, names: Sequence[str]) -> bytes | None:
    """Return the regular file at the end of a chain of names: each opened from the one before, and none a link."""
    if ".." in names:
        return None
    with contextlib.ExitStack() as stack:
        try:
            at = os.open(directory, _DIRECTORY)
            stack.callback(os.close, at)
            for name in names[:-1]:
                at = os.open(name, _DIRECTORY, dir_fd=at)
                stack.callback(os.close, at)
            file = os.open(names[-1], _FILE, dir_fd=at)
            stack.callback(os.close, file)
        except OSError:
            return None
        if not stat.S_ISREG(os.fstat(file).st_mode):
            return None
        with open(file, "rb", closefd=False) as opened:
            return opened.read(MOST_BYTES + 1)
