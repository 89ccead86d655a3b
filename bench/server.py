"""The server, through its wires: ``python -m bench.server [runs]``.

Clients are processes of their own, on the same machine: what they take of its processor is missing to the server.
"""

from __future__ import annotations

import asyncio
import gc
import json
import statistics
import time

from bench._outside import KEY, from_outside, resident, served
from bench._report import at_least, heading, limit, run, told
from interpreter_tools import EngineConfig, ExecutionEngine, PoolConfig
from interpreter_tools.server import Keys, ServerConfig, create_app
from interpreter_tools.server._keys import Owner
from interpreter_tools.server._sandboxes import Sandboxes

RUNS = 10_000
CALLERS = 256
SANDBOXES = 10_000
_BODY = json.dumps({"language": "python", "code": "print(6 * 7)", "run_timeout": 10}).encode()
_REQUEST = (
    f"POST /run_code HTTP/1.1\r\nHost: localhost\r\nX-API-Key: {KEY}\r\nContent-Type: application/json\r\n"
    f"Content-Length: {len(_BODY)}\r\n\r\n"
).encode() + _BODY


async def _call_often(port: int, runs: int) -> tuple[list[float], int, float]:
    """Be 256 callers that make so many runs together; return the seconds of each, the lost, and all seconds."""
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
    """Measure SandboxFusion's wire, as reinforcement learning uses it."""
    config = EngineConfig(pool=PoolConfig(min_size=1))
    async with ExecutionEngine(config) as engine:
        app = create_app(engine, wires=["sandbox-fusion"], keys=Keys.of(KEY))
        async with served(app) as port:
            await from_outside(_call_often, port, 2 * CALLERS)  # the containers come to life
            took, lost, seconds = await from_outside(_call_often, port, runs)
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


async def sandboxes(count: int) -> None:
    """Measure the memory that sandboxes which have ended leave; one in fifty has run a cell."""
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
                first = resident()
        await table.aclose()
        gc.collect()
        limit(f"memory after {count} sandboxes, growth after the first tenth", resident() - first, unit="MiB", target=5)


async def main(runs: int) -> None:
    """Run every measurement."""
    heading()
    await rewards(runs)
    await sandboxes(min(runs, SANDBOXES))


if __name__ == "__main__":
    run(main, rounds=RUNS)
