"""Errors that a model can act on."""

from __future__ import annotations

import errno
from contextlib import contextmanager
from typing import TYPE_CHECKING

from mcp.server.mcpserver.exceptions import ResourceError, ResourceNotFoundError, ToolError

from interpreter_tools._exceptions import (
    FileRefused,
    InterpreterToolsError,
    SessionClosed,
    TooManySessions,
    UnknownLanguage,
    UnknownOutput,
    UnknownSession,
)
from interpreter_tools.tool._render import explain_error

if TYPE_CHECKING:
    from collections.abc import Generator

    from pydantic import ValidationError

# The library's own hints are for authors of Python code; these are for callers of tools.
_HINTS: dict[type[InterpreterToolsError], str] = {
    UnknownLanguage: "use one of these",
    UnknownSession: "it was closed, or not used for an hour: create_session makes a new one",
    SessionClosed: "create_session makes a new one",
    TooManySessions: "close_session closes one",
    FileRefused: "list_files tells what is there",
    UnknownOutput: "later runs took its place: run the program again, and write what it prints to a file of a session",
}


def explain(error: InterpreterToolsError) -> str:
    """Return the failure and the way out, as text for a model."""
    return explain_error(error, hint=_HINTS.get(type(error)))


@contextmanager
def as_tool_errors() -> Generator[None]:
    """Turn the errors of the library into errors of tools."""
    try:
        yield
    except InterpreterToolsError as error:
        raise ToolError(explain(error)) from error


@contextmanager
def as_resource_errors() -> Generator[None]:
    """Turn the errors of the library into errors of resources."""
    try:
        yield
    except InterpreterToolsError as error:
        missing = isinstance(error, (UnknownSession, UnknownOutput)) or (
            isinstance(error, FileRefused) and error.errno == errno.ENOENT
        )
        raise (ResourceNotFoundError if missing else ResourceError)(explain(error)) from error


def wrong_arguments(error: ValidationError) -> str:
    """Return one line for each wrong argument, with the reason."""
    lines: list[str] = []
    for detail in error.errors(include_url=False, include_context=False, include_input=False):
        name = ".".join(str(part) for part in detail["loc"])
        lines.append(f"argument {name!r}: {detail['msg']}")
    return "\n".join(lines)
