"""Containers that are used again: ``python -m bench.pool [rounds]``. Each run is followed by a verified reset."""

from __future__ import annotations

import asyncio
import functools
import statistics
import time
from typing import TYPE_CHECKING

from bench._baseline import timed_run
from bench._report import at_least, heading, limit, ratio_at_most, rounds, run, told
from examples.pool_benchmark import measure
from interpreter_tools import ContainerStrategy, EngineConfig, ExecutionEngine, PoolConfig

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

CODE = 'print("hi")'
POOL = ContainerStrategy.POOL
WORKERS = 4
RUNS = 600
ROUNDS = 10


async def per_execution(engine: ExecutionEngine) -> float:
    """Return the milliseconds from lease to result, in a container that is used once."""
    return await timed_run(engine.run("python", CODE))


async def reused(engine: ExecutionEngine) -> float:
    """Return the milliseconds of a round: one of ten in a row in one container, each after the reset of the last."""
    await engine.warm("python", strategy=POOL)
    started = time.perf_counter()
    for _ in range(ROUNDS):
        (await engine.run("python", CODE, strategy=POOL)).check()
    return (time.perf_counter() - started) * 1e3 / ROUNDS


async def throughput() -> float:
    """Return the runs a second, on as many containers as there are workers."""
    pool = PoolConfig(min_size=0, max_size=WORKERS, max_uses=10 * RUNS)
    config = EngineConfig(isolation="container", prewarm=(), pool=pool)  # bench.boxes has the rate of sandboxes
    async with ExecutionEngine(config) as engine:

        async def work(count: int) -> None:
            for _ in range(count):
                (await engine.run("python", CODE, strategy=POOL)).check()

        async def all_work(count: int) -> None:
            await asyncio.gather(*(work(count // WORKERS) for _ in range(WORKERS)))

        await all_work(20 * WORKERS)
        started = time.perf_counter()
        await all_work(RUNS)
        taken = time.perf_counter() - started
        assert not engine.stats().discards
    return RUNS / taken


async def _figures(count: int) -> AsyncIterator[float]:
    for _ in range(count):
        yield await throughput()


async def main(count: int) -> None:
    """Run every comparison."""
    heading()
    async with (
        ExecutionEngine(EngineConfig(isolation="container", pool=PoolConfig(min_size=1, max_size=2))) as once,
        ExecutionEngine(
            EngineConfig(isolation="container", prewarm=(), pool=PoolConfig(min_size=1, max_size=1))
        ) as one,
    ):

        async def settle() -> None:
            await once.warm()
            await asyncio.sleep(1)  # what was used is reset

        python, fresh = await rounds(
            functools.partial(reused, one), functools.partial(per_execution, once), count=count, settle=settle
        )
    ratio_at_most("python, POOL with its reset / PER_EXECUTION", python, fresh, unit="ms", target=1.5)
    limit("examples/pool_benchmark.py, python", await measure("python"), unit="ms", target=6)
    told("examples/pool_benchmark.py, javascript", await measure("javascript"), unit="ms")
    reached = statistics.median([figure async for figure in _figures(3)])
    at_least("python runs through a pool, with reset", reached, unit="per s", target=600)


if __name__ == "__main__":
    run(main, rounds=7)
