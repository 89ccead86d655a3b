"""What a supervisor is told."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interpreter_tools._exceptions import ConfigurationError, UsageError
from interpreter_tools._protocol import Connection, DataFrames, Reset, Start, State
from interpreter_tools._protocol.constants import MAX_PAYLOAD, STDIN_WINDOW, BootMode, Flag
from interpreter_tools.testing.wire import UID, requests

from .conversations import connection_in, start

if TYPE_CHECKING:
    from collections.abc import Callable

_U32 = st.integers(0, (1 << 32) - 1)
_U64 = st.integers(0, (1 << 64) - 1)
_WORDS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=20)
_VARIABLES = st.dictionaries(_WORDS.filter(lambda name: name and "=" not in name), _WORDS, max_size=5)


def as_bytes(words: list[str]) -> list[bytes]:
    """Their UTF-8."""
    return [word.encode() for word in words]


@given(mode=st.sampled_from(BootMode), argv=st.lists(_WORDS, max_size=5), environment=_VARIABLES, uid=_U32)
def test_boot_says(mode: BootMode, argv: list[str], environment: dict[str, str], uid: int) -> None:
    """Which interpreter, for whom."""
    variables = [f"{name}={value}" for name, value in environment.items()]
    said = connection_in(State.GREETED).boot(mode, argv, environment, uid=uid)
    assert requests(said) == [(0x01, mode, uid, as_bytes(argv), as_bytes(variables))]


@given(
    argv=st.lists(_WORDS, max_size=5),
    environment=_VARIABLES,
    numbers=st.tuples(_U32, st.sampled_from([0, Flag.STDIN, Flag.BOOTED | Flag.LAST]), _U32, _U64),
    reset=st.none() | st.builds(Reset, _U32, _U32),
    directory=_WORDS,
)
def test_start_says(
    argv: list[str],
    environment: dict[str, str],
    numbers: tuple[int, int, int, int],
    reset: Reset | None,
    directory: str,
) -> None:
    """Everything about a run in one frame."""
    uid, flags, timeout_ms, output_limit = numbers
    said = connection_in(State.IDLE).start(
        Start(argv, environment, uid, flags, timeout_ms, output_limit, reset, directory)
    )
    variables = [f"{name}={value}" for name, value in environment.items()]
    assert requests(said) == [
        (0x06, *numbers, reset or (0, 0), directory.encode(), as_bytes(argv), as_bytes(variables))
    ]


@pytest.mark.parametrize("size", [0, 1, MAX_PAYLOAD - 1, MAX_PAYLOAD, MAX_PAYLOAD + 1, 3 * MAX_PAYLOAD])
@pytest.mark.parametrize("kind", [bytes, memoryview])
def test_put_says(size: int, kind: type[bytes | memoryview]) -> None:
    """A file of any size, in frames that fit; the state stays."""
    data = bytes(range(256)) * (size // 256 + 1)
    connection = connection_in(State.IDLE)
    first, *contents, last = requests(connection.put(b"a/\xff", kind(data[:size]), uid=UID, mode=0o755))
    assert first == (0x02, 0o755, UID, b"a/\xff")
    assert [kind for kind, *_ in contents] == [0x03] * -(-size // MAX_PAYLOAD)
    assert b"".join(piece for _, piece in contents if isinstance(piece, bytes)) == data[:size]
    assert last == (0x04,)
    assert connection.state is State.IDLE


def test_short_requests_say() -> None:
    """Those that hold numbers or nothing."""
    assert requests(connection_in(State.IDLE).sync()) == [(0x05,)]
    assert requests(connection_in(State.IDLE).list_files()) == [(0x0A,)]
    assert requests(connection_in(State.IDLE).reset(Reset(2000, 7))) == [(0x09, 2000, 7)]
    assert requests(connection_in(State.IDLE).get(b"a", uid=7)) == [(0x0B, 7, 0, (1 << 63) - 1, b"a")]
    assert requests(connection_in(State.IDLE).get(b"a", uid=7, offset=5, count=9)) == [(0x0B, 7, 5, 9, b"a")]
    assert requests(connection_in(State.RUNNING).kill()) == [(0x08,)]
    assert requests(connection_in(State.RUNNING).stdin(b"x\n")) == [(0x07, b"x\n")]
    assert requests(connection_in(State.RUNNING).stdin(b"")) == [(0x07, b"")]


def test_words_that_are_not_utf8_go_through() -> None:
    """As everywhere in Python."""
    ((*_, directory, argv, environment),) = requests(
        connection_in(State.IDLE).start(Start(("a\udcff",), {"B\udc80": "\udcfe"}, uid=UID, directory="/\udcfd"))
    )
    assert (directory, argv, environment) == (b"/\xfd", [b"a\xff"], [b"B\x80=\xfe"])


@pytest.mark.parametrize("environment", [{"BIG": "x" * MAX_PAYLOAD}, {f"V{n}": "" for n in range(70_000)}])
def test_environment_that_does_not_fit(environment: dict[str, str]) -> None:
    """Refused before anything is sent, with another way; the conversation goes on."""
    connection = connection_in(State.IDLE)
    with pytest.raises(ConfigurationError, match="is too large") as caught:
        connection.start(Start(("true",), environment, uid=UID))
    assert caught.value.field == "environment"
    assert "file" in caught.value.hint
    assert connection.state is State.IDLE
    with pytest.raises(ConfigurationError, match=r"boot\.command"):
        connection_in(State.GREETED).boot(BootMode.FORK, (), environment, uid=UID)


def test_arguments_that_do_not_fit() -> None:
    """Refused by their own name, beside an environment that fits."""
    with pytest.raises(ConfigurationError, match="is too large") as caught:
        connection_in(State.IDLE).start(Start(("cat", "x" * MAX_PAYLOAD), {"A": "b"}, uid=UID))
    assert caught.value.field == "args"


def test_largest_environment_that_fits() -> None:
    """To the byte."""
    connection = connection_in(State.IDLE)
    around = len(start(connection_in(State.IDLE))) - 8
    value = "x" * (MAX_PAYLOAD - around - 4 - len("A="))
    with pytest.raises(ConfigurationError):
        connection.start(Start(("true",), {"A": value + "x"}, uid=UID))
    assert len(connection.start(Start(("true",), {"A": value}, uid=UID))) == 8 + MAX_PAYLOAD


@pytest.mark.parametrize("state", State)
def test_requests_wait_for_their_state(state: State) -> None:
    """Both states are named, and nothing changes."""
    asks: list[tuple[State, Callable[[Connection], object]]] = [
        (State.GREETED, lambda connection: connection.boot(BootMode.NONE, uid=UID)),
        (State.IDLE, lambda connection: connection.put(b"a", b"", uid=UID)),
        (State.IDLE, lambda connection: connection.open_put(b"a", uid=UID)),
        (State.PUTTING, lambda connection: connection.put_data(DataFrames(), 0)),
        (State.PUTTING, lambda connection: connection.close_put(whole=True)),
        (State.IDLE, lambda connection: connection.sync()),
        (State.IDLE, start),
        (State.IDLE, lambda connection: connection.reset(Reset(1, UID))),
        (State.IDLE, lambda connection: connection.list_files()),
        (State.IDLE, lambda connection: connection.get(b"a", uid=UID)),
    ]
    for needed, ask in asks:
        if needed is not state:
            connection = connection_in(state)
            with pytest.raises(UsageError, match=f"is {state.name}, not {needed.name}"):
                ask(connection)
            assert connection.state is state


def test_requests_that_fit_into_no_frame_change_nothing() -> None:
    """The conversation goes on as if they had not been made."""
    asks: list[Callable[[Connection], object]] = [
        lambda connection: connection.open_put(b"a", uid=UID, mode=-1),
        lambda connection: connection.open_put(b"a", uid=UID, mode=1 << 40),
        lambda connection: connection.get(b"a", uid=UID, offset=-1),
        lambda connection: connection.get(b"a", uid=UID, count=1 << 64),
        lambda connection: connection.reset(Reset(-1, UID)),
        lambda connection: connection.stage("a", uid=-1),
    ]
    connection = connection_in(State.IDLE)
    for ask in asks:
        with pytest.raises(struct.error):
            ask(connection)
        assert connection.state is State.IDLE


def test_file_piece_by_piece_is_the_same_as_a_whole_one() -> None:
    """But for how it is cut; one that is given up ends with a drop."""
    data = bytes(range(250)) * 400
    whole = connection_in(State.IDLE).put(b"a/b", data, uid=UID, mode=0o750)
    connection = connection_in(State.IDLE)
    frames = DataFrames()
    frames.spaces[0][:] = data[:MAX_PAYLOAD]
    frames.spaces[1][: len(data) - MAX_PAYLOAD] = data[MAX_PAYLOAD:]
    pieces = [connection.open_put(b"a/b", uid=UID, mode=0o750), connection.put_data(frames, len(data))]
    assert b"".join([*pieces, connection.close_put(whole=True)]) == whole
    connection.open_put(b"a", uid=UID)
    assert requests(connection.close_put(whole=False)) == [(0x11,)]
    assert connection.state is State.IDLE


@pytest.mark.parametrize("state", [s for s in State if s not in {State.STARTING, State.RUNNING, State.LISTED}])
def test_stdin_and_kill_after_the_end_say_nothing(state: State) -> None:
    """They raced with it."""
    connection = connection_in(state)
    assert connection.stdin(b"x") == b""
    assert connection.kill() == b""


def test_stdin_beyond_the_window() -> None:
    """It is for the caller to wait."""
    connection = connection_in(State.RUNNING)
    connection.stdin(bytes(STDIN_WINDOW - 1))
    with pytest.raises(UsageError, match="2 bytes of stdin do not fit into the window of 1"):
        connection.stdin(b"ab")
    connection.stdin(b"a")
    assert connection.stdin_room == 0


def test_repr_shows_the_state() -> None:
    """For people who debug."""
    assert repr(connection_in(State.RUNNING)) == "<Connection RUNNING>"
