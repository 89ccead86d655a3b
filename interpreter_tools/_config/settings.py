"""Settings from TOML files and from environment variables, as one tree of plain data, and that tree as a Struct.

A name that is no setting is refused, with the field's path: a misspelt limit must not become no limit.
"""

from __future__ import annotations

import difflib
import tomllib
import warnings
from collections.abc import Mapping
from pathlib import Path
from types import NoneType
from typing import TYPE_CHECKING, TypeVar, cast, get_args, get_origin

import msgspec

from interpreter_tools._config.fields import kinds_of, members_of, take
from interpreter_tools._exceptions import ConfigurationError

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence

PREFIX = "INTERPRETER_TOOLS_"
FILE_VARIABLE = f"{PREFIX}CONFIG"

_FILE = "interpreter-tools.toml"
_USER_FILE = ("interpreter-tools", "config.toml")
_OTHERS = ("CONFIG", "MODEL", "REGISTRY")  # variables that other parts of the package read
_FAMILIES = ("IMAGE_", "CC_")  # the same, one for each language or processor

T = TypeVar("T", bound=msgspec.Struct)


# What the file of the current directory may set: whoever made that directory, perhaps in a repository that was cloned,
# must not decide what a sandbox sees, which engine gets the code, or where packages and images come from.
_HARMLESS = frozenset(
    {"container", "pool", "prewarm", "timeout", "output_limit", "max_sessions", "compile_timeout", "dependency_timeout"}
)
_HARMLESS_IN_CONTAINER = frozenset(
    {"environment", "memory_limit", "cpu_limit", "pids_limit", "workspace_size", "tmp_size", "working_dir"}
)


class SettingsIgnored(UserWarning):
    """Settings of ``interpreter-tools.toml`` in the current directory were left out, as nobody named that file.

    Attributes:
        file: the file.
        fields: the paths of its settings that were left out, such as ``container.mounts``.
    """

    def __init__(self, file: Path, fields: Sequence[str]) -> None:
        super().__init__(file, tuple(fields))
        self.file = file
        self.fields = tuple(fields)

    def __str__(self) -> str:
        return (
            f"{self.file} of the current directory: ignored {', '.join(self.fields)}, which only a file that you name "
            f"may set. If you trust that file, name it: {FILE_VARIABLE}={self.file}, --config {self.file}, or "
            f"EngineConfig.load({str(self.file)!r})"
        )


def read_settings(
    path: str | os.PathLike[str] | None, environ: Mapping[str, str], kind: type[msgspec.Struct]
) -> dict[str, object]:
    """Return the settings of the file that is named, or else those of the user's file and of the current directory.

    The file of the current directory sets limits and sizes over the user's file. Its other settings are left out, with
    a ``SettingsIgnored`` warning.

    Args:
        path: the file that the caller names; None means that of ``INTERPRETER_TOOLS_CONFIG``.
        environ: may hold ``INTERPRETER_TOOLS_CONFIG``, ``XDG_CONFIG_HOME`` and ``HOME``.
        kind: what the tree is to become; tells which names are settings.

    Raises:
        ConfigurationError: a file that was named is not there, or a file is not TOML.
    """
    named = path if path is not None else environ.get(FILE_VARIABLE)
    if named:
        return _read_file(Path(named))
    users, here = _users_file(environ), Path(_FILE)
    settings = _read_file(users) if users is not None and users.is_file() else {}
    if here.is_file():
        harmless, ignored = _split(_read_file(here), kind)
        settings = _over(settings, harmless)
        if ignored:
            warnings.warn(SettingsIgnored(here, ignored), stacklevel=3)
    return settings


def _users_file(environ: Mapping[str, str]) -> Path | None:
    directory = environ.get("XDG_CONFIG_HOME", "")
    if Path(directory).is_absolute():  # the specification of base directories says to ignore any other
        return Path(directory, *_USER_FILE)
    return Path(environ["HOME"], ".config", *_USER_FILE) if environ.get("HOME") else None


def _split(settings: Mapping[str, object], kind: type[msgspec.Struct]) -> tuple[dict[str, object], list[str]]:
    """Return the settings that the current directory may set, and the paths of the others.

    Names that are no setting stay, to be refused: a misspelt limit must not be ignored.
    """
    kinds, inner_kinds = kinds_of(kind), kinds_of(members_of(kinds_of(kind)["container"])[0])
    harmless: dict[str, object] = {}
    ignored: list[str] = []
    for name, value in settings.items():
        if name == "container" and isinstance(value, dict):
            table = cast("dict[str, object]", value)
            left_out = [key for key in table if key in inner_kinds and key not in _HARMLESS_IN_CONTAINER]
            harmless[name] = {key: item for key, item in table.items() if key not in left_out}
            ignored += [f"{name}.{key}" for key in left_out]
        elif name in kinds and name not in _HARMLESS:
            ignored.append(name)
        else:
            harmless[name] = value
    return harmless, ignored


def _over(below: Mapping[str, object], above: Mapping[str, object]) -> dict[str, object]:
    """Return one tree of two; where both say something, the second holds."""
    merged = dict(below)
    for name, value in above.items():
        old = merged.get(name)
        if isinstance(old, dict) and isinstance(value, dict):
            merged[name] = _over(cast("dict[str, object]", old), cast("dict[str, object]", value))
        else:
            merged[name] = value
    return merged


def _read_file(path: Path) -> dict[str, object]:
    """Return what a TOML file holds.

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
    """Return the settings with those of ``INTERPRETER_TOOLS_<PATH>`` over them; ``__`` stands for the dot of a path.

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
    """Return a Struct of a tree.

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
    """Put a value at the place that a variable's name means; keys of a dictionary keep their letters."""
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
    """Return a value as a field's type has it."""
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
    """Return a text that stands for several values: JSON, or words between commas."""
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
