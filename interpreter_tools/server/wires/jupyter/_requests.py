"""The contents of the requests that clients make of kernels, checked."""

from __future__ import annotations

from typing import TypeVar

import msgspec

from interpreter_tools.server.wires.jupyter._messages import MessageError

T = TypeVar("T", bound=msgspec.Struct)

_MOST_EXPRESSIONS = 100


class Execute(msgspec.Struct):
    """Run a cell.

    Attributes:
        code: the code.
        silent: True shows no value, and counts nothing.
        store_history: False counts nothing.
        user_expressions: expressions to tell the values of at the end, by name.
        allow_stdin: False when the client cannot be asked.
        stop_on_error: True drops the requests behind it when it fails.
    """

    code: str
    silent: bool = False
    store_history: bool = True
    user_expressions: dict[str, str] | None = None
    allow_stdin: bool = True
    stop_on_error: bool = True

    @property
    def is_counted(self) -> bool:
        """True when the cell gets a number."""
        return self.store_history and not self.silent

    def expressions(self) -> dict[str, str]:
        """Return the expressions, of which there are not too many."""
        return dict(list((self.user_expressions or {}).items())[:_MOST_EXPRESSIONS])


class Complete(msgspec.Struct):
    """Tell what may follow."""

    code: str
    cursor_pos: int | None = None


class Inspect(msgspec.Struct):
    """Tell what a name means."""

    code: str
    cursor_pos: int | None = None
    detail_level: int = 0


class IsComplete(msgspec.Struct):
    """Tell whether code goes on."""

    code: str


class History(msgspec.Struct):
    """Tell the code of cells that have run."""

    hist_access_type: str = "tail"
    output: bool = False
    unique: bool = False
    n: int | None = None
    start: int = 0
    stop: int | None = None
    pattern: str = "*"


class InputReply(msgspec.Struct):
    """The line that a cell has waited for."""

    value: str


class Shutdown(msgspec.Struct):
    """End the kernel, or restart it."""

    restart: bool = False


class CommOpen(msgspec.Struct):
    """Open a comm, which no kernel of ours has."""

    comm_id: str


def read_content(content: bytes, kind: type[T]) -> T:
    """Return the content of a request.

    Raises:
        MessageError: it is not of that kind; the error names the field.
    """
    try:
        return msgspec.json.decode(content, type=kind)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise MessageError(f"the content cannot be read: {error}") from None


def place(code: str, cursor: int | None) -> int:
    """Return a place in the code that exists."""
    return len(code) if cursor is None else min(max(cursor, 0), len(code))
