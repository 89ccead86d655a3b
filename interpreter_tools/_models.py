"""What callers get back."""

from __future__ import annotations

from typing import Literal, Self, TypeAlias

import msgspec

from interpreter_tools._exceptions import ExecutionFailed

Stream: TypeAlias = Literal["stdout", "stderr", "dependency_stdout", "dependency_stderr"]
DependencyStream: TypeAlias = Literal["dependency_stdout", "dependency_stderr"]
Outcome: TypeAlias = Literal["ok", "error", "timeout", "oom", "output_limit", "killed", "dependency_error"]


class OutputChunk(msgspec.Struct, frozen=True):
    """A piece of output, as it came.

    Attributes:
        stream: which output it belongs to.
        data: the bytes; never cut inside a UTF-8 character, as far as the program wrote UTF-8.
    """

    stream: Stream
    data: bytes

    @property
    def text(self) -> str:
        """The bytes as UTF-8; what is not UTF-8 becomes U+FFFD."""
        return self.data.decode("utf-8", "replace")


class ExecutionResult(msgspec.Struct, frozen=True, kw_only=True):
    """How one run went.

    Attributes:
        stdout: what the program wrote there, as UTF-8 with replacement; empty when it was not captured.
        stderr: the same for standard error.
        dependency_stdout: what the installer of dependencies wrote.
        dependency_stderr: the same for its standard error.
        exit_code: 0 to 255; 128 + signal when a signal ended the program, as a shell reports it.
        signal: the number of the signal that ended the program, or None.
        outcome: ``ok`` (exit code 0), ``error`` (any other end of its own), ``timeout``, ``oom``, ``output_limit``,
            ``killed`` (by ``Execution.kill``), ``dependency_error`` (the code did not run).
        execution_time: seconds of wall-clock time from the program's start to its end, measured in the container.
        dependency_time: seconds that installing dependencies took.
        cpu_time: seconds of processor time of the program and all that it started.
        peak_memory: bytes; the control group's peak where this run raised it, else the program's resident memory.
        truncated: output was cut, at the output limit or as it was not captured whole.
        generated_files: regular files that this run made or changed, relative to ``workspace_dir``, sorted.
        generated_files_partial: there are more than were listed: over 100,000, too deep, or too slow to list.
        session_generated_files: the same for all runs of the session so far.
        workspace_dir: where the run's files were, inside the container.
    """

    stdout: str
    stderr: str
    dependency_stdout: str = ""
    dependency_stderr: str = ""
    exit_code: int
    signal: int | None
    outcome: Outcome
    execution_time: float
    dependency_time: float = 0.0
    cpu_time: float
    peak_memory: int
    truncated: bool = False
    generated_files: tuple[str, ...] = ()
    generated_files_partial: bool = False
    session_generated_files: tuple[str, ...] = ()
    workspace_dir: str = "/workspace"

    def check(self) -> Self:
        """Returns itself when the outcome is ``ok``.

        Raises:
            ExecutionFailed: the outcome is any other.
        """
        if self.outcome != "ok":
            raise ExecutionFailed(self)
        return self


class PoolStats(msgspec.Struct, frozen=True, kw_only=True):
    """One pool, counted since the engine's start.

    Attributes:
        shape: a short name of the containers in it.
        idle: containers that wait, their interpreters booted.
        busy: containers in use.
        starting: containers on their way.
        waiting: callers that wait for one.
        hits: leases that found a container waiting.
        misses: leases that had to wait for one.
        refills: containers started.
        discards: containers given up, by cause.
    """

    shape: str
    idle: int
    busy: int
    starting: int
    waiting: int
    hits: int
    misses: int
    refills: int
    discards: dict[str, int]


class EngineStats(msgspec.Struct, frozen=True, kw_only=True):
    """``engine.stats()``: every pool, and the sums.

    Attributes:
        pools: one entry a shape.
        idle: containers that wait.
        busy: containers in use.
        starting: containers on their way.
        waiting: callers that wait.
        hits: leases that found a container waiting.
        misses: leases that had to wait.
        refills: containers started.
        discards: containers given up, by cause.
    """

    pools: tuple[PoolStats, ...]
    idle: int
    busy: int
    starting: int
    waiting: int
    hits: int
    misses: int
    refills: int
    discards: dict[str, int]
