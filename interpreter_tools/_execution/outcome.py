"""The results and errors of runs, made from what their supervisor reports."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import msgspec

from interpreter_tools._config.paths import WORKSPACE, shown_path
from interpreter_tools._config.results import ExecutionResult
from interpreter_tools._container.file_list import FileList
from interpreter_tools._exceptions import ConfigurationError, ContainerLost, FileRefused, InterpreterMissing
from interpreter_tools._execution.collecting import Collected
from interpreter_tools._execution.displays import Displays
from interpreter_tools._execution.output import OutputBuffer
from interpreter_tools._languages import LanguageRegistry
from interpreter_tools._languages.known import system_packages
from interpreter_tools._protocol.constants import Ended, Why

if TYPE_CHECKING:
    from collections.abc import Sequence

    from interpreter_tools._config.host_tools import ToolCall
    from interpreter_tools._config.patterns import Pattern
    from interpreter_tools._config.results import Outcome
    from interpreter_tools._container.boxes import Isolation
    from interpreter_tools._exceptions import InterpreterToolsError
    from interpreter_tools._execution.installing import Installed
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


class Findings:
    """The facts of a run, as far as they are known; its result is made from them.

    Attributes:
        output: the output of the program, of its compiler and of the installers.
        displays: the results that the program displayed.
        files: the files that the program made or changed.
        collected: the contents of those that were asked for.
        session_files: the files that all runs of the session have made or changed.
        tool_calls: the calls of the host's functions.
        isolation: what is around the program; None before it has a container.
        dependency_time: seconds that the packages took.
        failure: why no program ran, where that is a result: the end of an installation, or a kill before the start.
        compiled: the end of the compiler; None where nothing was compiled.
        compile_timeout: seconds that it had.
        no_program: why the program that it made was not started; None where it was, or was not tried.
        exited: the end of the program; None where none ran.
    """

    def __init__(self, *, capture: bool, collect: Sequence[Pattern]) -> None:
        self.output = OutputBuffer(capture=capture)
        self.displays = Displays()
        self.files = FileList()
        self.collected = Collected(collect)
        self.session_files: tuple[str, ...] = ()
        self.tool_calls: Sequence[ToolCall] = ()
        self.isolation: Isolation | None = None
        self.dependency_time = 0.0
        self.failure: Installed | None = None
        self.compiled: Exited | None = None
        self.compile_timeout = 0.0
        self.no_program: Refused | None = None
        self.exited: Exited | None = None

    def result(self) -> ExecutionResult:
        """Return the result of a run that has ended, unless with an error."""
        output, last = self.output, self.exited or self.compiled
        exit_code, signal, outcome = self._end()
        return ExecutionResult(
            stdout=output.text("stdout"),
            stderr=output.text("stderr"),
            dependency_stdout=output.text("dependency_stdout"),
            dependency_stderr=output.text("dependency_stderr"),
            dependency_time=self.dependency_time,
            compile_stdout=output.text("compile_stdout"),
            compile_stderr=output.text("compile_stderr") + self._words_on_compiler(),
            compile_time=0.0 if self.compiled is None else self.compiled.wall_us / 1e6,
            compile_timed_out=self.exited is None and last is not None and last.ended is Ended.TIMEOUT,
            exit_code=exit_code,
            signal=signal,
            outcome=outcome,
            execution_time=0.0 if self.exited is None else self.exited.wall_us / 1e6,
            cpu_time=0.0 if last is None else last.cpu_us / 1e6,
            peak_memory=0 if last is None else last.peak_memory,
            oom_kills=0 if last is None else last.oom_kills,
            truncated=not output.captures or (last is not None and last.ended is Ended.OUTPUT_LIMIT),
            generated_files=self.files.names(),
            generated_files_partial=self.files.partial,
            session_generated_files=self.session_files,
            files=self.collected.files,
            files_partial=self.collected.partial,
            workspace_dir=WORKSPACE,
            results=tuple(self.displays.results),
            results_truncated=self.displays.truncated,
            tool_calls=tuple(self.tool_calls),
            isolation=None if self.exited is None else self.isolation,
        )

    def _end(self) -> tuple[int, int | None, Outcome]:
        """Return exit code, signal and outcome."""
        exited, compiled, failure = self.exited, self.compiled, self.failure
        if exited is not None:
            outcome = _OUTCOMES.get(exited.ended)
            if outcome is None:
                outcome = "ok" if exited.exit_code == 0 else "oom" if exited.oom_kills else "error"
            return exited.status, exited.signal or None, outcome
        if failure is not None:
            return failure.exit_code, failure.signal, failure.outcome
        assert compiled is not None
        outcome = "killed" if compiled.ended is Ended.KILLED else "compile_error"
        return compiled.status or 1, compiled.signal or None, outcome

    def _words_on_compiler(self) -> str:
        """Return what we have to add to the messages of a compiler that made no program."""
        if self.compiled is None or self.exited is not None:
            return ""
        said = ""
        if self.no_program is not None:
            cause = os.strerror(self.no_program.errno)
            said = f"interpreter-tools: the compiler made no program that can be started: {cause}\n"
        if self.compiled.ended is Ended.TIMEOUT:
            seconds = self.compile_timeout
            said += f"interpreter-tools: the compiler was stopped after {seconds:g} s (compile_timeout)\n"
        elif self.compiled.oom_kills:
            said += "interpreter-tools: the compiler needed more memory than memory_limit\n"
        return said


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
