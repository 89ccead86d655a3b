"""The supervisor's side of the wire, written from ``supervisor/protocol.h`` and not from the client's codec."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from interpreter_tools._protocol import (
    Beside,
    Clean,
    Content,
    Credit,
    Delayed,
    Event,
    Exited,
    Fallen,
    Fatal,
    Files,
    Hello,
    Message,
    Output,
    Ready,
    Refused,
    Stored,
    Told,
)
from interpreter_tools._protocol.constants import VERSION, BootMode, Ended, Frame, Verdict, Why

if TYPE_CHECKING:
    from collections.abc import Callable

    from interpreter_tools._protocol import Connection

UID = 10_001
HELLO = Hello(VERSION, 62, 1)
EXITED = Exited(Ended.EXITED, 0, 0, unclean=False, wall_us=1_500_000, cpu_us=250_000, peak_memory=4096, oom_kills=0)

# One of each, as a well-behaved supervisor sends it.
EXAMPLES: dict[int, Event] = {
    Frame.HELLO: HELLO,
    Frame.MESSAGE: Message(1, b"d\0{}"),
    Frame.TOLD: Told(1, 0),
    Frame.READY: Ready(),
    Frame.REFUSED: Refused(Why.PUT, 28, b"a/b"),
    Frame.STDOUT: Output("stdout", b"out"),
    Frame.STDERR: Output("stderr", b"err"),
    Frame.CREDIT: Credit(0),
    Frame.FILES: Files(((3, b"a"), (0, b"b/c")), partial=False),
    Frame.EXIT: EXITED,
    Frame.CLEAN: Clean(Verdict.OK, ""),
    Frame.CONTENT: Content(b"data"),
    Frame.STORED: Stored(4096, 1_700_000_000, "a" * 64, b"{}"),
    Frame.FATAL: Fatal("out of luck"),
}


def frame(kind: int, payload: bytes = b"", *, zeros: int = 0, run: int = 0) -> bytes:
    """Return one frame."""
    return struct.pack("<IBBH", len(payload), kind, zeros, run) + payload


def piece(payload: bytes, stream: int = 1) -> bytes:
    """Return a piece of a stream, in the form in which Docker sends it."""
    return bytes([stream, 0, 0, 0]) + len(payload).to_bytes(4, "big") + payload


def _string(data: bytes) -> bytes:
    return struct.pack("<I", len(data)) + data


def _exit(event: Exited) -> bytes:
    head = struct.pack("<IiII", event.ended, event.exit_code, event.signal, event.unclean)
    return head + struct.pack("<QQQII", event.wall_us, event.cpu_us, event.peak_memory, event.oom_kills, 0)


def payload_of(event: Event) -> tuple[int, bytes]:  # noqa: C901, PLR0911, PLR0912 - one line for each frame of the header
    """Return the frame type and the payload of an event."""
    match event:
        case Hello(version, machine, pid, box, errno):
            return 0x81, struct.pack("<5I", version, machine, pid, box, errno)
        case Ready():
            return 0x82, b""
        case Refused(why, errno, subject):
            return 0x83, struct.pack("<II", why, errno) + _string(subject)
        case Output(stream, data):
            return (0x85 if stream == "stdout" else 0x86), data
        case Message(connection, data):
            return 0x8D, struct.pack("<I", connection) + data
        case Credit(count):
            return 0x87, struct.pack("<I", count)
        case Told(connection, count):
            return 0x8E, struct.pack("<II", connection, count)
        case Fallen(exit_code, signal, oom_kills):
            return 0x8F, struct.pack("<iIII", exit_code, signal, oom_kills, 0)
        case Delayed(time_us):
            return 0x90, struct.pack("<Q", time_us)
        case Beside(_, event):
            return payload_of(event)
        case Files(entries, partial):
            listed = b"".join(struct.pack("<Q", size) + _string(path) for size, path in entries)
            return 0x88, struct.pack("<HH", len(entries), partial) + listed
        case Exited():
            return 0x89, _exit(event)
        case Clean(verdict, left):
            return 0x8A, struct.pack("<I", verdict) + _string(left.encode())
        case Content(data):
            return 0x8B, data
        case Stored(size, modified, name, manifest):
            return 0x84, struct.pack("<QQ", size, modified) + _string(name.encode()) + _string(manifest)
        case Fatal(message):
            return 0x8C, _string(message.encode())


def encode(*events: Event) -> bytes:
    """Return the frames of events."""
    return b"".join(frame(*payload_of(event), run=event.number if isinstance(event, Beside) else 0) for event in events)


class Reader:
    """Takes fields off a payload."""

    def __init__(self, data: bytes) -> None:
        self.data = data

    def take(self, count: int) -> bytes:
        """Return the next ``count`` bytes."""
        assert len(self.data) >= count
        taken, self.data = self.data[:count], self.data[count:]
        return taken

    def number(self, size: int) -> int:
        """Return an unsigned number of ``size`` bytes."""
        return int.from_bytes(self.take(size), "little")

    def string(self) -> bytes:
        """Return a string, whose length stands before it."""
        return self.take(self.number(4))


def _strings(reader: Reader, argc: int, envc: int) -> tuple[list[bytes], list[bytes]]:
    return [reader.string() for _ in range(argc)], [reader.string() for _ in range(envc)]


def _boot(reader: Reader) -> tuple[object, ...]:
    mode, zero = reader.number(1), reader.number(1)
    argc, envc, uid = reader.number(2), reader.number(2), reader.number(4)
    assert zero == 0
    return mode, uid, *_strings(reader, argc, envc)


def _start(reader: Reader) -> tuple[object, ...]:
    head = (reader.number(4), reader.number(4), reader.number(4), reader.number(8))
    return (
        *head,
        (reader.number(4), reader.number(4)),
        reader.string(),
        *_strings(reader, reader.number(2), reader.number(2)),
    )


def _bytes(reader: Reader) -> tuple[object, ...]:
    return (reader.take(len(reader.data)),)


def _nothing(_: Reader) -> tuple[object, ...]:
    return ()


_FIELDS: dict[int, Callable[[Reader], tuple[object, ...]]] = {
    0x01: _boot,
    0x02: lambda reader: (reader.number(4), reader.number(4), reader.string()),
    0x03: _bytes,
    0x04: _nothing,
    0x11: _nothing,
    0x05: _nothing,
    0x06: _start,
    0x07: _bytes,
    0x08: _nothing,
    0x09: lambda reader: (reader.number(4), reader.number(4)),
    0x0A: lambda reader: (reader.number(4),) if reader.data else (),
    0x12: lambda reader: (reader.number(4),),
    0x13: lambda reader: (reader.number(4), reader.take(len(reader.data))),
    0x14: lambda reader: (reader.number(4),),
    0x15: _nothing,
    0x18: _nothing,
    0x16: lambda reader: tuple(reader.number(4) for _ in range(len(reader.data) // 4)),
    0x0B: lambda reader: (reader.number(4), reader.number(8), reader.number(8), reader.string()),
    0x0C: lambda reader: (reader.string(), reader.string(), reader.string()),
    0x0D: lambda reader: (reader.number(4), reader.string()),
    0x0E: lambda reader: (reader.string(), reader.string()),
    0x0F: lambda reader: (reader.string(),),
    0x10: _nothing,
}


def requests(data: bytes) -> list[tuple[object, ...]]:
    """Return the requests of a client, each as (type, field, field, ...); no byte may be left over.

    One for a side run is (its number, the request).
    """
    stream = Reader(data)
    found: list[tuple[object, ...]] = []
    while stream.data:
        length, kind, zero, run = stream.number(4), stream.number(1), stream.number(1), stream.number(2)
        assert length <= 65536
        assert zero == 0
        payload = Reader(stream.take(length))
        request = (kind, *_FIELDS[kind](payload))
        found.append((run, request) if run else request)
        assert payload.data == b""
    return found


def make_idle(connection: Connection) -> Connection:
    """Lead a connection through greeting and boot."""
    connection.receive(encode(HELLO))
    connection.boot(BootMode.NONE, uid=UID)
    connection.receive(encode(Ready()))
    return connection
