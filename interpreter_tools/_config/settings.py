"""Settings from a TOML file and from environment variables, as one tree of plain data, and that tree as a Struct.

What it does not know it refuses, with the field's path: a misspelt limit must not become no limit.
"""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Mapping
from pathlib import Path
from types import NoneType
from typing import TYPE_CHECKING, TypeVar, get_args, get_origin

import msgspec

from interpreter_tools._config.fields import kinds_of, members_of, take
from interpreter_tools._exceptions import ConfigurationError

if TYPE_CHECKING:
    import os

PREFIX = "INTERPRETER_TOOLS_"
FILE_VARIABLE = f"{PREFIX}CONFIG"

_FILE = "interpreter-tools.toml"
_USER_FILE = ("interpreter-tools", "config.toml")
_OTHERS = ("CONFIG", "MODEL", "REGISTRY")  # variables that other parts of the package read
_FAMILIES = ("IMAGE_", "CC_")  # the same, one for each language or processor

T = TypeVar("T", bound=msgspec.Struct)


def find_file(path: str | os.PathLike[str] | None, environ: Mapping[str, str]) -> Path | None:
    """The settings file: the one that is named, by the caller or the environment, or the first usual one that exists.

    Args:
        path: the caller's choice.
        environ: may hold ``INTERPRETER_TOOLS_CONFIG``, ``XDG_CONFIG_HOME`` and ``HOME``.
    """
    if path is not None:
        return Path(path)
    if environ.get(FILE_VARIABLE):
        return Path(environ[FILE_VARIABLE])
    usual = [Path(_FILE)]
    if environ.get("XDG_CONFIG_HOME"):
        usual.append(Path(environ["XDG_CONFIG_HOME"], *_USER_FILE))
    elif environ.get("HOME"):
        usual.append(Path(environ["HOME"], ".config", *_USER_FILE))
    return next((file for file in usual if file.is_file()), None)


def read_file(path: Path) -> dict[str, object]:
    """What a TOML file holds.

    Raises:
        ConfigurationError: it is not there, or is not TOML; the error tells where.
    """
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise ConfigurationError("config", str(path), f"cannot be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigurationError("config", str(path), f"is not TOML: {error}") from error


def with_environment(settings: Mapping[str, object], environ: Mapping[str, str], kind: type[T]) -> dict[str, object]:
    """The settings with those of ``INTERPRETER_TOOLS_<PATH>`` over them, where ``__`` stands for the dot of a path.

    Args:
        settings: a tree.
        environ: the variables.
        kind: what the tree is to become; tells which names are its own.

    Raises:
        ConfigurationError: a variable names no setting.
    """
    result = dict(settings)
    for variable in sorted(environ):
        name = variable.removeprefix(PREFIX)
        if name == variable or name in _OTHERS or name.startswith(_FAMILIES):
            continue
        _put(result, name, _Text(environ[variable]), kind)
    return result


def build(settings: Mapping[str, object], kind: type[T], *, field: str = "") -> T:
    """A Struct of a tree.

    Args:
        settings: values by the names of the Struct's fields.
        kind: the Struct.
        field: the path of the tree itself; empty for the whole.

    Raises:
        ConfigurationError: a name or a type is wrong, or the Struct refuses a value; the error tells the path.
    """
    kinds = kinds_of(kind)
    values: dict[str, object] = {}
    for name, value in settings.items():
        where = f"{field}.{name}" if field else name
        if name not in kinds:
            raise _unknown(where, name, value, kinds)
        values[name] = _convert(value, kinds[name], where)
    missing = [item.name for item in msgspec.structs.fields(kind) if item.required and item.name not in values]
    if missing:
        raise ConfigurationError(f"{field}.{missing[0]}" if field else missing[0], None, "is missing")
    return kind(**values)


class _Text(str):
    """A value from the environment, where everything is text."""

    __slots__ = ()


def _put(tree: dict[str, object], name: str, value: _Text, kind: type[msgspec.Struct]) -> None:
    """Puts a value at the place that a variable's name tells; what is beneath a dictionary keeps its letters."""
    path: list[str] = []
    node: object = kind
    rest = name
    while rest and isinstance(node, type) and issubclass(node, msgspec.Struct):
        first, _, rest = rest.partition("__")
        path.append(first.lower())
        kinds = kinds_of(node)
        if path[-1] not in kinds:
            raise _unknown(".".join(path), path[-1], str(value), kinds, variable=PREFIX + name)
        node = kinds[path[-1]]
    if rest and get_origin(node) is dict:
        path.append(rest)
    elif rest:
        where = ".".join(path)
        raise ConfigurationError(f"{where}.{rest.lower()}", str(value), f"is not a setting: {where} holds one value")
    for number, step in enumerate(path[:-1], start=1):
        below = tree.get(step, {})
        if not isinstance(below, Mapping):
            where = ".".join(path[:number])
            hint = f"it is set as a whole, and {PREFIX}{name} sets a part of it: use one of the two"
            raise ConfigurationError(where, below, "is not a table", hint=hint)
        tree[step] = tree = dict(below)  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]
    tree[path[-1]] = value


def _convert(value: object, kind: object, field: str) -> object:
    """A value as a field's type has it."""
    members = members_of(kind)
    if isinstance(value, str) and NoneType in members and value.strip().lower() == "none":
        return None  # TOML and the environment have no word for it
    member = members[0]
    origin, arguments = get_origin(member), get_args(member)
    strict = not isinstance(value, _Text)
    if isinstance(value, _Text):
        value = _parse(value, origin, field)
    if isinstance(member, type) and issubclass(member, msgspec.Struct) and not isinstance(value, member):
        if not isinstance(value, Mapping):
            raise ConfigurationError(field, value, "is not a table")
        return build(value, member, field=field)  # pyright: ignore[reportUnknownArgumentType]
    if origin is tuple and isinstance(value, (list, tuple)):
        items: list[object] = list(value)  # pyright: ignore[reportUnknownArgumentType]
        return tuple(_convert(item, arguments[0], f"{field}[{number}]") for number, item in enumerate(items))
    return take(value, kind, field, strict=strict)


def _parse(text: str, origin: object, field: str) -> object:
    """A text that stands for several values: JSON, or words between commas."""
    if origin is not tuple and origin is not dict:
        return str(text)
    if origin is tuple and not text.lstrip().startswith("["):
        return [_Text(word.strip()) for word in text.split(",") if word.strip()]
    try:
        return msgspec.json.decode(str(text))
    except msgspec.DecodeError as error:
        raise ConfigurationError(field, str(text), f"is not JSON: {error}") from error


def _unknown(
    field: str, name: str, value: object, kinds: Mapping[str, object], *, variable: str = ""
) -> ConfigurationError:
    close = difflib.get_close_matches(name, kinds, n=1)
    hint = f"did you mean {close[0]!r}?" if close else f"known: {', '.join(sorted(kinds))}"
    return ConfigurationError(field, value, f"is not a setting{f', as {variable} says' if variable else ''}", hint=hint)
