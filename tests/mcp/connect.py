"""Clients of the server, over each of its transports."""

from __future__ import annotations

import asyncio
import os
import signal
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Literal, TypeAlias

from mcp import Client
from mcp.client.stdio import StdioServerParameters
from mcp.types import CallToolResult, TextContent

from interpreter_tools import EngineConfig, PoolConfig
from interpreter_tools.mcp import create_server
from tests.cli.command import COMMAND, ENVIRONMENT
from tests.watch import CLIENTS

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from pathlib import Path

Way: TypeAlias = Literal["memory", "stdio", "http"]
WAYS: tuple[Way, ...] = ("memory", "stdio", "http")

SMALL = EngineConfig(prewarm=(), pool=PoolConfig(min_size=0, max_size=1))
SMALL_VARIABLES = {
    "INTERPRETER_TOOLS_PREWARM": "[]",
    "INTERPRETER_TOOLS_POOL__MIN_SIZE": "0",
    "INTERPRETER_TOOLS_POOL__MAX_SIZE": "1",
}


class Connection:
    """A client, and the process that serves it."""

    def __init__(self, client: Client, pid: int) -> None:
        self.client = client
        self.pid = pid

    async def call(self, tool: str, **arguments: object) -> dict[str, object]:
        """What a tool answers, as data; it must have gone well."""
        result = await self.client.call_tool(tool, arguments)
        assert not result.is_error, text_of(result)
        assert result.structured_content is not None
        return result.structured_content

    async def error(self, tool: str, **arguments: object) -> str:
        """What a tool answers that was called wrongly."""
        result = await self.client.call_tool(tool, arguments)
        assert result.is_error, text_of(result)
        return text_of(result)

    async def session(self) -> str:
        """A new session's id."""
        return str((await self.call("create_session"))["session_id"])


def text_of(result: CallToolResult) -> str:
    """What a model reads."""
    return "\n".join(block.text for block in result.content if isinstance(block, TextContent))


@asynccontextmanager
async def connect(way: Way, directory: Path, *, mode: str = "auto") -> AsyncGenerator[Connection]:
    """A client of a server with an engine of its own.

    Args:
        way: the transport.
        directory: for a file with the server's process id.
        mode: which generation of the protocol; ``"legacy"`` is the one before 2026.
    """
    if way == "memory":
        async with Client(create_server(SMALL), mode=mode) as client:
            yield Connection(client, os.getpid())
    elif way == "stdio":
        noted = directory / "pid"
        script = f'echo $$ > "{noted}"; exec "$@"'
        server = StdioServerParameters(
            command="/bin/sh", args=["-c", script, "sh", *COMMAND, "mcp"], env={**ENVIRONMENT, **SMALL_VARIABLES}
        )
        async with Client(server, mode=mode) as client:
            pid = int(noted.read_text())
            CLIENTS.add(pid)
            yield Connection(client, pid)
    else:
        async with http_server() as (url, pid), Client(url, mode=mode) as client:
            yield Connection(client, pid)


@asynccontextmanager
async def http_server() -> AsyncGenerator[tuple[str, int]]:
    """The address and process id of a server on loopback."""
    process = await asyncio.create_subprocess_exec(
        *(*COMMAND, "mcp", "--http", "0"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**ENVIRONMENT, **SMALL_VARIABLES},
    )
    CLIENTS.add(process.pid)
    assert process.stderr is not None
    try:
        line = (await process.stderr.readline()).decode()
        assert line.startswith("interpreter-tools mcp: http://127.0.0.1:"), line
        yield line.split()[-1], process.pid
    finally:
        process.send_signal(signal.SIGTERM)
        stdout, stderr = await process.communicate()
    assert stdout == b""
    assert b"Traceback" not in stderr, stderr.decode()
