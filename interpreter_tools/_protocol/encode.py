"""The encoder of requests to frames."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, NamedTuple

from interpreter_tools._exceptions import ConfigurationError
from interpreter_tools._protocol.constants import HEADER_SIZE, MAX_PAYLOAD, BootMode, Frame

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_HEADER = struct.Struct("<IBBH")
_LENGTH = struct.Struct("<I")
_BOOT = struct.Struct("<BBHHI")
_RESET = struct.Struct("<II")
_PUT = struct.Struct("<II")
_START = struct.Struct("<IIIQII")
_COUNTS = struct.Struct("<HH")
_GET = struct.Struct("<IQQ")


def frame(kind: Frame, *parts: bytes | memoryview, run: int = 0) -> bytes:
    """Return one frame whose payload is the parts, joined; ``run`` is the number of a side run."""
    return b"".join((_HEADER.pack(sum(map(len, parts)), kind, 0, run), *parts))


def _string(data: bytes) -> bytes:
    return _LENGTH.pack(len(data)) + data


def _strings(argv: Sequence[str], environment: Mapping[str, str]) -> list[bytes]:
    """Encode arguments and variables; bytes that are not UTF-8 are surrogate escapes, as everywhere in Python."""
    words = [*argv, *(f"{name}={value}" for name, value in environment.items())]
    return [_string(word.encode("utf-8", "surrogateescape")) for word in words]


def _check_size(size: int, *, field: str, value: object) -> None:
    """Refuse a payload that is too large, before its strings are counted: a count that fits into a frame fits a u16."""
    if size > MAX_PAYLOAD:
        reason = f"is too large: {size} bytes together with the command, of {MAX_PAYLOAD}"
        raise ConfigurationError(field, value, reason, hint="put large data into a file, or send it through stdin")


def boot(mode: BootMode, argv: Sequence[str], environment: Mapping[str, str], *, uid: int) -> bytes:
    """Encode BOOT: the interpreter to boot ahead."""
    strings = _strings(argv, environment)
    _check_size(_BOOT.size + sum(map(len, strings)), field="boot.command", value="...")
    return frame(Frame.BOOT, _BOOT.pack(mode, 0, len(argv), len(environment), uid), *strings)


def put(path: bytes, data: bytes | memoryview, *, mode: int, uid: int) -> bytes:
    """Encode PUT, DATA and DONE: one whole file."""
    view = memoryview(data)
    pieces = (view[at : at + MAX_PAYLOAD] for at in range(0, len(view), MAX_PAYLOAD))
    frames = [frame(Frame.DATA, piece) for piece in pieces]
    return b"".join((open_put(path, mode=mode, uid=uid), *frames, frame(Frame.DONE)))


def open_put(path: bytes, *, mode: int, uid: int) -> bytes:
    """Encode PUT: a file whose contents follow."""
    return frame(Frame.PUT, _PUT.pack(mode, uid), _string(path))


class DataFrames:
    """A buffer of DATA frames for 256 KiB of a file, which is read straight into them.

    Attributes:
        spaces: the parts of the buffer for the contents, in order.
    """

    __slots__ = ("_buffer", "spaces")

    def __init__(self) -> None:
        size = HEADER_SIZE + MAX_PAYLOAD
        self._buffer = memoryview(bytearray(4 * size))
        self.spaces = [self._buffer[at + HEADER_SIZE : at + size] for at in range(0, 4 * size, size)]

    def first(self, count: int) -> memoryview:
        """Return the frames with the first ``count`` bytes that were filled in."""
        at = 0
        while count:
            length = min(count, MAX_PAYLOAD)
            _HEADER.pack_into(self._buffer, at, length, Frame.DATA, 0, 0)
            at += HEADER_SIZE + length
            count -= length
        return self._buffer[:at]


class Reset(NamedTuple):
    """The reset of a container between two runs: kill, wipe, verify.

    Attributes:
        deadline_ms: milliseconds that it may take; after them, whatever is left decides the verdict.
        uid: the user of the next run.
    """

    deadline_ms: int
    uid: int


_NO_RESET = Reset(0, 0)


class Start(NamedTuple):
    """A program to run.

    Attributes:
        argv: the program and its arguments.
        environment: its variables.
        uid: the user that it runs as.
        flags: how it is started and ended.
        timeout_ms: how long it may run, in milliseconds; 0 means no limit.
        output_limit: bytes of output after which it is killed; 0 means no limit.
        reset: what makes the container as new after the run; None means that the run is not followed by a reset.
        directory: where it starts.
    """

    argv: Sequence[str]
    environment: Mapping[str, str]
    uid: int
    flags: int = 0
    timeout_ms: int = 0
    output_limit: int = 0
    reset: Reset | None = None
    directory: str = "/workspace"


def start(wanted: Start, *, run: int = 0) -> bytes:
    """Encode START: run a program."""
    where = _string(wanted.directory.encode("utf-8", "surrogateescape"))
    strings = _strings(wanted.argv, wanted.environment)
    size = _START.size + len(where) + _COUNTS.size + sum(map(len, strings))
    variables = sum(len(name) + len(value) for name, value in wanted.environment.items())
    if sum(map(len, wanted.argv)) > variables:
        _check_size(size, field="args", value=f"{len(wanted.argv)} words")
    _check_size(size, field="environment", value=f"{len(wanted.environment)} variables")
    numbers = wanted.uid, wanted.flags, wanted.timeout_ms, wanted.output_limit
    head = _START.pack(*numbers, *(wanted.reset or _NO_RESET))
    counts = _COUNTS.pack(len(wanted.argv), len(wanted.environment))
    return frame(Frame.START, head, where, counts, *strings, run=run)


def signal(number: int, *, run: int) -> bytes:
    """Encode SIGNAL: a signal for the process group of a run."""
    return frame(Frame.SIGNAL, _LENGTH.pack(number), run=run)


def tell(connection: int, data: bytes, *, run: int) -> bytes:
    """Encode TELL: a piece for a connection of a run."""
    return frame(Frame.TELL, _LENGTH.pack(connection), data, run=run)


def taken(count: int, *, run: int) -> bytes:
    """Encode TAKEN: room for more output of a side run."""
    return frame(Frame.TAKEN, _LENGTH.pack(count), run=run)


def lead(connection: int, spared: Sequence[int], *, run: int) -> bytes:
    """Encode LEAD: the process of a connection becomes the program of a side run."""
    return frame(Frame.LEAD, *map(_LENGTH.pack, (connection, *spared)), run=run)


def pause(*, paused: bool) -> bytes:
    """Encode PAUSE: the processes of all runs stand still, or go on."""
    return frame(Frame.PAUSE, _LENGTH.pack(paused))


def list_files(*, changed: bool) -> bytes:
    """Encode LIST: the files below the workspace, or those that changed since MARK."""
    return frame(Frame.LIST, *([_LENGTH.pack(1)] if changed else []))


def reset(wanted: Reset) -> bytes:
    """Encode RESET: kill, wipe, verify."""
    return frame(Frame.RESET, _RESET.pack(*wanted))


def need(key: bytes, link: bytes, path: bytes) -> bytes:
    """Encode NEED: an entry of the store."""
    return frame(Frame.NEED, _string(key), _string(link), _string(path))


def stage(key: bytes, *, uid: int) -> bytes:
    """Encode STAGE: begin an entry."""
    return frame(Frame.STAGE, _LENGTH.pack(uid), _string(key))


def publish(key: bytes, manifest: bytes) -> bytes:
    """Encode PUBLISH: make the staged files an entry."""
    return frame(Frame.PUBLISH, _string(key), _string(manifest))


def evict(name: bytes) -> bytes:
    """Encode EVICT: remove an entry."""
    return frame(Frame.EVICT, _string(name))


def get(path: bytes, *, uid: int, offset: int, count: int) -> bytes:
    """Encode GET: read a file, or a part of it."""
    return frame(Frame.GET, _GET.pack(uid, offset, count), _string(path))
