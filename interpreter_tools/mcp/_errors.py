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

# The library's own hints are for who writes Python; these are for who calls tools.
_HINTS: dict[type[InterpreterToolsError], str] = {
    UnknownLanguage: "use one of these",
    UnknownSession: "it was closed, or not used for an hour: create_session makes a new one",
    SessionClosed: "create_session makes a new one",
    TooManySessions: "close_session closes one",
    FileRefused: "list_files tells what is there",
    UnknownOutput: "later runs took its place: run the program again, and write what it prints to a file of a session",
}


def explain(error: InterpreterToolsError) -> str:
    """What happened, and what to do about it."""
    return explain_error(error, hint=_HINTS.get(type(error)))


@contextmanager
def as_tool_errors() -> Generator[None]:
    """What the library raises, as errors of tools."""
    try:
        yield
    except InterpreterToolsError as error:
        raise ToolError(explain(error)) from error


@contextmanager
def as_resource_errors() -> Generator[None]:
    """What the library raises, as errors of resources."""
    try:
        yield
    except InterpreterToolsError as error:
        missing = isinstance(error, (UnknownSession, UnknownOutput)) or (
            isinstance(error, FileRefused) and error.errno == errno.ENOENT
        )
        raise (ResourceNotFoundError if missing else ResourceError)(explain(error)) from error


def wrong_arguments(error: ValidationError) -> str:
    """Which arguments are wrong, and how: one line each."""
    lines: list[str] = []
    for detail in error.errors(include_url=False, include_context=False, include_input=False):
        name = ".".join(str(part) for part in detail["loc"])
        lines.append(f"argument {name!r}: {detail['msg']}")
    return "\n".join(lines)
