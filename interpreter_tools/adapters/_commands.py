"""Commands and files of one session, as sandbox backends want them: side by side, anywhere in the container.

A session's own runs take turns, and nothing that they start outlives them. Backends of agents' frameworks need more:
several commands at once, and servers that go on in the background. So one long run of the session is a host for them,
``_command_host.py``, which the image's own Python 3 runs.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import json
import os
import secrets
import struct
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias, cast

import anyio
import msgspec

from interpreter_tools._config import ContainerStrategy, check_environment
from interpreter_tools._exceptions import (
    ConfigurationError,
    ContainerLost,
    ExecutionClosed,
    InterpreterToolsError,
    ProtocolError,
    SessionClosed,
)
from interpreter_tools._languages import RunApp
from interpreter_tools._limits import check_seconds
from interpreter_tools._workspace import WORKSPACE

if TYPE_CHECKING:
    from collections.abc import Coroutine, Mapping, Sequence

    from interpreter_tools._config import SessionConfig
    from interpreter_tools._engine import ExecutionEngine
    from interpreter_tools._execution import Execution
    from interpreter_tools._models import ExecutionResult
    from interpreter_tools._session import Session

Outcome: TypeAlias = Literal["ended", "timeout", "output_limit"]

_HOST = Path(__file__).with_name("_command_host.py").read_bytes()
_HEAD = struct.Struct(">cII")
_MOST = 1 << 20  # bytes of a frame
_PIECE = 1 << 18  # bytes of standard input in a frame
MOST_FILE = 256 << 20  # bytes of a file that are read into memory where a framework has no limit of its own
_MOST_ENTRIES = 64 << 20  # bytes of a directory's listing
_KILL_DEADLINE = 5.0  # seconds that a killed command may take to end before everything in the session is killed
_REFUSED = 127  # exit code of what is done to a file, when standard error is the kernel's error number
_LAST_WORDS = 2000  # bytes of what a host that failed has to say


class Ended(msgspec.Struct, frozen=True, kw_only=True):
    """How a command went.

    Attributes:
        exit_code: 0 to 255; 128 + signal when a signal ended it, 127 or 126 when the program could not be started.
        stdout: what it wrote there, up to the limit.
        stderr: the same for standard error; empty when it went to ``stdout``.
        outcome: ``ended`` by itself, or killed for one of its limits.
        failure: the kernel's error number when the program could not be started, or 0.
    """

    exit_code: int
    stdout: bytes
    stderr: bytes
    outcome: Outcome
    failure: int = 0


class _End(msgspec.Struct, frozen=True):
    """A command's end, as the host tells it."""

    code: int
    signal: int
    errno: int = 0
    file: str = ""


class _Command:
    """One that runs."""

    def __init__(self, limit: int | None) -> None:
        loop = asyncio.get_running_loop()
        self.stopped: asyncio.Future[Outcome] = loop.create_future()  # it has ended, or is to be killed
        self.ended: asyncio.Future[_End | None] = loop.create_future()  # None: it was never started
        self.output = {b"o": bytearray(), b"e": bytearray()}
        self.limit = limit

    def receive(self, kind: bytes, data: bytes) -> None:
        """Takes a piece of output; what is beyond the limit is dropped."""
        kept = self.output[kind]
        if self.limit is not None and len(kept) + len(data) > self.limit:
            data = data[: self.limit - len(kept)]
            self.stop("output_limit")
        kept += data

    def stop(self, outcome: Outcome) -> None:
        """Tells who waits that it is over, and why; the first reason counts."""
        if not self.stopped.done():
            self.stopped.set_result(outcome)

    def end(self, end: _End | None) -> None:
        """It does not run any more."""
        if not self.ended.done():
            self.ended.set_result(end)
        self.stop("ended")

    def fail(self, error: InterpreterToolsError) -> None:
        """Nobody knows how it went."""
        for future in (self.ended, self.stopped):
            if not future.done():
                future.set_exception(error)
                future.exception()  # it may be that nobody asks for it


class Commands:
    """What runs side by side in a session.

    The session's own runs, and what the engine does to its files, have their turn once no command runs, and nothing
    that commands have left in the background. It is cleaned up after ``idle_timeout`` seconds without a command,
    whatever is in the background.

    Args:
        session: one of the strategy ``PER_SESSION``.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self._execution: Execution | None = None
        self._serving: asyncio.Task[None] | None = None
        self._started: asyncio.Future[None] | None = None
        self._idle: asyncio.TimerHandle | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._commands: dict[int, _Command] = {}
        self._number = 0
        self._wanted = False
        self._lost: ContainerLost | None = None

    @classmethod
    def open(cls, engine: ExecutionEngine, config: SessionConfig | None = None) -> Commands:
        """Those of a new session.

        Raises:
            EngineClosed: the engine does not run.
            SessionExists, TooManySessions: there can be no such session.
        """
        return cls._of(engine.session(config, strategy=ContainerStrategy.PER_SESSION))

    @classmethod
    def attach(cls, engine: ExecutionEngine, session_id: str) -> Commands:
        """Those of a session that is there.

        Raises:
            EngineClosed: the engine does not run.
            UnknownSession: there is no such session.
            ConfigurationError: it is of another strategy, so what one run leaves is not there for the next.
        """
        session = engine._session(session_id)  # noqa: SLF001 - the object behind what the engine does by id
        if session.config.strategy is not ContainerStrategy.PER_SESSION:
            raise ConfigurationError("session_id", session_id, "is a session of another strategy than PER_SESSION")
        return cls._of(session)

    @classmethod
    def _of(cls, session: Session) -> Commands:
        """The same for everybody who asks: their host is one run, and a session's runs take turns."""
        found = session.guest
        if not isinstance(found, cls):
            found = session.guest = cls(session)
        return found

    @property
    def session_id(self) -> str:
        """The session's name."""
        return self._session.id

    def working_dir(self) -> str:
        """Where commands start, as the session's configuration says.

        Raises:
            SessionClosed: the session was cleaned up.
        """
        if not self._session.is_active:
            raise SessionClosed(f"the session {self.session_id!r} is closed")
        return self._session._container_config.working_dir  # noqa: SLF001

    async def run(
        self,
        command: Sequence[str],
        *,
        cwd: str | None = None,
        environment: Mapping[str, str] | None = None,
        stdin: bytes = b"",
        timeout: float | None = None,
        output_limit: int | None = None,
        merge: bool = False,
    ) -> Ended:
        """Runs a program to its end; what it leaves in the background, in a session of its own, goes on.

        Cancelling it, as either of its limits, kills it and what it has started, except what is detached.

        Args:
            command: the program and its arguments.
            cwd: where it starts; None means the working directory, to which a relative path is relative.
            environment: variables beside the session's.
            stdin: its standard input.
            timeout: seconds; None means no limit.
            output_limit: bytes of each output; None means no limit.
            merge: standard error goes where standard output does.

        Raises:
            ConfigurationError: an argument cannot work.
            OSError: the directory cannot be entered.
            ContainerLost: the container is gone.
            SessionClosed: the session was cleaned up, also while the command ran.
        """
        if not command:
            raise ConfigurationError("command", command, "is empty", hint="name a program")
        for word in (*command, cwd or ""):
            _check_text(word, field="command")
        check_seconds(timeout, field="timeout")
        directory = os.path.join(self.working_dir(), cwd or "")  # noqa: PTH118 - a path in the container
        request = {
            "command": list(command),
            "cwd": directory,
            "environment": check_environment(dict(environment or {}), field="environment"),
            "merge": merge,
        }
        return await self._call(request, stdin=stdin, timeout=timeout, output_limit=output_limit)

    async def aclose(self) -> None:
        """Cleans the session up, with all that runs in it. Does nothing the second time."""
        await self._session.aclose()

    # -- files, by any absolute path that the session's user can reach

    async def read_file(self, path: str, *, limit: int) -> bytes:
        """A regular file's bytes.

        Raises:
            OSError: it cannot be read, and why; EFBIG when it is larger than the limit.
        """
        return await self._do("read", path, limit=limit)

    async def write_file(self, path: str, data: bytes) -> None:
        """Writes a regular file; directories on the way are made, links are followed.

        Raises:
            OSError: it cannot be written, and why.
        """
        await self._do("write", path, stdin=data)

    async def describe(self, path: str) -> tuple[bool, int | None]:
        """Whether it is a directory, and a regular file's size in bytes.

        Raises:
            OSError: it is not there, or cannot be seen.
        """
        return msgspec.json.decode(await self._do("describe", path), type=tuple[bool, int | None])

    async def list_directory(self, path: str) -> list[tuple[str, bool, int | None]]:
        """Names, whether each is a directory, and the sizes of regular files, sorted by name.

        Raises:
            OSError: it is no directory, or cannot be read.
        """
        entries = json.loads(await self._do("list", path, output_limit=_MOST_ENTRIES))
        return cast("list[tuple[str, bool, int | None]]", [tuple(entry) for entry in entries])

    async def make_directory(self, path: str) -> None:
        """Makes a directory, with those on the way, unless it is there.

        Raises:
            OSError: it cannot be made.
        """
        await self._do("make_directory", path)

    async def remove(self, path: str, *, keep: str) -> None:
        """Removes a file or a link, or a directory with all that is in it.

        Raises:
            OSError: it cannot be removed; EBUSY when ``keep`` is it, or lies beneath it.
        """
        await self._do("remove", path, keep=keep)

    async def real_path(self, path: str) -> str:
        """Where a path leads, as ``os.path.realpath`` says there."""
        return str(json.loads(await self._do("real_path", path)))

    async def _do(
        self, action: str, path: str, *, stdin: bytes = b"", output_limit: int | None = None, **arguments: str | int
    ) -> bytes:
        _check_text(path, field="path")
        request = {"do": action, "path": path, **arguments}
        ended = await self._call(request, stdin=stdin, timeout=None, output_limit=output_limit)
        if ended.exit_code == _REFUSED and ended.stderr.isdigit():
            number = int(ended.stderr)
            raise OSError(number, os.strerror(number), path)
        if ended.outcome == "output_limit":
            raise OSError(errno.EFBIG, os.strerror(errno.EFBIG), path)
        if ended.exit_code:
            raise OSError(errno.EIO, ended.stderr.decode("utf-8", "replace").strip() or "it was interrupted", path)
        return ended.stdout

    # -- one command

    async def _call(
        self, request: Mapping[str, object], *, stdin: bytes, timeout: float | None, output_limit: int | None
    ) -> Ended:
        while True:
            command = _Command(output_limit)
            end, outcome = await self._attempt(command, json.dumps(request).encode(), stdin, timeout)
            if end is not None:  # else the host left at that moment
                break
        stdout, stderr = (bytes(command.output[kind]) for kind in (b"o", b"e"))
        exit_code = end.code
        if end.errno:
            if end.file == request.get("cwd"):
                raise OSError(end.errno, os.strerror(end.errno), end.file)
            exit_code = 127 if end.errno == errno.ENOENT else 126  # as shells do
            stderr = f"{end.file}: {os.strerror(end.errno)}\n".encode("utf-8", "surrogateescape")
        return Ended(exit_code=exit_code, stdout=stdout, stderr=stderr, outcome=outcome, failure=end.errno)

    async def _attempt(
        self, command: _Command, request: bytes, stdin: bytes, timeout: float | None
    ) -> tuple[_End | None, Outcome]:
        while self._execution is None:
            await self._start()
        number = self._number = (self._number + 1) % (1 << 32)
        self._commands[number] = command
        if self._idle is not None:
            self._idle.cancel()
        timer: asyncio.TimerHandle | None = None
        try:
            for start in range(0, len(stdin), _PIECE):
                await self._send(b"i", number, stdin[start : start + _PIECE])
            await self._send(b"r", number, request)
            if timeout is not None:
                timer = asyncio.get_running_loop().call_later(timeout, command.stop, "timeout")
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
        """Nothing runs now. The session is not idle to itself while the host is there, so its time is kept here."""
        seconds = self._session.config.idle_timeout
        if seconds is not None and self._execution is not None:
            self._idle = asyncio.get_running_loop().call_later(seconds, lambda: self._spawn(self.aclose()))

    async def _send(self, kind: bytes, number: int, payload: bytes = b"") -> None:
        if self._execution is not None:
            with contextlib.suppress(ExecutionClosed):  # the host has ended; each command is told how
                await self._execution.send_stdin(_HEAD.pack(kind, number, len(payload)) + payload)

    async def _kill(self, number: int, command: _Command) -> None:
        with anyio.move_on_after(_KILL_DEADLINE, shield=True):
            await self._send(b"k", number)
            await asyncio.wait([command.ended])
        if not command.ended.done() and self._execution is not None:  # even the host does not answer
            with anyio.move_on_after(_KILL_DEADLINE, shield=True):
                await self._execution.kill()
                await asyncio.wait([command.ended])
        if not command.ended.done():
            command.fail(ContainerLost("the container does not answer: is it paused?"))

    # -- the host

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
                files={name: _HOST},
                run_app=RunApp(entry_file=f"{WORKSPACE}/{name}", cwd="/"),
                timeout=None,
                output_limit=None,
                capture=False,
            ) as execution:
                self._execution = execution
                started.set_result(None)
                if self._wanted:  # while the host was on its way
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
                started.exception()  # it may be that nobody waits any more
            for command in self._commands.values():
                command.fail(error)
        finally:
            self._execution = self._serving = None
            if self._idle is not None:
                self._idle.cancel()
            for command in self._commands.values():
                command.fail(ProtocolError("the host for commands was left"))

    def _ended(self, result: ExecutionResult, said: str) -> None:
        """The host has ended: by itself when nothing ran, with all commands when it was killed."""
        self._execution = self._serving = None
        if result.exit_code == 0:
            end = None
        elif result.signal is not None or result.outcome == "killed":
            if not self._session.is_active:
                raise SessionClosed("the session was cleaned up while the command ran")
            end = _End(code=137, signal=9)
        else:
            raise ProtocolError(
                f"the host for commands failed: {said or result.outcome}",
                hint="it needs Python 3.8 or newer, with ctypes, in the session's image",
            )
        for command in self._commands.values():
            command.end(end)

    def _take_frames(self, received: bytearray) -> None:
        start = 0
        while len(received) - start >= _HEAD.size:
            kind, number, length = _HEAD.unpack_from(received, start)
            if length > _MOST:
                raise ProtocolError("the host for commands sent what is no frame")
            end = start + _HEAD.size + length
            if len(received) <= end:
                break
            payload = bytes(received[start + _HEAD.size : end])
            start = end + 1
            command = self._commands.get(number)
            if command is None:
                continue
            if kind == b"x":
                command.end(_decode_end(payload))
            elif kind in command.output:
                command.receive(kind, payload)
        del received[:start]

    def make_way(self) -> None:
        """Somebody waits for the session: the host leaves once nothing runs, and the next command starts another."""
        self._wanted = True
        self._spawn(self._send(b"l", 0))

    def _spawn(self, work: Coroutine[object, object, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _check_text(text: str, *, field: str) -> None:
    try:
        fine = b"\0" not in text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        fine = False
    if not fine:
        raise ConfigurationError(field, text, "holds NUL or a lone surrogate")


def _decode_end(payload: bytes) -> _End:
    try:
        return msgspec.json.decode(payload, type=_End)
    except msgspec.DecodeError as error:
        raise ProtocolError(f"the host for commands sent what is no end of a command: {error}") from None
