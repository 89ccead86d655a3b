"""Functions of the host that a program may call, and the record of each call."""

from __future__ import annotations

import inspect
import keyword
import types
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Literal, TypeAlias, cast, get_type_hints

import msgspec

from interpreter_tools._config.checks import check_seconds
from interpreter_tools._exceptions import ConfigurationError

CallOutcome: TypeAlias = Literal["ok", "error", "refused", "timeout", "cancelled"]
_MOST_TOOLS = 1000
VARIABLE = "INTERPRETER_TOOLS_CALLS"  # of a program that was given tools
_ANY = object()  # the annotation of a parameter that has none


class ToolCall(msgspec.Struct, frozen=True):
    """A call of a tool by a program.

    Attributes:
        name: the name of the tool.
        size: bytes of the arguments.
        duration: seconds until the call ended.
        outcome: ``ok``, ``error`` (the arguments do not fit, or the function raised), ``refused`` (by ``approve``, or
            by a limit on calls), ``timeout``, ``cancelled`` (the program or the run ended first).
    """

    name: str
    size: int
    duration: float
    outcome: CallOutcome


class ToolRequest(msgspec.Struct, frozen=True):
    """A call that ``approve`` decides about. All of it is the program's claim, but for the checked arguments.

    Attributes:
        name: the name of the tool.
        arguments: the arguments by the names of their parameters, checked.
        source_line: the line of the program that makes the call; empty when it is unknown.
    """

    name: str
    arguments: Mapping[str, object]
    source_line: str


Approve: TypeAlias = Callable[[ToolRequest], Awaitable[bool | Mapping[str, object]]]


class HostTool:
    """A function of this process that programs in a sandbox may call.

    Arguments come as JSON and bytes, and are checked against the function's annotations. A parameter without an
    annotation takes plain data. The function may be a coroutine function, an async generator, whose values the program
    takes one by one, or a plain function, which then runs in a thread.

    Attributes:
        function: the function.
        name: the name that programs call it by.
        description: the words that explain it to programs and models.
        approve: asked before each call; None means that all calls are allowed. It returns True, False, or a mapping
            of arguments that replace those of the call.
        timeout: seconds that a call may take; None means as long as the run lasts.
        max_calls: calls in one run; None means 10,000.

    Raises:
        ConfigurationError: the function cannot be called by programs, or a value cannot work.
    """

    def __init__(
        self,
        function: Callable[..., object],
        *,
        name: str | None = None,
        description: str | None = None,
        approve: Approve | None = None,
        timeout: float | None = None,
        max_calls: int | None = None,
    ) -> None:
        if not callable(function):
            raise ConfigurationError("tools", function, "is not a function", hint="give a function, or a HostTool")
        if approve is not None and not callable(approve):  # pyright: ignore[reportUnnecessaryComparison]
            hint = "give a function that takes a ToolRequest"
            raise ConfigurationError("tools.approve", approve, "is not a function", hint=hint)
        own = getattr(function, "__name__", "") if name is None else name
        if not own.isidentifier() or keyword.iskeyword(own) or own.startswith("_"):
            hint = "give it one: HostTool(function, name='search')"
            raise ConfigurationError("tools.name", own, "is not a name that a program can use", hint=hint)
        if max_calls is not None and max_calls < 1:
            raise ConfigurationError("tools.max_calls", max_calls, "is below 1", hint="None means 10,000 calls")
        try:
            self.signature = _signature(function)
            hints = _parameter_types(function)
        except (TypeError, ValueError, NameError) as error:
            raise ConfigurationError("tools", own, f"has a signature that cannot be read: {error}") from error
        self.function = function
        self.name = own
        self.description = inspect.cleandoc(description if description is not None else inspect.getdoc(function) or "")
        self.approve = approve
        self.timeout = check_seconds(timeout, field="tools.timeout")
        self.max_calls = max_calls
        self._hints = hints

    def __repr__(self) -> str:
        return f"<HostTool {self.name}{self.signature}>"

    @property
    def streams(self) -> bool:
        """True when the program takes its values one by one."""
        return inspect.isasyncgenfunction(self.function)

    def describe(self) -> dict[str, object]:
        """Return what a program is told of it, as plain data."""
        return {
            "name": self.name,
            "signature": str(self.signature),
            "parameters": [
                {"name": p.name, "kind": p.kind.name.lower(), "required": p.default is p.empty}
                for p in self.signature.parameters.values()
            ],
            "description": self.description,
            "streams": self.streams,
            "asks": self.approve is not None,
        }

    def bind(
        self, args: Sequence[object], kwargs: Mapping[str, object], *, strict: bool = True
    ) -> inspect.BoundArguments:
        """Return the arguments of a call, checked and converted.

        Args:
            args: the arguments by place.
            kwargs: the arguments by name.
            strict: False converts texts, as they come from a command line.

        Raises:
            TypeError: an argument is missing, unknown, or of a wrong type.
        """
        bound = self.signature.bind(*args, **kwargs)
        for name, value in bound.arguments.items():
            kind = self.signature.parameters[name].kind
            annotation: object = self._hints.get(name, _ANY)
            if annotation is _ANY:
                continue
            if kind is inspect.Parameter.VAR_POSITIONAL:
                values = cast("Iterable[object]", value)
                bound.arguments[name] = tuple(_convert(each, annotation, name, strict=strict) for each in values)
            elif kind is inspect.Parameter.VAR_KEYWORD:
                named = cast("Mapping[str, object]", value)
                bound.arguments[name] = {n: _convert(v, annotation, n, strict=strict) for n, v in named.items()}
            else:
                bound.arguments[name] = _convert(value, annotation, name, strict=strict)
        return bound


def _signature(function: Callable[..., object]) -> inspect.Signature:
    """Return the signature, with annotations as what they stand for and not in quotes, where that can be found."""
    try:
        return inspect.signature(function, eval_str=True)
    except (NameError, AttributeError, TypeError):  # a name that is imported for type checkers only
        return inspect.signature(function)


def _parameter_types(function: Callable[..., object]) -> dict[str, object]:
    """Return the types of parameters. That of the value may be one that only type checkers see."""
    routine = inspect.unwrap(function if inspect.isroutine(function) else type(function).__call__)
    own = {name: kind for name, kind in inspect.get_annotations(routine).items() if name != "return"}
    names = getattr(routine, "__globals__", {})
    return get_type_hints(types.SimpleNamespace(__annotations__=own), names)


def _convert(value: object, annotation: object, name: str, *, strict: bool) -> object:
    try:
        return msgspec.convert(value, cast("type[object]", annotation), strict=strict, builtin_types=(bytes,))
    except msgspec.ValidationError as error:
        raise TypeError(f"{name}: {error}") from None


ToolLike: TypeAlias = HostTool | Callable[..., object]


def check_tools(tools: Iterable[ToolLike]) -> dict[str, HostTool]:
    """Return tools by their names.

    Raises:
        ConfigurationError: one is no function, or two have the same name.
    """
    if isinstance(tools, (str, bytes, Mapping)) or not isinstance(tools, Iterable):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise ConfigurationError(
            "tools", cast("object", tools), "is not a list of functions", hint="give tools=[function, ...]"
        )
    found: dict[str, HostTool] = {}
    for each in tools:
        tool = each if isinstance(each, HostTool) else HostTool(each)
        if tool.name in found:
            hint = "give one of them another: HostTool(function, name=...)"
            raise ConfigurationError("tools", tool.name, "is the name of two tools", hint=hint)
        found[tool.name] = tool
    if len(found) > _MOST_TOOLS:
        raise ConfigurationError("tools", len(found), f"are more than {_MOST_TOOLS}")
    return found
