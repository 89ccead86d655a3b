"""What the tools answer: data with a schema for programs, and a text for models."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict, Field

from interpreter_tools._models import Outcome  # noqa: TC001 - pydantic reads the annotations
from interpreter_tools.mcp._resources import shown, uri_of

if TYPE_CHECKING:
    from interpreter_tools._models import ExecutionResult

STDOUT_BUDGET = 20_000  # characters, some 5000 tokens
STDERR_BUDGET = 8_000
_HEAD = 0.4  # the share of a budget that the beginning gets: results and errors tend to be at the end
LISTED = 200  # files that an answer names

_MODULE = re.compile(r"No module named '([^'\n]{1,100})'|Cannot find (?:module|package) '([^'\n]{1,100})'")
_OFFLINE = re.compile(
    r"Temporary failure in name resolution|Network is unreachable|ENOTFOUND|EAI_AGAIN|ENETUNREACH"
    r"|Could not resolve host|bad address"
)


class _Answer(BaseModel):
    model_config = ConfigDict(frozen=True)


class RunReport(_Answer):
    """How a run went."""

    outcome: Outcome = Field(description="ok means exit code 0; anything else is a failure of the code")
    exit_code: int = Field(description="128 + signal where a signal ended the program")
    stdout: str = Field(description="standard output; where it was long, its middle is left out, and says so")
    stderr: str = Field(description="standard error; the same")
    truncated: bool = Field(description="some output is left out")
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
    content: str
    offset: int = Field(description="the first byte of content in the file")
    next_offset: int | None = Field(description="where to read on; null at the file's end")


def report(result: ExecutionResult, *, session_id: str | None, timeout: float | None) -> RunReport:
    """The answer for a run.

    Args:
        result: how it went.
        session_id: where it ran; None for a sandbox that is gone.
        timeout: seconds that it might take; None where it was not asked for.
    """
    stdout, stdout_cut = cut(result.dependency_stdout + result.stdout, STDOUT_BUDGET)
    stderr, stderr_cut = cut(result.dependency_stderr + result.stderr, STDERR_BUDGET)
    return RunReport(
        outcome=result.outcome,
        exit_code=result.exit_code,
        stdout=stdout,
        stderr=stderr,
        truncated=stdout_cut or stderr_cut or result.truncated,
        generated_files=[shown(path) for path in result.generated_files[:LISTED]],
        generated_files_left_out=max(0, len(result.generated_files) - LISTED),
        execution_time=round(result.execution_time, 6),
        hint=_hint(result, in_session=session_id is not None, timeout=timeout),
        session_id=session_id,
    )


def cut(text: str, budget: int) -> tuple[str, bool]:
    """A text of about so many characters: its head, what is left out, and its tail; and whether it was cut."""
    left_out = len(text) - budget
    if left_out <= 0:
        return text, False
    head = int(budget * _HEAD)
    return f"{text[:head]}\n[... {left_out} characters left out ...]\n{text[head + left_out :]}", True


def _hint(result: ExecutionResult, *, in_session: bool, timeout: float | None) -> str:
    """What to do next."""
    failed = _HINTS.get(result.outcome, "")
    if result.outcome == "timeout" and timeout is not None:
        return f"it was stopped after {timeout:g} s: {failed}"
    if failed:
        return failed
    if result.outcome == "error":
        return _explain(result.stderr[-4000:], result.exit_code)
    if result.generated_files and not in_session:
        return "these files are gone with the sandbox: to keep files, run in a session from create_session"
    if not (result.stdout or result.stderr or result.generated_files):
        return "nothing was printed: print what is to be seen"
    return ""


_HINTS: dict[str, str] = {
    "timeout": "give a larger `timeout`, in seconds, or do less in one run",
    "oom": "it needed more memory than it may use: work on the data in pieces",
    "output_limit": "it was stopped as it wrote too much: print less, or write into a file of a session",
    "killed": "it was stopped from outside",
    "dependency_error": "the code did not run: check the names and versions in `dependencies` against stderr",
}


def _explain(stderr: str, exit_code: int) -> str:
    module = _MODULE.search(stderr)
    if module is not None:
        name = module[1] or module[2]
        return f"{name!r} is not installed: name the package that provides it in `dependencies`"
    if _OFFLINE.search(stderr):
        return "the sandbox has no network: give what is needed in `files`, or by write_file into a session"
    if "No space left on device" in stderr:
        return "the sandbox's disk is full: write less, or remove files"
    if "EOFError" in stderr:
        return "it asked for more input than there was: give it in `stdin`"
    if exit_code == 127:
        return "the sandbox has no such command: use another, or do it in Python or JavaScript"
    return ""


def render(answer: RunReport) -> str:
    """A run as a text for a model."""
    parts = [f"{answer.outcome}, exit code {answer.exit_code}, {answer.execution_time:.3g} s"]
    parts += [f"{name}:\n{text.rstrip()}" for name in ("stdout", "stderr") if (text := getattr(answer, name)).strip()]
    if answer.generated_files:
        more = f" and {answer.generated_files_left_out} more" if answer.generated_files_left_out else ""
        parts.append(f"files made or changed: {', '.join(answer.generated_files)}{more}")
    if answer.hint:
        parts.append(f"hint: {answer.hint}")
    return "\n\n".join(parts)


def files_of(session_id: str, paths: list[str]) -> SessionReport:
    """A session and its files, at most as many as an answer names."""
    files = [SessionFile(path=shown(path), uri=uri_of(session_id, path)) for path in paths[:LISTED]]
    return SessionReport(session_id=session_id, files=files, files_left_out=len(paths) - len(files))
