"""Code in contexts of a sandbox, told as events while it runs."""

from __future__ import annotations

import base64
import secrets
from typing import TYPE_CHECKING

import msgspec
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from interpreter_tools._config.results import ClearChunk, DisplayChunk, InputChunk
from interpreter_tools._exceptions import UsageError
from interpreter_tools._languages import LanguageRegistry
from interpreter_tools.server._bodies import read_json
from interpreter_tools.server._errors import BadRequest, NotFound
from interpreter_tools.server.wires.opensandbox._boxes import EXECD
from interpreter_tools.server.wires.opensandbox._events import EventResponse

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.routing import BaseRoute

    from interpreter_tools._config.display import DisplayResult
    from interpreter_tools._config.results import ExecutionResult, OutputChunk
    from interpreter_tools._context.context import Context
    from interpreter_tools.server._core import Core
    from interpreter_tools.server.wires.opensandbox._boxes import Box, Boxes
    from interpreter_tools.server.wires.opensandbox._events import Events

_DEFAULT = "default "


class _ContextOf(msgspec.Struct):
    language: str | None = None
    id: str | None = None


class _Run(msgspec.Struct):
    """The body of a request to run code."""

    code: str
    context: _ContextOf | None = None


class Code:
    """The endpoints of code.

    Args:
        core: what all wires share.
        boxes: what this wire keeps of sandboxes.
    """

    def __init__(self, core: Core, boxes: Boxes) -> None:
        self._core = core
        self._boxes = boxes

    def routes(self) -> list[BaseRoute]:
        """Return the routes."""
        code = f"{EXECD}/code"
        return [
            Route(code, self.run, methods=["POST"]),
            Route(code, self.interrupt, methods=["DELETE"]),
            Route(f"{code}/context", self.create, methods=["POST"]),
            Route(f"{code}/contexts", self.list, methods=["GET"]),
            Route(f"{code}/contexts", self.remove_all, methods=["DELETE"]),
            Route(f"{code}/contexts/{{context_id}}", self.tell, methods=["GET"]),
            Route(f"{code}/contexts/{{context_id}}", self.remove, methods=["DELETE"]),
        ]

    async def run(self, request: Request) -> Response:
        """Run code."""
        box = self._boxes.find(request)
        asked = await read_json(request, _Run, limit=self._core.config.body_limit)
        of = asked.context or _ContextOf()
        if of.id:
            context = self._find(box, of.id)
        else:
            language = _language(of.language)
            context = _open(box, language, _DEFAULT + language)

        async def write(events: Events) -> None:
            await self._run(box, context, asked.code, events)

        return EventResponse(write)

    async def _run(self, box: Box, context: Context, code: str, events: Events) -> None:
        number = secrets.token_hex(16)
        async with self._core.run(
            box.sandbox.owner, wire="opensandbox", language=context.language, sandbox=box.sandbox
        ) as run:
            await events.tell("init", text=number)
            box.running[number] = context
            try:
                async with context.stream(code, capture=False, notebook=True, stdin=b"") as cell:
                    async for chunk in cell:
                        await _tell_chunk(chunk, events)
                    result = await cell.result()
            finally:
                del box.running[number]
            run.end(result)
        await _tell_end(result, events)

    def _find(self, box: Box, context_id: str) -> Context:
        context = box.sandbox.contexts.get(context_id)
        if context is None or context.state == "closed" or context.id in box.shells:
            raise NotFound(f"there is no context {context_id[:80]!r}")
        return context

    async def interrupt(self, request: Request) -> Response:
        """Interrupt a run, by its id."""
        box = self._boxes.find(request)
        context = box.running.get(request.query_params.get("id", ""))
        if context is None:
            raise NotFound("there is no run of this id")
        await context.interrupt()
        return Response()

    async def create(self, request: Request) -> Response:
        """Make a context, and return it once it is ready."""
        box = self._boxes.find(request)
        asked = await read_json(request, _ContextOf, limit=self._core.config.body_limit)
        context = _open(box, _language(asked.language), None)
        try:
            await context.start()
        except BaseException:
            await box.sandbox.close_context(context)
            raise
        return JSONResponse(_told(context))

    async def list(self, request: Request) -> Response:
        """List the contexts, or those of one language."""
        return JSONResponse([_told(context) for context in self._chosen(request)])

    def _chosen(self, request: Request) -> list[Context]:
        box = self._boxes.find(request)
        name = request.query_params.get("language")
        language = _language(name) if name else None
        return [
            context
            for context in box.sandbox.contexts.values()
            if context.state != "closed"
            and context.id not in box.shells
            and (language is None or context.language == language)
        ]

    async def remove_all(self, request: Request) -> Response:
        """Close the contexts of one language."""
        box = self._boxes.find(request)
        for context in self._chosen(request):
            await box.sandbox.close_context(context)
        return Response()

    async def tell(self, request: Request) -> Response:
        """Tell a context."""
        return JSONResponse(_told(self._find(self._boxes.find(request), request.path_params["context_id"])))

    async def remove(self, request: Request) -> Response:
        """Close a context."""
        box = self._boxes.find(request)
        await box.sandbox.close_context(self._find(box, request.path_params["context_id"]))
        return Response()


def _language(name: str | None) -> str:
    try:
        return LanguageRegistry.get((name or "python").lower()).language
    except UsageError as error:
        raise BadRequest(error.message, hint=error.hint) from None


def _open(box: Box, language: str, name: str | None) -> Context:
    try:
        return box.sandbox.context(language, name, on_death="restart")
    except UsageError as error:
        raise BadRequest(error.message, hint=error.hint) from None


def _told(context: Context) -> dict[str, str]:
    return {"id": context.id, "language": context.language}


async def _tell_chunk(chunk: OutputChunk, events: Events) -> None:
    if isinstance(chunk, DisplayChunk):
        await events.tell("result", results=_representations(chunk.result))
    elif not isinstance(chunk, (InputChunk, ClearChunk)):
        await events.tell(chunk.stream, text=chunk.text)


def _representations(result: DisplayResult) -> dict[str, str]:
    data = {
        mime: base64.b64encode(item).decode() if isinstance(item, bytes) else item for mime, item in result.data.items()
    }
    return {"text": data.get("text/plain", ""), **data}


async def _tell_end(result: ExecutionResult, events: Events) -> None:
    if result.execution_count is not None:
        await events.tell("execution_count", execution_count=result.execution_count)
    if result.error is not None:
        error = result.error
        await events.fail(error.name, error.value, error.traceback.split("\n"))
    elif not result.ok:
        await events.fail(result.outcome, "; ".join(result.notes) or str(result.exit_code), list(result.notes))
    else:
        await events.tell("execution_complete", execution_time=int(result.execution_time * 1000))
