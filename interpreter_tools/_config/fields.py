"""Values as the annotations of their fields have them: one check for every Struct of the configuration."""

from __future__ import annotations

import difflib
import functools
from enum import Enum
from types import NoneType, UnionType
from typing import TYPE_CHECKING, Any, Literal, Union, cast, get_args, get_origin, get_type_hints

import msgspec

from interpreter_tools._exceptions import ConfigurationError, UnknownField

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


# What people call an option who know other tools.
_OTHER_NAMES = {
    **dict.fromkeys(("memory", "mem", "mem_limit", "max_memory"), "memory_limit"),
    **dict.fromkeys(("cpu", "cpus", "max_cpu", "cores"), "cpu_limit"),
    **dict.fromkeys(("pids", "processes", "max_processes"), "pids_limit"),
    **dict.fromkeys(("env", "envs", "environ", "env_vars", "variables"), "environment"),
    **dict.fromkeys(("cwd", "workdir", "work_dir", "directory"), "working_dir"),
    **dict.fromkeys(("volumes", "binds", "mount"), "mounts"),
    **dict.fromkeys(("packages", "deps", "requirements", "libraries"), "dependencies"),
    **dict.fromkeys(("time_limit", "timeout_seconds", "max_time"), "timeout"),
    **dict.fromkeys(("input", "input_data"), "stdin"),
    **dict.fromkeys(("arguments", "argv"), "args"),
    **dict.fromkeys(("max_output", "output_size"), "output_limit"),
}


def meant(name: str, known: Iterable[str]) -> str | None:
    """Return the name that was probably meant; None where none is near."""
    names = sorted(known)
    plain = name.strip().lower().replace("-", "_")
    other = _OTHER_NAMES.get(plain)
    return other if other in names else next(iter(difflib.get_close_matches(plain, names, n=1)), None)


def nearest(name: str, known: Iterable[str]) -> str:
    """Return a hint at the name that was probably meant: ``did you mean 'timeout'?``; else all names that there are."""
    names = sorted(known)
    close = meant(name, names)
    return f"did you mean {close!r}?" if close else f"known: {', '.join(names)}"


class ConfigMeta(msgspec.StructMeta):
    """Refuses a field that there is not with a hint at the right one, in place of a bare TypeError."""

    if not TYPE_CHECKING:  # type checkers see the Struct's own constructor

        def __call__(self, *args: object, **kwargs: object) -> object:
            for name, value in kwargs.items():
                if name not in self.__struct_fields__:
                    hint = right_place(self, name)
                    raise UnknownField(name, value, f"is not a field of {self.__name__}", hint=hint)
            return super().__call__(*args, **kwargs)


def right_place(struct: type[Any], name: str) -> str:
    """Return a hint at the field that was meant, also where it belongs to a part of the configuration."""
    plain = _OTHER_NAMES.get(name.strip().lower(), name)
    for field, kind in kinds_of(struct).items():
        part = members_of(kind)[0]
        if isinstance(part, type) and issubclass(part, msgspec.Struct) and plain in part.__struct_fields__:
            return f"give it to {part.__name__}: {struct.__name__}({field}={part.__name__}({plain}=...))"
    return nearest(name, struct.__struct_fields__)


@functools.cache
def kinds_of(struct: type[msgspec.Struct]) -> Mapping[str, Any]:
    """Return the annotation of each field of a Struct, by name."""
    return get_type_hints(struct)


def members_of(kind: object) -> tuple[Any, ...]:
    """Return the members of a union; a type that is no union is its only member."""
    return get_args(kind) if get_origin(kind) in {UnionType, Union} else (kind,)


def check_fields(struct: msgspec.Struct, path: str = "") -> None:
    """Give each field of a new Struct its annotated type: a list becomes a tuple, a text a member of its enum.

    Dictionaries are copied: what the caller changes later does not reach the Struct.

    Args:
        struct: one that is being made, from its ``__post_init__``.
        path: its own path in the configuration; empty for the whole.

    Raises:
        ConfigurationError: a value has another type; the error tells the field's path.
    """
    for name, kind, members in _plan(type(struct)):
        value = getattr(struct, name)
        if type(value) not in members:
            msgspec.structs.force_setattr(struct, name, take(value, kind, f"{path}.{name}" if path else name))


@functools.cache
def _plan(struct: type[msgspec.Struct]) -> tuple[tuple[str, object, tuple[Any, ...]], ...]:
    return tuple((name, kind, members_of(kind)) for name, kind in kinds_of(struct).items())


def take(value: object, kind: object, field: str, *, strict: bool = True) -> object:
    """Return a value as an annotation has it.

    Args:
        value: what was given.
        kind: the annotation.
        field: the path of its field.
        strict: False for texts of the environment, which may stand for numbers.

    Raises:
        ConfigurationError: it cannot be had like that.
    """
    members = members_of(kind)
    if type(value) in members:
        return value
    member = members[0]
    if is_enum(member) and get_origin(members[-1]) is Literal:  # msgspec tells no text of one from a text of the other
        if isinstance(value, str) and value in get_args(members[-1]):
            return value
        kind = member
    if get_origin(member) is tuple and isinstance(value, (list, tuple)):
        inner = get_args(member)[0]
        items = cast("tuple[object, ...]", tuple(value))  # pyright: ignore[reportUnknownArgumentType]
        return tuple(take(item, inner, f"{field}[{number}]") for number, item in enumerate(items))
    if isinstance(member, type) and issubclass(member, msgspec.Struct):  # not what could become one
        raise _wrong(value, members, field)
    try:
        return msgspec.convert(value, kind, strict=strict)
    except msgspec.ValidationError:
        raise _wrong(value, members, field) from None


def is_enum(kind: object) -> bool:
    """Return True for the class of an enum."""
    return isinstance(kind, type) and issubclass(kind, Enum)


def _wrong(value: object, members: tuple[Any, ...], field: str) -> ConfigurationError:
    member = members[0]
    origin, arguments = get_origin(member), get_args(member)
    if origin is Literal or is_enum(member):
        choices = arguments or tuple(choice.value for choice in cast("type[Enum]", member))
        choices += tuple(choice for other in members[1:] if get_origin(other) is Literal for choice in get_args(other))
        return ConfigurationError(field, value, "is not a choice", hint=f"known: {', '.join(map(repr, choices))}")
    if origin is tuple and type(value) in arguments:
        return ConfigurationError(field, value, "is one, and not several", hint=f"give a tuple: ({value!r},)")
    names = [_name(part) for part in members if part is not msgspec.UnsetType]
    return ConfigurationError(field, value, "has the wrong type", hint=f"give {' or '.join(names)}")


def _name(kind: Any) -> str:  # noqa: ANN401 - an annotation
    if kind is NoneType or kind is Ellipsis:
        return "None" if kind is NoneType else "..."
    inner = f"[{', '.join(map(_name, get_args(kind)))}]" if get_args(kind) else ""
    return f"{kind.__name__}{inner}"
