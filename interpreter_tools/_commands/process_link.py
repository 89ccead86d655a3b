"""The client's side of the command server that runs beside the runs of a session: its life and its frames."""

from __future__ import annotations

import asyncio
import contextlib
import os
from typing import TYPE_CHECKING, Protocol

import msgspec

from interpreter_tools._commands.link import HEAD, End, decode_end, take_frames
from interpreter_tools._deadline import awake_limit
from interpreter_tools._exceptions import (
    ExecutionClosed,
    InterpreterMissing,
    InterpreterToolsError,
    ProtocolError,
    SessionClosed,
)
from interpreter_tools._protocol import Exited

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from interpreter_tools._commands.process import Process
    from interpreter_tools._container.side_run import SideListener, SideRun
    from interpreter_tools._protocol import Output, Refused

_END_DEADLINE = 6.0  # seconds for the command server to end once it was killed
_LAST_WORDS = 2000  # bytes of what a command server says before it fails


class ProgramPlace(Protocol):
    """The session that the command server runs in."""

    @property
    def image(self) -> str:
        """The image of the session's programs."""
        ...

    async def start(self, command: tuple[str, ...], listener: SideListener) -> SideRun:
        """Start a program beside the runs of the session."""
        ...

    def begin(self) -> None:
        """Note that a process begins: the session does not expire."""
        ...

    def end(self) -> None:
        """Note that a process has ended."""
        ...


class _Started(msgspec.Struct, frozen=True):
    pid: int


class _Listener:
    """Hears one command server, which may be followed by another."""

    def __init__(self, link: ProcessLink) -> None:
        self._link = link
        self._received = bytearray()
        self.said = bytearray()
        self.is_over = asyncio.Event()
        self.error: InterpreterToolsError | None = None

    def output(self, event: Output) -> None:
        if event.stream == "stdout":
            self._received += event.data
            try:
                self._link.take(self._received)
            except ProtocolError as error:
                self._link.broken(self, error)
        else:
            self.said += event.data[: _LAST_WORDS - len(self.said)]

    def message(self, connection: int, data: bytes) -> None:
        """Nobody listens to what processes display."""

    def ended(self, how: Exited | Refused | InterpreterToolsError) -> None:
        self.is_over.set()
        self._link.ended(self, how)


class ProcessLink:
    """The link to a command server that runs beside the runs of a session. It is started when a process needs it.

    Args:
        place: the session.
        program: the command that starts the command server.

    Attributes:
        processes: those that run, by number.
    """

    def __init__(self, place: ProgramPlace, program: tuple[str, ...]) -> None:
        self.processes: dict[int, Process] = {}
        self._place = place
        self._program = program
        self._side: SideRun | None = None
        self._listener: _Listener | None = None
        self._starting = asyncio.Lock()
        self._number = 0
        self._closed = False
        self._tasks: set[asyncio.Task[None]] = set()

    def __repr__(self) -> str:
        return f"<ProcessLink [{len(self.processes)} running]>"

    async def start(self, process: Process, request: bytes) -> End | None:
        """Start a process; return its end when it could not be started. Cancelling kills it.

        Raises:
            ContainerLost: the container is gone.
            SessionClosed: the session was cleaned up.
            InterpreterMissing: the image has no Python.
        """
        while self._side is None:
            await self._linked()
        number = self._number = (self._number + 1) % (1 << 32)
        self.processes[number] = process
        self._place.begin()
        process.attach(self, number)
        process.ended.add_done_callback(lambda _: self._forget(number))
        try:
            await self.send(b"r", number, request)
            return await process.started
        except BaseException:
            self.post(b"k", number)
            raise

    def _forget(self, number: int) -> None:
        if self.processes.pop(number, None) is not None:
            self._place.end()

    async def send(self, kind: bytes, number: int, payload: bytes = b"") -> None:
        """Send a frame; wait for room."""
        if self._side is not None:
            with contextlib.suppress(ExecutionClosed):  # the command server has ended; ``ended`` tells each process
                await self._side.send_stdin(HEAD.pack(kind, number, len(payload)) + payload)

    def post(self, kind: bytes, number: int, payload: bytes = b"") -> None:
        """Send a small frame soon."""
        self._spawn(self.send(kind, number, payload))

    def _spawn(self, work: Coroutine[object, object, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _linked(self) -> None:
        """Start the command server, unless it runs."""
        async with self._starting:
            if self._closed:
                raise SessionClosed("the session was cleaned up")
            if self._side is None:
                listener = self._listener = _Listener(self)
                side = await self._place.start(self._program, listener)
                if listener.error is not None:
                    raise listener.error
                self._side = side

    # -- what the command server says

    def take(self, received: bytearray) -> None:
        """Take its frames."""
        for kind, number, payload in take_frames(received):
            process = self.processes.get(number)
            if process is None:
                continue
            if kind == b"s":
                process.began(_decode_started(payload))
            elif kind == b"x":
                process.end(decode_end(payload))
            elif kind == b"a":
                process.accepted(payload)
            elif kind == b"o":
                process.receive("stdout", payload)
            elif kind == b"e":
                process.receive("stderr", payload)

    def broken(self, listener: _Listener, error: ProtocolError) -> None:
        """End a command server that does not speak the protocol."""
        if listener is self._listener and self._side is not None:
            side, self._side = self._side, None
            side.kill()
            self._fail(error)

    def ended(self, listener: _Listener, how: Exited | Refused | InterpreterToolsError) -> None:
        """Tell each process that the command server has ended: with all processes, when somebody killed it."""
        if listener is not self._listener:
            return
        self._side = None
        if isinstance(how, Exited) and how.signal:
            for process in tuple(self.processes.values()):
                process.end(End(code=137, signal=9))
            return
        if isinstance(how, InterpreterToolsError):
            error = how
        elif isinstance(how, Exited):
            said = listener.said.decode("utf-8", "replace").strip()
            hint = "it needs Python 3.8 or newer, with ctypes, in the session's image"
            error = ProtocolError(f"the command server ended with {how.exit_code}: {said}", hint=hint)
        else:
            error = InterpreterMissing("python3", self._place.image, os.strerror(how.errno))
        listener.error = error
        self._fail(error)

    def _fail(self, error: InterpreterToolsError) -> None:
        for process in tuple(self.processes.values()):
            process.fail(error)

    async def aclose(self) -> None:
        """End the command server, with all processes. Does nothing the second time."""
        self._closed = True
        if self._side is not None and self._listener is not None:
            self._side.kill()
            with awake_limit(_END_DEADLINE, shield=True):
                await self._listener.is_over.wait()


def _decode_started(payload: bytes) -> int:
    try:
        return msgspec.json.decode(payload, type=_Started).pid
    except msgspec.DecodeError as error:
        raise ProtocolError(f"the command server sent what is no process id: {error}") from None
