"""The end of a compiler and of a program, in Piston's words."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from interpreter_tools._config.results import ExecutionResult

_STATUS = {"timeout": ("TO", "Time limit exceeded"), "output_limit": ("OL", "output length exceeded")}


class Stage(msgspec.Struct, kw_only=True):
    """The end of a compiler or a program."""

    stdout: str
    stderr: str
    output: str
    code: int | None
    signal: str | None
    message: str | None = None
    status: str | None = None
    cpu_time: float | None = None
    wall_time: float | None = None
    memory: int | None = None


class _End(msgspec.Struct, frozen=True):
    """The end of a process, in Piston's words."""

    code: int | None
    signal: str | None
    status: str | None
    message: str | None


def compile_stage(result: ExecutionResult, output: str) -> Stage:
    """Return how the compiler ended.

    Args:
        result: the end of the run.
        output: what the compiler wrote to stdout and stderr, in the order in which it came.
    """
    end = _End(0, None, None, None)
    if result.outcome in {"compile_error", "dependency_error"}:
        end = _end(result, "timeout" if result.compile_timed_out else result.outcome)
    return Stage(
        stdout=result.compile_stdout or result.dependency_stdout,
        stderr=result.compile_stderr or result.dependency_stderr,
        output=output,
        code=end.code,
        signal=end.signal,
        message=end.message,
        status=end.status,
        wall_time=result.compile_time * 1000,
    )


def run_stage(result: ExecutionResult, output: str) -> Stage:
    """Return how the program ended.

    Args:
        result: the end of the run.
        output: what the program wrote to stdout and stderr, in the order in which it came.
    """
    end = _end(result, result.outcome)
    return Stage(
        stdout=result.stdout,
        stderr=result.stderr,
        output=output,
        code=end.code,
        signal=end.signal,
        message="Memory limit exceeded" if result.outcome == "oom" else end.message,
        status=end.status,
        cpu_time=result.cpu_time * 1000,
        wall_time=result.execution_time * 1000,
        memory=result.peak_memory,
    )


def _end(result: ExecutionResult, outcome: str) -> _End:
    if outcome in _STATUS:
        return _End(None, "SIGKILL", *_STATUS[outcome])
    if result.signal:
        return _End(None, _name_of(result.signal), "SG", f"Caught fatal signal {result.signal}")
    if result.exit_code:
        return _End(result.exit_code, None, "RE", f"Exited with error status {result.exit_code}")
    return _End(0, None, None, None)


def _name_of(number: int | None) -> str | None:
    if not number:
        return None
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"SIG{number}"
