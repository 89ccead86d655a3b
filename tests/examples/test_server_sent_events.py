"""The web server among the examples, over a real connection."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from typing import TYPE_CHECKING

import pytest
import uvicorn

from examples.server_sent_events import app
from tests.watch import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from interpreter_tools import ExecutionEngine

pytestmark = pytest.mark.docker


@pytest.fixture
async def port() -> AsyncIterator[int]:
    """Where the server listens on loopback."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        server = uvicorn.Server(uvicorn.Config(app, log_level="warning"))
        serving = asyncio.create_task(server.serve([listener]))
        await eventually(lambda: asyncio.sleep(0, server.started), bool, within=60)
        yield listener.getsockname()[1]
        server.should_exit = True
        await serving


async def ask(port: int, language: str, code: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A connection on which the answer will come."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    body = code.encode()
    head = f"POST /run/{language} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {len(body)}\r\n\r\n"
    writer.write(head.encode() + body)
    return reader, writer


async def test_output_is_streamed(port: int) -> None:
    """As events, the last of which is the result; a mistake is told as such."""
    reader, writer = await ask(port, "python", "print('hello')")
    answer = (await reader.read()).decode()
    writer.close()
    assert 'event: stdout\ndata: "hello\\n"' in answer
    assert '"outcome":"ok"' in answer
    reader, writer = await ask(port, "cobol", "")
    answer = (await reader.read()).decode()
    writer.close()
    assert answer.startswith("HTTP/1.1 400")
    assert "unknown language" in answer


async def test_client_that_goes_away_ends_the_run(port: int) -> None:
    """Its container is not busy any more."""
    engine: ExecutionEngine = app.state.engine
    reader, writer = await ask(port, "python", "import time\nwhile True: print('tick', flush=True); time.sleep(0.05)")
    with contextlib.suppress(asyncio.IncompleteReadError):
        await reader.readuntil(b"tick")
    assert engine.stats().busy == 1
    writer.close()
    await eventually(lambda: asyncio.sleep(0, engine.stats().busy), lambda busy: busy == 0)
