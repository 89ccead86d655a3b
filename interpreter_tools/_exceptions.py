"""The errors of this library, split by whose fault they are.

InterpreterToolsError
├── UsageError              the caller's: the same call fails again until it is changed
│   ├── ConfigurationError  a field holds a value that cannot work
│   │   └── UnknownField    a configuration has no field of that name
│   ├── UnknownLanguage     no such language is registered
│   ├── InvalidPath         a path that does not lie beneath the workspace
│   ├── InvalidArguments    what a model gave the tool cannot be understood
│   ├── UnknownOutput       the tool does not hold that output, or no longer
│   ├── EngineClosed        the engine was not started, or was closed
│   ├── PoolClosed          a pool was closed while a caller waited
│   ├── UnknownSession      no session of that name: never made, cleaned up, or expired
│   ├── SessionExists       a session of that name is there already, and is not to be used again
│   ├── SessionClosed       the session was cleaned up
│   ├── SessionBusy         something runs in the session, and the caller did not want to wait
│   ├── TooManySessions     the engine holds as many sessions as it may
│   ├── UnknownContext      no context of that id: never made, closed, or ended with its session
│   ├── ContextClosed       the context was closed
│   ├── CheckpointRefused   something is in the way of a checkpoint, a rewind or a fork; nothing has changed
│   ├── CheckpointGone      the checkpoint is not held any more
│   ├── EngineMisused       used from another event loop or process than the one that started it
│   ├── ExecutionClosed     the execution was left or has ended
│   └── ContainerBusy       two tasks use one container at the same time
├── MachineError            this machine lacks something: `interpreter-tools doctor` finds out what
│   ├── DockerUnavailable   no Docker engine answers
│   ├── DockerApiError      the Docker engine refused
│   ├── ImageMissing        an image is not there
│   ├── NetworkMissing      a Docker network is not there
│   ├── InterpreterMissing  an image does not hold the program that the language needs
│   ├── ArchitectureMismatch  an image is for another kind of processor
│   ├── SandboxUnavailable  the Docker host allows no sandboxes inside of a container
│   └── StoreFailed         the dependency store is full or read-only
├── ContainerStartFailed    a container was made but did not come to life
├── ContainerLost           a container went away while it was in use
├── ContextDied             the process of a context has ended, and its variables with it
├── ProtocolError           a container's supervisor broke the protocol; it cannot be trusted any more
├── InternalError           this library has a fault
├── PoolTimeout             no container became free within the wait limit
├── FileRefused             a file could not be written into, or read from, the workspace
└── ExecutionFailed         raised by ``ExecutionResult.check`` only: the user's code failed

A failure of user code is a result, never an exception. A failure of the infrastructure is an exception, never a made-up
result.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, ClassVar, TypeVar

from interpreter_tools._text import one_line

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

E = TypeVar("E", bound="InterpreterToolsError")

_CODE = re.compile(r"[\n(){}=;\"']|\w \w")  # what no name of a language holds
_SHOWN = 200  # characters of a wrong value that an error repeats


class InterpreterToolsError(Exception):
    """The root of all errors that this library raises.

    Every error survives ``pickle`` and ``copy`` with its fields, so that it crosses process pools and task queues; a
    field that cannot be pickled arrives as its ``repr``.

    Attributes:
        message: the failure, in one sentence.
        hint: the way out; empty when there is none to name.
    """

    _WAY_OUT: ClassVar[str] = ""
    """The hint of an error that is made without one."""

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint or self._WAY_OUT

    def __str__(self) -> str:
        return f"{self.message}\n  hint: {self.hint}" if self.hint else self.message

    def __reduce__(self) -> tuple[Callable[..., InterpreterToolsError], tuple[object, ...]]:
        # Without this, `pickle` calls the class with `args`, which is the message alone.
        return _restore, (type(self), self.args, {name: _portable(value) for name, value in self._fields().items()})

    def _fields(self) -> dict[str, object]:
        """Return the attributes that a copy needs."""
        return dict(vars(self))


def _restore(kind: type[E], args: tuple[object, ...], fields: Mapping[str, object]) -> E:
    error = kind.__new__(kind, *args)
    error.args = args
    for name, value in fields.items():
        setattr(error, name, value)
    return error


def _portable(value: object) -> object:
    if value is None or isinstance(value, (str, int, float, bytes)):
        return value
    import pickle  # noqa: PLC0415 - most errors cross no process

    try:
        pickle.dumps(value)
    except Exception:  # noqa: BLE001 - a foreign object may raise anything; the error itself must arrive
        return repr(value)
    return value


class UsageError(InterpreterToolsError):
    """The call cannot work as it was made, or its engine, session or execution was closed."""


class ConfigurationError(UsageError, ValueError):
    """A field holds a value that cannot work.

    Attributes:
        field: the field's path, for example ``container.memory_limit``.
        value: the value of the field.
        reason: the reason why the value cannot work.
    """

    def __init__(self, field: str, value: object, reason: str, *, hint: str = "") -> None:
        super().__init__(f"{one_line(field)}: {value!r} {reason}", hint=hint)
        self.field = field
        self.value = value
        self.reason = reason


class UnknownField(ConfigurationError, TypeError):
    """A configuration has no field of that name; a TypeError, too, as Python raises it for an unknown keyword."""


class UnknownLanguage(UsageError, LookupError):
    """No such language is registered.

    Attributes:
        language: the name that was asked for.
        known: the names that are registered.
    """

    def __init__(self, language: str, known: Sequence[str]) -> None:
        hint = "add it with LanguageRegistry.register(LanguageConfig(...)); examples/ruby.py shows how"
        shown = language if len(language) <= _SHOWN else f"{language[:_SHOWN]}…"
        import difflib  # noqa: PLC0415 - most languages are known

        if _CODE.search(language):  # run("print(1)")
            hint = f"the language comes first, then the code: run('python', {shown!r})"
        elif close := difflib.get_close_matches(language.strip().lower(), known, n=1):
            hint = f"did you mean {close[0]!r}? LanguageRegistry.register adds further languages"
        super().__init__(f"unknown language {shown!r}; known: {', '.join(known)}", hint=hint)
        self.language = language
        self.known = tuple(known)


class InvalidPath(UsageError, ValueError):
    """A path that does not lie beneath the workspace.

    Attributes:
        path: the path as it was given.
    """

    def __init__(self, path: object, reason: str) -> None:
        super().__init__(f"path {path!r} {reason}", hint="give a relative path such as 'data/in.json'")
        self.path = path


class InvalidArguments(UsageError, ValueError):
    """The arguments of a model's call cannot be understood; ``CodeExecutionTool.render_error`` is the answer to it.

    Attributes:
        field: the argument's name; empty when the error concerns all arguments.
        value: the value that was given.
        reason: the reason why the value cannot be used.
    """

    def __init__(self, field: str, value: object, reason: str, *, hint: str = "") -> None:
        shown = repr(value)
        if len(shown) > _SHOWN:
            shown = f"{shown[:_SHOWN]}…"
        super().__init__(f"{one_line(field) or 'arguments'}: {shown} {reason}", hint=hint)
        self.field = field
        self.value = value
        self.reason = reason


class UnknownOutput(UsageError, LookupError):
    """The tool holds no output of that id: the id is wrong, or newer outputs took its place.

    Attributes:
        output_id: the id that was asked for.
    """

    def __init__(self, output_id: str) -> None:
        super().__init__(
            f"there is no output {output_id!r}",
            hint="the tool keeps the outputs of the last runs only: run the code again to see its output",
        )
        self.output_id = output_id


class EngineClosed(UsageError):
    """The engine was not started, or was closed."""

    _WAY_OUT = "make another ExecutionEngine"


class PoolClosed(UsageError):
    """A pool was closed while a caller waited for a container."""

    _WAY_OUT = "make another ExecutionEngine"


class UnknownSession(UsageError, LookupError):
    """The engine has no session of that id.

    Attributes:
        session_id: the id that was asked for.
    """

    def __init__(self, session_id: str) -> None:
        super().__init__(
            f"there is no session {session_id!r}",
            hint="the session was cleaned up, or nobody used it for SessionConfig.idle_timeout seconds: make a new one "
            "with create_session",
        )
        self.session_id = session_id


class SessionExists(UsageError):
    """A session of that name is there already.

    Attributes:
        session_id: the id of the session.
    """

    def __init__(self, session_id: str, reason: str) -> None:
        super().__init__(
            f"the session {session_id!r} exists already {reason}", hint="clean up that session, or use another id"
        )
        self.session_id = session_id


class SessionClosed(UsageError):
    """The session was cleaned up."""

    _WAY_OUT = "make another session"


class SessionBusy(UsageError):
    """The session has a run or a file operation, and its configuration says not to wait."""


class TooManySessions(UsageError):
    """The engine holds ``EngineConfig.max_sessions`` sessions already."""


class UnknownContext(UsageError, LookupError):
    """The engine or session has no context of that id or name.

    Attributes:
        context_id: the id that was asked for.
    """

    def __init__(self, context_id: str) -> None:
        super().__init__(
            f"there is no context {context_id!r}",
            hint="the context was closed, or its session was cleaned up: make a new one with engine.context",
        )
        self.context_id = context_id


class ContextClosed(UsageError):
    """The context was closed."""

    _WAY_OUT = "make another context"


class CheckpointRefused(UsageError):
    """A checkpoint, rewind or fork of a context cannot be. Nothing has changed.

    Attributes:
        what: what is in the way, by name: ``thread 'asyncio_0'``.
    """

    def __init__(self, what: str, *, hint: str = "") -> None:
        super().__init__(f"refused, and nothing has changed: {what}", hint=hint)
        self.what = what


class CheckpointGone(UsageError, LookupError):
    """The context does not hold this checkpoint, or not any more.

    Attributes:
        checkpoint_id: the checkpoint that was asked for.
    """

    def __init__(self, checkpoint_id: str, why: str) -> None:
        hint = "context.checkpoints() returns those that are held"
        super().__init__(f"the checkpoint {checkpoint_id!r} is gone: {why}", hint=hint)
        self.checkpoint_id = checkpoint_id


class EngineMisused(UsageError):
    """The engine is used from another event loop or process than the one that started it."""


class ExecutionClosed(UsageError):
    """The execution was left or has ended, so it takes no further calls."""


class ContainerBusy(UsageError):
    """Two tasks use one container, or one execution's stream, at the same time."""


class MachineError(InterpreterToolsError):
    """The machine lacks a part that the run needs; `interpreter-tools doctor` finds out what."""


class DockerUnavailable(MachineError):
    """No Docker engine answers."""


class DockerApiError(MachineError):
    """The Docker engine refused a request.

    Attributes:
        operation: the request that the engine refused.
        status: the HTTP status; 0 when there was no answer.
        detail: the engine's own text; with status 0, "no answer" and the time that it had.
    """

    def __init__(self, operation: str, status: int, detail: str, *, hint: str = "") -> None:
        answer = f"the Docker engine answered {status}: {detail}" if status else f"the Docker engine gave {detail}"
        super().__init__(f"{operation}: {answer}", hint=hint)
        self.operation = operation
        self.status = status
        self.detail = detail


class ImageMissing(MachineError):
    """An image is not on the Docker host.

    Attributes:
        image: its name.
        command: the command that brings it.
    """

    def __init__(self, image: str) -> None:
        tagged = image if set(image) & set(":/@") else f"{image}:latest"
        self.command = f"interpreter-tools setup {tagged}"
        super().__init__(
            f"there is no image {image!r} on the Docker host",
            hint=f"run `{self.command}`, or name another image with ContainerConfig(image=...), "
            "EngineConfig(images={...}) or INTERPRETER_TOOLS_IMAGE_<LANGUAGE>",
        )
        self.image = image


class NetworkMissing(MachineError):
    """A network is not on the Docker host.

    Attributes:
        network: its name; empty when the engine did not tell it.
    """

    def __init__(self, network: str) -> None:
        super().__init__(
            f"there is no network {network!r} on the Docker host",
            hint=f"make it with `docker network create {network or 'NAME'}`, or let ContainerConfig.network be 'none'",
        )
        self.network = network


class InterpreterMissing(MachineError):
    """An image does not hold the program that the language needs.

    Attributes:
        program: the program that was looked for.
        image: the image it was looked for in.
        language: the language that is run by this program; None where there is none.
        package: the system's package that brings it; None where it is not known.
    """

    def __init__(
        self, program: str, image: str, detail: str, language: str | None = None, package: str | None = None
    ) -> None:
        if language is not None:
            hint = f"give language={language!r}, whose image has this program, or another image that has it"
        elif package is not None:
            hint = f"give system_dependencies=[{package!r}], which brings this program, or an image that has it"
        else:
            hint = (
                "use an image that has this program; where the first line of the code asks for it, name a program "
                "there that the image has; where a language of yours does, register it with such a program"
            )
        super().__init__(f"{program!r} cannot be started in the image {image!r}: {detail}", hint=hint)
        self.program = program
        self.image = image
        self.language = language
        self.package = package


class ArchitectureMismatch(MachineError):
    """An image is for another kind of processor than the Docker host's."""


class SandboxUnavailable(MachineError):
    """A container cannot have sandboxes of its own: the Docker host does not allow what they are made of.

    Attributes:
        step: the step that failed, such as ``"user"`` or ``"proc"``; empty when none was tried.
        errno: why it failed; 0 when none was tried.
    """

    def __init__(self, message: str, step: str = "", errno: int = 0, *, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.step = step
        self.errno = errno


class StoreFailed(MachineError):
    """The dependency store is full, cannot be written, or does not answer."""

    _WAY_OUT = "`interpreter-tools doctor` says what is wrong; `interpreter-tools deps prune` makes room"


class ContainerStartFailed(InterpreterToolsError):
    """A container was made but its supervisor did not come to life."""

    _WAY_OUT = "`interpreter-tools doctor` says what this machine lacks"


class ContainerLost(InterpreterToolsError):
    """A container went away while it was in use: killed, removed, or its Docker engine died."""

    _WAY_OUT = "run the code again: it gets another container; files that only the lost one held are gone"


class ContextDied(InterpreterToolsError):
    """The process of a context has ended, and its variables with it: it left, ran out of memory, or was killed."""

    def __init__(self, message: str) -> None:
        super().__init__(message, hint="await context.restart(), or make the context with on_death='restart'")


class ProtocolError(InterpreterToolsError):
    """A container's supervisor broke the protocol; the container is terminated."""

    _WAY_OUT = "run the code again: it gets another container"


class InternalError(InterpreterToolsError):
    """This library has a fault: ``__cause__`` is the exception that nobody expected."""


class PoolTimeout(InterpreterToolsError, TimeoutError):
    """No container became free within the wait limit.

    Attributes:
        waited: the limit in seconds.
    """

    def __init__(self, pool: str, waited: float, *, hint: str = "") -> None:
        super().__init__(
            f"no container of {pool} became free within {waited:g} s",
            hint=hint or "raise PoolConfig.max_size or PoolConfig.wait_timeout, or start fewer runs at the same time",
        )
        self.waited = waited


class FileRefused(InterpreterToolsError, OSError):
    """A file could not be written into, or read from, the workspace.

    Attributes:
        path: the file, relative to the workspace.
        errno: the kernel's error number inside the container.
        strerror: the meaning of that number, as text.
    """

    def __init__(self, path: str, errno: int, strerror: str, *, hint: str = "") -> None:
        InterpreterToolsError.__init__(self, f"{path!r}: {strerror}", hint=hint)
        self.path = path
        self.errno = errno
        self.strerror = strerror

    def _fields(self) -> dict[str, object]:
        return {**vars(self), "errno": self.errno, "strerror": self.strerror}  # OSError keeps these two elsewhere
