"""A server that is measured in this process, and clients that are processes of their own."""

from __future__ import annotations

import asyncio
import contextlib
import multiprocessing
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import uvicorn

from interpreter_tools._listening import listen
from interpreter_tools.server._http import BoundedHttp
from interpreter_tools.server._serve import rare_collections

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Coroutine
    from multiprocessing.connection import Connection

    from starlette.types import ASGIApp

T = TypeVar("T")
KEY = "it_the-key-of-the-benchmark"


@contextlib.asynccontextmanager
async def served(app: ASGIApp) -> AsyncGenerator[int]:
    """Serve an application on loopback, as ``interpreter-tools serve`` does; yield its port."""
    with listen("127.0.0.1", 0, backlog=2048) as listener:
        server = uvicorn.Server(
            uvicorn.Config(app, http=BoundedHttp, log_level="warning", access_log=False, lifespan="auto")
        )
        with rare_collections():
            task = asyncio.create_task(server.serve([listener]))
            try:
                yield listener.getsockname()[1]
            finally:
                server.should_exit = True
                await task


@contextlib.asynccontextmanager
async def client(work: Callable[..., None], *args: object) -> AsyncGenerator[Connection]:
    """Call a function in a process of its own, with a connection as its last argument; yield the other end."""
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=work, args=(*args, there))
    process.start()
    there.close()  # so that the end of the process is heard
    try:
        yield here
    finally:
        await asyncio.to_thread(process.join)


async def from_outside(work: Callable[..., Coroutine[object, object, T]], *args: object) -> T:
    """Run a coroutine function in a process of its own; return its result."""
    async with client(_run, work, args) as connection:
        return await asyncio.to_thread(connection.recv)


def _run(work: Callable[..., Coroutine[object, object, object]], args: tuple[object, ...], said: Connection) -> None:
    said.send(asyncio.run(work(*args)))


def resident() -> float:
    """Return the MiB of this process's memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / 2**20
