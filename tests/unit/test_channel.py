"""A container's stream."""

from __future__ import annotations

import asyncio

import pytest

from interpreter_tools._container.channel import Channel, Conversation
from interpreter_tools._exceptions import (
    ContainerBusy,
    ContainerLost,
    InternalError,
    InterpreterToolsError,
    ProtocolError,
)
from interpreter_tools._protocol import Event, Fatal, Files, Hello, Output, Ready, Refused, Start
from interpreter_tools._protocol.constants import BootMode, Why
from interpreter_tools.testing.sandbox import Sandbox, settle
from interpreter_tools.testing.wire import EXITED, HELLO, UID, encode, frame, piece


class Notes:
    """A listener that writes everything down."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.errors: list[InterpreterToolsError] = []

    def receive(self, event: Event) -> None:
        """Keep it."""
        self.events.append(event)

    def lost(self, error: InterpreterToolsError) -> None:
        """Keep it."""
        self.errors.append(error)


def run(sandbox: Sandbox) -> Notes:
    """Start a program and listen."""
    notes = Notes()
    sandbox.channel.listen(notes)
    sandbox.channel.send(sandbox.channel.connection.start(Start(("true",), {}, uid=UID)))
    return notes


async def collect(answer: Conversation) -> list[Event]:
    """The events of an answer."""
    return [event async for event in answer]


async def test_greeting() -> None:
    """It may come before anybody waits for it, or after."""
    early, late = Sandbox(booted=False), Sandbox(booted=False)
    early.say(HELLO)
    assert await early.channel.greeting() == HELLO
    waiting = asyncio.create_task(late.channel.greeting())
    await settle()
    late.say(HELLO)
    assert await waiting == HELLO


async def test_boot_after_the_greeting() -> None:
    """One request at a time."""
    sandbox = Sandbox(booted=False)
    sandbox.say(HELLO)
    await sandbox.channel.greeting()
    channel = sandbox.channel
    booting = asyncio.create_task(channel.ask(channel.connection.boot(BootMode.FORK, ("python3",), uid=UID)))
    await settle()
    assert sandbox.heard() == [(0x01, BootMode.FORK, UID, [b"python3"], [])]
    sandbox.say(Ready())
    assert await booting == Ready()


async def test_container_that_never_greets() -> None:
    """Whoever waits is told; and whoever asks later."""
    sandbox = Sandbox(booted=False)
    waiting = asyncio.create_task(sandbox.channel.greeting())
    await settle()
    sandbox.channel.connection_lost(None)
    with pytest.raises(ContainerLost):
        await waiting
    with pytest.raises(ContainerLost):
        await sandbox.channel.greeting()


@pytest.mark.parametrize(
    "said", [b"standard_init_linux.go: exec format error", encode(Ready()), encode(Hello(9, 62, 1))]
)
async def test_something_else_than_a_greeting(said: bytes) -> None:
    """It is not our supervisor, or not of our version."""
    sandbox = Sandbox(booted=False)
    sandbox.say_bytes(said)
    with pytest.raises(ProtocolError):
        await sandbox.channel.greeting()
    assert sandbox.transport.aborted


async def test_events_come_in_order_however_the_stream_is_cut() -> None:
    """Docker's pieces and the supervisor's frames have nothing to do with each other."""
    said: list[Event] = [Output("stdout", b"a"), Output("stderr", b"b"), EXITED]
    stream = b"".join(piece(bytes([byte])) for byte in encode(*said))
    sandbox = Sandbox()
    notes = run(sandbox)
    for at in range(0, len(stream), 7):
        sandbox.channel.data_received(stream[at : at + 7])
    assert notes.events == said
    assert notes.errors == []


async def test_request() -> None:
    """Its answer, or how it was refused."""
    for answer in (Ready(), Refused(Why.PUT, 28, b"a")):
        sandbox = Sandbox()
        channel = sandbox.channel
        asking = asyncio.create_task(channel.ask(channel.free().sync()))
        await settle()
        assert sandbox.heard() == [(0x05,)]
        sandbox.say(answer)
        assert await asking == answer


async def test_cancelled_request_waits_for_its_answer() -> None:
    """Whoever asks next does not get the answer of somebody else."""
    sandbox = Sandbox()
    asking = asyncio.create_task(sandbox.channel.ask(sandbox.channel.free().sync()))
    await settle()
    asking.cancel()
    await settle()
    with pytest.raises(ContainerBusy):
        sandbox.channel.free()
    sandbox.say(Ready())
    with pytest.raises(asyncio.CancelledError):
        await asking
    assert sandbox.channel.error is None
    sandbox.channel.listen(Notes())


@pytest.mark.parametrize("twice", [False, True])
async def test_cancelled_request_without_an_answer_ends_the_channel(*, twice: bool) -> None:
    """After a little patience; at once for whoever is cancelled again."""
    sandbox = Sandbox()
    patience = 60.0 if twice else 0.01
    asking = asyncio.create_task(sandbox.channel.ask(sandbox.channel.free().sync(), patience=patience))
    await settle()
    asking.cancel()
    await settle()
    if twice:
        asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    assert isinstance(sandbox.channel.error, ContainerLost)
    with pytest.raises(ContainerLost, match="given up"):
        sandbox.channel.free()


async def test_silent_container_is_given_up() -> None:
    """A request has a deadline, which counts from the last byte that came."""
    sandbox = Sandbox()
    with pytest.raises(ContainerLost, match=r"said nothing for 0\.05 s"):
        await sandbox.channel.ask(sandbox.channel.free().sync(), silence=0.05)
    assert sandbox.transport.aborted


async def test_container_that_answers_slowly_is_not_given_up() -> None:
    """Every byte begins the deadline anew."""
    sandbox = Sandbox()
    answer = sandbox.channel.converse(sandbox.channel.free().list_files(), silence=0.5)
    said = Files(((1, b"a"),), partial=False), Ready()
    waiting = asyncio.create_task(collect(answer))
    data = encode(*said)
    for at in range(len(data)):
        await asyncio.sleep(0.03)  # all together: longer than the deadline
        sandbox.say_bytes(data[at : at + 1])
    assert await waiting == list(said)


async def test_events_of_an_answer_come_in_order_and_end() -> None:
    """The last one frees the channel, also before anybody has taken it."""
    sandbox = Sandbox()
    answer = sandbox.channel.converse(sandbox.channel.free().list_files())
    said = Files(((1, b"a"),), partial=False), Files(((2, b"b"),), partial=True), Ready()
    sandbox.say(*said)
    sandbox.channel.listen(Notes())
    assert await collect(answer) == list(said)
    assert await collect(answer) == []


async def test_events_that_nobody_has_asked_for_end_the_channel(caplog: pytest.LogCaptureFixture) -> None:
    """They would be taken for the answer to the next request; and its owner is told."""
    sandbox = Sandbox()
    told: list[None] = []
    sandbox.channel.on_lost = lambda: told.append(None)
    notes = run(sandbox)
    sandbox.channel.quit(notes)
    sandbox.say(Output("stdout", b"late"), EXITED)
    assert isinstance(sandbox.channel.error, ProtocolError)
    assert sandbox.transport.aborted
    assert told == [None]
    assert "said Output, and nobody had asked" in caplog.text
    assert "Exited" not in caplog.text


class Faulty(Notes):
    """A listener with a fault."""

    def __init__(self, *, lost: bool = False) -> None:
        super().__init__()
        self._faulty_lost = lost

    def receive(self, event: Event) -> None:
        """Fails."""
        raise ZeroDivisionError("a fault")

    def lost(self, error: InterpreterToolsError) -> None:
        """Keep it, or fail."""
        super().lost(error)
        if self._faulty_lost:
            raise ZeroDivisionError("another fault")


@pytest.mark.parametrize("lost", [False, True])
async def test_fault_of_a_listener_is_not_blamed_on_the_container(
    caplog: pytest.LogCaptureFixture, *, lost: bool
) -> None:
    """The true exception is told and logged; no other event follows, and nothing reaches asyncio."""
    sandbox, faulty = Sandbox(), Faulty(lost=lost)
    sandbox.channel.listen(faulty)
    sandbox.channel.send(sandbox.channel.connection.start(Start(("true",), {}, uid=UID)))
    sandbox.say(Output("stdout", b"a"), EXITED)
    assert [type(error) for error in faulty.errors] == [InternalError]
    assert isinstance(faulty.errors[0].__cause__, ZeroDivisionError)
    assert sandbox.channel.error is faulty.errors[0]
    assert "ZeroDivisionError" in caplog.text
    assert ("another fault" in caplog.text) == lost


async def test_one_listener_at_a_time() -> None:
    """The second is turned away, the first stays."""
    sandbox = Sandbox()
    notes = run(sandbox)
    with pytest.raises(ContainerBusy):
        sandbox.channel.listen(Notes())
    sandbox.channel.quit(Notes())
    sandbox.say(EXITED)
    assert notes.events[-1] == EXITED
    sandbox.channel.quit(notes)
    sandbox.channel.listen(Notes())


async def test_loss_is_told_once() -> None:
    """To the listener and to the owner; everything after it is void."""
    sandbox = Sandbox()
    told: list[None] = []
    sandbox.channel.on_lost = lambda: told.append(None)
    notes = run(sandbox)
    sandbox.heard()
    sandbox.channel.connection_lost(ConnectionResetError("reset by peer"))
    sandbox.channel.connection_lost(None)
    sandbox.channel.close()
    assert [str(error).splitlines()[0] for error in notes.errors] == ["the container went away: reset by peer"]
    assert isinstance(notes.errors[0], ContainerLost)
    assert len(told) == 1
    sandbox.channel.send(b"nobody hears this")
    assert sandbox.transport.written == b""
    with pytest.raises(ContainerLost):
        sandbox.channel.listen(Notes())
    with pytest.raises(ContainerLost):
        await sandbox.channel.drain()


async def test_close_does_not_call_its_owner() -> None:
    """It is the owner who closes."""
    sandbox = Sandbox()
    sandbox.channel.on_lost = lambda: pytest.fail("called")
    notes = run(sandbox)
    sandbox.channel.close(mine := ContainerLost("mine"))
    sandbox.channel.close()
    assert notes.errors == [mine]
    assert sandbox.transport.aborted


async def test_fatal_says_why() -> None:
    """The supervisor's words are the error's."""
    sandbox = Sandbox()
    notes = run(sandbox)
    sandbox.say(Fatal("out of descriptors"))
    assert isinstance(notes.errors[0], ContainerLost)
    assert "gave up: out of descriptors" in str(notes.errors[0])
    assert sandbox.transport.aborted


@pytest.mark.parametrize(
    "garbage",
    [piece(b"\xff\xff\xff\xff\x85\0\0\0"), piece(frame(0x81)), piece(b"x", stream=2), b"HTTP/1.1 500"],
)
async def test_garbage_ends_the_channel(garbage: bytes) -> None:
    """Of the supervisor or of Docker's stream; what follows is not looked at."""
    sandbox = Sandbox()
    notes = run(sandbox)
    sandbox.channel.data_received(garbage)
    sandbox.channel.data_received(piece(encode(EXITED)))
    assert [type(error) for error in notes.errors] == [ProtocolError]
    assert notes.events == []
    assert sandbox.transport.aborted


async def test_pause_and_resume() -> None:
    """Each reaches the transport once; whoever quits leaves it reading."""
    sandbox = Sandbox()
    notes = run(sandbox)
    channel, transport = sandbox.channel, sandbox.transport
    channel.resume()
    channel.pause()
    channel.pause()
    assert (channel.paused, transport.reading) == (True, False)
    channel.resume()
    channel.resume()
    assert (channel.paused, transport.reading) == (False, True)
    channel.pause()
    channel.quit(notes)
    assert transport.reading


async def test_drain_waits_for_the_container() -> None:
    """While it does not take what was sent; a cancelled waiter does not take the others with it."""
    sandbox = Sandbox()
    channel = sandbox.channel
    assert sandbox.transport.high == 1
    await channel.drain()
    channel.pause_writing()
    first, second = asyncio.create_task(channel.drain()), asyncio.create_task(channel.drain())
    await settle()
    first.cancel()
    await settle()
    assert first.cancelled()
    assert not second.done()
    channel.resume_writing()
    await second


async def test_loss_ends_drain() -> None:
    """With the error."""
    sandbox = Sandbox()
    sandbox.channel.pause_writing()
    waiting = asyncio.create_task(sandbox.channel.drain())
    await settle()
    sandbox.channel.connection_lost(None)
    with pytest.raises(ContainerLost):
        await waiting


async def test_repr_shows_the_state() -> None:
    """And that it was lost."""
    assert repr(Channel()) == "<Channel CONNECTED>"
    sandbox = Sandbox()
    sandbox.channel.connection_lost(None)
    assert repr(sandbox.channel) == "<Channel IDLE lost>"
