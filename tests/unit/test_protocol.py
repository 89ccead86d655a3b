"""What a supervisor says, as scripted bytes."""

from __future__ import annotations

import itertools
import struct
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interpreter_tools._exceptions import ProtocolError
from interpreter_tools._protocol import (
    Clean,
    Connection,
    Content,
    Credit,
    Event,
    Exited,
    Fatal,
    Files,
    Hello,
    Output,
    Ready,
    Refused,
    Reset,
    Start,
    State,
)
from interpreter_tools._protocol.constants import (
    MAX_PAYLOAD,
    MESSAGE_SIZE,
    STDIN_WINDOW,
    VERSION,
    BootMode,
    Ended,
    Flag,
    Frame,
    Verdict,
    Why,
)
from interpreter_tools.testing.wire import EXAMPLES, EXITED, HELLO, UID, encode, frame, payload_of

from .conversations import connection_in, run, start

_U32 = st.integers(0, (1 << 32) - 1)
_U64 = st.integers(0, (1 << 64) - 1)
_ERRNO = st.integers(0, 4095)
_PATH = st.binary(min_size=1, max_size=40).filter(lambda path: b"\0" not in path)
_LEFT = st.text(st.characters(codec="utf-8"), max_size=40)

_FILES = st.builds(Files, st.lists(st.tuples(_U64, _PATH), max_size=5).map(tuple), st.booleans())
_EXITS = st.builds(
    Exited,
    st.sampled_from(Ended),
    st.integers(0, 255),
    st.just(0),
    unclean=st.booleans(),
    wall_us=_U64,
    cpu_us=_U64,
    peak_memory=_U64,
    oom_kills=_U32,
) | st.builds(
    Exited,
    st.sampled_from(Ended),
    st.just(-1),
    st.integers(1, 127),
    unclean=st.booleans(),
    wall_us=_U64,
    cpu_us=_U64,
    peak_memory=_U64,
    oom_kills=_U32,
)
_OUTPUTS = st.builds(Output, st.sampled_from(("stdout", "stderr")), st.binary(min_size=1, max_size=30))
_REFUSALS = st.builds(Refused, st.sampled_from(Why), _ERRNO, st.binary(max_size=40))


_RUN = dict.fromkeys((133, 134, 135, 141, 142), State.RUNNING) | {0x88: State.LISTED, 0x89: State.IDLE}

# What protocol.h allows the supervisor to say in each state, and where that leads.
_ALLOWED: dict[State, dict[int, State]] = {
    State.CONNECTED: {0x81: State.GREETED},
    State.GREETED: {},
    State.BOOTING: {0x82: State.IDLE, 0x83: State.CLOSED},
    State.IDLE: {},
    State.PUTTING: {},
    State.SYNCING: {0x82: State.IDLE, 0x83: State.IDLE},
    State.STARTING: {0x83: State.IDLE, **_RUN},
    State.RUNNING: _RUN,
    State.LISTED: {0x88: State.LISTED, 0x89: State.IDLE},
    State.RESETTING: {0x8A: State.IDLE},
    State.LISTING: {0x88: State.LISTING, 0x82: State.IDLE},
    State.READING: {0x8B: State.READING, 0x83: State.IDLE},
    State.STORE_LISTING: {0x84: State.STORE_LISTING, 0x82: State.IDLE, 0x83: State.IDLE},
}


def joined(events: list[Event]) -> list[Event]:
    """The events, where pieces of output or content that follow each other are one."""
    result: list[Event] = []
    for event in events:
        last = result[-1] if result else None
        if isinstance(event, Output) and isinstance(last, Output) and event.stream == last.stream:
            result[-1] = Output(event.stream, last.data + event.data)
        elif isinstance(event, Content) and event.data and isinstance(last, Content):
            result[-1] = Content(last.data + event.data)
        else:
            result.append(event)
    return result


def in_pieces(data: bytes, cuts: list[int]) -> list[bytes]:
    """The data, cut at those places that lie in it."""
    edges = [0, *sorted(cut for cut in cuts if cut < len(data)), len(data)]
    return [data[begin:end] for begin, end in itertools.pairwise(edges)]


def receive_all(connection: Connection, pieces: list[bytes]) -> list[Event]:
    """The events in the pieces."""
    return [event for piece in pieces for event in connection.receive(piece)]


# -- what is understood


def test_life_of_a_container() -> None:
    """Every request, each answered as it should be."""
    connection = Connection()
    assert connection.receive(encode(HELLO)) == [HELLO]
    connection.boot(BootMode.FORK, ("python3",), {"A": "1"}, uid=UID)
    assert connection.receive(encode(Ready())) == [Ready()]
    connection.put(b"main.py", b"code", uid=UID)
    connection.sync()
    assert connection.receive(encode(Ready())) == [Ready()]
    start(connection)
    said: list[Event] = [Output("stdout", b"a"), Output("stderr", b"b"), Files(((1, b"x"),), False), EXITED]
    assert connection.receive(encode(*said)) == said
    connection.list_files()
    listed: list[Event] = [Files(((1, b"x"),), True), Files((), False), Ready()]
    assert connection.receive(encode(*listed)) == listed
    connection.get(b"x", uid=UID)
    read: list[Event] = [Content(b"1"), Content(b"2"), Content(b"")]
    assert connection.receive(encode(*read)) == read
    connection.get(b"y", uid=UID)
    assert connection.receive(encode(Refused(Why.GET, 2, b"y"))) == [Refused(Why.GET, 2, b"y")]
    connection.reset(Reset(1000, UID + 1))
    assert connection.receive(encode(Clean(Verdict.OK, ""))) == [Clean(Verdict.OK, "")]
    assert connection.state is State.IDLE


def test_reset_that_follows_a_run() -> None:
    """Its answer comes behind the end; a run that was refused has none."""
    connection = connection_in(State.IDLE)
    connection.start(Start(("true",), {}, uid=UID, flags=Flag.LAST, reset=Reset(1000, UID + 1)))
    connection.receive(encode(Refused(Why.NEED, 0, b"key")))
    assert connection.state is State.IDLE
    connection.start(Start(("true",), {}, uid=UID, flags=Flag.LAST, reset=Reset(1000, UID + 1)))
    said: list[Event] = [EXITED, Clean(Verdict.FILES, "/tmp")]
    assert connection.receive(encode(EXITED)) == said[:1]
    assert connection.state is State.RESETTING
    assert connection.receive(encode(said[1])) == said[1:]
    start(connection)
    connection.receive(encode(EXITED))
    assert connection.state is State.IDLE


@pytest.mark.parametrize("state", _ALLOWED)
def test_each_frame_where_it_is_expected(state: State) -> None:
    """It means what was encoded, and leads where the header says."""
    for kind, target in {**_ALLOWED[state], 0x8C: State.CLOSED}.items():
        connection = connection_in(state)
        assert connection.receive(encode(EXAMPLES[kind])) == [EXAMPLES[kind]]
        assert connection.state is target


@pytest.mark.parametrize("state", State)
def test_each_frame_where_it_is_not_expected(state: State) -> None:
    """Refused from its header alone, and nothing is understood after it: ours, unknown ones, and type 0."""
    allowed = {*_ALLOWED[state], 0x8C} if state is not State.CLOSED else set[int]()
    for kind in set(range(256)) - allowed:
        connection = connection_in(state)
        with pytest.raises(ProtocolError, match=f"type {kind:#x} while {state.name}"):
            connection.receive(frame(kind, b"1234")[:8])
        assert connection.state is State.CLOSED
        with pytest.raises(ProtocolError):
            connection.receive(encode(HELLO))


@given(
    outputs=st.lists(_OUTPUTS | st.just(Credit(0)), max_size=8),
    files=st.lists(_FILES, max_size=3),
    exited=_EXITS,
    cuts=st.lists(st.integers(0, 1000), max_size=40),
)
def test_run_is_the_same_however_the_stream_is_cut(
    outputs: list[Event], files: list[Event], exited: Event, cuts: list[int]
) -> None:
    """Reads end anywhere: in a header, behind it, in a payload."""
    said: list[Event] = [*outputs, *files, exited]
    connection = connection_in(State.STARTING)
    received = receive_all(connection, in_pieces(encode(*said), cuts))
    assert joined(received) == joined(said)
    assert all(event.data for event in received if isinstance(event, Output))
    assert connection.state is State.IDLE


@given(pieces=st.lists(st.binary(min_size=1, max_size=30), max_size=5), cuts=st.lists(st.integers(0, 300), max_size=20))
def test_file_is_the_same_however_the_stream_is_cut(pieces: list[bytes], cuts: list[int]) -> None:
    """An empty piece means the end, so there is exactly one."""
    said: list[Event] = [*map(Content, pieces), Content(b"")]
    received = receive_all(connection_in(State.READING), in_pieces(encode(*said), cuts))
    assert received[-1] == Content(b"")
    assert all(isinstance(event, Content) and event.data for event in received[:-1])
    assert joined(received) == joined(said)


def test_run_is_the_same_byte_by_byte() -> None:
    """The finest cut of all."""
    said: list[Event] = [*(EXAMPLES[kind] for kind in (0x85, 0x86, 0x8D, 0x87, 0x88)), EXITED]
    stream = encode(*said)
    received = receive_all(connection_in(State.STARTING), [stream[at : at + 1] for at in range(len(stream))])
    assert joined(received) == said


def test_output_comes_before_its_frame_is_whole() -> None:
    """A frame of 64 KiB is not collected."""
    connection = connection_in(State.RUNNING)
    assert connection.receive(frame(Frame.STDOUT, b"abcdef")[:11]) == [Output("stdout", b"abc")]


@given(machine=_U32, pid=_U32)
def test_hello_round_trip(machine: int, pid: int) -> None:
    """Every machine is understood; what is done with it is decided elsewhere."""
    hello = Hello(VERSION, machine, pid)
    assert Connection().receive(encode(hello)) == [hello]


@given(event=_REFUSALS)
def test_refused_round_trip(event: Event) -> None:
    """Subjects are bytes of any kind."""
    assert connection_in(State.STARTING).receive(encode(event)) == [event]


@given(event=_FILES, state=st.sampled_from((State.STARTING, State.RUNNING, State.LISTED, State.LISTING)))
def test_files_round_trip(event: Event, state: State) -> None:
    """Names are bytes of any kind but NUL."""
    assert connection_in(state).receive(encode(event)) == [event]


@given(event=_EXITS)
def test_exited_round_trip(event: Event) -> None:
    """Every number that fits."""
    assert connection_in(State.RUNNING).receive(encode(event)) == [event]


@given(event=st.builds(Clean, st.sampled_from(Verdict), _LEFT))
def test_clean_round_trip(event: Event) -> None:
    """Verdict and words."""
    assert connection_in(State.RESETTING).receive(encode(event)) == [event]


@given(message=_LEFT, state=st.sampled_from(list(_ALLOWED)))
def test_fatal_round_trip(message: str, state: State) -> None:
    """It may come at any time."""
    assert connection_in(state).receive(encode(Fatal(message))) == [Fatal(message)]


@given(size=st.integers(1, STDIN_WINDOW))
def test_credit_round_trip(size: int) -> None:
    """What was taken makes room again."""
    connection = connection_in(State.RUNNING)
    connection.stdin(bytes(size))
    assert connection.stdin_room == STDIN_WINDOW - size
    assert connection.receive(encode(Credit(size))) == [Credit(size)]
    assert connection.stdin_room == STDIN_WINDOW


def test_words_that_are_not_utf8() -> None:
    """A supervisor's last words may end inside a character."""
    connection = connection_in(State.IDLE)
    assert connection.receive(frame(Frame.FATAL, b"\2\0\0\0a\xc3")) == [Fatal("a\ufffd")]


# -- what is refused

_COLLECTED = [kind for kind in EXAMPLES if kind not in {0x82, 0x85, 0x86, 0x8B, 0x8D}]


def state_for(kind: int) -> State:
    """A state in which such a frame may come."""
    return next((state for state, kinds in _ALLOWED.items() if kind in kinds), State.IDLE)


@pytest.mark.parametrize("kind", EXAMPLES)
@pytest.mark.parametrize("length", [MAX_PAYLOAD + 1, 1 << 31, (1 << 32) - 1])
def test_length_is_refused_from_the_header_alone(kind: int, length: int) -> None:
    """Four gigabytes are neither waited for nor made room for."""
    connection = connection_in(state_for(kind))
    with pytest.raises(ProtocolError, match=f"{length} bytes"):
        connection.receive(struct.pack("<II", length, kind))


def test_reserved_byte_is_zero() -> None:
    """Else the two sides do not mean the same."""
    with pytest.raises(ProtocolError, match="header that cannot be"):
        Connection().receive(frame(*payload_of(HELLO), zeros=1))


@pytest.mark.parametrize("kind", _COLLECTED)
def test_payload_that_is_too_short_or_too_long(kind: int) -> None:
    """Every length but the right one."""
    _, payload = payload_of(EXAMPLES[kind])
    for wrong in (*(payload[:size] for size in range(len(payload))), payload + b"\0", payload + payload):
        if wrong != payload:
            with pytest.raises(ProtocolError, match=f"malformed {Frame(kind).name} of {len(wrong)} bytes"):
                connection_in(state_for(kind)).receive(frame(kind, wrong))


def test_note_of_an_interpreter() -> None:
    """Text for people, of a limited length; bytes that are not UTF-8 are replaced."""
    assert connection_in(State.BOOTING).receive(frame(Frame.READY, b"left \xff")) == [Ready("left \ufffd")]
    with pytest.raises(ProtocolError, match="malformed READY"):
        connection_in(State.BOOTING).receive(frame(Frame.READY, bytes(1025)))


@pytest.mark.parametrize("payload", [b"", b"\1\0\0", b"\0\0\0\0", b"\0\0\0\0d", b"\1\0\0\0" + bytes(MESSAGE_SIZE + 1)])
def test_message_without_a_sender_or_of_a_wrong_size(payload: bytes) -> None:
    """Connections count from 1; a piece without bytes is the end of one."""
    with pytest.raises(ProtocolError, match="malformed MESSAGE"):
        connection_in(State.RUNNING).receive(frame(Frame.MESSAGE, payload))


@pytest.mark.parametrize("version", [0, VERSION + 1, (1 << 32) - 1])
def test_another_version(version: int) -> None:
    """Named, with ours."""
    with pytest.raises(ProtocolError, match=f"version {version} of the protocol, not {VERSION}"):
        Connection().receive(encode(Hello(version, 62, 1)))


def test_more_credit_than_was_sent() -> None:
    """A window that grows without end would fill somebody's memory."""
    connection = connection_in(State.RUNNING)
    connection.stdin(b"12345")
    connection.receive(encode(Credit(3)))
    with pytest.raises(ProtocolError, match="took 3 bytes of stdin"):
        connection.receive(encode(Credit(3)))


def test_window_is_whole_again_in_the_next_run() -> None:
    """What one program did not read takes nothing from the next."""
    connection = connection_in(State.RUNNING)
    connection.stdin(bytes(STDIN_WINDOW))
    connection.receive(encode(EXITED))
    run(connection)
    assert connection.stdin_room == STDIN_WINDOW


def test_list_without_end() -> None:
    """It is given up, in one run or one listing; the next begins at none."""
    many = frame(Frame.FILES, struct.pack("<HH", 5000, 0) + (bytes(8) + b"\1\0\0\0a") * 5000)
    for state in (State.RUNNING, State.LISTING):
        connection = connection_in(state)
        for _ in range(40):
            connection.receive(many)
        with pytest.raises(ProtocolError, match="more than 200000 files"):
            connection.receive(many)
    connection = connection_in(State.LISTING)
    for _ in range(3):
        for _ in range(39):
            connection.receive(many)
        connection.receive(encode(Ready()))
        connection.list_files()


@pytest.mark.parametrize("path", [b"", b"a\0b", b"a" * 4097])
def test_names_that_cannot_be(path: bytes) -> None:
    """No file system has them."""
    with pytest.raises(ProtocolError, match="malformed FILES"):
        connection_in(State.RUNNING).receive(encode(Files(((1, path),), partial=False)))


@pytest.mark.parametrize(
    ("kind", "payload"),
    [
        (Frame.REFUSED, struct.pack("<III", 0, 0, 0)),
        (Frame.REFUSED, struct.pack("<III", 8, 0, 0)),
        (Frame.REFUSED, struct.pack("<III", Why.PUT, 4096, 0)),
        (Frame.REFUSED, struct.pack("<III", Why.PUT, (1 << 32) - 1, 0)),
        (Frame.FILES, struct.pack("<HH", 0, 2)),
        (Frame.CLEAN, struct.pack("<II", 5, 0)),
    ],
)
def test_numbers_without_a_meaning(kind: int, payload: bytes) -> None:
    """An error number that no kernel has would not even be text."""
    with pytest.raises(ProtocolError, match="malformed"):
        connection_in(state_for(kind)).receive(frame(kind, payload))


@pytest.mark.parametrize(
    ("ended", "exit_code", "signal", "flags", "zero"),
    [
        (4, 0, 0, 0, 0),
        (0, 256, 0, 0, 0),
        (0, -2, 0, 0, 0),
        (0, -1, 0, 0, 0),
        (0, -1, 128, 0, 0),
        (0, 1, 9, 0, 0),
        (0, 0, 0, 2, 0),
        (0, 0, 0, 0, 1),
    ],
)
def test_ends_that_cannot_be(ended: int, exit_code: int, signal: int, flags: int, zero: int) -> None:
    """Either a code or a signal, in their ranges."""
    payload = struct.pack("<IiIIQQQII", ended, exit_code, signal, flags, 1, 2, 3, 4, zero)
    with pytest.raises(ProtocolError, match="malformed EXIT"):
        connection_in(State.RUNNING).receive(frame(Frame.EXIT, payload))


@pytest.mark.parametrize("kind", [Frame.STDOUT, Frame.STDERR])
def test_output_of_no_bytes(kind: int) -> None:
    """Frames that say nothing could be sent for ever."""
    with pytest.raises(ProtocolError, match="output of no bytes"):
        connection_in(State.RUNNING).receive(frame(kind))


_NOISE = st.lists(
    st.binary(max_size=60)
    | st.builds(frame, st.sampled_from(sorted(EXAMPLES)), st.binary(max_size=60))
    | st.sampled_from(sorted(EXAMPLES)).map(lambda kind: encode(EXAMPLES[kind])),
    max_size=12,
)


@given(state=st.sampled_from(State), noise=_NOISE, cuts=st.lists(st.integers(0, 600), max_size=10))
def test_noise_is_a_broken_protocol_and_nothing_else(state: State, noise: list[bytes], cuts: list[int]) -> None:
    """Whatever comes, also after it was refused."""
    connection = connection_in(state)
    for piece in in_pieces(b"".join(noise), cuts):
        try:
            connection.receive(piece)
        except ProtocolError:
            assert connection.state is State.CLOSED
        assert len(connection._payload) <= MAX_PAYLOAD
        assert len(connection._header) < 8


def test_endless_stream_costs_no_memory() -> None:
    """32 MiB of output and of frames that say nothing, with nobody who keeps them."""
    output = frame(Frame.STDOUT, bytes(MAX_PAYLOAD))
    empty = encode(Files((), partial=False)) * 5000
    connection = connection_in(State.RUNNING)
    tracemalloc.start()
    try:
        for _ in range(512):
            connection.receive(output)
        for _ in range(8):
            connection.receive(empty)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 2 << 20
