"""E2B's code interpreter: cells in contexts, with their output and results as lines of JSON."""

from __future__ import annotations

import base64
import json
import re
import shlex
from datetime import UTC, datetime
from typing import TYPE_CHECKING, TypedDict, cast

import anyio
import msgspec
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from interpreter_tools._config.display import CHART, TABLE, is_json
from interpreter_tools._config.results import ClearChunk, DisplayChunk, InputChunk
from interpreter_tools._exceptions import InterpreterMissing, InterpreterToolsError, UsageError
from interpreter_tools._languages import LanguageRegistry
from interpreter_tools.server._bodies import read_json
from interpreter_tools.server._errors import BadRequest, NotFound
from interpreter_tools.server.wires.e2b.finding import sandbox_of
from interpreter_tools.server.wires.e2b.paths import HOME
from interpreter_tools.server.wires.e2b.streams import StreamedResponse, patient

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Mapping

    from starlette.requests import Request
    from starlette.routing import BaseRoute

    from interpreter_tools._config.display import DisplayResult
    from interpreter_tools._config.results import ExecutionResult, OutputChunk
    from interpreter_tools._context.cell import Cell
    from interpreter_tools._context.context import Context
    from interpreter_tools.server._core import Core
    from interpreter_tools.server._sandbox import Sandbox
    from interpreter_tools.server.wires.e2b.state import State, States
    from interpreter_tools.server.wires.e2b.streams import Sink

_INTERRUPTED = 5.0  # seconds that an interrupted cell may take to end before its process is given up
_KEEPALIVE = (5.0, b'{"type":"keepalive"}\n')
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_TEXTS = {
    "text/html": "html",
    "text/markdown": "markdown",
    "image/svg+xml": "svg",
    "image/png": "png",
    "image/jpeg": "jpeg",
    "application/pdf": "pdf",
    "text/latex": "latex",
    "application/javascript": "javascript",
    "application/json": "json",
    TABLE: "data",
    CHART: "chart",
}
_CHARTS = frozenset({"line", "scatter", "bar", "pie", "box_and_whisker", "superchart", "unknown"})
_ENCODER = msgspec.json.Encoder()


class _Execute(msgspec.Struct):
    """A request to run a cell."""

    code: str
    context_id: str | None = None
    language: str | None = None
    env_vars: dict[str, str] | None = None


class _NewContext(msgspec.Struct):
    """A request to make a context."""

    language: str | None = None
    cwd: str | None = None


class _Bins(TypedDict):
    """A histogram of a chart."""

    label: str
    bins: list[dict[str, float]]


class Code:
    """The endpoints of the code interpreter.

    Args:
        core: what all wires share.
        states: what this wire keeps of sandboxes.
    """

    def __init__(self, core: Core, states: States) -> None:
        self._core = core
        self._states = states

    def routes(self) -> list[BaseRoute]:
        """Return the routes."""
        one = "/contexts/{context_id}"
        return [
            Route("/execute", patient(self.execute), methods=["POST"]),
            Route("/contexts", self.list, methods=["GET"]),
            Route("/contexts", patient(self.create), methods=["POST"]),
            Route(one, self.remove, methods=["DELETE"]),
            Route(f"{one}/restart", self.restart, methods=["POST"]),
        ]

    async def execute(self, request: Request) -> Response:
        """Run a cell, and tell its output as it comes."""
        sandbox = sandbox_of(self._core, self._states, request)
        asked = await read_json(request, _Execute, limit=self._core.config.body_limit)
        if asked.context_id and asked.language:
            raise BadRequest("Only one of context_id or language can be provided")
        state = self._states.of(sandbox)
        if asked.context_id:
            context = self._find(sandbox, asked.context_id)
        else:
            context = _open(lambda: state.default(_language(asked.language)))
        cell = _CellRequest(asked, context.language, sandbox.environment)

        async def write(sink: Sink) -> None:
            await self._run(sandbox, state.turn(context), context, cell, sink=sink)

        return StreamedResponse(write, media_type="application/json", beat=_KEEPALIVE)

    async def _run(
        self, sandbox: Sandbox, turn: asyncio.Lock, context: Context, cell: _CellRequest, *, sink: Sink
    ) -> None:
        run = self._core.run(sandbox.owner, wire="e2b", language=context.language, strategy="context", sandbox=sandbox)
        async with run, turn:
            if cell.before:
                await context.run(cell.before, silent=True)
            try:
                async with context.stream(cell.code, capture=False, notebook=True, stdin=b"") as running:
                    result = await _follow(running, sink)
            except InterpreterMissing as error:
                raise _missing(error) from None
            run.end(result)
            if cell.after and context.state == "idle":
                await context.run(cell.after, silent=True)
        await sink.send(b"".join(_ENCODER.encode(line) + b"\n" for line in _last_lines(context.language, result)))

    def _find(self, sandbox: Sandbox, context_id: str) -> Context:
        context = sandbox.contexts.get(context_id)
        if context is None or context.state == "closed":
            raise NotFound(f"Context {context_id[:80]} not found")
        return context

    def _told(self, state: State, context: Context) -> dict[str, str]:
        return {"id": context.id, "language": context.language, "cwd": state.cwd.get(context.id, HOME)}

    async def list(self, request: Request) -> Response:
        """List the contexts."""
        sandbox = sandbox_of(self._core, self._states, request)
        state = self._states.of(sandbox)
        found = [context for context in sandbox.contexts.values() if context.state != "closed"]
        return JSONResponse([self._told(state, context) for context in found])

    async def create(self, request: Request) -> Response:
        """Make a context, and return it once it is ready."""
        sandbox = sandbox_of(self._core, self._states, request)
        asked = await read_json(request, _NewContext, limit=self._core.config.body_limit)
        state = self._states.of(sandbox)
        context = _open(lambda: state.context(_language(asked.language), cwd=asked.cwd or HOME))
        try:
            await context.start()
        except BaseException as error:
            await sandbox.close_context(context)
            if isinstance(error, InterpreterMissing):
                raise _missing(error) from None
            if isinstance(error, InterpreterToolsError):
                raise BadRequest(f"the context cannot start: {error.message}", hint=error.hint) from None
            raise
        return JSONResponse(self._told(state, context))

    async def remove(self, request: Request) -> Response:
        """Close a context."""
        sandbox = sandbox_of(self._core, self._states, request)
        await sandbox.close_context(self._find(sandbox, request.path_params["context_id"]))
        return Response(b"null", media_type="application/json")

    async def restart(self, request: Request) -> Response:
        """Restart a context: its variables are gone."""
        sandbox = sandbox_of(self._core, self._states, request)
        await self._find(sandbox, request.path_params["context_id"]).restart()
        return Response(b"null", media_type="application/json")


async def _follow(cell: Cell, sink: Sink) -> ExecutionResult:
    """Tell the output of a cell, and return its result. A client that goes away interrupts it."""
    try:
        await sink.begin()
        async for chunk in cell:
            line = _line(chunk)
            if line is not None:
                await sink.send(_ENCODER.encode(line) + b"\n")
        return await cell.result()
    except BaseException:
        cell.interrupt()
        with anyio.move_on_after(_INTERRUPTED, shield=True):
            await cell.result()  # so that the variables are kept on a machine that is slow, too
        raise


def plain(error_text: str, status: int, headers: Mapping[str, str]) -> Response:
    """Return an error in the words of the code interpreter: as plain text."""
    return PlainTextResponse(error_text, status, headers)


class _CellRequest:
    """A cell, with its variables as code that is run before and after it.

    Args:
        asked: the request.
        language: the language of the cell.
        usual: the variables of the sandbox, which are there again afterwards.
    """

    def __init__(self, asked: _Execute, language: str, usual: Mapping[str, str]) -> None:
        self.code = asked.code
        variables = asked.env_vars or {}
        for name, value in variables.items():
            if not _NAME.fullmatch(name) or "\0" in value:
                raise BadRequest(f"env_vars: {name[:80]!r} cannot be the name of a variable, or its value holds NUL")
        restored = {name: usual[name] for name in variables if name in usual}
        gone = [name for name in variables if name not in usual]
        self.before = _assign(language, variables, []) if variables else ""
        self.after = _assign(language, restored, gone) if variables else ""


def _assign(language: str, variables: Mapping[str, str], gone: list[str]) -> str:
    """Return code that sets variables of the environment, and removes others."""
    said, names = json.dumps(dict(variables), ensure_ascii=False), json.dumps(gone)
    if language == "python":
        removing = f"[__import__('os').environ.pop(name, None) for name in {names}]"
        return f"__import__('os').environ.update({said}); {removing}"
    if language in {"javascript", "typescript"}:
        return f"Object.assign(process.env, {said}); for (const name of {names}) delete process.env[name]; undefined"
    lines = [f"export {name}={shlex.quote(value)}" for name, value in variables.items()]
    return "\n".join([*lines, *(f"unset {name}" for name in gone)])


def _language(name: str | None) -> str:
    """Return the name of a language that a client has another name for."""
    if not name:
        return "python"
    return LanguageRegistry.get(name.lower()).language


def _open(make: Callable[[], Context]) -> Context:
    """Return a context, or refuse it in words that name what can be had."""
    try:
        return make()
    except UsageError as error:
        raise BadRequest(error.message, hint=error.hint) from None


def _missing(error: InterpreterMissing) -> BadRequest:
    hint = "`interpreter-tools setup code-interpreter` makes an image with Python, Node.js and bash for all sandboxes"
    return BadRequest(error.message, hint=hint)


def _line(chunk: OutputChunk) -> dict[str, object] | None:
    """Return what is told of a piece of output."""
    if isinstance(chunk, DisplayChunk):
        return _result(chunk.result)
    if isinstance(chunk, (InputChunk, ClearChunk)):
        return None
    return {"type": chunk.stream, "text": chunk.text, "timestamp": datetime.now(UTC).isoformat()}


def _result(result: DisplayResult) -> dict[str, object]:
    told: dict[str, object] = {"type": "result", "is_main_result": result.is_main_result}
    extra: dict[str, object] = {}
    for mime, item in result.data.items():
        value: object = base64.b64encode(item).decode() if isinstance(item, bytes) else item
        if isinstance(item, str) and is_json(mime):
            value = msgspec.json.decode(item)
        if mime == "text/plain" and isinstance(item, str):
            told["text"] = _unquoted(item)
        elif mime == CHART:
            told["chart"] = _known_chart(cast("dict[str, object]", value))
        elif mime in _TEXTS:
            told[_TEXTS[mime]] = value
        else:
            extra[mime] = value
    if extra:
        told["extra"] = extra
    return told


def _known_chart(chart: dict[str, object]) -> dict[str, object]:
    """Return a chart as clients of E2B know it, also one of several in a figure.

    A histogram is a chart of bars to them. One of another type is ``unknown``.
    """
    if chart.get("type") == "histogram":
        return {**chart, "type": "bar", "elements": _bars(cast("list[_Bins]", chart["elements"]))}
    if chart.get("type") not in _CHARTS:
        return {**chart, "type": "unknown"}
    if chart["type"] == "superchart":
        inner = cast("list[dict[str, object]]", chart["elements"])
        return {**chart, "elements": [_known_chart(each) for each in inner]}
    return chart


def _bars(elements: list[_Bins]) -> list[dict[str, object]]:
    """Return the bins of histograms as bars, each labelled with the ends of its bin."""
    return [
        {"label": f"{edges['start']:g} - {edges['end']:g}", "group": each["label"], "value": edges["count"]}
        for each in elements
        for edges in each["bins"]
    ]


def _unquoted(text: str) -> str:
    """Return the text of a value; that of a string is told without its quotes."""
    if len(text) >= 2 and text[0] == text[-1] and text[0] in "'\"":
        return text[1:-1]
    return text


def _last_lines(language: str, result: ExecutionResult) -> list[dict[str, object]]:
    """Return what is told at the end of a cell."""
    lines: list[dict[str, object]] = []
    error = result.error
    if error is not None:
        lines.append({"type": "error", "name": error.name, "value": error.value, "traceback": error.traceback})
    elif result.outcome != "ok":
        gone = any("variables" in note for note in result.notes)
        name = "ContextRestarting" if gone else "SystemExit" if language == "python" else ""
        value = "; ".join(result.notes) if gone else str(result.exit_code)
        lines.append({"type": "error", "name": name, "value": value, "traceback": value if gone else ""})
    if result.execution_count is not None:
        lines.append({"type": "number_of_executions", "execution_count": result.execution_count})
    lines.append({"type": "end_of_execution"})
    return lines
