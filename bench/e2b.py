# The client is typed less strictly than this.
# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportAttributeAccessIssue=false
"""E2B's wire, with its client as its makers publish it: ``python -m bench.e2b [rounds]``.

The client is a process of its own, on the same machine: what it takes of the processor is missing to the server.
"""

from __future__ import annotations

import asyncio
import io
import statistics
import time
from typing import TYPE_CHECKING, cast

from starlette.applications import Starlette
from starlette.responses import Response
from starlette.routing import Route

from bench._outside import KEY, client, resident, served
from bench._report import heading, limit, run, told
from interpreter_tools import EngineConfig, ExecutionEngine, PoolConfig
from interpreter_tools.server import Keys, create_app

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterator
    from multiprocessing.connection import Connection

ROUNDS = 20
CELLS = 100
LARGE = 100 << 20  # bytes
_PAUSE = 2.0  # seconds in which the pool starts the next container
_PIECE = 1 << 20


def _use(url: str, empty: str, rounds: int, said: Connection) -> None:
    """Be a client; tell the milliseconds of creations, of cells, of answers of the empty route, and of a large file."""
    from e2b_code_interpreter import Sandbox  # noqa: PLC0415 - it needs none of what the parent has imported

    def create(sandbox_url: str) -> Sandbox:
        return Sandbox.create(api_key=KEY, api_url=url, sandbox_url=sandbox_url)

    created: list[float] = []
    for number in range(rounds + 1):
        began = time.perf_counter()
        sandbox = create(url)
        assert sandbox.run_code("6 * 7").text == "42"
        if number:  # the first one makes the client's connections
            created.append((time.perf_counter() - began) * 1e3)
        sandbox.kill()
        time.sleep(_PAUSE)
    sandbox = create(url)
    nothing = Sandbox.connect(sandbox.sandbox_id, api_key=KEY, api_url=url, sandbox_url=empty)
    cells, nothings = list[float](), list[float]()
    for _ in range(CELLS):
        for target, taken in ((sandbox, cells), (nothing, nothings)):
            began = time.perf_counter()
            target.run_code("1+1")
            taken.append((time.perf_counter() - began) * 1e3)
    said.send((created, cells, nothings))
    said.recv()  # the server looks at its memory from here
    began = time.perf_counter()
    sandbox.files.write("large", io.BytesIO(bytes(LARGE)))
    middle = time.perf_counter()
    with sandbox.files.read("large", format="stream") as stream:
        assert sum(len(piece) for piece in cast("Iterator[bytes]", stream)) == LARGE
    said.send((middle - began, time.perf_counter() - middle))
    sandbox.kill()


async def _nothing(_: object) -> Response:
    return Response(b'{"type":"end_of_execution"}\n', media_type="application/json")


async def _of_engine(engine: ExecutionEngine) -> tuple[float, float]:
    """Return the seconds of the same file into and out of a session, without the wire."""

    async def pieces() -> AsyncGenerator[bytes]:
        for _ in range(0, LARGE, _PIECE):
            yield bytes(_PIECE)

    async with engine.session() as session:
        await session.run("python", "")
        began = time.perf_counter()
        await session.write_file("large", pieces())
        middle = time.perf_counter()
        async for _ in session.read_file("large"):
            pass
        return middle - began, time.perf_counter() - middle


async def _most_memory(until: asyncio.Task[tuple[float, float]]) -> float:
    """Return the MiB that this process has at most until a task ends, above what it has now."""
    first = most = resident()
    while not until.done():
        await asyncio.wait([until], timeout=0.02)
        most = max(most, resident())
    return most - first


async def main(rounds: int) -> None:
    """Run every measurement."""
    heading()
    async with ExecutionEngine(EngineConfig(pool=PoolConfig(min_size=1))) as engine:
        app = create_app(engine, wires=["e2b"], keys=Keys.of(KEY))
        empty = Starlette(routes=[Route("/execute", _nothing, methods=["POST"])])
        async with (
            served(app) as port,
            served(empty) as other,
            client(_use, f"http://127.0.0.1:{port}", f"http://127.0.0.1:{other}", rounds) as said,
        ):
            created, cells, nothings = await asyncio.to_thread(said.recv)
            said.send(None)
            transfer = asyncio.create_task(asyncio.to_thread(said.recv))
            memory = await _most_memory(transfer)
            up, down = await transfer
        own_up, own_down = await _of_engine(engine)
    limit("E2B, Sandbox.create() to the first output of run_code", statistics.median(created), unit="ms", target=30)
    cell, without = statistics.median(cells), statistics.median(nothings)
    told("E2B, run_code('1+1') in a sandbox that is there", cell, unit="ms")
    limit("  above the same call of an empty route", cell - without, unit="ms", target=4)
    limit("E2B, 100 MiB up, against the engine alone", up / own_up, unit="x", target=2)
    limit("E2B, 100 MiB down, against the engine alone", down / own_down, unit="x", target=2)
    limit("  memory of the server above before", memory, unit="MiB", target=32)


if __name__ == "__main__":
    run(main, rounds=ROUNDS)
