"""One conversation with a supervisor: a state machine that refuses what its state does not allow."""

from __future__ import annotations

import struct
from enum import Enum, auto
from typing import TYPE_CHECKING, Literal

from interpreter_tools._exceptions import ProtocolError, UsageError
from interpreter_tools._protocol import encode
from interpreter_tools._protocol.constants import (
    HEADER_SIZE,
    MAX_PAYLOAD,
    PUT_CODE,
    PUT_RUN,
    STDIN_WINDOW,
    VERSION,
    BootMode,
    Frame,
)
from interpreter_tools._protocol.decode import decode
from interpreter_tools._protocol.events import Content, Credit, Files, Hello, Output, Stored

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from interpreter_tools._protocol.encode import DataFrames, Reset, Start
    from interpreter_tools._protocol.events import Event

_HEADER = struct.Struct("<IBBH")
_MAX_FILES = 200_000  # the supervisor lists at most half as many; an endless list is an attack


class State(Enum):
    """The states of the conversation."""

    CONNECTED = auto()
    GREETED = auto()
    BOOTING = auto()
    IDLE = auto()
    PUTTING = auto()
    SYNCING = auto()
    STARTING = auto()
    RUNNING = auto()
    LISTED = auto()
    RESETTING = auto()
    LISTING = auto()
    READING = auto()
    STORE_LISTING = auto()
    CLOSED = auto()


# Nothing tells that a program has started: a frame more on the way delays the first output that follows it (by 0.3 ms).
_RUN: dict[int, State] = {
    Frame.STDOUT: State.RUNNING,
    Frame.STDERR: State.RUNNING,
    Frame.MESSAGE: State.RUNNING,
    Frame.CREDIT: State.RUNNING,
    Frame.FILES: State.LISTED,
    Frame.EXIT: State.IDLE,
}

# What may come in each state, and the state that it leads to.
_EXPECTED: dict[State, dict[int, State]] = {
    State.CONNECTED: {Frame.HELLO: State.GREETED},
    State.GREETED: {},
    State.BOOTING: {Frame.READY: State.IDLE, Frame.REFUSED: State.CLOSED},
    State.IDLE: {},
    State.PUTTING: {},
    State.SYNCING: {Frame.READY: State.IDLE, Frame.REFUSED: State.IDLE},
    State.STARTING: {Frame.REFUSED: State.IDLE, **_RUN},
    State.RUNNING: _RUN,
    State.LISTED: {Frame.FILES: State.LISTED, Frame.EXIT: State.IDLE},
    State.RESETTING: {Frame.CLEAN: State.IDLE},
    State.LISTING: {Frame.FILES: State.LISTING, Frame.READY: State.IDLE},
    State.STORE_LISTING: {Frame.STORED: State.STORE_LISTING, Frame.READY: State.IDLE, Frame.REFUSED: State.IDLE},
    State.READING: {Frame.CONTENT: State.READING, Frame.REFUSED: State.IDLE},
    State.CLOSED: {},
}
for _state, _frames in _EXPECTED.items():
    if _state is not State.CLOSED:
        _frames[Frame.FATAL] = State.CLOSED

_OUTPUT: dict[int, Literal["stdout", "stderr"]] = {Frame.STDOUT: "stdout", Frame.STDERR: "stderr"}
_ACTIVE = frozenset({State.STARTING, State.RUNNING, State.LISTED})


class Connection:
    """The client's side. Methods return the bytes to send; ``receive`` takes bytes and returns events.

    A request that cannot be put into bytes raises, and leaves the conversation where it was.

    Program output and file contents are handed out as they come; every other frame is collected until it is whole.
    """

    def __init__(self) -> None:
        self.state = State.CONNECTED
        self._header = bytearray()
        self._frame: Frame | None = None
        self._left = 0
        self._empty = False
        self._payload = bytearray()
        self._files = 0
        self._stdin_outstanding = 0
        self._after_run = State.IDLE

    def __repr__(self) -> str:
        return f"<Connection {self.state.name}>"

    # -- what the client says

    def boot(
        self, mode: BootMode, argv: Sequence[str] = (), environment: Mapping[str, str] | None = None, *, uid: int
    ) -> bytes:
        """Name the interpreter to boot ahead, and the user of the first run; answered by Ready or Refused."""
        data = encode.boot(mode, argv, environment or {}, uid=uid)
        self._leave(State.GREETED, State.BOOTING)
        return data

    def put(self, path: bytes, data: bytes | memoryview, *, uid: int, mode: int = 0o644) -> bytes:
        """Write a file below the workspace, over a regular file that is there; the next ``sync`` tells how it went.

        Args:
            path: where, below the workspace.
            data: the file's contents.
            uid: the file's owner.
            mode: the file's permissions.
        """
        self._require(State.IDLE)
        return encode.put(path, data, mode=mode, uid=uid)

    def put_for_run(self, path: bytes, data: bytes | memoryview, *, uid: int, is_code: bool = False) -> bytes:
        """Write a file of the next run, whose ``start`` tells how it went; one that is refused undoes it.

        Args:
            path: where, below the workspace.
            data: the file's contents.
            uid: the file's owner.
            is_code: the file is the code of the run: it takes the place of no other file, and is gone when the run ends
                (``IT_PUT_CODE``). Else a regular file of that name is replaced.
        """
        self._require(State.IDLE)
        return encode.put(path, data, mode=0o644 | PUT_RUN | (PUT_CODE if is_code else 0), uid=uid)

    def open_put(self, path: bytes, *, uid: int, mode: int = 0o644) -> bytes:
        """Begin a file whose contents follow, piece by piece."""
        data = encode.open_put(path, mode=mode, uid=uid)
        self._leave(State.IDLE, State.PUTTING)
        return data

    def put_data(self, frames: DataFrames, count: int) -> memoryview:
        """Continue the file with the first ``count`` bytes that were filled into the frames."""
        self._require(State.PUTTING)
        return frames.first(count)

    def close_put(self, *, whole: bool) -> bytes:
        """End the file; remove it if it is not whole. Errors are reported by the next ``start`` or ``sync``."""
        self._leave(State.PUTTING, State.IDLE)
        return encode.frame(Frame.DONE if whole else Frame.DROP)

    def sync(self) -> bytes:
        """Ask for the errors of the puts; answered by Ready or Refused."""
        self._leave(State.IDLE, State.SYNCING)
        return encode.frame(Frame.SYNC)

    def start(self, start: Start) -> bytes:
        """Run a program; answered by Refused, or by output and then Exited; then by Clean, where a reset follows."""
        data = encode.start(start)
        self._leave(State.IDLE, State.STARTING)
        self._stdin_outstanding = 0
        self._files = 0
        self._after_run = State.IDLE if start.reset is None else State.RESETTING
        return data

    @property
    def stdin_room(self) -> int:
        """The bytes that may be sent to the program now; 0 when the run is over."""
        return STDIN_WINDOW - self._stdin_outstanding if self.state in _ACTIVE else 0

    def stdin(self, data: bytes) -> bytes:
        """Send at most ``stdin_room`` bytes to the program; none means end of file. Does nothing after the end."""
        if self.state not in _ACTIVE:
            return b""
        if len(data) > self.stdin_room:
            raise UsageError(f"{len(data)} bytes of stdin do not fit into the window of {self.stdin_room}")
        self._stdin_outstanding += len(data)
        return encode.frame(Frame.STDIN, data)

    def kill(self) -> bytes:
        """Kill the run. Does nothing after its end."""
        return encode.frame(Frame.KILL) if self.state in _ACTIVE else b""

    def reset(self, reset: Reset) -> bytes:
        """Kill, wipe and verify, then boot for the next user; answered by Clean."""
        data = encode.reset(reset)
        self._leave(State.IDLE, State.RESETTING)
        return data

    def list_files(self) -> bytes:
        """Ask for every regular file below the workspace; answered by Files, repeated, then Ready."""
        self._leave(State.IDLE, State.LISTING)
        self._files = 0
        return encode.frame(Frame.LIST)

    def get(self, path: bytes, *, uid: int, offset: int = 0, count: int = (1 << 63) - 1) -> bytes:
        """Read a file, or ``count`` bytes of it; answered by Content, repeated until an empty one, or by Refused."""
        data = encode.get(path, uid=uid, offset=offset, count=count)
        self._leave(State.IDLE, State.READING)
        return data

    def need(self, key: str, *, link: str = "", path: str = "") -> bytes:
        """Name an entry of the store that the next run needs; ``start`` or ``sync`` reports a missing one.

        Args:
            key: the key of the entry.
            link: the name of a link to it in the workspace while the run lasts; empty means none.
            path: the path in the entry that the link leads to.
        """
        self._require(State.IDLE)
        return encode.need(key.encode(), link.encode(), path.encode())

    def stage(self, key: str, *, uid: int) -> bytes:
        """Begin an entry of the store for a user to fill; answered by Ready or Refused."""
        data = encode.stage(key.encode(), uid=uid)
        self._leave(State.IDLE, State.SYNCING)
        return data

    def publish(self, key: str, manifest: bytes) -> bytes:
        """Make the staged files an entry of the store; answered by Ready or Refused."""
        data = encode.publish(key.encode(), manifest)
        self._leave(State.IDLE, State.SYNCING)
        return data

    def evict(self, name: str) -> bytes:
        """Remove an entry of the store, or the rest of one; answered by Ready or Refused."""
        data = encode.evict(name.encode())
        self._leave(State.IDLE, State.SYNCING)
        return data

    def entries(self) -> bytes:
        """Ask for the entries of the store; answered by Stored, repeated, then Ready, or by Refused."""
        self._leave(State.IDLE, State.STORE_LISTING)
        self._files = 0
        return encode.frame(Frame.ENTRIES)

    # -- what the supervisor says

    def receive(self, data: bytes) -> list[Event]:
        """Take the next bytes of the stream, and return the events in them.

        Raises:
            ProtocolError: the protocol does not allow these bytes now; the conversation is over.
        """
        events: list[Event] = []
        at, end = 0, len(data)
        try:
            while at < end:
                if self._frame is None:
                    taken = min(HEADER_SIZE - len(self._header), end - at)
                    self._header += data[at : at + taken]
                    at += taken
                    if len(self._header) < HEADER_SIZE:
                        break
                    self._begin()
                    if self._left and at == end:
                        break  # no piece yet: an empty one would be the end of a file
                piece = data[at : at + self._left]
                at += len(piece)
                self._take(piece, events)
        except ProtocolError:
            self.state = State.CLOSED
            raise
        return events

    def _begin(self) -> None:
        """Check a header before its payload is kept."""
        length, kind, zero, zeros = _HEADER.unpack(self._header)
        self._header.clear()
        if length > MAX_PAYLOAD or zero or zeros:
            raise ProtocolError(f"the supervisor sent a header that cannot be: {length} bytes, type {kind:#x}")
        if kind not in _EXPECTED[self.state]:
            raise ProtocolError(f"the supervisor sent a frame of type {kind:#x} while {self.state.name}")
        if length == 0 and kind in _OUTPUT:
            raise ProtocolError("the supervisor sent output of no bytes")
        self._frame = Frame(kind)
        self._left = length
        self._empty = length == 0

    def _take(self, piece: bytes, events: list[Event]) -> None:
        frame = self._frame
        assert frame is not None
        self._left -= len(piece)
        if frame in _OUTPUT:
            events.append(Output(_OUTPUT[frame], piece))
        elif frame is Frame.CONTENT:
            events.append(Content(piece))
        else:
            self._payload += piece
            if self._left == 0:
                events.append(self._check(decode(frame, bytes(self._payload))))
                self._payload.clear()
        if self._left == 0:
            self._frame = None
            if frame is Frame.EXIT:
                self.state = self._after_run
            elif frame is Frame.CONTENT and self._empty:
                self.state = State.IDLE
            else:
                self.state = _EXPECTED[self.state][frame]

    def _check(self, event: Event) -> Event:
        """Check an event against the conversation: a frame alone cannot show these faults."""
        if isinstance(event, Hello) and event.version != VERSION:
            raise ProtocolError(f"the supervisor speaks version {event.version} of the protocol, not {VERSION}")
        if isinstance(event, Credit):
            self._stdin_outstanding -= event.count
            if self._stdin_outstanding < 0:
                raise ProtocolError(f"the supervisor took {event.count} bytes of stdin, more than it was sent")
        if isinstance(event, (Files, Stored)):
            self._files += len(event.entries) if isinstance(event, Files) else 1
            if self._files > _MAX_FILES:
                raise ProtocolError(f"the supervisor lists more than {_MAX_FILES} files")
        return event

    def _leave(self, current: State, target: State) -> None:
        self._require(current)
        self.state = target

    def _require(self, state: State) -> None:
        if self.state is not state:
            raise UsageError(f"the conversation is {self.state.name}, not {state.name}")
