"""E2B's processes: commands and terminals in a sandbox, with which clients talk."""

from __future__ import annotations

import asyncio
import base64
import binascii
import contextlib
import posixpath
import signal
from typing import TYPE_CHECKING

import msgspec
from starlette.routing import Route

from interpreter_tools._exceptions import ExecutionClosed
from interpreter_tools.server.wires.e2b.calls import decode, refusal, streaming, timeout_of, unary
from interpreter_tools.server.wires.e2b.connect import STREAM, ConnectError, FrameReader, end_frame, frame
from interpreter_tools.server.wires.e2b.finding import sandbox_of
from interpreter_tools.server.wires.e2b.paths import HOME
from interpreter_tools.server.wires.e2b.streams import StreamedResponse

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import BaseRoute

    from interpreter_tools._commands.link import End
    from interpreter_tools._commands.process import Process, ProcessOutput
    from interpreter_tools.server._core import Core
    from interpreter_tools.server.wires.e2b.state import State, States
    from interpreter_tools.server.wires.e2b.streams import Sink

_SERVICE = "/process.Process"
_KEEPALIVE = frame({"event": {"keepalive": {}}})
_SIGNALS = {
    "SIGNAL_SIGTERM": signal.SIGTERM,
    "SIGTERM": signal.SIGTERM,
    15: signal.SIGTERM,
    "SIGNAL_SIGKILL": signal.SIGKILL,
    "SIGKILL": signal.SIGKILL,
    9: signal.SIGKILL,
}
_COLUMNS, _ROWS = 80, 24
_READERS = 32  # clients that a process has at once: each piece of its output is sent to each


class _Size(msgspec.Struct):
    cols: int = _COLUMNS
    rows: int = _ROWS


class _Pty(msgspec.Struct):
    size: _Size = msgspec.field(default_factory=_Size)


class _Config(msgspec.Struct):
    cmd: str
    args: list[str] = []
    envs: dict[str, str] = {}
    cwd: str | None = None


class _Start(msgspec.Struct):
    process: _Config
    pty: _Pty | None = None
    tag: str | None = None
    stdin: bool = True


class _Selector(msgspec.Struct):
    pid: int | None = None
    tag: str | None = None


class _Connect(msgspec.Struct):
    process: _Selector


class _Update(msgspec.Struct):
    process: _Selector
    pty: _Pty | None = None


class _Input(msgspec.Struct):
    stdin: str | None = None
    pty: str | None = None


class _SendInput(msgspec.Struct):
    process: _Selector
    input: _Input


class _SendSignal(msgspec.Struct):
    process: _Selector
    signal: str | int


class _InputEvent(msgspec.Struct):
    start: _Connect | None = None
    data: _SendInputData | None = None
    keepalive: dict[str, object] | None = None


class _SendInputData(msgspec.Struct):
    input: _Input


class _Nothing(msgspec.Struct):
    pass


class ProcessService:
    """The calls of E2B's ``process.Process``.

    Args:
        core: what all wires share.
        states: what this wire keeps of sandboxes.
    """

    def __init__(self, core: Core, states: States) -> None:
        self._core = core
        self._states = states

    def routes(self) -> list[BaseRoute]:
        """Return the routes."""
        core = self._core
        calls = {
            "List": unary(core, _Nothing, self.list),
            "Start": streaming(core, _Start, self.start, beat=_KEEPALIVE),
            "Connect": streaming(core, _Connect, self.connect, beat=_KEEPALIVE),
            "Update": unary(core, _Update, self.update),
            "SendInput": unary(core, _SendInput, self.send_input),
            "SendSignal": unary(core, _SendSignal, self.send_signal),
            "CloseStdin": unary(core, _Connect, self.close_stdin),
            "StreamInput": self.stream_input,
        }
        return [Route(f"{_SERVICE}/{name}", endpoint, methods=["POST"]) for name, endpoint in calls.items()]

    def _state(self, request: Request) -> State:
        return self._states.of(sandbox_of(self._core, self._states, request))

    def _find(self, state: State, selector: _Selector) -> Process:
        found: Process | None = None
        if selector.pid is not None:
            found = state.processes.find(selector.pid)
        elif selector.tag is not None:
            running = {process.pid: process for process in state.processes.running}
            pids = [pid for pid, tag in state.tags.items() if tag == selector.tag and pid in running]
            found = running[pids[-1]] if pids else None
        if found is None:
            named = f"pid {selector.pid}" if selector.pid is not None else f"tag {selector.tag}"
            raise ConnectError("not_found", f"process with {named} not found")
        return found

    async def list(self, request: Request, message: _Nothing) -> object:
        """List the processes that clients have started."""
        state = self._state(request)
        told: list[dict[str, object]] = []
        for process in state.processes.running:
            config: dict[str, object] = {"cmd": process.command[0], "args": list(process.command[1:])}
            config["envs"] = state.given.get(process.pid, {})
            if process.cwd is not None:
                config["cwd"] = process.cwd
            one: dict[str, object] = {"config": config, "pid": process.pid}
            if process.pid in state.tags:
                one["tag"] = state.tags[process.pid]
            told.append(one)
        return {"processes": told}

    # -- output

    async def start(self, request: Request, message: _Start, sink: Sink) -> None:
        """Start a program, and tell its output until its end. It goes on without its client, but not over its time."""
        sandbox = sandbox_of(self._core, self._states, request)
        state = self._states.of(sandbox)
        asked = message.process
        limit = timeout_of(request)
        cwd = posixpath.normpath(posixpath.join(HOME, asked.cwd or "."))
        environment = {"HOME": HOME, "PWD": cwd, "USER": "user", "LOGNAME": "user", **sandbox.environment, **asked.envs}
        size = None if message.pty is None else (message.pty.size.rows or _ROWS, message.pty.size.cols or _COLUMNS)
        try:
            process = await sandbox.start(
                (asked.cmd, *asked.args),
                cwd=state.directory(asked.cwd or HOME),
                environment=environment,
                stdin=message.stdin,
                terminal=size,
            )
        except OSError as error:
            raise ConnectError("invalid_argument", f"{error.filename}: {error.strerror}") from None
        state.note(process, message.tag, asked.envs)
        if limit is not None:
            state.limit(process, limit)
        await self._tell(process, sink, limit)

    async def connect(self, request: Request, message: _Connect, sink: Sink) -> None:
        """Tell the output of a process from now on."""
        process = self._find(self._state(request), message.process)
        if process.readers >= _READERS:
            raise ConnectError("resource_exhausted", f"the process has {_READERS} clients, as many as it may: end one")
        await self._tell(process, sink, timeout_of(request))

    async def _tell(self, process: Process, sink: Sink, limit: float | None) -> None:
        output = process.output()
        try:
            async with asyncio.timeout(limit):
                await sink.send(frame({"event": {"start": {"pid": process.pid}}}))
                await self._copy(process, output, sink)
                end = await process.wait()
        except TimeoutError:
            raise ConnectError("deadline_exceeded", "the time of the call is over") from None
        finally:
            await output.aclose()
        await sink.send(frame({"event": {"end": _end(end)}}))

    async def _copy(self, process: Process, output: ProcessOutput, sink: Sink) -> None:
        async for stream, data in output:
            name = "pty" if process.has_terminal else stream
            await sink.send(frame({"event": {"data": {name: base64.b64encode(data).decode()}}}))

    # -- input

    async def update(self, request: Request, message: _Update) -> object:
        """Change the size of a terminal."""
        process = self._find(self._state(request), message.process)
        if message.pty is not None:
            await process.resize(message.pty.size.rows, message.pty.size.cols)
        return {}

    async def send_input(self, request: Request, message: _SendInput) -> object:
        """Send input to a process."""
        process = self._find(self._state(request), message.process)
        await _feed(process, message.input)
        return {}

    async def close_stdin(self, request: Request, message: _Connect) -> object:
        """End the input of a process."""
        process = self._find(self._state(request), message.process)
        if process.has_terminal:
            raise ConnectError("failed_precondition", "the input of a terminal cannot be closed: send Ctrl-D (\\x04)")
        await process.close_stdin()
        return {}

    async def send_signal(self, request: Request, message: _SendSignal) -> object:
        """Send a signal to a process; SIGKILL kills all that it has started, too."""
        process = self._find(self._state(request), message.process)
        number = _SIGNALS.get(message.signal)
        if number is None:
            raise ConnectError("unimplemented", f"invalid signal: {message.signal}")
        if number is signal.SIGKILL:
            await process.kill()
        else:
            await process.signal(number)
        return {}

    async def stream_input(self, request: Request) -> Response:
        """Send input to a process, piece by piece, in one call."""

        async def write(sink: Sink) -> None:
            failure: ConnectError | None = None
            try:
                await self._stream(request)
                await sink.send(frame({}))
            except (ConnectError, ExecutionClosed, OSError) as error:
                failure = refusal(request, error)
            await sink.send(end_frame(failure))

        # The body of the request is read while the answer is written, so that only its end tells of the client's end.
        return StreamedResponse(write, media_type=STREAM, reads=True)

    async def _stream(self, request: Request) -> None:
        state = self._state(request)
        reader = FrameReader(limit=self._core.config.body_limit)
        process: Process | None = None
        async for data in request.stream():
            for body in reader.feed(data):
                event = decode(body, _InputEvent)
                if event.start is not None:
                    process = self._find(state, event.start.process)
                elif event.data is not None:
                    if process is None:
                        raise ConnectError("invalid_argument", "the first message of the stream must name a process")
                    await _feed(process, event.data.input)
        reader.end()


async def _feed(process: Process, given: _Input) -> None:
    text = given.pty if given.pty is not None else given.stdin
    if (given.pty is not None) != process.has_terminal:
        wanted = "pty" if process.has_terminal else "stdin"
        raise ConnectError("failed_precondition", f"the process takes input as {wanted} only")
    try:
        data = base64.b64decode(text or "", validate=True)
    except (binascii.Error, ValueError):
        raise ConnectError("invalid_argument", "the input is not base64") from None
    with contextlib.suppress(BrokenPipeError):
        await process.send_stdin(data)


def _end(end: End) -> dict[str, object]:
    """Return the end of a process as E2B tells it, in the words of Go."""
    if end.signal:
        name = "killed" if end.signal == signal.SIGKILL else signal.strsignal(end.signal) or str(end.signal)
        status = f"signal: {name.lower()}"
        return {"exitCode": -1, "exited": False, "status": status, "error": status}
    status = f"exit status {end.code}"
    told: dict[str, object] = {"exitCode": end.code, "exited": True, "status": status}
    if end.code:
        told["error"] = status
    return told
