"""FastAPI: run a program, chat with a model whose programs stream to the browser, a session for each user.

``pip install fastapi uvicorn``, and run it with ``uvicorn examples.fastapi_server:app``. A stand-in for the model
answers until you change ``ask_model``:

    curl -d '{"language": "python", "code": "print(6 * 7)"}' -H 'Content-Type: application/json' 127.0.0.1:8000/run
    curl -N '127.0.0.1:8000/users/ada/chat?question=count'
"""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated

import msgspec
from fastapi import Depends, FastAPI, HTTPException, Request
from fastapi.responses import StreamingResponse
from pydantic import BaseModel

from interpreter_tools import DisplayChunk, Execution, ExecutionEngine, ExecutionResult, UsageError


class Program(BaseModel):
    """A program, as a client sends it and as a model answers."""

    language: str
    code: str


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncGenerator[None]:
    """Keep one engine for the life of the server, and the id of each user's session."""
    async with ExecutionEngine() as engine:
        app.state.engine = engine
        app.state.sessions = {}
        yield


app = FastAPI(lifespan=lifespan)


def get_engine(request: Request) -> ExecutionEngine:
    """Return the server's engine."""
    return request.app.state.engine


Engine = Annotated[ExecutionEngine, Depends(get_engine)]


async def session_of(user: str, request: Request, engine: Engine) -> str:
    """Return the session of a user. A real server takes the user from its login, never from the path."""
    sessions: dict[str, str] = request.app.state.sessions
    if user not in sessions:
        sessions[user] = engine.session().id
    return sessions[user]


async def ask_model(question: str) -> Program:
    """Stand in for a model: ask yours here."""
    code = f"# {question}\nimport time\nfor n in range(1, 4):\n    print(n, flush=True)\n    time.sleep(0.1)"
    return Program(language="python", code=code + "\nopen('asked.txt', 'a').write('once ')")


@app.post("/run")
async def run(program: Program, engine: Engine) -> ExecutionResult:
    """Run a program to its end."""
    try:
        return await engine.run(program.language, program.code, stdin=b"", timeout=10)
    except UsageError as error:
        raise HTTPException(400, {"error": error.message, "hint": error.hint}) from error


@app.get("/users/{user}/chat")
async def chat(question: str, session_id: Annotated[str, Depends(session_of)], engine: Engine) -> StreamingResponse:
    """Have the model write a program, and stream its output as server-sent events."""
    program = await ask_model(question)
    execution = engine.stream_code(session_id, language=program.language, code=program.code, stdin=b"", timeout=60)
    return StreamingResponse(events(program, execution), media_type="text/event-stream")


async def events(program: Program, execution: Execution) -> AsyncIterator[bytes]:
    """Yield the program, its output and its result. A client that leaves cancels this, which kills the program."""
    yield event("program", program.model_dump())
    async with execution:
        async for chunk in execution:
            yield event(chunk.stream, chunk.result.data if isinstance(chunk, DisplayChunk) else chunk.text)
        yield event("result", await execution.result())


def event(name: str, value: object) -> bytes:
    """Return one event whose data is JSON."""
    return b"event: %s\ndata: %s\n\n" % (name.encode(), msgspec.json.encode(value))


@app.get("/users/{user}/files")
async def files(session_id: Annotated[str, Depends(session_of)], engine: Engine) -> list[str]:
    """List what the programs of a user have made."""
    return list(await engine.list_workspace_files(session_id, only_generated=True))
