"""Standard input and output as a transport that can be ended."""

from __future__ import annotations

import asyncio
import os
import signal
import stat
from typing import TYPE_CHECKING, Self, cast

import anyio
import anyio.to_thread
from mcp.server.stdio import stdio_server

if TYPE_CHECKING:
    from mcp.server.mcpserver import MCPServer

    from interpreter_tools.mcp._state import State

_PIECE = 1 << 16


class Lines:
    """The lines of a descriptor, in the form that the SDK's transport takes.

    The SDK's own reader waits in a thread that cannot be interrupted: Ctrl-C would wait for the client's next message.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        kind = os.fstat(descriptor).st_mode
        # epoll(7) refuses files and some devices, which never block
        self._waits = stat.S_ISFIFO(kind) or stat.S_ISSOCK(kind) or os.isatty(descriptor)
        self._pieces: list[bytes] = []
        self._lines: list[bytes] = []  # the next one last

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> str:
        while not self._lines:
            piece = await self._read()
            self._pieces.append(piece or b"\n")
            if piece and b"\n" not in piece:
                continue
            *lines, rest = b"".join(self._pieces).split(b"\n")
            self._lines, self._pieces = lines[::-1], [rest]
            if not piece and not self._lines[0]:
                raise StopAsyncIteration
        return self._lines.pop().decode("utf-8", "replace")

    async def _read(self) -> bytes:
        if self._waits:
            await anyio.wait_readable(self._descriptor)
            return os.read(self._descriptor, _PIECE)
        return await anyio.to_thread.run_sync(os.read, self._descriptor, _PIECE)


async def serve_stdio(server: MCPServer[State]) -> bool:
    """Serve one client over standard input and output, until it closes them or SIGTERM comes.

    Returns:
        True when SIGTERM ended it.
    """
    lowlevel = server._lowlevel_server  # noqa: SLF001 - `run_stdio_async` takes no other input
    loop = asyncio.get_running_loop()
    with anyio.CancelScope() as scope:
        loop.add_signal_handler(signal.SIGTERM, scope.cancel)
        try:
            lines = cast("anyio.AsyncFile[str]", Lines(0))
            async with stdio_server(stdin=lines) as (receiving, sending):
                await lowlevel.run(receiving, sending, lowlevel.create_initialization_options())
        except* BrokenPipeError:
            pass  # the client went away without a word, and was all that there was to tell
        finally:
            loop.remove_signal_handler(signal.SIGTERM)
    return scope.cancelled_caught
