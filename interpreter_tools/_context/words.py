"""The words between a context and its cell runner: JSON, as docs/protocol.md has it. No I/O.

All that a runner says is a claim of the program: it is checked here, and bounded.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from interpreter_tools._config.display import ProgramError
from interpreter_tools._config.paths import check_path, shown_path
from interpreter_tools._exceptions import InvalidPath
from interpreter_tools._text import lenient_json, one_line

KIND = ord("c")
"""The kind of the messages that a runner sends."""

MOST_BYTES = 4 << 20
"""Bytes of one message of a runner: more is no message."""

_MOST_FILES = 10_000
_MOST_MATCHES = 10_000
_MOST_TEXT = 1 << 20  # characters of a traceback, or of an error's message
_MOST_SECONDS = 1e9
_MOST_PEAK = 1 << 42  # KiB
_MOST_COUNT = 1 << 53
_MOST_REASON = 1000  # characters of what is in the way of a checkpoint
_MOST_HELD = 1 << 50  # bytes of a checkpoint


class Ready(msgspec.Struct, frozen=True, tag_field="event", tag="ready", rename=None):
    """The runner waits for cells."""

    language: str = ""
    features: tuple[str, ...] = ("complete", "inspect")


class Started(msgspec.Struct, frozen=True, tag_field="event", tag="started"):
    """A cell begins: what is printed from now on is its output.

    Attributes:
        cell: its number.
        urgent: SIGURG is to follow an interrupt until the cell ends.
        repeats: an interrupt is to be sent again until the runner has taken it.
    """

    cell: int
    urgent: bool = False
    repeats: bool = False


class Taken(msgspec.Struct, frozen=True, tag_field="event", tag="taken"):
    """The runner has taken an interrupt of a cell."""

    cell: int


class Asked(msgspec.Struct, frozen=True, tag_field="event", tag="input"):
    """A cell waits for a line of input, and takes several at once."""

    cell: int
    lines: int = 1
    prompt: str = ""
    password: bool = False


class Cleared(msgspec.Struct, frozen=True, tag_field="event", tag="clear"):
    """A cell wants what it has shown so far to be taken away."""

    cell: int
    wait: bool = False


class Done(msgspec.Struct, frozen=True, tag_field="event", tag="done"):
    """A cell has ended.

    Attributes:
        text: the value of the cell, where it has no representation but its text; other values are displays.
    """

    cell: int
    status: Literal["ok", "error", "interrupted"] = "ok"
    count: int | None = None
    error: ProgramError | None = None
    exit_code: int | None = None
    cpu_us: int = 0
    peak_kib: int = 0
    seconds: float = 0.0
    files: list[str] = []
    files_partial: bool = False
    maps: bool = False
    text: str | None = None


class Completions(msgspec.Struct, frozen=True, tag_field="event", tag="complete"):
    """The answer to ``complete``."""

    id: int
    matches: list[str] = []
    start: int = 0
    end: int = 0


class Checked(msgspec.Struct, frozen=True, tag_field="event", tag="is_complete"):
    """The answer to ``is_complete``."""

    id: int
    status: Literal["complete", "incomplete", "invalid", "unknown"] = "unknown"
    indent: str = ""


class Inspection(msgspec.Struct, frozen=True, tag_field="event", tag="inspect"):
    """The answer to ``inspect``."""

    id: int
    found: bool = False
    data: dict[str, str] = {}


class NotParked(msgspec.Struct, frozen=True, tag_field="event", tag="refused"):
    """A checkpoint or a rewind cannot be: something is in the way, and nothing has changed."""

    id: int
    reason: str = ""


class Saved(msgspec.Struct, frozen=True, tag_field="event", tag="saved"):
    """The process has forked for a checkpoint."""

    id: int
    bytes: int = 0


class Parked(msgspec.Struct, frozen=True, tag_field="event", tag="parked"):
    """The fork waits, and can be woken."""

    id: int
    pid: int = 0


class Weighed(msgspec.Struct, frozen=True, tag_field="event", tag="weighed"):
    """The bytes of memory that parked processes hold, by their numbers."""

    held: dict[int, int] = {}


class Woken(msgspec.Struct, frozen=True, tag_field="event", tag="woken"):
    """A fork of a parked process waits to go on."""

    id: int


class Rewound(msgspec.Struct, frozen=True, tag_field="event", tag="rewound"):
    """The fork goes on, and the files are what they were."""

    id: int


Said = (
    Ready
    | Started
    | Taken
    | Asked
    | Cleared
    | Done
    | Completions
    | Checked
    | Inspection
    | NotParked
    | Saved
    | Parked
    | Weighed
    | Woken
    | Rewound
)
"""All that a runner may say."""

OfCell = Started | Taken | Asked | Cleared | Done
"""All that it may say of a cell."""

Answer = Completions | Checked | Inspection
"""The answers to questions."""

_DECODER = msgspec.json.Decoder(Said)
_ENCODER = msgspec.json.Encoder()


def read(body: bytes | bytearray) -> Said | None:
    """Return what a runner says; None for what is no message of a runner."""
    try:
        return _bounded(_DECODER.decode(body))
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return _read_leniently(body)


def _read_leniently(body: bytes | bytearray) -> Said | None:
    """Return what a runner says with half a character in it: a name of a file, or the words of an exception."""
    try:
        return _bounded(msgspec.convert(lenient_json(body, names="files"), Said))
    except (RecursionError, ValueError):
        return None


def _bounded(said: Said) -> Said:
    if isinstance(said, Done) and not _is_usual(said):
        partial = said.files_partial or len(said.files) > _MOST_FILES
        return msgspec.structs.replace(
            said,
            error=None if said.error is None else _cut(said.error),
            count=None if said.count is None else max(0, min(said.count, _MOST_COUNT)),
            exit_code=None if said.exit_code is None else said.exit_code & 0xFF,
            cpu_us=max(0, said.cpu_us),
            peak_kib=max(0, min(said.peak_kib, _MOST_PEAK)),
            seconds=max(0.0, min(said.seconds, _MOST_SECONDS)),
            files=sorted({path for name in said.files[:_MOST_FILES] if (path := _path(name))}),
            files_partial=partial,
            text=None if said.text is None else said.text[:_MOST_TEXT],
        )
    if isinstance(said, Completions):
        return msgspec.structs.replace(said, matches=said.matches[:_MOST_MATCHES])
    if isinstance(said, NotParked):
        return msgspec.structs.replace(said, reason=one_line(said.reason)[:_MOST_REASON])
    if isinstance(said, Saved):
        return msgspec.structs.replace(said, bytes=max(0, min(said.bytes, _MOST_HELD)))
    if isinstance(said, Weighed):
        return Weighed(held={pid: max(0, min(size, _MOST_HELD)) for pid, size in said.held.items()})
    return said


def _is_usual(done: Done) -> bool:
    """Tell whether the words say only what needs no bounds: those of nearly every cell."""
    return (
        done.error is None
        and done.exit_code is None
        and not done.files
        and done.cpu_us >= 0
        and 0 <= done.peak_kib <= _MOST_PEAK
        and 0 <= done.seconds <= _MOST_SECONDS
        and (done.count is None or 0 <= done.count <= _MOST_COUNT)
        and (done.text is None or len(done.text) <= _MOST_TEXT)
    )


def _cut(error: ProgramError) -> ProgramError:
    return ProgramError(name=error.name[:1000], value=error.value[:_MOST_TEXT], traceback=error.traceback[:_MOST_TEXT])


def _path(name: str) -> str | None:
    try:
        return shown_path(check_path(name))
    except InvalidPath:
        return None


def say(operation: str, **fields: object) -> bytes:
    """Return a message for a runner."""
    return _ENCODER.encode({"op": operation, **fields})
