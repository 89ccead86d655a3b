"""The server, through its wires: ``python -m bench.server [runs]``.

Clients are processes of their own, on the same machine: what they take of its processor is missing to the server.
"""

from __future__ import annotations

import asyncio
import gc
import json
import statistics
import time
from typing import TYPE_CHECKING, cast

import msgspec

from bench._outside import KEY, from_outside, resident, served
from bench._report import at_least, heading, limit, run, told
from interpreter_tools import EngineConfig, ExecutionEngine, PoolConfig
from interpreter_tools.server import Keys, ServerConfig, create_app
from interpreter_tools.server._keys import Owner
from interpreter_tools.server._sandboxes import Sandboxes

if TYPE_CHECKING:
    from collections.abc import Iterator

RUNS = 10_000
CALLERS = 256
SANDBOXES = 10_000
_BODY = json.dumps({"language": "python", "code": "print(6 * 7)", "run_timeout": 10}).encode()
_REQUEST = (
    f"POST /run_code HTTP/1.1\r\nHost: localhost\r\nX-API-Key: {KEY}\r\nContent-Type: application/json\r\n"
    f"Content-Length: {len(_BODY)}\r\n\r\n"
).encode() + _BODY


class _Caller(asyncio.Protocol):
    """A caller: asks, reads the answer, and asks again, for as long as there are runs left.

    It is plain, as it takes its processor time from the server.
    """

    def __init__(self, left: Iterator[int], took: list[float]) -> None:
        self._left = left
        self._took = took
        self._answer = b""
        self._size = 0  # of the whole answer; 0 while its head is not there
        self._began = 0.0
        self.lost = 0
        self.done = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._ask()

    def _ask(self) -> None:
        if next(self._left, None) is None:
            self.done.set_result(None)
            self._transport.close()
            return
        self._answer, self._size = b"", 0
        self._began = time.perf_counter()
        self._transport.write(_REQUEST)

    def data_received(self, data: bytes) -> None:
        self._answer += data
        if not self._size:
            head, end, _ = self._answer.partition(b"\r\n\r\n")
            if not end:
                return
            length = head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]
            self._size = len(head) + len(end) + int(length)
        if len(self._answer) < self._size:
            return
        self._took.append(time.perf_counter() - self._began)
        answer = msgspec.json.decode(self._answer[self._answer.index(b"\r\n\r\n") :])
        if answer.get("status") != "Success" or answer["run_result"]["stdout"] != "42\n":
            self.lost += 1
        self._ask()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.done.done():
            self.done.set_exception(exc or ConnectionError("the server has closed the connection"))


async def _call_often(port: int, runs: int) -> tuple[list[float], int, float]:
    """Be 256 callers that make so many runs together; return the seconds of each, the lost, and all seconds."""
    loop = asyncio.get_running_loop()
    left, took = iter(range(runs)), list[float]()
    began = time.perf_counter()
    callers = [
        (await loop.create_connection(lambda: _Caller(left, took), "127.0.0.1", port))[1] for _ in range(CALLERS)
    ]
    await asyncio.gather(*(caller.done for caller in callers))
    return took, sum(caller.lost for caller in callers), time.perf_counter() - began


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
