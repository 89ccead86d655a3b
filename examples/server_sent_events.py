"""A web server that streams a run to its client, and kills the run when the client goes away.

``pip install starlette uvicorn``, run it with ``uvicorn examples.server_sent_events:app``, and ask with
``curl -N -d 'import time; [print(n, flush=True) or time.sleep(1) for n in range(9)]' 127.0.0.1:8000/run/python``.
"""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager

import msgspec
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, StreamingResponse
from starlette.routing import Route

from interpreter_tools import Execution, ExecutionEngine, UsageError


@asynccontextmanager
async def lifespan(app: Starlette) -> AsyncGenerator[None]:
    """Keep one engine for the life of the server."""
    async with ExecutionEngine() as engine:
        app.state.engine = engine
        yield


async def events(execution: Execution) -> AsyncIterator[bytes]:
    """Yield the output as server-sent events; the last one is the result.

    Starlette cancels this when the client disconnects, which leaves the ``async with``, which kills the program.
    """
    async with execution:
        async for chunk in execution:
            yield event(chunk.stream, chunk.text)
        yield event("result", await execution.result())


def event(name: str, value: object) -> bytes:
    """Return one event whose data is JSON."""
    return b"event: %s\ndata: %s\n\n" % (name.encode(), msgspec.json.encode(value))


async def run(request: Request) -> StreamingResponse | JSONResponse:
    """Run the body as a program."""
    engine: ExecutionEngine = request.app.state.engine
    try:
        execution = engine.stream(request.path_params["language"], await request.body(), stdin=b"")
    except UsageError as error:
        return JSONResponse({"error": error.message, "hint": error.hint}, status_code=400)
    return StreamingResponse(events(execution), media_type="text/event-stream")


app = Starlette(routes=[Route("/run/{language}", run, methods=["POST"])], lifespan=lifespan)
