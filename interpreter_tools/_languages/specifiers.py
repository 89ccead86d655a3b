"""The check of package specifiers, before any installation; each is passed on as one argument, never to a shell.

A specifier must lead to the index or registry: paths, repositories and options are refused, and a URL is taken only
of a host that ``EngineConfig.allowed_index_hosts`` names. A list of packages may hold options of pip's: the module
``manifests`` checks those, and they stand among the packages from then on, as lines that begin with a dash.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Literal
from urllib.parse import unquote, urlsplit

from interpreter_tools._exceptions import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

Kind = Literal["pip", "npm", "system", "words"]

_MOST = 256  # packages of one run
_LONGEST = 512  # characters of one; all of them fit into one frame of the protocol
_ALTOGETHER = 32_768

_NPM_NAME = r"(?:@[a-z0-9~-][a-z0-9._~-]*/)?[A-Za-z0-9~-][A-Za-z0-9._~-]*"
_COMMENT = re.compile(r"(?:^|\s)#.*")  # as in lists of requirements
_OF_NODE = re.compile(r"node:[a-z0-9_]+(?:/[a-z0-9_]+)?")
_NPM = re.compile(rf"({_NPM_NAME})(?:@([A-Za-z0-9^~<>=*][\w.^~<>=*|+ -]*))?")
_NPM_ALIAS = re.compile(rf"({_NPM_NAME})@npm:(.+)")  # a package of another name
_NPM_FILE = re.compile(r"\.(?:tgz|tar|tar\.gz)$", re.IGNORECASE)  # npm takes it for one, whatever stands before it
_SYSTEM = re.compile(r"[a-z0-9][a-z0-9+._-]*(?:=[A-Za-z0-9.+:~_-]+)?")
_WORD = re.compile(r"[A-Za-z0-9@][\w@.+/~^<>=!:,-]*")


_HASH = re.compile(r"\s+--hash[=\s]\s*([A-Za-z0-9]+:[0-9a-fA-F]{32,})(?=\s|$)")
_WAY_OUT = "name its host in EngineConfig.allowed_index_hosts"


def check_url(url: str, hosts: frozenset[str]) -> str:
    """Return a URL that leads to an allowed host.

    Raises:
        ValueError: it leads elsewhere, with what to do.
    """
    try:
        parts = urlsplit(url)
        host = parts.hostname
    except ValueError:
        parts, host = urlsplit(""), None
    if parts.scheme not in {"http", "https"} or host is None:
        raise ValueError("is no URL of http or https: other places are not taken")
    if parts.username is not None or "${" in url:
        raise ValueError("is a URL with a password: give that one in EngineConfig.extra_index_urls")
    if host not in hosts:
        raise ValueError(f"is a URL of {host!r}, which is not allowed: {_WAY_OUT}")
    return url


def _of_file(url: str) -> str:
    """Return the package that a file of an index holds, by the name at the end of its URL."""
    from packaging.utils import (  # noqa: PLC0415 - as below
        InvalidSdistFilename,
        InvalidWheelFilename,
        parse_sdist_filename,
        parse_wheel_filename,
    )

    file = unquote(urlsplit(url).path.rpartition("/")[2])
    try:
        return parse_wheel_filename(file)[0] if file.endswith(".whl") else parse_sdist_filename(file)[0]
    except (InvalidWheelFilename, InvalidSdistFilename):
        raise ValueError("is a URL that does not end in the name of a wheel or of a source archive") from None


def _pip(text: str, hosts: frozenset[str]) -> str:
    from packaging.requirements import InvalidRequirement, Requirement  # noqa: PLC0415 - slow, and few runs need it
    from packaging.utils import canonicalize_name  # noqa: PLC0415

    text = _COMMENT.sub("", text)
    hashes = _HASH.findall(text)
    text = _HASH.sub("", text).strip()
    if text.startswith(("http://", "https://")):
        text = f"{_of_file(check_url(text, hosts))} @ {text}"
    try:
        requirement = Requirement(text)
    except InvalidRequirement as error:
        reason = str(error).splitlines()[0]
        raise ValueError(f"is not a requirement of Python's: {reason}") from None
    if requirement.url is not None:
        check_url(requirement.url, hosts)
    requirement.name = canonicalize_name(requirement.name)
    requirement.extras = {canonicalize_name(extra) for extra in requirement.extras}
    return " ".join((str(requirement), *(f"--hash={each.lower()}" for each in sorted(set(hashes)))))


def without_hashes(specifier: str) -> str:
    """Return a requirement of Python's without the hashes of its files."""
    return specifier.partition(" --hash=")[0]


def is_of_node(specifier: str) -> bool:
    """Return True for a module of Node.js itself by its full name, such as ``node:fs`` or ``node:fs/promises``."""
    return _OF_NODE.fullmatch(specifier) is not None


def _npm(text: str, hosts: frozenset[str]) -> str:
    if is_of_node(text):
        return text
    name, at, url = text[1:].partition("@")
    if at and url.startswith(("http://", "https://")) and re.fullmatch(_NPM_NAME, text[:1] + name):
        check_url(url, hosts)
        return text
    alias = _NPM_ALIAS.fullmatch(text)
    match = _NPM.fullmatch(alias[2] if alias else text)
    if match is None or text.startswith("-") or match[1].startswith("-") or _NPM_FILE.search(text):
        raise ValueError("is not a package of npm's with a range of versions")
    return text


def _system(text: str, hosts: frozenset[str]) -> str:
    del hosts
    # apt-get takes "name-" for the wish to remove it
    if not _SYSTEM.fullmatch(text) or text.partition("=")[0].endswith("-"):
        raise ValueError("is not a name of a system package")
    return text


def _word(text: str, hosts: frozenset[str]) -> str:
    del hosts
    if not _WORD.fullmatch(text) or "://" in text or "../" in text:
        raise ValueError("is not a name of a package")
    return text


_CHECKS: dict[Kind, Callable[[str, frozenset[str]], str]] = {
    "pip": _pip,
    "npm": _npm,
    "system": _system,
    "words": _word,
}
_HINTS: dict[Kind, str] = {
    "pip": "give a name such as 'numpy', 'numpy>=2,<3' or 'requests[socks]; python_version > \"3.8\"'; "
    "paths and options are not taken, URLs only of EngineConfig.allowed_index_hosts",
    "npm": "give a name such as 'lodash', 'lodash@^4', '@scope/name@1.2' or 'other@npm:lodash@^4'; paths, "
    "repositories and options are not taken, URLs only of EngineConfig.allowed_index_hosts",
    "system": "give a name such as 'jq' or 'jq=1.6-2.1'",
    "words": "give a name as the language's installer takes it; URLs, paths and options are not taken",
}


def package_name(kind: Kind, specifier: str) -> str:
    """Return the package that a normalised specifier is about."""
    if kind == "pip":
        from packaging.requirements import Requirement  # noqa: PLC0415 - as above

        return Requirement(without_hashes(specifier)).name
    if kind == "npm":
        return specifier[0] + specifier[1:].partition("@")[0]  # a scope begins with one, too
    return re.split("[=:@]", specifier, maxsplit=1)[0]


def normalise(
    kind: Kind, specifiers: Sequence[str], *, field: str = "dependencies", hosts: frozenset[str] = frozenset()
) -> tuple[str, ...]:
    """Return the packages, each written as all who mean the same write it, sorted, none twice.

    Args:
        kind: what they may look like.
        specifiers: the packages.
        field: where they were asked for.
        hosts: those that URLs may name.

    Raises:
        ConfigurationError: one is not a package, or there are too many.
    """
    if isinstance(specifiers, (str, bytes)):
        raise ConfigurationError(field, specifiers, "is one text", hint=f"give a list: [{specifiers!r}]")
    names: set[str] = set()
    for index, text in enumerate(specifiers):
        place = f"{field}[{index}]"
        if not isinstance(text, str):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise ConfigurationError(place, text, "is not a text", hint=_HINTS[kind])
        stripped = text.strip()
        if (
            len(without_hashes(stripped)) > _LONGEST
            or not stripped.isprintable()
            or stripped.startswith("-")
            or not stripped.isascii()
        ):
            raise ConfigurationError(place, text, "is not a name of a package", hint=_HINTS[kind])
        try:
            names.add(_CHECKS[kind](stripped, hosts))
        except ValueError as error:
            raise ConfigurationError(place, text, str(error), hint=_HINTS[kind]) from None
    return merge(names, field=field)


def merge(specifiers: Iterable[str], *, field: str = "dependencies") -> tuple[str, ...]:
    """Return normalised packages, and lines of a list, sorted, none twice.

    Raises:
        ConfigurationError: there are too many.
    """
    names = sorted(set(specifiers))
    if len(names) > _MOST or sum(len(without_hashes(name)) for name in names) > _ALTOGETHER:
        raise ConfigurationError(field, len(names), f"are too many packages: the most is {_MOST}")
    return tuple(names)


def add_packages(kind: Kind, asked: tuple[str, ...], own: tuple[str, ...], *, field: str) -> tuple[str, ...]:
    """Return what a run asks for with what a list asks for beside it; a package that both name is the run's.

    Args:
        kind: of both.
        asked: by the run, normalised.
        own: by the list, the same; options of pip's among it.
        field: the list's name.

    Raises:
        ConfigurationError: both together are too many.
    """
    named = {package_name(kind, package) for package in asked if not package.startswith("-")}
    added = [package for package in own if package.startswith("-") or package_name(kind, package) not in named]
    return merge((*asked, *added), field=field)
