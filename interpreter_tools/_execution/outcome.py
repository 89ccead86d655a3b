"""The results and errors of runs, made from the ends that the supervisor reports."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import msgspec

from interpreter_tools._config.paths import WORKSPACE, shown_path
from interpreter_tools._config.results import ExecutionResult
from interpreter_tools._exceptions import ConfigurationError, ContainerLost, FileRefused, InterpreterMissing
from interpreter_tools._languages import LanguageRegistry
from interpreter_tools._languages.known import system_packages
from interpreter_tools._protocol.constants import Ended, Why

if TYPE_CHECKING:
    from interpreter_tools._config.host_tools import ToolCall
    from interpreter_tools._config.results import Outcome
    from interpreter_tools._container.boxes import Isolation
    from interpreter_tools._container.file_list import FileList
    from interpreter_tools._exceptions import InterpreterToolsError
    from interpreter_tools._execution.collecting import Collected
    from interpreter_tools._execution.displays import Displays
    from interpreter_tools._execution.installing import Installed
    from interpreter_tools._execution.output import OutputBuffer
    from interpreter_tools._protocol import Exited, Refused

_OUTCOMES: dict[Ended, Outcome] = {
    Ended.TIMEOUT: "timeout",
    Ended.OUTPUT_LIMIT: "output_limit",
    Ended.KILLED: "killed",
}


class Prepared(msgspec.Struct, kw_only=True):
    """The decisions about a run's packages; the result of the run has them.

    Attributes:
        dependencies: packages of the language.
        system_dependencies: packages of the distribution.
        notes: sentences about options that were not followed.
    """

    dependencies: tuple[str, ...] = ()
    system_dependencies: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def tell(self, result: ExecutionResult) -> ExecutionResult:
        """Return a result with these decisions."""
        if not (self.dependencies or self.system_dependencies or self.notes):
            return result
        return msgspec.structs.replace(
            result,
            dependencies=self.dependencies,
            system_dependencies=self.system_dependencies,
            notes=self.notes,
        )


def ran(
    exited: Exited,
    output: OutputBuffer,
    displays: Displays,
    files: FileList,
    session_files: tuple[str, ...],
    *,
    collected: Collected,
    dependency_time: float,
    compile_time: float,
    isolation: Isolation | None,
    tool_calls: tuple[ToolCall, ...] = (),
) -> ExecutionResult:
    """Return the result of a program that ran, with any end."""
    outcome = _OUTCOMES.get(exited.ended)
    if outcome is None:
        outcome = "ok" if exited.exit_code == 0 else "oom" if exited.oom_kills else "error"
    return ExecutionResult(
        stdout=output.text("stdout"),
        stderr=output.text("stderr"),
        dependency_stdout=output.text("dependency_stdout"),
        dependency_stderr=output.text("dependency_stderr"),
        dependency_time=dependency_time,
        compile_stdout=output.text("compile_stdout"),
        compile_stderr=output.text("compile_stderr"),
        compile_time=compile_time,
        exit_code=exited.exit_code if exited.exit_code >= 0 else 128 + exited.signal,
        signal=exited.signal or None,
        outcome=outcome,
        execution_time=exited.wall_us / 1e6,
        cpu_time=exited.cpu_us / 1e6,
        peak_memory=exited.peak_memory,
        oom_kills=exited.oom_kills,
        truncated=outcome == "output_limit" or not output.captures,
        generated_files=files.names(),
        generated_files_partial=files.partial,
        session_generated_files=session_files,
        files=collected.files,
        files_partial=collected.partial,
        workspace_dir=WORKSPACE,
        results=tuple(displays.results),
        results_truncated=displays.truncated,
        tool_calls=tool_calls,
        isolation=isolation,
    )


def not_compiled(
    exited: Exited, output: OutputBuffer, *, refused: Refused | None, timeout: float, dependency_time: float
) -> ExecutionResult:
    """Return the result of code that its compiler refused, that took too long to compile, or that is no program.

    Args:
        exited: how the compiler ended.
        output: what it wrote.
        refused: why what it made could not be started; None means that it was not tried.
        timeout: seconds that it had.
        dependency_time: seconds that the packages took.
    """
    stderr = output.text("compile_stderr")
    if refused is not None:
        stderr += f"interpreter-tools: the compiler made no program that can be started: {os.strerror(refused.errno)}\n"
    if exited.ended is Ended.TIMEOUT:
        stderr += f"interpreter-tools: the compiler was stopped after {timeout:g} s (compile_timeout)\n"
    elif exited.oom_kills:
        stderr += "interpreter-tools: the compiler needed more memory than memory_limit\n"
    return ExecutionResult(
        stdout="",
        stderr="",
        dependency_stdout=output.text("dependency_stdout"),
        dependency_stderr=output.text("dependency_stderr"),
        compile_stdout=output.text("compile_stdout"),
        compile_stderr=stderr,
        exit_code=(exited.exit_code if exited.exit_code >= 0 else 128 + exited.signal) or 1,
        signal=exited.signal or None,
        outcome="killed" if exited.ended is Ended.KILLED else "compile_error",
        execution_time=0.0,
        dependency_time=dependency_time,
        compile_time=exited.wall_us / 1e6,
        compile_timed_out=exited.ended is Ended.TIMEOUT,
        cpu_time=exited.cpu_us / 1e6,
        peak_memory=exited.peak_memory,
        truncated=exited.ended is Ended.OUTPUT_LIMIT or not output.captures,
        workspace_dir=WORKSPACE,
    )


def not_run(failure: Installed, output: OutputBuffer, *, dependency_time: float) -> ExecutionResult:
    """Return the result of code that did not run, because its packages could not be installed."""
    return ExecutionResult(
        stdout="",
        stderr="",
        dependency_stdout=output.text("dependency_stdout"),
        dependency_stderr=output.text("dependency_stderr"),
        exit_code=failure.exit_code,
        signal=failure.signal,
        outcome=failure.outcome,
        execution_time=0.0,
        dependency_time=dependency_time,
        cpu_time=0.0,
        peak_memory=0,
        truncated=not output.captures,
        workspace_dir=WORKSPACE,
    )


def refusal(refused: Refused, *, program: str, image: str) -> InterpreterToolsError:
    """Return the error for a program that was not started.

    Args:
        refused: the answer of the container.
        program: the program that was to be started.
        image: the image of the container.
    """
    subject, detail = shown_path(refused.subject), os.strerror(refused.errno)
    if refused.why is Why.PUT:
        return FileRefused(subject, refused.errno, detail)
    if refused.why is Why.CWD:
        return ConfigurationError("container.working_dir", subject, f"cannot be entered: {detail}")
    if refused.why is Why.PROGRAM:
        return _missing(program, image, detail)
    return ContainerLost(f"the container could not start another program: {detail}")


def _missing(program: str, image: str, detail: str) -> InterpreterMissing:
    language = None if program == "sh" else LanguageRegistry.run_by(program)  # sh is a part of many commands
    if language is not None and language.default_image == image:  # which lacks what it should have
        return InterpreterMissing(program.replace(":", " or "), image, detail)
    name = None if language is None else language.language
    return InterpreterMissing(program, image, detail, language=name, package=system_packages().get(program))
