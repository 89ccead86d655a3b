"""The FastAPI server among the examples, over a real connection."""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING

import httpx
import pytest
import uvicorn

from examples import fastapi_server
from examples.fastapi_server import Program, app
from tests.watch import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from interpreter_tools import ExecutionEngine

pytestmark = pytest.mark.docker


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    """A client of the running server."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        server = uvicorn.Server(uvicorn.Config(app, log_level="warning"))
        serving = asyncio.create_task(server.serve([listener]))
        await eventually(lambda: asyncio.sleep(0, server.started), bool, within=60)
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        async with httpx.AsyncClient(base_url=url, timeout=60, trust_env=False) as client:
            yield client
        server.should_exit = True
        await serving


async def test_run_answers_with_the_result(client: httpx.AsyncClient) -> None:
    """As JSON; an unknown language is the client's mistake."""
    answer = await client.post("/run", json={"language": "python", "code": "print(6 * 7)"})
    assert answer.status_code == 200
    assert answer.json()["stdout"] == "42\n"
    answer = await client.post("/run", json={"language": "cobol", "code": ""})
    assert answer.status_code == 400


async def test_users_have_sessions_of_their_own(client: httpx.AsyncClient) -> None:
    """What a model's program makes for one user is not among another's files."""
    answer = await client.get("/users/ada/chat", params={"question": "count"})
    assert 'event: stdout\ndata: "1\\n"' in answer.text
    assert '"outcome":"ok"' in answer.text
    assert (await client.get("/users/ada/files")).json() == ["asked.txt"]
    assert (await client.get("/users/bob/files")).json() == []


async def test_client_that_leaves_ends_the_program(client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its session can run the next one at once."""

    async def endless(question: str) -> Program:
        return Program(language="python", code="import time\nwhile True: print('tick', flush=True); time.sleep(0.05)")

    engine: ExecutionEngine = app.state.engine
    monkeypatch.setattr(fastapi_server, "ask_model", endless)
    async with client.stream("GET", "/users/eve/chat", params={"question": "?"}) as answer:
        async for line in answer.aiter_lines():
            if "tick" in line:
                break
    session_id = app.state.sessions["eve"]
    async with asyncio.timeout(20):
        result = await engine.execute_code(session_id, language="python", code="print('free')")
    assert result.stdout == "free\n"
