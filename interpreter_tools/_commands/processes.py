"""Processes of a session: programs beside its runs and contexts, with which callers talk while they run.

One command server, ``server_program``, starts them. It is a program beside the runs of the session, so that it needs no
turn of the session: runs, cells and processes go on side by side.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import signal
from typing import TYPE_CHECKING, Literal, TypedDict, Unpack

import msgspec

from interpreter_tools._commands.process import Process
from interpreter_tools._commands.process_link import ProcessLink
from interpreter_tools._commands.server_program import program
from interpreter_tools._config.checks import check_environment, check_text
from interpreter_tools._deadline import awake_limit
from interpreter_tools._exceptions import ConfigurationError, ExecutionClosed

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterable, Mapping, Sequence

    from interpreter_tools._commands.process_link import ProgramPlace

_PROGRAM = ("python3", "-I", "-S", "-c", program())
_REFUSED = 127  # exit code of a file operation whose standard error is the kernel's error number
_MOST_ANSWER = 64 << 20  # bytes of the answer of a file operation
_GIVE_UP_DEADLINE = 5.0  # seconds that a file operation may take to give up


class StartOptions(TypedDict, total=False):
    """Options of a program that is started.

    Attributes:
        cwd: the directory that it starts in, relative to the working directory; None means the working directory.
        environment: variables beside the session's.
        stdin: True leaves its standard input open for ``Process.send_stdin``; else it is at its end.
        terminal: rows and columns of a terminal for it; None gives it pipes.
    """

    cwd: str | None
    environment: Mapping[str, str] | None
    stdin: bool
    terminal: tuple[int, int] | None


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """The facts of a file or directory; a link has its own, with the type of what it leads to.

    Attributes:
        path: its path.
        type: what it is.
        size: its bytes.
        mode: its permissions, such as 0o644.
        permissions: the same as ``ls -l`` shows them.
        owner: the name of its user.
        group: the name of its group.
        modified_ns: when it was changed, in nanoseconds since 1970.
        target: where a link leads to; None where it is none.
        identity: device and inode.
    """

    path: str
    type: Literal["file", "directory", "other"]
    size: int
    mode: int
    permissions: str
    owner: str
    group: str
    modified_ns: int
    target: str | None
    identity: tuple[int, int]

    @property
    def name(self) -> str:
        """The last part of the path."""
        return os.path.basename(self.path)  # noqa: PTH119 - a path in the container


class FileEvent(msgspec.Struct, frozen=True, kw_only=True):
    """An event in a directory that is observed.

    Attributes:
        name: its path, relative to the directory.
        kind: what has happened.
        entry: what is known of it, where it is still there.
    """

    name: str
    kind: Literal["create", "write", "remove", "rename", "chmod", "watching"]
    entry: Entry | None


class Observation:
    """The events of a directory: ``async for`` yields them, ``aclose`` ends the observation."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self._output = process.output()
        self._received = bytearray()
        self._errors = bytearray()

    async def begin(self, path: str) -> None:
        """Wait until the directory is observed.

        Raises:
            OSError: it cannot be observed.
        """
        try:
            await anext(self)
        except StopAsyncIteration:
            end = await self._process.wait()
            raise _refusal(end.code, bytes(self._errors), path) from None

    def __aiter__(self) -> Observation:
        return self

    async def __anext__(self) -> FileEvent:
        while True:
            line, found, rest = self._received.partition(b"\n")
            if found:
                self._received = rest
                return msgspec.json.decode(line, type=FileEvent)
            stream, data = await anext(self._output)
            if stream == "stdout":
                self._received += data
            else:
                self._errors += data

    async def aclose(self) -> None:
        """End the observation. Does nothing the second time."""
        await self._output.aclose()
        await self._process.kill()


class Processes:
    """The processes of a session, made by ``Session.processes``.

    Args:
        place: the session that starts the command server.
        working_dir: the directory that processes start in.
    """

    def __init__(self, place: ProgramPlace, *, working_dir: str) -> None:
        self._link = ProcessLink(place, _PROGRAM)
        self._working_dir = working_dir

    @property
    def running(self) -> tuple[Process, ...]:
        """The processes that ``start`` has started and that run, oldest first."""
        return tuple(process for process in self._link.processes.values() if process.pid and process.command)

    def find(self, pid: int) -> Process | None:
        """Return the process of an id; None when none runs that ``start`` has started."""
        return next((process for process in self.running if process.pid == pid), None)

    async def start(self, command: Sequence[str], **options: Unpack[StartOptions]) -> Process:
        """Start a program, and return it once it runs. It goes on until its end, ``kill``, or the end of the session.

        Args:
            command: the program and its arguments.
            options: see ``StartOptions``.

        Raises:
            ConfigurationError: an argument cannot work.
            OSError: the program or the directory cannot be used.
            ContainerLost: the container is gone.
            SessionClosed: the session was cleaned up.
        """
        if not command:
            raise ConfigurationError("command", command, "is empty", hint="name a program")
        cwd, terminal = options.get("cwd"), options.get("terminal")
        environment = options.get("environment") or {}
        for word in (*command, cwd or ""):
            check_text(word, field="command")
        if terminal is not None and not all(0 < number < 1 << 16 for number in terminal):
            raise ConfigurationError("terminal", terminal, "is not rows and columns from 1 to 65,535")
        request = {
            "command": list(command),
            "cwd": os.path.join(self._working_dir, cwd or ""),  # noqa: PTH118 - a path in the container
            "environment": check_environment(dict(environment), field="environment"),
            "live": True,
            "stdin": options.get("stdin", False),
            "terminal": terminal,
        }
        process = Process(tuple(command), cwd=cwd, environment=environment, has_terminal=terminal is not None)
        end = await self._link.start(process, json.dumps(request).encode())
        if end is not None and end.errno:
            raise OSError(end.errno, os.strerror(end.errno), end.file or command[0])
        return process

    # -- files, by any absolute path that the session's user can reach

    async def entry(self, path: str) -> Entry:
        """Return what is known of a file or directory.

        Raises:
            OSError: there is no such file, or it cannot be seen.
        """
        return msgspec.json.decode(await self._do("entry", path), type=Entry)

    async def entries(self, path: str, *, depth: int = 1) -> list[Entry]:
        """Return the entries below a directory, as many levels deep as that.

        Raises:
            OSError: the path is no directory, or cannot be read.
        """
        return msgspec.json.decode(await self._do("entries", path, depth=depth), type=list[Entry])

    async def make_directory(self, path: str) -> Entry:
        """Make a directory and its parents.

        Raises:
            OSError: the directory cannot be made. EEXIST: it is there already.
        """
        return msgspec.json.decode(await self._do("make", path), type=Entry)

    async def move(self, path: str, target: str) -> Entry:
        """Rename a file or directory; missing directories of the new path are made.

        Raises:
            OSError: it cannot be moved.
        """
        check_text(target, field="target")
        return msgspec.json.decode(await self._do("move", path, target=target), type=Entry)

    async def remove(self, path: str, *, keep: str) -> None:
        """Remove a file or a link, or a directory with its content.

        Raises:
            OSError: the path cannot be removed. EBUSY: ``keep`` is that path, or lies beneath it.
        """
        await self._do("remove", path, keep=keep)

    async def read(self, path: str) -> AsyncGenerator[bytes]:
        """Yield a regular file, piece by piece.

        Raises:
            OSError: the file cannot be read; before the first piece, unless it changes meanwhile.
        """
        process = await self._begin("read", path, {"limit": 1 << 62})
        output = process.output()
        error = bytearray()
        try:
            async for stream, data in output:
                if stream == "stdout":
                    yield data
                else:
                    error += data
            end = await process.wait()
            if end.code:
                raise _refusal(end.code, bytes(error), path)
        finally:
            await output.aclose()
            await process.kill()

    async def write(self, path: str, pieces: AsyncIterable[bytes]) -> Entry:
        """Write a regular file, piece by piece; missing directories are made, and a file that is there is overwritten.

        If the call fails halfway or is cancelled, no part of the new file is left.

        Raises:
            OSError: the file cannot be written; the error says why.
        """
        process = await self._begin("receive", path, stdin=True)
        try:
            with contextlib.suppress(ExecutionClosed):  # it has ended already, and its exit code says why
                async for piece in pieces:
                    await process.send_stdin(piece)
            await process.close_stdin()
            code, output, error = await process.collect(_MOST_ANSWER)
        except BaseException:
            with awake_limit(_GIVE_UP_DEADLINE, shield=True):
                await process.signal(signal.SIGTERM)
                await process.close_stdin()  # Python can sleep over a signal: at the end of its input it looks
                await process.wait()
            raise
        finally:
            await process.kill()
        if code:
            raise _refusal(code, error, path)
        return msgspec.json.decode(output, type=Entry)

    async def observe(self, path: str, *, recursive: bool = False) -> Observation:
        """Return the events of a directory from now on.

        Raises:
            OSError: the path is no directory, or cannot be observed.
        """
        observation = Observation(await self._begin("observe", path, {"recursive": recursive}))
        try:
            await observation.begin(path)
        except BaseException:
            await observation.aclose()
            raise
        return observation

    async def _do(self, action: str, path: str, **arguments: str | int) -> bytes:
        process = await self._begin(action, path, arguments)
        try:
            code, output, error = await process.collect(_MOST_ANSWER)
        finally:
            await process.kill()
        if code:
            raise _refusal(code, error, path)
        return output

    async def _begin(
        self, action: str, path: str, arguments: Mapping[str, str | int] | None = None, *, stdin: bool = False
    ) -> Process:
        check_text(path, field="path")
        process = Process((), cwd=None, environment={}, has_terminal=False)
        request = {"do": action, "path": path, "live": True, "stdin": stdin, **(arguments or {})}
        end = await self._link.start(process, json.dumps(request).encode())
        if end is not None and end.errno:
            raise OSError(end.errno, os.strerror(end.errno), path)
        return process

    async def aclose(self) -> None:
        """End the command server, with all processes. Does nothing the second time."""
        await self._link.aclose()


def _refusal(code: int, error: bytes, path: str) -> OSError:
    """Return the error of a file operation that ended with a code."""
    if code == _REFUSED and error.isdigit():
        number = int(error)
        return OSError(number, os.strerror(number), path)
    return OSError(errno.EIO, error.decode("utf-8", "replace").strip() or "it was interrupted", path)
