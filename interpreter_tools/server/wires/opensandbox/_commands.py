"""Commands of a sandbox, in the foreground and in the background, and shells that keep their state."""

from __future__ import annotations

import asyncio
import codecs
import signal
import time
from typing import TYPE_CHECKING

import anyio
import msgspec
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from interpreter_tools._config.results import DisplayChunk
from interpreter_tools._exceptions import InterpreterToolsError
from interpreter_tools.server._bodies import read_body, read_json
from interpreter_tools.server._errors import BadRequest, NotFound
from interpreter_tools.server.wires.opensandbox._boxes import EXECD, Command
from interpreter_tools.server.wires.opensandbox._events import EventResponse

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.requests import Request
    from starlette.routing import BaseRoute

    from interpreter_tools._commands.process import ProcessOutput
    from interpreter_tools._context.context import Context
    from interpreter_tools.server._core import Core
    from interpreter_tools.server.wires.opensandbox._boxes import Box, Boxes
    from interpreter_tools.server.wires.opensandbox._events import Events

_ENVS = "/tmp/.execd-envs"  # noqa: S108 - a file in the sandbox
_FIRST = 'if [ -f "$EXECD_ENVS" ]; then set -a; . "$EXECD_ENVS"; set +a; fi; '  # what `set_env` has put there
_CURSOR = "EXECD-COMMANDS-TAIL-CURSOR"
_TIMED_OUT = 124  # as `timeout` has it
_KILL_DEADLINE = 5.0  # seconds
_NOT_THERE = 127
# By this its code interpreter asks whether a Jupyter listens in the sandbox. Here the server itself runs the code.
_PROBE = "bash -c 'exec 3<>/dev/tcp/127.0.0.1/${JUPYTER_PORT:-44771}' && exit 0 || exit 1"


class _Run(msgspec.Struct):
    """The body of a request to run a command."""

    command: str | None = None
    argv: list[str] | None = None
    cwd: str | None = None
    background: bool = False
    timeout: int | None = None
    uid: int | None = None
    gid: int | None = None
    envs: dict[str, str] | None = None

    def text(self) -> str:
        """Return the command for people."""
        return self.command if self.command is not None else " ".join(self.argv or ())

    def words(self) -> list[str]:
        """Return the program and its arguments."""
        if self.command == _PROBE:
            return ["true"]
        if self.command is not None:
            return ["bash", "-c", _FIRST + 'exec bash -c "$1"', "bash", self.command]
        if not self.argv:
            raise BadRequest("command and argv are missing")
        return ["bash", "-c", _FIRST + 'exec "$@"', "bash", *self.argv]


class _NewSession(msgspec.Struct):
    """The body of a request for a shell."""

    cwd: str | None = None


class _InSession(msgspec.Struct):
    """The body of a request to run a command in a shell."""

    command: str
    cwd: str | None = None
    timeout: int | None = None


class CommandRoutes:
    """The endpoints of commands and shells.

    Args:
        core: what all wires share.
        boxes: what this wire keeps of sandboxes.
    """

    def __init__(self, core: Core, boxes: Boxes) -> None:
        self._core = core
        self._boxes = boxes

    def routes(self) -> list[BaseRoute]:
        """Return the routes."""
        return [
            Route(f"{EXECD}/command", self.run, methods=["POST"]),
            Route(f"{EXECD}/command", self.interrupt, methods=["DELETE"]),
            Route(f"{EXECD}/command/status/{{command_id}}", self.tell, methods=["GET"]),
            Route(f"{EXECD}/command/{{command_id}}/logs", self.logs, methods=["GET"]),
            Route(f"{EXECD}/session", self.open, methods=["POST"]),
            Route(f"{EXECD}/session/{{session_id}}/run", self.run_in, methods=["POST"]),
            Route(f"{EXECD}/session/{{session_id}}", self.close, methods=["DELETE"]),
        ]

    # -- commands

    async def run(self, request: Request) -> Response:
        """Run a command; one in the background goes on after the answer."""
        box = self._boxes.find(request)
        asked = await read_json(request, _Run, limit=self._core.config.body_limit)
        if asked.uid is not None or asked.gid is not None:
            raise BadRequest("uid and gid cannot be chosen: a sandbox has one user")
        words, limit = asked.words(), _seconds(asked.timeout)

        async def write(events: Events) -> None:
            environment = {**box.sandbox.environment, **(asked.envs or {}), "EXECD_ENVS": _ENVS}
            command = await self._start(box, asked, words, environment)
            await events.tell("init", text=command.id)
            if asked.background:
                command.following = asyncio.create_task(_follow(command, limit))
                await events.tell("execution_complete", execution_time=0)
                return
            try:
                await _tell_output(command, limit, events)
            finally:
                if command.exit_code is None:
                    command.end(128 + signal.SIGKILL)
                    with anyio.move_on_after(_KILL_DEADLINE, shield=True):
                        await command.process.kill()

        return EventResponse(write)

    async def _start(self, box: Box, asked: _Run, words: list[str], environment: Mapping[str, str]) -> Command:
        try:
            process = await box.sandbox.start(words, cwd=asked.cwd or None, environment=environment)
        except OSError as error:
            raise BadRequest(f"the command cannot be started: {error.strerror}: {error.filename}") from None
        command = Command(asked.text(), process)
        try:
            box.add(command)
        except BadRequest:
            await process.kill()
            raise
        return command

    async def interrupt(self, request: Request) -> Response:
        """Interrupt a command: with what it has started, as Ctrl-C does, and for good a little later."""
        command = self._boxes.find(request).command(request.query_params.get("id", ""))
        await command.process.signal(signal.SIGINT)
        with anyio.move_on_after(1):
            await command.process.wait()
        await command.process.kill()
        return Response()

    async def tell(self, request: Request) -> Response:
        """Tell the state of a command."""
        command = self._boxes.find(request).command(request.path_params["command_id"])
        told: dict[str, object] = {
            "id": command.id,
            "content": command.text,
            "running": command.exit_code is None,
            "started_at": command.began.isoformat(),
        }
        if command.exit_code is not None and command.ended is not None:
            told |= {"exit_code": command.exit_code, "finished_at": command.ended.isoformat()}
            if command.exit_code:
                told["error"] = f"exit code {command.exit_code}"
        return JSONResponse(told)

    async def logs(self, request: Request) -> Response:
        """Tell the output of a command in the background, from a place on."""
        command = self._boxes.find(request).command(request.path_params["command_id"])
        cursor = request.query_params.get("cursor", "0")
        if not (cursor.isascii() and cursor.isdigit() and len(cursor) < 16):
            raise BadRequest(f"cursor: {cursor[:20]!r} is not a number")
        at = max(0, int(cursor) - command.cut)
        headers = {_CURSOR: str(command.cut + len(command.log))}
        return PlainTextResponse(bytes(command.log[at:]).decode("utf-8", "replace"), headers=headers)

    # -- shells

    async def open(self, request: Request) -> Response:
        """Open a shell."""
        box = self._boxes.find(request)
        body = await read_body(request, limit=self._core.config.body_limit)
        try:
            asked = msgspec.json.decode(body, type=_NewSession) if body.strip() else _NewSession()
        except msgspec.DecodeError as error:
            raise BadRequest(f"the body of the request cannot be read: {error}") from None
        context = box.sandbox.context("bash", environment={"EXECD_ENVS": _ENVS})
        box.shells[context.id] = context
        try:
            result = await context.run(f"cd -- {_quoted(asked.cwd)} || exit; {_FIRST}" if asked.cwd else _FIRST)
        except BaseException:
            await self._close(box, context)
            raise
        if not result.ok:
            await self._close(box, context)
            raise BadRequest(f"the directory {(asked.cwd or '')[:200]!r} cannot be entered")
        return JSONResponse({"session_id": context.id})

    async def _close(self, box: Box, context: Context) -> None:
        box.shells.pop(context.id, None)
        await box.sandbox.close_context(context)

    def _shell(self, request: Request) -> tuple[Box, Context]:
        box = self._boxes.find(request)
        shell = box.shells.get(request.path_params["session_id"])
        if shell is None:
            raise NotFound(f"there is no session {request.path_params['session_id'][:80]!r}")
        return box, shell

    async def run_in(self, request: Request) -> Response:
        """Run a command in a shell, which keeps its directory and variables."""
        box, shell = self._shell(request)
        asked = await read_json(request, _InSession, limit=self._core.config.body_limit)
        limit = _seconds(asked.timeout)
        code = f"cd -- {_quoted(asked.cwd)} || (exit 1) && {{\n{asked.command}\n}}" if asked.cwd else asked.command

        async def write(events: Events) -> None:
            async with self._core.run(
                box.sandbox.owner, wire="opensandbox", language="bash", sandbox=box.sandbox
            ) as run:
                await events.tell("init", text=shell.id)
                async with shell.stream(code, capture=False, stdin=b"", timeout=limit) as cell:
                    async for chunk in cell:
                        if not isinstance(chunk, DisplayChunk):
                            await events.tell(chunk.stream, text=chunk.text)
                    result = await cell.result()
                run.end(result)
            exit_code = _TIMED_OUT if result.outcome == "timeout" else result.exit_code
            await _tell_end(exit_code, result.execution_time, events)

        return EventResponse(write)

    async def close(self, request: Request) -> Response:
        """Close a shell."""
        await self._close(*self._shell(request))
        return Response()


def _seconds(milliseconds: int | None) -> float | None:
    """Return a time limit; 0 means none."""
    if milliseconds is not None and milliseconds < 0:
        raise BadRequest("timeout is below 0")
    return milliseconds / 1000 if milliseconds else None


def _quoted(text: str | None) -> str:
    return "'" + (text or "").replace("'", "'\\''") + "'"


async def _tell_output(command: Command, limit: float | None, events: Events) -> None:
    """Tell the output of a command in the foreground, and its end."""
    began = time.monotonic()
    output = command.process.output()
    exit_code = 0
    try:
        with anyio.move_on_after(limit) as scope:
            decoders = {name: codecs.getincrementaldecoder("utf-8")("replace") for name in ("stdout", "stderr")}
            async for stream, data in output:
                text = decoders[stream].decode(data)
                if text:
                    await events.tell(stream, text=text)
            for stream, decoder in decoders.items():
                if rest := decoder.decode(b"", True):
                    await events.tell(stream, text=rest)
            exit_code = (await command.process.wait()).code
        if scope.cancelled_caught:
            exit_code = _TIMED_OUT
            await command.process.kill()
    finally:
        await output.aclose()
    command.end(exit_code)
    await _tell_end(exit_code, time.monotonic() - began, events)


async def _tell_end(exit_code: int, seconds: float, events: Events) -> None:
    if exit_code:
        await events.fail("CommandExecError", str(exit_code), [f"exit status {exit_code}"])
    else:
        await events.tell("execution_complete", execution_time=int(seconds * 1000))


async def _follow(command: Command, limit: float | None) -> None:
    """Keep the last of the output of a command in the background, and note its end."""
    output: ProcessOutput = command.process.output()
    try:
        with anyio.move_on_after(limit) as scope:
            async for _, data in output:
                command.note(data)
            command.end((await command.process.wait()).code)
        if scope.cancelled_caught:
            command.end(_TIMED_OUT)
            await command.process.kill()
    except InterpreterToolsError:
        command.end(_NOT_THERE)  # the sandbox has ended, or its container was lost
    finally:
        await output.aclose()
