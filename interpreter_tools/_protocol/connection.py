"""One conversation with a supervisor: a state machine that refuses what its state does not allow."""

from __future__ import annotations

import struct
from enum import Enum, auto
from typing import TYPE_CHECKING, Literal, cast

from interpreter_tools._exceptions import ProtocolError, UsageError
from interpreter_tools._protocol import encode
from interpreter_tools._protocol.constants import (
    HEADER_SIZE,
    MAX_PAYLOAD,
    MAX_SIDE,
    MESSAGE_SIZE,
    PUT_CODE,
    PUT_RUN,
    STDIN_WINDOW,
    TELL_WINDOW,
    VERSION,
    BootMode,
    Flag,
    Frame,
)
from interpreter_tools._protocol.decode import decode
from interpreter_tools._protocol.events import (
    Beside,
    Content,
    Credit,
    Files,
    Hello,
    Message,
    Output,
    Stored,
    Told,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from interpreter_tools._protocol.encode import DataFrames, Reset, Start
    from interpreter_tools._protocol.events import Event, RunEvent

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
    Frame.TOLD: State.RUNNING,
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

_FRAMES: dict[int, Frame] = {frame.value: frame for frame in Frame}
_OUTPUT: dict[int, Literal["stdout", "stderr"]] = {Frame.STDOUT: "stdout", Frame.STDERR: "stderr"}
_ACTIVE = frozenset({State.STARTING, State.RUNNING, State.LISTED})
_TOLD_HEAD = 4  # bytes that a piece takes of its connection's window beside its own
_LAST_NUMBER = 0xFFFF

# What may come of a side run.
_OF_SIDE = frozenset(
    {
        *(Frame.STDOUT, Frame.STDERR, Frame.MESSAGE, Frame.CREDIT, Frame.TOLD),
        *(Frame.FALLEN, Frame.DELAYED, Frame.EXIT, Frame.REFUSED),
    }
)


_NO_SIDE = frozenset({State.CONNECTED, State.GREETED, State.BOOTING, State.RESETTING, State.CLOSED})


class _Flow:
    """The bytes on their way to one run: those of stdin, and those told to each of its connections."""

    __slots__ = ("stdin", "told")

    def __init__(self) -> None:
        self.stdin = 0
        self.told: dict[int, int] = {}


class Connection:
    """The client's side. Methods return the bytes to send; ``receive`` takes bytes and returns events.

    A request that cannot be put into bytes raises, and leaves the conversation where it was.

    Program output and file contents are handed out as they come; every other frame is collected until it is whole.
    """

    def __init__(self) -> None:
        self.state = State.CONNECTED
        self._header = b""  # the beginning of one that is not complete yet
        self._frame: Frame | None = None
        self._left = 0
        self._empty = False
        self._payload = bytearray()
        self._files = 0
        self._flows = {0: _Flow()}  # of the main run and of each side run, by its number
        self._run = 0  # of the frame that is coming
        self._last_number = 0
        self._after_run = State.IDLE
        self._is_last = False  # a reset has to come before another run

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
        self._flows[0] = _Flow()
        self._files = 0
        self._after_run = State.IDLE if start.reset is None else State.RESETTING
        self._is_last = bool(start.flags & Flag.LAST)
        return data

    def start_side(self, start: Start) -> tuple[int, bytes]:
        """Run a program beside the main run; return its number, and the bytes to send.

        It is answered by Refused, or by output and then Exited, each with that number. What was sent ahead for it
        (files, an entry of the store) needs the state IDLE.

        Raises:
            UsageError: no program can be started now, or too many run already.
        """
        if self.state in _NO_SIDE or self._is_last or start.flags & (Flag.LAST | Flag.LIST):
            raise UsageError(f"no program can be started beside others: the conversation is {self.state.name}")
        if len(self._flows) > MAX_SIDE:
            raise UsageError(f"{MAX_SIDE} programs run beside each other already, and no container runs more")
        number = self._last_number
        while (number := number % _LAST_NUMBER + 1) in self._flows:
            pass
        data = encode.start(start, run=number)
        self._last_number = number
        self._flows[number] = _Flow()
        return number, data

    def _flow(self, run: int) -> _Flow | None:
        """Return the flow of a run; None when it has ended."""
        return self._flows.get(run) if run or self.state in _ACTIVE else None

    @property
    def stdin_room(self) -> int:
        """The bytes that may be sent to the program now; 0 when the run is over."""
        return self.stdin_room_of(0)

    def stdin_room_of(self, run: int) -> int:
        """Return the bytes that may be sent to the program of a run now; 0 when the run is over."""
        flow = self._flow(run)
        return 0 if flow is None else STDIN_WINDOW - flow.stdin

    def stdin(self, data: bytes, *, run: int = 0) -> bytes:
        """Send at most ``stdin_room`` bytes to the program; none means end of file. Does nothing after the end."""
        flow = self._flow(run)
        if flow is None:
            return b""
        if len(data) > STDIN_WINDOW - flow.stdin:
            raise UsageError(f"{len(data)} bytes of stdin do not fit into the window of {STDIN_WINDOW - flow.stdin}")
        flow.stdin += len(data)
        return encode.frame(Frame.STDIN, data, run=run)

    def kill(self, *, run: int = 0) -> bytes:
        """Kill a run. Does nothing after its end."""
        return encode.frame(Frame.KILL, run=run) if self._flow(run) is not None else b""

    def signal(self, number: int, *, run: int = 0) -> bytes:
        """Send a signal to the process group of a run's program. Does nothing after its end."""
        return encode.signal(number, run=run) if self._flow(run) is not None else b""

    def delay(self, *, run: int) -> bytes:
        """Ask how long the processes of a side run have waited for a processor; answered by Delayed."""
        return encode.frame(Frame.DELAY, run=run) if self._flow(run) is not None else b""

    def tells(self, connection: int, size: int, *, run: int = 0) -> bool:
        """Return whether a piece of that size may be told to a connection now; False when the run is over."""
        flow = self._flow(run)
        return flow is not None and flow.told.get(connection, 0) + size + _TOLD_HEAD <= TELL_WINDOW

    def tell(self, connection: int, data: bytes, *, run: int = 0) -> bytes:
        """Send a piece to a connection of a run. Does nothing after the end of the run."""
        flow = self._flow(run)
        if flow is None:
            return b""
        told = flow.told.get(connection, 0) + len(data) + _TOLD_HEAD
        if not 0 < len(data) <= MESSAGE_SIZE or told > TELL_WINDOW:
            raise UsageError(f"{len(data)} bytes cannot be told to a connection now")
        flow.told[connection] = told
        return encode.tell(connection, data, run=run)

    def taken(self, count: int, *, run: int) -> bytes:
        """Make room for more output of a side run: so many bytes have been taken. Does nothing after its end."""
        return encode.taken(count, run=run) if self._flow(run) is not None else b""

    def lead(self, connection: int, spared: Sequence[int], *, run: int) -> bytes:
        """Make the process of a connection the program of a side run, and kill its others but those of the spared ones.

        Does nothing after the end of the run.
        """
        return encode.lead(connection, spared, run=run) if self._flow(run) is not None else b""

    def pause(self, *, paused: bool) -> bytes:
        """Have the processes of all runs stand still, or go on. There is no answer."""
        return encode.pause(paused=paused)

    def reset(self, reset: Reset) -> bytes:
        """Kill, wipe and verify, then boot for the next user; answered by Clean."""
        data = encode.reset(reset)
        self._leave(State.IDLE, State.RESETTING)
        return data

    def mark(self) -> bytes:
        """Begin to note which files change; see ``list_files``."""
        self._require(State.IDLE)
        return encode.frame(Frame.MARK)

    def list_files(self, *, changed: bool = False) -> bytes:
        """Ask for the regular files below the workspace; answered by Files, repeated, then Ready.

        Args:
            changed: only those that are new or changed since the last mark, or the start of the last main run.
        """
        self._leave(State.IDLE, State.LISTING)
        self._files = 0
        return encode.list_files(changed=changed)

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
                    missing = HEADER_SIZE - len(self._header)
                    header = self._header + data[at : at + missing]
                    if len(header) < HEADER_SIZE:
                        self._header = header
                        break
                    self._header = b""
                    at += missing
                    self._begin(header)
                    if self._left and at == end:
                        break  # no piece yet: an empty one would be the end of a file
                piece = data[at : at + self._left]
                at += len(piece)
                self._take(piece, events)
        except ProtocolError:
            self._enter(State.CLOSED)
            raise
        return events

    def _begin(self, header: bytes) -> None:
        """Check a header before its payload is kept."""
        length, kind, zero, run = _HEADER.unpack(header)
        if length > MAX_PAYLOAD or zero:
            raise ProtocolError(f"the supervisor sent a header that cannot be: {length} bytes, type {kind:#x}")
        if run and (run not in self._flows or kind not in _OF_SIDE or self.state is State.CLOSED):
            raise ProtocolError(f"the supervisor sent a frame of type {kind:#x} of run {run}")
        if not run and kind not in _EXPECTED[self.state]:
            raise ProtocolError(f"the supervisor sent a frame of type {kind:#x} while {self.state.name}")
        self._run = run
        if length == 0 and kind in _OUTPUT:
            raise ProtocolError("the supervisor sent output of no bytes")
        self._frame = _FRAMES[kind]
        self._left = length
        self._empty = length == 0

    def _take(self, piece: bytes, events: list[Event]) -> None:
        frame = self._frame
        assert frame is not None
        self._left -= len(piece)
        if frame in _OUTPUT:
            event: Event | None = Output(_OUTPUT[frame], piece)
        elif frame is Frame.CONTENT:
            event = Content(piece)
        else:
            event = self._whole(frame, piece)
        if event is not None:
            events.append(Beside(self._run, cast("RunEvent", event)) if self._run else event)
        if self._left == 0:
            self._frame = None
            if self._run:
                if frame is Frame.EXIT or frame is Frame.REFUSED:
                    del self._flows[self._run]
            elif frame is Frame.EXIT:
                self._enter(self._after_run)
            elif frame is Frame.CONTENT and self._empty:
                self._enter(State.IDLE)
            else:
                self._is_last = self._is_last and frame is not Frame.CLEAN and frame is not Frame.REFUSED
                self._enter(_EXPECTED[self.state][frame])

    def _whole(self, frame: Frame, piece: bytes) -> Event | None:
        """Return the event of a frame that this piece completes; None while more is to come."""
        if self._left or self._payload:
            self._payload += piece
            if self._left:
                return None
            piece = bytes(self._payload)
            self._payload.clear()
        return self._check(decode(frame, piece))

    def _check(self, event: Event) -> Event:
        """Check an event against the conversation: a frame alone cannot show these faults."""
        if isinstance(event, Hello) and event.version != VERSION:
            raise ProtocolError(f"the supervisor speaks version {event.version} of the protocol, not {VERSION}")
        if isinstance(event, Message):
            if not event.data:
                self._flows[self._run].told.pop(event.connection, None)
            return event
        if isinstance(event, Credit):
            flow = self._flows[self._run]
            flow.stdin -= event.count
            if flow.stdin < 0:
                raise ProtocolError(f"the supervisor took {event.count} bytes of stdin, more than it was sent")
        if isinstance(event, Told):
            told = self._flows[self._run].told
            left = told.get(event.connection, 0) - event.count
            if left < 0:
                raise ProtocolError(f"the supervisor told a connection {event.count} bytes, more than it was sent")
            told[event.connection] = left
        if isinstance(event, (Files, Stored)):
            self._files += len(event.entries) if isinstance(event, Files) else 1
            if self._files > _MAX_FILES:
                raise ProtocolError(f"the supervisor lists more than {_MAX_FILES} files")
        return event

    def _leave(self, current: State, target: State) -> None:
        self._require(current)
        self._enter(target)

    def _enter(self, state: State) -> None:
        """Change the state. What may come in each, and what it leads to, was looked up by the caller."""
        assert self.state is not State.CLOSED or state is State.CLOSED, f"a closed conversation cannot be {state.name}"
        self.state = state

    def _require(self, state: State) -> None:
        if self.state is not state:
            raise UsageError(f"the conversation is {self.state.name}, not {state.name}")
