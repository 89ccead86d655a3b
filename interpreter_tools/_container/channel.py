"""A container's stream: bytes from the Docker engine to events of the supervisor, and back."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Protocol, TypeVar, cast

from interpreter_tools._deadline import awake_timeout
from interpreter_tools._docker import Demultiplexer
from interpreter_tools._exceptions import ContainerBusy, ContainerLost, InterpreterToolsError, ProtocolError
from interpreter_tools._protocol import Connection, Event, Fatal, Hello, Refused

if TYPE_CHECKING:
    from collections.abc import Callable

_READ = 128 << 10  # bytes at once; the engine sends 32 KiB pieces, more of them when we are behind
# Bytes that may wait for room in the kernel before a sender has to wait: more only moves them about, and with none
# asyncio's TLS transport would pause for good.
_WRITE_HIGH = 1
_DRAIN_DEADLINE = 30.0  # seconds; the supervisor takes what it is sent at once, so it does not run any more
_LEFTOVER = 1024  # bytes of the buffer of a channel that has ended

E = TypeVar("E", bound=Event)


class Listener(Protocol):
    """Who the events are for while a request or a run is under way."""

    def receive(self, event: Event) -> None:
        """The next event, in order."""

    def lost(self, error: InterpreterToolsError) -> None:
        """There will be no other event."""


class _Reply:
    """A listener for a request with one answer."""

    def __init__(self) -> None:
        self.future: asyncio.Future[Event] = asyncio.get_running_loop().create_future()
        self.future.add_done_callback(lambda future: future.cancelled() or future.exception())  # nobody may wait

    def receive(self, event: Event) -> None:
        if not self.future.done():
            self.future.set_result(event)

    def lost(self, error: InterpreterToolsError) -> None:
        if not self.future.done():
            self.future.set_exception(error)


class Channel(asyncio.BufferedProtocol, asyncio.Protocol):
    """The attach stream of one container. Made before the container starts; ends with it.

    What arrives is read into one buffer, and put together from there: bulk comes page by page, and an event for each
    would cost more than the copy.

    Attributes:
        connection: the state machine whose bytes go through here.
        error: why the channel ended; None while it lives.
        compiled: what was compiled in the container, as user id and key; a reset makes it another user's container.
        heard: how often something came from the container.
        on_lost: called once when it ends, other than by ``close``.
    """

    def __init__(self) -> None:
        self.connection = Connection()
        self.error: InterpreterToolsError | None = None
        self.compiled: set[tuple[int, str]] = set()
        self.on_lost: Callable[[], None] | None = None
        self._buffer = memoryview(bytearray(_READ))
        self._demultiplexer = Demultiplexer()
        self._greeting = _Reply()  # listens from the start: the supervisor speaks as soon as it lives
        self._listener: Listener | None = self._greeting
        self._transport: asyncio.Transport | None = None
        self._paused = False
        self.heard = 0
        self._writable: asyncio.Future[None] | None = None

    def __repr__(self) -> str:
        return f"<Channel {self.connection.state.name}{' lost' if self.error else ''}>"

    # -- asyncio's side

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Takes the upgraded connection over."""
        self._transport = cast("asyncio.Transport", transport)
        self._transport.set_write_buffer_limits(high=_WRITE_HIGH)

    def get_buffer(self, sizehint: int) -> memoryview:
        """Where the next bytes go."""
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        """They are there."""
        self.data_received(self._buffer[:nbytes])

    def data_received(self, data: bytes | memoryview) -> None:
        """Hands every event in the data to the listener."""
        self.heard += 1
        try:
            for event in self.connection.receive(b"".join(self._demultiplexer.feed(data))):
                self._deliver(event)
        except ProtocolError as error:
            self._lose(error)

    def _deliver(self, event: Event) -> None:
        if isinstance(event, Fatal):
            self._lose(ContainerLost(f"the container's supervisor gave up: {event.message}"))
        elif self._listener is not None:
            self._listener.receive(event)

    def connection_lost(self, exc: Exception | None) -> None:
        """The container, or its Docker engine, is gone."""
        cause = f": {exc}" if exc else ""
        self._lose(
            ContainerLost(
                f"the container went away{cause}",
                hint="it was killed or removed from outside, or the Docker engine stopped; run the code again",
            )
        )

    def pause_writing(self) -> None:
        """The container does not take what is sent to it."""
        self._writable = asyncio.get_running_loop().create_future()

    def resume_writing(self) -> None:
        """It takes more again."""
        if self._writable is not None and not self._writable.done():
            self._writable.set_result(None)
        self._writable = None

    # -- the container's side

    async def expect(self, kind: type[E], *, send: bytes = b"") -> E | Refused:
        """Sends a request and waits for its one answer.

        Raises:
            ContainerLost: the container went away.
            ProtocolError: the answer was something else.
            ContainerBusy: another request or run is under way.
        """
        reply = _Reply()
        self.listen(reply)
        try:
            if send:
                self.send(send)
            event = await reply.future
        finally:
            self.quit(reply)
        if not isinstance(event, (kind, Refused)):
            error = ProtocolError(f"the supervisor answered {type(event).__name__} instead of {kind.__name__}")
            self._lose(error)
            raise error
        return event

    async def greeting(self) -> Hello:
        """Waits for the supervisor's first word.

        Raises:
            ContainerLost, ProtocolError: it did not come.
        """
        try:
            event = await self._greeting.future
        finally:
            self.quit(self._greeting)
        assert isinstance(event, Hello), event  # nothing else may come first
        return event

    def listen(self, listener: Listener) -> None:
        """Gives the events to a listener until it quits.

        Raises:
            ContainerLost, ProtocolError: the channel has ended.
            ContainerBusy: there is another listener.
        """
        if self.error is not None:
            raise self.error
        if self._listener is not None:
            raise ContainerBusy("the container is already running something")
        self._listener = listener

    def quit(self, listener: Listener) -> None:
        """Ends what ``listen`` began."""
        if self._listener is listener:
            self._listener = None
            self.resume()

    def dismiss(self, error: InterpreterToolsError) -> None:
        """Tells who listens that nothing more comes for them; the channel goes on."""
        listener = self._listener
        if listener is not None:
            self.quit(listener)
            listener.lost(error)

    def send(self, data: bytes | memoryview) -> None:
        """Queues bytes for the supervisor; nothing when the channel has ended."""
        if self._transport is not None and self.error is None:
            self._transport.write(data)

    @property
    def holds_on(self) -> bool:
        """What was sent last has not left: a buffer that it lies in must not be used again."""
        return self._transport is not None and self._transport.get_write_buffer_size() > 0

    async def drain(self) -> None:
        """Waits until what was sent has left, or as good as.

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
        """Reads no more: the program's next writes will wait."""
        if not self._paused and self._transport is not None and self.error is None:
            self._paused = True
            self._transport.pause_reading()

    def resume(self) -> None:
        """Reads again."""
        if self._paused and self._transport is not None and self.error is None:
            self._paused = False
            self._transport.resume_reading()

    @property
    def awaited(self) -> bool:
        """Somebody waits for the container: it is to say something, and may."""
        return self._listener is not None and not self._paused and self.error is None

    @property
    def paused(self) -> bool:
        """No output is read because its consumer is behind."""
        return self._paused

    def close(self, error: InterpreterToolsError | None = None) -> None:
        """Ends the conversation; the supervisor leaves, and the container with it.

        Args:
            error: what whoever still listens is told.
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
        if listener is not None:
            listener.lost(error)
        on_lost, self.on_lost = self.on_lost, None
        if on_lost is not None:
            on_lost()
