"""A kernel: one context that takes requests from any number of websockets, and answers as Jupyter's kernels do."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
import time
import uuid
from collections import deque
from datetime import UTC, datetime
from enum import StrEnum
from importlib import metadata
from typing import TYPE_CHECKING

import msgspec

from interpreter_tools._config.display import CHART, TABLE, DisplayResult
from interpreter_tools._config.results import ClearChunk, DisplayChunk, InputChunk
from interpreter_tools._exceptions import ExecutionClosed, InterpreterToolsError
from interpreter_tools.server._errors import Refused
from interpreter_tools.server._sandbox import SandboxState
from interpreter_tools.server.wires.jupyter import _requests as requests
from interpreter_tools.server.wires.jupyter._clients import Clients
from interpreter_tools.server.wires.jupyter._history import History
from interpreter_tools.server.wires.jupyter._messages import PROTOCOL_VERSION, MessageError, Sender
from interpreter_tools.server.wires.jupyter._requests import place, read_content

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Generator, Mapping

    from interpreter_tools._config.results import ExecutionResult, OutputChunk
    from interpreter_tools._context.cell import Cell
    from interpreter_tools._context.context import Context
    from interpreter_tools.server._core import Core, Run
    from interpreter_tools.server._sandbox import Sandbox
    from interpreter_tools.server.wires.jupyter._messages import Channel, Request
    from interpreter_tools.server.wires.jupyter._socket import Socket
    from interpreter_tools.server.wires.jupyter._specs import Spec

_LOG = logging.getLogger("interpreter_tools.server")
_IDLE = 3600.0  # seconds that a kernel lives without a client and without work
_MOST_WEBSOCKETS = 32
_MOST_REQUESTS = 1000  # that wait
_MOST_REQUEST_BYTES = 64 << 20
_VERSION = re.compile(r"\d+(\.\d+){0,3}")
_VERSION_LIMIT = 5.0  # seconds for the interpreter to say it
_END_OF_INPUT = "\x04"
_WIDGET = "application/vnd.jupyter.widget-view+json"
_ERROR = tuple[str, str, list[str]]


class KernelState(StrEnum):
    """The states of a kernel, by Jupyter's names."""

    STARTING = "starting"
    IDLE = "idle"
    BUSY = "busy"
    RESTARTING = "restarting"
    DEAD = "dead"


class _Asked:
    """A request with the websocket that it came by."""

    def __init__(self, socket: Socket, request: Request) -> None:
        self.socket = socket
        self.request = request
        self.size = len(request.content)


class Kernel:
    """A kernel, made by ``Kernels.start``.

    Requests of the shell channel are answered one after another by one task, which ends when there are none. Those of
    the control channel are answered at once. What a cell shows goes to all websockets.

    Args:
        core: what the wires share.
        sandbox: the sandbox that it lives in.
        context: the interpreter.
        spec: what kind of kernel it is.

    Attributes:
        id: the name of the kernel.
        state: starting, idle, busy, restarting or dead.
        last_activity: when it last did something.
    """

    def __init__(self, core: Core, sandbox: Sandbox, context: Context, spec: Spec) -> None:
        self.id = str(uuid.uuid4())
        self.spec = spec
        self.sandbox = sandbox
        self.state = KernelState.STARTING
        self.last_activity = datetime.now(UTC)
        self._core = core
        self._context = context
        self._sender = Sender()
        self._clients = Clients()
        self._places = 0  # for websockets, that are taken
        self._requests: deque[_Asked] = deque()
        self._request_bytes = 0
        self._working: asyncio.Task[None] | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._cell: Cell | None = None
        self._turn: Run | None = None  # of the cell
        self._answerer: str | None = None  # the session of the client that a cell waits for
        self._busy_since = 0.0
        self._stops = False  # the cells that wait are to be dropped
        self._count = 0
        self._version = ""
        self._history = History()
        self._keeping: asyncio.TimerHandle | None = None
        self._on_shell: Mapping[str, Callable[[_Asked], Awaitable[None]]] = {
            "execute_request": self._execute,
            "kernel_info_request": self._tell_info,
            "complete_request": self._complete,
            "inspect_request": self._inspect,
            "is_complete_request": self._is_complete,
            "history_request": self._tell_history,
            "comm_info_request": self._tell_comms,
            "comm_open": self._refuse_comm,
            "comm_msg": self._ignore,
            "comm_close": self._ignore,
            "shutdown_request": self._shut_down,
        }
        self._on_control: Mapping[str, Callable[[_Asked], Awaitable[None]]] = {
            "kernel_info_request": self._tell_info,
            "interrupt_request": self._interrupt,
            "shutdown_request": self._shut_down,
        }
        self._touch()
        sandbox.on_end(self._ended)

    def __repr__(self) -> str:
        return f"<Kernel {self.id} {self.spec.name} [{self.state}, {len(self._clients)} websockets]>"

    def model(self) -> dict[str, object]:
        """Return what clients are told of the kernel."""
        return {
            "id": self.id,
            "name": self.spec.name,
            "last_activity": self.last_activity.strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
            "execution_state": self.state,
            "connections": len(self._clients),
        }

    @property
    def connections(self) -> int:
        """The number of its websockets."""
        return len(self._clients)

    # -- life

    def _change(self, state: KernelState) -> None:
        """Change the state. A kernel whose sandbox has ended stays dead, whatever its last requests still do."""
        if self.state is not KernelState.DEAD:
            self.state = state

    async def start(self) -> None:
        """Start the interpreter.

        Raises:
            InterpreterToolsError: it cannot be started.
        """
        await self._context.start()
        self._change(KernelState.IDLE)

    async def interrupt(self) -> None:
        """Interrupt the cell that runs."""
        await self._context.interrupt()

    async def restart(self) -> None:
        """Start a new interpreter over the same files; what waits is dropped.

        Raises:
            InterpreterToolsError: it cannot be started.
        """
        dropped, self._requests = self._requests, deque()
        self._request_bytes = 0
        await self._say(KernelState.RESTARTING)
        for asked in dropped:
            await self._abort(asked)
        await self._context.restart()
        self._count = 0
        self._history.clear()
        await self._say(KernelState.IDLE)

    async def end(self) -> None:
        """End the kernel with its sandbox."""
        await self.sandbox.kill()

    def _ended(self) -> None:
        """Note that the sandbox has ended: tell the clients, and let them go."""
        self._change(KernelState.DEAD)
        self._requests.clear()
        for task in (self._working, *self._tasks):
            if task is not None and task is not asyncio.current_task():
                task.cancel()
        if self._keeping is not None:
            self._keeping.cancel()
        self._clients.end(self._sender.make("iopub", "status", {"execution_state": self.state}))

    def _touch(self) -> None:
        """Have the kernel live on: it is used."""
        self.last_activity = datetime.now(UTC)
        longest = self._core.config.longest_timeout
        idle = min(_IDLE, longest)
        if self.sandbox.state is not SandboxState.RUNNING:
            return
        self.sandbox.extend(idle)
        if self._keeping is not None:
            self._keeping.cancel()
        works = self._working is not None and time.monotonic() - self._busy_since < longest
        self._keeping = asyncio.get_running_loop().call_later(idle / 2, self._keep) if self._clients or works else None

    def _keep(self) -> None:
        self._keeping = None
        activity = self.last_activity
        self._touch()
        self.last_activity = activity

    # -- websockets

    @contextlib.contextmanager
    def place(self) -> Generator[None]:
        """Hold a place for a websocket while the block runs.

        Raises:
            Refused: all places are taken. What a program shows is sent to each websocket, and the slowest one makes the
                program wait.
        """
        if self._places >= _MOST_WEBSOCKETS:
            message = f"the kernel has {_MOST_WEBSOCKETS} websockets, as many as it may"
            raise Refused(message, reason="websockets", retry_after=5, hint="close one of them")
        self._places += 1
        try:
            yield
        finally:
            self._places -= 1

    def connect(self, socket: Socket) -> None:
        """Take a websocket. A client that comes back gets what it has missed."""
        self._clients.add(socket)
        self._touch()

    def disconnect(self, socket: Socket) -> None:
        """Let a websocket go. What its client misses is kept for it, unless others are there."""
        self._clients.remove(socket, keeps=self.state is not KernelState.DEAD)
        self._touch()

    async def _say(self, state: KernelState, asked: _Asked | None = None) -> None:
        """Change the state of the kernel, and tell it to all clients."""
        self._change(state)
        await self._show("status", {"execution_state": self.state}, asked)

    async def _show(self, msg_type: str, content: object, asked: _Asked | None) -> None:
        parent = b"{}" if asked is None else asked.request.parent
        await self._clients.publish(self._sender.make("iopub", msg_type, content, parent))

    async def _reply(self, asked: _Asked, content: object, *, channel: Channel | None = None) -> None:
        request = asked.request
        name = request.header.msg_type.removesuffix("_request") + "_reply"
        message = self._sender.make(channel or request.channel, name, content, request.parent)
        await self._clients.send_to(asked.socket.session, message)

    # -- requests

    def take(self, socket: Socket, request: Request) -> None:
        """Take a request of a client, which is answered in its turn.

        Raises:
            MessageError: it cannot be understood.
        """
        self._touch()
        asked = _Asked(socket, request)
        if request.channel == "stdin":
            self._take_input(asked)
        elif request.channel == "control":
            self._spawn(self._answer_control(asked))
        elif len(self._requests) >= _MOST_REQUESTS or self._request_bytes + asked.size > _MOST_REQUEST_BYTES:
            self._spawn(self._refuse(asked, "TooManyRequests", f"{len(self._requests)} requests wait already"))
        else:
            self._requests.append(asked)
            self._request_bytes += asked.size
            if self._working is None:
                self._busy_since = time.monotonic()
                self._working = asyncio.create_task(self._work())
                self._working.add_done_callback(_tell_failure)

    def _spawn(self, work: Awaitable[None]) -> None:
        async def run() -> None:
            await work

        task = asyncio.create_task(run())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        task.add_done_callback(_tell_failure)

    async def _work(self) -> None:
        """Answer requests until there are none."""
        try:
            while self._requests:
                asked = self._requests.popleft()
                self._request_bytes -= asked.size
                await self._answer(asked)
                if self._stops:
                    self._stops = False
                    await self._abort_cells()
        finally:
            self._working = None
            self._touch()

    async def _answer(self, asked: _Asked) -> None:
        answer = self._on_shell.get(asked.request.header.msg_type, self._refuse_unknown)
        await self._say(KernelState.BUSY, asked)
        try:
            await answer(asked)
        except MessageError as error:
            await self._refuse(asked, "BadRequest", str(error))
        except InterpreterToolsError as error:
            await self._fail(asked, (type(error).__name__, error.message, [str(error)]))
        finally:
            if self.state is not KernelState.DEAD:
                await self._say(KernelState.IDLE, asked)

    async def _answer_control(self, asked: _Asked) -> None:
        answer = self._on_control.get(asked.request.header.msg_type, self._refuse_unknown)
        try:
            await answer(asked)
        except MessageError as error:
            await self._refuse(asked, "BadRequest", str(error))
        except InterpreterToolsError as error:
            await self._refuse(asked, type(error).__name__, str(error))

    async def _refuse(self, asked: _Asked, name: str, value: str) -> None:
        content = {"status": "error", "ename": name, "evalue": value, "traceback": [f"{name}: {value}"]}
        await self._reply(asked, content)

    async def _refuse_unknown(self, asked: _Asked) -> None:
        request = asked.request
        await self._refuse(asked, "UnknownRequest", f"{request.header.msg_type!r} is no request of {request.channel}")

    async def _abort(self, asked: _Asked) -> None:
        await self._say(KernelState.BUSY, asked)
        await self._reply(asked, {"status": "aborted"})
        await self._say(KernelState.IDLE, asked)

    async def _ignore(self, asked: _Asked) -> None:
        """Do nothing: there are no comms."""

    # -- cells

    async def _execute(self, asked: _Asked) -> None:
        wanted = read_content(asked.request.content, requests.Execute)
        count = self._count
        if wanted.is_counted:
            count += 1
        if not wanted.silent:
            await self._show("execute_input", {"code": wanted.code, "execution_count": count}, asked)
        async with self._core.run(
            self.sandbox.owner, wire="jupyter", language=self.spec.language, sandbox=self.sandbox
        ) as run:
            if wanted.is_counted:
                self._count = count
                self._history.add(count, wanted.code)
            result = await self._run(asked, wanted, count, run)
            run.end(result)
            values: dict[str, object] = {}
            if result.ok:
                for name, expression in wanted.expressions().items():
                    values[name] = await self._value(expression)
        failure = _failure_of(result)
        if failure is None:
            content: dict[str, object] = {"status": "ok", "execution_count": count}
            await self._reply(asked, {**content, "user_expressions": values, "payload": []})
            return
        await self._fail(asked, failure, count=count, silent=wanted.silent)
        self._stops = wanted.stop_on_error

    async def _run(self, asked: _Asked, wanted: requests.Execute, count: int, run: Run) -> ExecutionResult:
        """Run a cell, and show what it shows. While it waits for a line of its client, others have its turn."""
        async with self._context.stream(
            wanted.code,
            stdin=None if wanted.allow_stdin else b"",
            notebook=True,
            silent=wanted.silent,
            history=wanted.is_counted,
            capture=False,
            timeout=None,
            output_limit=None,
        ) as cell:
            self._cell, self._turn = cell, run
            try:
                async for chunk in cell:
                    (run.wait_for_client if isinstance(chunk, InputChunk) else run.go_on)()
                    await self._show_chunk(asked, chunk, count)
                return await cell.result()
            finally:
                self._cell = self._answerer = self._turn = None

    async def _show_chunk(self, asked: _Asked, chunk: OutputChunk, count: int) -> None:
        if isinstance(chunk, DisplayChunk):
            await self._show_result(asked, chunk.result, count)
        elif isinstance(chunk, InputChunk):
            self._answerer = asked.socket.session
            content = {"prompt": chunk.text, "password": chunk.password}
            message = self._sender.make("stdin", "input_request", content, asked.request.parent)
            await self._clients.send_to(self._answerer, message)
        elif isinstance(chunk, ClearChunk):
            await self._show("clear_output", {"wait": chunk.wait}, asked)
        else:
            await self._show("stream", {"name": chunk.stream, "text": chunk.text}, asked)

    async def _show_result(self, asked: _Asked, result: DisplayResult, count: int) -> None:
        data, about = bundle_of(result)
        content: dict[str, object] = {"data": data, "metadata": about}
        if result.is_main_result:
            await self._show("execute_result", {**content, "execution_count": count}, asked)
            return
        content["transient"] = {} if result.display_id is None else {"display_id": result.display_id}
        await self._show("update_display_data" if result.update else "display_data", content, asked)

    async def _value(self, expression: str) -> dict[str, object]:
        """Return the value of one of the user's expressions."""
        result = await self._context.run(expression, history=False, notebook=True, timeout=None, capture=False)
        failure = _failure_of(result)
        if failure is not None:
            name, value, traceback = failure
            return {"status": "error", "ename": name, "evalue": value, "traceback": traceback}
        main = next((each for each in result.results if each.is_main_result), None)
        data, about = ({"text/plain": "None"}, {}) if main is None else bundle_of(main)
        return {"status": "ok", "data": data, "metadata": about}

    async def _fail(self, asked: _Asked, failure: _ERROR, *, count: int | None = None, silent: bool = False) -> None:
        """Tell that a request has failed: to all, and as its reply."""
        name, value, traceback = failure
        content: dict[str, object] = {"ename": name, "evalue": value, "traceback": traceback}
        if not silent:
            await self._show("error", content, asked)
        content |= {"status": "error", "execution_count": self._count if count is None else count}
        await self._reply(asked, {**content, "user_expressions": {}, "payload": []})

    async def _abort_cells(self) -> None:
        """Drop the cells that wait behind one that has failed."""
        waiting, self._requests = self._requests, deque()
        for asked in waiting:
            if asked.request.header.msg_type == "execute_request":
                self._request_bytes -= asked.size
                await self._abort(asked)
        others = [asked for asked in waiting if asked.request.header.msg_type != "execute_request"]
        self._requests.extendleft(reversed(others))  # before what has come meanwhile

    def _take_input(self, asked: _Asked) -> None:
        """Give the line of a client to the cell that waits for it; a line that nobody waits for is dropped."""
        if asked.request.header.msg_type != "input_reply":
            raise MessageError(f"{asked.request.header.msg_type!r} is not a message of the stdin channel")
        value = read_content(asked.request.content, requests.InputReply).value
        cell = self._cell
        if cell is None or self._answerer != asked.socket.session:
            return
        self._answerer = None
        if self._turn is not None:
            self._turn.go_on()
        self._spawn(self._give(cell, value))

    async def _give(self, cell: Cell, value: str) -> None:
        try:
            if value == _END_OF_INPUT:
                await cell.close_stdin()
            else:
                await cell.send_stdin(value.replace("\n", " ").encode("utf-8", "replace") + b"\n")
        except ExecutionClosed:
            pass  # the cell has ended meanwhile

    # -- questions

    async def _tell_info(self, asked: _Asked) -> None:
        info = msgspec.structs.replace(self.spec.info, version=await self._find_version())
        content: dict[str, object] = {
            "status": "ok",
            "protocol_version": PROTOCOL_VERSION,
            "implementation": "interpreter-tools",
            "implementation_version": metadata.version("interpreter-tools"),
            "language_info": info,
            "banner": f"{info.name} in a sandbox of interpreter-tools",
            "help_links": [],
            "debugger": False,
        }
        await self._reply(asked, content)

    async def _find_version(self) -> str:
        """Return the version of the language, which the interpreter itself is asked for once no cell runs."""
        if not self._version and self.spec.version_code and self._cell is None:
            result = await self._context.run(self.spec.version_code, silent=True, history=False, timeout=_VERSION_LIMIT)
            found = _VERSION.match(result.stdout)
            self._version = found[0] if result.ok and found is not None else ""
        return self._version or self.spec.info.version

    async def _complete(self, asked: _Asked) -> None:
        wanted = read_content(asked.request.content, requests.Complete)
        found = await self._context.complete(wanted.code, place(wanted.code, wanted.cursor_pos))
        places = {"cursor_start": found.start, "cursor_end": found.end}
        await self._reply(asked, {"status": "ok", "matches": found.matches, **places, "metadata": {}})

    async def _inspect(self, asked: _Asked) -> None:
        wanted = read_content(asked.request.content, requests.Inspect)
        at = place(wanted.code, wanted.cursor_pos)
        found = await self._context.inspect(wanted.code, at, detail=min(max(wanted.detail_level, 0), 1))
        await self._reply(asked, {"status": "ok", "found": found.found, "data": found.data, "metadata": {}})

    async def _is_complete(self, asked: _Asked) -> None:
        wanted = read_content(asked.request.content, requests.IsComplete)
        found = await self._context.is_complete(wanted.code)
        await self._reply(asked, {"status": found.status, "indent": found.indent})

    async def _tell_history(self, asked: _Asked) -> None:
        wanted = read_content(asked.request.content, requests.History)
        await self._reply(asked, {"status": "ok", "history": self._history.find(wanted, end=self._count + 1)})

    async def _tell_comms(self, asked: _Asked) -> None:
        await self._reply(asked, {"status": "ok", "comms": {}})

    async def _refuse_comm(self, asked: _Asked) -> None:
        wanted = read_content(asked.request.content, requests.CommOpen)
        await self._show("comm_close", {"comm_id": wanted.comm_id, "data": {}}, asked)

    # -- control

    async def _interrupt(self, asked: _Asked) -> None:
        await self.interrupt()
        await self._reply(asked, {"status": "ok"})

    async def _shut_down(self, asked: _Asked) -> None:
        wanted = read_content(asked.request.content, requests.Shutdown)
        await self._reply(asked, {"status": "ok", "restart": wanted.restart})
        await self._show("shutdown_reply", {"status": "ok", "restart": wanted.restart}, asked)
        if wanted.restart:
            await self.restart()
        else:
            await self.end()


def bundle_of(result: DisplayResult) -> tuple[dict[str, object], dict[str, object]]:
    """Return a result in Jupyter's form, without the data that only our own clients know.

    A widget is shown as its text: there are no comms, so that a client would look for its model in vain.
    """
    return result._repr_mimebundle_(exclude=(CHART, TABLE, _WIDGET))  # pyright: ignore[reportPrivateUsage] - the name is IPython's


def _failure_of(result: ExecutionResult) -> _ERROR | None:
    """Return the error of a cell in Jupyter's words; None where there is none."""
    if result.ok:
        return None
    if result.error is not None:
        return result.error.name, result.error.value, result.error.traceback.split("\n")
    if result.notes:
        text = "; ".join(result.notes)
        return "KernelDied", text, [text]
    return "SystemExit", str(result.exit_code), []


def _tell_failure(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        _LOG.error("a request of a kernel failed", exc_info=error)
