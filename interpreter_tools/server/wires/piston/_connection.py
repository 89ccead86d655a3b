"""Piston's websocket: one program, whose output is sent as it comes, and whose input comes while it runs."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import msgspec
from starlette.websockets import WebSocketDisconnect, WebSocketState

from interpreter_tools._background import beside
from interpreter_tools._exceptions import ExecutionClosed, InterpreterToolsError
from interpreter_tools.server._errors import BadRequest, ServerError, as_server_error
from interpreter_tools.server.wires.piston._job import Job, prepare
from interpreter_tools.server.wires.piston._stages import compile_stage, run_stage

if TYPE_CHECKING:
    from starlette.websockets import WebSocket

    from interpreter_tools._config.results import ExecutionResult
    from interpreter_tools._execution.execution import Execution
    from interpreter_tools.server._core import Core
    from interpreter_tools.server._keys import Owner
    from interpreter_tools.server.wires.piston._runtimes import Runtimes

_INIT_DEADLINE = 1.0  # seconds for the first message of a websocket, as Piston has it
_MESSAGE_LIMIT = 1 << 20  # characters of a message that the server sends
_ENDING = {"SIGHUP", "SIGINT", "SIGQUIT", "SIGABRT", "SIGKILL", "SIGTERM"}


class _Init(Job, tag_field="type", tag="init", kw_only=True):
    pass


class _Data(msgspec.Struct, tag_field="type", tag="data"):
    stream: str
    data: str


class _Signal(msgspec.Struct, tag_field="type", tag="signal"):
    signal: str


_encode = msgspec.json.Encoder().encode
_decode_message = msgspec.json.Decoder(_Init | _Data | _Signal).decode


class _Closed(Exception):
    """The connection is to be closed with a code of Piston's."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


class Connection:
    """A websocket: one program, whose output is sent as it comes, and whose input comes while it runs."""

    def __init__(self, core: Core, runtimes: Runtimes, owner: Owner, websocket: WebSocket) -> None:
        self._core = core
        self._runtimes = runtimes
        self._owner = owner
        self._websocket = websocket
        self._end = _Closed(4999, "Job Completed")

    async def serve(self) -> None:
        """Serve the connection to its end."""
        await self._websocket.accept()
        end = self._end
        try:
            await self._run()
            end = self._end
        except _Closed as closed:
            end = closed
        except WebSocketDisconnect:
            return
        except InterpreterToolsError as error:
            await self._send(type="error", message=as_server_error(error).text)
            end = _Closed(4002, "Notified Error")
        if self._websocket.application_state is WebSocketState.CONNECTED:
            await self._websocket.close(end.code, end.reason)

    async def _run(self) -> None:
        try:
            async with asyncio.timeout(_INIT_DEADLINE):
                first = await self._receive()
        except TimeoutError:
            raise _Closed(4001, "Initialization Timeout") from None
        if not isinstance(first, _Init):
            raise _Closed(4003, "Not yet initialized")
        language, runtime = await self._runtimes.get(first.language, first.version)
        code, options = prepare(self._core, first, language)
        options["stdin"] = None
        options["capture"] = False
        options["tenant"] = self._owner.tenant
        async with self._core.run(self._owner, wire="piston", language=language.language) as run:
            await self._send(type="runtime", language=runtime.language, version=runtime.version)
            async with (
                self._core.engine.stream(language.language, code, **options) as execution,
                beside(self._listen(execution)),
            ):
                result = await self._tell(execution, is_compiled=language.compile is not None)
            run.end(result)

    async def _tell(self, execution: Execution, *, is_compiled: bool) -> ExecutionResult:
        """Send the output of a program, and how it ended.

        Args:
            execution: the run.
            is_compiled: True when a compiler comes first.
        """
        stage = "compile" if is_compiled else "run"
        await self._send(type="stage", stage=stage)
        async for chunk in execution:
            kind, _, stream = chunk.stream.rpartition("_")
            if stage == "compile" and not kind:
                await self._send(type="exit", stage=stage, code=0, signal=None)
                stage = "run"
                await self._send(type="stage", stage=stage)
            if stream in {"stdout", "stderr"}:
                for at in range(0, len(chunk.text), _MESSAGE_LIMIT):
                    await self._send(type="data", stream=stream, data=chunk.text[at : at + _MESSAGE_LIMIT])
        result = await execution.result()
        refused = result.outcome in {"compile_error", "dependency_error"}
        if stage == "compile" and not refused:
            await self._send(type="exit", stage=stage, code=0, signal=None)
            stage = "run"
            await self._send(type="stage", stage=stage)
        ended = compile_stage(result, "") if refused else run_stage(result, "")
        await self._send(type="exit", stage=stage, code=ended.code, signal=ended.signal)
        return result

    async def _listen(self, execution: Execution) -> None:
        """Take the messages of the client while its program runs; a client that goes away ends it."""
        try:
            while True:
                await self._take(await self._receive(), execution)
        except ExecutionClosed:
            return  # it has ended already
        except _Closed as closed:
            self._end = closed
        except ServerError as error:
            self._end = _Closed(4002, error.message[:100])
        except WebSocketDisconnect:
            pass
        await execution.kill()

    async def _take(self, message: _Init | _Data | _Signal, execution: Execution) -> None:
        match message:
            case _Init():
                raise _Closed(4000, "Already Initialized")
            case _Signal(signal=name) if name in _ENDING:
                await execution.kill()
            case _Signal():
                raise _Closed(4005, "Invalid signal")
            case _Data(stream="stdin", data=data):
                await execution.send_stdin(data.encode("utf-8", "surrogatepass"))
            case _Data():
                raise _Closed(4004, "Can only write to stdin")

    async def _receive(self) -> _Init | _Data | _Signal:
        text = await self._websocket.receive_text()
        try:
            return _decode_message(text)
        except (msgspec.DecodeError, RecursionError) as error:
            raise BadRequest(str(error)) from None

    async def _send(self, **fields: object) -> None:
        try:
            await self._websocket.send_text(_encode(fields).decode())
        except (RuntimeError, OSError) as error:  # Starlette's word for a connection that is closed
            raise WebSocketDisconnect from error
