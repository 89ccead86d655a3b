"""The client's side of the command server in a session: its life, its frames, and the calls that wait."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import struct
from typing import TYPE_CHECKING, Annotated, Literal, Protocol, TypeAlias, Unpack

import msgspec

from interpreter_tools._commands.server_program import program
from interpreter_tools._config.options import RunApp
from interpreter_tools._config.paths import WORKSPACE
from interpreter_tools._deadline import AwakeTimer, awake_limit
from interpreter_tools._exceptions import (
    ContainerLost,
    ExecutionClosed,
    InterpreterToolsError,
    ProtocolError,
    SessionClosed,
)

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterator

    from interpreter_tools._config.model import SessionConfig
    from interpreter_tools._config.options import RunOptions
    from interpreter_tools._config.results import ExecutionResult
    from interpreter_tools._execution.execution import Execution

Outcome: TypeAlias = Literal["ended", "timeout", "output_limit"]

_SERVER = program().encode()
HEAD = struct.Struct(">cII")
_MOST = 1 << 20  # bytes of a frame
_PIECE = 1 << 18  # bytes of standard input in a frame
_KILL_DEADLINE = 5.0  # seconds that a killed command may take to end before everything in the session is killed
_LAST_WORDS = 2000  # bytes of the last output of a command server that failed


class ServerSession(Protocol):
    """The session that the command server runs in."""

    @property
    def id(self) -> str:
        """The id of the session."""
        ...

    @property
    def config(self) -> SessionConfig:
        """The configuration of the session."""
        ...

    @property
    def is_active(self) -> bool:
        """False once its clean-up has begun."""
        ...

    def stream(self, language: str, code: str | bytes = "", **options: Unpack[RunOptions]) -> Execution:
        """Return a run."""
        ...

    async def aclose(self) -> object:
        """Clean the session up."""


class End(msgspec.Struct, frozen=True):
    """A command's end, as the command server tells it.

    Attributes:
        code: the exit code.
        signal: the signal that ended it; 0 for none.
        errno: why it could not be started; 0 for nothing.
        file: what could not be used then.
        cpu_time: seconds of the processor that it took, with those of orphans that ended since the last end.
    """

    code: int
    signal: int
    errno: int = 0
    file: str = ""
    cpu_time: Annotated[float, msgspec.Meta(ge=0)] = 0.0


class Command:
    """A command that runs.

    Args:
        limit: bytes that are kept of each output; None means all.
    """

    def __init__(self, limit: int | None) -> None:
        loop = asyncio.get_running_loop()
        self.stopped: asyncio.Future[Outcome] = loop.create_future()  # the command has ended, or is to be killed
        self.ended: asyncio.Future[End | None] = loop.create_future()  # None: the command was never started
        self.output = {b"o": bytearray(), b"e": bytearray()}
        self.limit = limit

    def receive(self, kind: bytes, data: bytes) -> None:
        """Keep a piece of output, up to the limit."""
        kept = self.output[kind]
        if self.limit is not None and len(kept) + len(data) > self.limit:
            data = data[: self.limit - len(kept)]
            self.stop("output_limit")
        kept += data

    def stop(self, outcome: Outcome) -> None:
        """Wake the call that waits for the command, with the reason; the first reason counts."""
        if not self.stopped.done():
            self.stopped.set_result(outcome)

    def end(self, end: End | None) -> None:
        """Note the end of the command."""
        if not self.ended.done():
            self.ended.set_result(end)
        self.stop("ended")

    def fail(self, error: InterpreterToolsError) -> None:
        """Note an error instead of the end of the command."""
        for future in (self.ended, self.stopped):
            if not future.done():
                future.set_exception(error)
                future.exception()  # perhaps no call waits for it


class CommandLink:
    """The link to the command server in a session. The command server is started when a command needs it.

    A session with a server is never idle by its own count. So the link cleans the session up after ``idle_timeout``
    seconds without a command, even with processes in the background.

    Args:
        session: the session that the command server runs in.
    """

    def __init__(self, session: ServerSession) -> None:
        self._session = session
        self._execution: Execution | None = None
        self._serving: asyncio.Task[None] | None = None
        self._started: asyncio.Future[None] | None = None
        self._idle: AwakeTimer | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._commands: dict[int, Command] = {}
        self._number = 0
        self._wanted = False
        self._lost: ContainerLost | None = None

    async def run(
        self, command: Command, request: bytes, *, stdin: bytes, timeout: float | None
    ) -> tuple[End | None, Outcome]:
        """Send a request to the server, and wait for the end of its command. Limits and cancelling kill the command.

        Returns:
            The end of the command, or None when the server left at that moment and the call is to be repeated; and the
            outcome.

        Raises:
            ContainerLost: the container is gone.
            SessionClosed: the session was cleaned up.
            ProtocolError: the command server broke the protocol.
        """
        while self._execution is None:
            await self._start()
        number = self._number = (self._number + 1) % (1 << 32)
        self._commands[number] = command
        if self._idle is not None:
            self._idle.cancel()
        timer: AwakeTimer | None = None
        try:
            for start in range(0, len(stdin), _PIECE):
                await self._send(b"i", number, stdin[start : start + _PIECE])
            await self._send(b"r", number, request)
            if timeout is not None:
                timer = AwakeTimer(timeout, command.stop, "timeout")
            outcome = await command.stopped
            if outcome != "ended":
                await self._kill(number, command)
            return await command.ended, outcome
        except asyncio.CancelledError:
            await self._kill(number, command)
            raise
        finally:
            if timer is not None:
                timer.cancel()
            del self._commands[number]
            if not self._commands:
                self._await_next()

    def _await_next(self) -> None:
        """Start the session's idle time: no command runs, and its server keeps it from being idle by its own count."""
        seconds = self._session.config.idle_timeout
        if seconds is not None and self._execution is not None:
            self._idle = AwakeTimer(seconds, lambda: self._spawn(self._expire()))

    async def _expire(self) -> None:
        await self._session.aclose()

    async def _send(self, kind: bytes, number: int, payload: bytes = b"") -> None:
        if self._execution is not None:
            with contextlib.suppress(ExecutionClosed):  # the command server has ended, and `_ended` tells each command
                await self._execution.send_stdin(HEAD.pack(kind, number, len(payload)) + payload)

    async def _kill(self, number: int, command: Command) -> None:
        with awake_limit(_KILL_DEADLINE, shield=True):
            await self._send(b"k", number)
            await asyncio.wait([command.ended])
        if not command.ended.done() and self._execution is not None:  # the command server does not answer either
            with awake_limit(_KILL_DEADLINE, shield=True):
                await self._execution.kill()
                await asyncio.wait([command.ended])
        if not command.ended.done():
            command.fail(ContainerLost("the container does not answer: is it paused?"))

    async def _start(self) -> None:
        if self._lost is not None:
            raise ContainerLost(self._lost.message, hint="make another session: its files are gone")
        if self._serving is None or self._started is None:
            self._started = asyncio.get_running_loop().create_future()
            self._serving = asyncio.create_task(self._serve(self._started))
        await asyncio.shield(self._started)

    async def _serve(self, started: asyncio.Future[None]) -> None:
        name = f".interpreter-tools-{secrets.token_hex(8)}.py"
        said = bytearray()
        self._wanted = False
        try:
            async with self._session.stream(
                "python",
                files={name: _SERVER},
                run_app=RunApp(entry_file=f"{WORKSPACE}/{name}", cwd="/"),
                timeout=None,
                output_limit=None,
                capture=False,
            ) as execution:
                self._execution = execution
                started.set_result(None)
                if self._wanted:  # another call asked for the turn while the command server started
                    self.make_way()
                received = bytearray()
                async for chunk in execution:
                    if chunk.stream == "stdout":
                        received += chunk.data
                        self._take_frames(received)
                    else:
                        said += chunk.data[: _LAST_WORDS - len(said)]
                result = await execution.result()
            self._ended(result, said.decode("utf-8", "replace").strip())
        except InterpreterToolsError as error:
            if isinstance(error, ContainerLost):
                self._lost = error
            self._execution = self._serving = None
            if not started.done():
                started.set_exception(error)
                started.exception()  # perhaps no call waits any more
            for command in self._commands.values():
                command.fail(error)
        finally:
            self._execution = self._serving = None
            if self._idle is not None:
                self._idle.cancel()
            for command in self._commands.values():
                command.fail(ProtocolError("the command server was left"))

    def _ended(self, result: ExecutionResult, said: str) -> None:
        """Tell each command the end of the server, which left by itself without commands, or was killed with them."""
        self._execution = self._serving = None
        if result.exit_code == 0 and self._wanted:
            end = None
        elif result.signal is not None or result.outcome == "killed":
            if not self._session.is_active:
                raise SessionClosed("the session was cleaned up while the command ran")
            end = End(code=137, signal=9)
        else:
            raise ProtocolError(
                f"the command server ended, and was not asked to: {said or result.outcome}",
                hint="it needs Python 3.8 or newer, with ctypes, in the session's image",
            )
        for command in self._commands.values():
            command.end(end)

    def _take_frames(self, received: bytearray) -> None:
        for kind, number, payload in take_frames(received):
            command = self._commands.get(number)
            if command is None:
                continue
            if kind == b"x":
                command.end(decode_end(payload))
            elif kind in command.output:
                command.receive(kind, payload)

    def make_way(self) -> None:
        """Have the command server leave once no command runs: another call waits for the session."""
        self._wanted = True
        self._spawn(self._send(b"l", 0))

    def _spawn(self, work: Coroutine[object, object, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def take_frames(received: bytearray) -> Iterator[tuple[bytes, int, bytes]]:
    """Yield the frames of a command server that are whole, and remove them: kind, number of the command, payload.

    Raises:
        ProtocolError: it is no frame.
    """
    start = 0
    while len(received) - start >= HEAD.size:
        kind, number, length = HEAD.unpack_from(received, start)
        if length > _MOST:
            raise ProtocolError("the command server sent what is no frame")
        end = start + HEAD.size + length
        if len(received) <= end:
            break
        payload = bytes(received[start + HEAD.size : end])
        start = end + 1
        yield kind, number, payload
    del received[:start]


def decode_end(payload: bytes) -> End:
    """Return the end of a command.

    Raises:
        ProtocolError: it is none.
    """
    try:
        return msgspec.json.decode(payload, type=End)
    except msgspec.DecodeError as error:
        raise ProtocolError(f"the command server sent what is no end of a command: {error}") from None
