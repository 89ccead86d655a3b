"""The answers of the tools: data with a schema for programs, and a text for models."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict, Field

from interpreter_tools._config.results import Outcome, Stream  # noqa: TC001 - pydantic reads the annotations
from interpreter_tools.mcp._resources import output_uri_of, shown, uri_of
from interpreter_tools.tool._advice import Circumstances, advice
from interpreter_tools.tool._render import render_result, render_streams

if TYPE_CHECKING:
    from interpreter_tools._config.results import ExecutionResult
    from interpreter_tools.tool._outputs import Outputs

MAX_TOKENS = 4000  # of the output in an answer
LISTED = 200  # files that an answer names


class _Answer(BaseModel):
    model_config = ConfigDict(frozen=True)


class FullOutput(_Answer):
    """The whole output on one stream."""

    stream: Stream
    uri: str = Field(description="of the resource that holds it, until later runs take its place")


class RunReport(_Answer):
    """The result of a run."""

    outcome: Outcome = Field(description="ok means exit code 0; anything else is a failure of the code")
    exit_code: int = Field(description="128 + signal where a signal ended the program")
    stdout: str = Field(description="standard output; where it was long, its middle is left out, and says so")
    stderr: str = Field(description="standard error; the same")
    truncated: bool = Field(description="some output is left out")
    full_output: list[FullOutput] = Field(description="where to read output whole whose middle is left out")
    generated_files: list[str] = Field(description="files that the run made or changed, relative to its directory")
    generated_files_left_out: int = Field(description="how many more there are")
    execution_time: float = Field(description="seconds")
    hint: str = Field(description="what to do next; empty when there is nothing to say")
    session_id: str | None = Field(description="the session that it ran in, which keeps its files")


class SessionFile(_Answer):
    """A file of a session."""

    path: str = Field(description="relative to the session's workspace")
    uri: str = Field(description="of the resource that holds its contents")


class SessionReport(_Answer):
    """A session and its files."""

    session_id: str
    files: list[SessionFile]
    files_left_out: int = Field(description="how many more there are")


class SessionClosing(_Answer):
    """A session that is gone."""

    session_id: str
    closed: Literal[True] = True


class FileWritten(_Answer):
    """A file that was written."""

    path: str
    uri: str
    size: int = Field(description="bytes")


class FileText(_Answer):
    """A file, or a part of it."""

    path: str
    uri: str
    encoding: Literal["utf-8", "base64"] = Field(description="how content is to be read; base64 for what is no text")
    content: str = Field(description="empty where a picture stands beside this")
    offset: int = Field(description="the first byte of content in the file")
    next_offset: int | None = Field(description="where to read on; null at the file's end")


def report(
    result: ExecutionResult, run: Circumstances, *, session_id: str | None, outputs: Outputs
) -> tuple[RunReport, str]:
    """Return the answer for a run: data, and a text for a model.

    Args:
        result: the result of the run.
        run: the circumstances of the run.
        session_id: the session of the run; None for a run without one.
        outputs: keeps the output that is not in the answer.
    """
    streams = render_streams(result, max_tokens=MAX_TOKENS)
    cut: list[Stream] = [name for name, (_, missing) in streams.items() if missing]
    output_id = outputs.add(result) if cut else ""
    stdout, _ = streams.get("stdout") or streams.get("dependency_stdout") or streams.get("compile_stdout") or ("", 0)
    stderr, _ = streams.get("stderr") or streams.get("dependency_stderr") or streams.get("compile_stderr") or ("", 0)
    answer = RunReport(
        outcome=result.outcome,
        exit_code=result.exit_code,
        stdout=stdout,
        stderr=stderr,
        truncated=bool(cut) or result.truncated,
        full_output=[FullOutput(stream=name, uri=output_uri_of(output_id, name)) for name in cut],
        generated_files=[shown(path) for path in result.generated_files[:LISTED]],
        generated_files_left_out=max(0, len(result.generated_files) - LISTED),
        execution_time=round(result.execution_time, 6),
        hint="\n".join(advice(result, run)),
        session_id=session_id,
    )
    return answer, render_result(result, run, max_tokens=MAX_TOKENS)


def files_of(session_id: str, paths: list[str]) -> SessionReport:
    """Return a session and its files, at most as many as an answer names."""
    files = [SessionFile(path=shown(path), uri=uri_of(session_id, path)) for path in paths[:LISTED]]
    return SessionReport(session_id=session_id, files=files, files_left_out=len(paths) - len(files))
