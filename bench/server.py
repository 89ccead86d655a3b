"""The server, through its wires: ``python -m bench.server [runs]``.

Clients are processes of their own, on the same machine: what they take of its processor is missing to the server.
"""

from __future__ import annotations

import asyncio
import gc
import json
import multiprocessing
import statistics
import time
from pathlib import Path
from typing import TYPE_CHECKING

import uvicorn

from bench._report import at_least, heading, limit, run, told
from interpreter_tools import EngineConfig, ExecutionEngine, PoolConfig
from interpreter_tools._listening import listen
from interpreter_tools.server import Keys, ServerConfig, create_app
from interpreter_tools.server._keys import Owner
from interpreter_tools.server._sandboxes import Sandboxes

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

RUNS = 10_000
CALLERS = 256
SANDBOXES = 10_000
KEY = "it_the-key-of-the-benchmark"
_BODY = json.dumps({"language": "python", "code": "print(6 * 7)", "run_timeout": 10}).encode()
_REQUEST = (
    f"POST /run_code HTTP/1.1\r\nHost: localhost\r\nX-API-Key: {KEY}\r\nContent-Type: application/json\r\n"
    f"Content-Length: {len(_BODY)}\r\n\r\n"
).encode() + _BODY


def _call_often(port: int, runs: int, said: Connection) -> None:
    """Be 256 callers that make so many runs together; tell the seconds of each, and of all."""
    said.send(asyncio.run(_callers(port, runs)))


async def _callers(port: int, runs: int) -> tuple[list[float], int, float]:
    left, lost, took = iter(range(runs)), 0, list[float]()

    async def caller() -> None:
        nonlocal lost
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for _ in left:
            began = time.perf_counter()
            writer.write(_REQUEST)
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
            answer = json.loads(await reader.readexactly(length))
            took.append(time.perf_counter() - began)
            if answer.get("status") != "Success" or answer["run_result"]["stdout"] != "42\n":
                lost += 1
        writer.close()

    began = time.perf_counter()
    await asyncio.gather(*(caller() for _ in range(CALLERS)))
    return took, lost, time.perf_counter() - began


async def rewards(runs: int) -> None:
    """SandboxFusion's wire, as reinforcement learning uses it."""
    config = EngineConfig(pool=PoolConfig(min_size=1))
    async with ExecutionEngine(config) as engine:
        app = create_app(engine, wires=["sandbox-fusion"], keys=Keys.of(KEY))
        with listen("127.0.0.1", 0, backlog=2048) as listener:
            server = uvicorn.Server(uvicorn.Config(app, log_level="warning", access_log=False, lifespan="on"))
            task = asyncio.create_task(server.serve([listener]))
            try:
                port = listener.getsockname()[1]
                await _from_outside(port, 2 * CALLERS)  # the containers come to life
                took, lost, seconds = await _from_outside(port, runs)
            finally:
                server.should_exit = True
                await task
        isolation = {pool.isolation for pool in engine.stats().pools if pool.hits}
    limit(
        f"SandboxFusion, {CALLERS} callers, {runs} runs ({', '.join(map(str, isolation))}): lost",
        lost,
        unit="",
        target=0,
    )
    at_least(f"SandboxFusion, {CALLERS} callers: runs", runs / seconds, unit="/s", target=400)
    told(f"SandboxFusion, {CALLERS} callers: median", statistics.median(took), unit="s")
    limit(f"SandboxFusion, {CALLERS} callers: p99", statistics.quantiles(took, n=100)[98], unit="s", target=2)


async def _from_outside(port: int, runs: int) -> tuple[list[float], int, float]:
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=_call_often, args=(port, runs, there))
    process.start()
    try:
        return await asyncio.to_thread(here.recv)
    finally:
        process.join()


def _resident() -> float:
    """Return the MiB of this process's memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / 2**20


async def sandboxes(count: int) -> None:
    """Memory that sandboxes which have ended leave; one in fifty has run a cell."""
    async with ExecutionEngine(EngineConfig(pool=PoolConfig(min_size=1))) as engine:
        table, owner = Sandboxes(engine, ServerConfig()), Owner("bench")
        first = 0.0
        for number in range(count):
            sandbox = await table.create(owner, metadata={"number": str(number)}, timeout=3600)
            if number % 50 == 0:
                assert (await sandbox.context("python").run("6 * 7")).text == "42"
            await sandbox.kill()
            if number == count // 10:
                gc.collect()
                first = _resident()
        await table.aclose()
        gc.collect()
        limit(
            f"memory after {count} sandboxes, growth after the first tenth", _resident() - first, unit="MiB", target=5
        )


async def main(runs: int) -> None:
    """Run every measurement."""
    heading()
    await rewards(runs)
    await sandboxes(min(runs, SANDBOXES))


if __name__ == "__main__":
    run(main, rounds=RUNS)
