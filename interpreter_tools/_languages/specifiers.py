"""What a package may be called: checked before anything is touched, and passed on as one argument, never to a shell.

Nothing that leads elsewhere than to the index or registry is taken: no URL, no path, no repository, no option.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Literal

from interpreter_tools._exceptions import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

Kind = Literal["pip", "npm", "system", "words"]

_MOST = 256  # packages of one run
_LONGEST = 512  # characters of one; all of them fit into one frame of the protocol
_ALTOGETHER = 32_768

_NPM_NAME = r"(?:@[a-z0-9~-][a-z0-9._~-]*/)?[A-Za-z0-9~-][A-Za-z0-9._~-]*"
_NPM = re.compile(rf"({_NPM_NAME})(?:@([A-Za-z0-9^~<>=*][\w.^~<>=*|+ -]*))?")
_NPM_ALIAS = re.compile(rf"({_NPM_NAME})@npm:(.+)")  # a package of another name
_NPM_FILE = re.compile(r"\.(?:tgz|tar|tar\.gz)$", re.IGNORECASE)  # npm takes it for one, whatever stands before it
_SYSTEM = re.compile(r"[a-z0-9][a-z0-9+._-]*(?:=[A-Za-z0-9.+:~_-]+)?")
_WORD = re.compile(r"[A-Za-z0-9@][\w@.+/~^<>=!:,-]*")


def _pip(text: str) -> str:
    from packaging.requirements import InvalidRequirement, Requirement  # noqa: PLC0415 - slow, and few runs need it
    from packaging.utils import canonicalize_name  # noqa: PLC0415

    try:
        requirement = Requirement(text)
    except InvalidRequirement as error:
        reason = str(error).splitlines()[0]
        raise ValueError(f"is not a requirement of Python's: {reason}") from None
    if requirement.url is not None:
        raise ValueError("is a URL")
    requirement.name = canonicalize_name(requirement.name)
    requirement.extras = {canonicalize_name(extra) for extra in requirement.extras}
    return str(requirement)


def _npm(text: str) -> str:
    alias = _NPM_ALIAS.fullmatch(text)
    match = _NPM.fullmatch(alias[2] if alias else text)
    if match is None or text.startswith("-") or match[1].startswith("-") or _NPM_FILE.search(text):
        raise ValueError("is not a package of npm's with a range of versions")
    return text


def _system(text: str) -> str:
    # apt-get takes "name-" for the wish to remove it
    if not _SYSTEM.fullmatch(text) or text.partition("=")[0].endswith("-"):
        raise ValueError("is not a name of a system package")
    return text


def _word(text: str) -> str:
    if not _WORD.fullmatch(text) or "://" in text or "../" in text:
        raise ValueError("is not a name of a package")
    return text


_CHECKS: dict[Kind, Callable[[str], str]] = {"pip": _pip, "npm": _npm, "system": _system, "words": _word}
_HINTS: dict[Kind, str] = {
    "pip": "give a name such as 'numpy', 'numpy>=2,<3' or 'requests[socks]; python_version > \"3.8\"'; "
    "URLs, paths and options are not taken",
    "npm": "give a name such as 'lodash', 'lodash@^4', '@scope/name@1.2' or 'other@npm:lodash@^4'; URLs, paths, "
    "repositories and options are not taken",
    "system": "give a name such as 'jq' or 'jq=1.6-2.1'",
    "words": "give a name as the language's installer takes it; URLs, paths and options are not taken",
}


def package_name(kind: Kind, specifier: str) -> str:
    """The package that a normalised specifier is about."""
    if kind == "pip":
        from packaging.requirements import Requirement  # noqa: PLC0415 - as above

        return Requirement(specifier).name
    if kind == "npm":
        return specifier[0] + specifier[1:].partition("@")[0]  # a scope begins with one, too
    return re.split("[=:@]", specifier, maxsplit=1)[0]


def normalise(kind: Kind, specifiers: Sequence[str], *, field: str = "dependencies") -> tuple[str, ...]:
    """The packages, each written as all who mean the same write it, sorted, none twice.

    Args:
        kind: what they may look like.
        specifiers: the packages.
        field: where they were asked for.

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
        if len(stripped) > _LONGEST or not stripped.isprintable() or stripped.startswith("-") or not stripped.isascii():
            raise ConfigurationError(place, text, "is not a name of a package", hint=_HINTS[kind])
        try:
            names.add(_CHECKS[kind](stripped))
        except ValueError as error:
            raise ConfigurationError(place, text, str(error), hint=_HINTS[kind]) from None
    if len(names) > _MOST or sum(map(len, names)) > _ALTOGETHER:
        raise ConfigurationError(field, len(names), f"are too many packages: the most is {_MOST}")
    return tuple(sorted(names))
