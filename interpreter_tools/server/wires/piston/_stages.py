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


def compile_stage(result: ExecutionResult, output: str) -> Stage:
    refused = result.outcome in {"compile_error", "dependency_error"}
    return Stage(
        stdout=result.compile_stdout or result.dependency_stdout,
        stderr=result.compile_stderr or result.dependency_stderr,
        output=output,
        code=result.exit_code if refused else 0,
        signal=_name_of(result.signal) if refused else None,
        wall_time=result.compile_time * 1000,
    )


def run_stage(result: ExecutionResult, output: str) -> Stage:
    status, message = _STATUS.get(result.outcome, (None, None))
    code: int | None = result.exit_code
    name = _name_of(result.signal)
    if status is not None:
        code, name = None, "SIGKILL"
    elif result.signal:
        code, status, message = None, "SG", f"Caught fatal signal {result.signal}"
    elif result.exit_code:
        status, message = "RE", f"Exited with error status {result.exit_code}"
    if result.outcome == "oom":
        message = "Memory limit exceeded"
    return Stage(
        stdout=result.stdout,
        stderr=result.stderr,
        output=output,
        code=code,
        signal=name,
        message=message,
        status=status,
        cpu_time=result.cpu_time * 1000,
        wall_time=result.execution_time * 1000,
        memory=result.peak_memory,
    )


def _name_of(number: int | None) -> str | None:
    if not number:
        return None
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"SIG{number}"
