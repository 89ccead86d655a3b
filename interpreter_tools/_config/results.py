"""The results of runs, and the state of engines, pools and sessions: plain data for callers."""

from __future__ import annotations

from collections import Counter
from datetime import datetime
from typing import TYPE_CHECKING, Literal, Self, TypeAlias, cast

import msgspec

from interpreter_tools._config.display import DisplayResult, ProgramError
from interpreter_tools._config.host_tools import ToolCall
from interpreter_tools._config.model import SessionConfig
from interpreter_tools._exceptions import InterpreterToolsError
from interpreter_tools._text import one_line

_SHOWN_CODE = 70  # characters of a cell that a history shows
_LAST_LINE = 500  # characters of a program's last line that an error repeats

if TYPE_CHECKING:
    from collections.abc import Iterator

Stream: TypeAlias = Literal[
    "stdout",
    "stderr",
    "dependency_stdout",
    "dependency_stderr",
    "compile_stdout",
    "compile_stderr",
    "display",
    "input",
    "clear",
]
DependencyStream: TypeAlias = Literal["dependency_stdout", "dependency_stderr"]
Outcome: TypeAlias = Literal[
    "ok", "error", "timeout", "oom", "output_limit", "killed", "dependency_error", "compile_error"
]


class _Plain(msgspec.Struct, frozen=True):
    """A result that can leave the process."""

    def to_dict(self) -> dict[str, object]:
        r"""Return the fields as plain data that every JSON library takes.

        Bytes of a file's name that are not UTF-8 become ``\\xff``, in four characters: JSON cannot hold them.
        """
        plain = _readable(msgspec.to_builtins(self))
        assert isinstance(plain, dict)
        return cast("dict[str, object]", plain)

    def to_json(self) -> bytes:
        """Return the fields as JSON, in UTF-8."""
        return msgspec.json.encode(self.to_dict())

    def __iter__(self) -> Iterator[tuple[str, object]]:
        """Yield the pairs of ``to_dict``: ``dict(result)`` is that, and web frameworks make JSON of it."""
        return iter(self.to_dict().items())

    @classmethod
    def __get_pydantic_core_schema__(cls, source: object, handler: object) -> dict[str, object]:
        """Let pydantic and FastAPI take it as a type; their schemas are plain data, so neither is imported."""

        def take(value: object) -> object:
            if not isinstance(value, cls):
                raise ValueError(f"is no {cls.__name__}")  # noqa: TRY004 - pydantic's word for what it refuses
            return value

        return {
            "type": "function-plain",
            "function": {"type": "no-info", "function": take},
            "serialization": {"type": "function-plain", "function": cls.to_dict, "is_field_serializer": False},
        }

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: object, handler: object) -> dict[str, object]:
        """Describe it in an OpenAPI document."""
        properties = {name: cast("dict[str, object]", {}) for name in cls.__struct_fields__}
        return {"type": "object", "title": cls.__name__, "properties": properties}


def _readable(value: object) -> object:
    if isinstance(value, str):
        return (
            value if value.isascii() else value.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
        )
    if isinstance(value, dict):
        return {key: _readable(item) for key, item in cast("dict[str, object]", value).items()}
    if isinstance(value, (list, tuple)):
        return [_readable(item) for item in cast("list[object]", value)]
    return value


class OutputChunk(msgspec.Struct, frozen=True):
    """A piece of output, in the order of arrival.

    Attributes:
        stream: the output that it belongs to.
        data: the bytes; never cut inside a UTF-8 character, if the program wrote UTF-8.
    """

    stream: Stream
    data: bytes

    @property
    def text(self) -> str:
        """The bytes as UTF-8; bytes that are not UTF-8 become U+FFFD."""
        return self.data.decode("utf-8", "replace")


class DisplayChunk(OutputChunk, frozen=True):
    """A result that a program has displayed, in its place among the output; ``data`` and ``text`` are its plain text.

    Attributes:
        result: the result that was displayed.
    """

    result: DisplayResult


class InputChunk(OutputChunk, frozen=True):
    """The question of a cell of ``notebook=True`` that waits for a line; ``data`` and ``text`` are its prompt.

    ``Cell.send_stdin`` answers it with a line and its end, ``Cell.close_stdin`` with the end of the input.

    Attributes:
        password: True when the answer is not to be shown.
    """

    password: bool


class ClearChunk(OutputChunk, frozen=True):
    """The wish of a cell of ``notebook=True`` that what it has shown so far be taken away; it has no text.

    Attributes:
        wait: True when that is to wait until there is something new to show.
    """

    wait: bool


class ExecutionResult(_Plain, frozen=True, kw_only=True):
    """The result of one run.

    Attributes:
        stdout: the program's standard output, as UTF-8 with replacement; empty when it was not captured.
        stderr: the program's standard error, in the same form.
        dependency_stdout: the standard output of the installer of dependencies.
        dependency_stderr: the standard error of the installer.
        compile_stdout: what the compiler wrote there, for languages that are compiled.
        compile_stderr: the same for its standard error: warnings, and what is wrong with the program.
        exit_code: 0 to 255; 128 + signal when a signal ended the program, as a shell reports it.
        signal: the number of the signal that ended the program, or None.
        outcome: ``ok`` (exit code 0), ``error`` (the program ended by itself in any other way), ``timeout``, ``oom``
            (the program failed, and the kernel killed a process for lack of memory), ``output_limit``, ``killed`` (by
            ``Execution.kill``), ``dependency_error`` and ``compile_error`` (the code did not run).
        execution_time: seconds of wall-clock time from the program's start to its end, measured in the container.
        dependency_time: seconds that installing dependencies took.
        compile_time: seconds that compiling took; 0 where the session had compiled the same text before.
        compile_timed_out: True when the compiler was stopped at ``compile_timeout``.
        cpu_time: seconds of processor time of the program and all that it started.
        oom_kills: processes that the kernel killed for lack of memory. A program that survives the loss of a child
            process can still end with ``ok``.
        peak_memory: bytes; the control group's peak where this run raised it, else the program's resident memory.
        truncated: True when output was cut at the output limit, or was not captured whole.
        generated_files: regular files that this run made or changed, relative to ``workspace_dir``, sorted.
        generated_files_partial: True when more files exist than were listed: over 100,000, too deep, or too slow to
            list.
        session_generated_files: regular files that all runs of the session so far made or changed.
        files: contents by path of the generated files that match the run's ``collect`` patterns.
        files_partial: True when a file that matches is missing: over 1,000 or 64 MiB in all, unreadable, not listed, or
            not read within 60 seconds.
        workspace_dir: the directory of the run's files, inside the container.
        results: the results that the program displayed, in order: at most 1,000 results and 64 MiB.
        results_truncated: True when the program displayed more, which was dropped.
        error: the exception that ended a cell; None for a cell that ended otherwise, and for runs.
        execution_count: the number that a cell has in its context, as ``In`` and ``Out`` have it; None for runs.
        dependencies: the packages that the run had: asked for, listed by its app or script, or found by
            ``auto_dependencies``.
        system_dependencies: the packages of the distribution that the run had.
        notes: one sentence for each option that was not followed, or followed otherwise, with the reason.
        tool_calls: the program's calls of ``tools``, in the order of their ends; the first 10,000 of them.
        isolation: what was around the program: ``sandbox`` (namespaces of its own inside a container), ``container``
            (a container of its own, or of its session), or ``reset`` (a container that ``POOL`` uses again after a
            verified reset); None when no program ran.
    """

    stdout: str
    stderr: str
    dependency_stdout: str = ""
    dependency_stderr: str = ""
    compile_stdout: str = ""
    compile_stderr: str = ""
    exit_code: int
    signal: int | None
    outcome: Outcome
    execution_time: float
    dependency_time: float = 0.0
    compile_time: float = 0.0
    compile_timed_out: bool = False
    cpu_time: float
    peak_memory: int
    oom_kills: int = 0
    truncated: bool = False
    generated_files: tuple[str, ...] = ()
    generated_files_partial: bool = False
    session_generated_files: tuple[str, ...] = ()
    files: dict[str, bytes] = {}
    files_partial: bool = False
    workspace_dir: str = "/workspace"
    results: tuple[DisplayResult, ...] = ()
    results_truncated: bool = False
    error: ProgramError | None = None
    execution_count: int | None = None
    dependencies: tuple[str, ...] = ()
    system_dependencies: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    tool_calls: tuple[ToolCall, ...] = ()
    isolation: Literal["container", "sandbox", "reset"] | None = None

    @property
    def text(self) -> str | None:
        """The plain text of the main result, which is that of a cell's last expression; None without one."""
        return next((result.text for result in self.results if result.is_main_result), None)

    @property
    def ok(self) -> bool:
        """True when the outcome is ``ok``: the program ended by itself, with exit code 0."""
        return self.outcome == "ok"

    def check(self) -> Self:
        """Return the result itself when the outcome is ``ok``.

        Raises:
            ExecutionFailed: the outcome is any other.
        """
        if self.outcome != "ok":
            raise ExecutionFailed(self)
        return self


class ExecutionFailed(InterpreterToolsError):
    """The user's code failed; raised by ``ExecutionResult.check`` only.

    Attributes:
        result: the result of the run.
    """

    def __init__(self, result: ExecutionResult) -> None:
        ended = f"signal {result.signal}" if result.signal else f"exit code {result.exit_code}"
        last = one_line(result.stderr.rstrip().rpartition("\n")[2].strip()[-_LAST_LINE:])
        last = f": {last}" if last else ""
        super().__init__(f"the code ended with outcome {result.outcome} ({ended}){last}")
        self.result = result


class ContainerMeta(msgspec.Struct, frozen=True, kw_only=True):
    """One container of a session, in use or gone.

    Attributes:
        session_id: the session that it belongs to.
        container_id: its id on the Docker engine.
        container_name: its name there.
        image_name: the image it was made from.
        workspace_dir: the directory of its files, inside the container.
        created_at: the time at which the session got it.
        last_executed_at: the time at which its last run began; None before the first.
        is_running: True while the session has it.
        deps_installed: True when its last run had dependencies.
        deps_checksum: a hash of these dependencies; None when there were none.
        baseline_files: files that were put into the workspace before a run, relative to it.
        generated_files: files that its last run made or changed.
        session_generated_files: files that all runs of the session so far made or changed.
    """

    session_id: str
    container_id: str
    container_name: str
    image_name: str
    workspace_dir: str
    created_at: datetime
    last_executed_at: datetime | None
    is_running: bool
    deps_installed: bool
    deps_checksum: str | None
    baseline_files: frozenset[str]
    generated_files: frozenset[str]
    session_generated_files: frozenset[str]


class Checkpoint(_Plain, frozen=True, kw_only=True):
    """The variables and files of a context at one moment, for ``Context.rewind``.

    Attributes:
        checkpoint_id: its id.
        context_id: the id of its context.
        number: the number of its entry in ``Context.history``.
        file_bytes: bytes of files that were copied for it; what has not changed since the checkpoint before was not.
        dropped: the ids of the checkpoints that went for lack of room since the checkpoint before.
    """

    checkpoint_id: str
    context_id: str
    number: int
    file_bytes: int
    dropped: tuple[str, ...] = ()


HistoryKind = Literal["start", "cell", "checkpoint"]


class HistoryEntry(_Plain, frozen=True, kw_only=True):
    """One step of a context.

    Attributes:
        number: its number, in the order of time.
        kind: ``start`` (of a process), ``cell`` or ``checkpoint``.
        parent: the number of the step before it; None for a start, or where that is forgotten.
        code: the code of a cell.
        outcome: how a cell ended; None while it runs, or where that was not told.
        checkpoint_id: the id of a checkpoint.
        is_held: True for a checkpoint that can be gone back to.
        is_on_line: True when the context has come by it: it was not gone back beyond.
        is_current: True for the last step that still counts.
    """

    number: int
    kind: HistoryKind
    parent: int | None
    code: str
    outcome: Outcome | None
    checkpoint_id: str | None
    is_held: bool
    is_on_line: bool
    is_current: bool


class History(_Plain, frozen=True, kw_only=True):
    """The cells and checkpoints of a context, as a tree; its text draws it.

    Attributes:
        entries: all steps, in the order of time; each knows its parent.
    """

    entries: tuple[HistoryEntry, ...]

    def __str__(self) -> str:
        children: dict[int | None, list[HistoryEntry]] = {}
        for entry in self.entries:
            children.setdefault(entry.parent, []).append(entry)
        lines: list[str] = []
        todo = [(entry, "") for entry in reversed(children.get(None, []))]
        while todo:
            entry, indent = todo.pop()
            what = {"start": "start", "checkpoint": f"checkpoint {entry.checkpoint_id}"}.get(entry.kind)
            mark = "*" if entry.is_current else "|" if entry.is_on_line else " "
            lines.append(f"{mark} {indent}{entry.number} {what or one_line(entry.code)[:_SHOWN_CODE]}")
            below = children.get(entry.number, [])
            todo.extend((child, indent + "  " * (len(below) > 1)) for child in reversed(below))
        return "\n".join(lines)


class ContextInfo(_Plain, frozen=True, kw_only=True):
    """The state of a context at the time of the call.

    Attributes:
        context_id: the id of the context, for ``engine.run_cell``.
        name: its name in its session.
        language: the language of its cells.
        state: ``new`` (its process was not started), ``idle``, ``busy``, ``dead`` or ``closed``.
        cells: how many cells it has begun.
    """

    context_id: str
    name: str
    language: str
    state: str
    cells: int


class Completion(_Plain, frozen=True, kw_only=True):
    """The texts that may follow at a place of some code.

    Attributes:
        matches: texts that may replace the code between ``start`` and ``end``.
        start: the first character that a match replaces.
        end: the character behind the last one that a match replaces.
    """

    matches: tuple[str, ...]
    start: int
    end: int


class Completeness(_Plain, frozen=True, kw_only=True):
    """The completeness of some code: it can run as it is, or goes on.

    Attributes:
        status: ``complete``, ``incomplete``, ``invalid``, or ``unknown`` where the language cannot tell.
        indent: white space that the next line begins with, when it is incomplete.
    """

    status: Literal["complete", "incomplete", "invalid", "unknown"]
    indent: str = ""


class Inspected(_Plain, frozen=True, kw_only=True):
    """The description of a name in a context.

    Attributes:
        found: True when the name means something.
        data: what it is, by MIME type.
    """

    found: bool
    data: dict[str, str]

    @property
    def text(self) -> str:
        """The description as plain text; empty without one."""
        return self.data.get("text/plain", "")


class SessionInfo(msgspec.Struct, frozen=True, kw_only=True):
    """The state of a session at the time of the call.

    Attributes:
        session_id: the id of the session.
        config: the configuration that it was made with.
        current_container: the container that holds its files; None when there is none.
        container_history: every container so far, the last 1000 of them, oldest first.
        created_at: the time at which it was made.
        last_executed_at: the time at which its last run began; None before the first.
        is_active: False once clean-up has begun.
        contexts: the contexts of the session, oldest first.
    """

    session_id: str
    config: SessionConfig
    current_container: ContainerMeta | None
    container_history: tuple[ContainerMeta, ...]
    created_at: datetime
    last_executed_at: datetime | None
    is_active: bool
    contexts: tuple[ContextInfo, ...] = ()

    @property
    def keeps_files(self) -> bool:
        """True when the files that a run made are there for the next run, in any language.

        False for ``PER_EXECUTION`` and ``POOL`` sessions that are not shared. Each of their runs begins with the files
        that the caller wrote; the files of the last run can be read until the next one.
        """
        return self.config.keeps_files


class _Counts(_Plain, frozen=True, kw_only=True):
    """The counts of one pool, or of all together, since the engine's start."""

    idle: int
    busy: int
    starting: int
    waiting: int
    hits: int
    misses: int
    refills: int
    discards: dict[str, int]


class PoolStats(_Counts, frozen=True, kw_only=True):
    """One pool, counted since the engine's start.

    Attributes:
        shape: a short name of the containers in the pool.
        idle: containers that wait for a run, with a booted interpreter.
        busy: containers that have a run.
        starting: containers that are being started.
        waiting: callers that wait for a container.
        hits: leases that found an idle container.
        misses: leases that had to wait for a container.
        refills: containers started.
        discards: containers expired or terminated, by cause. ``reset: ...``: the last run has left something.
            ``mount``: a file that is mounted was replaced on the host.
        left_out: modules of ``ContainerConfig.preload`` that the last container did not import, each with the reason.
        isolation: what is around a program in the last container, see ``ExecutionResult``; None before the first.
    """

    shape: str
    left_out: tuple[str, ...] = ()
    isolation: Literal["container", "sandbox", "reset"] | None = None


class EngineStats(_Counts, frozen=True, kw_only=True):
    """``engine.stats()``: every pool, and the sums of their counts, which have the names that they have there.

    Attributes:
        pools: the numbers of each pool; there is one pool for each shape.
        background_failures: background tasks that ended with an unexpected exception; the log has each exception.
    """

    pools: tuple[PoolStats, ...]
    background_failures: int = 0

    @classmethod
    def of(cls, pools: tuple[PoolStats, ...], *, background_failures: int) -> Self:
        """Return the numbers of an engine's pools with their sums."""
        sums: dict[str, int] = {name: 0 for name in _Counts.__struct_fields__ if name != "discards"}
        discards: Counter[str] = Counter()
        for pool in pools:
            discards.update(pool.discards)
            for name in sums:
                sums[name] += getattr(pool, name)
        return cls(pools=pools, background_failures=background_failures, discards=dict(discards), **sums)
