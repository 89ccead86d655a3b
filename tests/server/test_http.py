"""The head of a request, which everybody may send: it has a limit, and a time to arrive."""

from __future__ import annotations

import asyncio
import contextlib
import functools
from typing import TYPE_CHECKING

import uvicorn
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from interpreter_tools._listening import listen
from interpreter_tools.server._http import BoundedHttp, _Answer

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable

    from starlette.requests import Request

PIECE = b"a" * (64 << 10)


async def _count(request: Request) -> Response:
    return PlainTextResponse(str(len(await request.body())))


class _Served:
    """A server that counts the bytes of bodies."""

    def __init__(self, port: int, server: uvicorn.Server) -> None:
        self.port = port
        self._server = server

    async def until(self, holds: Callable[[BoundedHttp], bool]) -> None:
        """Wait until the only connection is in a state."""
        async with asyncio.timeout(30):
            while True:
                found = [each for each in self._server.server_state.connections if isinstance(each, BoundedHttp)]
                if len(found) == 1 and holds(found[0]):
                    return
                await asyncio.sleep(0.001)


@contextlib.asynccontextmanager
async def _served(patience: float = 60) -> AsyncGenerator[_Served]:
    app = Starlette(routes=[Route("/", _count, methods=["POST"])])
    protocol = functools.partial(BoundedHttp, patience=patience)
    with listen("127.0.0.1", 0) as listener:
        config = uvicorn.Config(app, http=protocol, log_level="critical", access_log=False)  # type: ignore[arg-type]
        server = uvicorn.Server(config)
        task = asyncio.create_task(server._serve([listener]))
        try:
            yield _Served(listener.getsockname()[1], server)
        finally:
            server.should_exit = True
            await task


async def _status(reader: asyncio.StreamReader) -> bytes:
    return await asyncio.wait_for(reader.readline(), 30)


class _Transport(asyncio.Transport):
    """Records what is written, and its end."""

    def __init__(self) -> None:
        super().__init__()
        self.written: list[bytes] = []

    def write(self, data: bytes) -> None:  # type: ignore[override]
        self.written.append(data)

    def close(self) -> None:
        self.written.append(b"closed")


async def test_head_of_an_answer_goes_out_with_its_body() -> None:
    """One write is enough for both; a head whose body takes its time, is large, or never comes does not wait."""
    transport, loop = _Transport(), asyncio.get_running_loop()
    short, late, large, cut = (_Answer(transport, loop) for _ in range(4))
    for piece in (b"head ", b"body", b"more"):
        short.write(piece)
    late.write(b"head")
    await asyncio.sleep(0)
    late.write(b"body")
    large.write(b"head")
    large.write(PIECE + b"a")
    cut.write(b"head")
    cut.close()
    await asyncio.sleep(0)
    assert transport.written == [b"head body", b"more", b"head", b"body", b"head", PIECE + b"a", b"head", b"closed"]


async def test_head_without_end_is_refused() -> None:
    """However much of it comes, the server holds no more than the limit, and closes the connection."""
    async with _served() as served:
        reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
        writer.write(b"POST / HTTP/1.1\r\nHost: x\r\nA: ")
        with contextlib.suppress(ConnectionError):
            for _ in range(1000):
                writer.write(PIECE)
                await writer.drain()
        assert writer.transport.is_closing() or (await _status(reader)).startswith(b"HTTP/1.1 431 ")
        writer.close()


async def test_head_that_does_not_come_ends_its_connection() -> None:
    """Half a head is told, silence is not: a client that has asked for nothing waits for no answer."""
    async with _served(patience=0.2) as served:
        reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
        writer.write(b"POST / HTTP/1.1\r\nHost:")
        assert await _status(reader) == b"HTTP/1.1 408 Request Timeout\r\n"
        writer.close()
        reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
        assert await _status(reader) == b""
        writer.close()


async def test_time_is_that_of_the_head_only() -> None:
    """A body may take longer, and so may an answer: no clock runs once the head is there, in each request."""
    async with _served() as served:
        reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
        for _ in range(2):
            for piece in (b"POST / HTTP/1.1\r\nHo", b"st: x\r\nContent-Le"):
                writer.write(piece)
                await served.until(lambda protocol: protocol._is_in_head and protocol._timer is not None)
            writer.write(b"ngth: 131072\r\n\r\n" + PIECE)
            await served.until(lambda protocol: not protocol._is_in_head and protocol._timer is None)
            writer.write(PIECE)
            assert await _status(reader) == b"HTTP/1.1 200 OK\r\n"
            while await _status(reader) != b"\r\n":
                pass
            assert await reader.readexactly(6) == b"131072"
        writer.close()
