"""The channel: a container's stream, which turns bytes from the Docker engine into events, and requests into bytes."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from typing import TYPE_CHECKING, Protocol, Self, cast

from interpreter_tools._container.side_run import SideListener, SideRun
from interpreter_tools._deadline import awake_limit, awake_timeout
from interpreter_tools._docker import Demultiplexer
from interpreter_tools._exceptions import (
    ContainerBusy,
    ContainerLost,
    InternalError,
    InterpreterToolsError,
    ProtocolError,
)
from interpreter_tools._protocol import (
    Beside,
    Connection,
    Content,
    Event,
    Exited,
    Fatal,
    Hello,
    Refused,
    Start,
    is_last,
)

if TYPE_CHECKING:
    from collections.abc import Callable

_LOG = logging.getLogger("interpreter_tools")
_READ = 128 << 10  # bytes at once; the engine sends 32 KiB pieces, more of them when we are behind
# Bytes that may wait for room in the kernel before a sender has to wait. More would only be copied about; with 0,
# asyncio's TLS transport would pause for good.
_WRITE_HIGH = 1
_DRAIN_DEADLINE = 30.0  # seconds; a supervisor that runs takes what it is sent at once
_LEFTOVER = 1024  # bytes of the buffer of a channel that has ended
# Seconds without a byte. The supervisor answers at once, but lists 100,000 files on a small share of a core.
_SILENCE = 30.0
_PATIENCE = 5.0  # seconds for the rest of an answer that was given up
_BATCH = 1 << 20  # bytes of contents for which it is worth to wake a task
_WAITING = 4 * _BATCH  # bytes of contents that may wait before the container has to


class Listener(Protocol):
    """Whoever gets the events while a request or a run is under way."""

    def receive(self, event: Event, /) -> None:
        """Take the next event."""

    def lost(self, error: InterpreterToolsError, /) -> None:
        """Note that no other event comes, and why."""


class Conversation:
    """The events that answer one request, in order; the iteration ends after the last one.

    The container has to wait while 4 MiB of contents wait for whoever takes them. A task is woken for a megabyte of
    contents, and for every other event.

    Args:
        channel: the stream of the container that was asked.
        silence: seconds without a byte of the container after which it is given up; None means no limit.
        patience: seconds for which ``aclose`` waits for the rest of the answer.
    """

    def __init__(self, channel: Channel, *, silence: float | None, patience: float) -> None:
        self._channel = channel
        self._silence = silence
        self._patience = patience
        self._events: deque[Event] = deque()
        self._contents = 0  # bytes of contents among them
        self._ended = False
        self._given_up = False
        self._error: InterpreterToolsError | None = None
        self._waiter: asyncio.Future[None] | None = None

    def __repr__(self) -> str:
        return f"<Conversation [{len(self._events)} waiting, {'ended' if self._ended else 'open'}]>"

    def receive(self, event: Event) -> None:
        """Take the next event."""
        if is_last(event):
            self._ended = True
            self._channel.quit(self)
        if not self._given_up:
            self._events.append(event)
            if isinstance(event, Content):
                self._contents += len(event.data)
                if self._contents >= _WAITING and not self._ended:
                    self._channel.pause()
        if self._ended or not isinstance(event, Content) or self._contents >= _BATCH:
            self._wake()

    def lost(self, error: InterpreterToolsError) -> None:
        """End the iteration with an error, after the events that have come."""
        self._ended = True
        self._error = error
        self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Event:
        """Return the next event.

        Raises:
            ContainerLost, ProtocolError: the container went away, or said nothing for too long.
            StopAsyncIteration: the last event was taken.
        """
        while not self._events:
            if self._error is not None:
                raise self._error
            if self._ended:
                raise StopAsyncIteration
            await self._wait()
        event = self._events.popleft()
        if isinstance(event, Content):
            self._contents -= len(event.data)
            if self._contents < _BATCH and not self._ended:
                self._channel.resume()
        return event

    async def _wait(self) -> None:
        heard = self._channel.heard
        self._waiter = asyncio.get_running_loop().create_future()
        try:
            async with awake_timeout(self._silence):
                await self._waiter
        except TimeoutError:
            if self._channel.heard == heard:
                words = f"the container has said nothing for {self._silence:g} s, though it was asked"
                self._channel.close(ContainerLost(words, hint="it is paused, or its machine is overloaded"))
        finally:
            self._waiter = None

    async def aclose(self) -> None:
        """Wait for the rest of the answer, or close the channel when it does not come. Idempotent.

        Whoever asks next would take the rest of this answer for their own.
        """
        if self._given_up:
            return
        self._given_up = True
        self._events.clear()
        self._contents = 0
        if self._ended:
            return
        self._channel.resume()
        try:
            if self._patience:
                with awake_limit(self._patience, shield=True):
                    while not self._ended:
                        self._waiter = asyncio.get_running_loop().create_future()
                        await self._waiter
        finally:
            self._waiter = None
            if not self._ended:
                self._channel.close(ContainerLost("a request was given up, and its answer did not come"))


class Channel(asyncio.BufferedProtocol, asyncio.Protocol):
    """The attach stream of one container. It is made before the container starts, and ends with it.

    Bytes are read into one buffer and put together from there: bulk output comes page by page, and an event for each
    page would cost more than the copy.

    Attributes:
        connection: the state machine whose bytes go through here.
        error: the error that ended the channel; None while it lives.
        compiled: what was compiled in the container, as user id and key; a reset makes it another user's container.
        heard: the number of times that bytes came from the container.
        on_lost: called once when the channel ends, except by ``close``.
    """

    def __init__(self) -> None:
        self.connection = Connection()
        self.error: InterpreterToolsError | None = None
        self.compiled: set[tuple[int, str]] = set()
        self.on_lost: Callable[[], None] | None = None
        self._buffer = memoryview(bytearray(_READ))
        self._demultiplexer = Demultiplexer()
        # Listens from the start: the supervisor speaks as soon as it lives
        self._greeting = Conversation(self, silence=None, patience=0.0)
        self._listener: Listener | None = self._greeting
        self._sides: dict[int, SideRun] = {}  # the programs beside the main run, by their numbers
        self._transport: asyncio.Transport | None = None
        self._paused = False
        self.heard = 0
        self._writable: asyncio.Future[None] | None = None

    def __repr__(self) -> str:
        return f"<Channel {self.connection.state.name}{' lost' if self.error else ''}>"

    # -- asyncio's side

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the upgraded connection over."""
        self._transport = cast("asyncio.Transport", transport)
        self._transport.set_write_buffer_limits(high=_WRITE_HIGH)

    def get_buffer(self, sizehint: int) -> memoryview:
        """Return the buffer for the next bytes."""
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        """Handle the bytes that arrived in the buffer."""
        self.data_received(self._buffer[:nbytes])

    def data_received(self, data: bytes | memoryview) -> None:
        """Hand every event in the data to the listener."""
        self.heard += 1
        try:
            events = self.connection.receive(b"".join(self._demultiplexer.feed(data)))
        except ProtocolError as error:
            self._lose(error)
            return
        for event in events:
            if self.error is None:
                self._deliver(event)

    def _deliver(self, event: Event) -> None:
        listener = self._listener
        if isinstance(event, Fatal):
            self._lose(ContainerLost(f"the container's supervisor gave up: {event.message}"))
        elif isinstance(event, Beside):
            self._deliver_beside(event)
        elif listener is None:  # whoever asks next could take it for their own answer
            words = f"the container said {type(event).__name__}, and nobody had asked for it"
            _LOG.warning("%s: it is closed", words)
            self._lose(ProtocolError(words))
        else:
            try:
                listener.receive(event)
            except Exception as error:  # noqa: BLE001 - a fault of ours; asyncio would blame the connection for it
                self._lose(_fault(listener, error))

    def _deliver_beside(self, beside: Beside) -> None:
        side = self._sides[beside.number]
        if isinstance(beside.event, (Exited, Refused)):
            del self._sides[beside.number]
        try:
            side.receive(beside.event)
        except Exception as error:  # noqa: BLE001 - a fault of ours, which must not end what others run here
            _fault(side, error)
            self.send(self.connection.kill(run=beside.number))

    def connection_lost(self, exc: Exception | None) -> None:
        """End the channel: the container or its Docker engine is gone."""
        cause = f": {exc}" if exc else ""
        self._lose(
            ContainerLost(
                f"the container went away{cause}",
                hint="it was killed or removed from outside, or the Docker engine stopped; run the code again",
            )
        )

    def pause_writing(self) -> None:
        """Make senders wait: the container does not take what is sent."""
        self._writable = asyncio.get_running_loop().create_future()

    def resume_writing(self) -> None:
        """Let senders go on: the container takes more again."""
        if self._writable is not None and not self._writable.done():
            self._writable.set_result(None)
        self._writable = None

    # -- the container's side

    def free(self) -> Connection:
        """Return the state machine for the next request, when none is under way.

        Raises:
            ContainerLost, ProtocolError: the channel has ended.
            ContainerBusy: another request or a run is under way.
        """
        if self.error is not None:
            raise self.error
        if self._listener is not None:
            raise ContainerBusy("the container is already running something")
        return self.connection

    def converse(
        self, request: bytes, *, silence: float | None = _SILENCE, patience: float = _PATIENCE
    ) -> Conversation:
        """Send a request and return the events of its answer. Close the answer (``aclose``) to give up the rest of it.

        Args:
            request: what is sent.
            silence: seconds without a byte of the container after which it is given up; None means no limit.
            patience: seconds for which whoever gives up waits for the rest; then the channel is closed.

        Raises:
            ContainerLost, ProtocolError: the channel has ended.
            ContainerBusy: another request or a run is under way.
        """
        conversation = Conversation(self, silence=silence, patience=patience)
        self.listen(conversation)
        self.send(request)
        return conversation

    async def ask(self, request: bytes, *, silence: float | None = _SILENCE, patience: float = _PATIENCE) -> Event:
        """Send a request and return its one answer. Cancelling waits for the answer, or closes the channel.

        Args:
            request: what is sent.
            silence: see ``converse``.
            patience: see ``converse``.

        Raises:
            ContainerLost, ProtocolError: the container went away, or did not answer.
            ContainerBusy: another request or a run is under way.
        """
        async with contextlib.aclosing(self.converse(request, silence=silence, patience=patience)) as answer:
            return await anext(answer)

    async def greeting(self) -> Hello:
        """Wait for the supervisor's first word.

        Raises:
            ContainerLost, ProtocolError: it did not come.
        """
        async with contextlib.aclosing(self._greeting) as greeting:
            event = await anext(greeting)
        assert isinstance(event, Hello), event  # nothing else may come first
        return event

    def listen(self, listener: Listener) -> None:
        """Give the events to a listener until it quits.

        Raises:
            ContainerLost, ProtocolError: the channel has ended.
            ContainerBusy: there is another listener.
        """
        self.free()
        self._listener = listener

    def quit(self, listener: Listener) -> None:
        """End what ``listen`` began. Does nothing for another listener."""
        if self._listener is listener:
            self._listener = None
            self.resume()

    def start_side(self, start: Start, listener: SideListener, *, ahead: bytes = b"") -> SideRun:
        """Start a program beside the others of the container; its listener is told when it could not be started.

        Args:
            start: the program.
            listener: whoever gets what it says.
            ahead: requests for its files and its entry of the store, which need a container that runs nothing else.

        Raises:
            ContainerLost, ProtocolError: the channel has ended.
            ContainerBusy: something is sent ahead, and another request or a run is under way.
            UsageError: too many programs run here already, or the container is being reset.
        """
        if self.error is not None:
            raise self.error
        if ahead:
            self.free()
        number, data = self.connection.start_side(start)
        side = self._sides[number] = SideRun(self, number, listener)
        self.send(ahead + data)
        return side

    def send(self, data: bytes | memoryview) -> None:
        """Queue bytes for the supervisor. Does nothing after the channel's end."""
        if self._transport is not None and self.error is None:
            self._transport.write(data)

    @property
    def holds_on(self) -> bool:
        """True while sent bytes have not left: their buffer must not be used again."""
        return self._transport is not None and self._transport.get_write_buffer_size() > 0

    async def drain(self) -> None:
        """Wait until nearly all bytes that were sent have left.

        Raises:
            ContainerLost, ProtocolError: the channel has ended.
        """
        try:
            async with awake_timeout(_DRAIN_DEADLINE):
                while self._writable is not None and self.error is None:
                    await asyncio.shield(self._writable)
        except TimeoutError:
            self.close(ContainerLost(f"the container has taken nothing for {_DRAIN_DEADLINE:g} s: is it paused?"))
        if self.error is not None:
            raise self.error

    def pause(self) -> None:
        """Stop reading, so that the program's next writes wait."""
        if not self._paused and self._transport is not None and self.error is None:
            self._paused = True
            self._transport.pause_reading()

    def resume(self) -> None:
        """Read again."""
        if self._paused and self._transport is not None and self.error is None:
            self._paused = False
            self._transport.resume_reading()

    @property
    def awaited(self) -> bool:
        """True while a listener waits for the container, and reading is not paused."""
        return self._listener is not None and not self._paused and self.error is None

    @property
    def paused(self) -> bool:
        """True while no output is read, because its consumer is behind."""
        return self._paused

    def close(self, error: InterpreterToolsError | None = None) -> None:
        """End the conversation; the supervisor leaves, and the container ends.

        Args:
            error: the error for the listener; None means a general one.
        """
        self.on_lost = None
        self._lose(error or ContainerLost("the container was closed"))

    def _lose(self, error: InterpreterToolsError) -> None:
        if self.error is not None:
            return
        self.error = error
        self._buffer = memoryview(bytearray(_LEFTOVER))  # it may be kept for long after its end, as in a history
        self.resume_writing()
        if self._transport is not None:
            self._transport.abort()
        listener, self._listener = self._listener, None
        sides, self._sides = self._sides, {}
        on_lost, self.on_lost = self.on_lost, None
        try:
            if listener is not None:
                listener.lost(error)
            if on_lost is not None:
                on_lost()
        except Exception as fault:  # noqa: BLE001 - a fault of ours, and nobody is left to be told
            _fault(listener, fault)
        for side in sides.values():
            try:
                side.lost(error)
            except Exception as fault:  # noqa: BLE001 - a fault of ours, and the others are told all the same
                _fault(side, fault)


def _fault(listener: object, error: Exception) -> InternalError:
    """Log a fault of this library, and return it as what its user is told."""
    _LOG.error("a fault of interpreter_tools in %r", listener, exc_info=error)
    fault = InternalError(
        f"a fault of interpreter_tools: {error!r}", hint="please report it, with the log of 'interpreter_tools'"
    )
    fault.__cause__ = error
    return fault
