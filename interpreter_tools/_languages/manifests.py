"""The packages that a project says it needs, in files of its own."""

from __future__ import annotations

import codecs
import contextlib
import os
import posixpath
import re
import stat
import tomllib
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import urlsplit

import msgspec

from interpreter_tools._exceptions import ConfigurationError
from interpreter_tools._languages.known import normal_name
from interpreter_tools._languages.specifiers import check_url, merge, normalise, package_name

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

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


HEADER = b"# /// script"
"""The first line of the header of a script that lists its packages (PEP 723)."""

_BLOCK = re.compile(r"(?m)^# /// (?P<type>[a-zA-Z0-9-]+)$\s(?P<content>(^#(| .*)$\s)+)^# ///$")  # as PEP 723 gives it
_NOT_READ = ("Pipfile", "setup.py", "setup.cfg", "environment.yml")
_SOURCE_CONDITIONS = frozenset({"marker", "extra", "group", "editable", "subdirectory", "rev", "tag", "branch"})
_DEPTH = 8  # of lists that include lists


class Declared(msgspec.Struct, frozen=True, kw_only=True):
    """The packages that a list asks for.

    Attributes:
        field: the list's name, for messages.
        packages: normalised; for Python, options of pip's among them, as lines that begin with a dash.
        python: the versions of Python that it is for; empty where it does not say.
        notes: what of it is not read.
    """

    field: str = "dependencies"
    packages: tuple[str, ...] = ()
    python: str = ""
    notes: tuple[str, ...] = ()


async def app_packages(language: LanguageConfig, app: RunApp, read: Read, *, hosts: frozenset[str]) -> Declared:
    """Return what the list of packages beside an app asks for; nothing where there is none.

    It is ``requirements.txt`` or ``pyproject.toml`` (its project's dependencies, or Poetry's), or ``package.json``: its
    dependencies and those that it expects of its host, neither those for development nor optional ones, without which a
    program has to do anyway. ``npm-shrinkwrap.json`` or ``package-lock.json`` pins the packages that ``package.json``
    names; what those need in turn is resolved anew.

    Args:
        language: the app's.
        app: the app.
        read: gives a file by its absolute path in the container; None where there is none.
        hosts: those that URLs may name.

    Raises:
        ConfigurationError: a file cannot be understood, or holds what cannot be installed.
    """
    kind = language.dependencies.kind if language.dependencies else None
    if kind == "pip":
        if await _text(app, "requirements.txt", read) is not None:
            lines = await _Requirements(app, read, hosts).lines("requirements.txt")
            return Declared(field="run_app.requirements.txt", packages=merge(lines))
        if (text := await _text(app, "pyproject.toml", read)) is not None:
            return _project(text, hosts)
        others = [name for name in _NOT_READ if await _text(app, name, read) is not None]
        notes = [f"{name} is not read: list the packages in requirements.txt or pyproject.toml" for name in others]
        return Declared(notes=tuple(notes))
    if kind == "npm" and (text := await _text(app, "package.json", read)) is not None:
        lock = "npm-shrinkwrap.json"
        lock_text = await _text(app, lock, read)
        if lock_text is None:
            lock = "package-lock.json"
            lock_text = await _text(app, lock, read)
        packages = _package(text, lock_text, lock)
        field = "run_app.package.json"
        return Declared(field=field, packages=normalise("npm", packages, field=field, hosts=hosts))
    return Declared()


def script_header(code: bytes, *, hosts: frozenset[str]) -> Declared:
    """Return what the header of a Python script asks for (PEP 723). One that cannot be used is told of in a note.

    Args:
        code: the script.
        hosts: those that URLs may name.
    """
    field = "the script's header"
    text = decode_list(code).replace("\r\n", "\n")
    blocks = [match["content"] for match in _BLOCK.finditer(text) if match["type"] == "script"]
    if len(blocks) != 1:
        many = "there are several" if blocks else "it does not end, or a line of it does not begin with '# '"
        return Declared(notes=(f"{field} is not read: {many}",))
    lines = (line[2:] if line.startswith("# ") else line[1:] for line in blocks[0].splitlines(keepends=True))
    try:
        header = msgspec.convert(tomllib.loads("".join(lines)), _Header)
        packages = normalise("pip", header.dependencies, field=field, hosts=hosts)
    except (tomllib.TOMLDecodeError, msgspec.ValidationError, ConfigurationError) as error:
        return Declared(notes=(f"{field} is not read: {error}",))
    packages, elsewhere = _without_sources(packages, _sources(header.tool.get("uv")))
    notes = [f"{field} has [tool.{name}], which is not read" for name in header.tool]
    notes += [f"{field}: {each}" for each in elsewhere]
    return Declared(field=field, packages=packages, python=header.requires_python, notes=tuple(notes))


def python_is_met(wanted: str, version: str) -> bool:
    """Return True when a list is for a version of Python."""
    from packaging.specifiers import InvalidSpecifier, SpecifierSet  # noqa: PLC0415 - slow, and few runs need it
    from packaging.version import InvalidVersion  # noqa: PLC0415

    try:
        return SpecifierSet(wanted).contains(version, prereleases=True)
    except (InvalidSpecifier, InvalidVersion):
        return False


async def _text(app: RunApp, name: str, read: Read) -> str | None:
    data = await read(f"{app.directory}/{name}")
    if data is not None and len(data) > MOST_BYTES:
        raise ConfigurationError(f"run_app.{name}", f"{len(data)} bytes", f"is larger than {MOST_BYTES} bytes")
    return None if data is None else decode_list(data)


def decode_list(data: bytes) -> str:
    """Return the text of a file that lists packages: UTF-8, or as its byte order mark says."""
    return data.decode("utf-16" if data.startswith(_UTF_16) else "utf-8-sig", "replace")


def requirement_lines(text: str) -> list[tuple[int, str]]:
    """Return the lines of a requirements file that say something, by number, without comments and continuations.

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


class _Header(msgspec.Struct, rename="kebab"):
    dependencies: tuple[str, ...] = ()
    requires_python: str = ""
    tool: dict[str, Any] = {}


_INDEX_OPTIONS = {
    "-i": "--index-url",
    "--index-url": "--index-url",
    "--pypi-url": "--index-url",
    "--extra-index-url": "--extra-index-url",
    "-f": "--find-links",
    "--find-links": "--find-links",
}
_LISTS = {"-r": "-r", "--requirement": "-r", "-c": "-c", "--constraint": "-c"}
_FORMATS = {"--no-binary", "--only-binary"}
_FLAGS = {"--no-index", "--pre", "--prefer-binary", "--require-hashes"}


class _Requirements:
    """The lines of ``requirements.txt``, with those of the files that it names."""

    def __init__(self, app: RunApp, read: Read, hosts: frozenset[str]) -> None:
        self._app = app
        self._read = read
        self._hosts = hosts

    async def lines(self, name: str, *, depth: int = 0) -> list[str]:
        """Return the packages and options that a file asks for, checked.

        Raises:
            ConfigurationError: a line cannot be taken, with its number.
        """
        field = f"run_app.{name}"
        text = await _text(self._app, name, self._read)
        if text is None:
            raise ConfigurationError(field, name, "is not there", hint="a list names it with -r or -c")
        found: list[str] = []
        for number, line in requirement_lines(text):
            try:
                if line.startswith("-"):
                    found.extend(await self._option(name, line, depth=depth))
                else:
                    found.extend(normalise("pip", [line], field=field, hosts=self._hosts))
            except ConfigurationError as error:
                if error.field != f"{field}[0]":  # of a list that this one includes
                    raise
                raise ConfigurationError(f"{field}:{number}", line, error.reason, hint=error.hint) from None
            except ValueError as error:
                hint = "list the packages themselves; indexes can be named in EngineConfig.extra_index_urls"
                raise ConfigurationError(f"{field}:{number}", line, str(error), hint=hint) from None
        return found

    async def _option(self, name: str, line: str, *, depth: int) -> list[str]:
        if line.startswith("--"):
            option, _, value = re.sub(r"[=\s]\s*", " ", line, count=1).partition(" ")
        else:
            option, value = line[:2], line[2:].strip()
        if option in _LISTS and value:
            if depth >= _DEPTH or posixpath.isabs(value):
                raise ValueError("leads away from the app" if posixpath.isabs(value) else "includes too many lists")
            path = posixpath.normpath(posixpath.join(posixpath.dirname(name), value))
            if path.startswith("../"):
                raise ValueError("leads away from the app")
            lines = await self.lines(path, depth=depth + 1)
            constraint = _LISTS[option] == "-c"
            return [f"-c {each}" if constraint and not each.startswith("-") else each for each in lines]
        if option in _INDEX_OPTIONS and value:
            parts = urlsplit(check_url(value, self._hosts))
            # pip passes over an index without TLS, unless it is told to trust that; uv does not
            trusted = [f"--trusted-host {parts.netloc}"] if parts.scheme == "http" else []
            return [f"{_INDEX_OPTIONS[option]} {value}", *trusted]
        if option in _FORMATS and re.fullmatch(r"[A-Za-z0-9._,:-]+", value):
            return [f"{option} {value}"]
        if option in _FLAGS and not value:
            return [option]
        if option in {"-e", "--editable"}:
            raise ValueError("is a project that is installed as it stands: list its packages")
        raise ValueError("is an option of pip's that is not taken")


class _Poetry(msgspec.Struct):
    dependencies: dict[str, Any] = {}


class _Tool(msgspec.Struct):
    poetry: _Poetry | None = None
    uv: object = None


class _Uv(msgspec.Struct):
    sources: dict[str, dict[str, Any] | list[dict[str, Any]]] = {}


class _ProjectTable(msgspec.Struct, rename="kebab"):
    dependencies: tuple[str, ...] | None = None
    requires_python: str = ""
    dynamic: tuple[str, ...] = ()


class _Project(msgspec.Struct):
    project: _ProjectTable | None = None
    tool: _Tool | None = None


def _project(text: str, hosts: frozenset[str]) -> Declared:
    field = "run_app.pyproject.toml"
    try:
        found = msgspec.convert(tomllib.loads(text), _Project)
    except (tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        raise ConfigurationError(field, "...", f"cannot be understood: {error}") from None
    project, poetry = found.project or _ProjectTable(), found.tool.poetry if found.tool else None
    listed = normalise("pip", project.dependencies or (), field=field, hosts=hosts)
    own, elsewhere = _without_sources(listed, _sources(found.tool.uv if found.tool else None))
    packages = list(own)
    python, notes = project.requires_python, [f"{field}: {each}" for each in elsewhere]
    if "dependencies" in project.dynamic and project.dependencies is None and poetry is None:
        notes.append(
            f"{field} says that its dependencies are dynamic: they are not read, list them in requirements.txt"
        )
    if poetry is not None and project.dependencies is None:
        for name, wanted in poetry.dependencies.items():
            if name.lower() == "python":
                python = python or _poetry_versions(wanted if isinstance(wanted, str) else "*")
                continue
            lines, said = _poetry_packages(name, wanted)
            packages += lines
            notes += [f"{field}: {each}" for each in said]
    return Declared(
        field=field, packages=normalise("pip", packages, field=field, hosts=hosts), python=python, notes=tuple(notes)
    )


def _sources(uv: object) -> dict[str, str]:
    """Return the kinds of place, such as ``git``, that uv's table ``sources`` names, by the packages' normal names."""
    try:
        table = msgspec.convert(uv or {}, _Uv).sources
    except msgspec.ValidationError:  # of a table that uv would refuse: then no package is known to be elsewhere
        return {}
    found: dict[str, str] = {}
    for name, places in table.items():
        keys = [key for place in (places if isinstance(places, list) else [places]) for key in place]
        if kinds := [key for key in keys if key not in _SOURCE_CONDITIONS]:
            found[normal_name(name)] = kinds[0]
    return found


def _without_sources(wanted: Sequence[str], sources: Mapping[str, str]) -> tuple[tuple[str, ...], list[str]]:
    """Return the packages that an index has, and a sentence about each other one.

    A package of the same name on an index is another one, which anybody may have published.
    """
    packages, said = list[str](), list[str]()
    for each in wanted:
        name = package_name("pip", each)
        kind = sources.get(normal_name(name))
        if kind is None:
            packages.append(each)
        else:
            said.append(_said_elsewhere(name, kind))
    return tuple(packages), said


def _said_elsewhere(name: str, kind: str) -> str:
    return f"{name!r} comes from {kind!r}, which is not read: name a package with a version"


def _poetry_packages(name: str, wanted: object) -> tuple[list[str], list[str]]:
    """Return a dependency of Poetry's as pip writes it, and what of it is not read."""
    if isinstance(wanted, list):
        both = [_poetry_packages(name, each) for each in cast("list[Any]", wanted)]
        return [line for lines, _ in both for line in lines], [said for _, notes in both for said in notes]
    table: dict[str, Any] = cast("dict[str, Any]", wanted) if isinstance(wanted, dict) else {"version": wanted}
    if table.get("optional"):
        return [], []
    if "url" in table:
        return [f"{name} @ {table['url']}"], []
    elsewhere = [key for key in ("git", "path", "file", "develop") if key in table]
    if elsewhere:
        return [], [_said_elsewhere(name, elsewhere[0])]
    extras = ",".join(map(str, table.get("extras", ())))
    markers = [f"({table['markers']})"] if table.get("markers") else []
    if table.get("python"):
        markers += [f"python_version {part}" for part in _quoted(_poetry_versions(str(table["python"])))]
    if table.get("platform"):
        markers.append(f"sys_platform == '{table['platform']}'")
    line = f"{name}[{extras}]" if extras else name
    line += _poetry_versions(str(table.get("version", "*")))
    return [line + (f" ; {' and '.join(markers)}" if markers else "")], []


def _quoted(versions: str) -> list[str]:
    return [re.sub(r"^([<>=!~]+)(.*)$", r"\1 '\2'", part) for part in versions.split(",") if part]


def _poetry_versions(wanted: str) -> str:
    """Return a range of versions as Python's packages write it: Poetry has ``^1.2`` and ``~1.2`` beside that."""
    if "||" in wanted or "|" in wanted:
        return ""  # one of several ranges: nothing here can say that, and any version is nearer than none
    parts: list[str] = []
    for part in filter(None, (piece.strip() for piece in wanted.split(","))):
        mark, version = part[0], part[1:].strip()
        if part == "*":
            continue
        if mark in "^~" and not part.startswith("~="):
            numbers = [int(number) for number in re.findall(r"\d+", version.partition("-")[0])[:4]]
            at = next((place for place, number in enumerate(numbers) if number), len(numbers) - 1)
            at = at if mark == "^" else min(1, len(numbers) - 1)
            upper = [*numbers[:at], numbers[at] + 1]
            parts.append(f">={version},<{'.'.join(map(str, upper))}")
        elif mark.isdigit():
            parts.append(f"=={part}")
        else:
            parts.append("".join(part.split()))
    return ",".join(parts)


class _Peer(msgspec.Struct):
    optional: bool = False


class _Package(msgspec.Struct, rename="camel"):
    dependencies: dict[str, str] = {}
    peer_dependencies: dict[str, str] = {}
    peer_dependencies_meta: dict[str, _Peer] = {}

    def wanted(self) -> dict[str, str]:
        """Return what is to be installed, as npm does it: its own, and what it expects of its host."""
        peers = self.peer_dependencies_meta
        expected = {
            name: each for name, each in self.peer_dependencies.items() if name not in peers or not peers[name].optional
        }
        return {**expected, **self.dependencies}


class _Locked(msgspec.Struct):
    version: str | None = None


class _Lock(msgspec.Struct):
    packages: dict[str, _Locked] = {}
    dependencies: dict[str, _Locked] = {}  # of npm 6 and older, which knew no packages

    def version(self, name: str) -> str | None:
        """Return the version that is pinned."""
        entry = self.packages.get(f"node_modules/{name}") if self.packages else self.dependencies.get(name)
        return None if entry is None else entry.version


def _package(text: str, lock_text: str | None, lock_name: str) -> tuple[str, ...]:
    try:
        wanted = msgspec.json.decode(text, type=_Package).wanted()
    except msgspec.DecodeError as error:
        raise ConfigurationError("run_app.package.json", "...", f"cannot be understood: {error}") from None
    try:
        lock = msgspec.json.decode(lock_text or "{}", type=_Lock)
    except msgspec.DecodeError as error:
        raise ConfigurationError(f"run_app.{lock_name}", "...", f"cannot be understood: {error}") from None
    return tuple(_npm_specifier(name, version, lock.version(name)) for name, version in wanted.items())


def _npm_specifier(name: str, wanted: str, pinned: str | None) -> str:
    """Return a package as npm's command line takes it, where a name alone means any version."""
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
