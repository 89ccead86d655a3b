"""A process of a session: a program with which its caller talks while it runs."""

from __future__ import annotations

import asyncio
import struct
from collections import deque
from typing import TYPE_CHECKING, Literal, Protocol, Self, TypeAlias

from interpreter_tools._exceptions import ConfigurationError, ExecutionClosed

if TYPE_CHECKING:
    from collections.abc import Mapping

    from interpreter_tools._commands.link import End
    from interpreter_tools._exceptions import InterpreterToolsError

ProcessStream: TypeAlias = Literal["stdout", "stderr"]

WINDOW = 1 << 20  # bytes of a process's output on their way; the command server has the same
_GRANT = WINDOW // 4  # bytes taken after which the command server is told
_INPUT_WINDOW = 1 << 18  # bytes of its input on their way
_PIECE = 1 << 16  # bytes of its input in one frame
_COUNT = struct.Struct(">I")
_SIZE = struct.Struct(">HH")


class Sender(Protocol):
    """The way to the command server."""

    async def send(self, kind: bytes, number: int, payload: bytes = b"") -> None:
        """Send a frame; wait for room."""

    def post(self, kind: bytes, number: int, payload: bytes = b"") -> None:
        """Send a small frame soon."""


class _Piece:
    """A piece of output, and how many readers have yet to take it."""

    __slots__ = ("data", "readers", "stream")

    def __init__(self, stream: ProcessStream, data: bytes, readers: int) -> None:
        self.stream: ProcessStream = stream
        self.data = data
        self.readers = readers


class ProcessOutput:
    """A reader of a process's output: ``async for`` yields stream and bytes until the process ends.

    A process can have several readers; the slowest one makes it wait. Output that comes while there is none is dropped.
    """

    def __init__(self, process: Process) -> None:
        self._process = process
        self._pieces: deque[_Piece] = deque()
        self._event = asyncio.Event()
        self._closed = False

    def give(self, piece: _Piece) -> None:
        """Take a piece; called by the process."""
        self._pieces.append(piece)
        self._event.set()

    def wake(self) -> None:
        """Look whether the process has ended; called by the process."""
        self._event.set()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> tuple[ProcessStream, bytes]:
        while not self._pieces:
            if self._closed or self._process.ended.done():
                if not self._closed:
                    self._process.ended.result()  # an error of the container or the session
                raise StopAsyncIteration
            self._event.clear()
            await self._event.wait()
        piece = self._pieces.popleft()
        self._process.taken(piece)
        return piece.stream, piece.data

    async def aclose(self) -> None:
        """Take no more; the process goes on. Does nothing the second time."""
        if not self._closed:
            self._closed = True
            self._event.set()
            self._process.leave(self)
            while self._pieces:
                self._process.taken(self._pieces.popleft())


class Process:
    """A program that runs beside others, made by ``Processes.start``.

    Attributes:
        command: the program and its arguments; empty for a file operation.
        cwd: the directory that it was asked to start in.
        environment: its variables beside the session's.
        has_terminal: True when a terminal was made for it: then all its output is ``stdout``.
        pid: its process id in the sandbox; 0 before it has started.
        ended: its end.
    """

    def __init__(
        self, command: tuple[str, ...], *, cwd: str | None, environment: Mapping[str, str], has_terminal: bool
    ) -> None:
        self.command = command
        self.cwd = cwd
        self.environment = environment
        self.has_terminal = has_terminal
        self.pid = 0
        loop = asyncio.get_running_loop()
        self.ended: asyncio.Future[End] = loop.create_future()
        self.started: asyncio.Future[End | None] = loop.create_future()  # the end of one that could not be started
        self._sender: Sender | None = None
        self._number = 0
        self._readers: list[ProcessOutput] = []
        self._early: list[_Piece] | None = []  # output before the first reader
        self._taken = 0
        self._input = 0  # bytes of input on their way
        self._input_open = True
        self._input_turn = asyncio.Lock()
        self._room = asyncio.Event()

    def __repr__(self) -> str:
        return f"<Process {self.pid} {'ended' if self.ended.done() else 'running'}>"

    # -- what the command server says

    def attach(self, sender: Sender, number: int) -> None:
        """Note the way to the command server, and the number there."""
        self._sender, self._number = sender, number

    def began(self, pid: int) -> None:
        """Note that it runs."""
        self.pid = pid
        if not self.started.done():
            self.started.set_result(None)

    def receive(self, stream: ProcessStream, data: bytes) -> None:
        """Take output."""
        if self._early is not None:
            self._early.append(_Piece(stream, data, 1))
            return
        piece = _Piece(stream, data, len(self._readers))
        if not self._readers:
            self._grant(len(data))
        for reader in self._readers:
            reader.give(piece)

    def accepted(self, payload: bytes) -> None:
        """Note that the program was given a part of its input."""
        if len(payload) == _COUNT.size:
            self._input -= _COUNT.unpack(payload)[0]
            self._room.set()

    def end(self, end: End) -> None:
        """Note its end."""
        if not self.started.done():
            self.started.set_result(end)
        if not self.ended.done():
            self.ended.set_result(end)
        self._wake()

    def fail(self, error: InterpreterToolsError) -> None:
        """Note an error instead of its end."""
        for future in (self.started, self.ended):
            if not future.done():
                future.set_exception(error)
                future.exception()  # perhaps nobody waits for it
        self._wake()

    def _wake(self) -> None:
        self._room.set()
        for reader in self._readers:
            reader.wake()

    # -- what its readers say

    def taken(self, piece: _Piece) -> None:
        """Note that a reader has taken a piece."""
        piece.readers -= 1
        if piece.readers == 0:
            self._grant(len(piece.data))

    def leave(self, reader: ProcessOutput) -> None:
        """Forget a reader."""
        if reader in self._readers:
            self._readers.remove(reader)

    def _grant(self, count: int) -> None:
        self._taken += count
        if self._taken >= _GRANT and not self.ended.done() and self._sender is not None:
            self._sender.post(b"t", self._number, _COUNT.pack(self._taken))
            self._taken = 0

    # -- what its owner asks

    @property
    def readers(self) -> int:
        """The number of readers of the output now."""
        return len(self._readers)

    def output(self) -> ProcessOutput:
        """Return a reader of the output: the first one has all of it, others have what comes from now on."""
        reader = ProcessOutput(self)
        self._readers.append(reader)
        early, self._early = self._early, None
        for piece in early or ():
            reader.give(piece)
        return reader

    async def collect(self, limit: int) -> tuple[int, bytes, bytes]:
        """Return exit code, stdout and stderr once it has ended; each up to a limit, at which it is killed.

        Raises:
            ContainerLost, SessionClosed: there is no end.
        """
        kept: dict[ProcessStream, bytearray] = {"stdout": bytearray(), "stderr": bytearray()}
        output = self.output()
        try:
            async for stream, data in output:
                kept[stream] += data[: limit - len(kept[stream])]
                if len(kept[stream]) >= limit:
                    break
        finally:
            await output.aclose()
        if not self.ended.done():
            await self.kill()
        return (await self.wait()).code, bytes(kept["stdout"]), bytes(kept["stderr"])

    async def wait(self) -> End:
        """Wait for its end. Cancelling ends the waiting only.

        Raises:
            ContainerLost, SessionClosed: there is no end.
        """
        return await asyncio.shield(self.ended)

    async def send_stdin(self, data: bytes) -> None:
        """Send input; wait while the program does not read. Later bytes never overtake earlier ones.

        Raises:
            ExecutionClosed: the program has ended, or its input was closed.
        """
        async with self._input_turn:
            view = memoryview(data)
            while view:
                while self._input >= _INPUT_WINDOW and not self.ended.done():
                    self._room.clear()
                    await self._room.wait()
                if self.ended.done() or not self._input_open or self._sender is None:
                    raise ExecutionClosed("the process has ended, or its input was closed")
                piece = bytes(view[:_PIECE])
                self._input += len(piece)
                await self._sender.send(b"i", self._number, piece)
                view = view[_PIECE:]

    async def close_stdin(self) -> None:
        """End its input, behind the bytes that were sent. Does nothing the second time, and for a terminal."""
        async with self._input_turn:
            if self._input_open:
                await self._tell(b"c")
            self._input_open = False

    async def signal(self, number: int) -> None:
        """Send a signal to the program and its process group. Does nothing after its end."""
        await self._tell(b"g", _COUNT.pack(number))

    async def kill(self) -> None:
        """Kill the program and what it has started, but for what is detached. Does nothing after its end."""
        await self._tell(b"k")

    def kill_soon(self) -> None:
        """Do what ``kill`` does, without waiting for it."""
        if self._sender is not None and not self.ended.done():
            self._sender.post(b"k", self._number)

    async def resize(self, rows: int, columns: int) -> None:
        """Change the size of its terminal.

        Raises:
            ConfigurationError: it has no terminal, or the size cannot be.
        """
        if not self.has_terminal:
            hint = "start the process with terminal=(rows, columns)"
            raise ConfigurationError("terminal", None, "is not there: the process was started without one", hint=hint)
        if not all(0 < number < 1 << 16 for number in (rows, columns)):
            raise ConfigurationError("terminal", (rows, columns), "is not rows and columns from 1 to 65,535")
        await self._tell(b"z", _SIZE.pack(rows, columns))

    async def _tell(self, kind: bytes, payload: bytes = b"") -> None:
        if self._sender is not None and not self.ended.done():
            await self._sender.send(kind, self._number, payload)
