"""Programs beside the main run, as the client sees them."""

from __future__ import annotations

import asyncio
import signal
from typing import TYPE_CHECKING, cast

import pytest

from interpreter_tools._exceptions import (
    ContainerBusy,
    ContainerLost,
    ExecutionClosed,
    InterpreterToolsError,
    ProtocolError,
    UsageError,
)
from interpreter_tools._protocol import (
    Beside,
    Credit,
    Delayed,
    Exited,
    Fallen,
    Message,
    Output,
    Ready,
    Refused,
    RunEvent,
    Start,
    Told,
)
from interpreter_tools._protocol.constants import MAX_SIDE, OUTPUT_WINDOW, STDIN_WINDOW, TELL_WINDOW, Flag, Frame, Why
from interpreter_tools.testing.sandbox import Sandbox, settle
from interpreter_tools.testing.wire import EXITED, UID, frame

if TYPE_CHECKING:
    from interpreter_tools._container.side_run import SideRun

SLEEP = Start(("sleep", "1"), {}, uid=UID)


class Notes:
    """A listener that writes everything down."""

    def __init__(self) -> None:
        self.said: list[object] = []
        self.ends: list[object] = []

    def output(self, event: Output) -> None:
        """Keep it."""
        self.said.append(event)

    def message(self, connection: int, data: bytes) -> None:
        """Keep it."""
        self.said.append((connection, data))

    def ended(self, how: Exited | Refused | InterpreterToolsError) -> None:
        """Keep it."""
        self.ends.append(how)


def begin(sandbox: Sandbox) -> tuple[SideRun, Notes]:
    """Start a program beside others."""
    notes = Notes()
    side = sandbox.channel.start_side(SLEEP, notes)
    assert sandbox.heard()[-1][0] == side.number
    return side, notes


def say(sandbox: Sandbox, side: SideRun, *events: RunEvent) -> None:
    """Send events of a side run."""
    sandbox.say(*(Beside(side.number, event) for event in events))


async def test_events_reach_the_listener_of_their_run() -> None:
    """Each its own, while the main run has its own as well; after the end nothing is sent any more."""
    sandbox = Sandbox()
    (first, heard), (second, other) = begin(sandbox), begin(sandbox)
    say(sandbox, first, Output("stdout", b"a"), Message(1, b"m"))
    say(sandbox, second, Output("stderr", b"b"))
    asking = asyncio.create_task(sandbox.channel.ask(sandbox.channel.free().sync()))
    await settle()
    say(sandbox, first, EXITED)
    sandbox.say(Ready())
    assert await asking == Ready()
    assert heard.said == [Output("stdout", b"a"), (1, b"m")]
    assert heard.ends == [EXITED]
    assert other.said == [Output("stderr", b"b")]
    assert other.ends == []
    sandbox.heard()
    first.kill()
    first.signal(signal.SIGINT)
    assert sandbox.heard() == []
    second.signal(signal.SIGINT)
    second.kill()
    assert sandbox.heard() == [(second.number, (Frame.SIGNAL, 2)), (second.number, (Frame.KILL,))]


async def test_another_process_becomes_the_program() -> None:
    """The others are killed, but for those of the spared connections."""
    sandbox = Sandbox()
    side, _ = begin(sandbox)
    sandbox.heard()
    side.lead(3, [1, 2])
    assert sandbox.heard() == [(side.number, (Frame.LEAD, 3, 1, 2))]
    say(sandbox, side, EXITED)
    side.lead(3, [])
    assert sandbox.heard() == []


async def test_delay_of_a_run_is_told_to_who_asks() -> None:
    """In seconds; who does not listen is told nothing, and after the end nothing is asked."""
    sandbox = Sandbox()
    side, notes = begin(sandbox)
    sandbox.heard()
    say(sandbox, side, Delayed(1))
    heard: list[float] = []
    side.delayed = heard.append
    side.ask_delay()
    assert sandbox.heard() == [(side.number, (Frame.DELAY,))]
    say(sandbox, side, Delayed(2_500_000), EXITED)
    assert (heard, notes.said, notes.ends) == ([2.5], [], [EXITED])
    side.ask_delay()
    assert sandbox.heard() == []


async def test_program_that_falls_leaves_the_run() -> None:
    """Others can take its place; who listens for that is told."""
    sandbox = Sandbox()
    side, notes = begin(sandbox)
    say(sandbox, side, Fallen(-1, 9, 0))
    heard: list[Fallen] = []
    side.fallen = heard.append
    say(sandbox, side, Fallen(3, 0, 1))
    assert heard == [Fallen(3, 0, 1)]
    assert notes.ends == []


async def test_fall_that_cannot_be_is_malformed() -> None:
    """An exit code and a signal at once, and one of the main run."""
    for end in (Fallen(3, 9, 0), Fallen(-1, 0, 0)):
        sandbox = Sandbox()
        side, notes = begin(sandbox)
        say(sandbox, side, end)
        assert isinstance(notes.ends[0], ContainerLost | ProtocolError)


async def test_refused_side_run_has_ended() -> None:
    """Its listener is told why."""
    sandbox = Sandbox()
    side, notes = begin(sandbox)
    refused = Refused(Why.PROGRAM, 2, b"sleep")
    say(sandbox, side, refused)
    assert notes.ends == [refused]
    assert repr(side) == f"<SideRun {side.number} ended>"


async def test_lost_container_is_told_to_all() -> None:
    """Also to whoever waits."""
    sandbox = Sandbox()
    (first, heard), (_, other) = begin(sandbox), begin(sandbox)
    sending = asyncio.create_task(first.send_stdin(bytes(STDIN_WINDOW + 1)))
    await settle()
    error = ContainerLost("gone")
    sandbox.channel.close(error)
    with pytest.raises(ExecutionClosed):
        await sending
    assert heard.ends == other.ends == [error]
    with pytest.raises(ContainerLost):
        sandbox.channel.start_side(SLEEP, Notes())


async def test_output_that_is_taken_makes_room() -> None:
    """Half of a window at a time; not while the listener is paused."""
    sandbox = Sandbox()
    side, _ = begin(sandbox)
    for _ in range(OUTPUT_WINDOW // 65536):
        say(sandbox, side, Output("stdout", bytes(65536)))
    assert sandbox.heard() == [(side.number, (Frame.TAKEN, OUTPUT_WINDOW // 2))] * 2
    side.pause()
    for _ in range(3):
        say(sandbox, side, Message(1, bytes(64996)))
    assert sandbox.heard() == []
    side.resume()
    assert sandbox.heard() == [(side.number, (Frame.TAKEN, 195_000))]


async def test_tell_waits_for_room_of_its_connection() -> None:
    """And no other's; a connection that ends wakes whoever waits."""
    sandbox = Sandbox()
    side, _ = begin(sandbox)
    with pytest.raises(ExecutionClosed):
        await side.tell(1, b"too early")
    say(sandbox, side, Message(1, b"m"), Message(2, b"m"))
    for size in (0, 65_001):
        with pytest.raises(UsageError):
            await side.tell(1, bytes(size))
    count = TELL_WINDOW // 65_004
    for _ in range(count):
        await side.tell(1, bytes(65_000))
    waiting = asyncio.create_task(side.tell(1, bytes(65_000)))
    await settle()
    assert not waiting.done()
    await side.tell(2, b"other")
    say(sandbox, side, Told(1, 65_004))
    await waiting
    told = [request for _, request in sandbox.heard()]
    assert [fields[1] for fields in told if isinstance(fields, tuple)] == [1] * count + [2, 1]
    waiting = asyncio.create_task(side.tell(1, bytes(65_000)))
    await settle()
    say(sandbox, side, Message(1, b""))
    with pytest.raises(ExecutionClosed):
        await waiting


async def test_cancelled_tell_has_sent_nothing() -> None:
    """It waited for room."""
    sandbox = Sandbox()
    side, _ = begin(sandbox)
    say(sandbox, side, Message(1, b"m"))
    for _ in range(TELL_WINDOW // 65_004):
        await side.tell(1, bytes(65_000))
    sandbox.heard()
    waiting = asyncio.create_task(side.tell(1, bytes(65_000)))
    await settle()
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    say(sandbox, side, Told(1, 65_004))
    assert sandbox.heard() == []


async def test_stdin_keeps_its_order() -> None:
    """Whoever comes later waits for whoever came first, and the end comes last."""
    sandbox = Sandbox()
    side, _ = begin(sandbox)
    first = asyncio.create_task(side.send_stdin(b"a" * (STDIN_WINDOW + 10)))
    second = asyncio.create_task(side.send_stdin(b"b"))
    last = asyncio.create_task(side.close_stdin())
    await settle()
    assert not first.done()
    say(sandbox, side, Credit(STDIN_WINDOW))
    await asyncio.gather(first, second, last)
    sent = [request for _, request in sandbox.heard()]
    pieces = [cast("tuple[int, bytes]", request)[1] for request in sent]
    assert b"".join(pieces) == b"a" * (STDIN_WINDOW + 10) + b"b"
    assert sent[-1] == (Frame.STDIN, b"")
    with pytest.raises(ExecutionClosed):
        await side.send_stdin(b"late")
    await side.close_stdin()


async def test_what_is_sent_ahead_needs_a_free_container() -> None:
    """Files in the middle of a run would be that run's."""
    sandbox = Sandbox()
    put = sandbox.channel.connection.put(b"a", b"x", uid=UID)
    side = sandbox.channel.start_side(SLEEP, Notes(), ahead=put)
    assert [request[0] for request in sandbox.heard()] == [Frame.PUT, Frame.DATA, Frame.DONE, side.number]
    answer = sandbox.channel.converse(sandbox.channel.connection.sync())
    with pytest.raises(ContainerBusy):
        sandbox.channel.start_side(SLEEP, Notes(), ahead=put)
    sandbox.channel.start_side(SLEEP, Notes())
    sandbox.say(Ready())
    await answer.aclose()


async def test_fault_of_a_listener_ends_its_run_only() -> None:
    """The container and what else runs there go on."""

    class Broken(Notes):
        def output(self, event: Output) -> None:
            raise ZeroDivisionError

    sandbox = Sandbox()
    side = sandbox.channel.start_side(SLEEP, Broken())
    _, notes = begin(sandbox)
    say(sandbox, side, Output("stdout", b"x"))
    assert sandbox.heard() == [(side.number, (Frame.KILL,))]
    assert sandbox.channel.error is None
    assert notes.ends == []


def test_side_runs_beyond_the_limit_are_refused() -> None:
    """Here, before anything is sent; a number is free again after the end of its run."""
    connection = Sandbox().channel.connection
    numbers = [connection.start_side(SLEEP)[0] for _ in range(MAX_SIDE)]
    assert len(set(numbers)) == MAX_SIDE
    with pytest.raises(UsageError, match="64 programs"):
        connection.start_side(SLEEP)
    connection.receive(frame(Frame.REFUSED, bytes([2, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0]), run=numbers[3]))
    assert connection.start_side(SLEEP)[0] not in numbers


@pytest.mark.parametrize("flag", [Flag.LAST, Flag.LIST])
def test_flags_that_are_the_main_run_s(flag: Flag) -> None:
    """They make no sense beside it."""
    with pytest.raises(UsageError):
        Sandbox().channel.connection.start_side(SLEEP._replace(flags=flag))


def test_no_side_run_after_the_last_run() -> None:
    """A reset comes first."""
    connection = Sandbox().channel.connection
    connection.start(SLEEP._replace(flags=Flag.LAST))
    with pytest.raises(UsageError):
        connection.start_side(SLEEP)


@pytest.mark.parametrize("kind", [Frame.FILES, Frame.READY, Frame.CLEAN, Frame.CONTENT, Frame.FATAL])
def test_frame_that_no_side_run_sends(kind: Frame) -> None:
    """It is refused from its header."""
    connection = Sandbox().channel.connection
    number, _ = connection.start_side(SLEEP)
    with pytest.raises(ProtocolError, match=f"of run {number}"):
        connection.receive(frame(kind, b"", run=number))


def test_frame_of_a_run_that_nobody_started() -> None:
    """It is refused from its header."""
    with pytest.raises(ProtocolError, match="of run 9"):
        Sandbox().channel.connection.receive(frame(Frame.STDOUT, b"x", run=9))


def test_more_told_than_was_sent() -> None:
    """A window that grows without end would fill somebody's memory."""
    connection = Sandbox().channel.connection
    number, _ = connection.start_side(SLEEP)
    connection.tell(1, b"12345", run=number)
    with pytest.raises(ProtocolError, match="more than it was sent"):
        connection.receive(frame(Frame.TOLD, b"\1\0\0\0\x0a\0\0\0", run=number))
