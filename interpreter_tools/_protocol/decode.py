"""The decoder of payloads to events: it checks every field, and refuses bytes that are left over."""

from __future__ import annotations

import re
import struct
from typing import TYPE_CHECKING

from interpreter_tools._exceptions import ProtocolError
from interpreter_tools._protocol.constants import (
    EXIT_UNCLEAN,
    FILES_PARTIAL,
    MESSAGE_SIZE,
    Box,
    Ended,
    Frame,
    Verdict,
    Why,
)
from interpreter_tools._protocol.events import (
    Clean,
    Credit,
    Delayed,
    Exited,
    Fallen,
    Fatal,
    Files,
    Hello,
    Message,
    Ready,
    Refused,
    Stored,
    Told,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from interpreter_tools._protocol.events import Event

_U32 = struct.Struct("<I")
_HELLO = struct.Struct("<5I")
_TOLD = struct.Struct("<2I")
_DELAYED = struct.Struct("<Q")
_REFUSED = struct.Struct("<3I")
_FILES = struct.Struct("<2H")
_FILE = struct.Struct("<QI")
_FALLEN = struct.Struct("<i3I")
_EXIT = struct.Struct("<IiII3QII")
_CLEAN = struct.Struct("<2I")
_STORED = struct.Struct("<2QI")
_NAME = re.compile(rb"[.-]?[0-9a-f]{64}")
_MAX_ERRNO = 4095  # include/linux/err.h
_MAX_NOTE = 1024  # bytes
_MAX_PATH = 4096  # PATH_MAX


def _text(payload: bytes, at: int, length: int) -> bytes:
    """Return the string that a payload ends with."""
    if len(payload) != at + length:
        raise ValueError
    return payload[at:]


def _hello(payload: bytes) -> Event:
    version, machine, pid, box, errno = _HELLO.unpack(payload)
    if errno > _MAX_ERRNO:
        raise ValueError
    return Hello(version, machine, pid, Box(box), errno)


def _ready(payload: bytes) -> Event:
    if len(payload) > _MAX_NOTE:
        raise ValueError
    return Ready(payload.decode("utf-8", "replace"))


def _refused(payload: bytes) -> Event:
    why, errno, length = _REFUSED.unpack_from(payload)
    if errno > _MAX_ERRNO:
        raise ValueError
    return Refused(Why(why), errno, _text(payload, _REFUSED.size, length))


def _credit(payload: bytes) -> Event:
    return Credit(*_U32.unpack(payload))


def _message(payload: bytes) -> Event:
    (connection,) = _U32.unpack_from(payload)
    if connection == 0 or len(payload) - _U32.size > MESSAGE_SIZE:
        raise ValueError
    return Message(connection, payload[_U32.size :])


def _told(payload: bytes) -> Event:
    return Told(*_TOLD.unpack(payload))


def _files(payload: bytes) -> Event:
    count, flags = _FILES.unpack_from(payload)
    if flags & ~FILES_PARTIAL:
        raise ValueError
    entries: list[tuple[int, bytes]] = []
    at = _FILES.size
    for _ in range(count):
        size, length = _FILE.unpack_from(payload, at)
        at += _FILE.size
        path = payload[at : at + length]
        if len(path) != length or not 0 < length <= _MAX_PATH or b"\0" in path:
            raise ValueError
        entries.append((size, path))
        at += length
    if at != len(payload):
        raise ValueError
    return Files(tuple(entries), bool(flags))


def _exited(payload: bytes) -> Event:
    ended, exit_code, signal, flags, wall, cpu, peak, oom_kills, zero = _EXIT.unpack(payload)
    if not _is_end(exit_code, signal) or flags & ~EXIT_UNCLEAN or zero:
        raise ValueError
    return Exited(Ended(ended), exit_code, signal, bool(flags), wall, cpu, peak, oom_kills)


def _is_end(exit_code: int, signal: int) -> bool:
    return (exit_code == -1 and 0 < signal < 128) or (0 <= exit_code <= 255 and signal == 0)


def _fallen(payload: bytes) -> Event:
    exit_code, signal, oom_kills, zero = _FALLEN.unpack(payload)
    if not _is_end(exit_code, signal) or zero:
        raise ValueError
    return Fallen(exit_code, signal, oom_kills)


def _delayed(payload: bytes) -> Event:
    return Delayed(*_DELAYED.unpack(payload))


def _clean(payload: bytes) -> Event:
    verdict, length = _CLEAN.unpack_from(payload)
    return Clean(Verdict(verdict), _text(payload, _CLEAN.size, length).decode("utf-8", "replace"))


def _stored(payload: bytes) -> Event:
    size, modified, length = _STORED.unpack_from(payload)
    at = _STORED.size + length
    name = payload[_STORED.size : at]
    (rest,) = _U32.unpack_from(payload, at)
    if not _NAME.fullmatch(name) or modified >= 1 << 63:
        raise ValueError
    return Stored(size, modified, name.decode(), _text(payload, at + _U32.size, rest))


def _fatal(payload: bytes) -> Event:
    (length,) = _U32.unpack_from(payload)
    return Fatal(_text(payload, _U32.size, length).decode("utf-8", "replace"))


_DECODERS: dict[int, Callable[[bytes], Event]] = {
    Frame.HELLO: _hello,
    Frame.READY: _ready,
    Frame.REFUSED: _refused,
    Frame.CREDIT: _credit,
    Frame.FILES: _files,
    Frame.EXIT: _exited,
    Frame.CLEAN: _clean,
    Frame.STORED: _stored,
    Frame.FATAL: _fatal,
    Frame.MESSAGE: _message,
    Frame.TOLD: _told,
    Frame.FALLEN: _fallen,
    Frame.DELAYED: _delayed,
}


def decode(frame: Frame, payload: bytes) -> Event:
    """Return the event of a whole frame.

    Raises:
        ProtocolError: the payload does not have exactly the fields of that frame.
    """
    try:
        return _DECODERS[frame](payload)
    except (ValueError, struct.error):
        raise ProtocolError(f"the supervisor sent a malformed {frame.name} of {len(payload)} bytes") from None
