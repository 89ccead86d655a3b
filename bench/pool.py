"""Containers that are used again: ``python -m bench.pool [rounds]``. Each run is followed by a verified reset."""

from __future__ import annotations

import asyncio
import functools
import statistics
import time
from typing import TYPE_CHECKING

from bench._report import at_least, heading, limit, ratio_at_most, rounds, run
from interpreter_tools import ContainerStrategy, EngineConfig, ExecutionEngine, PoolConfig

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

CODE = {"python": 'print("hi")', "javascript": 'console.log("hi")'}
POOL = ContainerStrategy.POOL
WORKERS = 4
RUNS = 600
ORIGINAL_ROUNDS = 20  # as the benchmarks of the TypeScript original have


async def per_execution(engine: ExecutionEngine) -> float:
    """Milliseconds from lease to result, in a container that is used once."""
    started = time.perf_counter()
    (await engine.run("python", CODE["python"])).check()
    return (time.perf_counter() - started) * 1e3


async def cycle(engine: ExecutionEngine, language: str) -> float:
    """Milliseconds of a round, of twenty in a row."""
    await engine.warm(language, strategy=POOL)
    started = time.perf_counter()
    for _ in range(ORIGINAL_ROUNDS):
        (await engine.run(language, CODE[language], strategy=POOL)).check()
    return (time.perf_counter() - started) * 1e3 / ORIGINAL_ROUNDS


async def throughput() -> float:
    """Runs a second, on as many containers as there are workers."""
    config = EngineConfig(prewarm=(), pool=PoolConfig(min_size=0, max_size=WORKERS, max_uses=10 * RUNS))
    async with ExecutionEngine(config) as engine:

        async def work(count: int) -> None:
            for _ in range(count):
                (await engine.run("python", CODE["python"], strategy=POOL)).check()

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
    pool = PoolConfig(min_size=1, max_size=2)
    many = PoolConfig(min_size=ORIGINAL_ROUNDS, max_size=ORIGINAL_ROUNDS)  # Node.js boots for 100 ms
    async with (
        ExecutionEngine(EngineConfig(pool=pool)) as once,
        ExecutionEngine(EngineConfig(prewarm=(), pool=PoolConfig(min_size=1, max_size=1))) as one,
        ExecutionEngine(EngineConfig(prewarm=(), pool=many)) as twenty,
    ):

        async def settle() -> None:
            await once.warm()
            await asyncio.sleep(3)  # what was used is reset, and boots

        python, node, fresh = await rounds(
            functools.partial(cycle, one, "python"),
            functools.partial(cycle, twenty, "javascript"),
            functools.partial(per_execution, once),
            count=count,
            settle=settle,
        )
    ratio_at_most("python, POOL with its reset / PER_EXECUTION", python, fresh, unit="ms", target=1.5)
    limit("python, a round of the original's pool benchmark", python, unit="ms", target=6)
    limit("javascript, a round of the original's pool benchmark", node, unit="ms", target=10)
    reached = statistics.median([figure async for figure in _figures(3)])
    at_least("python runs through a pool, with reset", reached, unit="per s", target=600)


if __name__ == "__main__":
    run(main, rounds=7)
