"""The packages that a project says it needs, in files of its own."""

from __future__ import annotations

import os
import re
import stat
import tomllib
from typing import TYPE_CHECKING, Any

import msgspec

from interpreter_tools._exceptions import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from interpreter_tools._languages import LanguageConfig, RunApp
    from interpreter_tools._mounts import Mount

    Read = Callable[[str], Awaitable[bytes | None]]

MOST_BYTES = 4 << 20
"""Of a file that lists packages; a lock file may be large."""

_COMMENT = re.compile(r"(^|\s)#.*")


async def app_packages(language: LanguageConfig, app: RunApp, read: Read) -> tuple[str, ...]:
    """What ``requirements.txt`` or ``pyproject.toml``, or ``package.json``, beside an app ask for.

    A ``package-lock.json`` pins the packages that ``package.json`` names; what those need in turn is resolved anew.

    Args:
        language: the app's.
        app: the app.
        read: gives a file by its absolute path in the container; None where there is none.

    Raises:
        ConfigurationError: a file cannot be understood, or holds what cannot be installed.
    """
    kind = language.dependencies.kind if language.dependencies else None
    if kind == "pip":
        if (text := await _text(app, "requirements.txt", read)) is not None:
            return _requirements(text)
        if (text := await _text(app, "pyproject.toml", read)) is not None:
            return _project(text)
    elif kind == "npm" and (text := await _text(app, "package.json", read)) is not None:
        return _package(text, await _text(app, "package-lock.json", read))
    return ()


async def _text(app: RunApp, name: str, read: Read) -> str | None:
    data = await read(f"{app.directory}/{name}")
    if data is not None and len(data) > MOST_BYTES:
        raise ConfigurationError(f"run_app.{name}", f"{len(data)} bytes", f"is larger than {MOST_BYTES} bytes")
    return None if data is None else data.decode("utf-8", "replace")


def requirement_lines(text: str) -> list[tuple[int, str]]:
    """The lines of a requirements file that say something, by number, without comments and continuations."""
    lines = (_COMMENT.sub("", line).strip() for line in text.replace("\\\n", " ").splitlines())
    return [(number, line) for number, line in enumerate(lines, start=1) if line]


def _requirements(text: str) -> tuple[str, ...]:
    packages = tuple(line for _, line in requirement_lines(text))
    for package in packages:
        if package.startswith("-"):
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


def _package(text: str, lock_text: str | None) -> tuple[str, ...]:
    try:
        wanted = msgspec.json.decode(text, type=_Package).dependencies
        lock = msgspec.json.decode(lock_text or "{}", type=_Lock).packages
    except msgspec.DecodeError as error:
        raise ConfigurationError("run_app.package.json", "...", f"cannot be understood: {error}") from None
    pinned = {name: entry.version for name in wanted if (entry := lock.get(f"node_modules/{name}")) is not None}
    return tuple(f"{name}@{pinned.get(name) or version}" for name, version in wanted.items())


def read_mounted(mounts: Sequence[Mount], path: str) -> bytes | None:
    """A file of a mounted directory, by its path in the container; blocks, so call it off the event loop.

    Its last component may be no link: what a project's file leads to elsewhere on this machine is not the project's.
    """
    for mount in mounts:
        if mount.is_bind and mount.source is not None and path.startswith(f"{mount.path}/"):
            source = os.path.join(mount.source, path[len(mount.path) + 1 :])  # noqa: PTH118 - joined, not resolved
            try:
                descriptor = os.open(source, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
            except OSError:
                return None
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                os.close(descriptor)
                return None
            with open(descriptor, "rb") as file:  # noqa: PTH123 - a descriptor
                return file.read(MOST_BYTES + 1)
    return None
